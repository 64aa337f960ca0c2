//! Jorb, all the way: seeded first, then timed from the start of `exec` to its end, with the file closed.
use std::{path::Path, time::Instant};

use jorb::{JsonStore, MemoryStore, Processor, Rate, Run, SqliteStore, Tuning, prelude::*, store::BoxStore};

use super::{
    super::{
        Failed,
        sample::{Keeper, Outcome, size},
        work::{App, Page, STATES, Step, Three, three},
    },
    runtime,
};

pub(in crate::compare) fn run(
    keeper: Keeper,
    step: Step,
    limited: bool,
    jobs: u64,
    dir: &Path,
) -> Result<Outcome, Failed> {
    let store: BoxStore<Three> = match keeper {
        Keeper::Memory => Box::new(MemoryStore::new()),
        Keeper::Sqlite => Box::new(SqliteStore::at(dir.join("run.jorb"))),
        Keeper::Json => Box::new(JsonStore::at(dir.join("run.json"))),
    };
    let mut run = Run::open(store)?;
    let start = Instant::now();
    run.seed((), |seeds| seeds.extend((0..jobs).map(|n| Kick::new(three::First, Page::new(n)))))?;
    let seeded = start.elapsed();
    let runtime = runtime()?;
    let mut processor = Processor::new(App::new(step));
    if limited {
        let handle = processor.handle();
        let never_reached = Tuning::new().rate(Rate::literal("500000000/s"));
        handle.tune::<three::First>(never_reached);
        handle.tune::<three::Second>(never_reached);
        handle.tune::<three::Third>(never_reached);
    }
    let start = Instant::now();
    let summary = runtime.block_on(processor.exec(&mut run))?;
    let took = start.elapsed();
    if summary.jobs("Done") != jobs {
        return Err(format!("{} of {jobs} jobs are done", summary.jobs("Done")).into());
    }
    let mut outcome = Outcome::steps(summary.moves, took);
    outcome.more.insert("seed_seconds".into(), seeded.as_secs_f64());
    if let Keeper::Sqlite | Keeper::Json = keeper {
        let contexts = contexts(jobs)?;
        outcome.more.insert("contexts_mb".into(), contexts as f64 / 1e6);
        outcome.more.insert("file_to_contexts".into(), size(dir)? as f64 / contexts as f64);
    }
    Ok(outcome)
}

/// The bytes of the JSON of all contexts, as they are in the end.
fn contexts(jobs: u64) -> Result<u64, Failed> {
    let mut bytes = 0;
    for n in 0..jobs {
        let page = Page { steps: u32::try_from(STATES)?, ..Page::new(n) };
        bytes += serde_json::to_string(&page)?.len() as u64;
    }
    Ok(bytes)
}
