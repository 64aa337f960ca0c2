//! Cancelling jobs, wherever they are: in a slot, in a line, on their way to the store, or only there.
use std::{
    collections::HashSet,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use foldhash::HashMap;
use tokio::sync::oneshot;

use super::{
    Core, Inner, Phase,
    commit::{Followers, Then, Work},
    finish::size,
};
use crate::{
    Error, JobId, Policy, Shown, StateId, Timestamp, Workflow,
    run::{Filter, Walk},
    store::{Batch, Change, Record},
};

/// Which jobs somebody wants to be cancelled.
pub(in crate::processor) struct Request<W: Workflow> {
    pub(in crate::processor) filter: Filter<W>,
    pub(in crate::processor) answer: Arc<Answer>,
    /// So many changes are on their way to the store, and to be seen there first.
    behind: usize,
}

/// What is told to whoever asked, once the last one that has it lets it go: how many jobs were cancelled, or that there is no such
/// job, or, if nothing is known to be durable, nothing.
pub(in crate::processor) struct Answer {
    jobs: AtomicU64,
    durable: AtomicBool,
    missing: OnceLock<String>,
    to: Option<oneshot::Sender<Result<u64, Error>>>,
}

impl Answer {
    pub(in crate::processor) fn is_durable(&self) {
        self.durable.store(true, Release);
    }

    pub(in crate::processor) fn no_such_job(&self, name: String) {
        let _ = self.missing.set(name); // it is told once
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let said = match self.missing.take() {
            Some(name) => Some(Err(Error::NoSuchJob(name))),
            None => self.durable.load(Acquire).then(|| Ok(self.jobs.load(Relaxed))),
        };
        if let Some((to, said)) = self.to.take().zip(said) {
            let _ = to.send(said); // nobody may wait for it any more
        }
    }
}

impl<W: Workflow> Request<W> {
    pub(in crate::processor) fn new(filter: Filter<W>, to: oneshot::Sender<Result<u64, Error>>) -> Self {
        let answer = Answer {
            jobs: AtomicU64::new(0),
            durable: AtomicBool::new(false),
            missing: OnceLock::new(),
            to: Some(to),
        };
        Request { filter, answer: Arc::new(answer), behind: 0 }
    }

    /// So many changes are with the writer now.
    pub(super) fn comes_closer(&mut self, taken: usize) {
        self.behind = self.behind.saturating_sub(taken);
    }
}

/// A step in flight.
pub(super) enum Step {
    Goes,
    /// Its job was cancelled: what it leaves counts for nothing. Whoever cancelled it hears of it when the step has let go, unless
    /// that goes on: a plain function's, or one of several jobs.
    Cancelled {
        _answer: Option<Arc<Answer>>,
    },
}

impl<W: Workflow> Core<W> {
    /// The writer is to cancel jobs. Gives the request back when it is too late for this run.
    pub(in crate::processor) fn cancel(&self, mut request: Request<W>) -> Result<(), Request<W>> {
        let mut inner = self.lock();
        if matches!(inner.phase, Phase::Written | Phase::Closed) || inner.failure.is_some() {
            return Err(request);
        }
        request.behind = inner.changes.len();
        inner.cancels.push_back(request);
        self.work.notify_one();
        Ok(())
    }

    /// All that goes before the next request is with the store, or has been there.
    pub(in crate::processor) fn is_to_cancel(&self) -> bool {
        self.lock().cancels.front().is_some_and(|request| request.behind == 0)
    }

    /// The next request, and a walk over the jobs as the store has them.
    pub(in crate::processor) fn take_cancel(&self) -> Option<(Request<W>, Walk<W>)> {
        let mut inner = self.lock();
        inner.cancels.front().filter(|request| request.behind == 0)?;
        let request = inner.cancels.pop_front()?;
        let walk = Walk::at(request.filter.clone(), &inner.durable, inner.held_states(), self.clock.now());
        Some((request, walk))
    }

    /// The writer has nothing left to do; from now on it hears of nothing.
    pub(in crate::processor) fn is_over(&self) -> bool {
        let mut inner = self.lock();
        let over = inner.phase != Phase::Open && inner.cancels.is_empty();
        if over {
            inner.phase = Phase::Written;
        }
        over
    }

    /// Cancels jobs that the store has so, unless they are not what was asked for any more. Gives what is to be committed,
    /// before anything else is.
    pub(in crate::processor) fn cancel_page(
        &self,
        Request { filter, answer, .. }: &Request<W>,
        mut page: Vec<Record<W>>,
    ) -> Option<Work<W>> {
        let now = self.clock.now();
        let mut inner = self.lock();
        let inner = &mut *inner;
        page.retain(|record| record.job.status.can_be_cancelled());
        let ids: HashSet<JobId> = page.iter().map(|record| record.job.id).collect();
        let on_their_way = inner.changes.iter().map(|change| change.now.job.id);
        let on_their_way: HashSet<JobId> = on_their_way.filter(|id| ids.contains(id)).collect();
        page.retain(|record| !on_their_way.contains(&record.job.id));
        let mut cancelled = inner.cancel_queued(filter, &on_their_way, now);
        let mut stopped = false;
        for queue in &mut inner.queues {
            queue.take_out(&ids);
        }
        for record in page {
            let (id, state) = (record.job.id, record.job.state.index());
            if let Some(step) = inner.running.get_mut(&id) {
                let goes_on = |policy: &Policy| policy.blocking || policy.batch.is_some();
                let goes_on = inner.current[state].as_ref().is_some_and(goes_on);
                *step = Step::Cancelled { _answer: (!goes_on).then(|| answer.clone()) };
                stopped = true;
            } else if inner.fresh.has(id, &record.standing()) {
                inner.fresh.by_state[state] -= 1;
            }
            let seq = super::finish::take(&mut inner.next.seq);
            let change = Change::cancelling(record, now, seq);
            let bytes = size(&change.now.job);
            inner.queues[state].uncommitted += 1;
            inner.uncommitted += 1;
            inner.uncommitted_bytes += bytes;
            cancelled.push((change, Followers { then: Then::Away, children: Vec::new(), bytes, left: None }));
        }
        if cancelled.is_empty() {
            return None;
        }
        inner.look_for_fresh();
        if stopped {
            self.cancels.fetch_add(1, Release);
        }
        let states: HashSet<usize> = cancelled.iter().map(|(c, _)| c.before.state.index()).collect();
        for state in states {
            self.told[state].notify_waiters();
            // Whoever stood behind them may be next.
            inner.permits_changed(StateId::at(state), &None, self);
            self.wake[state].notify_one();
        }
        answer.jobs.fetch_add(cancelled.len() as u64, Relaxed);
        inner.next.time = inner.next.time.max(now);
        let mut batch = Batch::new(inner.next);
        batch.admitted = std::mem::take(&mut inner.admitted);
        let (changes, followers) = cancelled.into_iter().unzip();
        batch.changes = changes;
        Some(Work::of(batch, followers))
    }

    /// How often steps were cancelled so far.
    pub(in crate::processor) fn cancels(&self) -> u64 {
        self.cancels.load(Acquire)
    }

    /// A job that was pulled when steps had been cancelled so often was cancelled itself since then.
    pub(in crate::processor) fn is_cancelled(&self, id: JobId, known: u64) -> bool {
        self.cancels() != known && matches!(self.lock().running.get(&id), Some(Step::Cancelled { .. }))
    }

    /// Ends when that is so of all of these.
    pub(in crate::processor) async fn cancelled(&self, state: StateId<W>, jobs: &[JobId], mut known: u64) {
        loop {
            // It hears what is told from now on, also while we look.
            let told = self.told[state.index()].notified();
            let now = self.cancels();
            if jobs.iter().all(|id| self.is_cancelled(*id, known)) {
                return;
            }
            known = now;
            told.await;
        }
    }
}

impl<W: Workflow> Inner<W> {
    /// A step ended whose job was cancelled: nothing of it will be durable.
    pub(super) fn let_go(&mut self, state: StateId<W>, line: usize, now: u64) {
        self.queues[state.index()].settled(line);
        self.tidy(state.index(), now);
    }

    fn held_states(&self) -> Vec<StateId<W>> {
        StateId::all().filter(|state| self.queues[state.index()].held).collect()
    }

    /// Steps of these jobs have ended, and are not durable yet: the jobs are cancelled where that led to, if they are still what is
    /// asked for. Takes what is to be committed out of the queue.
    fn cancel_queued(
        &mut self,
        filter: &Filter<W>,
        jobs: &HashSet<JobId>,
        now: Timestamp,
    ) -> Vec<(Change<W>, Followers<W>)> {
        if jobs.is_empty() {
            return Vec::new();
        }
        let held = self.held_states();
        let wanted = |Change { now: record, error, .. }: &Change<W>| {
            let error = error.as_ref().zip(filter.error.as_ref());
            jobs.contains(&record.job.id)
                && record.job.status.can_be_cancelled()
                && filter.asks_for(record, Shown::of(record, &held, now))
                && error.is_none_or(|(error, text)| error.error.contains(text))
        };
        for request in &mut self.cancels {
            let before = self.changes[..request.behind].iter().filter(|change| wanted(change)).count();
            request.comes_closer(before);
        }
        let all = std::mem::take(&mut self.changes).into_iter().zip(std::mem::take(&mut self.followers));
        let (mut taken, stay): (Vec<_>, Vec<_>) = all.partition(|(change, _)| wanted(change));
        (self.changes, self.followers) = stay.into_iter().unzip();
        for (change, followers) in &mut taken {
            let record = (*change.now).clone();
            self.does_not_arrive(&record, &std::mem::replace(&mut followers.then, Then::Away));
            let seq = record.seq;
            change.now = Change::cancelling(record, now, seq).now;
        }
        taken
    }
}

/// Steps in flight, by their jobs.
pub(super) type Running = HashMap<JobId, Step>;
