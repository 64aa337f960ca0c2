//! Runs as JSON Lines: out of each store, into each other.
use std::io::Cursor;

use jorb::{
    Error, JobId, JsonStore, MemoryStore, Processor, Run, SqliteStore,
    prelude::Kick,
    store::{Batch, BoxStore, New, Seeding, export, import},
};
use jorb_tests::bench::{Bench, Kind, Model, Random, line, pages};
use long::{Round, round};

const KINDS: [Kind; 3] = [
    Kind { make: |_| Box::new(MemoryStore::new()), lasts: false },
    Kind { make: |folder| Box::new(JsonStore::at(folder.join("run.json"))), lasts: true },
    Kind { make: |folder| Box::new(SqliteStore::at(folder.join("run.jorb"))), lasts: true },
];

/// What must be the same on both sides: all but where jobs wait, and the numbers of what happened.
fn said(bench: &mut Bench) -> Vec<String> {
    bench.crash();
    let header = bench.header.clone();
    let mut limiters: Vec<_> = header.limiters.iter().map(|(name, at)| (name.clone(), at.0)).collect();
    limiters.sort_unstable();
    let store = bench.store();
    let mut lines = vec![format!("{} {} {:?}", header.run, header.created, header.held)];
    lines.push(format!("{:?} {} {:?}", header.counts, header.next.job, limiters));
    for record in store.page(JobId(0), 1_000).unwrap() {
        let jorb::Snapshot {
            id,
            parent,
            step,
            attempt,
            began,
            errors,
            kicked,
            state,
            status,
            ready_at,
            delay,
            deadline,
            join,
            ..
        } = record.job;
        lines.push(format!(
            "{id} {parent:?} {step} {attempt} {began:?} {errors} {kicked} {state:?} {status} {ready_at} {delay:?} {deadline:?} {join:?} {}",
            record.seq
        ));
        let past = store.story(id).unwrap();
        let line = |line: &jorb::store::Line| {
            format!("{} {} {} {} {:?} {}", line.step, line.from, line.to, line.at, line.waited, line.children)
        };
        lines.extend(past.lines.iter().map(line));
        lines.extend(past.errors.iter().map(|e| format!("{} {} {} {}", e.state, e.step, e.at, e.error)));
        lines.extend(store.once(id).unwrap().map(|once| format!("{} {}", once.state.name(), once.key)));
        assert_eq!(past.lines.last().map(|line| line.id), record.last_line);
        assert_eq!(past.errors.last().map(|error| error.id), record.last_error);
    }
    lines
}

/// A run that has seen much.
fn full(kind: Kind) -> Bench {
    let mut bench = Bench::new(kind);
    let mut model = Model::new(bench.store().form(), &bench.header);
    let mut random = Random::new(4);
    for (batch, _) in model.seed(20, &mut random) {
        bench.store().commit(&batch).unwrap();
    }
    for _ in 0..40 {
        bench.store().commit(&model.step(&mut random).0).unwrap();
    }
    bench.crash();
    bench
}

fn exported(bench: &mut Bench) -> String {
    let header = bench.header.clone();
    let mut out = Vec::new();
    let jobs = export(bench.store(), &header, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count() as u64, jobs + 1);
    text
}

/// Imports into a run, and opens it again.
fn imported(bench: &mut Bench, text: &str, check_only: bool) -> Result<u64, Error> {
    let header = bench.header.clone();
    let imported = import(Cursor::new(text), bench.store(), &header, check_only);
    bench.crash();
    imported
}

#[test]
fn a_run_goes_from_each_store_to_each() {
    for from in KINDS {
        let mut old = full(from);
        let text = exported(&mut old);
        let before = said(&mut old);
        for to in KINDS {
            let mut new = Bench::new(to);
            let jobs = imported(&mut new, &text, true).unwrap();
            assert_eq!(new.header.seeding, Seeding::No, "it was only checked");
            assert_eq!(imported(&mut new, &text, false).unwrap(), jobs);
            assert_eq!(said(&mut new), before);
            assert_eq!(new.header.seeding, Seeding::Done);
            assert!(new.header.fresh.by_state.iter().all(|n| *n == 0));
            assert!(new.store().moving().unwrap().is_empty(), "all of them are found in their lines");
            for record in pages(new.store()) {
                let line = line(new.store(), record.job.state, record.job.status);
                assert!(line.iter().any(|other| other.job.id == record.job.id));
                if let Some((parent, n)) = record.job.parent {
                    assert_eq!(new.store().child(parent, n).unwrap(), Some(record.job.id));
                }
            }
            let error = imported(&mut new, &text, false).unwrap_err();
            assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
        }
    }
}

