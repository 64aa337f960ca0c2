//! Invariants of DESIGN section 4 that need a case of their own; `model.rs` and `crash.rs` attack 1 to 7 at random,
//! `conformance_faults.rs` has 8, `reduce.rs` 12.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use jorb::{
    Clock, Ending, Error, Event, Handle, Initial, Listener, MemoryStore, Overview, Processor, Run, Status,
    Summary, Timestamp,
    prelude::*,
    store::{Batch, BoxStore},
};
use jorb_tests::{
    START,
    lab::Lab,
    spy::{Spy, Watch, disk_full},
    stores::Kind,
};
use tokio::time::{Instant, sleep};

const HOUR: Duration = Duration::from_secs(3600);

#[workflow(app = Lab, job = u32)]
#[derive(Debug, Clone)]
enum Steps {
    /// Kicks one with and one without a key, changes its context, moves.
    #[state(initial, next(Fork, Late), kick(Leaf))]
    Fork,
    /// An hour later.
    #[state(initial, next(Done))]
    Late,
    #[state(initial, next(Late))]
    Later,
    /// Slowly limited: saved before each start.
    #[state(initial, next(Done))]
    Slow,
    /// Fast: drained after a crash.
    #[state(initial, next(Done))]
    Quick,
    #[state(initial, next(Done))]
    Fails,
    #[state(terminal)]
    Leaf,
    #[state(terminal)]
    Done,
}

#[state(concurrency = 2)]
async fn fork(_: steps::Fork, cx: &mut Cx<Steps>) -> Outcome<steps::Fork> {
    let _inside = cx.app.enter("Fork", cx);
    cx.job += 1;
    let leaf = || Kick::new(steps::Leaf, cx.job);
    let kicks = [leaf().once(format!("leaf {}", cx.job)), leaf()];
    Ok(if cx.job < 5 { Next::to(steps::Fork).kick(kicks) } else { Next::to(steps::Late).kick(kicks) })
}

#[state(concurrency = 2)]
async fn late(_: steps::Late, cx: &mut Cx<Steps>) -> Outcome<steps::Late> {
    let _inside = cx.app.enter("Late", cx);
    Ok(Next::to(steps::Done))
}

#[state(concurrency = 2)]
async fn later(_: steps::Later) -> Outcome<steps::Later> {
    Ok(Next::to(steps::Late).after(HOUR))
}

#[state(concurrency = 4, rate = "2/s", burst = 3)]
async fn slow(_: steps::Slow, cx: &mut Cx<Steps>) -> Outcome<steps::Slow> {
    let _inside = cx.app.enter("Slow", cx);
    Ok(Next::to(steps::Done))
}

#[state(concurrency = 4, rate = "50/s", burst = 10)]
async fn quick(_: steps::Quick, cx: &mut Cx<Steps>) -> Outcome<steps::Quick> {
    let _inside = cx.app.enter("Quick", cx);
    Ok(Next::to(steps::Done))
}

#[state(retries = 2)]
async fn fails(_: steps::Fails, cx: &mut Cx<Steps>) -> Outcome<steps::Fails> {
    cx.job += 1;
    Err(Fault::retry("always"))
}

fn seeded<S: Initial<Workflow = Steps>, T: Watch<Steps>>(
    store: BoxStore<Steps>,
    watch: T,
    seeds: impl IntoIterator<Item = S>,
) -> (Run<Steps>, Spy<Steps, T>) {
    let spy = Spy::watched(store, watch);
    let mut run = Run::open(spy.clone()).unwrap();
    run.seed((), |jobs| jobs.extend(seeds.into_iter().map(|s| Kick::new(s, 0)))).unwrap();
    (run, spy)
}

fn memory() -> BoxStore<Steps> {
    Box::new(MemoryStore::new())
}

async fn exec(run: &mut Run<Steps>, lab: &Lab, clock: Clock) -> Result<Summary, Error> {
    Processor::new(lab.clone()).clock(clock).exec(run).await
}

/// Fails at one commit.
struct FailsAt(u64);

impl Watch<Steps> for FailsAt {
    fn before(&mut self, _: &Batch<Steps>) -> Result<(), Error> {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 1 { Err(disk_full()) } else { Ok(()) }
    }
}

