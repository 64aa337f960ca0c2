//! What goes to the store, and what follows when it is there.
use std::collections::HashSet;

use tokio::sync::oneshot;

use super::{Core, Inner, finish::Pending};
use crate::{
    JobId, StateId, Status, Workflow,
    processor::line::Waiting,
    store::{Batch, Record},
};

/// Most steps in one transaction.
const BATCH: usize = 8 * 1024;

/// What the writer is to commit.
pub(in crate::processor) struct Work<W: Workflow> {
    pub(in crate::processor) batch: Batch<W>,
    followers: Vec<Followers<W>>,
    saved: Vec<oneshot::Sender<()>>,
    bytes: usize,
}

struct Followers<W: Workflow> {
    then: Option<Box<Waiting<W>>>,
    children: Vec<Option<Box<Waiting<W>>>>,
}

impl<W: Workflow> Core<W> {
    /// What is to be committed now, if anything.
    pub(in crate::processor) fn take_work(&self) -> Option<Work<W>> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let nothing = inner.pending.is_empty()
            && inner.saves.is_empty()
            && inner.held.is_none()
            && inner.admitted.is_empty();
        if nothing {
            return None;
        }
        inner.next.time = inner.next.time.max(self.clock.now());
        let mut batch = Batch::new(inner.next);
        let n = inner.pending.len().min(BATCH);
        let rest = inner.pending.split_off(n);
        let taken = std::mem::replace(&mut inner.pending, rest);
        let mut followers = Vec::with_capacity(n);
        let mut bytes = 0;
        batch.changes.reserve(n);
        for Pending { change, then, children, bytes: b } in taken {
            batch.changes.push(change);
            followers.push(Followers { then, children });
            bytes += b;
        }
        batch.admitted = std::mem::take(&mut inner.admitted);
        batch.held = inner.held.take();
        let mut saved = Vec::new();
        for (state, due, sender) in inner.saves.drain(..) {
            batch.limiters.push((state, due));
            saved.push(sender);
        }
        Some(Work { batch, followers, saved, bytes })
    }

    /// A batch is durable: `dropped` are new jobs that were not made.
    pub(in crate::processor) fn committed(&self, work: Work<W>, dropped: &[JobId]) {
        let Work { batch, followers, saved, bytes } = work;
        let dropped: HashSet<JobId> = dropped.iter().copied().collect();
        for saved in saved {
            let _ = saved.send(()); // whoever waited may have been dropped
        }
        let n = batch.changes.len();
        let mut inner = self.lock();
        inner.record(&batch, &dropped);
        let mut woken = HashSet::new();
        for (change, followers) in batch.changes.iter().zip(followers) {
            inner.arrive(&change.now, followers.then, &mut woken);
            for (new, waiting) in change.kicks.iter().zip(followers.children) {
                let record = &new.record;
                if !dropped.contains(&record.job.id) {
                    inner.arrive(record, waiting, &mut woken);
                } else if record.job.status == Status::Ready {
                    inner.lines[record.job.state.index()].cancel(waiting.is_some(), record.turn());
                }
            }
        }
        let was_full = inner.is_full();
        inner.uncommitted -= n;
        inner.uncommitted_bytes -= bytes;
        for line in &mut inner.lines {
            line.committed();
        }
        for state in StateId::<W>::all() {
            inner.ask(state);
        }
        inner.settle(self);
        drop(inner);
        if was_full {
            self.wake_all();
        }
        for state in woken {
            self.wake[state].notify_one();
        }
    }

    /// The last batch: where the limiters are.
    pub(in crate::processor) fn last_batch(&self) -> Batch<W> {
        let inner = self.lock();
        let mut batch = Batch::new(inner.next);
        let due =
            |state: StateId<W>| inner.lines[state.index()].limiter.as_ref()?.due(0).map(|due| (state, due));
        batch.limiters = StateId::all().filter_map(due).collect();
        batch.clean = Some(true);
        batch
    }

    pub(in crate::processor) fn recorded(&self, batch: &Batch<W>) {
        self.lock().record(batch, &HashSet::new());
    }
}

impl<W: Workflow> Inner<W> {
    /// A job is durable: it waits where [`Inner::follower`] said.
    fn arrive(&mut self, job: &Record<W>, waiting: Option<Box<Waiting<W>>>, woken: &mut HashSet<usize>) {
        let state = job.job.state.index();
        match waiting {
            Some(waiting) => {
                woken.insert(state);
                self.lines[state].arrive(waiting);
            }
            None if job.job.status == Status::Ready => self.lines[state].saved(job.turn()),
            None => {}
        }
    }

    /// What the store did, done to our copy of what it knows.
    fn record(&mut self, batch: &Batch<W>, dropped: &HashSet<JobId>) {
        let durable = &mut self.durable;
        for change in &batch.changes {
            let (before, now) = (change.before, &change.now.job);
            durable.counts.add(before.state, before.status, -1);
            durable.counts.add(now.state, now.status, 1);
            for new in change.kicks.iter().filter(|new| !dropped.contains(&new.record.job.id)) {
                durable.counts.add(new.record.job.state, new.record.job.status, 1);
            }
            if change.line.is_some() {
                self.tally.moves[before.state.index()] += 1;
            }
        }
        for (id, state) in &batch.admitted {
            durable.fresh.next = id.0 + 1;
            durable.fresh.by_state[state.index()] -= 1;
        }
        for (state, due) in &batch.limiters {
            durable.limiters.retain(|(of, _)| of != state);
            durable.limiters.push((*state, *due));
        }
        if let Some(held) = &batch.held {
            durable.held.clone_from(held);
        }
        durable.clean = batch.clean.unwrap_or(durable.clean);
        durable.next = batch.next;
    }
}
