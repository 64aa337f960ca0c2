//! Who starts next: the job that came first in its line and at its limiters.
use std::borrow::Cow;

use tokio::sync::oneshot;

use super::{Canary, Core, Done, Inner, batch::Group, cancel::Step, nanos};
use crate::{
    Batching, Demand, JobId, StateId, Timestamp, Workflow,
    processor::{
        line::Waiting,
        permits::{Permits, Refused, Uses},
        suspects::Suspect,
    },
};

/// Saving a limiter takes less than this, nearly always: 20 ms. Where it does not, it is given twice as long as it took, ..
const LEAD: u64 = 20_000_000;
/// .. but no longer than this, for a crash makes others wait for so long: 10 s.
const LONGEST_LEAD: u64 = 10_000_000_000;

/// A permit of slow limiters, which counts once it is saved.
pub(in crate::processor) struct Permit {
    pub(in crate::processor) saved: oneshot::Receiver<()>,
    /// When it was taken, and by how much later it is saved to be used.
    at: u64,
    lead: u64,
    of: Vec<usize>,
    uses: Uses,
}

/// What a slot is to do.
pub(in crate::processor) enum Pull<T> {
    Run(T),
    /// Nothing can start now: wait for `wake`.
    Wait,
    /// The run ends.
    Retire,
}

/// A step that starts; if there is a permit, once that is saved.
pub(in crate::processor) struct Start<W: Workflow> {
    pub(in crate::processor) job: Waiting<W>,
    pub(in crate::processor) at: u64,
    pub(in crate::processor) permit: Option<Permit>,
    /// It runs alone.
    pub(in crate::processor) suspect: Option<Suspect<W>>,
}

/// Who starts next: the head of a line, unless only some may start.
pub(super) struct Chosen {
    pub(super) line: usize,
    pub(super) id: JobId,
    /// Who starts with it.
    pub(super) group: Option<Group>,
}

impl<T> Pull<T> {
    pub(super) fn map<U>(self, run: impl FnOnce(T) -> U) -> Pull<U> {
        match self {
            Pull::Run(what) => Pull::Run(run(what)),
            Pull::Wait => Pull::Wait,
            Pull::Retire => Pull::Retire,
        }
    }
}

impl<W: Workflow> Core<W> {
    /// A slot of `state` hands over what it did, and asks what to do next: the next step, if one may start now.
    pub(in crate::processor) fn next(&self, state: StateId<W>, done: Option<Done<W>>) -> Pull<Start<W>> {
        let ended = done.as_ref().map(|done| done.ended);
        let mut inner = self.lock();
        let inner = &mut *inner;
        if let Some(done) = done {
            inner.finish(done, self);
        }
        let pulled = self.pull(inner, state, ended, |inner, now| inner.next(state, now, self));
        pulled.map(|(job, at)| {
            inner.running.insert(job.record.job.id, Step::Goes);
            let permit = self.permit(inner, &job.uses, &job.at_hand.demand, at);
            let suspect = inner.suspects.starts(&job);
            Start { job, at, permit, suspect }
        })
    }

    /// Finds the next step of `state`, for a slot whose last one `ended` then; gives the time as well.
    pub(super) fn pull<T>(
        &self,
        inner: &mut Inner<W>,
        state: StateId<W>,
        ended: Option<u64>,
        next: impl FnOnce(&mut Inner<W>, u64) -> Result<T, Option<u64>>,
    ) -> Pull<(T, u64)> {
        if inner.ending.is_some() || inner.alive[state.index()] > inner.slots(state.index()) {
            let alive = &mut inner.alive[state.index()];
            *alive = alive.saturating_sub(1);
            return Pull::Retire;
        }
        // A limiter must not think that a start was earlier than it is.
        let limited = inner.permits.limits(state.index());
        let now = ended.filter(|_| !limited).unwrap_or_else(|| self.clock.nanos());
        let next = next(inner, now);
        if limited && next.is_err() {
            inner.steps_back(state, self);
        }
        inner.tidy(state.index(), now);
        inner.ask(state, now, self);
        self.want_loads(inner);
        let queue = &mut inner.queues[state.index()];
        let next = match next {
            Ok(next) => next,
            Err(until) => {
                if until.is_some_and(|until| queue.wake_by(until)) {
                    self.timer.notify_one();
                }
                queue.idle += 1;
                return Pull::Wait;
            }
        };
        queue.executing += 1;
        inner.executing += 1;
        // A slot that sleeps may find work as well, now or at its time.
        if queue.idle > 0 {
            match queue.outlook() {
                Some(at) if at > now && inner.canary.is_none() => {
                    if queue.wake_by(at) {
                        self.timer.notify_one();
                    }
                }
                None if inner.canary.is_none() => {}
                _ => self.wake[state.index()].notify_one(),
            }
        }
        Pull::Run((next, now))
    }

