//! The faults of the Go original, row by row: we do not have them. `torn_file` and `lost_steps` are what `crash.rs` is
//! about, `cancel_drops_result` and `unserialisable_value` are in `timeouts_panics.rs`.
use std::{
    path::Path,
    time::{Duration, Instant},
};

use jorb::{
    Clock, Ending, Error, MemoryStore, Processor, Run, Saved, Status,
    prelude::*,
    store::{Batch, BoxStore},
};
use jorb_tests::{
    START,
    lab::Lab,
    spy::{Spy, Watch, disk_full},
    stores::Kind,
};
use tokio::time::sleep;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Note {
    changed: Vec<u32>,
}

#[workflow(app = Lab, job = Note)]
#[derive(Debug, Clone)]
enum Mixed {
    /// Ten moves that do nothing.
    #[state(initial, next(Fast, Done))]
    Fast { left: u32 },
    /// A second.
    #[state(initial, next(Done))]
    Slow,
    #[state(initial, next(Done))]
    Panics,
    /// Kicks in two different steps.
    #[state(initial, next(More), kick(Child))]
    Parent,
    #[state(next(Done), kick(Child))]
    More,
    #[state(initial, next(Done))]
    Limited,
    #[state(terminal)]
    Child,
    #[state(terminal)]
    Done,
}

#[state(concurrency = 16)]
async fn fast(mixed::Fast { left }: mixed::Fast) -> Outcome<mixed::Fast> {
    Ok(if left == 0 { Next::to(mixed::Done) } else { Next::to(mixed::Fast { left: left - 1 }) })
}

#[state(concurrency = 4)]
async fn slow(_: mixed::Slow, cx: &mut Cx<Mixed>) -> Outcome<mixed::Slow> {
    let _inside = cx.app.enter("Slow", cx);
    cx.job.changed.push(1);
    sleep(Duration::from_secs(1)).await;
    cx.job.changed.push(2);
    Ok(Next::to(mixed::Done))
}

#[state]
async fn panics(_: mixed::Panics) -> Outcome<mixed::Panics> {
    panic!("on purpose")
}

#[state]
async fn parent(_: mixed::Parent) -> Outcome<mixed::Parent> {
    Ok(Next::to(mixed::More).kick((0..3).map(|_| Kick::new(mixed::Child, Note::default()))))
}

#[state]
async fn more(_: mixed::More) -> Outcome<mixed::More> {
    Ok(Next::to(mixed::Done).kick((0..3).map(|_| Kick::new(mixed::Child, Note::default()))))
}

#[state(concurrency = 4, rate = "1/s")]
async fn limited(_: mixed::Limited, cx: &mut Cx<Mixed>) -> Outcome<mixed::Limited> {
    let _inside = cx.app.enter("Limited", cx);
    Ok(Next::to(mixed::Done))
}

fn seeded<S: jorb::Initial<Workflow = Mixed>, T: Watch<Mixed>>(
    store: BoxStore<Mixed>,
    watch: T,
    seeds: impl IntoIterator<Item = S>,
) -> (Run<Mixed>, Spy<Mixed, T>) {
    let spy = Spy::watched(store, watch);
    let mut run = Run::open(spy.clone()).unwrap();
    run.seed((), |jobs| jobs.extend(seeds.into_iter().map(|s| Kick::new(s, Note::default())))).unwrap();
    (run, spy)
}

fn memory() -> BoxStore<Mixed> {
    Box::new(MemoryStore::new())
}

fn processor(lab: &Lab) -> Processor<Mixed> {
    Processor::new(lab.clone()).clock(Clock::starting_at(START))
}

/// Rows that were read and written per transition, and the best time that one took in some tries.
fn per_move(kind: Kind, jobs: u32, tries: u32) -> (f64, Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let once = |_| {
        let folder = tempfile::tempdir().unwrap();
        let (mut run, spy) = seeded(kind.at(folder.path()), (), (0..jobs).map(|_| mixed::Fast { left: 9 }));
        let (began, rows) = (Instant::now(), spy.rows());
        let summary = runtime.block_on(Processor::new(Lab::default()).exec(&mut run)).unwrap();
        assert_eq!(summary.moves, u64::from(jobs) * 10);
        ((spy.rows() - rows) as f64 / f64::from(jobs * 10), began.elapsed() / (jobs * 10))
    };
    let tries: Vec<_> = (0..tries).map(once).collect();
    (tries[0].0, tries.iter().map(|t| t.1).min().unwrap())
}

