//! Steps that panic, hang, are stopped in the middle, or leave what cannot be saved.
use std::{
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    sync::{Arc, Mutex},
    time::Duration,
};

use jorb::{Clock, Ending, Exit, Initial, Processor, Run, Status, prelude::*, store::BoxStore};
use jorb_tests::{START, lab::Lab, spy::Spy, stores::Kind};
use tokio::time::sleep;

/// The app, and what handlers leave for the test to see.
#[derive(Clone, Default)]
struct App {
    lab: Lab,
    /// Results that were given after somebody had stopped to wait.
    late: Arc<AtomicU32>,
    keys: Arc<Mutex<Vec<String>>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Note {
    changed: u32,
    ratio: f64,
}

#[workflow(app = App, job = Note)]
#[derive(Debug, Clone)]
enum Risky {
    #[state(initial, next(Done))]
    Panics { text: bool },
    #[state(initial, next(Done))]
    Hangs,
    #[state(initial, next(Done))]
    Blocks,
    #[state(initial, next(Done))]
    Patient,
    #[state(initial, next(Done, Field))]
    Nan { place: u8 },
    #[state(initial, next(Done))]
    Field { value: f64 },
    #[state(initial, next(Keys, Done))]
    Keys,
    #[state(terminal)]
    Done,
}

#[state(concurrency = 2, retries = 1)]
async fn panics(risky::Panics { text }: risky::Panics, cx: &mut Cx<Risky>) -> Outcome<risky::Panics> {
    assert_eq!(cx.job.changed, 0, "the change of an attempt that panicked is undone");
    cx.job.changed += 1;
    if cx.attempt() == 2 && text {
        return Ok(Next::to(risky::Done));
    }
    panic!("no {} today", cx.id());
}

#[state(concurrency = 1, retries = 1, timeout = "5s")]
async fn hangs(_: risky::Hangs, cx: &mut Cx<Risky>) -> Outcome<risky::Hangs> {
    let _inside = cx.app.lab.enter("Hangs", cx);
    assert_eq!(cx.job.changed, 0, "the change of an attempt that timed out is undone");
    cx.job.changed += 1;
    if cx.attempt() == 1 {
        sleep(Duration::from_secs(3600)).await;
        cx.app.late.fetch_add(1, SeqCst);
    }
    Ok(Next::to(risky::Done))
}

#[state(concurrency = 1, retries = 1, backoff = "1ms..2ms", timeout = "30ms")]
fn blocks(_: risky::Blocks, cx: &mut Cx<Risky>) -> Outcome<risky::Blocks> {
    let _inside = cx.app.lab.enter("Blocks", cx);
    if cx.attempt() == 1 {
        // Goes on after it was told, as code that knows no tokens does.
        while !cx.cancelled().is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(60));
        cx.app.late.fetch_add(1, SeqCst);
    }
    Ok(Next::to(risky::Done))
}

#[state(concurrency = 5)]
async fn patient(_: risky::Patient, cx: &mut Cx<Risky>) -> Outcome<risky::Patient> {
    let _inside = cx.app.lab.enter("Patient", cx);
    sleep(Duration::from_secs(5)).await;
    cx.app.late.fetch_add(1, SeqCst);
    Ok(Next::to(risky::Done))
}

#[state]
async fn nan(risky::Nan { place }: risky::Nan, cx: &mut Cx<Risky>) -> Outcome<risky::Nan> {
    match place {
        0 => cx.job.ratio = f64::NAN,
        1 => return Ok(Next::to(risky::Field { value: f64::INFINITY })),
        _ => {
            cx.job.ratio = f64::NAN;
            return Err(Fault::retry("and the context is bad as well"));
        }
    }
    Ok(Next::to(risky::Done))
}

#[state]
async fn field(_: risky::Field) -> Outcome<risky::Field> {
    Ok(Next::to(risky::Done))
}

