//! Random work for states that share limiters, while an operator changes those: no limit is ever exceeded, and nobody waits
//! who could start.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use jorb::{
    Batch, BatchCx, BatchOutcome, Clock, Ending, Handle, MemoryStore, Processor, Run, Timestamp, Tuning,
    Weighted, prelude::*,
};
use jorb_tests::{START, bench::random::Random, spy::Spy};
use tokio::time::{Instant, sleep};

#[workflow(app = Log, job = Task)]
#[derive(Debug, Clone)]
enum Work {
    #[state(initial, next(B, C, D, E, Done))]
    A,
    #[state(initial, next(A, C, D, E, Done))]
    B,
    #[state(initial, next(A, B, D, E, Done))]
    C,
    #[state(initial, next(A, B, C, E, Done))]
    D,
    /// In batches.
    #[state(initial, next(A, C, Done))]
    E,
    #[state(terminal)]
    Done,
}

/// What a job still does: how long its steps take in ms, and what they cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Task {
    left: u64,
    seed: u64,
    cost: u32,
}

impl Task {
    /// Chooses where to go.
    fn next(&mut self, random: &mut Random) -> u64 {
        self.seed = random.below(1 << 50);
        self.left -= 1;
        self.cost = [0, 1, 1, 3, 10, 30][usize::try_from(random.below(6)).unwrap()];
        random.below(5)
    }
}

#[limiter(rate = "40/s", burst = 4)]
struct Quick;

#[limiter(rate = "100/s", burst = 20, concurrency = 5, weighted)]
struct Heavy;

#[limiter(concurrency = 3)]
struct Few;

macro_rules! weights {
    ($($state:ident),*) => {$(
        impl Weighted<work::$state> for Heavy {
            fn cost(_: &work::$state, task: &Task) -> u32 {
                task.cost
            }
        }
    )*};
}
weights!(B, C, D, E);

