//! Jobs that go on, when their children are done, in a state whose limiter has a rate for each key.
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use jorb::{
    Clock, Ending, JobId, Keyed, Processor, Run, StateId, Status, Store, Timestamp, prelude::*, store::Lane,
};
use jorb_tests::{START, spy::Spy, stores::Kind};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// Of each binder, when which book was bound.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Bound>>);

type Bound = BTreeMap<String, Vec<(Instant, JobId)>>;

/// A job is the name of who binds it.
#[workflow(app = Log, job = String)]
#[derive(Debug, Clone)]
enum Book {
    #[state(initial, next(Bind), kick(Print))]
    Split,
    #[state(next(Done))]
    Print,
    #[state(next(Done))]
    Bind,
    #[state(terminal)]
    Done,
}

#[limiter(rate = "1/s", keyed)]
struct Binder;

/// The program has another opinion of who binds for `old-..`.
static SOLD: AtomicBool = AtomicBool::new(false);

fn binder(name: &str) -> &str {
    if SOLD.load(Relaxed) && name.starts_with("old") { "new" } else { name }
}

impl Keyed<book::Bind> for Binder {
    fn key(_: &book::Bind, name: &String) -> String {
        binder(name).to_owned()
    }
}

#[state(concurrency = 4)]
async fn split(_: book::Split, cx: &mut Cx<Book>) -> Outcome<book::Split> {
    let pages = [Kick::new(book::Print, cx.job.clone()), Kick::new(book::Print, cx.job.clone())];
    Ok(Next::to(book::Bind).kick(pages).when_children_done())
}

#[state]
async fn print(_: book::Print) -> Outcome<book::Print> {
    Ok(Next::to(book::Done))
}

#[state(concurrency = 4, limits(Binder))]
async fn bind(_: book::Bind, cx: &mut Cx<Book>) -> Outcome<book::Bind> {
    assert_eq!(cx.children().ended_in::<book::Done>(), 2);
    let key = binder(&cx.job).to_owned();
    cx.app.0.lock().unwrap().entry(key).or_default().push((Instant::now(), cx.id()));
    Ok(Next::to(book::Done))
}

/// Drives it, while a state is held, if one is; memory keeps little of it.
async fn drive(store: &Spy<Book>, at: Duration, held: Option<&str>) -> Log {
    let mut run = Run::open(store.clone()).unwrap();
    for state in ["Print", "Bind"] {
        run.set_held(state, held == Some(state)).unwrap();
    }
    let log = Log::default();
    let at = Timestamp(START.0 + u64::try_from(at.as_millis()).unwrap());
    let processor = Processor::new(log.clone()).clock(Clock::starting_at(at));
    let summary = processor.window(8).exec(&mut run).await.unwrap();
    assert_eq!((summary.ending, summary.is_complete()), (Ending::Complete, held.is_none()));
    log
}

/// The lanes of those that are to be bound.
fn lanes(store: &Spy<Book>) -> Vec<(i8, Option<String>)> {
    let _ = store.header();
    let bind = StateId::<Book>::named("Bind").unwrap();
    let lanes = store.clone().lanes(bind, Status::Ready, None, usize::MAX).unwrap();
    lanes.into_iter().map(|Lane { priority, key }| (priority, key.map(|key| key.to_string()))).collect()
}

/// Each one second after the other, the first one at once.
fn check(log: &Log, began: Instant, key: &str, expected: Option<&[u64]>, many: usize) {
    let bound = log.0.lock().unwrap().get(key).cloned().unwrap_or_default();
    assert_eq!(bound.len(), many, "{key}");
    for (i, (at, _)) in (0..).zip(&bound) {
        assert_eq!(*at - began, i * SECOND, "{key}: {i}");
    }
    if let Some(expected) = expected {
        let order: Vec<_> = bound.iter().map(|(_, id)| id.0).collect();
        assert_eq!(order, expected, "{key}");
    }
}

fn seeded(kind: Kind, folder: &std::path::Path, names: &[(&str, i8)]) -> Spy<Book> {
    let store = Spy::watched(kind.at(folder), ());
    let mut run = Run::<Book>::open(store.clone()).unwrap();
    let book = |(name, priority): &(&str, i8)| Kick::new(book::Split, (*name).into()).priority(*priority);
    run.seed((), |jobs| jobs.extend(names.iter().map(book))).unwrap();
    store
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_children_are_done_stands_in_the_line_of_its_key() {
    for (kind, held) in Kind::ALL.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let folder = tempfile::tempdir().unwrap();
        let store =
            seeded(kind, folder.path(), &[("a", 0), ("a", 0), ("b", 0), ("a", 0), ("b", 0), ("c", 2)]);
        if held {
            let _ = drive(&store, Duration::ZERO, Some("Bind")).await;
            let key = |key: &str| Some(key.to_owned());
            assert_eq!(lanes(&store), [(0, key("a")), (0, key("b")), (2, key("c"))], "{kind:?}");
        }
        let began = Instant::now();
        let log = drive(&store, SECOND, None).await;
        for (key, order) in [("a", &[0, 1, 3][..]), ("b", &[2, 4]), ("c", &[5])] {
            check(&log, began, key, Some(order), order.len());
        }
        assert_eq!(lanes(&store), [], "{kind:?}");
    }
}

/// More than memory keeps.
#[tokio::test(start_paused = true)]
async fn its_key_may_be_another_one_when_they_are_done() {
    let names: Vec<_> = (0..300).map(|n| (["old-0", "old-1", "sure"][n % 3], 0)).collect();
    for kind in Kind::ALL {
        SOLD.store(false, Relaxed);
        let folder = tempfile::tempdir().unwrap();
        let store = seeded(kind, folder.path(), &names);
        let _ = drive(&store, Duration::ZERO, Some("Print")).await;
        assert_eq!(lanes(&store), [], "{kind:?}: all join");
        SOLD.store(true, Relaxed);
        let began = Instant::now();
        let log = drive(&store, SECOND, None).await;
        check(&log, began, "new", None, 200);
        check(&log, began, "sure", None, 100);
        assert_eq!(lanes(&store), [], "{kind:?}");
    }
}
