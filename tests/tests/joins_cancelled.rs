//! Joins of jobs that are cancelled, and of jobs whose children are; by whom and when ever, on every store.
use std::{path::Path, sync::Arc, time::Duration};

use jorb::{Clock, Exit, Handle, Processor, Run, Shown, Summary, prelude::*, store::BoxStore};
use jorb_tests::stores::Kind;
use tokio::{sync::Notify, time::sleep};

/// The app: children wait for a word.
#[derive(Clone, Default)]
struct App {
    go: Arc<Notify>,
}

/// What a parent saw of its children: ended, parked, cancelled, left.
type Seen = [u64; 4];

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Job {
    /// Kicks so many children that wait, and so many that park.
    waiting: u64,
    parked: u64,
    or_parked: bool,
    /// Joins on the move to the end.
    last: bool,
    /// After its children, it starts so many seconds later.
    delay: u64,
    /// Its children have so many seconds, if any.
    within: u64,
    /// Kicks another one that does the same, but does not.
    nested: bool,
    seen: Vec<Seen>,
}

#[workflow(app = App, job = Job)]
#[derive(Debug, Clone)]
enum Work {
    #[state(initial, next(Merge, Done), kick(Split, Waits, Parks))]
    Split,
    #[state(next(Done))]
    Waits,
    #[state(next(Done))]
    Parks,
    #[state(next(Done))]
    Merge,
    #[state(terminal)]
    Done,
}

#[state]
async fn split(_: work::Split, cx: &mut Cx<Work>) -> Outcome<work::Split> {
    let Job { waiting, parked, or_parked, last, delay, within, nested, .. } = cx.job;
    let child = |kick: Kick<work::Waits>| match within {
        0 => kick,
        _ => kick.deadline(Duration::from_secs(within)),
    };
    let inner = nested.then(|| Kick::new(work::Split, Job { nested: false, ..cx.job.clone() }));
    let next = if last { Next::to(work::Done) } else { Next::to(work::Merge) };
    let next = next
        .after(Duration::from_secs(delay))
        .kick(inner)
        .kick((0..waiting).map(|_| child(Kick::new(work::Waits, Job::default()))))
        .kick((0..parked).map(|_| Kick::new(work::Parks, Job::default())));
    Ok(if or_parked { next.when_children_done_or_parked() } else { next.when_children_done() })
}

#[state(concurrency = 1000)]
async fn waits(_: work::Waits, cx: &mut Cx<Work>) -> Outcome<work::Waits> {
    cx.app.go.notified().await;
    Ok(Next::to(work::Done))
}

#[state(concurrency = 1000)]
async fn parks(_: work::Parks) -> Outcome<work::Parks> {
    Err(Fault::fatal("no"))
}

#[state]
async fn merge(_: work::Merge, cx: &mut Cx<Work>) -> Outcome<work::Merge> {
    let children = cx.children();
    let in_states = children.cancelled_in::<work::Waits>() + children.cancelled_in::<work::Parks>();
    assert_eq!(children.cancelled(), in_states);
    cx.job.seen.push([children.ended(), children.parked(), children.cancelled(), children.left()]);
    Ok(Next::to(work::Done))
}

struct Bench {
    app: App,
    run: Run<Work>,
    /// From when the jobs were made.
    clock: Clock,
}

impl Bench {
    fn new(store: BoxStore<Work>, jobs: impl IntoIterator<Item = Kick<work::Split>>) -> Self {
        let mut run = Run::open(store).unwrap();
        run.seed((), |seeds| seeds.extend(jobs)).unwrap();
        let clock = Clock::starting_at(run.job(0).unwrap().ready_at());
        Bench { app: App::default(), run, clock }
    }

    /// Drives it while somebody does something, once all that can happen has happened.
    async fn drive(&mut self, during: impl AsyncFnOnce(&Handle<Work>, &App)) -> Summary {
        let mut processor = Processor::new(self.app.clone()).clock(self.clock);
        let (handle, app) = (processor.handle(), self.app.clone());
        let (summary, ()) = tokio::join!(processor.exec(&mut self.run), async {
            sleep(Duration::from_secs(1)).await;
            during(&handle, &app).await;
        });
        summary.unwrap()
    }

    /// As another process finds it.
    fn reopen(&mut self, kind: Kind, at: &Path) {
        if kind != Kind::Memory {
            self.run = Run::open(jorb::MemoryStore::new()).unwrap();
            self.run = Run::open(kind.at(at)).unwrap();
        }
    }

    async fn finish(&mut self) -> Summary {
        self.drive(async |_, app| app.go.notify_waiters()).await
    }

