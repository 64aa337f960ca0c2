//! The one writer: commits all that has queued in one transaction, then reads what the lines ask for.
use std::sync::{Arc, Mutex};

use super::core::{Core, Load, Loaded, LoadedPage, Request, Work};
use super::line::Waiting;
use super::listener::{Audience, Event, lock};
use super::queue::Page;
use super::slot::Shared;
use crate::{
    Error, JobId, Status, Workflow,
    run::Walk,
    store::{Batch, BoxStore, Fresh, Record, Store},
};

/// Commits and reads until the run ends; gives the store back.
pub(super) async fn write<W: Workflow>(
    shared: Arc<Shared<W>>,
    mut store: BoxStore<W>,
    audience: Option<Arc<Mutex<Audience>>>,
) -> BoxStore<W> {
    let core = &shared.core;
    loop {
        let work = core.take_work();
        let idle = work.is_none();
        if let Some(work) = work {
            store = commit(core, store, work, audience.as_deref()).await;
        }
        if let Some((request, walk)) = core.take_cancel() {
            store = cancel(core, store, request, walk, audience.as_deref()).await;
            continue;
        }
        if let Some(load) = core.take_load() {
            let state = load.state;
            let (back, result) = on_disk(store, move |store| read(store, &load)).await;
            store = back;
            match result {
                Ok(loaded) => core.loaded(state, loaded),
                Err(e) => core.fail(e),
            }
        } else if idle && core.is_over() {
            return store;
        } else if idle {
            core.work.notified().await;
        }
    }
}

/// Makes it durable, and says so.
async fn commit<W: Workflow>(
    core: &Core<W>,
    store: BoxStore<W>,
    work: Work<W>,
    audience: Option<&Mutex<Audience>>,
) -> BoxStore<W> {
    let (store, result) = on_disk(store, move |store| {
        let dropped = store.commit(&work.batch)?;
        Ok((work, dropped))
    })
    .await;
    match result {
        Ok((work, dropped)) => {
            let events = audience.map(|_| events(&work.batch, &dropped));
            core.committed(work, &dropped);
            if let (Some(audience), Some(events)) = (audience, events) {
                lock(audience).events(&events);
            }
        }
        Err(e) => core.fail(e),
    }
    store
}

/// Cancels jobs page by page. Nothing else is committed meanwhile, so what was read of a job is what is known of it, but for what is
/// on its way here.
async fn cancel<W: Workflow>(
    core: &Core<W>,
    mut store: BoxStore<W>,
    request: Request<W>,
    mut walk: Walk<W>,
    audience: Option<&Mutex<Audience>>,
) -> BoxStore<W> {
    while !walk.is_over() {
        let (back, (again, page)) = on_disk(store, move |store| {
            let page = walk.page(store);
            (walk, page)
        })
        .await;
        (store, walk) = (back, again);
        match page {
            Err(e) => core.fail(e),
            Ok(page) => {
                if let Some(work) = core.cancel_page(&request, page) {
                    store = commit(core, store, work, audience).await;
                }
            }
        }
        if core.has_failed() {
            return store;
        }
    }
    request.answer.is_durable();
    store
}

/// Uses the store where that keeps nobody waiting.
pub(super) async fn on_disk<W: Workflow, T: Send + 'static>(
    mut store: BoxStore<W>,
    work: impl FnOnce(&mut dyn Store<W>) -> T + Send + 'static,
) -> (BoxStore<W>, T) {
    if !store.blocks() {
        let result = work(&mut *store);
        return (store, result);
    }
    let task = tokio::task::spawn_blocking(move || {
        let result = work(&mut *store);
        (store, result)
    });
    match task.await {
        Ok(done) => done,
        Err(e) => match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic), // a bug in a store
            Err(_) => std::future::pending().await,        // the runtime shuts down, and we with it
        },
    }
}

fn read<W: Workflow>(store: &mut dyn Store<W>, load: &Load<W>) -> Result<Loaded<W>, Error> {
    let Load { state, pages, fresh, most } = load;
    let mut loaded = Loaded { pages: Vec::with_capacity(pages.len()), fresh: None };
    let mut none = true;
    for Page { line, lane, after, most } in pages {
        let mut jobs = store.line(*state, Status::Ready, lane, *after, *most)?;
        let all = jobs.len() < *most;
        // Jobs that were read before and put back come before fresh ones; their commit numbers are those of the seeding.
        let seeds = match fresh {
            Some(fresh) if lane.priority <= 0 => jobs.partition_point(|record| record.seq <= fresh.end),
            _ => jobs.len(),
        };
        let cut = seeds < jobs.len();
        jobs.truncate(seeds);
        none &= jobs.is_empty();
        loaded.pages.push(LoadedPage { line: *line, jobs: waiting(jobs), all: all || cut, cut });
    }
    if let (Some(fresh), true) = (fresh, none) {
        loaded.fresh = Some(read_fresh(store, fresh, *most)?);
    }
    Ok(loaded)
}

fn read_fresh<W: Workflow>(
    store: &mut dyn Store<W>,
    fresh: &Fresh,
    most: usize,
) -> Result<Vec<Waiting<W>>, Error> {
    let mut from = fresh.next;
    loop {
        let mut page = store.page(JobId(from), most)?;
        page.truncate(page.partition_point(|record| record.job.id.0 < fresh.end));
        let Some(last) = page.last() else { return Ok(Vec::new()) };
        from = last.job.id.0 + 1;
        // Seeds that never move, or have a priority, were placed at once.
        page.retain(|record| !record.placed);
        if !page.is_empty() {
            return Ok(waiting(page));
        }
    }
}

/// What its jobs take of limiters is asked here, where that keeps nobody waiting.
fn waiting<W: Workflow>(page: Vec<Record<W>>) -> Vec<Waiting<W>> {
    page.into_iter().map(Waiting::read).collect()
}

fn events<W: Workflow>(batch: &Batch<W>, dropped: &[JobId]) -> Vec<Event> {
    let mut events = Vec::with_capacity(batch.changes.len());
    for change in &batch.changes {
        let job = change.now.job.id;
        if let Some(line) = &change.line {
            let kicked = change.kicks.iter().map(|new| new.record.job.id).filter(|id| !dropped.contains(id));
            events.push(Event::Moved {
                job,
                from: change.before.state.name(),
                to: change.now.job.state.name(),
                at: line.at,
                kicked: kicked.collect(),
            });
        }
        let cancelled = change.now.job.status == Status::Cancelled;
        if let Some(error) = &change.error {
            events.push(Event::Failed {
                job,
                state: change.before.state.name(),
                attempt: error.attempt,
                at: error.at,
                error: error.error.clone(),
                parked: change.now.job.status == Status::Parked,
            });
        }
        if cancelled {
            let (state, at) = (change.now.job.state.name(), change.now.job.ready_at);
            events.push(Event::Cancelled { job, state, at });
        }
    }
    events
}
