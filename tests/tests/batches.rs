//! Several jobs in one step.
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use jorb::{
    Batch, BatchCx, BatchOutcome, BoxError, Clock, Ending, Handle, JobId, Keyed, MemoryStore, Processor, Run,
    Status, Store, Summary, Wait, Weighted, prelude::*,
};
use jorb_tests::spy::Spy;
use tokio::time::{Instant, sleep, timeout};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What is to become of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    name: String,
    cost: u32,
    /// Attempts that fail.
    fails: u32,
    throttles: u32,
    steps: u32,
}

#[workflow(app = Log, job = Row)]
#[derive(Debug, Clone)]
enum Sync {
    /// Batches of 4, which wait 2 s to be full.
    #[state(initial, next(Done))]
    Upload,
    /// The same at once, of those with the same host.
    #[state(initial, next(Done))]
    Fetch,
    /// 2 batches per second, of no more than 10 tokens together.
    #[state(initial, next(Done))]
    Ask,
    /// 10 jobs per second.
    #[state(initial, next(Done))]
    Count,
    /// As `Upload`, on a thread.
    #[state(initial, next(Done))]
    Write,
    /// Goes to `Upload`, one by one.
    #[state(initial, next(Upload))]
    Read,
    /// Comes back once.
    #[state(initial, next(Loop, Done))]
    Loop,
    /// What goes wrong with all.
    #[state(initial, next(Done))]
    Break,
    #[state(terminal)]
    Done,
}

#[limiter(concurrency = 1, keyed)]
struct Host;

impl Keyed<sync::Fetch> for Host {
    fn key(_: &sync::Fetch, row: &Row) -> String {
        row.name.clone()
    }
}

#[limiter(rate = "10/s", burst = 10, weighted)]
struct Tokens;

impl Weighted<sync::Ask> for Tokens {
    fn cost(_: &sync::Ask, row: &Row) -> u32 {
        row.cost
    }
}

/// When a batch started, in ms, of which jobs.
type Started = (u64, Vec<u64>);

#[derive(Clone)]
struct Log {
    began: Instant,
    batches: Arc<Mutex<Vec<Started>>>,
    took: Duration,
    gives: fn(&Log) -> Result<(), BoxError>,
    settles: Option<u32>,
    forges: bool,
    /// Steps whose token was cancelled.
    over: Arc<AtomicU64>,
}

