//! What an operator changes of limits, while a run goes on and between.
use std::time::Duration;

use jorb::{
    Clock, Ending, Error, Handle, MemoryStore, Processor, Rate, Run, Timestamp, Tuning, prelude::*,
    store::Batch,
};
use jorb_tests::{
    START,
    lab::Lab,
    spy::{Spy, Watch},
    stores::Kind,
};
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);

#[workflow(app = Lab)]
#[derive(Debug, Clone)]
enum Mill {
    /// 10/s, as its code says.
    #[state(initial, next(Done))]
    Slow,
    /// As fast as may be; a second each.
    #[state(initial, next(Done))]
    Wide,
    /// A limiter of two at once; a second each.
    #[state(initial, next(Done))]
    Pooled,
    /// Follows a service that never says "too many".
    #[state(initial, next(Done))]
    Follows,
    /// Fails, and is tried once.
    #[state(initial, next(Done))]
    Fails,
    #[state(terminal)]
    Done,
}

#[limiter(concurrency = 2)]
struct Pool;

#[state(concurrency = 4, rate = "10/s", burst = 2)]
async fn slow(_: mill::Slow, cx: &mut Cx<Mill>) -> Outcome<mill::Slow> {
    let _inside = cx.app.enter("Slow", cx);
    Ok(Next::to(mill::Done))
}

#[state(concurrency = 2)]
async fn wide(_: mill::Wide, cx: &mut Cx<Mill>) -> Outcome<mill::Wide> {
    let _inside = cx.app.enter("Wide", cx);
    sleep(1_000 * MS).await;
    Ok(Next::to(mill::Done))
}

#[state(concurrency = 8, limits(Pool))]
async fn pooled(_: mill::Pooled, cx: &mut Cx<Mill>) -> Outcome<mill::Pooled> {
    let _inside = cx.app.enter("Pooled", cx);
    sleep(1_000 * MS).await;
    Ok(Next::to(mill::Done))
}

#[state(concurrency = 8, rate = adaptive("10/s"))]
async fn follows(_: mill::Follows, cx: &mut Cx<Mill>) -> Outcome<mill::Follows> {
    let _inside = cx.app.enter("Follows", cx);
    Ok(Next::to(mill::Done))
}

#[state]
async fn fails(_: mill::Fails, cx: &mut Cx<Mill>) -> Outcome<mill::Fails> {
    let _inside = cx.app.enter("Fails", cx);
    Err("as ever".into())
}

fn rate(text: &str) -> Tuning {
    Tuning::new().rate(text.parse().unwrap())
}

fn run<S: jorb::Initial<Workflow = Mill>>(store: &Spy<Mill>, jobs: u32, state: fn() -> S) -> Run<Mill> {
    let mut run = Run::open(store.clone()).unwrap();
    run.seed((), |seeds| seeds.extend((0..jobs).map(|_| Kick::new(state(), ())))).unwrap();
    run
}

