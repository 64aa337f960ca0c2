//! How long a job of a cold state waits for its step once its commit is durable, while hot states have much to do.
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jorb::{Processor, Run, SqliteStore, prelude::*};

use super::{
    super::{Failed, sample::Outcome, statistics, work::Page},
    runtime,
};

use clocked::{Clocked, Ready};

mod clocked;

/// Steps of a hot job.
const STEPS: u32 = 8;
/// Hot steps at once, of each state.
const SLOTS: usize = 200;
/// A hot job in so many makes a cold one with each step, so that few of these wait for each other.
const SELDOM: u64 = 1_000;

#[derive(Default)]
struct App {
    ready: Ready,
    waited: Arc<Mutex<Vec<Duration>>>,
}

#[workflow(app = App, job = Page)]
#[derive(Clone)]
enum Two {
    #[state(initial, next(Again), kick(Cold))]
    Hot,
    #[state(next(Hot, Done), kick(Cold))]
    Again,
    #[state(next(Done))]
    Cold,
    #[state(terminal)]
    Done,
}

fn step(cx: &mut Cx<Two>) -> Option<Kick<two::Cold>> {
    cx.job.steps += 1;
    cx.id().0.is_multiple_of(SELDOM).then(|| Kick::new(two::Cold, Page::new(0)))
}

#[state(concurrency = SLOTS)]
async fn hot(_: two::Hot, cx: &mut Cx<Two>) -> jorb::Outcome<two::Hot> {
    let cold = step(cx);
    Ok(Next::to(two::Again).kick(cold))
}

#[state(concurrency = SLOTS)]
async fn again(_: two::Again, cx: &mut Cx<Two>) -> jorb::Outcome<two::Again> {
    let cold = step(cx);
    Ok(if cx.job.steps < STEPS { Next::to(two::Hot).kick(cold) } else { Next::to(two::Done).kick(cold) })
}

#[state(concurrency = 1)]
async fn cold(_: two::Cold, cx: &mut Cx<Two>) -> jorb::Outcome<two::Cold> {
    let now = Instant::now();
    let ready = lock(&cx.app.ready).remove(&cx.id()).ok_or_else(|| Fault::fatal("it was not committed"))?;
    lock(&cx.app.waited).push(now - ready);
    Ok(Next::to(two::Done))
}

/// So many hot jobs, and a cold one now and then.
pub(in crate::compare) fn run(jobs: u64, dir: &Path) -> Result<Outcome, Failed> {
    let app = App::default();
    let waited = app.waited.clone();
    let store = SqliteStore::at(dir.join("run.jorb"));
    let mut run = Run::open(Clocked::new(store, "Cold", app.ready.clone()))?;
    run.seed((), |seeds| seeds.extend((0..jobs).map(|n| Kick::new(two::Hot, Page::new(n)))))?;
    let runtime = runtime()?;
    let start = Instant::now();
    let summary = runtime.block_on(Processor::new(app).exec(&mut run))?;
    let took = start.elapsed();
    let waited = lock(&waited);
    let hot = jobs * u64::from(STEPS);
    if summary.moves != hot + waited.len() as u64
        || waited.len() as u64 != jobs.div_ceil(SELDOM) * u64::from(STEPS)
    {
        return Err(format!("made {} steps, {} of them cold", summary.moves, waited.len()).into());
    }
    let micros: Vec<f64> = waited.iter().map(|waited| waited.as_secs_f64() * 1e6).collect();
    let mut outcome = Outcome::steps(summary.moves, took);
    let figures = [
        ("us", statistics::median(&micros)),
        ("p99_us", statistics::share(&micros, 0.99)),
        ("max_us", statistics::share(&micros, 1.0)),
    ];
    outcome.more.extend(figures.into_iter().filter_map(|(name, figure)| Some((name.into(), figure?))));
    Ok(outcome)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
