//! The one writer: commits all that has queued in one transaction, and reads what the lines ask for. While the store does
//! one thing, we tell of the one before.
use std::sync::{Arc, Mutex};

use tokio::task::yield_now;

use super::core::{Core, Load, Loaded, LoadedPage, Request, Work};
use super::line::Waiting;
use super::listener::{Audience, Event, lock};
use super::queue::Page;
use super::slot::Shared;
use crate::{
    Error, JobId, StateId, Status, Workflow,
    run::Walk,
    store::{Batch, BoxStore, Committed, Fresh, Record, Store},
};

/// What the store is to do.
enum Wanted<W: Workflow> {
    Commit(Box<Work<W>>),
    Read(Load<W>),
}

/// What it did, and nobody has heard of yet.
enum Done<W: Workflow> {
    /// With the jobs that were not made, and those that have no child left to wait for.
    Committed(Box<Work<W>>, Vec<JobId>, Vec<Waiting<W>>),
    Read(StateId<W>, Loaded<W>),
    Failed(Error),
}

/// Commits and reads until the run ends; gives the store back.
pub(super) async fn write<W: Workflow>(
    shared: Arc<Shared<W>>,
    mut store: BoxStore<W>,
    audience: Option<Arc<Mutex<Audience>>>,
) -> BoxStore<W> {
    let (core, audience) = (&shared.core, audience.as_deref());
    let (mut done, mut in_memory) = (None, false);
    loop {
        let committed = matches!(done, Some(Done::Committed(..)));
        if in_memory {
            tell(core, done.take(), audience);
            gather(core).await;
        }
        if core.is_to_cancel() {
            tell(core, done.take(), audience);
            if let Some((request, walk)) = core.take_cancel() {
                store = cancel(core, store, request, walk, audience).await;
            }
        } else if let Some(wanted) = next(core, done.as_ref(), committed) {
            in_memory = !store.blocks();
            // A store must not wait until all have heard of its last commit.
            let before = done.take();
            let doing = on_disk(store, |store| wanted.of(store));
            let (back, ()) = tokio::join!(doing, async { tell(core, before, audience) });
            (store, done) = (back.0, Some(back.1));
        } else if done.is_some() {
            tell(core, done.take(), audience);
        } else if core.is_over() {
            return store;
        } else {
            core.work.notified().await;
        }
    }
}

/// Lets slots add to the next batch for as long as they do: to commit what each has left takes longer than their steps. On disk,
/// they have that time while the last one is written.
async fn gather<W: Workflow>(core: &Core<W>) {
    let mut queued = 0;
    while let Some(more) = core.gathers(queued) {
        queued = more;
        yield_now().await;
    }
}

/// What the store is to do next: by turns, if there are both.
fn next<W: Workflow>(core: &Core<W>, done: Option<&Done<W>>, committed: bool) -> Option<Wanted<W>> {
    let read = || core.take_load().map(Wanted::Read);
    let commit = || core.take_work().map(Box::new).map(Wanted::Commit);
    match done {
        Some(Done::Failed(_)) => None,
        // What to read next is known once it is told what was read.
        Some(Done::Read(..)) => commit(),
        _ if committed => read().or_else(commit),
        _ => commit().or_else(read),
    }
}

impl<W: Workflow> Wanted<W> {
    fn of(self, store: &mut dyn Store<W>) -> Done<W> {
        let done = match self {
            Wanted::Commit(work) => store.commit(&work.batch).map(|committed| {
                let Committed { refused, fired } = committed;
                Done::Committed(work, refused, waiting(fired))
            }),
            Wanted::Read(load) => read(store, &load).map(|loaded| Done::Read(load.state, loaded)),
        };
        done.unwrap_or_else(Done::Failed)
    }
}

/// Says what the store did.
fn tell<W: Workflow>(core: &Core<W>, done: Option<Done<W>>, audience: Option<&Mutex<Audience>>) {
    match done {
        Some(Done::Committed(work, dropped, fired)) => {
            let events = audience.map(|_| events(&work.batch, &dropped));
            core.committed(*work, &dropped, fired);
            if let (Some(audience), Some(events)) = (audience, events) {
                lock(audience).events(&events);
            }
        }
        Some(Done::Read(state, loaded)) => core.loaded(state, loaded),
        Some(Done::Failed(error)) => core.fail(error),
        None => {}
    }
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
            Err(Error::NoSuchJob(name)) => {
                request.answer.no_such_job(name);
                return store;
            }
            Err(e) => core.fail(e),
            Ok(page) => {
                if let Some(work) = core.cancel_page(&request, page) {
                    let (back, done) = on_disk(store, |store| Wanted::Commit(Box::new(work)).of(store)).await;
                    store = back;
                    tell(core, Some(done), audience);
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
        // Seeds that never move, or have a priority, were placed at once; these may have moved since then.
        page.retain(|record| fresh.has(record.job.id, &record.standing()));
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
