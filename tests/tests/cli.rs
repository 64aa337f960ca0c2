//! The command line, as a process.
use std::{
    io::Read,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pages");

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--work").arg(self.0.path()).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Standard output of a command that is to end with this code.
    fn out(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {err}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard error of a command that is to end with this code.
    fn err(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().into()
    }

    fn status(&self) -> Value {
        self.json(&["status", "--json"])
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.out(0, args)).unwrap()
    }

    /// Starts a run of slow pages, and waits until some are through.
    fn driven(&self) -> Driven {
        let args = ["--good", "100000", "--slow", "5", "--bad", "0", "run", "--quiet"];
        let driven = Driven(self.command(&args).stderr(Stdio::null()).spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let output = self.run(&["status", "--json"]);
            let done = serde_json::from_slice::<Value>(&output.stdout).ok();
            if done.is_some_and(|status| status["states"]["Done"].as_u64() > Some(0)) {
                return driven;
            }
            assert!(Instant::now() < until, "it does not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A process that ends with the test.
struct Driven(Child);

impl Drop for Driven {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn status_as_json_has_every_state_in_order_with_all_its_jobs() {
    let place = Place::new();
    place.out(3, &["run", "-q"]);
    let text = place.out(0, &["status", "--json"]);
    let start = r#"{"states":{"Fetch":2,"Parse":0,"Done":3,"Gone":1},"parked":2,"complete":true,"#;
    assert!(text.starts_with(start), "{text}");
    let status = place.status();
    assert_eq!((&status["jobs"], &status["held"], &status["seeded"]), (&json!(6), &json!([]), &json!(true)));
    place.err(0, &["redrive"]);
    place.err(0, &["hold", "Fetch"]);
    let status = place.status();
    assert_eq!(
        (&status["parked"], &status["complete"], &status["held"]),
        (&json!(0), &json!(false), &json!(["Fetch"]))
    );
    assert_eq!(status["states"]["Fetch"], 2);
    assert!(place.out(0, &["status"]).contains("2 held"));
}

#[test]
fn exit_codes_tell_how_a_run_ended() {
    let place = Place::new();
    assert!(place.err(1, &["status"]).contains("there is no run here"));
    assert!(place.err(1, &["redrive"]).contains("there is no run here"));
    assert!(place.err(1, &["hold", "Fetch"]).contains("there is no run here"));
    assert!(!Path::new(&place.path("pages.jorb")).exists(), "only `run` and `import` make one");
    assert_eq!(place.err(1, &["--broken"]), "error: there is no web\n");
    place.out(4, &["run", "--first", "1", "--quiet"]);
    place.out(3, &["--quiet"]);
    place.out(2, &["runn"]);
    place.out(2, &["--no-such-flag"]);
    place.out(2, &["jobs", "--status", "broken"]);
    place.out(2, &["redrive", "--data", "{}"]);
    place.out(2, &["--first", "1", "status"]);
    place.out(0, &["--help"]);
    assert!(place.err(1, &["hold", "Fetsh"]).contains("did you mean `Fetch`?"));
    place.err(0, &["redrive"]);
    place.out(0, &["--healed", "-q"]);
    place.out(0, &["run", "--healed", "-q"]);
    let place = Place::new();
    place.out(4, &["--bad", "500", "--slow", "5", "--max-parked", "10", "-q"]);
    assert!(place.status()["parked"].as_u64() < Some(500), "it stopped");
}

#[test]
fn flags_of_run_are_in_its_help_and_no_other() {
    let place = Place::new();
    for help in [&["--help"][..], &["run", "--help"]] {
        let help = place.out(0, help);
        let (others, of_run) = help.split_once("Options of `run`:\n").expect("a heading of their own");
        assert!(of_run.contains("--healed") && of_run.contains("--first <N>"), "{help}");
        assert!(others.contains("--work") || of_run.contains("--work"), "{help}");
    }
    for verb in ["status", "jobs", "where"] {
        let help = place.out(0, &[verb, "--help"]);
        assert!(help.contains("--work <WORK>") && !help.contains("--healed"), "{help}");
    }
    assert_eq!(place.err(3, &["run", "--bad", "5", "--quiet"]), "");
    assert_eq!(place.status()["parked"], 5, "the flag came through");
    for args in [["--bad", "5", "status"], ["status", "--bad", "5"]] {
        assert!(place.out(0, &args).contains('5'), "an alias may have it");
    }
}

#[test]
fn nothing_is_printed_when_quiet_and_the_summary_when_not() {
    let place = Place::new();
    assert_eq!(place.err(3, &["-q"]), "");
    assert!(place.err(3, &["run"]).ends_with("  Fetch  2 parked\n  Done   3 ended\n  Gone   1 ended\n"));
}

#[test]
fn jobs_are_listed_filtered_and_shown() {
    let place = Place::new();
    place.out(3, &["-q"]);
    let list = place.out(0, &["jobs"]);
    assert_eq!(list.lines().count(), 7, "{list}");
    assert!(list.starts_with("JOB  STATE  STATUS     TRY  SINCE OR DUE"), "{list}");
    let parked = place.out(0, &["jobs", "--status", "parked", "--error", "host 2", "--json"]);
    let parked: Value = serde_json::from_str(&parked).unwrap();
    assert_eq!((&parked["job"], &parked["context"]), (&json!(2), &json!({"url": "bad0"})));
    assert_eq!(parked["error"], "connection refused by host 2 after 31 ms");
    let gone = place.out(0, &["jobs", "--state", "Gone", "--limit", "1"]);
    assert_eq!(gone.lines().count(), 2);
    let at = gone.find("DATA  ").expect("a column for the fields");
    assert!(
        gone.lines().all(|line| line[at..].starts_with(if line.contains("DATA") {
            "DATA"
        } else {
            r#"{"status":404}  "#
        })),
        "{gone}"
    );
    assert!(!list.contains("DATA") && !place.out(0, &["jobs", "--state", "Fetch"]).contains("DATA"));
    assert_eq!(place.out(0, &["jobs", "--state", "Parse"]), "");

    let job: Value = serde_json::from_str(&place.out(0, &["jobs", "0->1", "--json"])).unwrap();
    assert_eq!((&job["path"], &job["data"]), (&json!("0->1"), &json!({"status": 404})));
    assert_eq!((&job["history"][0]["from"], &job["history"][0]["to"]), (&json!("Fetch"), &json!("Gone")));
    let by_hand = place.out(0, &["jobs", "0/1"]);
    assert_eq!(by_hand, place.out(0, &["jobs", "0->1"]), "a spelling that needs no quotes");
    assert!(by_hand.contains("path     0/1 (kick 1 of job 0)\n"), "{by_hand}");
    let shown = place.out(0, &["jobs", "2"]);
    assert!(shown.contains("step     0, attempt 1\n"), "as in the list: {shown}");
    assert!(place.out(0, &["jobs", "--status", "parked"]).contains("  parked       1  "));
    assert!(shown.contains("errors in Fetch") && shown.contains("attempt 1: connection refused"), "{shown}");
    assert_eq!(place.err(1, &["jobs", "0->9"]), "error: there is no job 0->9\n");
    place.out(2, &["jobs", "2", "--state", "Fetch"]);
}

#[test]
fn a_dry_run_changes_nothing_and_bad_data_neither() {
    let place = Place::new();
    place.out(3, &["-q"]);
    let before = place.out(0, &["export"]);
    assert_eq!(place.err(0, &["redrive", "--dry-run"]), "2 jobs would run again\n");
    let dry = ["redrive", "--from", "Gone", "--to", "Fetch", "--dry-run"];
    assert_eq!(place.err(0, &dry), "1 job would move to `Fetch`\n");
    let misfit = place.err(1, &["redrive", "--from", "Gone", "--to", "Parse"]);
    assert!(misfit.contains("cannot go to `Parse`") && misfit.contains("missing field `html`"), "{misfit}");
    place.err(1, &["redrive", "--from", "Done", "--to", "Gone", "--data", r#"{"status":"x"}"#]);
    assert!(place.err(1, &["redrive", "--from", "Gone"]).contains("say where they go with `--to`"));
    assert_eq!(place.out(0, &["export"]), before);

    let data = ["redrive", "--from", "Gone", "--to", "Parse", "--data", r#"{"html":"<p>"}"#];
    assert_eq!(place.err(0, &data), "1 job moved to `Parse`\n");
    assert_eq!(place.err(0, &["redrive", "--job", "3"]), "1 job will run again\n");
    place.out(0, &["redrive"]);
    place.out(0, &["--healed", "-q"]);
    assert_eq!(place.status()["states"], json!({"Fetch": 0, "Parse": 0, "Done": 6, "Gone": 0}));
}

#[test]
fn a_job_that_is_named_in_vain_says_how_it_stands() {
    let place = Place::new();
    place.out(3, &["-q"]);
    let says = |args: &[&str], text: &str| {
        assert_eq!(place.err(1, args), format!("error: job {text}\n"), "{args:?}");
    };
    says(&["redrive", "--job", "0"], "0 has ended in `Done`; say where it goes with `--to`");
    says(
        &["redrive", "--job", "2", "--from", "Parse"],
        "2 is parked in `Fetch`, not in `Parse`; leave out `--from`",
    );
    says(&["cancel", "--job", "0"], "0 has ended in `Done`, where nothing is left to cancel");
    says(
        &["cancel", "--job", "2", "--state", "Parse"],
        "2 is parked in `Fetch`, not in `Parse`; leave out `--state`",
    );
    says(
        &["cancel", "--job", "2", "--status", "ready"],
        "2 is parked in `Fetch`, not ready; leave out `--status`",
    );
    says(
        &["cancel", "--job", "2", "--error", "timed out"],
        "2 is parked in `Fetch`, and its newest error is `connection refused by host 2 after 31 ms`, without `timed out`; leave out `--error`",
    );
    says(
        &["redrive", "--job", "0", "--error", "x"],
        "0 has ended in `Done`, and has no error; leave out `--error`",
    );
    says(&["cancel", "--job", "2", "--limit", "0"], "2 is parked in `Fetch`, and `--limit 0` leaves nothing");
    place.err(0, &["cancel", "--job", "2"]);
    says(&["cancel", "--job", "2"], "2 was cancelled in `Fetch` before; `redrive --job` has it go on");

    let place = Place::new();
    place.out(4, &["--good", "40000", "run", "--quiet", "--first", "1"]);
    for more in [&[][..], &["--to", "Fetch"]] {
        let args = [&["redrive", "--job", "40000"], more].concat();
        let text = "error: job 40000 is ready in `Fetch`, as it was seeded; drive the run first\n";
        assert_eq!(place.err(1, &args), text);
    }
}

#[test]
fn a_run_goes_through_json_lines_into_a_json_file() {
    let place = Place::new();
    place.out(3, &["-q"]);
    let (lines, json) = (place.path("run.jsonl"), place.path("run.json"));
    assert!(place.err(0, &["export", &lines]).starts_with("6 jobs exported to "));
    assert_eq!(place.err(0, &["--store", &json, "import", &lines, "--check"]), "6 jobs are good\n");
    assert!(!Path::new(&json).exists());
    place.err(0, &["--store", &json, "import", &lines]);
    assert!(place.err(1, &["--store", &json, "import", &lines]).contains("already has jobs"));
    let there = place.out(0, &["jobs"]);
    assert_eq!(place.out(0, &["jobs", "--store", &json]), there);
    place.err(0, &["--store", &json, "redrive"]);
    place.out(0, &["--store", &json, "--healed", "-q"]);
    assert_eq!(place.out(0, &["jobs"]), there, "the other one stays as it is");
    std::fs::write(&lines, "{}\n").unwrap();
    assert!(place.err(1, &["--store", &place.path("no.json"), "import", &lines]).contains("line 1"));
}

#[test]
fn graph_report_and_commands_of_the_program() {
    let place = Place::new();
    assert!(place.out(0, &["graph"]).starts_with("stateDiagram-v2\n    [*] --> Fetch\n"));
    assert!(place.out(0, &["graph", "--text"]).starts_with(">  Fetch  -> Parse, Gone\n"));
    assert_eq!(place.out(0, &["where"]).trim(), place.path("pages.jorb"));
    assert!(place.out(0, &["--help"]).contains("Say where the run is"));
    place.out(3, &["-q"]);
    let report = place.out(0, &["report"]);
    assert!(report.contains("  redrive --from Fetch  tries 2 parked jobs again\n"), "{report}");
    let report: Value = serde_json::from_str(&place.out(0, &["report", "--json"])).unwrap();
    assert_eq!(report["states"][0]["reasons"][0]["jobs"], 2);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let place = Place::new();
    place.out(3, &["-q", "--good", "5000"]);
    for args in [&["jobs"][..], &["jobs", "--json"], &["export"]] {
        let mut jobs = place.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut some = [0; 100];
        jobs.stdout.take().unwrap().read_exact(&mut some).unwrap();
        let output = jobs.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
        assert_eq!(output.status.code(), Some(0), "{args:?}");
    }
}

#[test]
fn while_a_process_drives_the_run_it_can_be_looked_at_but_not_changed() {
    let place = Place::new();
    let driven = place.driven();
    place.out(0, &["status"]);
    place.out(0, &["report"]);
    assert_eq!(place.out(0, &["jobs", "--status", "ended", "--limit", "1"]).lines().count(), 2);
    place.out(0, &["jobs", "0"]);
    let in_use = format!("pages.jorb is in use by process {}; wait for it, or stop it\n", driven.0.id());
    for args in [&["redrive"][..], &["hold", "Fetch"], &["run"]] {
        let error = place.err(1, args);
        assert!(error.ends_with(&in_use), "{error}");
    }
    let (lines, copy) = (place.path("x.jsonl"), place.path("x.jorb"));
    place.err(0, &["export", &lines]);
    let all_good = place.err(0, &["--store", &copy, "import", &lines, "--check"]);
    assert!(all_good.ends_with(" jobs are good\n"), "{all_good}");
    let left = std::fs::read_dir(place.0.path()).unwrap().map(|file| file.unwrap().file_name());
    assert!(!left.into_iter().any(|name| name.to_string_lossy().contains("export-")), "the copy is gone");
}

#[test]
fn a_program_needs_no_flags_and_no_app_of_its_own() {
    use jorb::{Kick, cli::Program};
    use jorb_tests::flow::{Flow, Note, flow};

    let place = Place::new();
    let store = place.path("flow.jorb");
    let main = |args: &[&str]| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let program = Program::<Flow>::new().seed(|_, run| {
            let note = Note { text: "x".into(), n: 1 };
            run.seed(String::new(), |jobs| jobs.add(Kick::new(flow::Edit, note)))
        });
        let args = [&["flow", "--store", &store], args].concat();
        let code = program.main_with(args, &mut out, &mut err);
        (format!("{code:?}"), String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    };
    let code = |code: u8| format!("{:?}", std::process::ExitCode::from(code));
    assert_eq!(main(&["-q"]), (code(0), String::new(), String::new()));
    let (ended, out, err) = main(&["status"]);
    assert_eq!((ended, err.as_str()), (code(0), ""));
    assert!(out.contains("Done         1  1 ended\n") && out.ends_with("complete\n"), "{out}");
    assert!(main(&["hold", "Change"]).2.starts_with("`Edit` is held"), "an alias is a name too");
    assert_eq!(main(&["nonsense"]).0, code(2));
    assert!(
        main(&["--help"]).1.starts_with("Usage: "),
        "nothing of ours about what it does: {}",
        main(&["--help"]).1
    );
    let states = main(&["graph", "--text"]).1;
    assert!(states.lines().all(|line| line == line.trim_end()), "{states}");
}

#[test]
fn a_program_gets_a_handle_on_the_runtime_that_drives_its_run() {
    use jorb::{Kick, cli::Program};
    use jorb_tests::flow::{Flow, Note, flow};

    let place = Place::new();
    let program = Program::<Flow>::new()
        .seed(|_, run| {
            let note = Note { text: "x".into(), n: 1 };
            run.seed(String::new(), |jobs| jobs.add(Kick::new(flow::Edit, note)))
        })
        .processor(|_, processor| {
            tokio::spawn(std::future::pending::<()>()); // there is a runtime for it
            processor.handle().hold::<flow::Build>();
            processor
        });
    let store = place.path("flow.jorb");
    let ended = program.main_with(["flow", "--store", &store, "-q"], &mut Vec::new(), &mut Vec::new());
    assert_eq!(format!("{ended:?}"), format!("{:?}", std::process::ExitCode::from(4)), "held");
}

#[test]
fn limits_are_tuned_and_reset_on_the_file() {
    let place = Place::new();
    place.out(3, &["run", "--quiet"]);
    let err = place.err(0, &["tune", "Fetch", "--rate", "5/s"]);
    assert_eq!(err, "`Fetch`: rate 5/s, from when the run is driven\n");
    place.err(0, &["tune", "Fetch", "--concurrency", "9"]);
    assert!(place.out(0, &["status"]).contains("tuned: Fetch: rate 5/s, concurrency 9\n"));
    assert_eq!(place.status()["tuned"], json!({"Fetch": {"rate": "5/s", "concurrency": 9}}));
    let status = place.status();
    for (state, jobs) in status["states"].as_object().unwrap() {
        let counts = ["ready", "parked", "ended", "cancelled"]
            .map(|of| status["by_status"][state][of].as_u64().unwrap());
        assert_eq!(jobs.as_u64(), Some(counts.iter().sum()), "{status}");
    }
    assert!(place.err(1, &["tune", "Fetch"]).contains("nothing is to be changed"));
    assert!(place.err(1, &["tune", "Fetsch", "--reset"]).contains("did you mean `Fetch`?"));
    assert!(place.err(2, &["tune", "Fetch", "--rate", "5"]).contains("invalid rate"));
    assert!(place.err(2, &["tune", "Fetch", "--rate", "5/s", "--reset"]).contains("cannot be used with"));
    assert_eq!(
        place.err(0, &["tune", "Fetch", "--reset"]),
        "`Fetch`: as in the code, from when the run is driven\n"
    );
    assert_eq!(place.status()["tuned"], json!({}));
}

#[test]
fn jobs_are_cancelled_on_the_file_and_redriven() {
    let place = Place::new();
    place.out(3, &["run", "--quiet"]);
    // Nobody cancels all of a run by leaving out what they meant.
    place.out(2, &["cancel"]);
    place.out(2, &["cancel", "--limit", "1"]);
    assert_eq!(place.err(0, &["cancel", "--state", "Fetch"]), "0 jobs cancelled\n", "those there are parked");
    assert_eq!(place.err(0, &["cancel", "--status", "parked", "--dry-run"]), "2 jobs would be cancelled\n");
    assert_eq!(place.err(0, &["cancel", "--error", "refused", "--status", "parked"]), "2 jobs cancelled\n");
    let status = place.status();
    assert_eq!(
        (&status["cancelled"], &status["parked"], &status["complete"]),
        (&json!(2), &json!(0), &json!(true))
    );
    assert!(place.out(0, &["status"]).contains("  2 cancelled\n"));
    assert!(place.out(0, &["report"]).contains("  2 cancelled\n"));
    let listed = place.out(0, &["jobs", "--status", "cancelled"]);
    assert_eq!(listed.lines().filter(|line| line.contains("  cancelled  ")).count(), 2, "{listed}");
    let shown = place.out(0, &["jobs", "2"]);
    assert!(
        shown.contains("state    Fetch, cancelled since ") && shown.contains(", because somebody asked\n")
    );
    assert_eq!(place.json(&["jobs", "2", "--json"])["cancelled"], "asked");
    place.out(0, &["run", "--quiet"]);
    assert_eq!(place.err(0, &["redrive", "--status", "cancelled"]), "2 jobs will run again\n");
    place.out(3, &["run", "--quiet"]);
}