/// What takes of each limiter, with its rate in 1/s and its burst, and its concurrency.
const LIMITERS: [(&str, &[&str], f64, f64, usize); 4] = [
    ("Quick", &["A", "B", "E"], 40.0, 4.0, usize::MAX),
    ("Heavy", &["B", "C", "D", "E"], 100.0, 20.0, 5),
    ("Few", &["C", "D"], 1.0, f64::INFINITY, 3),
    ("rate", &["D"], 10.0, 2.0, usize::MAX),
];
const SLOTS: [(&str, usize); 5] = [("A", 3), ("B", 4), ("C", 4), ("D", 6), ("E", 1)];

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    /// When a step started in which state, at which cost.
    starts: Vec<(Instant, &'static str, u32)>,
    inside: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

impl Log {
    async fn step(&self, state: &'static str, task: &mut Task) -> u64 {
        let mut random = Random::new(task.seed);
        self.run(state, task.cost, &mut random).await;
        task.next(&mut random)
    }

    async fn run(&self, state: &'static str, cost: u32, random: &mut Random) {
        {
            let mut log = self.0.lock().unwrap();
            log.starts.push((Instant::now(), state, cost));
            *log.inside.entry(state).or_default() += 1;
            let inside =
                |states: &[&str]| states.iter().filter_map(|state| log.inside.get(state)).sum::<usize>();
            let full = LIMITERS.iter().find(|(_, states, .., most)| inside(states) > *most);
            let full = full.map(|(name, ..)| format!("{} hold {name}", log.inside.len()));
            log.wrong.extend(full);
        }
        let took = [0, 1, 5, 30, 200][usize::try_from(random.below(5)).unwrap()];
        sleep(Duration::from_millis(took)).await;
        *self.0.lock().unwrap().inside.get_mut(state).unwrap() -= 1;
    }

    /// No window has more than burst and rate allow.
    fn check_windows(&self) {
        let log = self.0.lock().unwrap();
        assert_eq!(log.wrong, [""; 0]);
        for (name, states, rate, burst, _) in LIMITERS {
            let cost = |cost: u32| if name == "Heavy" { f64::from(cost) } else { 1.0 };
            let starts: Vec<_> = log.starts.iter().filter(|(_, state, _)| states.contains(state)).collect();
            for (i, (first, ..)) in starts.iter().enumerate() {
                let mut all = 0.0;
                for (last, _, costs) in &starts[i..] {
                    all += cost(*costs);
                    let window = last.duration_since(*first).as_secs_f64();
                    let allowed = burst.max(cost(*costs)) + window * rate + 1e-6;
                    assert!(
                        cost(*costs) == 0.0 || all <= allowed,
                        "{name}: {all} in {window} s from start {i} on"
                    );
                }
            }
        }
    }
}

macro_rules! handlers {
    ($($name:ident $state:ident $args:tt [$one:ident $two:ident $three:ident];)*) => {$(
        handlers!(@ $name $state $args $one $two $three);
    )*};
    (@ $name:ident $state:ident ($($args:tt)*) $one:ident $two:ident $three:ident) => {
        #[state($($args)*)]
        async fn $name(_: work::$state, cx: &mut Cx<Work>) -> Outcome<work::$state> {
            let log = cx.app.clone();
            let way = log.step(stringify!($state), &mut cx.job).await;
            if cx.job.left == 0 {
                return Ok(Next::to(work::Done));
            }
            Ok(match way {
                0 => Next::to(work::$one),
                1 => Next::to(work::$two),
                2 => Next::to(work::$three),
                _ => Next::to(work::E),
            })
        }
    };
}
handlers! {
    a A (concurrency = 3, limits(Quick)) [B C D];
    b B (concurrency = 4, limits(Quick, Heavy)) [A C D];
    c C (concurrency = 4, limits(Heavy, Few)) [A B D];
    d D (concurrency = 6, rate = "10/s", burst = 2, limits(Few, Heavy)) [A B C];
}

#[state(batch(max = 5, wait = "300ms"), limits(Quick, Heavy))]
async fn e(batch: Batch<work::E>, cx: &mut BatchCx<Work>) -> BatchOutcome<work::E> {
    let cost = batch.iter().map(|item| item.job.cost).sum();
    assert!(batch.len() <= 5 && (batch.len() == 1 || cost <= 20), "{} jobs cost {cost}", batch.len());
    let mut random = Random::new(batch.iter().map(|item| item.job.seed).sum());
    cx.app.clone().run("E", cost, &mut random).await;
    Ok(batch.finish(|item| match item.job.next(&mut random) {
        _ if item.job.left == 0 => Ok(Next::to(work::Done)),
        0 | 1 => Ok(Next::to(work::A)),
        _ => Ok(Next::to(work::C)),
    }))
}

fn seeded(random: &mut Random) -> Run<Work> {
    let mut run = Run::open(Spy::new(MemoryStore::new())).unwrap();
    let jobs = 5 + random.below(40);
    run.seed((), |seeds| {
        for _ in 0..jobs {
            let task = Task { left: 1 + random.below(8), seed: random.below(1 << 50), cost: 1 };
            match random.below(5) {
                0 => seeds.add(Kick::new(work::A, task))?,
                1 => seeds.add(Kick::new(work::B, task))?,
                2 => seeds.add(Kick::new(work::C, task))?,
                3 => seeds.add(Kick::new(work::E, task))?,
                _ => seeds.add(Kick::new(work::D, task))?,
            }
        }
        Ok(())
    })
    .unwrap();
    run
}

/// Time goes on only when nothing else can: whoever waits then waits for something.
async fn nobody_waits_for_nothing(handle: &Handle<Work>, began: Instant, seed: u64) {
    loop {
        sleep(Duration::from_millis(7)).await;
        // An operator may have changed something at this very moment.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        let Some(overview) = handle.overview() else { continue };
        let now = START.0 + u64::try_from(began.elapsed().as_millis()).unwrap();
        for (name, slots) in SLOTS {
            let state = overview.state(name).unwrap();
            let tuned = overview.tuned.iter().find(|tuned| tuned.name == name);
            let slots = tuned.and_then(|tuned| tuned.current.concurrency).unwrap_or(slots) as u64;
            if state.waiting == 0 || state.executing >= slots {
                continue;
            }
            let Some(wait) = &state.waits else { panic!("seed {seed}: {state:?} waits for nothing") };
            if let Some(until) = wait.until {
                assert!(until >= Timestamp(now), "seed {seed}: {state:?} could have started, it is {now}");
                continue;
            }
            let limiter = overview.limiters.iter().find(|limiter| limiter.name == wait.limiter).unwrap();
            let full = limiter.concurrency.is_some_and(|most| limiter.executing >= most);
            let behind = limiter.states.iter().any(|other| {
                let other = overview.state(other).unwrap();
                other.name != name && other.waits.as_ref().is_some_and(|wait| wait.limiter == limiter.name)
            });
            assert!(full || behind, "seed {seed}: {state:?} waits for {limiter:?}");
        }
    }
}

async fn play(seed: u64, tunes: bool) {
    let mut random = Random::new(seed);
    let mut run = seeded(&mut random);
    let (log, began) = (Log::default(), Instant::now());
    let mut processor = Processor::new(log.clone()).clock(Clock::starting_at(START));
    let handle = processor.handle();
    let operator = async {
        if !tunes {
            std::future::pending::<()>().await;
        }
        loop {
            sleep(Duration::from_millis(random.below(400))).await;
            let name = ["Quick", "Heavy", "D", "A"][usize::try_from(random.below(4)).unwrap()];
            let half = random.below(2) == 0;
            let tuning = match name {
                // Never faster than the code says, so that its bound holds; never more at once.
                "Quick" if half => Tuning::new().rate("20/s".parse().unwrap()).burst(2),
                "Heavy" if half => Tuning::new().rate("50/s".parse().unwrap()).concurrency(2),
                "D" if half => Tuning::new().rate("3/s".parse().unwrap()).concurrency(2),
                "A" if half => Tuning::new().concurrency(1),
                _ => Tuning::new(),
            };
            handle.tune_named(name, tuning).unwrap();
        }
    };
    tokio::select! {
        summary = processor.exec(&mut run) => assert_eq!(summary.unwrap().ending, Ending::Complete),
        () = operator => {}
        () = nobody_waits_for_nothing(&handle, began, seed) => {}
        () = sleep(Duration::from_secs(3_600)) => panic!("seed {seed} does not end"),
    }
    log.check_windows();
}

#[tokio::test(start_paused = true)]
async fn no_limit_is_exceeded_and_nobody_waits_for_nothing() {
    for seed in 0..50 {
        play(seed, false).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_while_limits_are_tuned() {
    for seed in 1_000..1_050 {
        play(seed, true).await;
    }
}
