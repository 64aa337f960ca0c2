//! Cancelling: wherever a job is, it stays there as it was, and starts no more.
use std::{
    future::ready,
    pin::pin,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use jorb::{
    Clock, Ending, Error, Event, Exit, Listener, MemoryStore, Processor, Run, Shown, Summary,
    prelude::*,
    store::{Batch, BoxStore},
};
use jorb_tests::{
    START,
    lab::Lab,
    spy::{Spy, Watch, disk_full},
    stores::Kind,
};
use tokio::{select, sync::Notify, time::sleep};

/// The app: every step signs in, and a plain function waits for a word.
#[derive(Clone)]
struct App {
    lab: Lab,
    word: Arc<Mutex<Receiver<()>>>,
    go: Arc<Notify>,
}

#[workflow(app = App, job = u32)]
#[derive(Debug, Clone)]
enum Work {
    /// Takes ten seconds, and counts them.
    #[state(initial, next(Long, Done))]
    Long,
    /// Ends when it is told.
    #[state(initial, next(Done))]
    Told,
    /// A plain function.
    #[state(initial, next(Done))]
    Plain,
    /// Fails at once, and is tried again after an hour; of job 9, for good.
    #[state(initial, next(Done))]
    Fails,
    /// Leads to `Long` in an hour, and kicks the child `one` there.
    #[state(initial, next(Long), kick(Long))]
    Kicks,
    #[state(terminal)]
    Done,
}

#[state(concurrency = 2)]
async fn long(_: work::Long, cx: &mut Cx<Work>) -> Outcome<work::Long> {
    let _inside = cx.app.lab.enter("Long", cx);
    cx.job += 1;
    sleep(Duration::from_secs(10)).await;
    Ok(Next::to(work::Done))
}

#[state]
async fn told(_: work::Told, cx: &mut Cx<Work>) -> Outcome<work::Told> {
    cx.app.go.notified().await;
    cx.job += 1;
    Ok(Next::to(work::Done))
}

#[state]
fn plain(_: work::Plain, cx: &mut Cx<Work>) -> Outcome<work::Plain> {
    let _inside = cx.app.lab.enter("Plain", cx);
    cx.job += 1;
    cx.app.word.lock().unwrap().recv()?;
    Ok(Next::to(work::Done))
}

#[state(retries = 1, backoff = "3600s..3600s")]
async fn fails(_: work::Fails, cx: &mut Cx<Work>) -> Outcome<work::Fails> {
    let _inside = cx.app.lab.enter("Fails", cx);
    if cx.job == 9 { Err(Fault::fatal("hopeless")) } else { Err("again".into()) }
}

#[state]
async fn kicks(_: work::Kicks) -> Outcome<work::Kicks> {
    let hour = Duration::from_secs(3600);
    Ok(Next::to(work::Long).after(hour).kick([Kick::new(work::Long, 0).once("one")]))
}

/// A run, and what drives it.
struct Bench {
    app: App,
    say: Sender<()>,
    run: Run<Work>,
}

impl Bench {
    fn new(store: impl jorb::Store<Work>) -> Self {
        let (say, word) = channel();
        let app = App { lab: Lab::default(), word: Arc::new(Mutex::new(word)), go: Arc::default() };
        Bench { app, say, run: Run::open(store).unwrap() }
    }

    fn with<S: jorb::Initial<Workflow = Work>>(mut self, jobs: impl IntoIterator<Item = Kick<S>>) -> Self {
        self.run.seed((), |seeds| seeds.extend(jobs)).unwrap();
        self
    }

    fn processor(&self) -> Processor<Work> {
        Processor::new(self.app.clone()).clock(Clock::starting_at(START))
    }

    /// Drives it while somebody does something.
    async fn drive<T>(
        &mut self,
        mut processor: Processor<Work>,
        during: impl AsyncFnOnce(jorb::Handle<Work>) -> T,
    ) -> (Summary, T) {
        let handle = processor.handle();
        let (summary, done) = tokio::join!(processor.exec(&mut self.run), during(handle));
        (summary.unwrap(), done)
    }

    fn begun(&self) -> Vec<u64> {
        self.app.lab.book().steps.iter().map(|step| step.job.0).collect()
    }

    fn status(&mut self, job: u64) -> Shown {
        self.run.job(job).unwrap().status()
    }
}

fn longs(n: u32) -> impl Iterator<Item = Kick<work::Long>> {
    (0..n).map(|_| Kick::new(work::Long, 0))
}

/// Each kind of store, in a folder that lives as long.
fn each() -> impl Iterator<Item = (Kind, BoxStore<Work>, tempfile::TempDir)> {
    Kind::ALL.into_iter().map(|kind| {
        let folder = tempfile::tempdir().unwrap();
        (kind, kind.at(folder.path()), folder)
    })
}

#[tokio::test(start_paused = true)]
async fn a_step_in_flight_is_stopped_where_it_awaits_and_leaves_nothing() {
    for (kind, store, _folder) in each() {
        let mut bench = Bench::new(store).with(longs(3));
        let lab = bench.app.lab.clone();
        let (summary, ()) = bench
            .drive(bench.processor(), async |handle| {
                sleep(Duration::from_secs(1)).await;
                assert_eq!(handle.cancel().job(1).unwrap().apply().await.unwrap(), 1);
                assert_eq!(handle.cancel().job(1).unwrap().apply().await.unwrap(), 0, "it was before");
                sleep(Duration::from_secs(1)).await;
                let inside = lab.book().inside["Long"];
                assert_eq!(inside, 2, "its slot has another one");
            })
            .await;
        assert_eq!(
            (summary.ending, summary.ended(), summary.cancelled()),
            (Ending::Complete, 2, 1),
            "{kind:?}"
        );
        assert_eq!((summary.exit(), summary.jobs("Long")), (Exit::Complete, 1));
        assert_eq!(summary.elapsed.as_secs(), 11);
        let job = bench.run.job(1).unwrap();
        assert_eq!((job.status(), job.state_name(), job.errors()), (Shown::Cancelled, "Long", 0));
        assert_eq!((job.load_context().unwrap(), job.attempt(), job.step()), (0, 1, 0), "as before the step");
    }
}

#[tokio::test(start_paused = true)]
async fn what_ends_in_the_moment_in_which_it_is_cancelled_counts_for_nothing() {
    let mut bench = Bench::new(MemoryStore::new()).with([Kick::new(work::Told, 0)]);
    let go = bench.app.go.clone();
    let (summary, cancelled) = bench
        .drive(bench.processor(), async |handle| {
            sleep(Duration::from_secs(1)).await;
            let mut asked = pin!(handle.cancel().apply());
            // The writer goes first, and then the step, which can end and is cancelled.
            select! {
                biased;
                _ = &mut asked => unreachable!("the writer is yet to come"),
                () = ready(()) => go.notify_one(),
            }
            asked.await.unwrap()
        })
        .await;
    assert_eq!((cancelled, summary.cancelled(), summary.moves), (1, 1, 0));
    assert_eq!(bench.run.job(0).unwrap().load_context().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_seeds_that_were_cancelled_before_anyone_looked_at_them() {
    for (kind, store, _folder) in each() {
        let mut bench = Bench::new(store);
        let seeds = |seeds: &mut jorb::Seeds<'_, Work>| {
            seeds.add(Kick::new(work::Kicks, 0))?;
            seeds.add(Kick::new(work::Told, 0))?;
            seeds.extend(longs(40))
        };
        bench.run.seed((), seeds).unwrap();
        let (go, mut processor) = (bench.app.go.clone(), bench.processor().window(1));
        let handle = processor.handle();
        handle.hold::<work::Kicks>();
        let cancels = async {
            sleep(Duration::from_secs(1)).await;
            assert_eq!(handle.cancel().in_state::<work::Long>().apply().await.unwrap(), 40);
            // What comes to their state now is not behind any.
            handle.release::<work::Kicks>();
            go.notify_one();
        };
        let both = async { tokio::join!(processor.exec(&mut bench.run), cancels).0 };
        let summary = tokio::time::timeout(Duration::from_secs(7200), both).await;
        let summary = summary.expect("they go on").unwrap();
        assert_eq!((summary.cancelled(), summary.ended()), (40, 3), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn wherever_jobs_wait_they_never_start_again() {
    // After so many seconds, some have ended, some run, and some are in memory, some placed, and some fresh.
    for (window, seconds) in [(1, 0), (1, 1), (1, 25), (3, 41), (100, 1)] {
        for (kind, store, _folder) in each() {
            let mut bench = Bench::new(store).with(longs(40));
            let processor = bench.processor().window(window);
            let lab = bench.app.lab.clone();
            let (summary, (cancelled, begun)) = bench
                .drive(processor, async |handle| {
                    sleep(Duration::from_millis(seconds * 1_000)).await;
                    let cancelled = handle.cancel().in_state::<work::Long>().apply().await.unwrap();
                    (cancelled, lab.book().steps.len())
                })
                .await;
            let what = format!("{kind:?}, {window}, {seconds}");
            assert_eq!((summary.ended(), summary.cancelled()), (40 - cancelled, cancelled), "{what}");
            assert_eq!(summary.ended(), 2 * (seconds / 10), "{what}");
            assert_eq!(bench.begun().len(), begun, "{what}");
            assert_eq!(bench.run.jobs().status(Shown::Cancelled).into_iter().count() as u64, cancelled);
            assert!(bench.run.is_complete());
            // They go on where they were, and no others.
            assert_eq!(bench.run.redrive().status(Shown::Cancelled).retry().unwrap(), cancelled, "{what}");
            let (summary, ()) = bench.drive(bench.processor(), async |_| ()).await;
            assert_eq!((summary.ended(), summary.cancelled()), (40, 0), "{what}");
            let running = if seconds == 0 { begun as u64 } else { 2 };
            assert_eq!(bench.begun().len() as u64, 40 + running, "{what}: the two in flight run again");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_filter_cancels_what_it_says_and_leaves_the_rest() {
    for (kind, store, _folder) in each() {
        let mut bench = Bench::new(store);
        bench
            .run
            .seed((), |jobs| {
                jobs.extend([9, 1, 1].map(|job| Kick::new(work::Fails, job)))?;
                jobs.extend([Kick::new(work::Kicks, 0), Kick::new(work::Kicks, 0)])?;
                jobs.add(Kick::new(work::Long, 0))
            })
            .unwrap();
        let (summary, ()) = bench
            .drive(bench.processor(), async |handle| {
                sleep(Duration::from_secs(1)).await;
                let cancel = || handle.cancel();
                assert_eq!(cancel().error_contains("hopeless").apply().await.unwrap(), 0, "it is parked");
                assert_eq!(cancel().error_contains("again").apply().await.unwrap(), 2, "in their backoff");
                assert_eq!(cancel().status(Shown::Ended).apply().await.unwrap(), 0);
                assert_eq!(cancel().status(Shown::Held).apply().await.unwrap(), 0);
                // Both parents are delayed in `Long`; the seed and the child run there.
                assert_eq!(cancel().state("Long").unwrap().status(Shown::Delayed).apply().await.unwrap(), 2);
                assert_eq!(cancel().status(Shown::Parked).apply().await.unwrap(), 1);
                assert!(cancel().state("Lung").is_err());
                assert_eq!(cancel().job("3->0").unwrap().apply().await.unwrap(), 1, "the child");
                for none in ["77", "0/7", "0->0->0"] {
                    let error = cancel().job(none).unwrap().apply().await.unwrap_err();
                    assert!(matches!(error, Error::NoSuchJob(_)), "{error}");
                }
                assert!(
                    matches!(cancel().job("first").err(), Some(Error::NoSuchJob(name)) if name == "first")
                );
            })
            .await;
        assert_eq!((summary.ended(), summary.cancelled(), summary.parked()), (1, 6, 0), "{kind:?}");
        assert_eq!(bench.run.job(1).unwrap().story.errors.len(), 1, "errors stay");
        assert_eq!(bench.run.job(3).unwrap().story.lines.len(), 1, "history stays");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_child_keeps_its_key() {
    for (kind, store, _folder) in each() {
        let mut bench = Bench::new(store).with([Kick::new(work::Kicks, 0)]);
        let (summary, ()) = bench
            .drive(bench.processor(), async |handle| {
                sleep(Duration::from_secs(1)).await;
                assert_eq!(handle.cancel().apply().await.unwrap(), 2);
            })
            .await;
        assert_eq!(summary.cancelled(), 2);
        assert_eq!(bench.run.add(Kick::new(work::Long, 0).once("one")).unwrap(), None, "{kind:?}");
        assert_eq!(bench.run.job(1).unwrap().once.as_ref().map(|once| &*once.key), Some("one"));
    }
}

/// Nobody can stop a thread: its slot stays taken, and what it leaves counts for nothing.
#[tokio::test]
async fn the_result_of_a_plain_function_is_ignored() {
    for (kind, store, _folder) in each() {
        let mut bench = Bench::new(store).with((0..2).map(|_| Kick::new(work::Plain, 0)));
        let (lab, say) = (bench.app.lab.clone(), bench.say.clone());
        let begun = || lab.book().steps.len();
        let (summary, ()) = bench
            .drive(bench.processor(), async |handle| {
                while begun() == 0 {
                    tokio::task::yield_now().await;
                }
                assert_eq!(handle.cancel().job(0).unwrap().apply().await.unwrap(), 1);
                let overview = handle.overview().unwrap();
                assert_eq!((overview.states[2].executing, overview.states[2].cancelled), (1, 1));
                assert_eq!(begun(), 1, "the other one has no slot");
                say.send(()).unwrap();
                say.send(()).unwrap();
            })
            .await;
        assert_eq!((summary.ended(), summary.cancelled(), summary.moves), (1, 1, 1), "{kind:?}");
        assert_eq!(bench.run.job(0).unwrap().load_context().unwrap(), 0);
        assert_eq!(bench.begun(), [0, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_drives() {
    for (kind, store, _folder) in each() {
        let mut bench = Bench::new(store).with(longs(3_000));
        assert_eq!(bench.run.cancel().in_state::<work::Long>().dry_run(true).apply().unwrap(), 3_000);
        assert_eq!(bench.run.cancel().job(7).unwrap().apply().unwrap(), 1);
        assert_eq!(bench.run.cancel().job(7).unwrap().apply().unwrap(), 0);
        assert_eq!(bench.run.cancel().limit(9).apply().unwrap(), 9);
        assert_eq!(bench.status(8), Shown::Cancelled);
        assert_eq!(
            bench.run.cancel().state("Long").unwrap().limit(2_980).apply().unwrap(),
            2_980,
            "in batches"
        );
        assert_eq!((bench.run.states()[0].ready, bench.run.states()[0].cancelled), (10, 2_990));
        let (summary, ()) = bench.drive(bench.processor(), async |_| ()).await;
        assert_eq!((summary.ended(), summary.cancelled()), (10, 2_990), "{kind:?}");
        assert_eq!(bench.begun().iter().min(), Some(&2_990), "those that were left");
        assert!(bench.run.is_complete());
        assert_eq!(bench.run.cancel().apply().unwrap(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_before_a_run_is_driven_is_done_then() {
    let mut bench = Bench::new(MemoryStore::new()).with(longs(5));
    let mut processor = bench.processor();
    let handle = processor.handle();
    let asked = tokio::spawn(async move { handle.cancel().job(3).unwrap().apply().await });
    sleep(Duration::from_secs(1)).await;
    assert!(!asked.is_finished());
    let summary = processor.exec(&mut bench.run).await.unwrap();
    assert_eq!((asked.await.unwrap().unwrap(), summary.cancelled()), (1, 1));
    assert!(!bench.begun().contains(&3), "it never started");
}

#[tokio::test(start_paused = true)]
async fn held_jobs_can_be_cancelled_and_a_run_of_nothing_else_is_complete() {
    let mut bench = Bench::new(MemoryStore::new()).with(longs(5));
    bench.run.set_held("Long", true).unwrap();
    bench.run.add(Kick::new(work::Kicks, 0)).unwrap();
    let mut processor = bench.processor();
    let handle = processor.handle();
    let asked = tokio::spawn(async move { handle.cancel().status(Shown::Held).apply().await });
    sleep(Duration::ZERO).await;
    let summary = processor.exec(&mut bench.run).await.unwrap();
    assert_eq!(asked.await.unwrap().unwrap(), 5);
    // What came there later waits.
    assert_eq!((summary.cancelled(), summary.states[0].held, summary.exit()), (5, 2, Exit::Stopped));
    assert_eq!(bench.run.cancel().status(Shown::Held).apply().unwrap(), 2);
    let (summary, ()) = bench.drive(bench.processor(), async |_| ()).await;
    assert_eq!((summary.ending, summary.exit()), (Ending::Complete, Exit::Complete));
}

/// Fails at the first cancelled job.
struct Refuses;

impl Watch<Work> for Refuses {
    fn before(&mut self, batch: &Batch<Work>) -> Result<(), Error> {
        let cancels = batch.changes.iter().any(|change| change.now.job.status == jorb::Status::Cancelled);
        if cancels { Err(disk_full()) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_hears_that_the_disk_failed() {
    let mut bench = Bench::new(Spy::watched(Box::new(MemoryStore::new()), Refuses)).with(longs(3));
    let mut processor = bench.processor();
    let handle = processor.handle();
    let (result, asked) = tokio::join!(processor.exec(&mut bench.run), handle.cancel().apply());
    assert!(matches!(result, Err(Error::Disk { .. })));
    assert!(matches!(asked, Err(Error::NotCancelled)), "{asked:?}");
}

/// Writes down who was cancelled.
struct Told(Arc<Mutex<Vec<(u64, &'static str)>>>);

impl Listener for Told {
    fn wants_events(&self) -> bool {
        true
    }

    fn event(&mut self, event: &Event) {
        if let Event::Cancelled { job, state, .. } = event {
            self.0.lock().unwrap().push((job.0, state));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn listeners_are_told() {
    let mut bench = Bench::new(MemoryStore::new()).with(longs(3));
    let told = Arc::default();
    let processor = bench.processor().listener(Told(Arc::clone(&told)));
    let ask = async |handle: jorb::Handle<Work>| handle.cancel().job(2).unwrap().apply().await.unwrap();
    assert_eq!(bench.drive(processor, ask).await.1, 1);
    assert_eq!(*told.lock().unwrap(), [(2, "Long")]);
}
