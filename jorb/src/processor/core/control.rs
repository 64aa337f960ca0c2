//! What is asked from outside.
use super::{Core, Inner, Phase};
use crate::{
    Error, LimiterSpec, Policy, StateId, Status, Timestamp, Tuning, Workflow,
    processor::summary::{Ending, Overview, StateOverview, Tuned, Wait},
    store::{Header, LimiterName},
    tuning::{limiter, tune, tuned, tuning_of},
};

impl<W: Workflow> Core<W> {
    /// Nothing starts any more.
    pub(in crate::processor) fn stop(&self) {
        self.lock().end(Ending::Stopped, self);
    }

    /// The operator is impatient: drop the steps in flight, and end the program when all that is done is durable.
    pub(in crate::processor) fn kill_by_signal(&self) {
        self.lock().killed_by_signal = true;
        self.kill.cancel();
    }

    pub(in crate::processor) fn is_killed_by_signal(&self) -> bool {
        self.lock().killed_by_signal
    }

    /// The store failed: nothing that is not durable yet will be.
    pub(in crate::processor) fn fail(&self, error: Error) {
        let mut inner = self.lock();
        inner.end(Ending::Stopped, self);
        inner.changes.clear();
        inner.followers.clear();
        inner.saves.clear();
        inner.admitted.clear();
        inner.cancels.clear();
        inner.failure = Some(error);
        drop(inner);
        self.kill.cancel();
    }

    /// False when it is too late for this run to remember it.
    pub(in crate::processor) fn hold(&self, state: StateId<W>, held: bool) -> bool {
        let mut inner = self.lock();
        if inner.phase == Phase::Closed {
            return false;
        }
        inner.hold(&[(state, held)]);
        // Who stood behind its jobs need not wait for them.
        inner.permits_changed(state, &None, self);
        // Nor need those who waited for its suspect to run alone.
        if !inner.suspects.is_empty() {
            self.wake_all();
        }
        inner.settle(self);
        drop(inner);
        self.work.notify_one();
        self.wake[state.index()].notify_one();
        true
    }

    /// What an operator changes of limits, by the names of the store. False when it is too late for this run to
    /// remember it.
    pub(in crate::processor) fn tune(&self, name: &LimiterName, tuning: Tuning) -> bool {
        let now = self.clock.nanos();
        let mut inner = self.lock();
        let inner = &mut *inner;
        if inner.phase == Phase::Closed {
            return false;
        }
        tune(&mut inner.tuned, name, tuning);
        inner.tuned_anew = true;
        if inner.permits.tune::<W>(&inner.policies, name, tuning_of(&inner.tuned, name), now) {
            inner.join_again(now);
        }
        let taken = inner.permits.taken(name);
        inner.saves.push((taken, None));
        inner.current = tuned::<W>(&inner.tuned, &inner.policies);
        for state in 0..inner.queues.len() {
            let slots = inner.slots(state);
            inner.queues[state].widen(slots);
            inner.queues[state].tell_all();
        }
        self.work.notify_one();
        self.grow.notify_one();
        // All look again: permits may be there earlier, and slots be too many.
        self.wake_all();
        true
    }

    pub(in crate::processor) fn has_failed(&self) -> bool {
        self.lock().failure.is_some()
    }

    /// How many more slots each state is to have.
    pub(in crate::processor) fn new_slots(&self) -> Vec<(StateId<W>, usize)> {
        let mut inner = self.lock();
        if inner.ending.is_some() {
            return Vec::new();
        }
        let inner = &mut *inner;
        let more = |state: StateId<W>| {
            let slots = inner.slots(state.index());
            let alive = &mut inner.alive[state.index()];
            let more = slots.saturating_sub(*alive);
            *alive += more;
            (state, more)
        };
        StateId::all().map(more).filter(|(_, more)| *more > 0).collect()
    }

    /// As [`Core::hold`], before [`Core::resume`] looks whether there is anything to do.
    pub(in crate::processor) fn hold_before_start(&self, states: &[(StateId<W>, bool)]) {
        if !states.is_empty() {
            self.lock().hold(states);
        }
    }

    /// All slots have retired; the writer ends when it has nothing left to do.
    pub(in crate::processor) fn close(&self) {
        self.lock().phase = Phase::Closing;
        self.work.notify_one();
    }

