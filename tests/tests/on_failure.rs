//! Where a job goes that failed for good.
use std::{sync::Arc, time::Duration};

use jorb::{
    Clock, Ending, Failed, Kick, Processor, Run, Status,
    prelude::*,
    store::{Batch, BoxStore},
};
use jorb_tests::{
    START,
    lab::Lab,
    spy::{Spy, Watch},
    stores::Kind,
};

/// How a step fails, each time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum How {
    Error,
    Fatal,
    Unworthy,
    Panic,
    Hang,
    Throttled,
    /// What is made of it panics.
    Trap,
    /// What is made of it cannot be saved.
    Infinite,
    /// The context that it leaves cannot be saved.
    Nan,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Note {
    tries: u32,
    ratio: f64,
}

#[workflow(app = Lab, job = Note)]
#[derive(Debug, Clone, PartialEq)]
enum Lost {
    #[state(initial, next(Done), on_failure(Gone))]
    Fetch { how: How, text: Arc<str> },
    /// There are two places to try.
    #[state(initial, next(Done), on_failure(Second))]
    First { url: String },
    #[state(next(Done), on_failure(Gone))]
    Second { url: String, why: String },
    #[state(terminal)]
    Done,
    #[state(terminal)]
    Gone { text: String, why: String, attempts: u32, ratio: f64 },
}

impl From<Failed<lost::Fetch>> for lost::Gone {
    fn from(Failed { state: lost::Fetch { how, text }, error, attempts, .. }: Failed<lost::Fetch>) -> Self {
        assert_ne!(how, How::Trap, "nobody knows what to do");
        let ratio = if how == How::Infinite { f64::INFINITY } else { 0.5 };
        lost::Gone { text: text.to_string(), why: error, attempts, ratio }
    }
}

impl From<Failed<lost::First>> for lost::Second {
    fn from(failed: Failed<lost::First>) -> Self {
        lost::Second { url: failed.state.url, why: failed.error }
    }
}

impl From<Failed<lost::Second>> for lost::Gone {
    fn from(failed: Failed<lost::Second>) -> Self {
        lost::Gone { text: failed.state.url, why: failed.error, attempts: failed.attempts, ratio: 0.0 }
    }
}

#[state(
    concurrency = 9, retries = 2, backoff = "1s..1s", timeout = "5s", give_up_after = "1m",
    retry_if = |error| !error.is::<std::fmt::Error>()
)]
async fn fetch(lost::Fetch { how, .. }: lost::Fetch, cx: &mut Cx<Lost>) -> Outcome<lost::Fetch> {
    let _inside = cx.app.enter("Fetch", cx);
    cx.job.tries += 1;
    match how {
        How::Error | How::Trap | How::Infinite => Err(Fault::retry(format!("no {}", cx.attempt()))),
        How::Fatal => Err(Fault::fatal("never")),
        How::Unworthy => Err(std::fmt::Error)?,
        How::Panic => panic!("no"),
        How::Hang => std::future::pending().await,
        How::Throttled => Err(Fault::throttled(Duration::from_secs(25))),
        How::Nan => {
            cx.job.ratio = f64::NAN;
            Err(Fault::fatal("never"))
        }
    }
}

#[state(concurrency = 2)]
async fn first(_: lost::First) -> Outcome<lost::First> {
    Err(Fault::retry("moved away"))
}

#[state(retries = 1)]
async fn second(lost::Second { url, why }: lost::Second) -> Outcome<lost::Second> {
    assert_eq!(why, "moved away");
    if url == "/good" { Ok(Next::to(lost::Done)) } else { Err(Fault::retry("nor here")) }
}

/// Sees whether an error that leads somewhere and its move are committed together.
#[derive(Default)]
struct Together {
    moved: u64,
}

impl Watch<Lost> for Together {
    fn before(&mut self, batch: &Batch<Lost>) -> Result<(), jorb::Error> {
        for change in &batch.changes {
            let (Some(line), Some(error)) = (&change.line, &change.error) else { continue };
            assert_eq!((line.step, line.attempt, line.at), (error.step, error.attempt, error.at));
            assert_eq!(line.from, error.state);
            assert!(change.kicks.is_empty());
            self.moved += 1;
        }
        Ok(())
    }
}

