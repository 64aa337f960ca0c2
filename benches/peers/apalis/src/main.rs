//! The work done by apalis: a queue and a worker for each state, each step pushing the task that is next; on SQLite with
//! `synchronous=FULL`.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use apalis::prelude::*;
use apalis_sqlite::{Config, SqliteStorage};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::watch;

#[path = "../../peer.rs"]
mod peer;

use peer::{CONCURRENCY, Failed, Order, Page, order, say};

/// How often a worker looks for tasks that others pushed.
const POLL: Duration = Duration::from_millis(5);
/// Tasks that a worker fetches at once.
const FETCH: usize = 100;

/// The queue of a state.
type Tasks = SqliteStorage<Page>;

struct Shared {
    jobs: u64,
    steps: AtomicU64,
    done: AtomicU64,
    all_done: watch::Sender<bool>,
}

impl Shared {
    fn count(&self, page: &mut Page) {
        page.steps += 1;
        self.steps.fetch_add(1, Ordering::Relaxed);
    }
}

async fn go_on(mut page: Page, shared: Data<Arc<Shared>>, next: Data<Tasks>) -> Result<(), BoxDynError> {
    shared.count(&mut page);
    let mut next = Tasks::clone(&next);
    next.push(page).await?;
    Ok(())
}

async fn end(mut page: Page, shared: Data<Arc<Shared>>) -> Result<Page, BoxDynError> {
    shared.count(&mut page);
    if shared.done.fetch_add(1, Ordering::Relaxed) + 1 == shared.jobs {
        shared.all_done.send_replace(true);
    }
    Ok(page)
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let Order { jobs, dir, .. } = order()?;
    // Its own `setup` would turn `synchronous` off.
    let options = SqliteConnectOptions::new()
        .filename(dir.join("apalis.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().connect_with(options).await?;
    SqliteStorage::migrations().run(&pool).await?;
    let queue = |name| Tasks::new(&pool).with_config(Config::default().queue(name).batch_size(FETCH));
    let (mut first, second, third) = (queue("first"), queue("second"), queue("third"));
    first.push_bulk((0..jobs).map(Page::new).collect()).await?;
    let (all_done, ended) = watch::channel(false);
    let shared = Arc::new(Shared { jobs, steps: AtomicU64::new(0), done: AtomicU64::new(0), all_done });
    let until = || {
        let mut ended = ended.clone();
        async move { ended.wait_for(|ended| *ended).await.map(|_| ()).map_err(std::io::Error::other) }
    };

    let start = Instant::now();
    let a = WorkerBuilder::new("first")
        .backend(first.poll_with_interval(POLL))
        .data(shared.clone())
        .data(second.clone())
        .concurrency(CONCURRENCY)
        .build(go_on);
    let b = WorkerBuilder::new("second")
        .backend(second.poll_with_interval(POLL))
        .data(shared.clone())
        .data(third.clone())
        .concurrency(CONCURRENCY)
        .build(go_on);
    let c = WorkerBuilder::new("third")
        .backend(third.poll_with_interval(POLL))
        .data(shared.clone())
        .concurrency(CONCURRENCY)
        .build(end);
    tokio::try_join!(a.run_until(until()), b.run_until(until()), c.run_until(until()))?;
    say(shared.steps.load(Ordering::Relaxed), start.elapsed());
    Ok(())
}