#[test]
fn a_kept_key_is_taken_in_the_new_store_too() {
    let text = exported(&mut full(KINDS[0]));
    for to in KINDS {
        let mut new = Bench::new(to);
        imported(&mut new, &text, false).unwrap();
        let jobs = pages(new.store());
        let mut record = jobs.last().unwrap().clone();
        let taken = jobs.iter().find_map(|record| new.store().once(record.job.id).unwrap()).unwrap();
        record.job.id = JobId(5_000);
        record.job.state = taken.state;
        record.job.parent = None;
        let mut batch = Batch::new(new.header.next);
        batch.added.push(New { record, once: Some(taken.key) });
        assert_eq!(new.store().commit(&batch).unwrap().refused, [JobId(5_000)]);
    }
}

/// Replaces a text in one line of an import, and gives what is said of it.
fn wrong(line: usize, from: &str, to: &str) -> String {
    let head = r#"{"jorb":1,"workflow":"Flow","seeding":"done","overall":"all","jobs":3}"#;
    let lines = [
        head,
        r#"{"workflow":"Flow","version":1,"id":0,"state":"Done","context":{"text":"","n":0},"kicked":1}"#,
        r#"{"id":1,"parent":{"job":0,"n":0},"state":"Build","data":{"tree":"t"},"context":{"text":"","n":0}}"#,
        r#"{"id":4,"state":"Edit","context":{"text":"","n":0},"once":{"state":"Edit","key":"k"}}"#,
    ];
    let mut lines = lines.map(str::to_owned);
    assert!(lines[line - 1].contains(from));
    lines[line - 1] = lines[line - 1].replacen(from, to, 1);
    let text = lines.join("\n");
    let mut said = String::new();
    for to in KINDS {
        let mut bench = Bench::new(to);
        let before = bench.tell();
        let Err(error) = imported(&mut bench, &text, false) else {
            return "nothing".into();
        };
        assert_eq!(bench.tell(), before, "nothing was changed");
        assert!(matches!(error, Error::Import { .. }), "{error}");
        assert!(said.is_empty() || said == error.to_string());
        said = error.to_string();
    }
    said
}

#[test]
fn each_line_is_checked_before_anything_is_made() {
    assert_eq!(wrong(1, "Flow", "Flow"), "nothing");
    for (line, from, to, says) in [
        (1, "Flow", "Crawl", "is a run of workflow `Crawl`, not of `Flow`"),
        (
            1,
            "\"jorb\":1",
            "\"jorb\":9,\"new\":1",
            "has format 9, this version of jorb knows formats up to 3; upgrade jorb",
        ),
        (1, "\"jorb\":1", "\"jorb\":0", "has format 0"),
        (2, "\"version\":1", "\"version\":9", "has format 9"),
        (1, "\"all\"", "[1]", "the overall context"),
        (1, "done", "begun", "not seeded to its end"),
        (1, "{", "", "not the start of an export"),
        (2, "\"Flow\"", "\"Crawl\"", "job 0 is of workflow `Crawl`"),
        (2, "\"id\":0,", "", "the job has no id"),
        (2, "Done", "Don", "did you mean `Done`?"),
        (3, "\"n\":0}}", "\"n\":\"x\"}}", "job 1: saved text does not fit"),
        (3, "{\"tree\":\"t\"}", "{}", "missing field `tree`"),
        (3, "\"job\":0", "\"job\":2", "its parent, job 2, is not there"),
        (3, "\"n\":0", "\"n\":1", "job 1 is kick 1 of job 0, which kicked only 1"),
        (3, "\"id\":1", "\"id\":0", "another job has the id 0"),
        (4, "\"id\":4", "\"id\":1", "another job has the id 1"),
        (4, "\"id\":4", "\"id\":4,\"parent\":{\"job\":0,\"n\":0}", "another job is kick 0 of job 0"),
        (4, "}}", "}", "EOF while parsing"),
    ] {
        let said = wrong(line, from, to);
        assert!(said.contains(says), "{said}");
        assert!(said.contains(&format!("line {line}: ")) && said.ends_with("nothing was imported"), "{said}");
    }
}