    /// Until its children wait for a word.
    async fn until_it_joins(&mut self) {
        let summary = self.drive(async |handle, _| handle.stop_now()).await;
        assert_eq!(summary.exit(), Exit::Stopped);
        assert_eq!(self.status(0), Shown::Joining);
    }

    fn status(&mut self, job: u64) -> Shown {
        self.run.job(job).unwrap().status()
    }

    fn seen(&mut self, job: u64) -> Vec<Seen> {
        self.run.job(job).unwrap().load_context().unwrap().seen
    }
}

fn each() -> impl Iterator<Item = (Kind, BoxStore<Work>, tempfile::TempDir)> {
    Kind::ALL.into_iter().map(|kind| {
        let folder = tempfile::tempdir().unwrap();
        (kind, kind.at(folder.path()), folder)
    })
}

fn parent(waiting: u64, parked: u64) -> Job {
    Job { waiting, parked, ..Job::default() }
}

fn split_of(job: Job) -> [Kick<work::Split>; 1] {
    [Kick::new(work::Split, job)]
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_cancelled_live_is_done() {
    for (kind, store, _folder) in each() {
        let mut bench = Bench::new(store, split_of(parent(2, 1)));
        let summary = bench
            .drive(async |handle, app| {
                // One where it is parked, and the last one that it waits for in mid-step.
                assert_eq!(handle.cancel().job(3).unwrap().apply().await.unwrap(), 1);
                app.go.notify_one();
                sleep(Duration::from_secs(1)).await;
                assert_eq!(handle.overview().unwrap().sum(|state| state.joining), 1, "{kind:?}");
                assert_eq!(handle.cancel().job(2).unwrap().apply().await.unwrap(), 1);
            })
            .await;
        assert_eq!(
            (summary.exit(), summary.joining(), summary.cancelled()),
            (Exit::Complete, 0, 2),
            "{kind:?}"
        );
        assert_eq!(bench.seen(0), [[1, 0, 2, 0]], "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_cancelled_while_nobody_drives_the_run_is_done() {
    for (kind, store, _folder) in each() {
        let mut bench = Bench::new(store, split_of(parent(2, 0)));
        bench.until_it_joins().await;
        assert_eq!(bench.run.cancel().job(1).unwrap().apply().unwrap(), 1);
        assert_eq!(bench.status(0), Shown::Joining, "{kind:?}");
        assert_eq!(bench.run.cancel().in_state::<work::Waits>().apply().unwrap(), 1);
        // In the same transaction.
        assert_eq!(bench.status(0), Shown::Ready, "{kind:?}");
        assert_eq!(bench.run.states().iter().map(|state| state.joining).sum::<u64>(), 0, "{kind:?}");
        let summary = bench.finish().await;
        assert_eq!((summary.exit(), summary.cancelled()), (Exit::Complete, 2), "{kind:?}");
        assert_eq!(bench.seen(0), [[0, 0, 2, 0]], "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_deadline_passes_is_done() {
    for (kind, store, _folder) in each() {
        let mut bench = Bench::new(store, split_of(Job { or_parked: true, within: 10, ..parent(2, 1) }));
        // In mid-step, after ten seconds.
        let summary = bench.drive(async |_, _| {}).await;
        assert_eq!((summary.exit(), bench.seen(0)), (Exit::Parked, vec![[0, 1, 2, 0]]), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_cancelled_never_fires_until_it_is_redriven() {
    for (kind, _, folder) in each() {
        for (i, last) in [false, true].into_iter().enumerate() {
            let at = folder.path().join(i.to_string());
            std::fs::create_dir(&at).unwrap();
            // The other one joins all the time.
            let jobs = [Job { last, ..parent(2, 1) }, parent(0, 1)];
            let mut bench = Bench::new(kind.at(&at), jobs.map(|job| Kick::new(work::Split, job)));
            let summary = bench
                .drive(async |handle, app| {
                    assert_eq!(handle.cancel().job(0).unwrap().apply().await.unwrap(), 1);
                    assert_eq!(handle.cancel().job(4).unwrap().apply().await.unwrap(), 1);
                    app.go.notify_waiters();
                })
                .await;
            let stood = (summary.exit(), summary.cancelled(), summary.joining(), summary.ended());
            assert_eq!(stood, (Exit::Parked, 2, 1, 2), "{kind:?}");
            bench.reopen(kind, &at);
            assert_eq!((bench.status(0), bench.seen(0)), (Shown::Cancelled, vec![]), "{kind:?}");
            let found: Vec<_> = bench.run.jobs().status(Shown::Cancelled).into_iter().collect();
            assert_eq!(found.len(), 2, "{kind:?}");
            // Redriven, it waits for who is not done: for a child that is redriven too.
            assert_eq!(bench.run.redrive().job(4).unwrap().retry().unwrap(), 1);
            assert_eq!(bench.run.redrive().job(0).unwrap().retry().unwrap(), 1);
            assert_eq!(bench.status(0), Shown::Joining, "{kind:?}");
            bench.reopen(kind, &at);
            let summary = bench.finish().await;
            assert_eq!((summary.exit(), summary.joining()), (Exit::Parked, 2), "{kind:?}");
            assert_eq!(bench.run.cancel().job(4).unwrap().apply().unwrap(), 1);
            let ends = if last { Shown::Ended } else { Shown::Ready };
            assert_eq!(bench.status(0), ends, "{kind:?}");
            let summary = bench.finish().await;
            assert_eq!((summary.exit(), summary.ended()), (Exit::Parked, 3), "{kind:?}");
            assert_eq!(bench.seen(0), if last { vec![] } else { vec![[2, 0, 1, 0]] }, "{kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_cancelled_and_redriven_when_all_are_done_goes_on_at_once() {
    for (kind, store, _folder) in each() {
        let mut bench = Bench::new(store, split_of(parent(2, 0)));
        bench.until_it_joins().await;
        assert_eq!(bench.run.cancel().status(Shown::Joining).apply().unwrap(), 1);
        // Its children are left as they are.
        let summary = bench.finish().await;
        assert_eq!((summary.ended(), summary.cancelled()), (2, 1), "{kind:?}");
        assert_eq!(bench.run.redrive().status(Shown::Cancelled).retry().unwrap(), 1);
        assert_eq!(bench.status(0), Shown::Ready, "{kind:?}");
        let summary = bench.finish().await;
        assert_eq!((summary.exit(), bench.seen(0)), (Exit::Complete, vec![[2, 0, 0, 0]]), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_cancels_all_jobs_starts_no_parent() {
    // More children than are cancelled at once, and a parent in each of two generations.
    for live in [false, true] {
        for (kind, store, _folder) in each() {
            let mut bench = Bench::new(store, split_of(Job { nested: true, ..parent(512, 0) }));
            if live {
                let summary = bench
                    .drive(async |handle, _| {
                        assert_eq!(handle.cancel().apply().await.unwrap(), 1026, "{kind:?}");
                    })
                    .await;
                assert_eq!(summary.exit(), Exit::Complete, "{kind:?}");
            } else {
                bench.until_it_joins().await;
                assert_eq!(bench.run.cancel().apply().unwrap(), 1026, "{kind:?}");
            }
            assert!(bench.run.is_complete(), "{kind:?}");
            let left =
                bench.run.jobs().into_iter().filter(|job| job.as_ref().unwrap().status() != Shown::Cancelled);
            assert_eq!(left.count(), 0, "{kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_looked_at_when_the_children_are_done() {
    let of = |job, seconds| [Kick::new(work::Split, job).deadline(Duration::from_secs(seconds))];
    for (kind, store, _folder) in each() {
        // It has passed by then: no step.
        let mut bench = Bench::new(store, of(parent(1, 0), 100));
        let summary = bench
            .drive(async |handle, app| {
                sleep(Duration::from_secs(200)).await;
                assert_eq!(handle.overview().unwrap().sum(|state| state.joining), 1, "{kind:?}");
                app.go.notify_waiters();
            })
            .await;
        assert_eq!((summary.exit(), summary.cancelled()), (Exit::Complete, 1), "{kind:?}");
        assert_eq!((bench.status(0), bench.seen(0)), (Shown::Cancelled, vec![]), "{kind:?}");
        let job = bench.run.job(0).unwrap();
        let error = &job.story.errors.last().unwrap().error;
        assert!(error.contains("deadline"), "{error}");
    }
    for (kind, store, _folder) in each() {
        // It has nothing left to do but to end.
        let mut bench = Bench::new(store, of(Job { last: true, ..parent(1, 0) }, 100));
        let summary = bench
            .drive(async |_, app| {
                sleep(Duration::from_secs(200)).await;
                app.go.notify_waiters();
            })
            .await;
        assert_eq!((summary.exit(), summary.ended()), (Exit::Complete, 2), "{kind:?}");
    }
    for (kind, store, _folder) in each() {
        // It waits for its delay no longer than until then.
        let mut bench = Bench::new(store, of(Job { delay: 3600, ..parent(1, 0) }, 100));
        let summary = bench.finish().await;
        assert_eq!((bench.status(0), summary.cancelled()), (Shown::Cancelled, 1), "{kind:?}");
        assert_eq!(summary.elapsed.as_secs(), 100, "{kind:?}");
    }
}
