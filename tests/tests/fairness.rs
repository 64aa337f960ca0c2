//! Hot states keep nobody waiting: when a job of a cold state becomes ready, a bounded number of steps starts in all
//! others before its own does, however many jobs wait there.
use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use jorb::{
    Clock, Ending, Error, Initial, JobId, Processor, Run, Timestamp,
    prelude::*,
    store::{Batch, Committed},
};
use jorb_tests::{
    START,
    spy::{Spy, Watch},
    stores::Kind,
};
use tokio::sync::Semaphore;

/// As the processor's: steps that may be on their way to the store.
const UNCOMMITTED: u64 = 16 * 1024;
/// So many steps start until the engine hears of the commit that made a job ready, and again so many until its state
/// has had its turn.
const BOUND: u64 = 2 * UNCOMMITTED;

/// Steps of a hot job.
const STEPS: u32 = 8;
/// Enough to fill up what may be uncommitted in one turn of each.
const SLOTS: usize = 200;
/// Hot steps from one cold job to the next, so that none waits for another.
const EVERY: u64 = 20_000;
/// Cold jobs that the store has.
const COLD: u64 = 5;

/// The cold states are first and last in each list that the engine keeps.
#[workflow(app = Seen, job = u32)]
#[derive(Debug, Clone)]
enum Life {
    #[state(next(Done))]
    ColdFirst,
    #[state(initial, next(Two), kick(ColdLast))]
    One,
    #[state(next(Three), kick(ColdLast))]
    Two,
    #[state(next(Four), kick(ColdLast))]
    Three,
    #[state(next(One, Done), kick(ColdLast))]
    Four,
    #[state(next(Done))]
    ColdLast,
    #[state(initial, next(ColdFirst, One, Two))]
    Nap,
    #[state(terminal)]
    Done,
}

/// What is seen of a run.
#[derive(Clone, Default)]
struct Seen {
    /// Steps that started in hot states.
    hot: Arc<AtomicU64>,
    /// How many, when a cold job was ready.
    ready: Arc<Mutex<HashMap<JobId, u64>>>,
    /// How many between then and its start.
    between: Arc<Mutex<Vec<u64>>>,
}

impl Seen {
    fn cold_starts(&self, job: JobId) {
        let ready = self.ready.lock().unwrap().get(&job).copied().unwrap_or(0);
        self.between.lock().unwrap().push(self.hot.load(SeqCst) - ready);
    }

    fn check(&self, kind: Kind, jobs: u64) {
        let between = self.between.lock().unwrap();
        assert_eq!(between.len() as u64, jobs, "{kind:?}");
        assert!(between.iter().all(|steps| *steps <= BOUND), "{kind:?}: {between:?}");
    }
}

impl Watch<Life> for Seen {
    fn after(&mut self, batch: &Batch<Life>, _: &Committed<Life>) -> Result<(), Error> {
        let hot = self.hot.load(SeqCst);
        let kicks = batch.changes.iter().flat_map(|change| &change.kicks);
        self.ready.lock().unwrap().extend(kicks.map(|new| (new.record.job.id, hot)));
        Ok(())
    }
}

/// Sends the jobs to three lines in the store.
#[state(concurrency = SLOTS)]
async fn nap(_: life::Nap, cx: &mut Cx<Life>) -> Outcome<life::Nap> {
    let minute = Duration::from_secs(60);
    Ok(match cx.id().0 {
        0..COLD => Next::to(life::ColdFirst).after(minute),
        n if n % 2 == 0 => Next::to(life::One).after(minute),
        _ => Next::to(life::Two).after(minute),
    })
}

#[state]
async fn cold_first(_: life::ColdFirst, cx: &mut Cx<Life>) -> Outcome<life::ColdFirst> {
    cx.app.cold_starts(cx.id());
    Ok(Next::to(life::Done))
}

#[state]
async fn cold_last(_: life::ColdLast, cx: &mut Cx<Life>) -> Outcome<life::ColdLast> {
    cx.app.cold_starts(cx.id());
    Ok(Next::to(life::Done))
}

/// A hot step, which makes a cold job now and then.
fn hot(cx: &mut Cx<Life>) -> Option<Kick<life::ColdLast>> {
    cx.job += 1;
    let n = cx.app.hot.fetch_add(1, SeqCst);
    (n % EVERY == EVERY / 2).then(|| Kick::new(life::ColdLast, 0))
}

#[state(concurrency = SLOTS)]
async fn one(_: life::One, cx: &mut Cx<Life>) -> Outcome<life::One> {
    let cold = hot(cx);
    Ok(Next::to(life::Two).kick(cold))
}

#[state(concurrency = SLOTS)]
async fn two(_: life::Two, cx: &mut Cx<Life>) -> Outcome<life::Two> {
    let cold = hot(cx);
    Ok(Next::to(life::Three).kick(cold))
}

#[state(concurrency = SLOTS)]
async fn three(_: life::Three, cx: &mut Cx<Life>) -> Outcome<life::Three> {
    let cold = hot(cx);
    Ok(Next::to(life::Four).kick(cold))
}

#[state(concurrency = SLOTS)]
async fn four(_: life::Four, cx: &mut Cx<Life>) -> Outcome<life::Four> {
    let cold = hot(cx);
    Ok(if cx.job < STEPS { Next::to(life::One).kick(cold) } else { Next::to(life::Done).kick(cold) })
}

