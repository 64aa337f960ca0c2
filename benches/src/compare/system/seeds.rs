//! Runs that are seeded, and what that takes.
use std::{
    path::Path,
    time::{Duration, Instant},
};

use jorb::{Processor, Run, SqliteStore, prelude::*};

use super::{
    super::{
        Failed,
        sample::{Keys, Outcome},
        work::{App, Page, Step, Three, three},
    },
    runtime,
};

/// Jobs that are held in the second state of a run that waits.
const RARE: usize = 8;

/// A run that waits: seeded, driven for a moment, closed. What is timed is the seeding.
pub(in crate::compare) fn waiting(jobs: u64, dir: &Path) -> Result<Outcome, Failed> {
    let (mut run, took) = seed(dir, (0..jobs).map(|n| Kick::new(three::First, Page::new(n))))?;
    run.set_held("Second", true)?;
    let summary = runtime()?.block_on(Processor::new(App::new(Step::Ready)).first(RARE).exec(&mut run))?;
    if summary.moves != RARE as u64 {
        return Err(format!("{} jobs moved instead of {RARE}", summary.moves).into());
    }
    run.close()?;
    Ok(outcome(jobs, took))
}

/// Seeding alone, with `once` keys. A key is 16 digits, whatever their order.
pub(in crate::compare) fn once(keys: Keys, jobs: u64, dir: &Path) -> Result<Outcome, Failed> {
    let job = |n| {
        let job = Kick::new(three::First, Page::new(n));
        match keys {
            Keys::None => job,
            Keys::Sequential => job.once(format!("{n:016x}")),
            Keys::Random => job.once(format!("{:016x}", scatter(n))),
        }
    };
    let (run, took) = seed(dir, (0..jobs).map(job))?;
    run.close()?;
    Ok(outcome(jobs, took))
}

fn seed(
    dir: &Path,
    jobs: impl Iterator<Item = Kick<three::First>>,
) -> Result<(Run<Three>, Duration), Failed> {
    let mut run = Run::open(SqliteStore::at(dir.join("run.jorb")))?;
    let start = Instant::now();
    run.seed((), |seeds| seeds.extend(jobs))?;
    Ok((run, start.elapsed()))
}

fn outcome(jobs: u64, took: Duration) -> Outcome {
    let mut outcome = Outcome::of(took);
    outcome.more.insert("jobs_per_s".into(), jobs as f64 / took.as_secs_f64());
    outcome
}

/// Another number for each number, in no order: SplitMix64.
fn scatter(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
