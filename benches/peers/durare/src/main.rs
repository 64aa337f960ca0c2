//! The work done by durare: a workflow of three durable steps for each job, on SQLite with `synchronous=FULL`.
use std::{sync::Arc, time::Instant};

use durare::{DurableContext, DurableEngine, Result, SqliteProvider, WorkflowOptions};
use futures_util::{StreamExt, stream};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

#[path = "../../peer.rs"]
mod peer;

use peer::{ALL, Failed, Order, Page, order, say};

#[durare::step]
async fn first(ctx: &DurableContext, page: Page) -> Result<Page> {
    Ok(Page { steps: page.steps + 1, ..page })
}

#[durare::step]
async fn second(ctx: &DurableContext, page: Page) -> Result<Page> {
    Ok(Page { steps: page.steps + 1, ..page })
}

#[durare::step]
async fn third(ctx: &DurableContext, page: Page) -> Result<Page> {
    Ok(Page { steps: page.steps + 1, ..page })
}

#[durare::workflow]
async fn three(ctx: DurableContext, page: Page) -> Result<Page> {
    let page = first(&ctx, page).await?;
    let page = second(&ctx, page).await?;
    third(&ctx, page).await
}

#[tokio::main]
async fn main() -> std::result::Result<(), Failed> {
    let Order { jobs, dir, .. } = order()?;
    // As its own `connect` has it, but for `synchronous`, which is NORMAL there.
    let options = SqliteConnectOptions::new()
        .filename(dir.join("durare.db"))
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(std::time::Duration::from_secs(5));
    let pool = SqlitePoolOptions::new().max_connections(5).connect_with(options).await?;
    let engine = DurableEngine::new(Arc::new(SqliteProvider::from_pool(pool))).await?;
    engine.launch().await?;

    let start = Instant::now();
    let work = |n| {
        let engine = &engine;
        async move {
            let handle = engine.start::<_, Page>("three", Page::new(n), WorkflowOptions::default()).await?;
            Ok::<_, durare::Error>(u64::from(handle.result().await?.steps))
        }
    };
    let mut done = stream::iter(0..jobs).map(work).buffer_unordered(ALL);
    let mut steps = 0;
    while let Some(made) = done.next().await {
        steps += made?;
    }
    say(steps, start.elapsed());
    Ok(())
}
