//! How long one job takes from step to step, each of which is a commit, and what the disk takes for the least of it.
use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jorb::{Processor, Run, SqliteStore, prelude::*};

use super::{
    super::{Failed, sample::Outcome, statistics, work::Page},
    runtime,
};

/// What an append has: a page of SQLite.
const APPEND: usize = 4096;

/// When each step started.
type Starts = Mutex<Vec<Instant>>;

struct App {
    steps: u32,
    starts: Arc<Starts>,
}

#[workflow(app = App, job = Page)]
#[derive(Clone)]
enum Round {
    #[state(initial, next(Turn, Done))]
    Turn,
    #[state(terminal)]
    Done,
}

#[state]
async fn turn(_: round::Turn, cx: &mut Cx<Round>) -> jorb::Outcome<round::Turn> {
    cx.app.starts.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
    cx.job.steps += 1;
    Ok(if cx.job.steps < cx.app.steps { Next::to(round::Turn) } else { Next::to(round::Done) })
}

/// One job that makes `steps` steps.
pub(in crate::compare) fn jorb(steps: u64, dir: &Path) -> Result<Outcome, Failed> {
    let mut run = Run::open(SqliteStore::at(dir.join("run.jorb")))?;
    run.seed((), |seeds| seeds.add(Kick::new(round::Turn, Page::new(0))))?;
    let starts: Arc<Starts> = Arc::default();
    let app = App { steps: u32::try_from(steps)?, starts: starts.clone() };
    let runtime = runtime()?;
    let start = Instant::now();
    let summary = runtime.block_on(Processor::new(app).exec(&mut run))?;
    let took = start.elapsed();
    if summary.moves != steps {
        return Err(format!("made {} steps instead of {steps}", summary.moves).into());
    }
    let starts = starts.lock().unwrap_or_else(PoisonError::into_inner);
    let each: Vec<Duration> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    Ok(outcome(steps, took, &each))
}

/// As many appends to a file, each made durable.
pub(in crate::compare) fn append(appends: u64, dir: &Path) -> Result<Outcome, Failed> {
    let mut file = File::create(dir.join("raw"))?;
    let page = [b'x'; APPEND];
    let mut each = Vec::new();
    let start = Instant::now();
    for _ in 0..appends {
        let start = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        each.push(start.elapsed());
    }
    Ok(outcome(appends, start.elapsed(), &each))
}

fn outcome(steps: u64, took: Duration, each: &[Duration]) -> Outcome {
    let micros: Vec<f64> = each.iter().map(|took| took.as_secs_f64() * 1e6).collect();
    let mut outcome = Outcome::steps(steps, took);
    let figures = [("us", statistics::median(&micros)), ("p99_us", statistics::share(&micros, 0.99))];
    outcome.more.extend(figures.into_iter().filter_map(|(name, figure)| Some((name.into(), figure?))));
    outcome
}