fn note() -> Note {
    Note { tries: 0, ratio: 0.0 }
}

fn seeded(store: BoxStore<Lost>, hows: &[How]) -> (Run<Lost>, Spy<Lost, Together>) {
    let spy = Spy::watched(store, Together::default());
    let mut run = Run::open(spy.clone()).unwrap();
    let fetch = |how: &How| Kick::new(lost::Fetch { how: *how, text: "a page".into() }, note());
    run.seed((), |jobs| jobs.extend(hows.iter().map(fetch))).unwrap();
    (run, spy)
}

fn processor(lab: &Lab) -> Processor<Lost> {
    Processor::new(lab.clone()).clock(Clock::starting_at(START))
}

#[tokio::test(start_paused = true)]
async fn a_job_that_failed_for_good_moves_on_with_its_state_and_its_error() {
    // How, attempts, errors, tries that the context knows; and the last error.
    let rows = [
        (How::Error, 3, 3, 3, "no 3"),
        (How::Fatal, 1, 1, 1, "never"),
        (How::Unworthy, 1, 1, 1, "an error occurred when formatting an argument"),
        (How::Panic, 3, 3, 0, "panicked at tests/tests/on_failure.rs:"),
        (How::Hang, 3, 3, 0, "timed out: no result after 5s"),
        (How::Throttled, 1, 1, 3, "throttled; given up after 1m"),
    ];
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let (mut run, spy) = seeded(kind.at(folder.path()), &rows.map(|(how, ..)| how));
        // None of them is parked, even for a moment.
        let summary = processor(&Lab::default()).max_parked(0).exec(&mut run).await.unwrap();
        assert_eq!((summary.ending, summary.parked()), (Ending::Complete, 0), "{kind:?}");
        assert_eq!((summary.jobs("Gone"), summary.moves, summary.errors), (6, 6, 12), "{kind:?}");
        assert_eq!(spy.watch().moved, 6, "{kind:?}");
        for (id, (how, attempts, errors, tries, why)) in (0..).zip(rows) {
            let job = run.job(id).unwrap();
            let Lost::Gone { text, why: said, attempts: made, ratio: _ } = job.load_state().unwrap() else {
                panic!("{kind:?} {how:?}")
            };
            assert_eq!((&*text, made), ("a page", attempts), "{kind:?} {how:?}");
            assert_eq!(job.load_context().unwrap().tries, tries, "{kind:?} {how:?}");
            let story = &job.story;
            let [line] = &story.lines[..] else { panic!("{kind:?} {how:?}") };
            assert_eq!(
                (&*line.from, &*line.to, line.attempt),
                ("Fetch", "Gone", attempts),
                "{kind:?} {how:?}"
            );
            assert_eq!(story.errors.len(), errors, "{kind:?} {how:?}");
            let last = story.errors.last().unwrap();
            assert_eq!((&said, &*last.state), (&last.error, "Fetch"), "{kind:?} {how:?}");
            assert!(said.starts_with(why), "{kind:?} {how:?}: {said}");
            assert_eq!((job.step(), job.attempt()), (1, 1), "{kind:?} {how:?}");
        }
        run.close().unwrap();
        let all = spy.jobs();
        assert!(all.iter().all(|record| record.job.status == Status::Ended && record.job.began.is_none()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_go_there_is_parked_and_says_why() {
    let rows = [
        (How::Trap, 3, "no 3; and `on_failure` came to nothing: panicked at tests/tests/on_failure.rs:"),
        (How::Infinite, 3, "no 3; and `on_failure` came to nothing: "),
        (How::Nan, 1, ""),
    ];
    for kind in Kind::DURABLE {
        let folder = tempfile::tempdir().unwrap();
        let (mut run, spy) = seeded(kind.at(folder.path()), &rows.map(|(how, ..)| how));
        let summary = processor(&Lab::default()).exec(&mut run).await.unwrap();
        assert_eq!((summary.parked(), summary.jobs("Fetch"), summary.moves), (3, 3, 0), "{kind:?}");
        assert_eq!(spy.watch().moved, 0, "{kind:?}");
        for (id, (how, attempts, why)) in (0..).zip(rows) {
            let job = run.job(id).unwrap();
            assert_eq!((job.story.errors.len(), job.story.lines.len()), (attempts, 0), "{kind:?} {how:?}");
            let last = &job.story.errors.last().unwrap().error;
            let field = if how == How::Trap { "nobody knows what to do" } else { "`ratio`" };
            assert!(last.starts_with(why) && last.contains(field), "{kind:?} {how:?}: {last}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_has_nothing_to_hand_over() {
    let folder = tempfile::tempdir().unwrap();
    let (run, spy) = seeded(Kind::Sqlite.at(folder.path()), &[How::Fatal, How::Fatal, How::Fatal]);
    drop((run, spy));
    let db = rusqlite::Connection::open(folder.path().join("run.jorb")).unwrap();
    db.execute_batch(
        r#"UPDATE job SET data = '{"how":"Else","text":""}' WHERE id = 0;
           UPDATE job SET context = '{"tries":"many"}' WHERE id = 1;"#,
    )
    .unwrap();
    drop(db);
    let mut run = Run::open(Kind::Sqlite.at::<Lost>(folder.path())).unwrap();
    let summary = processor(&Lab::default()).exec(&mut run).await.unwrap();
    assert_eq!((summary.parked(), summary.jobs("Gone")), (2, 1));
    for id in [0, 1] {
        let error = &run.job(id).unwrap().story.errors[0].error;
        assert!(error.contains("does not fit") && !error.contains("came to nothing"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_it_goes_it_has_all_its_attempts() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run::open(kind.at(folder.path())).unwrap();
        let first = |url: &str| Kick::new(lost::First { url: url.into() }, note());
        run.seed((), |jobs| jobs.extend(["/good", "/bad"].map(first))).unwrap();
        let summary = processor(&Lab::default()).exec(&mut run).await.unwrap();
        assert_eq!((summary.jobs("Done"), summary.jobs("Gone"), summary.errors), (1, 1, 4), "{kind:?}");
        let job = run.job(1).unwrap();
        let gone = Lost::Gone { text: "/bad".into(), why: "nor here".into(), attempts: 2, ratio: 0.0 };
        assert_eq!(job.load_state().unwrap(), gone, "{kind:?}");
        let way: Vec<_> =
            job.story.lines.iter().map(|line| (line.step, &*line.from, &*line.to, line.attempt)).collect();
        assert_eq!(way, [(0, "First", "Second", 1), (1, "Second", "Gone", 2)], "{kind:?}");
    }
}

/// A store whose commits fail from the `n`th on.
struct Failing(u64);

impl Watch<Lost> for Failing {
    fn before(&mut self, _: &Batch<Lost>) -> Result<(), jorb::Error> {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 { Err(jorb_tests::spy::disk_full()) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_leaves_it_before_the_error_or_behind_the_move() {
    for kind in Kind::DURABLE {
        let mut seen = [false; 2];
        for n in 3..20 {
            let folder = tempfile::tempdir().unwrap();
            let spy = Spy::watched(kind.at(folder.path()), Failing(n));
            let mut run = Run::<Lost>::open(spy.clone()).unwrap();
            let fetch = Kick::new(lost::Fetch { how: How::Fatal, text: "a page".into() }, note());
            let begun = run.seed((), |jobs| jobs.add(fetch)).is_ok();
            let ended = begun && processor(&Lab::default()).exec(&mut run).await.is_ok();
            drop((run, spy));
            if !begun {
                continue;
            }
            let mut run = Run::<Lost>::open(kind.at(folder.path())).unwrap();
            let job = run.job(0).unwrap();
            let there = usize::from(job.state_name() == "Gone");
            assert_eq!((job.story.errors.len(), job.story.lines.len()), (there, there), "{kind:?} {n}");
            seen[there] = true;
            let summary = processor(&Lab::default()).exec(&mut run).await.unwrap();
            assert_eq!(summary.jobs("Gone"), 1, "{kind:?} {n}");
            if ended {
                break;
            }
        }
        assert_eq!(seen, [true; 2], "{kind:?}");
    }
}
