//! What one writes by hand for steps in memory. All of it is one task, so it uses one core; it knows nothing of kicks,
//! errors or history, and keeps nothing but the jobs.
use std::time::Instant;

use futures_util::{StreamExt, stream};

use super::{
    super::{
        Failed,
        sample::Outcome,
        work::{CONCURRENCY, Page, Step},
    },
    pages, runtime, steps,
};

/// A stream for each state, one behind the other, each with as many steps at once as jorb has.
pub(in crate::compare) fn run(step: Step, jobs: u64) -> Result<Outcome, Failed> {
    time(jobs, move |pages| chain(step, pages))
}

/// All states of a job in one future, and as many of these at once as there are steps. States have no concurrency of
/// their own then: it is less than what is asked for, and the ceiling.
pub(in crate::compare) fn run_fused(step: Step, jobs: u64) -> Result<Outcome, Failed> {
    time(jobs, move |pages| fused(step, pages))
}

fn time<F: Future<Output = Vec<Page>> + Send + 'static>(
    jobs: u64,
    work: impl FnOnce(Vec<Page>) -> F,
) -> Result<Outcome, Failed> {
    let pages = pages(jobs);
    let runtime = runtime()?;
    let start = Instant::now();
    let done = runtime.block_on(runtime.spawn(work(pages)))?;
    let took = start.elapsed();
    Ok(Outcome::steps(steps(&done), took))
}

async fn chain(step: Step, pages: Vec<Page>) -> Vec<Page> {
    let mut done = Vec::with_capacity(pages.len());
    let take = |mut page: Page| async move {
        step.run(&mut page).await;
        page
    };
    let first = stream::iter(pages).map(take).buffer_unordered(CONCURRENCY);
    let second = first.map(take).buffer_unordered(CONCURRENCY);
    let mut third = second.map(take).buffer_unordered(CONCURRENCY);
    while let Some(page) = third.next().await {
        done.push(page);
    }
    done
}

async fn fused(step: Step, pages: Vec<Page>) -> Vec<Page> {
    let mut done = Vec::with_capacity(pages.len());
    let take = |mut page: Page| async move {
        step.run(&mut page).await;
        step.run(&mut page).await;
        step.run(&mut page).await;
        page
    };
    let mut jobs = stream::iter(pages).map(take).buffer_unordered(3 * CONCURRENCY);
    while let Some(page) = jobs.next().await {
        done.push(page);
    }
    done
}