    /// What is to be saved before a step starts that took this, if anything is.
    pub(super) fn permit(
        &self,
        inner: &mut Inner<W>,
        uses: &Uses,
        demand: &Demand,
        now: u64,
    ) -> Option<Permit> {
        let of = inner.permits.to_save(uses, demand, now);
        (!of.is_empty()).then(|| self.save(inner, of, uses.clone(), LEAD))
    }

    /// A saved permit is used now. It counts from now on, and must be saved again if that took long.
    pub(in crate::processor) fn starts(
        &self,
        state: StateId<W>,
        Permit { at, lead, of, uses, .. }: Permit,
    ) -> Option<Permit> {
        let mut inner = self.lock();
        let late = self.clock.nanos().saturating_sub(at);
        inner.permits.shift(&of, late);
        if late > lead {
            return Some(self.save(&mut inner, of, uses, (2 * late).min(LONGEST_LEAD)));
        }
        self.saved(&mut inner, state, &of, &uses);
        None
    }

    /// Saves slow limiters as if their last permit was used a little later, which it will be.
    fn save(&self, inner: &mut Inner<W>, of: Vec<usize>, uses: Uses, lead: u64) -> Permit {
        let due = inner.permits.save(&of, lead);
        let (saved, wait) = oneshot::channel();
        inner.saves.push((due, Some(saved)));
        self.work.notify_one();
        Permit { saved: wait, at: self.clock.nanos(), lead, of, uses }
    }

    /// Others may take of these limiters again.
    fn saved(&self, inner: &mut Inner<W>, state: StateId<W>, gates: &[usize], uses: &Uses) {
        inner.permits.saved(gates);
        inner.permits_changed(state, uses, self);
        self.wake[state.index()].notify_one();
    }

    /// Waits after a [`Pull::Wait`].
    pub(in crate::processor) async fn woken(&self, state: StateId<W>) {
        tokio::select! {
            () = self.wake[state.index()].notified() => {}
            () = self.stopping.cancelled() => {}
        }
        self.lock().queues[state.index()].idle -= 1;
    }

    /// A step that was pulled does not start: the run ends, or its job was cancelled.
    pub(in crate::processor) fn not_started(&self, job: &Waiting<W>) {
        let state = job.record.job.state;
        let mut inner = self.lock();
        let id = job.record.job.id;
        let cancelled = matches!(inner.running.remove(&id), Some(Step::Cancelled { .. }));
        inner.executing -= 1;
        inner.queues[state.index()].executing -= 1;
        let now = self.clock.nanos();
        inner.permits.give_back(&job.uses, now);
        if cancelled {
            inner.let_go(state, job.line, now);
        }
        inner.permits_changed(state, &job.uses, self);
        inner.step_is_over(false, self);
        inner.settle(self);
    }
}

impl<W: Workflow> Inner<W> {
    /// Takes the job of `state` that is to start next, with its permits; or says when to look again, if that is known.
    fn next(&mut self, state: StateId<W>, now: u64, core: &Core<W>) -> Result<Waiting<W>, Option<u64>> {
        let at = state.index();
        let Chosen { line, id, .. } = self.choose(state, None, now, core)?;
        let job = self.take_job(at, line, id).ok_or(None)?;
        if self.permits.limits(at) {
            self.permits.take(&job.uses, &job.at_hand.demand, now);
            // Who stood behind this job may be next.
            self.permits_changed(state, &job.uses, core);
        }
        Ok(job)
    }

