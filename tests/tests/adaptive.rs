//! An adaptive rate in the engine: a state finds what a service allows that does not say so.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jorb::{Clock, MemoryStore, Processor, Run, Timestamp, prelude::*, store::Learned};
use jorb_tests::{START, spy::Spy};
use tokio::time::{Instant, sleep};

/// What a service answers takes so long.
const LATENCY: Duration = Duration::from_millis(50);

/// A service that allows so many requests a second, and says "too many" to all others.
#[derive(Clone)]
struct Service(Arc<Mutex<Inside>>);

struct Inside {
    began: Instant,
    /// From then on, in seconds, so many.
    capacity: Vec<(f64, f64)>,
    level: f64,
    last: f64,
    /// When a request came, and whether it was too many.
    answers: Vec<(f64, bool)>,
}

impl Service {
    fn new(capacity: &[(f64, f64)]) -> Self {
        let inside = Inside {
            began: Instant::now(),
            capacity: capacity.into(),
            level: 0.0,
            last: 0.0,
            answers: vec![],
        };
        Service(Arc::new(Mutex::new(inside)))
    }

    fn asks(&self) -> bool {
        let mut inside = self.0.lock().unwrap();
        let now = inside.began.elapsed().as_secs_f64();
        let capacity = inside.capacity.iter().rev().find(|(from, _)| *from <= now).unwrap().1;
        // A bucket with a burst of a twentieth of a second.
        inside.level = (inside.level - (now - inside.last) * capacity).max(0.0);
        inside.last = now;
        let takes = inside.level + 1.0 <= (capacity / 20.0).max(2.0);
        inside.level += f64::from(u8::from(takes));
        inside.answers.push((now, !takes));
        takes
    }

    /// How many requests a second were taken in a window, and the share that was too many.
    #[allow(clippy::cast_precision_loss)]
    fn seen(&self, from: f64, until: f64) -> (f64, f64) {
        let inside = self.0.lock().unwrap();
        let window: Vec<_> = inside.answers.iter().filter(|(at, _)| (from..until).contains(at)).collect();
        let refused = window.iter().filter(|(_, refused)| *refused).count() as f64;
        ((window.len() as f64 - refused) / (until - from), refused / window.len() as f64)
    }

    fn seconds(&self) -> f64 {
        self.0.lock().unwrap().began.elapsed().as_secs_f64()
    }
}

#[workflow(app = Service)]
#[derive(Debug, Clone)]
enum Ask {
    #[state(initial, next(Done))]
    Probing,
    #[state(initial, next(Done))]
    Sawing,
    #[state(terminal)]
    Done,
}

#[limiter(rate = adaptive("20/s", min = "1/s", max = "1000/s"))]
struct Hidden;

async fn ask<S: State>(cx: &mut Cx<Ask>, to: Next<S>) -> Outcome<S> {
    let takes = cx.app.asks();
    sleep(LATENCY).await;
    if takes { Ok(to) } else { Err(Fault::throttled(None)) }
}

#[state(concurrency = 64, limits(Hidden), backoff = "10ms..20ms", retries = 1)]
async fn probing(_: ask::Probing, cx: &mut Cx<Ask>) -> Outcome<ask::Probing> {
    ask(cx, Next::to(ask::Done)).await
}

#[state(concurrency = 64, rate = aimd("20/s", min = "1/s", max = "1000/s"), backoff = "10ms..20ms", retries = 1)]
async fn sawing(_: ask::Sawing, cx: &mut Cx<Ask>) -> Outcome<ask::Sawing> {
    ask(cx, Next::to(ask::Done)).await
}

/// Drives for so many seconds, or to the end.
async fn drive(run: &mut Run<Ask>, service: &Service, from: Timestamp, seconds: u64) {
    let mut processor = Processor::new(service.clone()).clock(Clock::starting_at(from));
    let handle = processor.handle();
    let stop = async {
        sleep(Duration::from_secs(seconds)).await;
        handle.stop();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        summary = processor.exec(run) => drop(summary.unwrap()),
        () = stop => {}
    }
}

fn run<S: jorb::Initial<Workflow = Ask>>(store: &Spy<Ask>, state: fn() -> S) -> Run<Ask> {
    let mut run = Run::open(store.clone()).unwrap();
    run.seed((), |jobs| jobs.extend((0..20_000).map(|_| Kick::new(state(), ())))).unwrap();
    run
}

#[tokio::test(start_paused = true)]
async fn the_hidden_capacity_is_found_used_and_found_again() {
    let service = Service::new(&[(0.0, 200.0), (40.0, 100.0), (80.0, 200.0)]);
    let mut run = run(&Spy::new(MemoryStore::new()), || ask::Probing);
    drive(&mut run, &service, START, 110).await;
    for (from, until, capacity) in [(15.0, 40.0, 200.0), (50.0, 80.0, 100.0), (95.0, 110.0, 200.0)] {
        let (taken, refused) = service.seen(from, until);
        assert!(taken >= 0.85 * capacity, "{taken} of {capacity} used from {from} s on");
        assert!(refused < 0.02, "{refused} refused from {from} s on");
    }
    // Halved at 40 s.
    let (taken, refused) = service.seen(43.0, 44.0);
    assert!(
        taken / (1.0 - refused) <= 125.0,
        "asked for {} a second, three seconds later",
        taken / (1.0 - refused)
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_learned_is_used_at_the_next_start_after_a_stop_and_after_a_crash() {
    for crash in [false, true] {
        let service = Service::new(&[(0.0, 300.0)]);
        let store = Spy::new(MemoryStore::new());
        let mut first = run(&store, || ask::Probing);
        if crash {
            let _ =
                tokio::time::timeout(Duration::from_secs(20), drive(&mut first, &service, START, 100)).await;
        } else {
            drive(&mut first, &service, START, 20).await;
        }
        drop(first);
        let learned: Vec<(_, Learned)> = store.header().learned.into_iter().collect();
        assert!(
            learned.iter().any(|(name, learned)| name.ends_with("::Hidden") && learned.rate > 200.0),
            "{learned:?}"
        );
        let mut next = Run::open(store).unwrap();
        let now = service.seconds();
        drive(&mut next, &service, Timestamp(START.0 + 60_000), 2).await;
        let (taken, _) = service.seen(now + 0.5, now + 1.5);
        assert!(taken > 200.0, "{taken} a second at once; it began with 20");
    }
}

#[tokio::test(start_paused = true)]
async fn the_saw_stays_between_half_and_all() {
    let service = Service::new(&[(0.0, 60.0)]);
    let mut run = run(&Spy::new(MemoryStore::new()), || ask::Sawing);
    drive(&mut run, &service, START, 200).await;
    let (taken, _) = service.seen(100.0, 200.0);
    assert!((35.0..=60.0).contains(&taken), "{taken}");
}
