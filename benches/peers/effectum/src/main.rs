//! The work done by effectum: `types`, a job type for each state, each step adding the job that is next; or
//! `checkpoints`, one job with two checkpoints, eight jobs at once; or `checkpoints-24`. It has no setting for how durable a commit is.
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use effectum::{Error, Job, JobRunner, Queue, RunningJob, Worker};
use tokio::sync::Notify;

#[path = "../../peer.rs"]
mod peer;

use peer::{ALL, CONCURRENCY, Failed, Order, Page, order, say};

struct Shared {
    queue: Queue,
    jobs: u64,
    steps: AtomicU64,
    done: AtomicU64,
    all_done: Notify,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    fn count(&self, page: &mut Page) {
        page.steps += 1;
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    fn done(&self) {
        if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.jobs {
            self.all_done.notify_one();
        }
    }
}

async fn first(job: RunningJob, shared: Arc<Shared>) -> Result<(), Error> {
    go_on(&job, &shared, "second").await
}

async fn second(job: RunningJob, shared: Arc<Shared>) -> Result<(), Error> {
    go_on(&job, &shared, "third").await
}

async fn go_on(job: &RunningJob, shared: &Shared, next: &'static str) -> Result<(), Error> {
    let mut page: Page = job.json_payload()?;
    shared.count(&mut page);
    Job::builder(next).json_payload(&page)?.add_to(&shared.queue).await?;
    Ok(())
}

async fn third(job: RunningJob, shared: Arc<Shared>) -> Result<Page, Error> {
    let mut page: Page = job.json_payload()?;
    shared.count(&mut page);
    shared.done();
    Ok(page)
}

async fn all(job: RunningJob, shared: Arc<Shared>) -> Result<Page, Error> {
    let mut page: Page = job.json_payload()?;
    shared.count(&mut page);
    job.checkpoint_json(&page).await?;
    shared.count(&mut page);
    job.checkpoint_json(&page).await?;
    shared.count(&mut page);
    shared.done();
    Ok(page)
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let Order { case, jobs, dir } = order()?;
    let queue = Queue::new(&dir.join("effectum.db")).await?;
    let kind = if case == "types" { "first" } else { "all" };
    let seeds = (0..jobs).map(|n| Ok(Job::builder(kind).json_payload(&Page::new(n))?.build()));
    queue.add_jobs(seeds.collect::<Result<Vec<_>, Error>>()?).await?;
    let (steps, done, all_done) = (AtomicU64::new(0), AtomicU64::new(0), Notify::new());
    let shared = Arc::new(Shared { queue, jobs, steps, done, all_done });

    let start = Instant::now();
    let mut workers = Vec::new();
    let runners = if case == "types" {
        vec![
            JobRunner::builder("first", first).build(),
            JobRunner::builder("second", second).build(),
            JobRunner::builder("third", third).build(),
        ]
    } else {
        vec![JobRunner::builder("all", all).build()]
    };
    let concurrency = if case == "checkpoints-24" { ALL } else { CONCURRENCY };
    for runner in runners {
        let worker = Worker::builder(&shared.queue, shared.clone());
        workers.push(worker.max_concurrency(u16::try_from(concurrency)?).jobs([runner]).build().await?);
    }
    shared.all_done.notified().await;
    // Until the last of them are recorded as done.
    for worker in workers {
        worker.unregister(Some(Duration::from_secs(10))).await?;
    }
    say(shared.steps.load(Ordering::Relaxed), start.elapsed());
    Ok(shared.queue.close(Duration::from_secs(10)).await?)
}
