//! Limits that each host, tenant or model has for itself; and priorities.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use jorb::{
    Clock, Ending, Handle, Keyed, MemoryStore, Processor, Rate, Run, SqliteStore, Timestamp, Tuning,
    prelude::*,
};
use jorb_tests::{
    START,
    hosts::{LOUD, Page, host, page},
    lab::check_rate,
    spy::Spy,
};
use proptest::prelude::*;
use tokio::time::{Instant, sleep, timeout};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What ran, by key.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Starts>>, Arc<Mutex<Busy>>);

/// When, of which page, and in which state.
type Starts = BTreeMap<String, Vec<(Instant, u32, &'static str)>>;

#[derive(Default)]
struct Busy {
    now: BTreeMap<String, usize>,
    most: BTreeMap<String, usize>,
}

struct Inside(Log, String);

impl Log {
    fn enter(&self, page: &Page, state: &'static str) -> Inside {
        let began = (Instant::now(), page.n, state);
        self.0.lock().unwrap().entry(page.host.clone()).or_default().push(began);
        let mut busy = self.1.lock().unwrap();
        let now = busy.now.entry(page.host.clone()).or_default();
        *now += 1;
        let now = *now;
        let most = busy.most.entry(page.host.clone()).or_default();
        *most = now.max(*most);
        Inside(self.clone(), page.host.clone())
    }

    fn starts(&self, host: &str) -> Vec<Instant> {
        self.0.lock().unwrap().get(host).into_iter().flatten().map(|(at, ..)| *at).collect()
    }

    fn order(&self, host: &str) -> Vec<u32> {
        self.0.lock().unwrap().get(host).into_iter().flatten().map(|(_, n, _)| *n).collect()
    }

    fn hosts(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        *self.0.1.lock().unwrap().now.get_mut(&self.1).unwrap() -= 1;
    }
}

#[workflow(app = Log, job = Page)]
#[derive(Debug, Clone)]
enum Crawl {
    #[state(initial, next(Fetch, Done))]
    Robots,
    #[state(initial, next(Done))]
    Fetch,
    /// Of a tenant and a host.
    #[state(initial, next(Done))]
    Post { tenant: String },
    /// One after the other.
    #[state(initial, next(Sort, Done), kick(Sort))]
    Sort { kicks: u32 },
    #[state(terminal)]
    Done,
}

#[limiter(rate = "10/s", burst = 2, concurrency = 2, keyed)]
struct Host;

#[limiter(concurrency = 1, keyed)]
struct Tenant;

impl Keyed<crawl::Robots> for Host {
    fn key(_: &crawl::Robots, page: &Page) -> String {
        host(page)
    }
}

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

impl Keyed<crawl::Post> for Tenant {
    fn key(post: &crawl::Post, _: &Page) -> String {
        post.tenant.clone()
    }
}

async fn visit(cx: &mut Cx<Crawl>, state: &'static str) -> Result<(), Fault> {
    let _inside = cx.app.enter(&cx.job, state);
    sleep(millis(cx.job.ms)).await;
    match cx.job.throttled.take() {
        Some(after) => Err(Fault::throttled(millis(after))),
        None => Ok(()),
    }
}

#[state(concurrency = 4, limits(Host))]
async fn robots(_: crawl::Robots, cx: &mut Cx<Crawl>) -> Outcome<crawl::Robots> {
    visit(cx, "Robots").await?;
    Ok(Next::to(crawl::Fetch))
}

#[state(concurrency = 4, limits(Host))]
async fn fetch(_: crawl::Fetch, cx: &mut Cx<Crawl>) -> Outcome<crawl::Fetch> {
    visit(cx, "Fetch").await?;
    Ok(Next::to(crawl::Done))
}

#[state(concurrency = 8, limits(Tenant, Host))]
async fn post(_: crawl::Post, cx: &mut Cx<Crawl>) -> Outcome<crawl::Post> {
    visit(cx, "Post").await?;
    Ok(Next::to(crawl::Done))
}

#[state]
async fn sort(sort: crawl::Sort, cx: &mut Cx<Crawl>) -> Outcome<crawl::Sort> {
    visit(cx, "Sort").await?;
    let kick = |n| Kick::new(crawl::Sort { kicks: 0 }, page("sort", 1000 + n, 10));
    Ok(Next::to(crawl::Done).kick((0..sort.kicks).map(kick)))
}

fn run(store: &Spy<Crawl>, jobs: impl IntoIterator<Item = Page>) -> Run<Crawl> {
    let mut run = Run::open(store.clone()).unwrap();
    let fetch = |page| Kick::new(crawl::Fetch, page);
    run.seed((), |seeds| seeds.extend(jobs.into_iter().map(fetch))).unwrap();
    run
}

fn processor(log: &Log, at: u64) -> Processor<Crawl> {
    Processor::new(log.clone()).clock(Clock::starting_at(Timestamp(START.0 + at)))
}

async fn drive(run: &mut Run<Crawl>) -> Log {
    let log = Log::default();
    let summary = processor(&log, 0).exec(run).await.unwrap();
    assert_eq!(summary.ending, Ending::Complete);
    log
}

#[tokio::test(start_paused = true)]
async fn other_keys_wait_for_nobody() {
    // More than memory keeps of a line.
    let busy = (0..20_000).map(|n| page("busy", n, 0));
    let others = (0..300).map(|n| page(&format!("host-{n}"), n, 0));
    let store = Spy::new(MemoryStore::new());
    let mut run = run(&store, busy.chain(others));
    let log = Log::default();
    let began = Instant::now();
    let mut processor = processor(&log, 0);
    let _ = timeout(1_050 * MS, processor.exec(&mut run)).await;
    for n in 0..300 {
        assert_eq!(log.starts(&format!("host-{n}")), [began], "host {n}");
    }
    // And the busy one had all that it may have.
    assert_eq!(log.order("busy"), (0..12).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn who_came_first_to_a_key_goes_first_whichever_state_it_is_in() {
    let mut run = Run::open(Spy::new(MemoryStore::new())).unwrap();
    run.seed((), |jobs| {
        for n in 0..20 {
            if n % 3 == 0 {
                jobs.add(Kick::new(crawl::Fetch, page("a", n, 0)))?;
            } else {
                jobs.add(Kick::new(crawl::Post { tenant: format!("{n}") }, page("a", n, 0)))?;
            }
            jobs.add(Kick::new(crawl::Fetch, page("b", n, 0)))?;
        }
        Ok(())
    })
    .unwrap();
    let log = drive(&mut run).await;
    for host in ["a", "b"] {
        assert_eq!(log.order(host), (0..20).collect::<Vec<_>>());
        check_rate(&log.starts(host), 2, 100 * MS, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_may_have_two_keys() {
    let mut run = Run::open(Spy::new(MemoryStore::new())).unwrap();
    run.seed((), |jobs| {
        let post = |tenant: &str, host: &str, n| {
            Kick::new(crawl::Post { tenant: tenant.into() }, page(host, n, 1000))
        };
        jobs.extend([post("t", "a", 0), post("t", "b", 1), post("u", "b", 2), post("", "c", 3)])?;
        jobs.extend([post("", "c", 4)])
    })
    .unwrap();
    let began = Instant::now();
    let log = drive(&mut run).await;
    let at = |host: &str| log.starts(host).iter().map(|at| (*at - began).as_millis()).collect::<Vec<_>>();
    assert_eq!(at("a"), [0]);
    assert_eq!(at("b"), [0, 1000], "`u` needs not wait for `t`");
    assert_eq!(log.order("b"), [2, 1]);
    assert_eq!(at("c"), [0, 0], "an empty key is none");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_tired_of_one_key_stops_no_other() {
    let mut jobs = vec![Page { throttled: Some(5000), ..page("a", 0, 0) }];
    jobs.extend((1..4).flat_map(|n| [page("a", n, 0), page("b", n, 0)]));
    let began = Instant::now();
    let log = drive(&mut run(&Spy::new(MemoryStore::new()), jobs)).await;
    assert!(log.starts("b").iter().all(|at| *at - began < SECOND));
    // Two may have started at once.
    let paused: Vec<_> = log.starts("a").into_iter().skip_while(|at| *at == began).collect();
    assert!(paused[0] - began >= 5 * SECOND, "{paused:?}");
}

#[tokio::test(start_paused = true)]
async fn all_keys_are_tuned_together() {
    let jobs = (0..30).flat_map(|n| [page("a", n, 0), page("b", n, 0)]);
    let mut run = run(&Spy::new(MemoryStore::new()), jobs);
    let _ = run.tune("Host", Tuning::new().rate(Rate::literal("100/s"))).unwrap();
    let began = Instant::now();
    let log = drive(&mut run).await;
    for host in ["a", "b"] {
        let starts = log.starts(host);
        check_rate(&starts, 2, 10 * MS, Duration::ZERO);
        assert!(*starts.last().unwrap() - began <= 300 * MS, "{host}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_may_be_other_ones_when_the_program_is() {
    for stop in [false, true] {
        LOUD.store(false, Relaxed);
        let store = Spy::new(MemoryStore::new());
        let jobs = (0..40).map(|n| page(&format!("rekeyed-{}", n % 2), n, 0));
        let mut first = run(&store, jobs);
        let log = Log::default();
        let mut driven = processor(&log, 0);
        let handle = driven.handle();
        let until = async {
            sleep(500 * MS).await;
            handle.stop();
            sleep(if stop { SECOND } else { Duration::ZERO }).await;
        };
        tokio::select! {
            biased;
            () = until => {}
            done = driven.exec(&mut first) => drop(done.unwrap()),
        }
        drop(first);
        LOUD.store(true, Relaxed);
        let mut next = Run::open(store).unwrap();
        let summary = processor(&log, 1_500).exec(&mut next).await.unwrap();
        assert_eq!((summary.ending, summary.jobs("Done")), (Ending::Complete, 40));
        for host in ["rekeyed-0", "rekeyed-1"] {
            let order: BTreeSet<u32> = log.order(host).into_iter().collect();
            assert_eq!(order.len(), 20, "{host}");
        }
        LOUD.store(false, Relaxed);
    }
}

/// How many keys are known of `Host`.
fn keys(handle: &Handle<Crawl>) -> u64 {
    let host = |overview: jorb::Overview| overview.limiters.into_iter().find(|l| l.name == "Host");
    handle.overview().and_then(host).and_then(|host| host.keys).unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn jobs_are_cancelled_in_the_lines_of_their_keys() {
    let store = Spy::new(MemoryStore::new());
    // Two of a key at a time.
    let jobs = (0..14).map(|n| page(if n < 8 { "b" } else { "a" }, n, 10_000));
    let mut run = run(&store, jobs);
    let log = Log::default();
    let began = Instant::now();
    let mut processor = processor(&log, 0);
    let handle = processor.handle();
    let cancels = async {
        sleep(SECOND).await;
        let overview = handle.overview().unwrap();
        let host = overview.limiters.iter().find(|limiter| limiter.name == "Host").unwrap();
        let known = (host.executing, host.concurrency, host.concurrency_per_key);
        assert_eq!(known, (4, None, Some(2)), "two of a key, of two keys");
        // One from the middle of the line, its head, and one that runs.
        for job in [12, 10, 8] {
            assert_eq!(handle.cancel().job(job).unwrap().apply().await.unwrap(), 1);
        }
        sleep(34 * SECOND).await;
        assert_eq!(keys(&handle), 1, "nothing of the other one is left");
    };
    let (summary, ()) = tokio::join!(processor.exec(&mut run), cancels);
    let summary = summary.unwrap();
    assert_eq!((summary.ending, summary.jobs("Done"), summary.cancelled()), (Ending::Complete, 11, 3));
    let at = |host: &str| log.starts(host).iter().map(|at| (*at - began).as_secs()).collect::<Vec<_>>();
    assert_eq!((log.order("a"), at("a")), (vec![8, 9, 11, 13], vec![0, 0, 1, 10]));
    assert_eq!(at("b"), [0, 0, 10, 10, 20, 20, 30, 30]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_cuts_the_wait_for_a_key() {
    let store = Spy::new(MemoryStore::new());
    let mut run = Run::open(store).unwrap();
    let fetch = |host, n| Kick::new(crawl::Fetch, page(host, n, 10_000));
    run.seed((), |seeds| {
        seeds.extend((0..2).map(|n| fetch("a", n)))?;
        seeds.extend([fetch("a", 2).deadline(3 * SECOND), fetch("a", 3), fetch("b", 4)])
    })
    .unwrap();
    let made = run.job(0).unwrap().ready_at();
    let log = Log::default();
    let mut processor = Processor::new(log.clone()).clock(Clock::starting_at(made));
    let summary = processor.exec(&mut run).await.unwrap();
    assert_eq!((summary.ending, summary.jobs("Done"), summary.cancelled()), (Ending::Complete, 4, 1));
    assert_eq!(run.job(2).unwrap().ready_at().since(made), 3 * SECOND);
    assert_eq!(log.order("a"), [0, 1, 3]);
}

#[tokio::test(start_paused = true)]
async fn keys_that_nobody_uses_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::at(folder.path().join("run.jorb"));
    let mut run = Run::open(store).unwrap();
    let jobs = (0..500).map(|n| Kick::new(crawl::Fetch, page(&format!("host-{n}"), n, 0)));
    run.seed((), |seeds| {
        seeds.extend(jobs)?;
        seeds.extend((0..100).map(|n| Kick::new(crawl::Fetch, page("slow", n, 0))))
    })
    .unwrap();
    let log = Log::default();
    let mut processor = processor(&log, 0);
    let handle = processor.handle();
    let most = AtomicU64::new(0);
    let look = async {
        loop {
            sleep(500 * MS).await;
            most.store(keys(&handle), Relaxed);
        }
    };
    tokio::select! {
        done = processor.exec(&mut run) => drop(done.unwrap()),
        () = look => {}
    }
    assert_eq!(most.into_inner(), 1, "the slow one alone is left");
    assert_eq!(log.hosts().len(), 501);
    run.close().unwrap();
    let file = rusqlite::Connection::open(folder.path().join("run.jorb")).unwrap();
    let saved: u32 = file.query_row("SELECT count(*) FROM keyed", [], |row| row.get(0)).unwrap();
    assert_eq!(saved, 1);
}

#[tokio::test(start_paused = true)]
async fn priorities_are_strict_and_go_from_parents_to_children() {
    for stops in [false, true] {
        let store = Spy::new(MemoryStore::new());
        let mut run = Run::open(store.clone()).unwrap();
        run.seed((), |jobs| {
            let sort =
                |n, kicks, priority| Kick::new(crawl::Sort { kicks }, page("sort", n, 10)).priority(priority);
            jobs.extend((0..5).map(|n| sort(n, 0, 0)))?;
            jobs.extend([sort(5, 0, -1), sort(6, 2, 3), sort(7, 0, 1), sort(8, 0, 3)])
        })
        .unwrap();
        let log = Log::default();
        if stops {
            let _ = timeout(15 * MS, processor(&log, 0).exec(&mut run)).await;
            drop(run);
            run = Run::open(store).unwrap();
        }
        let _ = processor(&log, 100).exec(&mut run).await.unwrap();
        let mut order = log.order("sort");
        order.dedup(); // what was cut runs again
        assert_eq!(order, [6, 8, 1000, 1001, 7, 0, 1, 2, 3, 4, 5], "stops: {stops}");
    }
}

#[tokio::test(start_paused = true)]
async fn urgent_seeds_with_keys_move_among_others() {
    for window in [1, 4, 1024] {
        let mut run = Run::open(MemoryStore::new()).unwrap();
        let seed = |n: u32| Kick::new(crawl::Robots, page(&format!("host-{}", n % 3), n, 1));
        run.seed((), |seeds| {
            seeds.extend((0..20).map(seed))?;
            seeds.extend((20..26).map(|n| seed(n).priority(10)))?;
            seeds.extend((26..40).map(seed))
        })
        .unwrap();
        let log = Log::default();
        let summary = processor(&log, 0).window(window).exec(&mut run).await.unwrap();
        assert_eq!(summary.jobs("Done"), 40);
    }
}

/// What happens to a run from outside.
#[derive(Debug, Clone)]
enum Event {
    /// Time passes.
    Wait(u64),
    Tune {
        rate: u32,
        concurrency: usize,
    },
    Reset,
    Stop,
    Kill,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (1..900_u64).prop_map(Event::Wait),
        1 => (1..40_u32, 1..4_usize).prop_map(|(rate, concurrency)| Event::Tune { rate, concurrency }),
        1 => Just(Event::Reset),
        1 => Just(Event::Stop),
        1 => Just(Event::Kill),
    ];
    prop::collection::vec(event, 0..12)
}

fn jobs() -> impl Strategy<Value = Vec<(u8, u8, u64, Option<u64>)>> {
    let throttled = prop_oneof![9 => Just(None), 1 => (1..800_u64).prop_map(Some)];
    prop::collection::vec((0..6_u8, 0..3_u8, 0..300_u64, throttled), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// No window of a key sees more than its burst and its rate, whatever it was tuned to, and no more are in flight than
    /// may be; also when the run is stopped, or its process dies. And all jobs end.
    #[test]
    fn no_key_sees_more_than_it_may(jobs in jobs(), events in events()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(jobs, events));
    }
}

async fn play(jobs: Vec<(u8, u8, u64, Option<u64>)>, events: Vec<Event>) {
    let store = Spy::new(MemoryStore::new());
    let mut run = Run::open(store.clone()).unwrap();
    let many = jobs.len() as u64;
    run.seed((), |seeds| {
        for (n, (host, state, ms, throttled)) in (0..).zip(jobs) {
            let page = Page { throttled, ..page(&format!("host-{host}"), n, ms) };
            match state {
                0 => seeds.add(Kick::new(crawl::Robots, page))?,
                1 => seeds.add(Kick::new(crawl::Fetch, page))?,
                _ => seeds.add(Kick::new(crawl::Post { tenant: format!("{}", n % 4) }, page))?,
            }
        }
        Ok(())
    })
    .unwrap();
    let log = Log::default();
    let began = Instant::now();
    let at = || u64::try_from(began.elapsed().as_millis()).unwrap();
    let (mut fastest, mut most) = (10, 2);
    let mut events = events.into_iter();
    loop {
        let mut processor = processor(&log, at()).grace(Duration::ZERO);
        let handle = processor.handle();
        let act = async {
            for event in events.by_ref() {
                match event {
                    Event::Wait(ms) => sleep(millis(ms)).await,
                    Event::Tune { rate, concurrency } => {
                        fastest = fastest.max(rate);
                        most = most.max(concurrency);
                        let rate: Rate = format!("{rate}/s").parse().unwrap();
                        let _ = handle.tune_named("Host", Tuning::new().rate(rate).concurrency(concurrency));
                    }
                    Event::Reset => drop(handle.tune_named("Host", Tuning::new())),
                    Event::Stop => handle.stop(),
                    Event::Kill => return,
                }
            }
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            biased;
            () = act => None,
            done = processor.exec(&mut run) => Some(done.unwrap().ending),
        };
        drop(run);
        run = Run::open(store.clone()).unwrap();
        if ended == Some(Ending::Complete) {
            break;
        }
    }
    let done = run.jobs().in_state::<crawl::Done>().into_iter().count() as u64;
    assert_eq!(done, many);
    for host in log.hosts() {
        // At the fastest rate that it ever had.
        check_rate(&log.starts(&host), 2, SECOND / fastest, Duration::ZERO);
        let in_flight = log.1.lock().unwrap().most[&host];
        assert!(in_flight <= most, "{host}: {in_flight} in flight, and {most} may");
    }
}
