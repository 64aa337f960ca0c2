//! Which errors are tried again, for how long, and after which waits.
use std::{error::Error, fmt, iter::successors, time::Duration};

use jorb::{Clock, Ending, JobId, Processor, Run, SqliteStore, Summary, prelude::*};
use jorb_tests::{START, lab::Lab, spy::Spy, stores::Kind};
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);

/// What a service may say.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reply {
    Busy,
    Denied,
    /// `retry_if` cannot bear it.
    Nonsense,
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service says {self:?}")
    }
}

impl Error for Reply {}

/// As what adds context to an error.
#[derive(Debug)]
struct While(&'static str, Reply);

impl fmt::Display for While {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for While {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.1)
    }
}

fn is_passing(error: &(dyn Error + 'static)) -> bool {
    let mut causes = successors(Some(error), |&error| error.source());
    match causes.find_map(|cause| cause.downcast_ref::<Reply>()) {
        Some(Reply::Nonsense) => panic!("what is that"),
        reply => reply == Some(&Reply::Busy),
    }
}

/// What each attempt of a step does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum What {
    Busy,
    Denied,
    Wrapped,
    WrappedDenied,
    Text,
    Nonsense,
    DeniedAfterAll,
    Fatal,
    Panic,
    Hang,
    Throttled,
}

#[workflow(app = Lab, job = u32)]
#[derive(Debug, Clone)]
enum Calls {
    #[state(initial, next(Done))]
    Judged { what: What },
    /// Fails at once, each time.
    #[state(initial, next(Done))]
    Stubborn,
    /// Fails after five minutes.
    #[state(initial, next(Done))]
    Slow,
    #[state(initial, next(Done))]
    Busy,
    #[state(initial, next(Done))]
    Spread,
    #[state(terminal)]
    Done,
}

#[state(concurrency = 20, retries = 2, retry_if = is_passing, backoff = "1s..1s", timeout = "30s")]
async fn judged(calls::Judged { what }: calls::Judged, cx: &mut Cx<Calls>) -> Outcome<calls::Judged> {
    let _inside = cx.app.enter("Judged", cx);
    cx.job += 1;
    match what {
        What::Busy => Err(Reply::Busy)?,
        What::Denied => Err(Reply::Denied)?,
        What::Wrapped => Err(While("calling", Reply::Busy))?,
        What::WrappedDenied => Err(While("calling", Reply::Denied))?,
        What::Text => Err("busy")?,
        What::Nonsense => Err(Reply::Nonsense)?,
        What::DeniedAfterAll => Err(Fault::retry(Reply::Denied).after(MINUTE)),
        What::Fatal => Err(Fault::fatal(Reply::Busy)),
        What::Panic => panic!("denied"),
        What::Hang => std::future::pending().await,
        What::Throttled if cx.job < 5 => Err(Fault::throttled(None)),
        What::Throttled => Ok(Next::to(calls::Done)),
    }
}

#[state(give_up_after = "1h", backoff = "10m..10m")]
async fn stubborn(_: calls::Stubborn, cx: &mut Cx<Calls>) -> Outcome<calls::Stubborn> {
    let _inside = cx.app.enter("Stubborn", cx);
    Err(Fault::retry("no"))
}

#[state(give_up_after = "58m", backoff = "10m..10m")]
async fn slow(_: calls::Slow, cx: &mut Cx<Calls>) -> Outcome<calls::Slow> {
    let _inside = cx.app.enter("Slow", cx);
    sleep(5 * MINUTE).await;
    Err(Fault::retry("no"))
}

#[state(retries = 0, give_up_after = "1h")]
async fn busy(_: calls::Busy, cx: &mut Cx<Calls>) -> Outcome<calls::Busy> {
    let _inside = cx.app.enter("Busy", cx);
    cx.job += 1;
    if cx.job > 9 {
        return Err(Fault::fatal("this goes on for ever"));
    }
    Err(Fault::throttled(20 * MINUTE))
}

#[state(concurrency = 100, retries = 4, backoff = "1s..1h")]
async fn spread(_: calls::Spread, cx: &mut Cx<Calls>) -> Outcome<calls::Spread> {
    let _inside = cx.app.enter("Spread", cx);
    Err(Fault::retry("no"))
}

fn seed<S: jorb::Initial<Workflow = Calls>>(run: &mut Run<Calls>, seeds: impl IntoIterator<Item = S>) {
    run.seed((), |jobs| jobs.extend(seeds.into_iter().map(|s| Kick::new(s, 0)))).unwrap();
}

