//! The work that all do: jobs through three states that do nothing but count.
use std::{hint::black_box, time::Instant};

use jorb::prelude::*;

/// States that a job goes through.
pub(super) const STATES: u64 = 3;
/// Steps of one state at once.
pub(super) const CONCURRENCY: usize = 8;

/// A context of about 200 bytes of JSON.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Page {
    pub(super) url: String,
    pub(super) text: String,
    pub(super) steps: u32,
}

impl Page {
    pub(super) fn new(n: u64) -> Self {
        Page { url: format!("https://example.org/{n}"), text: "x".repeat(150), steps: 0 }
    }
}

/// What a step does besides counting.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Step {
    Ready,
    Yield,
    /// So many rounds of arithmetic: see [`calibrate`].
    Spin(u64),
}

impl Step {
    pub(super) async fn run(self, page: &mut Page) {
        match self {
            Step::Ready => {}
            Step::Yield => tokio::task::yield_now().await,
            Step::Spin(rounds) => spin(rounds),
        }
        // Or the compiler would make one step of three.
        black_box(page).steps += 1;
    }
}

/// What handlers see.
pub(super) struct App {
    pub(super) step: Step,
    /// Is called by the first state, if somebody wants to know.
    pub(super) on_first: Option<Box<dyn Fn() + Send + Sync>>,
}

impl App {
    pub(super) fn new(step: Step) -> Self {
        App { step, on_first: None }
    }
}

#[workflow(app = App, job = Page)]
#[derive(Clone)]
pub(super) enum Three {
    #[state(initial, next(Second))]
    First,
    #[state(next(Third))]
    Second,
    #[state(next(Done))]
    Third,
    #[state(terminal)]
    Done,
}

#[state(concurrency = CONCURRENCY)]
async fn first(_: three::First, cx: &mut Cx<Three>) -> Outcome<three::First> {
    if let Some(on_first) = &cx.app.on_first {
        on_first();
    }
    cx.app.step.run(&mut cx.job).await;
    Ok(Next::to(three::Second))
}

#[state(concurrency = CONCURRENCY)]
async fn second(_: three::Second, cx: &mut Cx<Three>) -> Outcome<three::Second> {
    cx.app.step.run(&mut cx.job).await;
    Ok(Next::to(three::Third))
}

#[state(concurrency = CONCURRENCY)]
async fn third(_: three::Third, cx: &mut Cx<Three>) -> Outcome<three::Third> {
    cx.app.step.run(&mut cx.job).await;
    Ok(Next::to(three::Done))
}

/// Burns CPU: arithmetic that nothing can shorten.
pub(super) fn spin(rounds: u64) {
    let mut x = black_box(1_u64);
    for _ in 0..rounds {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    }
    black_box(x);
}

/// The rounds of [`spin`] that take so many microseconds on a core that does nothing else: the fastest of many tries.
pub(super) fn calibrate(micros: f64) -> u64 {
    const ROUNDS: u64 = 100_000;
    let try_once = |_| {
        let start = Instant::now();
        spin(ROUNDS);
        start.elapsed().as_secs_f64() * 1e6
    };
    let fastest = (0..200).map(try_once).fold(f64::INFINITY, f64::min);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // positive, and some ten thousand
    let rounds = (ROUNDS as f64 * micros / fastest) as u64;
    rounds.max(1)
}
