//! Jorb: seeded first, then timed from the start of `exec` to its end, with the file closed.
use std::{path::Path, time::Instant};

use jorb::{MemoryStore, Processor, Run, SqliteStore, prelude::*, store::BoxStore};

use super::{
    super::{
        Failed,
        sample::{Keeper, Outcome},
        work::{Page, Step, Three, three},
    },
    runtime,
};

pub(in crate::compare) fn run(keeper: Keeper, step: Step, jobs: u64, dir: &Path) -> Result<Outcome, Failed> {
    let store: BoxStore<Three> = match keeper {
        Keeper::Memory => Box::new(MemoryStore::new()),
        Keeper::Sqlite => Box::new(SqliteStore::at(dir.join("run.jorb"))),
    };
    let mut run = Run::open(store)?;
    run.seed((), |seeds| seeds.extend((0..jobs).map(|n| Kick::new(three::First, Page::new(n)))))?;
    let runtime = runtime()?;
    let start = Instant::now();
    let summary = runtime.block_on(Processor::new(step).exec(&mut run))?;
    let took = start.elapsed().as_secs_f64();
    if summary.jobs("Done") != jobs {
        return Err(format!("{} of {jobs} jobs are done", summary.jobs("Done")).into());
    }
    Ok(Outcome::new(summary.moves, took))
}
