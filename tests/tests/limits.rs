//! Limits that states share.
use std::time::Duration;

use jorb::{
    BoxError, Clock, Ending, MemoryStore, Processor, Run, Seeds, Timestamp, Wait, Weighted, prelude::*,
};
use jorb_tests::{
    START,
    lab::{Lab, check_rate},
    spy::Spy,
};
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Costs more than the burst, and takes long.
const SLOW: u32 = 20;
/// Is told to come again in 3 s.
const THROTTLED: u32 = 2;

#[workflow(app = Lab, job = u32)]
#[derive(Debug, Clone)]
enum Api {
    /// 20/s, together with `Write`.
    #[state(initial, next(Done))]
    Read,
    #[state(initial, next(Done))]
    Write,
    /// At most three at once, together with `Load`; a second each.
    #[state(initial, next(Done))]
    Store,
    #[state(initial, next(Done))]
    Load,
    /// Costs what its context says, of 10/s; settles what its field says.
    #[state(initial, next(Done))]
    Ask { settles: Option<u32> },
    /// The same limiter, at 1 each.
    #[state(initial, next(Done))]
    Ping,
    #[state(terminal)]
    Done,
}

#[limiter(rate = "20/s", burst = 2)]
struct Service;

#[limiter(concurrency = 3)]
struct Pool;

#[limiter(rate = "10/s", burst = 5, weighted)]
struct Tokens;

impl Weighted<api::Ask> for Tokens {
    fn cost(_: &api::Ask, tokens: &u32) -> u32 {
        *tokens
    }
}

impl Weighted<api::Ping> for Tokens {
    fn cost(_: &api::Ping, _: &u32) -> u32 {
        1
    }
}

#[state(concurrency = 4, limits(Service))]
async fn read(_: api::Read, cx: &mut Cx<Api>) -> Outcome<api::Read> {
    let _inside = cx.app.enter("Read", cx);
    Ok(Next::to(api::Done))
}

#[state(concurrency = 4, rate = "5/s", limits(Service))]
async fn write(_: api::Write, cx: &mut Cx<Api>) -> Outcome<api::Write> {
    let _inside = cx.app.enter("Write", cx);
    Ok(Next::to(api::Done))
}

#[state(concurrency = 4, limits(Pool))]
async fn store(_: api::Store, cx: &mut Cx<Api>) -> Outcome<api::Store> {
    let (_inside, _both) = (cx.app.enter("Store", cx), cx.app.enter("Pool", cx));
    sleep(SECOND).await;
    Ok(Next::to(api::Done))
}

#[state(concurrency = 2, limits(Pool))]
fn load(_: api::Load, cx: &mut Cx<Api>) -> Outcome<api::Load> {
    let (_inside, _both) = (cx.app.enter("Load", cx), cx.app.enter("Pool", cx));
    Ok(Next::to(api::Done))
}

#[state(concurrency = 4, limits(Tokens))]
async fn ask(state: api::Ask, cx: &mut Cx<Api>) -> Outcome<api::Ask> {
    let _inside = cx.app.enter("Ask", cx);
    if cx.job == SLOW {
        cx.job = 1; // not saved, if the step is dropped
        sleep(3 * SECOND).await;
    }
    if cx.job == THROTTLED {
        cx.job = 1;
        return Err(Fault::throttled(3 * SECOND));
    }
    if let Some(tokens) = state.settles {
        cx.settle::<Tokens>(1); // the last word counts
        cx.settle::<Tokens>(tokens);
    }
    Ok(Next::to(api::Done))
}

#[state(concurrency = 4, limits(Tokens))]
async fn ping(_: api::Ping, cx: &mut Cx<Api>) -> Outcome<api::Ping> {
    let _inside = cx.app.enter("Ping", cx);
    Ok(Next::to(api::Done))
}