#[state(retries = 1)]
async fn keys(_: risky::Keys, cx: &mut Cx<Risky>) -> Outcome<risky::Keys> {
    cx.app.keys.lock().unwrap().push(cx.key());
    cx.job.changed += 1;
    match cx.job.changed {
        1 | 4 => Err(Fault::retry("again")),
        2 => Ok(Next::to(risky::Keys)),
        3 => Err(Fault::throttled(Duration::from_secs(60))),
        _ => Ok(Next::to(risky::Done)),
    }
}

fn seeded<S: Initial<Workflow = Risky>>(
    store: BoxStore<Risky>,
    seeds: impl IntoIterator<Item = S>,
) -> (Run<Risky>, Spy<Risky>) {
    let spy = Spy::watched(store, ());
    let mut run = Run::open(spy.clone()).unwrap();
    run.seed((), |jobs| jobs.extend(seeds.into_iter().map(|s| Kick::new(s, Note::default())))).unwrap();
    (run, spy)
}

fn processor(app: &App) -> Processor<Risky> {
    Processor::new(app.clone()).clock(Clock::starting_at(START))
}

fn for_each_store(mut test: impl FnMut(Kind, BoxStore<Risky>)) {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        test(kind, kind.at(folder.path()));
    }
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

#[test]
fn a_panic_is_recorded_with_its_place_and_its_changes_are_undone() {
    for_each_store(|kind, store| {
        let (mut run, spy) = seeded(store, [true, false, true].map(|text| risky::Panics { text }));
        let summary = paused().block_on(processor(&App::default()).exec(&mut run)).unwrap();
        assert_eq!((summary.ended(), summary.parked(), summary.errors), (2, 1, 4), "{kind:?}");
        assert_eq!(summary.exit(), Exit::Parked);
        let error = &spy.story(1).errors[0];
        assert!(error.error.contains("no 1 today"), "{}", error.error);
        assert!(error.error.contains("timeouts_panics.rs:"), "{}", error.error);
        assert_eq!((error.attempt, error.state.as_ref()), (1, "Panics"));
        let show = |id: usize| format!("{:?}", spy.jobs()[id].job.context);
        if kind != Kind::Memory {
            assert!(show(0).contains(r#""changed":1"#) && show(1).contains(r#""changed":0"#), "{}", show(1));
        }
    });
}

#[test]
fn a_timeout_drops_an_async_step() {
    for_each_store(|kind, store| {
        let (mut run, spy) = seeded(store, [risky::Hangs, risky::Hangs]);
        let app = App::default();
        let summary = paused().block_on(processor(&app).exec(&mut run)).unwrap();
        assert_eq!((summary.ended(), summary.errors), (2, 2), "{kind:?}");
        assert_eq!(app.late.load(SeqCst), 0, "it was dropped");
        assert!(spy.story(0).errors[0].error.contains("timed out"), "{:?}", spy.story(0).errors);
        assert_eq!(app.lab.book().most["Hangs"], 1);
    });
}

/// On the real clock: a thread that blocks is what this is about.
#[tokio::test]
async fn a_timeout_of_a_plain_fn_keeps_its_slot_until_the_thread_returns() {
    let (mut run, spy) = seeded(Kind::Memory.at("".as_ref()), [risky::Blocks, risky::Blocks]);
    let app = App::default();
    let summary = processor(&app).exec(&mut run).await.unwrap();
    assert_eq!((summary.ended(), summary.errors), (2, 2));
    assert_eq!(app.late.load(SeqCst), 2, "both threads came to their ends");
    let book = app.lab.book();
    assert_eq!(book.most["Blocks"], 1, "the retry waits for the thread");
    assert_eq!(spy.story(0).errors.len(), 1, "the late result is ignored");
}

#[tokio::test(start_paused = true)]
async fn cancel_drops_result() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let (mut run, _) = seeded(kind.at(folder.path()), (0..8).map(|_| risky::Patient));
        let app = App::default();
        let mut processor = processor(&app);
        let handle = processor.handle();
        let stop = async {
            sleep(Duration::from_secs(1)).await;
            handle.stop();
        };
        let (summary, ()) = tokio::join!(processor.exec(&mut run), stop);
        let summary = summary.unwrap();
        assert_eq!(
            (summary.ending, summary.jobs("Done")),
            (Ending::Stopped, 5),
            "{kind:?}: its result is kept"
        );
        assert_eq!(app.late.load(SeqCst), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn steps_are_dropped_after_the_grace_period_or_a_second_stop() {
    for (now, elapsed) in [(false, 3), (true, 2)] {
        let (mut run, spy) = seeded(Kind::Memory.at("".as_ref()), (0..8).map(|_| risky::Patient));
        let app = App::default();
        let mut processor = processor(&app).grace(Duration::from_secs(2));
        let handle = processor.handle();
        let stop = async {
            sleep(Duration::from_secs(1)).await;
            handle.stop();
            sleep(Duration::from_secs(1)).await;
            if now {
                handle.stop_now();
            }
        };
        let (summary, ()) = tokio::join!(processor.exec(&mut run), stop);
        let summary = summary.unwrap();
        assert_eq!((summary.jobs("Patient"), summary.errors, summary.elapsed.as_secs()), (8, 0, elapsed));
        assert_eq!(app.late.load(SeqCst), 0);
        assert!(spy.jobs().iter().all(|r| r.job.attempt == 1 && r.job.status == Status::Ready));
        let summary = processor.exec(&mut run).await.unwrap();
        assert_eq!((summary.ending, summary.jobs("Done")), (Ending::Complete, 8));
        assert_eq!(app.lab.book().jobs("Patient").len(), 13, "the five ran again");
    }
}

#[tokio::test(start_paused = true)]
async fn unserialisable_value() {
    for kind in Kind::DURABLE {
        let folder = tempfile::tempdir().unwrap();
        let (mut run, spy) = seeded(kind.at(folder.path()), [0, 1, 2].map(|place| risky::Nan { place }));
        let summary = processor(&App::default()).exec(&mut run).await.unwrap();
        assert_eq!((summary.parked(), summary.jobs("Nan")), (3, 3), "{kind:?}: in the old state");
        for (id, field) in [(0, "ratio"), (1, "value"), (2, "ratio")] {
            let error = spy.story(id).errors[0].error.clone();
            assert!(error.contains(&format!("`{field}`")), "{kind:?} {id}: {error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_context_parks_its_job() {
    let folder = tempfile::tempdir().unwrap();
    let (run, spy) = seeded(Kind::Sqlite.at(folder.path()), [risky::Keys, risky::Keys]);
    drop((run, spy));
    let db = rusqlite::Connection::open(folder.path().join("run.jorb")).unwrap();
    let n = db.execute(r#"UPDATE job SET context = '{"changed":"many"}' WHERE id = 0"#, ()).unwrap();
    assert_eq!(n, 1);
    drop(db);
    let spy = Spy::watched(Kind::Sqlite.at(folder.path()), ());
    let mut run = Run::open(spy.clone()).unwrap();
    let summary = processor(&App::default()).exec(&mut run).await.unwrap();
    assert_eq!((summary.parked(), summary.jobs("Done")), (1, 1));
    let error = &spy.story(0).errors[0].error;
    assert!(error.contains("does not fit") && error.contains("Note"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_the_same_on_every_attempt_and_in_every_process() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let (mut run, mut spy) = seeded(kind.at(folder.path()), [risky::Keys]);
        let app = App::default();
        let mut processor = processor(&app);
        let handle = processor.handle();
        let stop = async {
            sleep(Duration::from_secs(30)).await;
            handle.stop(); // throttled
        };
        let (summary, ()) = tokio::join!(processor.exec(&mut run), stop);
        assert_eq!(summary.unwrap().ending, Ending::Stopped);
        drop(run);
        if kind != Kind::Memory {
            drop(spy);
            spy = Spy::watched(kind.at(folder.path()), ());
        }
        let mut run = Run::<Risky>::open(spy.clone()).unwrap();
        let id = run.id();
        let summary = processor.exec(&mut run).await.unwrap();
        assert_eq!(summary.ended(), 1);
        let keys = app.keys.lock().unwrap().clone();
        assert_eq!(keys, [0, 0, 1, 1, 1].map(|step| format!("{id}/0/{step}")), "{kind:?}");
    }
}