    /// Gives back what the store knows, why the run ended, and the error that ended it.
    pub(in crate::processor) fn end(&self) -> (Header<W>, Ending, Option<Error>) {
        let mut inner = self.lock();
        (inner.durable.clone(), inner.ending.unwrap_or(Ending::Stopped), inner.failure.take())
    }

    pub(in crate::processor) fn overview(&self) -> Overview {
        let now = self.clock.now();
        let inner = self.lock();
        let runs = |state: usize| inner.queues[state].executing > 0;
        let state = |state: StateId<W>| {
            let line = &inner.queues[state.index()];
            let counts = &inner.durable.counts;
            let ready = counts.get(state, Status::Ready);
            let executing = (line.executing.max(line.in_batches) as u64).min(ready);
            let delayed = inner.delayed(state, now).min(ready - executing);
            let completed = if state.spec().terminal() {
                counts.get(state, Status::Ended)
            } else {
                inner.tally.moves[state.index()]
            };
            StateOverview {
                name: state.name(),
                terminal: state.spec().terminal(),
                held: line.held,
                waiting: ready - executing - delayed,
                executing,
                delayed,
                completed,
                joining: counts.get(state, Status::Joining),
                parked: counts.get(state, Status::Parked),
                cancelled: counts.get(state, Status::Cancelled),
                errors: inner.tally.errors[state.index()],
                waits: (line.refused.map(|refused| inner.permits.wait(state, refused, runs)))
                    .or_else(|| inner.permits.held_by(&line.next_held()?.uses))
                    .or_else(|| line.next_filling(now).map(|(since, until)| Wait::batch(since, until))),
            }
        };
        let states = StateId::all().map(state).collect();
        Overview {
            states,
            limiters: inner.permits.overview::<W>(self.clock.nanos()),
            tuned: inner.tuned(),
            throttles: inner.tally.throttles,
            suspects: inner.suspects.len(),
            ending: inner.ending,
            uncommitted: inner.uncommitted as u64,
        }
    }
}

impl<W: Workflow> Inner<W> {
    fn tuned(&self) -> Vec<Tuned> {
        let tuned = |(name, current): &(LimiterName, Tuning)| {
            let state = StateId::<W>::named(name).and_then(|state| self.policies[state.index()].as_ref());
            let limiter = limiter::<W>(name);
            let configured = match (state, limiter) {
                (Some(policy), _) => {
                    let Policy { rate, burst, concurrency, retries, backoff, .. } = *policy;
                    let (retries, backoff) = (Some(retries), Some(backoff));
                    Tuning { rate, burst, concurrency: Some(concurrency), retries, backoff }
                }
                (None, Some(limiter)) => {
                    let LimiterSpec { rate, burst, concurrency, .. } = *limiter;
                    Tuning { rate, burst, concurrency, ..Tuning::new() }
                }
                (None, None) => Tuning::new(),
            };
            let name = limiter.map_or(&**name, |limiter| limiter.name).to_owned();
            Tuned { name, configured, current: current.or(configured) }
        };
        self.tuned.iter().map(tuned).collect()
    }

    /// Lines take of other limiters than before.
    fn join_again(&mut self, now: u64) {
        let Inner { queues, permits, .. } = self;
        for (state, queue) in StateId::<W>::all().zip(queues) {
            queue.uses(|line| {
                let before = line.uses.clone();
                let uses = permits.join(state, line.lane.key.as_ref(), now);
                permits.leave(&before, now);
                uses
            });
        }
    }

    /// Jobs of a state that wait for a time after `now`, as far as is known.
    fn delayed(&self, state: StateId<W>, now: Timestamp) -> u64 {
        let queue = &self.queues[state.index()];
        let known = queue.waiting() + (queue.executing.max(queue.in_batches) + queue.uncommitted) as u64;
        let beyond = self.durable.counts.get(state, Status::Ready).saturating_sub(known);
        queue.delayed(now) + if queue.all_later(now) { beyond } else { 0 }
    }

    pub(super) fn hold(&mut self, states: &[(StateId<W>, bool)]) {
        for (state, held) in states {
            self.queues[state.index()].held = *held;
        }
        self.held = Some(StateId::all().filter(|s| self.queues[s.index()].held).collect());
    }
}