type Started = Vec<(&'static str, u128)>;

/// When each step started, in ms since the first process began.
fn started(lab: &Lab, began: Instant) -> Started {
    let starts = lab.book().steps.into_iter().filter(|step| step.state != "Pool");
    starts.map(|step| (step.state, step.began.duration_since(began).as_millis())).collect()
}

fn open(store: &Spy<Api>, seed: impl FnOnce(&mut Seeds<'_, Api>) -> Result<(), BoxError>) -> Run<Api> {
    let mut run = Run::open(store.clone()).unwrap();
    run.seed((), seed).unwrap();
    run
}

async fn exec(seed: impl FnOnce(&mut Seeds<'_, Api>) -> Result<(), BoxError>) -> (Lab, Started) {
    let (lab, began) = (Lab::default(), Instant::now());
    let mut run = open(&Spy::new(MemoryStore::new()), seed);
    let mut processor = Processor::new(lab.clone()).clock(Clock::starting_at(START));
    assert_eq!(processor.exec(&mut run).await.unwrap().ending, Ending::Complete);
    (lab.clone(), started(&lab, began))
}

fn asks(cost: u32) -> Kick<api::Ask> {
    Kick::new(api::Ask { settles: None }, cost)
}

#[tokio::test(start_paused = true)]
async fn two_states_share_a_rate_and_neither_waits_for_what_only_the_other_needs() {
    let (lab, starts) = exec(|jobs| {
        jobs.extend((0..10).map(|_| Kick::new(api::Write, 0)))?;
        jobs.extend((0..30).map(|_| Kick::new(api::Read, 0)))
    })
    .await;
    let all: Vec<Instant> = lab.book().steps.iter().map(|step| step.began).collect();
    check_rate(&all, 2, 50 * MS, Duration::ZERO);
    lab.book().check_rate("Write", 1, 200 * MS);
    assert_eq!(all.len(), 40);
    assert_eq!(starts.last().map(|(_, at)| *at), Some(1_900), "no permit was left over: 2, and 38 at 20/s");
    // The writes came first; whenever their own rate let one go, it went before the reads.
    let writes: Vec<u128> = starts.iter().filter(|(state, _)| *state == "Write").map(|(_, at)| *at).collect();
    assert_eq!(writes, (0..10).map(|n| n * 200).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn two_states_share_a_pool() {
    let (lab, starts) = exec(|jobs| {
        for _ in 0..5 {
            jobs.add(Kick::new(api::Store, 0))?;
            jobs.add(Kick::new(api::Load, 0))?;
        }
        Ok(())
    })
    .await;
    assert_eq!((starts.len(), lab.book().most["Pool"]), (10, 3));
}

#[tokio::test(start_paused = true)]
async fn a_step_takes_its_cost_and_a_dear_one_is_not_overtaken_by_other_states() {
    let (_, starts) = exec(|jobs| {
        jobs.extend([asks(5), asks(5)])?;
        jobs.extend((0..2).map(|_| Kick::new(api::Ping, 0)))?;
        // More than the burst: when nothing is taken; then it is paid off.
        jobs.add(asks(20))?;
        jobs.add(Kick::new(api::Ping, 0))?;
        // Nothing waits for nobody, but for the line of its state.
        jobs.add(asks(0))
    })
    .await;
    let expected = [
        ("Ask", 0),
        ("Ask", 500),
        ("Ping", 600),
        ("Ping", 700),
        ("Ask", 1_200),
        ("Ask", 1_200),
        ("Ping", 2_800),
    ];
    assert_eq!(starts, expected);
}

#[tokio::test(start_paused = true)]
async fn what_a_step_settles_is_given_back_or_owed() {
    let settled = |settles| Kick::new(api::Ask { settles: Some(settles) }, 5);
    let (_, starts) = exec(|jobs| jobs.extend([settled(1), settled(5), settled(9), asks(5)])).await;
    assert_eq!(starts, [("Ask", 0), ("Ask", 100), ("Ask", 600), ("Ask", 1_500)]);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_stays_taken_when_another_process_goes_on() {
    for stops in [true, false] {
        let (lab, began) = (Lab::default(), Instant::now());
        let store = Spy::new(MemoryStore::new());
        let mut run = open(&store, |jobs| {
            jobs.add(asks(SLOW))?;
            jobs.add(Kick::new(api::Ping, 0))
        });
        let mut processor =
            Processor::new(lab.clone()).clock(Clock::starting_at(START)).grace(Duration::ZERO);
        let handle = processor.handle();
        let stop = async {
            sleep(300 * MS).await;
            if stops {
                handle.stop();
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            summary = processor.exec(&mut run) => assert_eq!(summary.unwrap().ending, Ending::Stopped),
            () = stop => {}
        }
        drop(run);
        let mut run = Run::open(store).unwrap();
        let later = Timestamp(START.0 + 300);
        let mut processor = Processor::new(lab.clone()).clock(Clock::starting_at(later));
        let exec = async { processor.exec(&mut run).await.map(drop) };
        let _ = tokio::time::timeout(10 * SECOND, exec).await;
        let starts = started(&lab, began);
        // Its first start was saved as if it was made 20 ms later.
        let [("Ask", 0), ("Ask", again), ("Ping", last)] = starts[..] else { panic!("{starts:?}") };
        assert!((2_000..=2_021).contains(&again), "{starts:?}");
        assert!((again + 1_600..=again + 1_601).contains(&last), "{starts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_for_all_who_share_the_limiter() {
    let (_, starts) = exec(|jobs| {
        jobs.add(asks(THROTTLED))?;
        jobs.add(Kick::new(api::Ping, 0))
    })
    .await;
    assert_eq!(starts, [("Ask", 0), ("Ping", 3_000), ("Ask", 3_100)]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_can_say_for_what() {
    let store = Spy::new(MemoryStore::new());
    let mut run = open(&store, |jobs| {
        jobs.extend([asks(5), asks(5)])?;
        jobs.extend((0..4).map(|_| Kick::new(api::Store, 0)))?;
        jobs.add(Kick::new(api::Load, 0))
    });
    let mut processor = Processor::new(Lab::default()).clock(Clock::starting_at(START));
    let handle = processor.handle();
    let look = async {
        sleep(250 * MS).await;
        let overview = handle.overview().unwrap();
        let at = |ms| Timestamp(START.0 + ms);
        let wait = |limiter, until, by: &[&'static str]| {
            Some(Wait { limiter, key: None, held: false, since: at(0), until, by: by.into() })
        };
        assert_eq!(overview.state("Ask").unwrap().waits, wait("Tokens", Some(at(500)), &[]));
        assert_eq!(overview.state("Store").unwrap().waits, wait("Pool", None, &["Store"]));
        assert_eq!(overview.state("Load").unwrap().waits, wait("Pool", None, &["Store"]));
        assert_eq!(overview.state("Ping").unwrap().waits, None);
        let [.., pool, tokens] = &overview.limiters[..] else { panic!("{:?}", overview.limiters) };
        assert_eq!(
            (pool.name, pool.executing, pool.concurrency, pool.concurrency_per_key),
            ("Pool", 3, Some(3), None)
        );
        assert_eq!(tokens.interval, Some(100 * MS));
        assert_eq!((tokens.name, tokens.next), ("Tokens", None), "one token is left; five are asked for");
        assert_eq!(tokens.states, ["Ask", "Ping"]);
        sleep(10 * SECOND).await;
    };
    tokio::select! {
        summary = processor.exec(&mut run) => drop(summary.unwrap()),
        () = look => {}
    }
}

#[test]
fn the_graph_says_who_shares_what() {
    let limits =
        |state: usize| Api::STATES[state].limits.iter().map(|limiter| limiter.name).collect::<Vec<_>>();
    assert_eq!(
        [limits(0), limits(1), limits(4), limits(6)],
        [vec!["Service"], vec!["Service"], vec!["Tokens"], vec![]]
    );
    assert!(Api::STATES[0].limits[0].path.ends_with("limits::Service"));
}
