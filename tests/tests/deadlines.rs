//! Deadlines: a job that has not ended by then is cancelled, whatever it does or waits for.
use std::time::Duration;

use jorb::{Cancelled, Clock, Exit, Processor, Run, Shown, Store, Summary, Timestamp, prelude::*};
use jorb_tests::{lab::Lab, stores::Kind};
use tokio::time::sleep;

#[workflow(app = Lab, job = u64)]
#[derive(Debug, Clone)]
enum Work {
    /// Takes as many seconds as its context says, from 0 on.
    #[state(initial, next(Takes, Waits, Done), kick(Takes))]
    Takes,
    /// Is tried again in an hour.
    #[state(initial, next(Done))]
    Fails,
    /// Leads to `Takes` in an hour.
    #[state(initial, next(Takes))]
    Waits,
    /// One an hour.
    #[state(initial, next(Done))]
    Rare,
    /// A plain function that waits until nobody waits for it.
    #[state(initial, next(Done))]
    Plain,
    /// Kicks a child that has five seconds for twenty.
    #[state(initial, next(Done), kick(Takes))]
    Kicks,
    #[state(terminal)]
    Done,
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[state(concurrency = 1, retries = 3, timeout = "3000s")]
async fn takes(_: work::Takes, cx: &mut Cx<Work>) -> Outcome<work::Takes> {
    let _inside = cx.app.enter("Takes", cx);
    sleep(Duration::from_secs(std::mem::take(&mut cx.job))).await;
    Ok(Next::to(work::Done))
}

#[state(retries = 9, backoff = "3600s..3600s")]
async fn fails(_: work::Fails, cx: &mut Cx<Work>) -> Outcome<work::Fails> {
    let _inside = cx.app.enter("Fails", cx);
    Err("no".into())
}

#[state]
async fn waits(_: work::Waits) -> Outcome<work::Waits> {
    Ok(Next::to(work::Takes).after(HOUR))
}

#[state(rate = "1/h")]
async fn rare(_: work::Rare, cx: &mut Cx<Work>) -> Outcome<work::Rare> {
    let _inside = cx.app.enter("Rare", cx);
    Ok(Next::to(work::Done))
}

#[state]
fn plain(_: work::Plain, cx: &mut Cx<Work>) -> Outcome<work::Plain> {
    let _inside = cx.app.enter("Plain", cx);
    while !cx.cancelled().is_cancelled() {
        std::thread::yield_now();
    }
    Ok(Next::to(work::Done))
}

#[state]
async fn kicks(_: work::Kicks) -> Outcome<work::Kicks> {
    let child = Kick::new(work::Takes, 20).deadline(5 * SECOND);
    Ok(Next::to(work::Done).kick([child]))
}

struct Bench {
    lab: Lab,
    run: Run<Work>,
    /// When the jobs were made: the run's clock starts there.
    made: Timestamp,
    clock: Clock,
}

impl Bench {
    fn new<S: jorb::Initial<Workflow = Work>>(
        store: impl Store<Work>,
        jobs: impl IntoIterator<Item = Kick<S>>,
    ) -> Self {
        let mut run = Run::open(store).unwrap();
        run.seed((), |seeds| seeds.extend(jobs)).unwrap();
        let made = run.job(0).unwrap().ready_at();
        Bench { lab: Lab::default(), run, made, clock: Clock::starting_at(made) }
    }

    fn processor(&self) -> Processor<Work> {
        Processor::new(self.lab.clone()).clock(self.clock)
    }

    async fn drive(&mut self) -> Summary {
        self.processor().exec(&mut self.run).await.unwrap()
    }

    /// How many steps began in a state.
    fn begun(&self, state: &str) -> usize {
        self.lab.book().jobs(state).len()
    }