    /// Chooses the job of `state` that is to start next, with those that start with it; or says when to look again, if that
    /// is known.
    pub(super) fn choose(
        &mut self,
        state: StateId<W>,
        batching: Option<Batching>,
        now: u64,
        core: &Core<W>,
    ) -> Result<Chosen, Option<u64>> {
        let at = state.index();
        let since = self.queues[at].refused.take().map_or(now, |(_, since)| since);
        let mut waits: Option<Refused> = None;
        loop {
            let Some((line, job)) = self.candidate(at, now) else {
                self.queues[at].refused = waits.map(|refused| (refused, since));
                // Whoever changes that wakes us, or it is a time.
                return Err(self.queues[at].outlook().filter(|_| !self.picks() && !self.is_shut(at)));
            };
            let expired = job.record.job.is_expired(Timestamp(now / 1_000_000));
            let (id, mut starts_at) = (job.record.job.id, job.starts_at());
            let deadline = job.record.job.deadline.map(nanos);
            if expired {
                self.expire(state, (line, id), now, core)?;
                continue;
            }
            let group = batching.map(|batching| self.gather(at, (line, id), batching, now));
            if let Some(group) = &group {
                starts_at = group.due;
            }
            let only = self.picks();
            if starts_at > now && only {
                return Err(Some(starts_at));
            }
            if starts_at > now {
                let keep = batching.map_or(1, |batching| batching.max as usize);
                self.queues[at].delay(line, starts_at, keep);
                continue;
            }
            let demand = group.as_ref().map(|group| &group.demand);
            let Err(refused) = self.may_take(at, line, demand, now, core) else {
                return Ok(Chosen { line, id, group });
            };
            let until = refused.until.into_iter().chain(deadline).min();
            if refused.keyed && !only {
                // Those of other keys need not wait.
                self.queues[at].park(line, until);
                waits.get_or_insert(refused);
                continue;
            }
            self.queues[at].refused = Some((refused, since));
            return Err(until);
        }
    }

    /// Takes the next job of a state: the head of this line, unless only some may start.
    pub(super) fn take_job(&mut self, state: usize, line: usize, id: JobId) -> Option<Waiting<W>> {
        let job = if self.picks() {
            self.queues[state].take_if(|job| job.record.job.id == id)
        } else {
            self.queues[state].pop(line)
        }?;
        if let Some(canary) = &mut self.canary {
            canary.jobs.insert(job.record.job.id);
        }
        Some(job)
    }

    /// Cancels the next job of a state, whose turn has come after its deadline.
    fn expire(
        &mut self,
        state: StateId<W>,
        (line, id): (usize, JobId),
        now: u64,
        core: &Core<W>,
    ) -> Result<(), Option<u64>> {
        let job = self.take_job(state.index(), line, id).ok_or(None)?;
        self.queue(Done::expired(job, now));
        self.wake_writer(core);
        // Who stood behind this job may be next.
        self.permits_changed(state, &None, core);
        Ok(())
    }

    /// Nothing of a state may start now, whoever waits.
    fn is_shut(&self, state: usize) -> bool {
        let queue = &self.queues[state];
        // Others must not keep a state waiting by filling up what is uncommitted: it may always have one step there.
        queue.held || self.is_full() && queue.uncommitted > 0
    }

    /// Only some may start, wherever they stand.
    fn picks(&self) -> bool {
        self.canary.as_ref().is_some_and(Canary::is_full) || self.only_suspects()
    }

    /// The job of a state that is next, with its line, if all but its time and its limiters let it start.
    fn candidate(&mut self, state: usize, now: u64) -> Option<(usize, &Waiting<W>)> {
        if self.is_shut(state) {
            return None;
        }
        self.queues[state].first(now);
        self.known_candidate(state)
    }

    /// The same, as of when somebody last looked.
    fn known_candidate(&self, state: usize) -> Option<(usize, &Waiting<W>)> {
        if self.is_shut(state) {
            return None;
        }
        if self.only_suspects() {
            return self.lone(state);
        }
        let queue = &self.queues[state];
        if let Some(canary) = self.canary.as_ref().filter(|canary| canary.is_full()) {
            return queue.next_of(|job| canary.has(job));
        }
        let line = queue.peek()?;
        Some((line, queue.at(line).head()?))
    }