/// 1: after a commit that failed, nothing of it is there; after one that did not, all of it. And 4: numbers of kicks
/// and keys are never used twice.
#[tokio::test(start_paused = true)]
async fn a_transition_commits_with_all_that_belongs_to_it() {
    for kind in Kind::ALL {
        for at in 2..14 {
            let folder = tempfile::tempdir().unwrap();
            let (mut run, spy) =
                seeded(kind.at(folder.path()), FailsAt(u64::MAX), [steps::Fork, steps::Fork]);
            spy.watch().0 = at;
            let lab = Lab::default();
            let first = exec(&mut run, &lab, Clock::starting_at(START)).await;
            spy.watch().0 = 0;
            for _ in 0..2 {
                for job in spy.jobs().iter().filter(|r| r.job.parent.is_none()).map(|r| r.job.clone()) {
                    let children =
                        spy.jobs().iter().filter(|r| r.job.parent.is_some_and(|p| p.0 == job.id)).count();
                    let story = spy.story(job.id.0);
                    let forks = job.step.min(5);
                    assert_eq!(job.kicked, 2 * forks, "{kind:?} {at}");
                    assert_eq!(story.lines.len() as u64, job.step, "{kind:?} {at}: history");
                    let context = format!("{:?}", job.context);
                    assert!(kind == Kind::Memory || context == forks.to_string(), "{kind:?} {at}: {context}");
                    assert!((forks..=2 * forks).contains(&(children as u64)), "{kind:?} {at}: {children}");
                }
                let _ = exec(&mut run, &lab, Clock::starting_at(START)).await.unwrap();
            }
            assert!(at > 6 || first.is_err(), "{kind:?} {at}");
            let jobs = spy.jobs();
            let leaves = jobs.iter().filter(|r| r.job.state.name() == "Leaf").count();
            assert_eq!((jobs.len(), leaves), (2 + 15, 15), "10 without a key, 5 keys");
            let mut names: Vec<_> = jobs.iter().filter_map(|r| r.job.parent).map(|(p, n)| (p.0, n)).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), 15, "{kind:?} {at}: a name was used twice");
        }
    }
}

/// Durable before the next attempt: an error costs a commit of its own.
#[tokio::test(start_paused = true)]
async fn each_attempt_is_durable_before_the_next() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let (mut run, spy) = seeded(kind.at(folder.path()), FailsAt(u64::MAX), [steps::Fails]);
        spy.watch().0 = 4; // the second error
        assert!(exec(&mut run, &Lab::default(), Clock::starting_at(START)).await.is_err());
        let job = spy.jobs().remove(0).job;
        assert_eq!((job.attempt, job.errors, job.status), (2, 1, Status::Ready), "{kind:?}");
        let summary = exec(&mut run, &Lab::default(), Clock::starting_at(START)).await.unwrap();
        assert_eq!((summary.errors, summary.parked()), (2, 1), "{kind:?}: the first is not repeated");
        assert_eq!(spy.story(0).errors.iter().map(|e| e.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    }
}

/// 5: across restarts, clean or not.
#[tokio::test(start_paused = true)]
async fn no_window_sees_more_starts_than_its_rate() {
    for clean in [true, false] {
        let clock = Clock::starting_at(START);
        let mut lab = Lab::default();
        for (quick, seconds) in [(false, 30), (true, 3)] {
            lab = Lab::default();
            let spy = Spy::watched(memory(), ());
            let mut run = Run::open(spy.clone()).unwrap();
            run.seed((), |jobs| {
                (0..60).try_for_each(|n| {
                    if quick {
                        jobs.add(Kick::new(steps::Quick, n))
                    } else {
                        jobs.add(Kick::new(steps::Slow, n))
                    }
                })
            })
            .unwrap();
            let end = Instant::now() + Duration::from_secs(seconds);
            let mut nap = 1;
            while Instant::now() < end {
                nap = (nap * 37 + 11) % 700;
                let mut run = Run::open(spy.clone()).unwrap();
                let mut processor = Processor::new(lab.clone()).clock(clock);
                let handle = processor.handle();
                tokio::select! {
                    // Dropping it is how a process dies that has no time for anything.
                    _ = processor.exec(&mut run) => {}
                    () = async {
                        sleep(Duration::from_millis(nap)).await;
                        if clean {
                            handle.stop();
                            sleep(HOUR).await;
                        }
                    } => {}
                }
                // Tasks of a dropped processor end when the runtime gets to it.
                sleep(Duration::from_millis(1)).await;
            }
            let book = lab.book();
            let (state, burst, interval) = if quick { ("Quick", 10, 20) } else { ("Slow", 3, 500) };
            assert!(book.starts(state).len() > 20, "clean {clean}: {} {state}", book.starts(state).len());
            book.check_rate(state, burst, Duration::from_millis(interval));
        }
        drop(lab);
    }
}

/// Counts as listeners are told them, beside those that events and the store give.
#[derive(Clone, Default)]
struct Counter(Arc<Mutex<Counted>>);