    /// A job was cancelled so long after the start, because its deadline had passed.
    fn check_late(&mut self, job: u64, state: &str, after: Duration) {
        let job = self.run.job(job).unwrap();
        assert_eq!((job.status(), job.state_name()), (Shown::Cancelled, state));
        let error = &job.story.errors.last().unwrap().error;
        assert_eq!(*error, format!("deadline of {} passed", job.deadline().unwrap()));
        assert_eq!(job.ready_at().since(self.made), after);
    }
}

fn each() -> impl Iterator<Item = (Kind, jorb::store::BoxStore<Work>, tempfile::TempDir)> {
    Kind::ALL.into_iter().map(|kind| {
        let folder = tempfile::tempdir().unwrap();
        (kind, kind.at(folder.path()), folder)
    })
}

#[tokio::test(start_paused = true)]
async fn a_step_in_flight_is_stopped_and_leaves_nothing() {
    for (kind, store, _folder) in each() {
        let job = || Kick::new(work::Takes, 20);
        let mut bench = Bench::new(store, [job().deadline(5 * SECOND), job(), job().deadline(60 * SECOND)]);
        let summary = bench.drive().await;
        assert_eq!((summary.ended(), summary.cancelled(), summary.errors), (2, 1, 1), "{kind:?}");
        assert_eq!((summary.exit(), summary.elapsed), (Exit::Complete, 45 * SECOND), "its slot was free");
        bench.check_late(0, "Takes", 5 * SECOND);
        assert_eq!(bench.run.job(0).unwrap().load_context().unwrap(), 20, "as before the step");
        assert_eq!(bench.begun("Takes"), 3, "no attempt follows");
    }
}

#[tokio::test(start_paused = true)]
async fn no_backoff_and_no_delay_goes_beyond() {
    for (kind, store, _folder) in each() {
        let mut bench = Bench::new(store, [Kick::new(work::Fails, 0).deadline(2 * HOUR + 9 * SECOND)]);
        bench.run.add(Kick::new(work::Waits, 0).deadline(9 * SECOND)).unwrap();
        let summary = bench.drive().await;
        assert_eq!((summary.cancelled(), bench.begun("Fails"), bench.begun("Takes")), (2, 3, 0), "{kind:?}");
        bench.check_late(0, "Fails", 2 * HOUR + 9 * SECOND);
        assert_eq!(bench.run.job(0).unwrap().errors(), 4, "its own are kept");
        let waited = bench.run.job(1).unwrap();
        assert_eq!((waited.status(), waited.state_name()), (Shown::Cancelled, "Takes"));
        assert!(summary.elapsed <= 2 * HOUR + 9 * SECOND, "{kind:?}: nobody waits longer");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_slot_is_cancelled_in_its_turn_without_a_step() {
    for (window, (kind, store, _folder)) in
        [1, 100].into_iter().flat_map(|window| each().map(move |e| (window, e)))
    {
        let late = || Kick::new(work::Takes, 1).deadline(5 * SECOND);
        let jobs = [Kick::new(work::Takes, 60)].into_iter().chain((0..30).map(|_| late()));
        let mut bench = Bench::new(store, jobs.chain([Kick::new(work::Takes, 1)]));
        let mut processor = bench.processor().window(window);
        let summary = processor.exec(&mut bench.run).await.unwrap();
        assert_eq!((summary.ended(), summary.cancelled()), (2, 30), "{kind:?}, {window}");
        assert_eq!((bench.lab.book().jobs("Takes"), summary.elapsed), (vec![0, 31], 61 * SECOND));
        bench.check_late(30, "Takes", 60 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_permit_takes_none_and_waits_no_longer() {
    for (kind, store, _folder) in each() {
        let jobs = [None, Some(5 * SECOND), None].map(|deadline| {
            let kick = Kick::new(work::Rare, 0);
            deadline.map_or(Kick::new(work::Rare, 0), |deadline| kick.deadline(deadline))
        });
        let mut bench = Bench::new(store, jobs);
        let summary = bench.drive().await;
        assert_eq!((summary.ended(), summary.cancelled()), (2, 1), "{kind:?}");
        bench.check_late(1, "Rare", 5 * SECOND);
        let starts = bench.lab.book().starts("Rare");
        assert_eq!((starts[1] - starts[0]).as_secs(), 3600, "the next one has its permit");
    }
}

#[tokio::test]
async fn the_result_of_a_plain_function_is_ignored() {
    for (kind, store, _folder) in each() {
        let job = Kick::new(work::Plain, 0).deadline(Duration::from_millis(50));
        let mut bench = Bench::new(store, [job]);
        let summary = bench.drive().await;
        assert_eq!((summary.moves, summary.cancelled(), bench.begun("Plain")), (0, 1, 1), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kicked_job_has_its_own_from_when_it_is_made() {
    for (kind, store, _folder) in each() {
        let mut bench = Bench::new(store, [Kick::new(work::Kicks, 0)]);
        let summary = bench.drive().await;
        assert_eq!((summary.ended(), summary.cancelled()), (1, 1), "{kind:?}");
        bench.check_late(1, "Takes", 5 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn it_survives_restarts() {
    for kind in Kind::DURABLE {
        let folder = tempfile::tempdir().unwrap();
        let job = || Kick::new(work::Takes, 20);
        let mut bench = Bench::new(kind.at(folder.path()), [job().deadline(30 * SECOND), job()]);
        bench.run.add(Kick::new(work::Waits, 0).deadline(60 * SECOND)).unwrap();
        let mut processor = bench.processor().grace(Duration::ZERO);
        let handle = processor.handle();
        let stop = async {
            sleep(15 * SECOND).await;
            handle.stop_now();
        };
        let (summary, ()) = tokio::join!(processor.exec(&mut bench.run), stop);
        assert_eq!(summary.unwrap().cancelled(), 0);
        drop(std::mem::replace(&mut bench.run, Run::open(jorb::MemoryStore::new()).unwrap()));
        bench.run = Run::open(kind.at(folder.path())).unwrap();
        let summary = bench.drive().await;
        assert_eq!((summary.ended(), summary.cancelled()), (1, 2), "{kind:?}");
        bench.check_late(0, "Takes", 30 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_says_whether_somebody_asked_or_its_deadline_passed() {
    for (kind, store, _folder) in each() {
        let deadlines = [5 * SECOND, 1_000_000 * HOUR];
        let mut bench = Bench::new(store, deadlines.map(|after| Kick::new(work::Takes, 20).deadline(after)));
        assert_eq!(bench.drive().await.cancelled(), 1);
        assert_eq!(bench.run.job(0).unwrap().cancelled(), Some(Cancelled::Deadline), "{kind:?}");
        assert_eq!(bench.run.job(1).unwrap().cancelled(), None, "it has ended");
        for job in [0, 1] {
            assert_eq!(bench.run.redrive().job(job).unwrap().to_state("Takes", None).unwrap(), 1);
            assert_eq!(bench.run.cancel().job(job).unwrap().apply().unwrap(), 1);
            let cancelled = bench.run.job(job).unwrap().cancelled();
            assert_eq!(cancelled, Some(Cancelled::Asked), "{kind:?}: whatever its errors say");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn redriving_after_it_clears_it_and_before_it_keeps_it() {
    for (kind, store, _folder) in each() {
        let job = || Kick::new(work::Takes, 20);
        let mut bench = Bench::new(store, [job().deadline(5 * SECOND), job().deadline(1_000_000 * HOUR)]);
        assert_eq!(bench.drive().await.cancelled(), 1);
        assert_eq!(bench.run.cancel().apply().unwrap(), 0);
        assert_eq!(bench.run.redrive().job(0).unwrap().retry().unwrap(), 1);
        assert_eq!(bench.run.job(0).unwrap().deadline(), None, "{kind:?}");
        assert_eq!(bench.run.redrive().job(1).unwrap().to_state("Takes", None).unwrap(), 1);
        assert!(bench.run.job(1).unwrap().deadline().is_some());
        assert_eq!(bench.drive().await.ended(), 2, "{kind:?}");
    }
}
