//! Who starts next: the job that came first in its line and at its limiters.
use tokio::sync::oneshot;

use super::{Core, Done, Inner};
use crate::{
    StateId, Workflow,
    processor::{line::Waiting, permits::Refused},
};

/// Saving a limiter takes less than this, nearly always: 20 ms.
const LEAD: u64 = 20_000_000;

/// A permit of slow limiters, which counts once it is saved.
pub(in crate::processor) struct Permit {
    pub(in crate::processor) saved: oneshot::Receiver<()>,
    /// When it was taken.
    at: u64,
    of: Vec<usize>,
}

/// What a slot is to do.
pub(in crate::processor) enum Pull<W: Workflow> {
    /// Run this job; if there is a permit, once it is saved. The time is that of the start.
    Run(Waiting<W>, u64, Option<Permit>),
    /// Nothing can start now: wait for `wake`.
    Wait,
    /// The run ends.
    Retire,
}

impl<W: Workflow> Core<W> {
    /// A slot of `state` hands over what it did, and asks what to do next: the next step, if one may start now.
    pub(in crate::processor) fn next(&self, state: StateId<W>, done: Option<Done<W>>) -> Pull<W> {
        let ended = done.as_ref().map(|done| done.ended);
        let mut inner = self.lock();
        let inner = &mut *inner;
        if let Some(done) = done {
            inner.finish(done, self);
        }
        if inner.ending.is_some() || inner.alive[state.index()] > inner.slots(state.index()) {
            let alive = &mut inner.alive[state.index()];
            *alive = alive.saturating_sub(1);
            return Pull::Retire;
        }
        // A limiter must not think that a start was earlier than it is.
        let limited = inner.permits.limits(state.index());
        let now = ended.filter(|_| !limited).unwrap_or_else(|| self.clock.nanos());
        let next = inner.next(state, now, self);
        if limited && next.is_err() {
            inner.steps_back(state, self);
        }
        inner.ask(state, now, self);
        self.want_loads(inner);
        let line = &mut inner.lines[state.index()];
        let job = match next {
            Ok(job) => job,
            Err(until) => {
                if until.is_some_and(|until| line.wake_by(until)) {
                    self.timer.notify_one();
                }
                line.idle += 1;
                return Pull::Wait;
            }
        };
        line.executing += 1;
        inner.executing += 1;
        // A slot that sleeps may find work as well, now or at its time.
        if line.idle > 0 {
            match line.head() {
                Some(job) if job.starts_at() > now && inner.canary.is_none() => {
                    let at = job.starts_at();
                    if line.wake_by(at) {
                        self.timer.notify_one();
                    }
                }
                None if inner.canary.is_none() => {}
                _ => self.wake[state.index()].notify_one(),
            }
        }
        let of = inner.permits.to_save(state.index(), &job.at_hand.demand, now);
        let permit = (!of.is_empty()).then(|| self.save(inner, of));
        Pull::Run(job, now, permit)
    }

    /// A saved permit is used now. It counts from now on, and must be saved again if that took long.
    pub(in crate::processor) fn starts(
        &self,
        state: StateId<W>,
        Permit { at, of, .. }: Permit,
    ) -> Option<Permit> {
        let mut inner = self.lock();
        let late = self.clock.nanos().saturating_sub(at);
        inner.permits.shift(&of, late);
        if late > LEAD {
            return Some(self.save(&mut inner, of));
        }
        self.saved(&mut inner, state, &of);
        None
    }

    /// Saves slow limiters as if their last permit was used a little later, which it will be.
    fn save(&self, inner: &mut Inner<W>, of: Vec<usize>) -> Permit {
        let due = inner.permits.save(&of, LEAD);
        let (saved, wait) = oneshot::channel();
        inner.saves.push((due, Some(saved)));
        self.work.notify_one();
        Permit { saved: wait, at: self.clock.nanos(), of }
    }

    /// Others may take of these limiters again.
    fn saved(&self, inner: &mut Inner<W>, state: StateId<W>, limiters: &[usize]) {
        inner.permits.saved(limiters);
        inner.permits_changed(state, self);
        self.wake[state.index()].notify_one();
    }

    /// Waits after a [`Pull::Wait`].
    pub(in crate::processor) async fn woken(&self, state: StateId<W>) {
        tokio::select! {
            () = self.wake[state.index()].notified() => {}
            () = self.stopping.cancelled() => {}
        }
        self.lock().lines[state.index()].idle -= 1;
    }

