//! What goes to the store, and what follows when it is there.
use std::collections::HashSet;

use tokio::sync::oneshot;

use super::{Core, Inner, Phase, finish::size};
use crate::{
    JobId, StateId, Status, Tuning, Workflow,
    processor::line::{AtHand, Waiting},
    store::{Batch, Change, LimiterName, Record, Standing},
};

/// Most steps in one transaction, in windows.
const BATCH: usize = 8;

/// So much of a window is a batch that need not grow: an eighth.
const GATHERED: usize = 8;

/// What adaptive rates learn is saved this often: 1 s.
const LEARNED: u64 = 1_000_000_000;

/// What the writer is to commit.
pub(in crate::processor) struct Work<W: Workflow> {
    pub(in crate::processor) batch: Batch<W>,
    /// Of each change.
    followers: Vec<Followers<W>>,
    saved: Vec<oneshot::Sender<()>>,
}

impl<W: Workflow> Work<W> {
    pub(super) fn of(batch: Batch<W>, followers: Vec<Followers<W>>) -> Self {
        Work { batch, followers, saved: Vec::new() }
    }
}

/// Who goes on when a change is durable.
pub(super) struct Followers<W: Workflow> {
    pub(super) then: Then<W>,
    /// Of each kick.
    pub(super) children: Vec<Then<W>>,
    /// How many bytes the change takes until then.
    pub(super) bytes: usize,
    /// In which line the job was, if it is what a step left.
    pub(super) left: Option<usize>,
}

/// Where a job waits once it is durable.
pub(super) enum Then<W: Workflow> {
    /// Nowhere.
    Away,
    /// In this line, of which only the store has it.
    Stored(usize),
    /// In this line, in memory.
    Here(usize, AtHand<W>),
}

impl<W: Workflow> Core<W> {
    /// How many changes wait for the writer, if they are more than `before`, and no batch yet.
    pub(in crate::processor) fn gathers(&self, before: usize) -> Option<usize> {
        let inner = self.lock();
        let queued = inner.changes.len();
        (queued > before && queued < inner.window / GATHERED).then_some(queued)
    }

    /// What is to be committed now, if anything.
    pub(in crate::processor) fn take_work(&self) -> Option<Work<W>> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        // Jobs that were admitted need not be told of before they change.
        let changed = inner.tuned_anew || inner.held.is_some() || inner.held_keys.is_some();
        let nothing = inner.changes.is_empty() && inner.saves.is_empty() && !changed;
        inner.writer_idle = nothing;
        if nothing {
            return None;
        }
        inner.next.time = inner.next.time.max(self.clock.now());
        let mut batch = Batch::new(inner.next);
        let most = BATCH * inner.window;
        batch.changes = first(&mut inner.changes, most, &mut inner.spare.0);
        let followers = first(&mut inner.followers, most, &mut inner.spare.1);
        inner.cancels.iter_mut().for_each(|request| request.comes_closer(batch.changes.len()));
        batch.admitted = std::mem::take(&mut inner.admitted);
        batch.held = inner.held.take();
        batch.held_keys = inner.held_keys.take();
        batch.tuned = inner.take_tuned();
        inner.tunings += usize::from(batch.tuned.is_some());
        let mut saved = Vec::new();
        batch.limiters.extend(inner.permits.forgotten());
        for (due, sender) in inner.saves.drain(..) {
            batch.limiters.extend(due);
            saved.extend(sender);
        }
        // What a crash would forget was learned in a second.
        let now = self.clock.nanos();
        if now.saturating_sub(inner.learned_at) >= LEARNED {
            inner.learned_at = now;
            batch.learned = inner.permits.learned();
        }
        Some(Work { batch, followers, saved })
    }

    /// A batch is durable: `dropped` are new jobs that were not made, `fired` those that have no child left to wait for.
    pub(in crate::processor) fn committed(&self, work: Work<W>, dropped: &[JobId], fired: Vec<Waiting<W>>) {
        let Work { mut batch, mut followers, saved } = work;
        let dropped: HashSet<JobId> = dropped.iter().copied().collect();
        for saved in saved {
            let _ = saved.send(()); // whoever waited may have been dropped
        }
        let mut changes = std::mem::take(&mut batch.changes);
        let mut woken = vec![false; self.wake.len()];
        let now = self.clock.nanos();
        let mut inner = self.lock();
        let was_full = inner.is_full();
        if batch.tuned.is_some() {
            inner.tunings -= 1;
            if inner.tunings == 0 && !inner.tuned_anew {
                inner.permits.settled();
            }
        }
        inner.record(&batch);
        inner.uncommitted -= changes.len();
        for (change, followers) in changes.drain(..).zip(followers.drain(..)) {
            inner.count(&change, &dropped);
            let queue = &mut inner.queues[change.before.state.index()];
            queue.uncommitted -= 1;
            if let Some(line) = followers.left {
                queue.settled(line);
            }
            inner.uncommitted_bytes -= followers.bytes;
            inner.arrive(change.now, followers.then, now, &mut woken);
            for (new, then) in change.kicks.into_iter().zip(followers.children) {
                if dropped.contains(&new.record.job.id) {
                    inner.does_not_arrive(&new.record, &then);
                } else {
                    inner.arrive(Box::new(new.record), then, now, &mut woken);
                }
            }
        }
        inner.spare = (changes, followers);
        for job in fired {
            inner.fire(job, now, &mut woken);
        }
        for queue in &mut inner.queues {
            queue.committed();
        }
        for state in StateId::<W>::all() {
            inner.tidy(state.index(), now);
            inner.ask(state, now, self);
        }
        inner.settle(self);
        drop(inner);
        if was_full {
            self.wake_all();
        }
        for (wake, _) in self.wake.iter().zip(woken).filter(|(_, woken)| *woken) {
            wake.notify_one();
        }
    }

    /// The last batch: where the limiters are, and what was asked for while the writer ended.
    pub(in crate::processor) fn last_batch(&self) -> Batch<W> {
        let mut inner = self.lock();
        let mut batch = Batch::new(inner.next);
        batch.held = inner.held.take();
        batch.held_keys = inner.held_keys.take();
        batch.tuned = inner.take_tuned();
        inner.phase = Phase::Closed;
        batch.limiters = inner.permits.due();
        batch.learned = inner.permits.learned();
        batch.clean = Some(inner.permits.are_known(self.clock.nanos()));
        batch
    }

    pub(in crate::processor) fn recorded(&self, batch: &Batch<W>) {
        self.lock().record(batch);
    }
}

