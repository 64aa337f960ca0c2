//! Controls a processor from elsewhere.
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::oneshot;

use super::core::Request;
use super::slot::Shared;
use crate::{
    Active, Error, Limiter, Overview, Shown, State, StateId, Tuning, Workflow,
    nearest::no_such_state,
    run::{Filter, Path},
    store::LimiterName,
    tuning::{key_of, target},
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
    held_keys: Vec<(LimiterName, bool)>,
    tuned: Vec<(LimiterName, Tuning)>,
    cancels: Vec<Request<W>>,
}

impl<W: Workflow> Desk<W> {
    pub(super) fn new() -> Arc<Self> {
        let driven = Driven {
            shared: Weak::new(),
            stop: false,
            held: Vec::new(),
            held_keys: Vec::new(),
            tuned: Vec::new(),
            cancels: Vec::new(),
        };
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
        for (name, held) in std::mem::take(&mut driven.held_keys) {
            shared.core.hold_key(&name, held);
        }
        for (name, tuning) in std::mem::take(&mut driven.tuned) {
            shared.core.tune(&name, tuning);
        }
        for request in std::mem::take(&mut driven.cancels) {
            let _ = shared.core.cancel(request); // it has just begun to listen
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

    /// Stops a key of a limiter that is `keyed`: no step that takes of it with that key starts until it is released, in whichever
    /// state. Steps in flight go on, other keys are not disturbed, and what was taken of the key's rate stays taken. The run
    /// remembers it. Its jobs keep [`Processor::exec`](crate::Processor::exec) from returning no more than those in a held state,
    /// and no deadline cancels them before the release.
    ///
    /// An error is that the limiter is none of this workflow, or has no keys, or that the key is empty.
    ///
    /// ```
    /// # use jorb::{Keyed, prelude::*};
    /// # #[workflow(job = String)] #[derive(Debug, Clone)] enum Crawl {
    /// #     #[state(initial, next(Done))] Fetch,
    /// #     #[state(terminal)] Done,
    /// # }
    /// #[limiter(rate = "100/s", keyed)]
    /// struct Host;
    ///
    /// impl Keyed<crawl::Fetch> for Host {
    ///     fn key(_: &crawl::Fetch, host: &String) -> String {
    ///         host.clone()
    ///     }
    /// }
    ///
    /// #[state(concurrency = 8, limits(Host))]
    /// async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> {
    ///     Ok(Next::to(crawl::Done))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), jorb::Error> {
    /// # let mut run = jorb::Run::<Crawl>::open(jorb::MemoryStore::new())?;
    /// # let fetch = |host: &str| Kick::new(crawl::Fetch, host.to_owned());
    /// # run.seed((), |jobs| jobs.extend(["example.org", "example.com"].map(fetch)))?;
    /// let mut processor = jorb::Processor::new(());
    /// let handle = processor.handle();
    /// handle.hold_key::<Host>("example.org")?;
    /// assert_eq!(processor.exec(&mut run).await?.jobs("Done"), 1); // that of example.com
    /// handle.release_key::<Host>("example.org")?;
    /// assert_eq!(processor.exec(&mut run).await?.jobs("Done"), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn hold_key<L: Limiter>(&self, key: &str) -> Result<(), Error> {
        self.set_key_held_named(L::SPEC.path, key, true)
    }

    /// Undoes [`Handle::hold_key`]: its jobs go on in their order.
    pub fn release_key<L: Limiter>(&self, key: &str) -> Result<(), Error> {
        self.set_key_held_named(L::SPEC.path, key, false)
    }

    /// As [`Handle::hold_key`] and [`Handle::release_key`], for the name of a limiter that a person gives.
    pub fn set_key_held_named(&self, limiter: &str, key: &str, held: bool) -> Result<(), Error> {
        let name = key_of::<W>(limiter, key)?;
        let mut driven = self.desk.lock();
        if driven.shared.upgrade().is_none_or(|shared| !shared.core.hold_key(&name, held)) {
            driven.held_keys.push((name, held));
        }
        Ok(())
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

    /// Cancels jobs: all that have a step to make, or the ones that you look for. A cancelled job stays in its state and makes
    /// no step any more; its context, its errors, its history and its `once` key stay. [`Run::redrive`](crate::Run::redrive) has
    /// it go on.
    ///
    /// ```
    /// # use jorb::prelude::*;
    /// # #[workflow] #[derive(Debug, Clone)] enum Crawl {
    /// #     #[state(initial, next(Done))] Fetch,
    /// #     #[state(terminal)] Done,
    /// # }
    /// #[state]
    /// async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> {
    ///     std::future::pending().await
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), jorb::Error> {
    /// # let mut run = jorb::Run::<Crawl>::open(jorb::MemoryStore::new())?;
    /// # run.seed((), |jobs| jobs.extend([(), ()].map(|job| Kick::new(crawl::Fetch, job))))?;
    /// let mut processor = jorb::Processor::new(());
    /// let handle = processor.handle();
    /// let (summary, cancelled) =
    ///     tokio::join!(processor.exec(&mut run), handle.cancel().in_state::<crawl::Fetch>().apply());
    /// assert_eq!((summary?.cancelled(), cancelled?), (2, 2));
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel(&self) -> CancelDriven<W> {
        CancelDriven { desk: self.desk.clone(), filter: Filter::all() }
    }

    /// How the run stands; nothing while none is driven.
    #[must_use]
    pub fn overview(&self) -> Option<Overview> {
        Some(self.desk.lock().shared.upgrade()?.core.overview())
    }
}

/// Jobs to cancel in a run that is driven: [`Handle::cancel`].
///
/// All that have a step to make, now or later, unless you say otherwise; [`CancelDriven::status`] and [`CancelDriven::job`]
/// reach parked ones too. Those that ended, or were cancelled before, are left as they are.
#[must_use = "it does nothing before `apply`"]
pub struct CancelDriven<W: Workflow> {
    desk: Arc<Desk<W>>,
    filter: Filter<W>,
}

impl<W: Workflow> CancelDriven<W> {
    /// Only those in this state.
    pub fn in_state<S: State<Workflow = W>>(mut self) -> Self {
        self.filter.state = StateId::named(S::NAME);
        self
    }

    /// Only those in the state of this name.
    pub fn state(self, name: &str) -> Result<Self, Error> {
        Ok(CancelDriven { filter: self.filter.in_state_named(name)?, ..self })
    }

    /// Only those that stand so; a job whose step is in flight is ready.
    pub fn status(mut self, status: impl Into<Shown>) -> Self {
        self.filter.status = Some(status.into());
        self
    }

    /// Only those whose newest error contains this text.
    pub fn error_contains(mut self, text: impl Into<String>) -> Self {
        self.filter.error = Some(text.into());
        self
    }

    /// Only those whose next step takes of this key of a limiter that is `keyed`, however they wait for it. An error is that the limiter
    /// has no keys, or that the key is empty.
    pub fn of_key<L: Limiter>(self, key: &str) -> Result<Self, Error> {
        self.key(L::SPEC.path, key)
    }

    /// As [`CancelDriven::of_key`], for the name of a limiter that a person gives.
    pub fn key(self, limiter: &str, key: &str) -> Result<Self, Error> {
        Ok(CancelDriven { filter: self.filter.of_key(limiter, key)?, ..self })
    }

    /// Only this job, by its number or its path. An error is that this is neither; that there is none is an error of
    /// [`apply`](CancelDriven::apply).
    pub fn job(self, name: impl fmt::Display) -> Result<Self, Error> {
        Ok(CancelDriven { filter: Filter { job: Some(Path::read(name)?), ..self.filter }, ..self })
    }

    /// Cancels those that are so when this is first polled. Gives how many there were, once that is durable.
    ///
    /// A step in flight is stopped at its next `await`, and what it did to its context is forgotten; this waits for that. The
    /// result of a plain `fn`, which nobody can stop, is ignored: nobody waits for it but its slot, and whoever drives the
    /// run next. So is what a batch gives for one of its jobs; only one of which no job is left is stopped. None of these jobs starts a step once this has returned. Children that a job of another kind kicks
    /// meanwhile are new ones. While nobody drives the run, this waits until somebody does.
    ///
    /// An error is that the processor ended before that was durable, or that there is no such job.
    pub async fn apply(self) -> Result<u64, Error> {
        let (to, answer) = oneshot::channel();
        {
            let request = Request::new(self.filter.of_cancel(), to);
            let mut driven = self.desk.lock();
            let later = match driven.shared.upgrade() {
                Some(shared) => shared.core.cancel(request).err(),
                None => Some(request),
            };
            driven.cancels.extend(later);
        }
        answer.await.unwrap_or(Err(Error::NotCancelled))
    }
}

/// How long `exec` lets steps in flight go on after a stop, unless it is told otherwise.
pub(super) const GRACE: Duration = Duration::from_secs(10);