impl Log {
    fn new() -> Self {
        let gives = |_: &Log| Ok(());
        Log {
            began: Instant::now(),
            batches: Arc::default(),
            took: Duration::ZERO,
            gives,
            settles: None,
            forges: false,
            over: Arc::default(),
        }
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    fn enter<S: State<Workflow = Sync>>(&self, batch: &Batch<S>) {
        let jobs = batch.iter().map(|item| item.id().0).collect();
        self.batches.lock().unwrap().push((self.ms(), jobs));
    }

    fn batches(&self) -> Vec<Started> {
        self.batches.lock().unwrap().clone()
    }

    fn sizes(&self) -> Vec<usize> {
        self.batches().iter().map(|(_, jobs)| jobs.len()).collect()
    }
}

fn one<S: State<Workflow = Sync> + jorb::Transition<sync::Done>>(item: &mut jorb::Item<S>) -> Outcome<S> {
    item.job.steps += 1;
    if item.job.steps <= item.job.throttles {
        return Err(Fault::throttled(5 * SECOND));
    }
    if item.job.name == "hopeless" {
        Err("hopeless")?;
    }
    if item.attempt() <= item.job.fails {
        Err("not this one")?;
    }
    Ok(Next::to(sync::Done))
}

#[state(batch(max = 4, wait = "2s"), retries = 1, backoff = "1s..1s")]
async fn upload(batch: Batch<sync::Upload>, cx: &mut BatchCx<Sync>) -> BatchOutcome<sync::Upload> {
    cx.app.enter(&batch);
    sleep(cx.app.took).await;
    Ok(batch.finish(one))
}

#[state(batch(max = 4), concurrency = 8, limits(Host))]
async fn fetch(batch: Batch<sync::Fetch>, cx: &mut BatchCx<Sync>) -> BatchOutcome<sync::Fetch> {
    cx.app.enter(&batch);
    assert!(batch.iter().all(|item| item.job.name == batch.iter().next().unwrap().job.name));
    sleep(cx.app.took).await;
    Ok(batch.finish(one))
}

#[state(batch(max = 8), concurrency = 8, rate = "2/s", limits(Tokens))]
async fn ask(batch: Batch<sync::Ask>, cx: &mut BatchCx<Sync>) -> BatchOutcome<sync::Ask> {
    cx.app.enter(&batch);
    if let Some(actual) = cx.app.settles {
        cx.settle::<Tokens>(actual);
    }
    Ok(batch.finish(one))
}

#[state(batch(max = 5, per_job), rate = "10/s")]
async fn count(batch: Batch<sync::Count>, cx: &mut BatchCx<Sync>) -> BatchOutcome<sync::Count> {
    cx.app.enter(&batch);
    Ok(batch.finish(one))
}

#[state(batch(max = 4, wait = "2s"))]
fn write(batch: Batch<sync::Write>, cx: &mut BatchCx<Sync>) -> BatchOutcome<sync::Write> {
    cx.app.enter(&batch);
    Ok(batch.finish(one))
}

#[state(concurrency = 4)]
async fn read(_: sync::Read, cx: &mut Cx<Sync>) -> Outcome<sync::Read> {
    sleep(cx.app.took * u32::try_from(cx.id().0).unwrap()).await;
    Ok(Next::to(sync::Upload))
}

#[state(batch(max = 2))]
async fn loop_(batch: Batch<sync::Loop>, cx: &mut BatchCx<Sync>) -> BatchOutcome<sync::Loop> {
    cx.app.enter(&batch);
    Ok(batch.finish(|item| {
        item.job.steps += 1;
        Ok(if item.job.steps < 2 { Next::to(sync::Loop) } else { Next::to(sync::Done) })
    }))
}

fn worth(error: &(dyn std::error::Error + 'static)) -> bool {
    error.to_string() != "hopeless"
}

#[state(batch(max = 3), timeout = "5s", retries = 1, backoff = "1s..1s", retry_if = worth)]
async fn break_(
    mut batch: Batch<sync::Break>,
    cx: &mut BatchCx<Sync>,
) -> Result<jorb::Finished<sync::Break>, BoxError> {
    cx.app.enter(&batch);
    batch.iter_mut().for_each(|item| item.job.steps += 100);
    let (token, over) = (cx.cancelled().clone(), cx.app.over.clone());
    tokio::spawn(async move {
        token.cancelled().await;
        over.fetch_add(1, Relaxed);
    });
    if cx.app.forges {
        return Ok(Batch::test([(sync::Break, row("")), (sync::Break, row(""))]).finish(one));
    }
    if batch.iter().all(|item| item.attempt() == 1) {
        (cx.app.gives)(&cx.app)?;
        sleep(cx.app.took).await;
    }
    Ok(batch.finish(one))
}

fn row(name: &str) -> Row {
    Row { name: name.into(), cost: 1, fails: 0, throttles: 0, steps: 0 }
}

/// A run of these jobs, and a clock that starts when they were made.
fn seeded<S: jorb::Initial<Workflow = Sync>>(
    store: impl Store<Sync>,
    jobs: impl IntoIterator<Item = Kick<S>>,
) -> (Run<Sync>, Clock) {
    let mut run = Run::open(store).unwrap();
    run.seed((), |seeds| seeds.extend(jobs)).unwrap();
    let clock = Clock::starting_at(run.job(0).unwrap().ready_at());
    (run, clock)
}

/// Runs these jobs; gives the run as well.
async fn run<S: jorb::Initial<Workflow = Sync>>(
    log: &Log,
    jobs: impl IntoIterator<Item = (S, Row)>,
) -> (Run<Sync>, Summary) {
    let (mut run, clock) =
        seeded(MemoryStore::new(), jobs.into_iter().map(|(state, row)| Kick::new(state, row)));
    let summary = Processor::new(log.clone()).clock(clock).exec(&mut run).await.unwrap();
    (run, summary)
}

fn uploads(n: u64) -> impl Iterator<Item = Kick<sync::Upload>> {
    (0..n).map(|_| Kick::new(sync::Upload, row("")))
}

/// How often each job got an outcome, as its context says.
fn steps(mut run: Run<Sync>) -> Vec<u32> {
    run.jobs().into_iter().map(|job| job.unwrap().load_context().unwrap().steps).collect()
}

fn last_error(run: &mut Run<Sync>, id: u64) -> String {
    run.job(JobId(id)).unwrap().story.errors.pop().unwrap().error
}

#[tokio::test(start_paused = true)]
async fn full_batches_start_at_once_and_the_rest_when_it_has_waited() {
    let log = Log::new();
    let (run, summary) = run(&log, (0..10).map(|_| (sync::Upload, row("")))).await;
    assert_eq!((summary.ending, summary.jobs("Done"), summary.moves), (Ending::Complete, 10, 10));
    assert_eq!(
        log.batches(),
        [(0, vec![0, 1, 2, 3]), (0, vec![4, 5, 6, 7]), (2000, vec![8, 9])],
        "in the order of the line"
    );
    assert_eq!(steps(run), [1; 10]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_starts_when_the_last_one_comes_that_it_waits_for() {
    let log = Log { took: 100 * MS, ..Log::new() };
    let (run, _) = run(&log, (0..6).map(|_| (sync::Read, row("")))).await;
    assert_eq!(log.batches(), [(300, vec![0, 1, 2, 3]), (2400, vec![4, 5])], "{:?}", steps(run));
}

#[tokio::test(start_paused = true)]
async fn each_job_has_an_outcome_of_its_own() {
    let log = Log::new();
    let fails = |n: u32| Row { fails: [0, 1, 2, 0][n as usize], ..row("") };
    let (mut run, summary) = run(&log, (0..4).map(|n| (sync::Upload, fails(n)))).await;
    assert_eq!((summary.jobs("Done"), summary.parked(), summary.errors), (3, 1, 3));
    // Both that failed waited 1 s, and then for others of their batch.
    assert_eq!(log.batches(), [(0, vec![0, 1, 2, 3]), (3000, vec![1, 2])]);
    let parked: Vec<_> =
        run.jobs().status(Status::Parked).into_iter().map(|job| job.unwrap().id().0).collect();
    assert_eq!(parked, [2]);
    assert_eq!(steps(run), [1, 2, 2, 1], "what `finish` leaves in a context is saved, whatever the outcome");
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_with_all_is_the_outcome_of_each() {
    type Gives = fn(&Log) -> Result<(), BoxError>;
    let cases: [(Gives, Duration, &str, u64); 3] = [
        (|_| Err("no answer".into()), Duration::ZERO, "no answer", 1000),
        (|_| panic!("oh"), Duration::ZERO, "oh", 1000),
        (|_| Ok(()), 6 * SECOND, "timed out: no result after 5s", 6000),
    ];
    for (gives, took, error, again) in cases {
        let log = Log { took, gives, ..Log::new() };
        let (mut run, summary) = run(&log, (0..3).map(|_| (sync::Break, row("")))).await;
        assert_eq!((summary.jobs("Done"), summary.errors), (3, 3), "{error}");
        assert_eq!(log.batches(), [(0, vec![0, 1, 2]), (again, vec![0, 1, 2])], "{error}");
        assert_eq!(log.over.load(Relaxed), 2, "what a step has started elsewhere hears that it is over");
        for id in 0..3 {
            let text = last_error(&mut run, id);
            assert!(text.contains(error), "{text}");
        }
        assert_eq!(steps(run), [101; 3], "the contexts were as before: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_jobs_of_one_key_and_keeps_no_other_key_waiting() {
    let log = Log { took: SECOND, ..Log::new() };
    let hosts = ["a", "a", "b", "a", "c", "a", "a", "b"];
    let (run, _) = run(&log, hosts.map(|host| (sync::Fetch, row(host)))).await;
    let batches = log.batches();
    assert_eq!(batches, [(0, vec![0, 1, 3, 5]), (0, vec![2, 7]), (0, vec![4]), (1000, vec![6])]);
    assert_eq!(steps(run), [1; 8]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_counts_once_for_rates_and_holds_what_the_burst_of_weights_allows() {
    let log = Log::new();
    let costs = [4, 4, 4, 12, 1, 0, 0, 0, 0, 0, 0, 0];
    let (_, summary) = run(&log, costs.map(|cost| (sync::Ask, Row { cost, ..row("") }))).await;
    assert_eq!(summary.jobs("Done"), 12);
    // 10 tokens at once and 10/s; the third job would make 12, the fourth costs more than the burst and starts alone.
    assert_eq!(
        log.batches(),
        [(0, vec![0, 1]), (500, vec![2]), (1200, vec![3]), (1700, vec![4, 5, 6, 7, 8, 9, 10, 11]),]
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_settles_what_it_took_together() {
    let log = Log { settles: Some(20), ..Log::new() };
    let (_, summary) = run(&log, (0..16).map(|_| (sync::Ask, Row { cost: 1, ..row("") }))).await;
    assert_eq!(summary.jobs("Done"), 16);
    // 20 were taken of 10, so 8 are there 1.8 s later.
    assert_eq!(
        log.batches().iter().map(|(ms, jobs)| (*ms, jobs.len())).collect::<Vec<_>>(),
        [(0, 8), (1800, 8)]
    );
}

#[tokio::test(start_paused = true)]
async fn each_job_counts_if_the_state_says_so() {
    let log = Log::new();
    let (run, _) = run(&log, (0..12).map(|_| (sync::Count, row("")))).await;
    assert_eq!(
        log.batches().iter().map(|(ms, jobs)| (*ms, jobs.len())).collect::<Vec<_>>(),
        [(0, 5), (500, 5), (700, 2)]
    );
    assert_eq!(steps(run), [1; 12]);
}

#[tokio::test]
async fn a_plain_function_takes_batches_on_a_thread() {
    let log = Log::new();
    let (run, summary) = run(&log, (0..8).map(|_| (sync::Write, row("")))).await;
    assert_eq!((summary.ending, log.sizes()), (Ending::Complete, vec![4, 4]));
    assert_eq!(steps(run), [1; 8]);
}

#[tokio::test(start_paused = true)]
async fn who_is_cancelled_meanwhile_stays_so_and_the_others_go_on() {
    for (cancelled, took) in [(vec![1, 2], 1000), (vec![0, 1, 2, 3], 100)] {
        let log = Log { took: SECOND, ..Log::new() };
        let (mut run, clock) = seeded(MemoryStore::new(), uploads(4));
        let mut processor = Processor::new(log.clone()).clock(clock);
        let handle = processor.handle();
        let cancel = async {
            sleep(100 * MS).await;
            for id in &cancelled {
                assert_eq!(handle.cancel().job(id).unwrap().apply().await.unwrap(), 1, "{id}");
            }
        };
        let (summary, ()) = tokio::join!(processor.exec(&mut run), cancel);
        let summary = summary.unwrap();
        let left = 4 - cancelled.len() as u64;
        assert_eq!(
            (summary.ending, summary.jobs("Done"), summary.cancelled()),
            (Ending::Complete, left, 4 - left)
        );
        assert_eq!(log.ms(), took, "a step that nobody wants is stopped");
        let steps = steps(run);
        assert!(cancelled.iter().all(|id| steps[usize::try_from(*id).unwrap()] == 0), "{steps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_a_stop_cuts_is_run_again() {
    let log = Log { took: SECOND, ..Log::new() };
    let store = Spy::new(MemoryStore::new());
    let (mut run, clock) = seeded(store.clone(), uploads(8));
    let mut processor = Processor::new(log.clone()).clock(clock).grace(Duration::ZERO);
    let handle = processor.handle();
    let stop = async {
        sleep(1500 * MS).await;
        handle.stop();
    };
    let (summary, ()) = tokio::join!(processor.exec(&mut run), stop);
    assert_eq!(summary.unwrap().jobs("Done"), 4);
    drop(run);
    let mut run = Run::open(store).unwrap();
    let summary = Processor::new(log.clone()).exec(&mut run).await.unwrap();
    assert_eq!(summary.jobs("Done"), 8);
    let jobs: Vec<_> = log.batches().into_iter().map(|(_, jobs)| jobs).collect();
    assert_eq!(jobs, [[0, 1, 2, 3], [4, 5, 6, 7], [4, 5, 6, 7]]);
    assert_eq!(steps(run), [1; 8]);
}

#[tokio::test(start_paused = true)]
async fn a_canary_runs_in_batches_as_well() {
    for state in ["Upload", "Read"] {
        let log = Log::new();
        let (mut run, clock) = match state {
            "Upload" => seeded(MemoryStore::new(), uploads(10)),
            _ => seeded(MemoryStore::new(), (0..10).map(|_| Kick::new(sync::Read, row("")))),
        };
        let mut processor = Processor::new(log.clone()).clock(clock).first(6);
        let summary = processor.exec(&mut run).await.unwrap();
        assert_eq!((summary.ending, summary.jobs("Done")), (Ending::Canary, 6), "{state}");
        assert_eq!(
            log.batches(),
            [(0, vec![0, 1, 2, 3]), (if state == "Read" { 2000 } else { 0 }, vec![4, 5])],
            "{state}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn people_see_how_many_are_in_flight_and_what_the_others_wait_for() {
    let log = Log { took: SECOND, ..Log::new() };
    let (mut run, clock) = seeded(MemoryStore::new(), uploads(6));
    let start = clock.now();
    let mut processor = Processor::new(log.clone()).clock(clock);
    let handle: Handle<Sync> = processor.handle();
    let look = async {
        sleep(500 * MS).await;
        let busy = handle.overview().unwrap().states[0].clone();
        sleep(SECOND).await;
        (busy, handle.overview().unwrap().states[0].clone())
    };
    let (summary, (busy, waiting)) = tokio::join!(processor.exec(&mut run), look);
    assert_eq!(summary.unwrap().jobs("Done"), 6);
    assert_eq!((busy.executing, busy.waiting, busy.waits), (4, 2, None), "for a slot");
    let until = Some(start + 2 * SECOND);
    let waits = Wait { limiter: "batch", key: None, held: false, since: start, until, by: Vec::new() };
    assert_eq!((waiting.executing, waiting.waiting, waiting.waits), (0, 2, Some(waits)));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_starts_no_step_and_cuts_no_batch() {
    let log = Log { took: 3 * SECOND, ..Log::new() };
    let kick = |s| Kick::new(sync::Upload, row("")).deadline(s * SECOND);
    let (mut run, clock) = seeded(MemoryStore::new(), [1, 9, 9, 9, 1, 9].map(kick));
    let summary = Processor::new(log.clone()).clock(clock).exec(&mut run).await.unwrap();
    assert_eq!((summary.jobs("Done"), summary.cancelled()), (5, 1), "job 0 was on time when it started");
    assert_eq!(log.batches(), [(0, vec![0, 1, 2, 3]), (3000, vec![5])]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_others_waits_no_longer_than_its_deadline() {
    let log = Log::new();
    let (mut run, clock) =
        seeded(MemoryStore::new(), uploads(2).zip([1, 9]).map(|(kick, s)| kick.deadline(s * SECOND)));
    let mut processor = Processor::new(log.clone()).clock(clock);
    let handle = processor.handle();
    let look = async {
        sleep(1100 * MS).await;
        handle.overview().unwrap().states[0].cancelled
    };
    let (summary, cancelled) = tokio::join!(processor.exec(&mut run), look);
    assert_eq!((summary.unwrap().jobs("Done"), cancelled), (1, 1));
    assert_eq!(log.batches(), [(2000, vec![1])]);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_job_pauses_the_rate_once_and_the_others_go_on() {
    let log = Log::new();
    let throttled = Row { throttles: 1, ..row("") };
    let rows = [row(""), throttled.clone(), throttled, row("")];
    let (run, summary) = run(&log, rows.map(|row| (sync::Upload, row))).await;
    assert_eq!((summary.jobs("Done"), summary.errors), (4, 0), "it costs no attempt");
    // They are told to come again in 5 s; then they wait for others.
    assert_eq!(log.batches(), [(0, vec![0, 1, 2, 3]), (7000, vec![1, 2])]);
    assert_eq!(steps(run), [1, 2, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn retry_if_is_asked_of_a_batch_and_of_each_job() {
    let log = Log::new();
    let rows = [row(""), row("hopeless"), Row { fails: 1, ..row("") }];
    let (_, summary) = run(&log, rows.map(|row| (sync::Break, row))).await;
    assert_eq!((summary.jobs("Done"), summary.parked()), (2, 1));
    assert_eq!(log.batches(), [(0, vec![0, 1, 2]), (1000, vec![2])]);

    let log = Log { gives: |_| Err("hopeless".into()), ..Log::new() };
    let (_, summary) = run(&log, (0..3).map(|_| (sync::Break, row("")))).await;
    assert_eq!((summary.jobs("Done"), summary.parked()), (0, 3));
    assert_eq!(log.batches(), [(0, vec![0, 1, 2])]);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_due_or_too_late_is_no_part_of_a_batch() {
    let log = Log::new();
    let throttled = Row { throttles: 1, ..row("") };
    let rows = [row(""), throttled, row(""), row(""), row("")];
    let (run, _) = run(&log, rows.map(|row| (sync::Upload, row))).await;
    assert_eq!(log.batches(), [(0, vec![0, 1, 2, 3]), (2000, vec![4]), (7000, vec![1])]);
    assert_eq!(steps(run), [1, 2, 1, 1, 1]);

    let log = Log::new();
    let late = |(kick, s): (Kick<sync::Upload>, u32)| kick.deadline(s * SECOND);
    let (mut run, clock) = seeded(MemoryStore::new(), uploads(3).zip([9, 1, 9]).map(late));
    let summary = Processor::new(log.clone()).clock(clock).exec(&mut run).await.unwrap();
    assert_eq!((summary.jobs("Done"), summary.cancelled()), (2, 1));
    assert_eq!(log.batches(), [(2000, vec![0]), (2000, vec![2])]);
}

#[tokio::test(start_paused = true)]
async fn a_canary_takes_no_others_along() {
    let log = Log { took: SECOND, ..Log::new() };
    let mut run = Run::open(MemoryStore::new()).unwrap();
    run.seed((), |seeds| {
        seeds.add(Kick::new(sync::Read, row("")))?;
        seeds.extend(uploads(6))
    })
    .unwrap();
    let clock = Clock::starting_at(run.job(0).unwrap().ready_at());
    let summary = Processor::new(log.clone()).clock(clock).first(5).exec(&mut run).await.unwrap();
    assert_eq!((summary.ending, summary.jobs("Done")), (Ending::Canary, 5));
    assert_eq!(log.batches(), [(0, vec![1, 2, 3, 4]), (2000, vec![0])]);
}

#[tokio::test(start_paused = true)]
async fn a_canary_overtakes_those_that_nobody_has_looked_at() {
    let log = Log::new();
    let jobs = (0..50).map(|_| Kick::new(sync::Loop, row("")));
    let (mut run, clock) = seeded(MemoryStore::new(), jobs);
    let mut processor = Processor::new(log.clone()).clock(clock).window(1).first(3);
    let summary = timeout(60 * SECOND, processor.exec(&mut run)).await.expect("it ends").unwrap();
    assert_eq!((summary.ending, summary.jobs("Done"), summary.moves), (Ending::Canary, 3, 6));
    assert!(log.batches().iter().all(|(_, jobs)| jobs.iter().all(|job| *job < 3)), "{:?}", log.batches());
}

#[tokio::test(start_paused = true)]
async fn a_handler_cannot_finish_another_batch() {
    let log = Log { forges: true, ..Log::new() };
    let (mut run, summary) = run(&log, (0..3).map(|_| (sync::Break, row("")))).await;
    assert_eq!((summary.jobs("Done"), summary.parked()), (0, 3));
    let text = last_error(&mut run, 0);
    assert_eq!(text, "the handler finished another batch than the one that it was given");
}