type Counted = (BTreeMap<&'static str, i64>, Vec<Overview>);

impl Listener for Counter {
    fn overview(&mut self, overview: &Overview) {
        self.0.lock().unwrap().1.push(overview.clone());
    }
    fn wants_events(&self) -> bool {
        true
    }
    fn event(&mut self, event: &Event) {
        if let Event::Moved { from, to, kicked, .. } = event {
            let counts = &mut self.0.lock().unwrap().0;
            *counts.entry(from).or_default() -= 1;
            *counts.entry(to).or_default() += 1;
            *counts.entry("Leaf").or_default() += i64::try_from(kicked.len()).unwrap();
        }
    }
}

/// Stops while the permit of a start is being saved.
struct Stops(Option<Handle<Steps>>);

impl Watch<Steps> for Stops {
    fn before(&mut self, batch: &Batch<Steps>) -> Result<(), Error> {
        if let Some(handle) = self.0.as_ref().filter(|_| !batch.limiters.is_empty()) {
            handle.stop();
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_after_a_stop() {
    let (mut run, spy) = seeded(memory(), Stops(None), [steps::Slow, steps::Slow]);
    let lab = Lab::default();
    let mut processor = Processor::new(lab.clone());
    spy.watch().0 = Some(processor.handle());
    let summary = processor.exec(&mut run).await.unwrap();
    assert_eq!((summary.ending, lab.book().steps.len()), (Ending::Stopped, 0));
    spy.watch().0 = None;
    assert_eq!(processor.exec(&mut run).await.unwrap().jobs("Done"), 2);
}

/// Holds a state during the last commit.
struct HoldsLate(Option<Handle<Steps>>);

impl Watch<Steps> for HoldsLate {
    fn before(&mut self, batch: &Batch<Steps>) -> Result<(), Error> {
        if let Some(handle) = self.0.as_ref().filter(|_| batch.clean == Some(true)) {
            handle.hold::<steps::Late>();
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_comes_too_late_for_a_run_is_for_the_next_one() {
    let (mut run, spy) = seeded(memory(), HoldsLate(None), [steps::Late]);
    let mut processor = Processor::new(Lab::default());
    spy.watch().0 = Some(processor.handle());
    assert_eq!(processor.exec(&mut run).await.unwrap().jobs("Done"), 1);
    let (mut run, spy) = seeded(memory(), (), [steps::Late]);
    assert_eq!(processor.exec(&mut run).await.unwrap().jobs("Done"), 0);
    assert_eq!(spy.header().held.len(), 1, "the run remembers it");
}

/// 7, for events; `model.rs` has overviews.
#[tokio::test(start_paused = true)]
async fn events_add_up_to_what_the_store_has() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let (mut run, spy) = seeded(kind.at(folder.path()), (), (0..50).map(|_| steps::Fork));
        let counter = Counter::default();
        let mut processor = Processor::new(Lab::default()).listener(counter.clone());
        let _ = processor.exec(&mut run).await.unwrap();
        let (counts, told) = counter.0.lock().unwrap().clone();
        let found =
            |state: &str| i64::try_from(spy.jobs().iter().filter(|r| r.job.state.name() == state).count());
        assert_eq!((counts["Fork"], counts["Late"]), (-50, 0), "{kind:?}");
        assert_eq!((Ok(counts["Leaf"]), Ok(counts["Done"])), (found("Leaf"), found("Done")), "{kind:?}");
        let last = told.last().unwrap();
        assert_eq!(Ok(i64::try_from(last.state("Leaf").unwrap().completed).unwrap()), found("Leaf"));
    }
}

/// 10.
#[test]
fn one_process_per_run() {
    for kind in Kind::DURABLE {
        let folder = tempfile::tempdir().unwrap();
        let (run, spy) = seeded(kind.at(folder.path()), (), [steps::Late]);
        let second = || Run::<Steps>::open(Spy::watched(kind.at(folder.path()), ()));
        match second() {
            Err(Error::InUse { pid, .. }) => assert_eq!(pid, std::process::id(), "{kind:?}"),
            Err(other) => panic!("{kind:?}: {other}"),
            Ok(_) => panic!("{kind:?}: opened twice"),
        }
        assert!(
            Run::<Steps>::read(Spy::watched(kind.at(folder.path()), ())).is_ok(),
            "{kind:?}: looking is free"
        );
        drop((run, spy));
        assert!(second().is_ok(), "{kind:?}");
    }
}

/// 11: what remains of a delay is never more than the delay, and nobody starts early when the clock was set back.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_between_two_processes() {
    let days = |n: u64| n * 24 * 3600 * 1000;
    for (jump, name) in [(START.0 - days(1000), "back"), (START.0, "not"), (START.0 + days(1), "forward")] {
        for kind in Kind::ALL {
            let folder = tempfile::tempdir().unwrap();
            let (mut run, spy) = seeded(kind.at(folder.path()), (), [steps::Later]);
            let lab = Lab::default();
            let began = Instant::now();
            let mut processor = Processor::new(lab.clone()).clock(Clock::starting_at(START));
            let handle = processor.handle();
            let stop = async {
                sleep(HOUR / 4).await;
                handle.stop();
            };
            let (summary, ()) = tokio::join!(processor.exec(&mut run), stop);
            assert_eq!(summary.unwrap().jobs("Late"), 1);
            let stopped = began.elapsed();
            assert!(spy.jobs()[0].job.delay == HOUR);
            let clock = Clock::starting_at(Timestamp(jump + u64::try_from(stopped.as_millis()).unwrap()));
            let summary = exec(&mut run, &lab, clock).await.unwrap();
            assert_eq!((summary.ending, summary.jobs("Done")), (Ending::Complete, 1));
            let waited = lab.book().starts("Late")[0] - began;
            match name {
                "not" => assert_eq!(waited.as_secs(), 3600, "{kind:?}"),
                "back" => assert!(
                    (HOUR..=HOUR + HOUR / 4 + Duration::from_secs(1)).contains(&waited),
                    "{kind:?}: {waited:?}"
                ),
                _ => assert_eq!(waited.as_secs(), stopped.as_secs(), "{kind:?}: it was due"),
            }
        }
    }
}