/// Drives a run from some time after [`START`] on.
async fn exec(lab: &Lab, run: &mut Run<Calls>, since: Duration) -> Summary {
    let processor = Processor::new(lab.clone()).clock(Clock::starting_at(START + since));
    processor.seed(1).exec(run).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn only_errors_that_are_worth_it_are_tried_again() {
    // What, attempts, and the last error.
    let rows = [
        (What::Busy, 3, "the service says Busy"),
        (What::Denied, 1, "the service says Denied"),
        (What::Wrapped, 3, "calling: the service says Busy"),
        (What::WrappedDenied, 1, "calling: the service says Denied"),
        (What::Text, 1, "busy"),
        (What::Nonsense, 3, "the service says Nonsense; and `retry_if` panicked at tests/tests/retries.rs:"),
        (What::DeniedAfterAll, 3, "the service says Denied"),
        (What::Fatal, 1, "the service says Busy"),
        (What::Panic, 3, "panicked at tests/tests/retries.rs:"),
        (What::Hang, 3, "timed out: no result after 30s"),
        (What::Throttled, 5, ""),
    ];
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let spy = Spy::watched(kind.at(folder.path()), ());
        let mut run = Run::open(spy.clone()).unwrap();
        seed(&mut run, rows.map(|(what, ..)| calls::Judged { what }));
        let lab = Lab::default();
        let summary = exec(&lab, &mut run, Duration::ZERO).await;
        assert_eq!((summary.parked(), summary.ended()), (10, 1), "{kind:?}");
        let ran = lab.book().jobs("Judged");
        for (id, (what, attempts, error)) in (0..).zip(rows) {
            assert_eq!(ran.iter().filter(|job| **job == id).count(), attempts, "{kind:?} {what:?}");
            let errors = spy.story(id).errors;
            if what == What::Throttled {
                assert!(errors.is_empty(), "{kind:?} {errors:?}");
                continue;
            }
            assert_eq!(errors.len(), attempts, "{kind:?} {what:?}");
            let last = &errors.last().unwrap().error;
            assert!(last.starts_with(error), "{kind:?} {what:?}: {last}");
            let context = run.job(id).unwrap().load_context().unwrap();
            // What an attempt left is kept, but of those that broke.
            let kept = if matches!(what, What::Panic | What::Hang) { 0 } else { attempts };
            assert_eq!(context as usize, kept, "{kind:?} {what:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_over_all_attempts_and_restarts() {
    for (kind, stop) in Kind::ALL.into_iter().flat_map(|kind| [(kind, None), (kind, Some(35))]) {
        let folder = tempfile::tempdir().unwrap();
        let mut spy = Spy::watched(kind.at(folder.path()), ());
        let mut run = Run::open(spy.clone()).unwrap();
        seed(&mut run, [calls::Stubborn]);
        let lab = Lab::default();
        let began = Some(START);
        if let Some(minutes) = stop {
            let mut processor = Processor::new(lab.clone()).clock(Clock::starting_at(START));
            let handle = processor.handle();
            let stop = async {
                sleep(minutes * MINUTE).await;
                handle.stop();
            };
            let (summary, ()) = tokio::join!(processor.exec(&mut run), stop);
            assert_eq!(summary.unwrap().ending, Ending::Stopped, "{kind:?}");
            drop(run);
            if kind != Kind::Memory {
                drop(spy);
                spy = Spy::watched(kind.at(folder.path()), ());
            }
            assert_eq!(spy.jobs()[0].job.began, began, "{kind:?}");
            run = Run::open(spy.clone()).unwrap();
        }
        let since = stop.unwrap_or(0) * MINUTE;
        let summary = exec(&lab, &mut run, since).await;
        assert_eq!((summary.ending, summary.parked()), (Ending::Complete, 1), "{kind:?}");
        // At 0, 10, .. 60 minutes.
        assert_eq!(lab.book().attempts("Stubborn"), [1, 2, 3, 4, 5, 6, 7], "{kind:?} {stop:?}");
        let errors = run.job(0).unwrap().story.errors;
        assert_eq!((errors.len(), errors[6].at), (7, START + 60 * MINUTE), "{kind:?} {stop:?}");
        run.close().unwrap();
        assert_eq!(spy.jobs()[0].job.began, began, "{kind:?}");

        // Who redrives it gives it as much again.
        let mut run = Run::open(spy.clone()).unwrap();
        run.redrive().retry().unwrap();
        assert_eq!(exec(&lab, &mut run, 3 * 60 * MINUTE).await.parked(), 1);
        assert_eq!(lab.book().attempts("Stubborn").len(), 14, "{kind:?} {stop:?}");
        run.close().unwrap();
        assert_eq!(spy.jobs()[0].job.began, Some(START + 3 * 60 * MINUTE), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_budget_counts_from_the_start_of_the_first_attempt() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run::open(kind.at(folder.path())).unwrap();
        // Alone, it starts after 0, 15, 30 and 45 minutes. After 60, the budget is over, which began with the first start.
        seed(&mut run, [calls::Slow]);
        let lab = Lab::default();
        assert_eq!(exec(&lab, &mut run, Duration::ZERO).await.parked(), 1);
        assert_eq!(lab.book().attempts("Slow"), [1, 2, 3, 4], "{kind:?}");
    }
    // In a line of ten, nobody waits for a first attempt on his own time.
    let mut run = Run::open(Kind::Memory.at("".as_ref())).unwrap();
    seed(&mut run, [(); 10].map(|()| calls::Slow));
    let lab = Lab::default();
    assert_eq!(exec(&lab, &mut run, Duration::ZERO).await.parked(), 10);
    assert_eq!(lab.book().jobs("Slow"), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[tokio::test(start_paused = true)]
async fn throttling_ends_with_the_budget() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run::open(kind.at(folder.path())).unwrap();
        seed(&mut run, [calls::Busy]);
        let lab = Lab::default();
        let summary = exec(&lab, &mut run, Duration::ZERO).await;
        // After 0, 20, 40 and 60 minutes.
        assert_eq!((summary.parked(), summary.errors), (1, 1), "{kind:?}");
        assert_eq!(lab.book().attempts("Busy"), [1, 1, 1, 1], "{kind:?}");
        let job = run.job(0).unwrap();
        let [error] = &job.story.errors[..] else { panic!("{kind:?}") };
        assert_eq!((&*error.error, error.at), ("throttled; given up after 1h", START + 60 * MINUTE));
        assert_eq!(job.load_context().unwrap(), 4, "{kind:?}");
    }
}

/// When attempts of jobs began, in milliseconds.
fn starts(lab: &Lab) -> Vec<(JobId, u32, u128)> {
    let steps = lab.book().steps;
    let first = steps[0].began;
    let mut starts: Vec<_> =
        steps.iter().map(|s| (s.job, s.attempt, s.began.duration_since(first).as_millis())).collect();
    starts.sort_unstable();
    starts
}

#[tokio::test(start_paused = true)]
async fn waits_come_from_the_seed_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut run = Run::open(SqliteStore::at(path("one"))).unwrap();
    seed(&mut run, [(); 50].map(|()| calls::Spread));
    run.close().unwrap();
    SqliteStore::at(path("one")).backup(path("two")).unwrap();
    let drive = async |name: &str, other: Option<u64>| {
        let lab = Lab::default();
        let mut run = Run::<Calls>::open(SqliteStore::at(path(name))).unwrap();
        let processor = Processor::new(lab.clone()).clock(Clock::starting_at(START));
        let mut processor = match other {
            Some(seed) => processor.seed(seed),
            None => processor,
        };
        assert_eq!(processor.exec(&mut run).await.unwrap().parked(), 50);
        starts(&lab)
    };
    SqliteStore::at(path("one")).backup(path("three")).unwrap();
    let (one, two) = (drive("one", None).await, drive("two", None).await);
    assert_eq!(one, two, "the same run, the same waits");
    assert_ne!(one, drive("three", Some(1)).await);

    // All that a wait may be, and nothing else: from the lower bound to twice as much each time.
    let attempt = |n: u32| one.iter().filter(move |(_, attempt, _)| *attempt == n).map(|(.., at)| *at);
    for n in 1..=4 {
        let waits: Vec<_> = attempt(n).zip(attempt(n + 1)).map(|(before, at)| at - before).collect();
        let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        let widest = 1_000 * (1 << n);
        assert!(*least >= 1_000 && *most <= widest + 1, "{n}: {least} .. {most}");
        assert!(most - least > (widest - 1_000) * 8 / 10, "{n}: {least} .. {most}");
    }
}