/// Work per transition does not grow with the run: as many rows are read and written, in about the time. (The original
/// took twenty times as long per transition at 20,000 jobs.)
#[test]
fn quadratic() {
    for (kind, small, large) in [(Kind::Memory, 1_000, 40_000), (Kind::Sqlite, 1_000, 15_000)] {
        let ((small_rows, small), (large_rows, large)) = (per_move(kind, small, 3), per_move(kind, large, 1));
        eprintln!("{kind:?}: {small_rows} and {large_rows} rows, {small:?} and {large:?} per transition");
        // A job that waits behind more than memory keeps is read once more.
        assert!(
            large_rows <= small_rows + 1.1,
            "{kind:?}: {small_rows} and {large_rows} rows per transition"
        );
        // What is in no cache any more takes a few times as long, on a machine that does other things as well.
        assert!(large <= small * 5, "{kind:?}: {small:?} and {large:?} per transition");
    }
}

/// A disk that is full from some commit on.
struct Full {
    after: u64,
}

impl Watch<Mixed> for Full {
    fn before(&mut self, _: &Batch<Mixed>) -> Result<(), Error> {
        self.after = self.after.saturating_sub(1);
        if self.after == 0 { Err(disk_full()) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn full_disk() {
    for kind in Kind::ALL {
        for after in 4..8 {
            let folder = tempfile::tempdir().unwrap();
            let full = Full { after };
            let (mut run, spy) = seeded(kind.at(folder.path()), full, (0..20).map(|_| mixed::Slow));
            let lab = Lab::default();
            let error = processor(&lab).exec(&mut run).await.unwrap_err();
            assert!(error.io().is_some_and(|e| e.kind() == std::io::ErrorKind::StorageFull), "{error}");
            let jobs = spy.jobs();
            assert_eq!(jobs.len(), 20, "{kind:?}: the last good state is kept");
            let ended = jobs.iter().filter(|r| r.job.status == Status::Ended).count();
            assert!(ended < 20);
            // There is room again: the same run goes on.
            spy.watch().after = u64::MAX;
            let summary = processor(&lab).exec(&mut run).await.unwrap();
            assert_eq!((summary.ending, summary.ended()), (Ending::Complete, 20), "{kind:?}");
            let rerun = lab.book().steps.len() - 20;
            assert!(rerun <= 8, "{kind:?}: only what was in flight or uncommitted ran again, not {rerun}");
        }
    }
}

/// Cases that must not compile are in `ui`.
fn does_not_compile(case: &str) {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui").join(case);
    assert!(case.is_file() && case.with_extension("stderr").is_file(), "{}", case.display());
}

#[test]
fn misspelled_state() {
    does_not_compile("fail/next_unknown_state.rs");
    does_not_compile("fail/next_state_misspelled_in_handler.rs");
}

#[test]
fn kick_to_unknown() {
    does_not_compile("fail/kick_unknown_state.rs");
    does_not_compile("fail/kick_illegal.rs");
}

#[test]
fn duplicate_state() {
    does_not_compile("fail/handler_duplicate.rs");
}

#[test]
fn unknown_state_in_file() {
    for kind in Kind::DURABLE {
        let folder = tempfile::tempdir().unwrap();
        let (run, spy) = seeded(kind.at(folder.path()), (), [mixed::Slow, mixed::Slow]);
        drop((run, spy));
        if kind == Kind::Sqlite {
            let db = rusqlite::Connection::open(folder.path().join("run.jorb")).unwrap();
            let n = db.execute("UPDATE state SET name = 'Slwo' WHERE name = 'Slow'", ()).unwrap();
            assert_eq!(n, 1);
        } else {
            let file = folder.path().join("run.json");
            let spy = Spy::<Mixed>::watched(kind.at(folder.path()), ());
            drop(Run::open(spy).unwrap());
            for file in [file.clone(), file.with_extension("json.log")] {
                let Ok(text) = std::fs::read_to_string(&file) else { continue };
                std::fs::write(file, text.replace(r#""Slow""#, r#""Slwo""#)).unwrap();
            }
        }
        let Err(error) = Run::<Mixed>::open(Spy::watched(kind.at(folder.path()), ())) else {
            panic!("{kind:?}: opened")
        };
        let text = error.to_string();
        assert!(text.contains("`Slwo` (2 jobs; did you mean `Slow`?)"), "{kind:?}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn panic() {
    let (mut run, spy) = seeded(memory(), (), [mixed::Panics]);
    let lab = Lab::default();
    let summary = processor(&lab).exec(&mut run).await.unwrap();
    assert_eq!(summary.parked(), 1);
    assert!(spy.story(0).errors[0].error.contains("on purpose"));
}

#[tokio::test(start_paused = true)]
async fn cancelled_before() {
    let (mut run, _) = seeded(memory(), (), [mixed::Slow]);
    let mut processor = processor(&Lab::default());
    processor.handle().stop();
    let summary = processor.exec(&mut run).await.unwrap();
    assert_eq!((summary.ending, summary.moves), (Ending::Stopped, 0));
}

#[tokio::test(start_paused = true)]
async fn cancel_mid_run() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let (mut run, spy) = seeded(kind.at(folder.path()), (), (0..60).map(|_| mixed::Slow));
        let lab = Lab::default();
        for _ in 0..10 {
            let mut processor = processor(&lab);
            let handle = processor.handle();
            let stop = async {
                sleep(Duration::from_millis(500)).await;
                handle.stop();
            };
            let (summary, ()) = tokio::join!(processor.exec(&mut run), stop);
            assert_eq!(summary.unwrap().ending, Ending::Stopped, "{kind:?}");
            assert!(spy.header().clean);
        }
        let ended = spy.jobs().iter().filter(|r| r.job.status == Status::Ended).count();
        assert_eq!((ended, lab.book().steps.len()), (40, 40), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn kick_ids_collide() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let (mut run, spy) = seeded(kind.at(folder.path()), (), [mixed::Parent, mixed::Parent]);
        let summary = processor(&Lab::default()).exec(&mut run).await.unwrap();
        assert_eq!(summary.jobs("Child"), 12);
        let mut names: Vec<_> =
            spy.jobs().iter().filter_map(|r| r.job.parent).map(|(p, n)| (p.0, n)).collect();
        names.sort_unstable();
        assert_eq!(names, (0..12).map(|i| (i / 6, i % 6)).collect::<Vec<_>>(), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn limiter_error_ignored() {
    let (mut run, _) = seeded(memory(), (), (0..5).map(|_| mixed::Limited));
    let lab = Lab::default();
    let mut processor = processor(&lab);
    let handle = processor.handle();
    let stop = async {
        sleep(Duration::from_millis(1_500)).await;
        handle.stop_now(); // in the middle of a wait for the limiter
    };
    let (summary, ()) = tokio::join!(processor.exec(&mut run), stop);
    assert_eq!((summary.unwrap().ended(), lab.book().steps.len()), (2, 2));
    let _ = processor.exec(&mut run).await.unwrap();
    lab.book().check_rate("Limited", 1, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn reuse() {
    for kind in Kind::ALL {
        let lab = Lab::default();
        let mut processor = processor(&lab);
        for _ in 0..2 {
            let folder = tempfile::tempdir().unwrap();
            let (mut run, _) = seeded(kind.at(folder.path()), (), (0..5).map(|_| mixed::Slow));
            for moves in [5, 0, 0] {
                let summary = processor.exec(&mut run).await.unwrap();
                assert_eq!((summary.moves, summary.jobs("Done")), (moves, 5), "{kind:?}");
            }
            run.add(Kick::new(mixed::Slow, Note::default())).unwrap();
            let summary = processor.exec(&mut run).await.unwrap();
            assert_eq!((summary.moves, summary.jobs("Done")), (1, 6), "{kind:?}");
        }
    }
}

fn changed(spy: &Spy<Mixed>) -> Vec<Vec<u32>> {
    let note = |saved: &Saved<Note>| match saved {
        Saved::Value(note) => note.changed.clone(),
        Saved::Json(text) => serde_json::from_str::<Note>(text).unwrap().changed,
        Saved::Nothing => Vec::new(),
    };
    spy.jobs().iter().map(|r| note(&r.job.context)).collect()
}

/// What a handler changes is its own until the commit: here it is looked at in the middle of steps.
#[tokio::test(start_paused = true)]
async fn shared_mutation() {
    let (mut run, spy) = seeded(memory(), (), [mixed::Slow]);
    let mut processor = processor(&Lab::default());
    let look = async {
        sleep(Duration::from_millis(500)).await;
        changed(&spy)
    };
    let (_, seen) = tokio::join!(processor.exec(&mut run), look);
    assert_eq!((seen, changed(&spy)), (vec![vec![]], vec![vec![1, 2]]));
}

#[tokio::test(start_paused = true)]
async fn partial_mutation() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let (mut run, spy) = seeded(kind.at(folder.path()), (), [mixed::Slow]);
        let mut processor = processor(&Lab::default());
        let handle = processor.handle();
        let stop = async {
            sleep(Duration::from_millis(500)).await;
            handle.stop_now();
        };
        let (_, ()) = tokio::join!(processor.exec(&mut run), stop);
        assert_eq!(changed(&spy)[0].len(), 0, "{kind:?}");
        let _ = processor.exec(&mut run).await.unwrap();
        assert_eq!(changed(&spy), [[1, 2]], "{kind:?}");
    }
}

#[test]
fn init_lost() {
    for kind in Kind::DURABLE {
        let folder = tempfile::tempdir().unwrap();
        let (run, spy) = seeded(kind.at(folder.path()), (), [mixed::Slow]);
        drop(run);
        let (created, at) = (spy.header().created, spy.jobs()[0].job.ready_at);
        drop(spy);
        let spy = Spy::<Mixed>::watched(kind.at(folder.path()), ());
        assert_eq!((spy.header().created, spy.jobs()[0].job.ready_at), (created, at), "{kind:?}");
        assert!(created.0 > 0 && at >= created);
    }
}