    /// A step that was pulled does not start: the run ends.
    pub(in crate::processor) fn not_started(&self, state: StateId<W>) {
        let mut inner = self.lock();
        inner.executing -= 1;
        inner.lines[state.index()].executing -= 1;
        inner.permits.give_back(state.index());
    }
}

impl<W: Workflow> Inner<W> {
    /// Takes the job of `state` that is to start next, with its permits; or says when to look again, if that is known.
    fn next(&mut self, state: StateId<W>, now: u64, core: &Core<W>) -> Result<Waiting<W>, Option<u64>> {
        let at = state.index();
        let since = self.lines[at].refused.take().map_or(now, |(_, since)| since);
        let job = self.candidate(at).ok_or(None)?; // whoever changes that wakes us
        if job.starts_at() > now {
            return Err(Some(job.starts_at()));
        }
        if self.permits.limits(at) {
            self.may_take(at, now, core).map_err(|refused| {
                self.lines[at].refused = Some((refused, since));
                refused.until
            })?;
        }
        let only = self.canary.as_ref().filter(|canary| canary.is_full());
        let job = match only {
            Some(canary) => self.lines[at].take_if(|job| canary.has(job)),
            None => self.lines[at].pop(),
        };
        let job = job.ok_or(None)?;
        if let Some(canary) = &mut self.canary {
            canary.jobs.insert(job.record.job.id);
        }
        if self.permits.limits(at) {
            self.permits.take(at, &job.at_hand.demand, now);
            // Who stood behind this job may be next.
            self.permits_changed(state, core);
        }
        Ok(job)
    }

    /// The job of a state that is next, if all but its time and its limiters let it start.
    fn candidate(&self, state: usize) -> Option<&Waiting<W>> {
        let line = &self.lines[state];
        // Others must not keep a state waiting by filling up what is uncommitted: it may always have one step there.
        if line.held || self.is_full() && line.uncommitted > 0 {
            return None;
        }
        match self.canary.as_ref().filter(|canary| canary.is_full()) {
            Some(canary) => line.next_of(|job| canary.has(job)),
            None => line.head(),
        }
    }

    /// The next job of a state may start as far as its limiters go, and no other state's job that waits for one of
    /// them goes first.
    fn may_take(&mut self, state: usize, now: u64, core: &Core<W>) -> Result<(), Refused> {
        let Some(job) = self.candidate(state) else { return Ok(()) };
        if let Err(refused) = self.permits.are_there(state, &job.at_hand.demand, now) {
            if refused.until.is_none() {
                self.permits.tell(state, refused.limiter, None);
            }
            return Err(refused);
        }
        let Some((limiter, other)) = self.first(state, job, None, now) else { return Ok(()) };
        self.permits.tell(state, limiter, Some(other));
        let there = |job: &Waiting<W>| self.permits.are_there(other, &job.at_hand.demand, now).is_ok();
        if self.candidate(other).is_some_and(there) {
            core.wake[other].notify_one();
        }
        Err(Refused { limiter, until: None })
    }

    /// Another state whose job goes before this one at a limiter, other than `but`: it came first, has a slot, and waits for
    /// nothing else.
    fn first(&self, state: usize, job: &Waiting<W>, but: Option<usize>, now: u64) -> Option<(usize, usize)> {
        let mut shared = self.permits.shared(state, &job.at_hand.demand);
        shared.find(|(limiter, other)| {
            // Turns get earlier from one to the next, so this ends.
            let goes_first = |first: &Waiting<W>| {
                first.turn() < job.turn()
                    && first.starts_at() <= now
                    && self.permits.are_there_but_of(*limiter, *other, &first.at_hand.demand, now)
                    && self.first(*other, first, Some(*limiter), now).is_none()
            };
            Some(*limiter) != but
                && self.lines[*other].executing < self.slots(*other)
                && self.candidate(*other).is_some_and(goes_first)
        })
    }

    /// The next job of this state did not start: those behind it look again.
    fn steps_back(&mut self, state: StateId<W>, core: &Core<W>) {
        let limiter = self.lines[state.index()].refused.map(|(refused, _)| refused.limiter);
        self.permits.steps_back(state.index(), limiter, |behind| core.wake[behind].notify_one());
    }

    /// Who waits for the limiters of this state looks again.
    pub(super) fn permits_changed(&mut self, state: StateId<W>, core: &Core<W>) {
        self.permits.changed(state.index(), |blocked| core.wake[blocked].notify_one());
    }
}
