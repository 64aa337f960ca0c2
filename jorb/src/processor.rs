//! Drives a run: starts its steps, commits what they leave, tells the listeners.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    select,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

mod core;
mod failure;
mod handle;
mod heap;
mod line;
mod listener;
mod panic;
mod permits;
mod queue;
mod random;
mod signals;
mod slot;
mod summary;
mod suspects;
mod writer;

pub use handle::{CancelDriven, Handle};
pub(crate) use line::takes_of;
pub use listener::{Event, Listener};
pub use summary::{
    Ending, Exit, HeldKey, LimiterOverview, Overview, StateOverview, StateSummary, Summary, Tuned, Wait,
};
pub(crate) use suspects::look as suspects;

use self::{
    core::{Bounds, Core},
    handle::{Desk, GRACE},
    line::Waiting,
    listener::{Audience, lock},
    slot::{BLOCKING, Shared, batches, slot},
    writer::{on_disk, write},
};
use crate::{
    Clock, Error, Run, StateId, Status, Workflow,
    store::{Batch, BoxStore},
};

/// Listeners hear of changes at most this often.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Drives runs: starts their steps, commits what they leave, tells the listeners.
///
/// ```
/// use jorb::prelude::*;
/// use jorb::{MemoryStore, Processor, Run};
///
/// #[workflow(job = u32)]
/// #[derive(Debug, Clone)]
/// enum Count {
///     #[state(initial, next(Up, Done))]
///     Up,
///     #[state(terminal)]
///     Done,
/// }
///
/// #[state(concurrency = 2)]
/// async fn up(_: count::Up, cx: &mut Cx<Count>) -> Outcome<count::Up> {
///     cx.job += 1;
///     Ok(if cx.job < 10 { Next::to(count::Up) } else { Next::to(count::Done) })
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), jorb::Error> {
/// let mut run = Run::<Count>::open(MemoryStore::new())?;
/// run.seed((), |jobs| jobs.add(Kick::new(count::Up, 0)))?;
/// let summary = Processor::new(()).exec(&mut run).await?;
/// assert_eq!((summary.moves, summary.jobs("Done")), (10, 1));
/// # Ok(())
/// # }
/// ```
pub struct Processor<W: Workflow> {
    app: Arc<W::App>,
    audience: Arc<Mutex<Audience>>,
    desk: Arc<Desk<W>>,
    grace: Duration,
    clock: Option<Clock>,
    seed: Option<u64>,
    bounds: Bounds,
    signals: bool,
}

impl<W: Workflow> Processor<W> {
    /// A processor whose handlers see `app`.
    pub fn new(app: W::App) -> Self {
        Processor {
            app: Arc::new(app),
            audience: Arc::default(),
            desk: Desk::new(),
            grace: GRACE,
            clock: None,
            seed: None,
            bounds: Bounds::default(),
            signals: false,
        }
    }

    /// Tell `listener` how the run goes, besides those that are told already.
    #[must_use]
    pub fn listener(self, listener: impl Listener) -> Self {
        lock(&self.audience).add(listener);
        self
    }

    /// After a stop, let steps in flight go on for this long; then drop them. Default: 10 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Stop when more than `most` jobs are parked by this processor: before a bug parks a million. Those that `on_failure`
    /// leads elsewhere are not parked.
    #[must_use]
    pub fn max_parked(mut self, most: u64) -> Self {
        self.bounds.max_parked = Some(most);
        self
    }

    /// Run only the first `n` jobs that start, as far as they go, and stop: a canary.
    #[must_use]
    pub fn first(mut self, n: usize) -> Self {
        self.bounds.first = Some(n);
        self
    }

    /// Stop on Ctrl-C and SIGTERM: gracefully on the first one; on the second one, drop the steps in flight and end
    /// the program as soon as all that is done is durable, with exit code 4.
    #[must_use]
    pub fn stop_on_signals(mut self) -> Self {
        self.signals = true;
        self
    }

    /// Use another clock, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Use another seed for jitter than the run's own, for tests.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Keep about so many waiting jobs of each state in memory, and set all other bounds of memory in proportion: for
    /// tests, in which few jobs are to be many.
    #[doc(hidden)]
    #[must_use]
    pub fn window(mut self, jobs: usize) -> Self {
        self.bounds.window = Some(jobs);
        self
    }

    /// Controls this processor from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle<W> {
        self.desk.handle()
    }

    /// Drives a run until no job has anything left to do, but for held ones; or until it is stopped.
    ///
    /// What is committed is safe, whatever happens to this future or the process. On an error of the store, the run
    /// is as the last commit left it.
    pub async fn exec(&mut self, run: &mut Run<W>) -> Result<Summary, Error> {
        let started = tokio::time::Instant::now();
        // A step of which an earlier processor has only lost sight must not run twice at a time.
        let threads = run.threads.clone();
        threads.close();
        threads.wait().await;
        let overall = run.overall()?;
        let (store, header) = run.take()?;
        let (form, seed) = (store.form(), self.seed.unwrap_or_else(|| header.run.as_u64_pair().1));
        let id = header.run;
        let (store, opened) = on_disk(store, {
            // From the first start on, an end that is not clean must be seen.
            let dirty = header.clean.then(|| Batch { clean: Some(false), ..Batch::new(header.next) });
            move |store| {
                if let Some(batch) = dirty {
                    store.commit(&batch)?;
                }
                let noted = suspects::open(store, id)?;
                let moving: Vec<_> = store.moving()?.into_iter().map(Waiting::read).collect();
                let mut lanes = Vec::new();
                for state in StateId::all().filter(|state: &StateId<W>| !state.spec().terminal()) {
                    lanes.push((state, store.lanes(state, Status::Ready, None, usize::MAX)?));
                }
                Ok((moving, lanes, noted))
            }
        })
        .await;
        let (moving, lanes, noted) = match opened {
            Ok(opened) => opened,
            Err(e) => {
                run.put_back(store, header);
                return Err(e);
            }
        };
        let clock = self.clock.unwrap_or_else(Clock::system).no_earlier_than(header.next.time);
        let policies: Vec<_> = W::STATES.iter().map(|s| s.policy).collect();
        let core = Core::new(header, clock, form, &policies, self.bounds);
        let steps = noted.map(|(steps, suspects)| {
            core.suspect(suspects);
            steps
        });
        let shared = Arc::new(Shared {
            core,
            steps,
            app: self.app.clone(),
            overall: Arc::new(overall),
            run: id,
            seed,
            threads,
            blocking: Arc::new(Semaphore::new(BLOCKING)),
        });
        let _open = self.desk.open(&shared);
        shared.core.resume(moving, lanes);
        let eager = lock(&self.audience).begin();
        self.tell(&shared);

        // Dropping this future drops all of them.
        let mut helpers = JoinSet::new();
        helpers.spawn(tick(shared.clone()));
        helpers.spawn(tell_changes(shared.clone(), self.audience.clone()));
        if self.signals {
            helpers.spawn(signals::listen(shared.clone()));
        }
        let mut writer = AbortOnDropHandle::new(tokio::spawn(write(
            shared.clone(),
            store,
            eager.then(|| self.audience.clone()),
        )));
        let mut slots = JoinSet::new();
        // A store that panics must not leave the slots waiting for it.
        let store = select! {
            biased;
            store = &mut writer => joined(store),
            () = self.wait(&shared, &mut slots) => {
                shared.core.close();
                joined(writer.await)
            }
        };
        drop(helpers);
        let summary = self.finish(run, &shared, store, started).await;
        if shared.core.is_killed_by_signal() {
            // A thread that a step blocks would keep the runtime, and so the program, from ending.
            std::process::exit(Exit::Stopped as i32);
        }
        summary
    }

    /// Waits until all slots have retired; after a stop, for the grace period.
    async fn wait(&self, shared: &Arc<Shared<W>>, slots: &mut JoinSet<()>) {
        let core = &shared.core;
        let out_of_grace = async {
            core.stopping.cancelled().await;
            sleep(self.grace).await;
            core.kill.cancel();
            std::future::pending::<()>().await;
        };
        let retired = async {
            loop {
                for (state, more) in core.new_slots() {
                    let Some(policy) = state.spec().policy else { continue };
                    for _ in 0..more {
                        match policy.batch {
                            Some(batching) => slots.spawn(batches(shared.clone(), state, policy, batching)),
                            None => slots.spawn(slot(shared.clone(), state, policy)),
                        };
                    }
                }
                select! {
                    retired = slots.join_next() => match retired {
                        Some(slot) => joined(slot),
                        None => return,
                    },
                    () = core.grow.notified() => {}
                }
            }
        };
        select! {
            () = retired => {}
            () = out_of_grace => {}
        }
    }

    async fn finish(
        &self,
        run: &mut Run<W>,
        shared: &Arc<Shared<W>>,
        store: BoxStore<W>,
        started: tokio::time::Instant,
    ) -> Result<Summary, Error> {
        let (_, _, failure) = shared.core.end();
        let last = shared.core.last_batch();
        // Those that did not run alone yet are suspects still.
        let steps = shared.steps.clone().filter(|_| !shared.core.has_suspects());
        let (store, closed) = on_disk(store, {
            let clean = failure.is_none();
            move |store| {
                if clean {
                    store.commit(&last)?;
                }
                // Before the next process may have it.
                if let Some(steps) = steps {
                    let path = steps.path();
                    steps.remove().map_err(Error::disk(path, "remove it"))?;
                }
                store.close().map(|()| last)
            }
        })
        .await;
        if let Ok(last) = &closed {
            shared.core.recorded(last);
        }
        self.tell(shared);
        lock(&self.audience).ended();
        let (header, ending, _) = shared.core.end();
        let overview = shared.core.overview();
        let summary = Summary {
            run: header.run,
            ending,
            states: StateSummary::of_all(&header),
            moves: overview.sum(|s| if s.terminal { 0 } else { s.completed }),
            errors: overview.sum(|s| s.errors),
            elapsed: started.elapsed(),
        };
        run.put_back(store, header);
        match failure {
            Some(error) => Err(error),
            None => closed.map(|_| summary),
        }
    }

    fn tell(&self, shared: &Shared<W>) {
        lock(&self.audience).overview(shared.core.overview());
    }
}

/// Wakes lines whose head, or whose limiter, has reached its time.
async fn tick<W: Workflow>(shared: Arc<Shared<W>>) {
    let core = &shared.core;
    loop {
        let next = core.next_wake().map(|at| core.clock.instant_of_nanos(at));
        let due = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        select! {
            () = due => core.tick(),
            () = core.timer.notified() => {}
        }
    }
}

async fn tell_changes<W: Workflow>(shared: Arc<Shared<W>>, audience: Arc<Mutex<Audience>>) {
    while !lock(&audience).is_empty() {
        sleep(TELL_EVERY).await;
        lock(&audience).overview(shared.core.overview());
    }
}

/// A panic of ours is not to be swallowed.
fn joined<T>(task: Result<T, tokio::task::JoinError>) -> T {
    task.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
}