fn seeded<S: Initial<Workflow = Life>>(
    kind: Kind,
    folder: &Path,
    jobs: u64,
    state: fn() -> S,
) -> (Run<Life>, Seen) {
    let seen = Seen::default();
    let mut run = Run::open(Spy::watched(kind.at(folder), seen.clone())).unwrap();
    run.seed((), |seeds| seeds.extend((0..jobs).map(|_| Kick::new(state(), 0)))).unwrap();
    (run, seen)
}

#[tokio::test(start_paused = true)]
async fn a_cold_job_that_becomes_ready_starts_soon() {
    for (kind, jobs) in [(Kind::Memory, 100_000), (Kind::Sqlite, 50_000)] {
        let folder = tempfile::tempdir().unwrap();
        let (mut run, seen) = seeded(kind, folder.path(), jobs, || life::One);
        let _ = Processor::new(seen.clone()).exec(&mut run).await.unwrap();
        let steps = jobs * u64::from(STEPS);
        assert_eq!(seen.hot.load(SeqCst), steps);
        seen.check(kind, (steps + EVERY / 2) / EVERY);
    }
}

#[tokio::test(start_paused = true)]
async fn cold_jobs_that_wait_in_the_store_are_read_soon() {
    for (kind, jobs) in [(Kind::Memory, 20_000), (Kind::Sqlite, 20_000)] {
        let folder = tempfile::tempdir().unwrap();
        let (mut run, seen) = seeded(kind, folder.path(), jobs, || life::Nap);
        let mut processor = Processor::new(seen.clone()).clock(Clock::starting_at(START));
        let handle = processor.handle();
        handle.hold::<life::ColdFirst>();
        handle.hold::<life::One>();
        handle.hold::<life::Two>();
        let _ = processor.exec(&mut run).await.unwrap();
        assert_eq!(seen.hot.load(SeqCst), 0);
        handle.release::<life::ColdFirst>();
        handle.release::<life::One>();
        handle.release::<life::Two>();
        let an_hour_later = Clock::starting_at(Timestamp(START.0 + 3_600_000));
        let _ = processor.clock(an_hour_later).exec(&mut run).await.unwrap();
        let steps = seen.hot.load(SeqCst);
        seen.check(kind, COLD + (steps + EVERY / 2) / EVERY);
    }
}

/// Threads that wait until somebody says that it is enough.
#[workflow(app = Hall)]
#[derive(Debug, Clone)]
enum Talk {
    #[state(initial, next(Done))]
    Hear,
    /// Says it, when enough hear it.
    #[state(initial, next(Said))]
    Say { ears: u32 },
    #[state(next(Done))]
    Said,
    #[state(terminal)]
    Done,
}

#[derive(Clone)]
struct Hall {
    ears: Arc<Semaphore>,
    said: Arc<(Mutex<bool>, Condvar)>,
}

impl Hall {
    fn new() -> Self {
        Hall { ears: Arc::new(Semaphore::new(0)), said: Arc::default() }
    }

    fn say(&self) {
        *self.said.0.lock().unwrap() = true;
        self.said.1.notify_all();
    }
}

#[state(concurrency = 600)]
fn hear(_: talk::Hear, cx: &mut Cx<Talk>) -> Outcome<talk::Hear> {
    let (said, told) = &*cx.app.said;
    cx.app.ears.add_permits(1);
    drop(told.wait_while(said.lock().unwrap(), |said| !*said).unwrap());
    Ok(Next::to(talk::Done))
}

#[state]
async fn say(state: talk::Say, cx: &mut Cx<Talk>) -> Outcome<talk::Say> {
    cx.app.ears.acquire_many(state.ears).await?.forget();
    Ok(Next::to(talk::Said))
}

#[state]
async fn said(_: talk::Said, cx: &mut Cx<Talk>) -> Outcome<talk::Said> {
    cx.app.say();
    Ok(Next::to(talk::Done))
}

/// Whoever waits for so long waits for ever.
const LONG: Duration = Duration::from_secs(20);

/// What `exec` gives, unless it hangs: then the threads are let go, or the test would.
async fn ends(run: &mut Run<Talk>, hall: &Hall, mut processor: Processor<Talk>) -> Option<Ending> {
    let summary = tokio::time::timeout(LONG, processor.exec(run)).await;
    hall.say();
    Some(summary.ok()?.unwrap().ending)
}

fn hearing(folder: &Path, ears: u32) -> Run<Talk> {
    let mut run = Run::open(Kind::Sqlite.at(folder)).unwrap();
    run.seed((), |jobs| {
        jobs.add(Kick::new(talk::Say { ears }, ()))?;
        jobs.extend((0..600).map(|_| Kick::new(talk::Hear, ())))
    })
    .unwrap();
    run
}

#[tokio::test]
async fn plain_functions_leave_the_store_a_thread() {
    let (folder, hall) = (tempfile::tempdir().unwrap(), Hall::new());
    let mut run = hearing(folder.path(), 500);
    let processor = Processor::new(hall.clone());
    assert_eq!(ends(&mut run, &hall, processor).await, Some(Ending::Complete));
}

#[tokio::test]
async fn plain_functions_that_wait_for_a_thread_can_be_stopped() {
    let (folder, hall) = (tempfile::tempdir().unwrap(), Hall::new());
    let mut run = hearing(folder.path(), 600);
    let processor = Processor::new(hall.clone());
    let (handle, ears) = (processor.handle(), hall.ears.clone());
    let stop = async {
        // As many as may run: the others, and who waits for them, would wait for ever.
        ears.acquire_many(500).await.unwrap().forget();
        handle.stop_now();
    };
    let (ending, ()) = tokio::join!(ends(&mut run, &hall, processor), stop);
    assert_eq!(ending, Some(Ending::Stopped));
}
