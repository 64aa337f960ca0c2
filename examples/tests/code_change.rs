//! The real program, with real git and cargo, on small packages.
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Of each kind.
const PACKAGES: usize = 3;

#[test]
fn a_batch_that_is_killed_again_and_again_does_all_once() -> Result {
    for store in ["run.jorb", "run.json"] {
        let batch = Batch::new(store)?;
        let mut kills = 0;
        // From 10 ms up, so that the first kills come while it starts, and later ones at a different step each.
        let status = loop {
            let patience = Duration::from_millis(10 + 41 * kills);
            match batch.run_for(patience)? {
                Some(status) => break status,
                None => kills += 1,
            }
        };
        assert!(status.success(), "{status}");
        assert!(kills > 3, "it was too fast to be killed: {kills}");
        batch.check()?;
    }
    Ok(())
}

#[test]
fn a_finished_batch_does_nothing_again() -> Result {
    let batch = Batch::new("run.jorb")?;
    for _ in 0..2 {
        assert!(batch.command(&["--quiet"]).status()?.success());
        batch.check()?;
    }
    Ok(())
}

#[test]
fn failed_builds_can_be_driven_again_when_they_are_repaired() -> Result {
    let batch = Batch::new("run.jorb")?;
    assert!(batch.command(&["run", "--quiet"]).status()?.success());
    // The packages are repaired where `Edit` finds them.
    for n in 0..PACKAGES {
        let source = batch.work().join(format!("packages/unsafe-{n}/checkout/src/lib.rs"));
        fs::write(&source, "pub fn a() {}\n")?;
    }
    let redrive = ["redrive", "--from", "BuildFailed", "--to", "Edit"];
    assert!(batch.command(&redrive).status()?.success());
    assert!(batch.command(&["run", "--quiet"]).status()?.success());
    let states = batch.states()?;
    assert_eq!((states["Sent"].as_u64(), states["BuildFailed"].as_u64()), (Some(2 * 3), Some(0)), "{states}");
    batch.check_sent("unsafe")?;
    batch.check_sent("safe")
}

#[test]
fn flags_that_come_too_late_are_named_and_quiet_says_nothing_else() -> Result {
    let batch = Batch::new("run.jorb")?;
    let run = |args: &[&str]| -> Result<String> {
        let output = batch.command(args).output()?;
        assert!(output.status.success(), "{args:?}: {output:?}");
        Ok(String::from_utf8(output.stderr)?)
    };
    assert_eq!(run(&["--limit", "1", "--quiet"])?, "");
    // The same, and none at all.
    assert_eq!(run(&["--limit", "1", "run", "-q"])?, "");
    assert_eq!(run(&["-q"])?, "");
    let said = run(&["--limit", "2", "-q"])?;
    assert!(said.starts_with("this run was made with --limit 1 --packages /"), "{said}");
    assert!(said.ends_with("give a new --work\n") && said.lines().count() == 1, "{said}");
    assert!(run(&[])?.starts_with("works in "));
    Ok(())
}

/// The program with packages to work on, in a folder that goes when it is dropped.
struct Batch {
    dir: TempDir,
    store: PathBuf,
}

impl Batch {
    fn new(store: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        for (kind, source) in [
            ("safe", "//! Safe.\n\npub fn a() {}\n"),
            ("unsafe", "pub fn a() { unsafe {} }\n"),
            ("done", "#![forbid(unsafe_code)]\npub fn a() {}\n"),
        ] {
            for n in 0..PACKAGES {
                let package = dir.path().join(format!("packages/{kind}-{n}"));
                fs::create_dir_all(package.join("src"))?;
                fs::write(package.join("src/lib.rs"), source)?;
                let manifest =
                    format!("[package]\nname = '{kind}-{n}'\nversion = '1.0.0'\nedition = '2021'\n");
                fs::write(package.join("Cargo.toml"), manifest)?;
            }
        }
        let store = dir.path().join(store);
        Ok(Batch { dir, store })
    }

    fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_code_change"));
        command.arg("--packages").arg(self.dir.path().join("packages"));
        command.arg("--work").arg(self.work()).arg("--store").arg(&self.store).args(args);
        // On a machine where cargo has nothing, and no settings of its user's.
        command.env("CARGO_HOME", self.dir.path().join("cargo")).stdin(Stdio::null());
        command
    }

    /// Runs it, and kills it when it takes longer than `patience`.
    fn run_for(&self, patience: Duration) -> Result<Option<ExitStatus>> {
        let mut child = self.command(&["run", "--quiet"]).spawn()?;
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            sleep(Duration::from_millis(5));
        }
        child.kill()?;
        child.wait()?;
        Ok(None)
    }

    fn states(&self) -> Result<Value> {
        let output = self.command(&["status", "--json"]).output()?;
        let status: Value = serde_json::from_slice(&output.stdout)?;
        assert_eq!(
            (&status["complete"], &status["parked"]),
            (&Value::from(true), &Value::from(0)),
            "{status}"
        );
        Ok(status["states"].clone())
    }

    /// All jobs are where they belong, and each change was made and sent once.
    fn check(&self) -> Result {
        let states = self.states()?;
        for state in ["Sent", "BuildFailed", "Unchanged"] {
            if states[state] != PACKAGES {
                // What cargo said of each.
                let export = self.command(&["export"]).output()?;
                panic!("{state}: {states}\n{}", String::from_utf8(export.stdout)?);
            }
        }
        let mbox = fs::read_to_string(self.work().join("outbox.mbox"))?;
        assert_eq!(mbox.matches("\nMessage-ID: ").count(), PACKAGES, "{mbox}");
        self.check_sent("safe")
    }

    fn check_sent(&self, kind: &str) -> Result {
        let mbox = fs::read_to_string(self.work().join("outbox.mbox"))?;
        for n in 0..PACKAGES {
            let subject = format!("Subject: [PATCH] Forbid unsafe code in {kind}-{n}\n");
            assert_eq!(mbox.matches(&subject).count(), 1, "{kind}-{n} in {mbox}");
            let commits = commits(&self.work().join(format!("packages/{kind}-{n}/commit")))?;
            assert_eq!(commits, [format!("Forbid unsafe code in {kind}-{n}"), format!("Import {kind}-{n}")]);
        }
        Ok(())
    }
}

/// Their subjects, the latest first.
fn commits(tree: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    // As in a hook of the repository that this is a test of.
    git.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
    let log = git.arg("-C").arg(tree).args(["log", "--format=%s"]).output()?;
    Ok(String::from_utf8(log.stdout)?.lines().map(str::to_owned).collect())
}