/// When steps of a state started, in ms.
fn starts(lab: &Lab, state: &str, began: Instant) -> Vec<u128> {
    lab.book().starts(state).into_iter().map(|at| at.duration_since(began).as_millis()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_rate_changes_at_once_and_no_permit_is_forgotten() {
    let (lab, began) = (Lab::default(), Instant::now());
    let mut run = run(&Spy::new(MemoryStore::new()), 9, || mill::Slow);
    let mut processor = Processor::new(lab.clone()).clock(Clock::starting_at(START));
    let handle = processor.handle();
    let tunes = async {
        sleep(250 * MS).await;
        // Two and a half are taken, at 10/s, and become so many at 2/s.
        handle.tune::<mill::Slow>(rate("2/s").burst(1));
        let overview = handle.overview().unwrap();
        let [tuned] = &overview.tuned[..] else { panic!("{:?}", overview.tuned) };
        assert_eq!((&*tuned.name, tuned.configured.rate), ("Slow", Some(Rate::literal("10/s"))));
        assert_eq!(
            tuned.current,
            rate("2/s").burst(1).concurrency(4).retries(0).backoff("1s..1m".parse().unwrap())
        );
        sleep(2_000 * MS).await;
        handle.reset::<mill::Slow>();
        assert_eq!(handle.overview().unwrap().tuned, []);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        summary = processor.exec(&mut run) => assert_eq!(summary.unwrap().ending, Ending::Complete),
        () = tunes => {}
    }
    let starts = starts(&lab, "Slow", began);
    assert_eq!(starts[..4], [0, 0, 100, 200]);
    assert!(starts.windows(2).skip(3).take(3).all(|two| two[1] - two[0] >= 500), "{starts:?}");
    assert_eq!(starts.len(), 9);
    assert!(starts[8] < 3_000, "10/s again: {starts:?}");
}

#[tokio::test(start_paused = true)]
async fn slots_and_pools_grow_and_shrink_while_steps_run() {
    for (state, pooled) in [("Wide", false), ("Pooled", true)] {
        let lab = Lab::default();
        let store = Spy::new(MemoryStore::new());
        let mut run = if pooled { run(&store, 40, || mill::Pooled) } else { run(&store, 40, || mill::Wide) };
        let mut processor = Processor::new(lab.clone()).clock(Clock::starting_at(START));
        let handle = processor.handle();
        let tune = |n| {
            let tuning = Tuning::new().concurrency(n);
            if pooled { handle.tune_limiter::<Pool>(tuning) } else { handle.tune::<mill::Wide>(tuning) }
        };
        let inside = || lab.book().inside.get(state).copied().unwrap_or(0);
        let tunes = async {
            sleep(500 * MS).await;
            assert_eq!(inside(), 2);
            tune(6);
            sleep(10 * MS).await;
            assert_eq!(inside(), 6, "{state}");
            tune(1);
            sleep(100 * MS).await;
            assert_eq!(inside(), 6, "{state}: steps in flight go on");
            sleep(1_200 * MS).await;
            assert_eq!(inside(), 1, "{state}");
            if pooled {
                handle.reset_limiter::<Pool>();
            } else {
                handle.reset::<mill::Wide>();
            }
            sleep(10 * MS).await;
            assert_eq!(inside(), 2, "{state}");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            summary = processor.exec(&mut run) => assert_eq!(summary.unwrap().jobs("Done"), 40),
            () = tunes => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_without_a_rate_gets_one_and_an_adaptive_one_stands_still() {
    let (lab, began) = (Lab::default(), Instant::now());
    let store = Spy::new(MemoryStore::new());
    let mut wide = run(&store, 6, || mill::Wide);
    wide.add((0..6).map(|_| Kick::new(mill::Follows, ())).next().unwrap()).unwrap();
    for _ in 0..30 {
        wide.add(Kick::new(mill::Follows, ())).unwrap();
    }
    let mut processor = Processor::new(lab.clone()).clock(Clock::starting_at(START));
    let handle = processor.handle();
    handle.tune::<mill::Follows>(rate("10/s"));
    let tunes = async {
        sleep(500 * MS).await;
        handle.tune::<mill::Wide>(rate("1/5s"));
        std::future::pending::<()>().await;
    };
    tokio::select! {
        summary = processor.exec(&mut wide) => assert_eq!(summary.unwrap().ending, Ending::Complete),
        () = tunes => {}
    }
    assert_eq!(starts(&lab, "Wide", began), [0, 0, 1_000, 6_000, 11_000, 16_000]);
    let follows = starts(&lab, "Follows", began);
    assert_eq!(follows.last(), Some(&3_000), "31 at 10/s, however well it goes");
}

#[tokio::test(start_paused = true)]
async fn attempts_that_fail_from_now_on_follow_what_is_changed() {
    let lab = Lab::default();
    let mut run = run(&Spy::new(MemoryStore::new()), 2, || mill::Fails);
    let mut processor = Processor::new(lab.clone()).clock(Clock::starting_at(START));
    let handle = processor.handle();
    handle.tune::<mill::Fails>(Tuning::new().retries(3).backoff("1s..1s".parse().unwrap()));
    let tunes = async {
        sleep(1_500 * MS).await;
        let overview = handle.overview().unwrap();
        assert_eq!(
            (overview.tuned[0].configured.retries, overview.tuned[0].current.retries),
            (Some(0), Some(3))
        );
        assert_eq!(lab.book().attempts("Fails"), [1, 1, 2, 2]);
        handle.tune::<mill::Fails>(Tuning::new().retries(2));
        std::future::pending::<()>().await;
    };
    tokio::select! {
        summary = processor.exec(&mut run) => assert_eq!(summary.unwrap().parked(), 2),
        () = tunes => {}
    }
    assert_eq!(lab.book().attempts("Fails"), [1, 1, 2, 2, 3, 3]);
}

/// Tunes another state while what was tuned first is on its way to the store.
struct Tunes(Option<Handle<Mill>>);

impl Watch<Mill> for Tunes {
    fn before(&mut self, batch: &Batch<Mill>) -> Result<(), Error> {
        if let Some(handle) = self.0.take_if(|_| batch.tuned.is_some()) {
            handle.tune::<mill::Wide>(Tuning::new().concurrency(3));
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_tuned_during_a_commit_comes_on_top_of_what_that_commits() {
    let store = Spy::watched(Box::new(MemoryStore::new()), Tunes(None));
    let mut run = Run::open(store.clone()).unwrap();
    run.seed((), |seeds| seeds.add(Kick::new(mill::Slow, ()))).unwrap();
    let mut processor = Processor::new(Lab::default()).clock(Clock::starting_at(START));
    let handle = processor.handle();
    store.watch().0 = Some(processor.handle());
    handle.tune::<mill::Slow>(rate("5/s"));
    let _ = processor.exec(&mut run).await.unwrap();
    assert_eq!(run.tuned(), [("Slow", rate("5/s")), ("Wide", Tuning::new().concurrency(3))]);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_at_a_tuned_rate_comes_back_at_it_after_a_restart() {
    let (lab, began) = (Lab::default(), Instant::now());
    let store = Spy::new(MemoryStore::new());
    let mut first = run(&store, 4, || mill::Slow);
    let mut processor = Processor::new(lab.clone()).clock(Clock::starting_at(START));
    let handle = processor.handle();
    handle.tune::<mill::Slow>(rate("1/10s").burst(1));
    let stop = async {
        sleep(15_000 * MS).await;
        handle.stop();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        summary = processor.exec(&mut first) => assert_eq!(summary.unwrap().ending, Ending::Stopped),
        () = stop => {}
    }
    drop(first);
    let later = Timestamp(START.0 + 15_000);
    let mut next = Run::open(store).unwrap();
    let _ = Processor::new(lab.clone()).clock(Clock::starting_at(later)).exec(&mut next).await.unwrap();
    assert_eq!(starts(&lab, "Slow", began), [0, 10_000, 20_000, 30_000]);
}

#[tokio::test(start_paused = true)]
async fn the_run_remembers_until_it_is_reset() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let (lab, store) = (Lab::default(), Spy::watched(kind.at(folder.path()), ()));
        let mut first = run(&store, 4, || mill::Slow);
        let mut processor = Processor::new(lab.clone()).clock(Clock::starting_at(START));
        // Before it drives a run; the last word counts, field by field.
        let handle = processor.handle();
        handle.tune_named("Slow", rate("5/s")).unwrap();
        handle.tune_named("Slow", rate("2/s")).unwrap();
        handle.tune_named("Pool", Tuning::new().concurrency(0)).unwrap();
        let e = handle.tune_named("Pol", rate("1/s")).unwrap_err();
        assert_eq!(
            e.to_string(),
            "there is no state with a handler, and no limiter, of the name `Pol`; did you mean `Pool`?"
        );
        assert!(matches!(handle.tune_named("Done", rate("1/s")), Err(Error::NoSuchTarget(_))));
        let e = handle.tune_named("Pool", Tuning::new().retries(3)).unwrap_err();
        assert_eq!(e.to_string(), "`Pool` is a limiter: retries and backoff are of states; tune Pooled");
        let _ = processor.exec(&mut first).await.unwrap();
        lab.book().check_rate("Slow", 2, 500 * MS);
        drop(first);

        let reopened = store.clone();
        let mut run = Run::<Mill>::open(store).unwrap();
        let mut tuned = run.tuned();
        tuned.sort_unstable_by_key(|(name, _)| *name);
        let expected = [("Pool", Tuning::new().concurrency(1)), ("Slow", rate("2/s"))];
        assert_eq!(tuned, expected, "{kind:?}");
        let slow = Tuning::new().burst(3).retries(7).backoff("5ms..2s".parse().unwrap());
        assert_eq!(run.tune("Slow", slow).unwrap(), slow.rate(Rate::literal("2/s")), "{kind:?}");
        run.close().unwrap();
        let mut run = Run::<Mill>::open(reopened).unwrap();
        assert!(
            run.tuned().contains(&("Slow", slow.rate(Rate::literal("2/s")))),
            "{kind:?}: {:?}",
            run.tuned()
        );
        assert_eq!(run.tune("Slow", Tuning::new()).unwrap(), Tuning::new());
        let (lab, began) = (Lab::default(), Instant::now());
        for _ in 0..4 {
            run.add(Kick::new(mill::Slow, ())).unwrap();
        }
        let later = Timestamp(START.0 + 60_000);
        let _ = Processor::new(lab.clone()).clock(Clock::starting_at(later)).exec(&mut run).await.unwrap();
        assert_eq!(starts(&lab, "Slow", began), [0, 0, 100, 200], "{kind:?}");
    }
}
