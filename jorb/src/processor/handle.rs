//! Controls a processor from elsewhere.
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::slot::Shared;
use crate::{
    Active, Error, Limiter, Overview, State, StateId, Tuning, Workflow, nearest::no_such_state,
    store::LimiterName, tuning::target,
};

/// Controls a processor from elsewhere: from another task, a signal handler, a web page.
///
/// What is asked for while the processor does not drive a run is done when it does.
pub struct Handle<W: Workflow> {
    desk: Arc<Desk<W>>,
}

impl<W: Workflow> Clone for Handle<W> {
    fn clone(&self) -> Self {
        Handle { desk: self.desk.clone() }
    }
}

/// What a processor and its handles share.
pub(super) struct Desk<W: Workflow> {
    driven: Mutex<Driven<W>>,
}

struct Driven<W: Workflow> {
    shared: Weak<Shared<W>>,
    stop: bool,
    held: Vec<(StateId<W>, bool)>,
    tuned: Vec<(LimiterName, Tuning)>,
}

impl<W: Workflow> Desk<W> {
    pub(super) fn new() -> Arc<Self> {
        let driven = Driven { shared: Weak::new(), stop: false, held: Vec::new(), tuned: Vec::new() };
        Arc::new(Desk { driven: Mutex::new(driven) })
    }

    pub(super) fn handle(self: &Arc<Self>) -> Handle<W> {
        Handle { desk: self.clone() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Driven<W>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run is driven from now on, until what this gives is dropped: what was asked for is done.
    pub(super) fn open(self: &Arc<Self>, shared: &Arc<Shared<W>>) -> Opened<W> {
        let mut driven = self.lock();
        driven.shared = Arc::downgrade(shared);
        shared.core.hold_before_start(&std::mem::take(&mut driven.held));
        for (name, tuning) in std::mem::take(&mut driven.tuned) {
            shared.core.tune(&name, tuning);
        }
        if std::mem::take(&mut driven.stop) {
            shared.core.stop();
        }
        Opened(self.clone())
    }
}

/// While a run is driven.
pub(super) struct Opened<W: Workflow>(Arc<Desk<W>>);

impl<W: Workflow> Drop for Opened<W> {
    fn drop(&mut self) {
        // What is asked for from now on is for the next run, though tasks of this one may still be about to end.
        self.0.lock().shared = Weak::new();
    }
}

impl<W: Workflow> Handle<W> {
    /// Stops: no step starts any more; those in flight may finish within the processor's grace period, and what they
    /// leave is committed. Then `exec` returns.
    pub fn stop(&self) {
        let mut driven = self.desk.lock();
        match driven.shared.upgrade() {
            Some(shared) => shared.core.stop(),
            None => driven.stop = true,
        }
    }

    /// Stops and drops the steps in flight: they run again when the run is driven again.
    pub fn stop_now(&self) {
        self.stop();
        if let Some(shared) = self.desk.lock().shared.upgrade() {
            shared.core.kill.cancel();
        }
    }

    /// Stops a state: jobs arrive and wait until it is released. Steps in flight go on. The run remembers it.
    ///
    /// ```
    /// # use jorb::prelude::*;
    /// # #[workflow] #[derive(Debug, Clone)] enum Crawl {
    /// #     #[state(initial, next(Done))] Fetch,
    /// #     #[state(terminal)] Done,
    /// # }
    /// # #[state] async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> { Ok(Next::to(crawl::Done)) }
    /// let processor = jorb::Processor::<Crawl>::new(());
    /// let handle = processor.handle();
    /// handle.hold::<crawl::Fetch>();
    /// handle.release::<crawl::Fetch>();
    /// ```
    pub fn hold<S: State<Workflow = W>>(&self) {
        self.set_held_of::<S>(true);
    }

    /// Undoes [`Handle::hold`].
    pub fn release<S: State<Workflow = W>>(&self) {
        self.set_held_of::<S>(false);
    }

    fn set_held_of<S: State<Workflow = W>>(&self, held: bool) {
        if let Some(state) = StateId::named(S::NAME) {
            self.set_held(state, held);
        }
    }

    /// As [`Handle::hold`] and [`Handle::release`], for a name that a person gives.
    pub fn set_held_named(&self, state: &str, held: bool) -> Result<(), Error> {
        let state = StateId::named(state).ok_or_else(|| no_such_state::<W>(state))?;
        self.set_held(state, held);
        Ok(())
    }

    fn set_held(&self, state: StateId<W>, held: bool) {
        let mut driven = self.desk.lock();
        if driven.shared.upgrade().is_none_or(|shared| !shared.core.hold(state, held)) {
            driven.held.push((state, held));
        }
    }

    /// Changes the rate, the burst or the concurrency of a state, at once and while steps run: slots are added and retired, and
    /// no permit that was taken is forgotten. What is not given stays as it is. The run remembers it, until it is
    /// [reset](Handle::reset).
    ///
    /// ```
    /// # use jorb::prelude::*;
    /// # #[workflow] #[derive(Debug, Clone)] enum Crawl {
    /// #     #[state(initial, next(Done))] Fetch,
    /// #     #[state(terminal)] Done,
    /// # }
    /// # #[state] async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> { Ok(Next::to(crawl::Done)) }
    /// use jorb::Tuning;
    ///
    /// let processor = jorb::Processor::<Crawl>::new(());
    /// let handle = processor.handle();
    /// handle.tune::<crawl::Fetch>(Tuning::new().rate("5/s".parse().unwrap()).concurrency(16));
    /// handle.reset::<crawl::Fetch>();
    /// ```
    pub fn tune<S: Active<Workflow = W>>(&self, tuning: Tuning) {
        self.set_tuned(S::NAME.into(), tuning);
    }

    /// A state is as its code says again.
    pub fn reset<S: Active<Workflow = W>>(&self) {
        self.set_tuned(S::NAME.into(), Tuning::new());
    }

    /// As [`Handle::tune`], for a limiter that states share.
    pub fn tune_limiter<L: Limiter>(&self, tuning: Tuning) {
        self.set_tuned(L::SPEC.path.into(), tuning);
    }

    /// As [`Handle::reset`], for a limiter that states share.
    pub fn reset_limiter<L: Limiter>(&self) {
        self.set_tuned(L::SPEC.path.into(), Tuning::new());
    }

    /// As [`Handle::tune`], for the name of a state or a limiter that a person gives; nothing given resets it.
    pub fn tune_named(&self, name: &str, tuning: Tuning) -> Result<(), Error> {
        self.set_tuned(target::<W>(name, tuning)?, tuning);
        Ok(())
    }

    fn set_tuned(&self, name: LimiterName, tuning: Tuning) {
        let mut driven = self.desk.lock();
        if driven.shared.upgrade().is_none_or(|shared| !shared.core.tune(&name, tuning)) {
            driven.tuned.push((name, tuning));
        }
    }

    /// How the run stands; nothing while none is driven.
    #[must_use]
    pub fn overview(&self) -> Option<Overview> {
        Some(self.desk.lock().shared.upgrade()?.core.overview())
    }
}

/// How long `exec` lets steps in flight go on after a stop, unless it is told otherwise.
pub(super) const GRACE: Duration = Duration::from_secs(10);
