//! A task per step: the next step of a job is a new task. A semaphore per state has as many permits as jorb has slots.
use std::{sync::Arc, time::Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{
    super::{
        Failed,
        sample::Outcome,
        work::{CONCURRENCY, Page, Step},
    },
    pages, runtime, steps,
};

pub(in crate::compare) fn run(step: Step, jobs: u64) -> Result<Outcome, Failed> {
    let pages = pages(jobs);
    let runtime = runtime()?;
    let start = Instant::now();
    let done = runtime.block_on(runtime.spawn(spawn(step, pages)))??;
    let took = start.elapsed();
    Ok(Outcome::steps(steps(&done), took))
}

struct Shared {
    step: Step,
    states: [Arc<Semaphore>; 3],
    done: mpsc::UnboundedSender<Page>,
}

async fn spawn(step: Step, pages: Vec<Page>) -> Result<Vec<Page>, Failed> {
    let jobs = pages.len();
    let (done, mut receive) = mpsc::unbounded_channel();
    let states = [(); 3].map(|()| Arc::new(Semaphore::new(CONCURRENCY)));
    let shared = Arc::new(Shared { step, states, done });
    for page in pages {
        let permit = shared.states[0].clone().acquire_owned().await?;
        tokio::spawn(take_step(shared.clone(), 0, page, permit));
    }
    let mut done = Vec::with_capacity(jobs);
    while done.len() < jobs {
        done.extend(receive.recv().await);
    }
    Ok(done)
}

async fn take_step(shared: Arc<Shared>, state: usize, mut page: Page, permit: OwnedSemaphorePermit) {
    shared.step.run(&mut page).await;
    drop(permit);
    go_on(shared, state + 1, page);
}

fn go_on(shared: Arc<Shared>, state: usize, page: Page) {
    let Some(permits) = shared.states.get(state).cloned() else {
        // Whoever receives them waits for all of them.
        let _ = shared.done.send(page);
        return;
    };
    tokio::spawn(async move {
        let Ok(permit) = permits.acquire_owned().await else { return };
        take_step(shared, state, page, permit).await;
    });
}