impl<W: Workflow> Inner<W> {
    /// A job is durable: it waits where [`Inner::follower`] said.
    fn arrive(&mut self, record: Box<Record<W>>, then: Then<W>, now: u64, woken: &mut [bool]) {
        let state = record.job.state.index();
        match then {
            Then::Here(line, at_hand) => {
                woken[state] = true;
                self.queues[state].arrive(line, Waiting { record, at_hand, since: now, uses: None, line });
            }
            Then::Stored(line) => self.queues[state].saved(line, record.turn()),
            Then::Away => {}
        }
    }

    /// A job will not wait after all where [`Inner::follower`] said.
    pub(super) fn does_not_arrive(&mut self, record: &Record<W>, then: &Then<W>) {
        let queue = &mut self.queues[record.job.state.index()];
        match *then {
            Then::Here(line, _) => queue.cancel(line, true, record.turn()),
            Then::Stored(line) => queue.cancel(line, false, record.turn()),
            Then::Away => {}
        }
    }

    /// A job waits for no child any more: the store has it in the line of its key.
    fn fire(&mut self, job: Waiting<W>, now: u64, woken: &mut [bool]) {
        self.durable.count_fired(&job.record);
        let before = job.record.standing();
        let Standing { state, status, turn, ref lane, .. } = before;
        if status != Status::Ready {
            return;
        }
        let line = self.line(state, lane, false, now);
        let queue = &mut self.queues[state.index()];
        if !queue.expect(line, turn, size(&job.record.job), now) {
            queue.saved(line, turn);
        } else if job.at_hand.demand.key == lane.key {
            woken[state.index()] = true;
            queue.arrive(line, Waiting { since: now, ..job });
        } else {
            queue.cancel(line, true, turn);
            self.astray(before, job, now);
        }
    }

    /// What is to be saved of what an operator has changed.
    fn take_tuned(&mut self) -> Option<Vec<(LimiterName, Tuning)>> {
        std::mem::take(&mut self.tuned_anew).then(|| self.tuned.clone())
    }

    /// What the store did to its jobs, done to our copy of what it knows.
    fn count(&mut self, change: &Change<W>, dropped: &HashSet<JobId>) {
        self.durable.count(change);
        let counts = &mut self.durable.counts;
        for new in change.kicks.iter().filter(|new| !dropped.contains(&new.record.job.id)) {
            counts.add(new.record.job.state, new.record.job.status, 1);
        }
        if change.now.job.status == Status::Cancelled {
            self.suspects.acquit(change.now.job.id);
        }
        if change.line.is_some() {
            self.tally.moves[change.before.state.index()] += 1;
        }
    }

    /// The same for all but the jobs.
    fn record(&mut self, batch: &Batch<W>) {
        let durable = &mut self.durable;
        for (id, state) in &batch.admitted {
            durable.fresh.next = id.0 + 1;
            durable.fresh.by_state[state.index()] -= 1;
        }
        durable.limit(batch);
        if let Some(tuned) = &batch.tuned {
            durable.tuned.clone_from(tuned);
        }
        if let Some(held) = &batch.held {
            durable.held.clone_from(held);
        }
        if let Some(held) = &batch.held_keys {
            durable.held_keys.clone_from(held);
        }
        durable.clean = batch.clean.unwrap_or(durable.clean);
        durable.next = batch.next;
    }
}

/// The first of a list, so many; the rest stays.
fn first<T>(all: &mut Vec<T>, most: usize, spare: &mut Vec<T>) -> Vec<T> {
    if all.len() > most {
        spare.extend(all.drain(most..));
    }
    std::mem::replace(all, std::mem::take(spare))
}
