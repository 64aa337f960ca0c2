//! Jorb with a limiter on each state that has a hundred thousand keys, and a rate that is never reached.
use std::{path::Path, time::Instant};

use jorb::{Keyed, MemoryStore, Processor, Run, SqliteStore, prelude::*, store::BoxStore};

use super::{
    super::{
        Failed,
        sample::{self, Keeper},
        work::{CONCURRENCY, Page},
    },
    runtime,
};

/// How many.
const KEYS: u64 = 100_000;

#[workflow(job = Page)]
#[derive(Clone)]
enum Hosts {
    #[state(initial, next(Second))]
    First,
    #[state(next(Third))]
    Second,
    #[state(next(Done))]
    Third,
    #[state(terminal)]
    Done,
}

#[limiter(rate = "500000000/s", keyed)]
struct Host;

/// In no order: a key's jobs are far apart.
fn host(page: &Page) -> String {
    let n: u64 = page.url.rsplit('/').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    format!("host-{}", n.wrapping_mul(7_919) % KEYS)
}

impl Keyed<hosts::First> for Host {
    fn key(_: &hosts::First, page: &Page) -> String {
        host(page)
    }
}

impl Keyed<hosts::Second> for Host {
    fn key(_: &hosts::Second, page: &Page) -> String {
        host(page)
    }
}

impl Keyed<hosts::Third> for Host {
    fn key(_: &hosts::Third, page: &Page) -> String {
        host(page)
    }
}

#[state(concurrency = CONCURRENCY, limits(Host))]
async fn first(_: hosts::First, cx: &mut Cx<Hosts>) -> Outcome<hosts::First> {
    cx.job.steps += 1;
    Ok(Next::to(hosts::Second))
}

#[state(concurrency = CONCURRENCY, limits(Host))]
async fn second(_: hosts::Second, cx: &mut Cx<Hosts>) -> Outcome<hosts::Second> {
    cx.job.steps += 1;
    Ok(Next::to(hosts::Third))
}

#[state(concurrency = CONCURRENCY, limits(Host))]
async fn third(_: hosts::Third, cx: &mut Cx<Hosts>) -> Outcome<hosts::Third> {
    cx.job.steps += 1;
    Ok(Next::to(hosts::Done))
}

pub(in crate::compare) fn run(keeper: Keeper, jobs: u64, dir: &Path) -> Result<sample::Outcome, Failed> {
    let store: BoxStore<Hosts> = match keeper {
        Keeper::Sqlite => Box::new(SqliteStore::at(dir.join("run.jorb"))),
        _ => Box::new(MemoryStore::new()),
    };
    let mut run = Run::open(store)?;
    run.seed((), |seeds| seeds.extend((0..jobs).map(|n| Kick::new(hosts::First, Page::new(n)))))?;
    let start = Instant::now();
    let summary = runtime()?.block_on(Processor::new(()).exec(&mut run))?;
    let took = start.elapsed();
    if summary.jobs("Done") != jobs {
        return Err(format!("{} of {jobs} jobs are done", summary.jobs("Done")).into());
    }
    Ok(sample::Outcome::steps(summary.moves, took))
}
