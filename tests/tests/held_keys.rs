//! Keys of limiters that an operator holds and releases.
use std::{
    future::Future,
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use jorb::{
    Clock, Ending, Error, Exit, HeldKey, JobId, Keyed, MemoryStore, Processor, Run, Shown, SqliteStore,
    Summary, Timestamp, Wait,
    cli::Program,
    prelude::*,
    store::{Batch, BoxStore, Committed},
};
use jorb_tests::{
    START,
    hosts::{LOUD, Page, host, page},
    lab::check_rate,
    spy::{Spy, Watch, disk_full},
    stores::Kind,
};
use tokio::time::{Instant, sleep, timeout};

const MS: Duration = Duration::from_millis(1);

/// What started: when, for which host, and with which number.
#[derive(Clone)]
struct Log(Instant, Arc<Mutex<Vec<(Instant, String, u32)>>>);

impl Log {
    fn new() -> Self {
        Log(Instant::now(), Arc::default())
    }

    fn of<T>(&self, host: &str, what: impl Fn(&(Instant, String, u32)) -> T) -> Vec<T> {
        self.1.lock().unwrap().iter().filter(|(_, of, _)| of == host).map(what).collect()
    }

    /// In their order.
    fn order(&self, host: &str) -> Vec<u32> {
        self.of(host, |(.., n)| *n)
    }

    /// When, in ms.
    fn at(&self, host: &str) -> Vec<u128> {
        self.of(host, |(at, ..)| at.duration_since(self.0).as_millis())
    }

    fn clear(&self) {
        self.1.lock().unwrap().clear();
    }
}

#[workflow(app = Log, job = Page)]
#[derive(Debug, Clone)]
enum Crawl {
    /// Takes of nothing.
    #[state(initial, next(Fetch, Done))]
    Nap,
    #[state(initial, next(Done))]
    Fetch,
    /// Of a tenant and a host, and of all.
    #[state(initial, next(Done))]
    Post { tenant: String },
    /// May kill its process.
    #[state(initial, next(Done))]
    Risky,
    #[state(terminal)]
    Done,
}

#[limiter(rate = "10/s", burst = 2, concurrency = 2, keyed)]
struct Host;

#[limiter(concurrency = 1, keyed)]
struct Tenant;

#[limiter(concurrency = 2)]
struct Everything;

impl Keyed<crawl::Fetch> for Host {
    fn key(_: &crawl::Fetch, page: &Page) -> String {
        host(page)
    }
}

impl Keyed<crawl::Post> for Host {
    fn key(_: &crawl::Post, page: &Page) -> String {
        host(page)
    }
}

impl Keyed<crawl::Risky> for Host {
    fn key(_: &crawl::Risky, page: &Page) -> String {
        host(page)
    }
}

impl Keyed<crawl::Post> for Tenant {
    fn key(post: &crawl::Post, _: &Page) -> String {
        post.tenant.clone()
    }
}

async fn visit(cx: &mut Cx<Crawl>) -> Result<(), Fault> {
    cx.app.1.lock().unwrap().push((Instant::now(), cx.job.host.clone(), cx.job.n));
    sleep(Duration::from_millis(cx.job.ms)).await;
    match cx.job.throttled.take() {
        Some(after) => Err(Fault::throttled(Duration::from_millis(after))),
        None => Ok(()),
    }
}

/// Those that have nothing to fetch just take their time.
#[state(concurrency = 8)]
async fn nap(_: crawl::Nap, cx: &mut Cx<Crawl>) -> Outcome<crawl::Nap> {
    sleep(Duration::from_millis(cx.job.ms)).await;
    Ok(if cx.job.host.is_empty() { Next::to(crawl::Done) } else { Next::to(crawl::Fetch) })
}

#[state(concurrency = 8, limits(Host))]
async fn fetch(_: crawl::Fetch, cx: &mut Cx<Crawl>) -> Outcome<crawl::Fetch> {
    visit(cx).await?;
    Ok(Next::to(crawl::Done))
}

#[state(concurrency = 8, limits(Tenant, Host, Everything))]
async fn post(_: crawl::Post, cx: &mut Cx<Crawl>) -> Outcome<crawl::Post> {
    visit(cx).await?;
    Ok(Next::to(crawl::Done))
}

#[state(concurrency = 8, limits(Host), crashes = 5)]
async fn risky(_: crawl::Risky, cx: &mut Cx<Crawl>) -> Outcome<crawl::Risky> {
    visit(cx).await?;
    Ok(Next::to(crawl::Done))
}

fn fetches(host: &'static str, n: std::ops::Range<u32>, ms: u64) -> impl Iterator<Item = Kick<crawl::Fetch>> {
    n.map(move |n| Kick::new(crawl::Fetch, page(host, n, ms)))
}

fn posts(tenant: &str, host: &str, n: u32) -> Kick<crawl::Post> {
    Kick::new(crawl::Post { tenant: tenant.into() }, page(host, n, 0))
}

/// Keeps the run going for so long.
fn goes_on(ms: u64) -> Kick<crawl::Nap> {
    Kick::new(crawl::Nap, page("", 0, ms))
}

fn memory() -> Run<Crawl> {
    Run::open(MemoryStore::new()).unwrap()
}

fn processor(log: &Log) -> Processor<Crawl> {
    let now = u64::try_from(log.0.elapsed().as_millis()).unwrap();
    Processor::new(log.clone()).clock(Clock::starting_at(Timestamp(START.0 + now)))
}

async fn exec(processor: &mut Processor<Crawl>, run: &mut Run<Crawl>) -> Summary {
    timeout(Duration::from_secs(3600), processor.exec(run)).await.expect("it hangs").unwrap()
}

/// Drives the run to its end while this is done.
async fn exec_and(
    processor: &mut Processor<Crawl>,
    run: &mut Run<Crawl>,
    act: impl Future<Output = ()>,
) -> Summary {
    tokio::join!(exec(processor, run), act).0
}

fn held(run: &Run<Crawl>) -> Vec<(String, String)> {
    run.held_keys().into_iter().map(|HeldKey { limiter, key, .. }| (limiter, key)).collect()
}

fn host_key(key: &str) -> (String, String) {
    ("Host".into(), key.into())
}

#[tokio::test(start_paused = true)]
async fn the_run_remembers_a_held_key_and_is_done_without_it() {
    for kind in Kind::ALL {
        let (folder, log) = (tempfile::tempdir().unwrap(), Log::new());
        let store = Spy::watched(kind.at(folder.path()), ());
        let mut run = Run::open(store.clone()).unwrap();
        run.seed((), |jobs| jobs.extend(fetches("a", 0..10, 0).chain(fetches("b", 0..10, 0)))).unwrap();
        let mut first = processor(&log);
        // Before anybody knows of it; the last word counts.
        first.handle().release_key::<Host>("a").unwrap();
        first.handle().hold_key::<Host>("a").unwrap();
        first.handle().hold_key::<Host>("b").unwrap();
        first.handle().set_key_held_named("Host", "b", false).unwrap();
        let summary = exec(&mut first, &mut run).await;
        assert_eq!((summary.ending, summary.exit()), (Ending::Complete, Exit::Stopped), "{kind:?}");
        assert!(summary.to_string().starts_with("all that is not held is complete"), "{summary}");
        assert_eq!((summary.jobs("Done"), log.order("b")), (10, (0..10).collect()), "{kind:?}");
        assert_eq!((held(&run), log.order("a")), (vec![host_key("a")], vec![]), "{kind:?}");
        assert_eq!(run.held_keys()[0].since, START);

        // After a restart, it has nothing to do.
        drop(run);
        let mut run = Run::open(store.clone()).unwrap();
        assert_eq!(held(&run), [host_key("a")], "{kind:?}");
        let summary = exec(&mut processor(&log), &mut run).await;
        assert_eq!((summary.ending, summary.moves), (Ending::Complete, 0), "{kind:?}");
        run.set_key_held("Host", "a", false).unwrap();
        run.set_key_held("Host", "c", true).unwrap();
        drop(run);
        let mut run = Run::open(store).unwrap();
        assert_eq!(held(&run), [host_key("c")], "{kind:?}");
        let summary = exec(&mut processor(&log), &mut run).await;
        assert_eq!((summary.exit(), log.order("a")), (Exit::Complete, (0..10).collect()), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_held_and_released_while_steps_run() {
    let (mut run, log) = (memory(), Log::new());
    run.seed((), |jobs| {
        jobs.add(goes_on(10_000))?;
        jobs.extend(fetches("a", 0..12, 300))?;
        jobs.extend(fetches("b", 0..8, 300))
    })
    .unwrap();
    let mut processor = processor(&log);
    let handle = processor.handle();
    let wait = || handle.overview().unwrap().state("Fetch").unwrap().waits.clone();
    let act = async {
        sleep(450 * MS).await;
        handle.hold_key::<Host>("a").unwrap();
        // Of another limiter.
        handle.hold_key::<Tenant>("b").unwrap();
        sleep(50 * MS).await;
        assert_eq!(handle.overview().unwrap().state("Fetch").unwrap().executing, 4, "steps in flight go on");
        sleep(1_500 * MS).await;
        let since = Timestamp(START.0 + 450);
        let key = Some("a".into());
        assert_eq!(
            wait(),
            Some(Wait { limiter: "Host", key, held: true, since, until: None, by: Vec::new() })
        );
        let limiters = handle.overview().unwrap().limiters;
        let host = limiters.iter().find(|of| of.name == "Host").unwrap();
        assert_eq!(host.held, [HeldKey { limiter: "Host".into(), key: "a".into(), since }]);
        // Once more changes nothing.
        handle.hold_key::<Host>("a").unwrap();
        assert_eq!(wait().unwrap().since, since);
        sleep(1_000 * MS).await;
        handle.release_key::<Host>("a").unwrap();
        assert_eq!(wait(), None);
    };
    let summary = exec_and(&mut processor, &mut run, act).await;
    assert_eq!(summary.exit(), Exit::Complete);
    assert_eq!(log.at("a")[..8], [0, 0, 300, 300, 3_000, 3_000, 3_300, 3_300]);
    assert_eq!(log.order("a"), (0..12).collect::<Vec<_>>());
    assert_eq!(log.at("b"), [0, 0, 300, 300, 600, 600, 900, 900], "nobody else is disturbed");
    assert_eq!(held(&run), [("Tenant".into(), "b".into())]);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_of_a_key_stays_taken() {
    for restart in [false, true] {
        let (log, store) = (Log::new(), Spy::new(MemoryStore::new()));
        let mut run = Run::open(store.clone()).unwrap();
        run.seed((), |jobs| {
            jobs.add(goes_on(230))?;
            jobs.extend(fetches("a", 0..8, 0))
        })
        .unwrap();
        let mut first = processor(&log);
        let handle = first.handle();
        let act = async {
            sleep(220 * MS).await;
            handle.hold_key::<Host>("a").unwrap();
            if !restart {
                sleep(5 * MS).await;
                handle.release_key::<Host>("a").unwrap();
            }
        };
        let _ = exec_and(&mut first, &mut run, act).await;
        if restart {
            assert_eq!(log.0.elapsed(), 230 * MS, "it ends with what is not held");
            drop(run);
            run = Run::open(store).unwrap();
            run.set_key_held("Host", "a", false).unwrap();
            let _ = exec(&mut processor(&log), &mut run).await;
        }
        assert_eq!(log.at("a"), [0, 0, 100, 200, 300, 400, 500, 600], "restart: {restart}");
    }
}

/// Fails a commit that holds a key, before it or after it.
struct Fails(Option<bool>);

impl Watch<Crawl> for Fails {
    fn before(&mut self, batch: &Batch<Crawl>) -> Result<(), Error> {
        if batch.held_keys.is_some() && self.0 == Some(false) { Err(disk_full()) } else { Ok(()) }
    }

    fn after(&mut self, batch: &Batch<Crawl>, _: &Committed<Crawl>) -> Result<(), Error> {
        if batch.held_keys.is_some() && self.0 == Some(true) { Err(disk_full()) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_leaves_a_key_held_or_not_as_it_was_committed() {
    for kind in Kind::ALL {
        for fails in [None, Some(false), Some(true)] {
            let (folder, log) = (tempfile::tempdir().unwrap(), Log::new());
            let store = Spy::watched(kind.at(folder.path()), Fails(fails));
            let mut run = Run::open(store.clone()).unwrap();
            run.seed((), |jobs| {
                jobs.extend(fetches("a", 0..10, 1_000))?;
                jobs.extend(fetches("b", 0..4, 1_000))
            })
            .unwrap();
            let mut first = processor(&log);
            let handle = first.handle();
            let act = async {
                sleep(500 * MS).await;
                handle.hold_key::<Host>("a").unwrap();
                sleep(100 * MS).await;
            };
            tokio::select! {
                biased;
                failed = first.exec(&mut run) => drop(failed.unwrap_err()),
                () = act => assert_eq!(fails, None),
            }
            // Nobody ended it well.
            drop((run, first));
            sleep(MS).await; // its tasks let the store go
            let store: BoxStore<Crawl> = if kind == Kind::Memory {
                store.watch().0 = None;
                Box::new(store)
            } else {
                drop(store);
                kind.at(folder.path())
            };
            let mut run = Run::open(store).unwrap();
            let is_held = fails != Some(false);
            let what = format!("{kind:?}, {fails:?}");
            assert_eq!(held(&run), if is_held { vec![host_key("a")] } else { vec![] }, "{what}");
            log.clear();
            let summary = exec(&mut processor(&log), &mut run).await;
            assert_eq!(summary.jobs("Done"), if is_held { 4 } else { 14 }, "{what}");
            assert_eq!(log.order("a").is_empty(), is_held, "{what}");
            run.set_key_held("Host", "a", false).unwrap();
            let summary = exec(&mut processor(&log), &mut run).await;
            assert_eq!((summary.exit(), summary.jobs("Done")), (Exit::Complete, 14), "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_that_wait_for_a_time_as_well_are_held() {
    let (mut run, log) = (memory(), Log::new());
    run.seed((), |jobs| {
        let later = Page { throttled: Some(60_000), ..page("a", 0, 0) };
        jobs.add(Kick::new(crawl::Fetch, later))?;
        jobs.extend(fetches("b", 0..12, 0))?;
        jobs.extend(fetches("c", 0..1, 0).map(|job| job.deadline(5_000 * MS)))
    })
    .unwrap();
    let made = run.job(0).unwrap().ready_at();
    let on = |log: &Log| Processor::new(log.clone()).clock(Clock::starting_at(made + log.0.elapsed()));
    let mut first = on(&log);
    let handle = first.handle();
    handle.hold_key::<Host>("c").unwrap();
    let act = async {
        sleep(500 * MS).await;
        handle.hold_key::<Host>("a").unwrap();
    };
    let summary = exec_and(&mut first, &mut run, act).await;
    assert_eq!((summary.ending, summary.jobs("Done")), (Ending::Complete, 12));
    assert_eq!(log.0.elapsed(), 1_000 * MS, "nobody waited a minute for it");
    // The time goes on meanwhile, and a deadline comes when its job may start.
    sleep(9_000 * MS).await;
    let mut next = on(&log);
    next.handle().release_key::<Host>("a").unwrap();
    let summary = exec(&mut next, &mut run).await;
    assert_eq!((summary.jobs("Done"), summary.cancelled(), log.at("a")), (13, 0, vec![0, 60_000]));
    next.handle().release_key::<Host>("c").unwrap();
    let summary = exec(&mut next, &mut run).await;
    assert_eq!((summary.exit(), summary.cancelled(), log.order("c")), (Exit::Complete, 1, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_step_with_two_keys_starts_when_neither_is_held() {
    let (mut run, log) = (memory(), Log::new());
    run.seed((), |jobs| {
        jobs.extend([posts("t", "a", 0), posts("t", "b", 1), posts("u", "b", 2), posts("u", "c", 3)])?;
        // Of the same host, in a state that the tenants do not limit.
        jobs.extend(fetches("a", 4..5, 0))
    })
    .unwrap();
    let mut processor = processor(&log);
    let handle = processor.handle();
    handle.hold_key::<Tenant>("t").unwrap();
    handle.hold_key::<Host>("b").unwrap();
    // A key is one of its limiter.
    handle.hold_key::<Host>("t").unwrap();
    handle.hold_key::<Tenant>("c").unwrap();
    let mut done = async |all: [&[u32]; 3]| {
        let _ = exec(&mut processor, &mut run).await;
        assert_eq!(["a", "b", "c"].map(|host| log.order(host)), all.map(<[u32]>::to_vec));
    };
    done([&[4], &[], &[3]]).await;
    handle.release_key::<Host>("b").unwrap();
    done([&[4], &[2], &[3]]).await;
    handle.release_key::<Tenant>("t").unwrap();
    done([&[4, 0], &[2, 1], &[3]]).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_stood_behind_a_job_of_a_held_key_goes_on() {
    let (mut run, log) = (memory(), Log::new());
    run.seed((), |jobs| {
        // Both of these hold all that there is of `Everything`; `a`, which comes first, has no permit, and then is held.
        jobs.extend(
            ["x", "y"].map(|host| Kick::new(crawl::Post { tenant: host.into() }, page(host, 0, 1_000))),
        )?;
        jobs.extend([posts("t", "a", 1), posts("u", "b", 2)])
    })
    .unwrap();
    let mut processor = processor(&log);
    let handle = processor.handle();
    let act = async {
        sleep(500 * MS).await;
        handle.hold_key::<Host>("a").unwrap();
    };
    let _ = exec_and(&mut processor, &mut run, act).await;
    assert_eq!((log.at("a"), log.at("b")), (vec![], vec![1_000]));
}

#[tokio::test(start_paused = true)]
async fn held_jobs_that_only_the_store_has_are_waited_for_too() {
    for kind in Kind::ALL {
        for late in [false, true] {
            let (folder, log) = (tempfile::tempdir().unwrap(), Log::new());
            let store = Spy::watched(kind.at(folder.path()), ());
            let mut run = Run::open(store.clone()).unwrap();
            run.seed((), |jobs| {
                jobs.extend(fetches("a", 0..100, 0))?;
                jobs.extend(fetches("b", 0..100, 0))?;
                for n in 0..50 {
                    jobs.add(Kick::new(crawl::Fetch, page(&format!("host-{n}"), n, 0)))?;
                }
                jobs.extend(fetches("a", 100..110, 0))
            })
            .unwrap();
            let mut first = processor(&log).window(1);
            let handle = first.handle();
            let act = async {
                if late {
                    sleep(950 * MS).await;
                }
                for key in ["a", "b"] {
                    handle.hold_key::<Host>(key).unwrap();
                }
            };
            let summary = exec_and(&mut first, &mut run, act).await;
            let what = format!("{kind:?}, {late}");
            assert_eq!(summary.ending, Ending::Complete, "{what}");
            let started = if late { 11 } else { 0 };
            assert_eq!(log.order("a"), (0..started).collect::<Vec<_>>(), "{what}");
            assert!((0..50).all(|n| log.order(&format!("host-{n}")) == [n]), "{what}");
            drop((run, first));
            let mut run = Run::open(store).unwrap();
            let mut next = processor(&log).window(1);
            next.handle().release_key::<Host>("b").unwrap();
            let summary = exec(&mut next, &mut run).await;
            let done = u64::from(started) + 150;
            assert_eq!((summary.ending, summary.jobs("Done")), (Ending::Complete, done), "{what}");
            next.handle().release_key::<Host>("a").unwrap();
            let summary = exec(&mut next, &mut run).await;
            assert_eq!((summary.exit(), log.order("a")), (Exit::Complete, (0..110).collect()), "{what}");
            assert_eq!(log.order("b"), (0..100).collect::<Vec<_>>(), "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_key_is_another_one_today_is_not_held() {
    let log = Log::new();
    let store = Spy::new(MemoryStore::new());
    let mut run = Run::open(store.clone()).unwrap();
    let later = |n| Page { throttled: Some(1_000), ..page("rekeyed", n, 0) };
    run.seed((), |jobs| jobs.extend((0..2).map(|n| Kick::new(crawl::Fetch, later(n))))).unwrap();
    // Both stand in the line of the old key, and nobody has them in memory.
    let mut first = processor(&log);
    let handle = first.handle();
    let act = async {
        sleep(50 * MS).await;
        handle.hold_key::<Host>("rekeyed").unwrap();
    };
    assert_eq!(exec_and(&mut first, &mut run, act).await.moves, 0);
    drop(run);
    LOUD.store(true, Relaxed);
    let mut run = Run::open(store).unwrap();
    let summary = exec(&mut processor(&log), &mut run).await;
    assert_eq!((summary.exit(), summary.moves), (Exit::Complete, 2));
}

#[tokio::test(start_paused = true)]
async fn a_canary_does_not_wait_for_a_held_key() {
    let (mut run, log) = (memory(), Log::new());
    let naps = ["a", "a", "b", "c"].into_iter().zip(0..);
    run.seed((), |jobs| jobs.extend(naps.map(|(host, n)| Kick::new(crawl::Nap, page(host, n, 100)))))
        .unwrap();
    let mut processor = processor(&log).first(3);
    let handle = processor.handle();
    let act = async {
        sleep(50 * MS).await;
        handle.hold_key::<Host>("a").unwrap();
    };
    let summary = exec_and(&mut processor, &mut run, act).await;
    assert_eq!((summary.ending, summary.jobs("Done")), (Ending::Canary, 1), "{summary}");
    assert_eq!((log.order("a"), log.order("b")), (vec![], vec![2]));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_suspect_that_is_held() {
    // By its key, or with its state; at once, while it waits for a permit, or once the first one runs.
    let all = [true, false].into_iter().flat_map(|key| [0, 10, 100].map(|ms| (key, ms)));
    for (key, ms) in all {
        let late = ms == 100;
        let (folder, log) = (tempfile::tempdir().unwrap(), Log::new());
        let store = || SqliteStore::at(folder.path().join("run.jorb"));
        let mut run = Run::open(store()).unwrap();
        run.seed((), |jobs| {
            jobs.extend((0..2).map(|n| Kick::new(crawl::Risky, page("a", n, 10_000))))?;
            jobs.extend(fetches("b", 0..3, 0))
        })
        .unwrap();
        // What a process leaves behind that is killed in mid-step.
        let noted = folder.path().join("run.jorb.steps");
        let killed = async {
            sleep(if ms == 10 { 20 * MS } else { 150 * MS }).await;
            std::fs::copy(&noted, folder.path().join("copy")).unwrap();
        };
        let mut first = processor(&log);
        tokio::select! {
            _ = first.exec(&mut run) => panic!("it ended"),
            () = killed => {}
        }
        drop(run);
        sleep(MS).await; // its tasks let the store go
        std::fs::rename(folder.path().join("copy"), noted).unwrap();
        suspects_are_shown(&folder.path().join("run.jorb"));
        let mut run = Run::open(store()).unwrap();
        assert_eq!(run.suspects().unwrap(), [JobId(0), JobId(1)], "{ms} {key}");
        run.add(fetches("b", 3..4, 0).next().unwrap()).unwrap();
        log.clear();
        let mut next = processor(&log);
        let handle = next.handle();
        let act = async {
            if ms > 0 {
                // They run one by one, and all others wait.
                sleep(ms * MS).await;
                let first = if late { vec![0] } else { vec![] };
                assert_eq!((log.order("a"), log.order("b")), (first, vec![]));
                assert_eq!(handle.overview().unwrap().suspects, 2, "they are, until they ran alone");
                let elsewhere = Run::<Crawl>::read(store()).unwrap().suspects().unwrap();
                assert_eq!(elsewhere, [], "what is noted now is what runs");
            }
            if key {
                handle.hold_key::<Host>("a").unwrap();
            } else {
                handle.hold::<crawl::Risky>();
            }
        };
        let summary = exec_and(&mut next, &mut run, act).await;
        // Of the others, the limiter let two start before the process died that soon.
        let others = if ms == 10 { vec![2, 3] } else { vec![3] };
        assert_eq!((summary.ending, log.order("b")), (Ending::Complete, others), "{ms} {key}");
        assert_eq!(log.order("a").len(), usize::from(late));
        assert_eq!(run.suspects().unwrap().len(), 2 - log.order("a").len(), "the others are still");
        next.handle().release_key::<Host>("a").unwrap();
        next.handle().release::<crawl::Risky>();
        let summary = exec(&mut next, &mut run).await;
        assert_eq!((summary.exit(), log.order("a")), (Exit::Complete, vec![0, 1]), "{ms} {key}");
        assert_eq!(run.suspects().unwrap(), []);
    }
}

/// By those who only look.
fn suspects_are_shown(store: &Path) {
    let shown = |args: &[&str]| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let args = [&["crawl", "--store", store.to_str().unwrap()], args].concat();
        let _ = Program::<Crawl>::new().main_with(args, &mut out, &mut err);
        String::from_utf8(out).unwrap()
    };
    let says = "2 jobs ran when the process died: they run first, and alone\n";
    assert!(shown(&["status"]).contains(&format!("suspects: {says}")), "{}", shown(&["status"]));
    assert!(shown(&["report"]).contains(&format!("\n{says}")), "{}", shown(&["report"]));
    for verb in ["status", "report"] {
        let json: serde_json::Value = serde_json::from_str(&shown(&[verb, "--json"])).unwrap();
        assert_eq!(json["suspects"], 2, "{json}");
    }
}

#[test]
fn a_report_says_how_a_held_key_goes_on() {
    let mut run = memory();
    run.seed((), |seeds| seeds.extend(fetches("two words", 0..3, 0))).unwrap();
    let free = run.report().unwrap();
    assert_eq!(free.next.last().unwrap().what, "goes on with 3 jobs");
    run.set_key_held("Host", "two words", true).unwrap();
    run.set_key_held("Host", "it's", true).unwrap();
    let report = run.report().unwrap();
    let next: Vec<_> = report.next.iter().map(|advice| (&*advice.command, &*advice.what)).collect();
    let lets = "lets the jobs of that key go on";
    assert_eq!(
        next,
        [
            (r"release --limiter Host --key 'it'\''s'", lets),
            ("release --limiter Host --key 'two words'", lets),
            ("run", "goes on with 3 jobs, but for those of held keys"),
        ]
    );
    let text = report.to_string();
    assert!(text.contains("\nheld: Host[two words], since ") && !free.to_string().contains("held"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn only_keys_of_keyed_limiters_are_held() {
    let mut run = memory();
    run.seed((), |jobs| jobs.add(goes_on(0))).unwrap();
    let handle = processor(&Log::new()).handle();
    let mut refused = |limiter: &str, key: &str, why: &str| {
        assert_eq!(handle.set_key_held_named(limiter, key, true).unwrap_err().to_string(), why);
        assert_eq!(run.set_key_held(limiter, key, false).unwrap_err().to_string(), why);
    };
    refused("Hots", "a", "there is no limiter `Hots`; did you mean `Host`?");
    refused("Fetch", "a", "there is no limiter `Fetch`");
    let unkeyed = "`Everything` has no keys: it is not `keyed`; name the states that take of it";
    refused("Everything", "a", unkeyed);
    refused("Host", "", "an empty key of `Host` stands for none; give a key");
    assert!(matches!(handle.hold_key::<Everything>("a"), Err(Error::NotKeyed { limiter: "Everything" })));
    assert!(matches!(handle.release_key::<Tenant>(""), Err(Error::EmptyKey { limiter: "Tenant" })));
    let odd = "a]b[c] d";
    run.set_key_held("Host", odd, true).unwrap();
    assert_eq!(held(&run), [host_key(odd)]);
}

#[tokio::test(start_paused = true)]
async fn held_keys_go_from_store_to_store() {
    for (from, to) in [(Kind::Sqlite, Kind::Json), (Kind::Json, Kind::Sqlite)] {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let log = Log::new();
        let mut run = Run::<Crawl>::open(from.at::<Crawl>(folders[0].path())).unwrap();
        run.seed((), |jobs| jobs.extend(fetches("a", 0..3, 0).chain(fetches("b", 0..3, 0)))).unwrap();
        run.set_key_held("Host", "a", true).unwrap();
        let since = run.held_keys();
        let mut lines = Vec::new();
        run.export(&mut lines).unwrap();
        let to = |folder| to.at::<Crawl>(folder);
        Run::import(to(folders[1].path()), std::io::Cursor::new(lines)).unwrap();
        let mut run = Run::open(to(folders[1].path())).unwrap();
        assert_eq!(run.held_keys(), since, "{from:?}");
        assert_eq!(exec(&mut processor(&log), &mut run).await.jobs("Done"), 3, "{from:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_let_go_keep_to_their_rate() {
    let (mut run, log) = (memory(), Log::new());
    run.seed((), |jobs| jobs.extend(fetches("a", 0..60, 30).chain(fetches("b", 0..60, 30)))).unwrap();
    let mut processor = processor(&log);
    let handle = processor.handle();
    let act = async {
        for wait in [70, 20, 150, 400, 1, 90, 310] {
            sleep(wait * MS).await;
            handle.hold_key::<Host>("a").unwrap();
            let before = log.order("a").len();
            sleep(wait * MS).await;
            assert_eq!(log.order("a").len(), before, "nothing starts while it is held");
            handle.release_key::<Host>("a").unwrap();
        }
    };
    let _ = exec_and(&mut processor, &mut run, act).await;
    for host in ["a", "b"] {
        assert_eq!(log.order(host), (0..60).collect::<Vec<_>>());
        check_rate(&log.of(host, |(at, ..)| *at), 2, 100 * MS, Duration::ZERO);
    }
}
#[tokio::test(start_paused = true)]
async fn jobs_of_a_key_are_cancelled_in_whichever_state_and_no_others() {
    for kind in Kind::ALL {
        let (folder, log) = (tempfile::tempdir().unwrap(), Log::new());
        let mut run = Run::<Crawl>::open(kind.at(folder.path())).unwrap();
        run.seed((), |jobs| {
            jobs.extend(fetches("a", 0..20, 1000).chain(fetches("b", 0..3, 10)))?;
            jobs.extend([posts("t", "a", 0), posts("a", "b", 1), posts("u", "b", 2)])?;
            jobs.extend([goes_on(0), goes_on(0)])
        })
        .unwrap();
        // Nobody has looked at them yet, and so no key of them is stored.
        assert_eq!(run.cancel().key("Host", "a").unwrap().dry_run(true).apply().unwrap(), 21, "{kind:?}");
        assert_eq!(run.jobs().of_key::<Tenant>("a").unwrap().into_iter().count(), 1, "{kind:?}");
        let fetches = run.cancel().of_key::<Host>("a").unwrap().in_state::<crawl::Fetch>();
        assert_eq!(fetches.limit(15).apply().unwrap(), 15);
        assert_eq!(run.cancel().of_key::<Tenant>("u").unwrap().apply().unwrap(), 1, "{kind:?}");

        let mut processor = processor(&log);
        let handle = processor.handle();
        let act = async {
            sleep(500 * MS).await;
            // Two run, and the others wait for them, or in their lines.
            assert_eq!(handle.cancel().of_key::<Host>("a").unwrap().apply().await.unwrap(), 6, "{kind:?}");
            assert_eq!(handle.cancel().key("Host", "a").unwrap().apply().await.unwrap(), 0);
            assert!(matches!(handle.cancel().key("Hots", "a").err(), Some(Error::NoSuchLimiter(_))));
        };
        let summary = exec_and(&mut processor, &mut run, act).await;
        assert_eq!(
            (summary.exit(), summary.cancelled(), summary.ended()),
            (Exit::Complete, 22, 6),
            "{kind:?}"
        );
        assert_eq!(run.jobs().of_key::<Host>("a").unwrap().status(Shown::Cancelled).into_iter().count(), 21);
        assert!(matches!(run.cancel().of_key::<Everything>("a").err(), Some(Error::NotKeyed { .. })));
        assert!(matches!(run.cancel().of_key::<Host>("").err(), Some(Error::EmptyKey { .. })));
    }
}

#[test]
fn the_command_line_holds_keys_on_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("run.jorb");
    let main = |args: &[&str]| {
        let program = Program::<Crawl>::new().app(|_| Ok::<_, Error>(Log::new())).seed(|_, run| {
            run.seed((), |jobs| jobs.extend(fetches("example.org", 0..2, 0).chain(fetches("b", 0..2, 0))))
        });
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let args = [&["crawl", "--store", store.to_str().unwrap()], args].concat();
        let code = program.main_with(args, &mut out, &mut err);
        (format!("{code:?}"), String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    };
    let code = |code: u8| format!("{:?}", ExitCode::from(code));
    let key = ["--limiter", "Host", "--key", "example.org"];
    let with = |verb: &'static str| [&[verb], &key[..]].concat();
    // A run that is not begun can be held too.
    Run::<Crawl>::open(SqliteStore::at(&store)).unwrap().close().unwrap();
    let held = "`Host[example.org]` is held: jobs arrive and wait\n";
    assert_eq!(main(&with("hold")), (code(0), String::new(), held.into()));
    assert_eq!(main(&["-q"]).0, code(4), "stopped, or held");
    let status: serde_json::Value = serde_json::from_str(&main(&["status", "--json"]).1).unwrap();
    let (counts, known) = (&status["by_status"], &status["held_keys"][0]);
    assert_eq!((&counts["Fetch"]["ready"], &counts["Done"]["ended"]), (&2.into(), &2.into()));
    assert_eq!((&known["limiter"], &known["key"]), (&"Host".into(), &"example.org".into()));
    let line = format!("held: Host[example.org], since {}\n", known["since"].as_str().unwrap());
    assert!(main(&["status"]).1.contains(&line), "{line}");

    let error = |args: &[&str]| {
        let (ended, _, err) = main(args);
        assert_eq!(ended, code(1), "{args:?}");
        err
    };
    assert!(error(&["hold", "--limiter", "Hots", "--key", "b"]).contains("did you mean `Host`?"));
    assert!(error(&["hold", "--limiter", "Everything", "--key", "b"]).contains("has no keys"));
    assert!(error(&["release", "--limiter", "Host", "--key", ""]).contains("stands for none"));
    for wrong in [
        &["hold"][..],
        &["hold", "--limiter", "Host"],
        &["hold", "Fetch", "--key", "b"],
        &["release", "Fetch", "--limiter", "Host", "--key", "b"],
    ] {
        assert_eq!(main(wrong).0, code(2), "{wrong:?}");
    }
    let cancel = [&["cancel"], &key[..]].concat();
    assert_eq!(main(&[&cancel[..], &["--dry-run"]].concat()).2, "2 jobs would be cancelled\n");
    assert_eq!(main(&[&cancel[..], &["--limit", "1"]].concat()).2, "1 job cancelled\n");
    let listed = main(&[&["jobs", "--status", "cancelled"], &key[..]].concat()).1;
    assert_eq!(listed.lines().filter(|line| line.contains("cancelled")).count(), 1, "{listed}");
    let named = error(&[&["cancel", "--job", "2", "--limiter", "Host"][..], &["--key", "a"]].concat());
    assert!(
        named.contains("job 2 has ended in `Done`, and takes nothing of `Host[a]`; leave out `--key`"),
        "{named}"
    );
    for wrong in [&["--key", "b"][..], &["--limiter", "Host"]] {
        assert_eq!(main(&[&["cancel", "--state", "Fetch"], wrong].concat()).0, code(2));
    }
    main(&["redrive", "--status", "cancelled"]);
    let said = "`Host`, each key: concurrency 1, from when the run is driven\n";
    assert_eq!(main(&["tune", "Host", "--concurrency", "1"]).2, said);
    main(&["tune", "Everything", "--concurrency", "4"]);
    let status = main(&["status"]).1;
    assert!(status.contains("tuned: Everything: concurrency 4\n"), "{status}");
    assert!(status.contains("tuned: Host, each key: concurrency 1\n"), "{status}");
    let released = "`Host[example.org]` goes on when the run is driven\n";
    assert_eq!(main(&with("release")), (code(0), String::new(), released.into()));
    assert_eq!(main(&["-q"]).0, code(0));
    assert!(!main(&["status"]).1.contains("held"));
}