#[test]
fn two_jobs_with_one_key_are_refused() {
    let said = wrong(3, "\"context\"", "\"once\":{\"state\":\"Edit\",\"key\":\"k\"},\"context\"");
    assert_eq!(said, "line 4: job 4: another job of `Edit` has the key `k`; nothing was imported");
}

#[test]
fn an_export_that_was_cut_is_seen() {
    let text = exported(&mut full(KINDS[0]));
    let cut = &text[..=text.trim_end().rfind('\n').unwrap()];
    let error = imported(&mut Bench::new(KINDS[0]), cut, false).unwrap_err();
    assert!(error.to_string().contains("the file ends after"), "{error}");
}

type MakeStore = fn(&std::path::Path) -> BoxStore<Round>;

const STORES: [MakeStore; 3] = [
    |_| Box::new(MemoryStore::new()),
    |folder| Box::new(JsonStore::at(folder.join("round.json"))),
    |folder| Box::new(SqliteStore::at(folder.join("round.jorb"))),
];

mod long {
    use jorb::prelude::*;

    /// Goes round and round, and stumbles every second time.
    #[workflow(job = u32)]
    #[derive(Debug, Clone)]
    pub(crate) enum Round {
        #[state(initial, next(Run, Done))]
        Run,
        #[state(terminal)]
        Done,
    }

    #[state(retries = 1, backoff = "1ms..1ms")]
    async fn run(_: round::Run, cx: &mut Cx<Round>) -> Outcome<round::Run> {
        if cx.attempt() == 1 && cx.job.is_multiple_of(2) {
            Err("stumbled")?;
        }
        cx.job += 1;
        Ok(if cx.job < 300 { Next::to(round::Run) } else { Next::to(round::Done) })
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_kept_is_still_counted_elsewhere() {
    let counted = |run: &mut Run<Round>| {
        let story = run.job(0).unwrap().story;
        let dropped = &story.dropped[0];
        assert!(
            story.lines.len() <= 72 && story.errors.len() <= 72 && dropped.lines > 0 && dropped.errors > 0
        );
        (story.lines.len() as u64 + dropped.lines, story.errors.len() as u64 + dropped.errors)
    };
    for from in STORES {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run::<Round>::open(from(folder.path())).unwrap();
        run.seed((), |seeds| seeds.add(Kick::new(round::Run, 0))).unwrap();
        let _ = Processor::new(()).exec(&mut run).await.unwrap();
        assert_eq!(counted(&mut run), (300, 150));
        let mut lines = Vec::new();
        run.export(&mut lines).unwrap();
        for to in STORES.into_iter().skip(1) {
            let folder = tempfile::tempdir().unwrap();
            Run::<Round>::import(to(folder.path()), Cursor::new(&lines)).unwrap();
            assert_eq!(counted(&mut Run::<Round>::open(to(folder.path())).unwrap()), (300, 150));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_has_driven_goes_on_elsewhere() {
    for from in STORES {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run::<Round>::open(from(folder.path())).unwrap();
        run.seed((), |seeds| seeds.extend((0..20).map(|n| Kick::new(round::Run, 290 + n % 9)))).unwrap();
        let mut lines = Vec::new();
        run.export(&mut lines).unwrap();
        for to in STORES.into_iter().skip(1) {
            let folder = tempfile::tempdir().unwrap();
            Run::<Round>::import(to(folder.path()), Cursor::new(&lines)).unwrap();
            let mut run = Run::<Round>::open(to(folder.path())).unwrap();
            let summary = Processor::new(()).exec(&mut run).await.unwrap();
            assert_eq!((summary.jobs("Done"), summary.is_complete()), (20, true));
        }
    }
}
