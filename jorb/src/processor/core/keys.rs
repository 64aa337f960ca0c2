//! Keys of limiters that an operator stops.
use super::{Core, Inner, Phase};
use crate::{StateId, Workflow, store::LimiterName};

impl<W: Workflow> Core<W> {
    /// Stops a key, by its name in the store, or lets it go on. False when it is too late for this run to remember it.
    pub(in crate::processor) fn hold_key(&self, name: &LimiterName, held: bool) -> bool {
        let now = self.clock.nanos();
        let mut inner = self.lock();
        let inner = &mut *inner;
        if inner.phase == Phase::Closed {
            return false;
        }
        inner.permits.hold(name, held.then(|| self.clock.now()));
        inner.held_keys = Some(inner.permits.held_keys().clone());
        for state in StateId::<W>::all() {
            let Inner { queues, permits, .. } = &mut *inner;
            if queues[state.index()].hold(|uses| permits.is_held(uses)) {
                // Who stood behind its jobs need not wait for them; and others of this state may be next.
                inner.permits_changed(state, &None, self);
                inner.tidy(state.index(), now);
                inner.ask(state, now, self);
                self.wake[state.index()].notify_one();
            }
        }
        // Those who waited for a suspect to run alone need not, if it is held.
        if !inner.suspects.is_empty() {
            self.wake_all();
        }
        inner.settle(self);
        self.work.notify_one();
        true
    }
}