    /// The next job of a state may start as far as its limiters go, and no other state's job that waits for one of
    /// them goes first. In a batch, it takes what that does.
    fn may_take(
        &mut self,
        state: usize,
        line: usize,
        batch: Option<&Demand>,
        now: u64,
        core: &Core<W>,
    ) -> Result<(), Refused> {
        if !self.permits.limits(state) {
            return Ok(());
        }
        let Some((_, job)) = self.known_candidate(state) else { return Ok(()) };
        let demand = batch.unwrap_or(&job.at_hand.demand);
        let who = |keyed: bool| (state, keyed.then_some(line));
        let uses = self.queues[state].at(line).uses.clone();
        if let Err(refused) = self.permits.are_there(&uses, demand, now) {
            if refused.until.is_none() {
                self.permits.tell(who(refused.keyed), refused.gate, None);
            }
            return Err(refused);
        }
        let Some((gate, other)) = self.goes_first(state, (line, job), demand, None, now) else {
            return Ok(());
        };
        let keyed = self.permits.is_keyed(gate);
        self.permits.tell(who(keyed), gate, Some(other));
        let there = |(line, job): (usize, &Waiting<W>)| {
            let uses = &self.queues[other].at(line).uses;
            let (due, demand) = self.terms(other, (line, job), now);
            due <= now && self.permits.are_there(uses, &demand, now).is_ok()
        };
        if self.known_candidate(other).is_some_and(there) {
            core.wake[other].notify_one();
        }
        Err(Refused { gate, until: None, keyed })
    }

    /// When the job of a state that is next starts, as far as its limiters go, and what is taken of those.
    fn terms<'a>(
        &'a self,
        state: usize,
        (line, job): (usize, &'a Waiting<W>),
        now: u64,
    ) -> (u64, Cow<'a, Demand>) {
        match self.current[state].as_ref().and_then(|policy| policy.batch) {
            None => (job.starts_at(), Cow::Borrowed(&job.at_hand.demand)),
            Some(batching) => {
                let group = self.gather(state, (line, job.record.job.id), batching, now);
                (group.due, Cow::Owned(group.demand))
            }
        }
    }

    /// Another state whose job goes before this one, which takes this, at a gate, other than `but`: it came first, has a
    /// slot, and waits for nothing else.
    fn goes_first(
        &self,
        state: usize,
        (line, job): (usize, &Waiting<W>),
        demand: &Demand,
        but: Option<usize>,
        now: u64,
    ) -> Option<(usize, usize)> {
        let uses = &self.queues[state].at(line).uses;
        let mut shared = self.permits.shared(state, uses, demand);
        shared.find(|(gate, other)| {
            let queue = &self.queues[*other];
            // Turns get earlier from one to the next, so this ends.
            let first = |(line, first): (usize, &Waiting<W>)| {
                let uses = &queue.at(line).uses;
                if first.turn() >= job.turn() || first.starts_at() > now || !Permits::takes_of(uses, *gate) {
                    return false;
                }
                let (due, demand) = self.terms(*other, (line, first), now);
                due <= now
                    && self.permits.are_there_but_of(*gate, uses, &demand, now)
                    && self.goes_first(*other, (line, first), &demand, Some(*gate), now).is_none()
            };
            Some(*gate) != but
                && queue.executing < self.slots(*other)
                && self.known_candidate(*other).is_some_and(first)
        })
    }

    /// The next job of this state did not start: those behind it look again.
    fn steps_back(&mut self, state: StateId<W>, core: &Core<W>) {
        let gate = self.queues[state.index()].refused.map(|(refused, _)| refused.gate);
        let mut told = Vec::new();
        self.permits.steps_back(state.index(), gate, |who| told.push(who));
        for who in told {
            self.told(who, core);
        }
    }

    /// Who waits at the gates of a step, or for the limiters of its state, looks again.
    pub(super) fn permits_changed(&mut self, state: StateId<W>, uses: &Uses, core: &Core<W>) {
        let mut told = Vec::new();
        self.permits.changed(state.index(), uses, |who| told.push(who));
        for who in told {
            self.told(who, core);
        }
    }
}
