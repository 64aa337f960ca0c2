//! The scheduler: who may start, and what becomes of a step. One short lock, never held across an await.
use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::line::Waiting;
use super::permits::{Permits, Who};
use super::queue::Queue;
use super::summary::Ending;
use crate::{
    Clock, Error, Form, JobId, Policy, StateId, Status, Timestamp, Tuning, Workflow,
    store::{Change, Fresh, Header, Lane, LimiterName, Numbers},
    tuning::tuned,
};

use self::{alone::Suspects, cancel::Running, commit::Followers};
pub(super) use self::{
    batch::{DoneBatch, StartBatch},
    cancel::Request,
    commit::Work,
    finish::Done,
    read::{Load, Loaded, LoadedPage},
    start::{Permit, Pull, Start},
};

mod alone;
mod batch;
mod cancel;
mod commit;
mod control;
mod finish;
mod keys;
mod read;
mod start;
#[cfg(test)]
mod tests;

/// Waiting jobs that memory keeps of each state; the rest stay in the store. It is the measure of all that is kept.
const WINDOW: usize = 1024;
/// So many windows a line keeps that flows, lest each commit sends what it cannot hold through the store.
const WIDE: usize = 8;
/// Slots stop pulling above so many windows of uncommitted steps, but for one of each state, ..
const UNCOMMITTED: usize = 16;
/// .. or so many bytes of them.
const UNCOMMITTED_BYTES: usize = 64 << 20;

pub(super) struct Core<W: Workflow> {
    inner: Mutex<Inner<W>>,
    /// Per state: its slots look again.
    wake: Vec<Notify>,
    /// The writer looks again.
    pub(super) work: Notify,
    /// The timer looks again.
    pub(super) timer: Notify,
    /// There are to be more slots.
    pub(super) grow: Notify,
    /// How often steps in flight were cancelled.
    cancels: AtomicU64,
    /// Per state: its steps look whether they are.
    told: Vec<Notify>,
    /// Nothing starts any more.
    pub(super) stopping: CancellationToken,
    /// Nobody waits for a step any more.
    pub(super) kill: CancellationToken,
    pub(super) clock: Clock,
    pub(super) form: Form,
}

struct Inner<W: Workflow> {
    queues: Vec<Queue<W>>,
    /// Of each state: what the code says, and the same with what an operator has changed.
    policies: Vec<Option<Policy>>,
    current: Vec<Option<Policy>>,
    /// Slots of each state that there are.
    alive: Vec<usize>,
    /// What an operator has changed, and whether that is to be saved.
    tuned: Vec<(LimiterName, Tuning)>,
    tuned_anew: bool,
    /// How many batches with such changes are on their way to the store.
    tunings: usize,
    /// What the store has, as of the last commit.
    durable: Header<W>,
    next: Numbers,
    fresh: Fresh,
    /// What goes to the store next, and who goes on when it is there.
    changes: Vec<Change<W>>,
    followers: Vec<Followers<W>>,
    /// Empty ones for the next batch: a megabyte is not to be asked for each time.
    spare: (Vec<Change<W>>, Vec<Followers<W>>),
    admitted: Vec<(JobId, StateId<W>)>,
    permits: Permits,
    /// When it was saved last what adaptive rates learned.
    learned_at: u64,
    /// Limiters that are to be saved, and who waits for that.
    saves: Vec<Save>,
    held: Option<Vec<StateId<W>>>,
    held_keys: Option<BTreeMap<LimiterName, Timestamp>>,
    /// Lines that are to be read from the store, by turns.
    loads: VecDeque<StateId<W>>,
    /// The one that is being read.
    reading: Option<StateId<W>>,
    uncommitted: usize,
    uncommitted_bytes: usize,
    executing: usize,
    /// The same, by job.
    running: Running,
    /// What is to be cancelled.
    cancels: VecDeque<Request<W>>,
    ending: Option<Ending>,
    phase: Phase,
    /// The writer waits to be woken.
    writer_idle: bool,
    failure: Option<Error>,
    killed_by_signal: bool,
    /// Jobs that this process parked; above `most_parked`, the run ends.
    parked: u64,
    most_parked: u64,
    canary: Option<Canary>,
    suspects: Suspects<W>,
    tally: Tally,
    /// [`WINDOW`], but for tests.
    window: usize,
}

/// Limiters and when their next permits are due, and who waits for that to be saved.
type Save = (Vec<(LimiterName, Timestamp)>, Option<oneshot::Sender<()>>);

/// How far the end of a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The writer ends when it has nothing left to do.
    Closing,
    /// It has ended: it cancels nothing any more.
    Written,
    /// The last batch is made: nothing that comes now is saved.
    Closed,
}

/// The first jobs of a run, which it is tried on.
struct Canary {
    most: usize,
    jobs: HashSet<JobId>,
}

impl Canary {
    /// No other job may start.
    fn is_full(&self) -> bool {
        self.jobs.len() >= self.most
    }

    fn has<W: Workflow>(&self, job: &Waiting<W>) -> bool {
        self.jobs.contains(&job.record.job.id)
    }
}

/// What this process did.
struct Tally {
    /// Moves out of each state.
    moves: Vec<u64>,
    errors: Vec<u64>,
    throttles: u64,
}

/// What ends a run before it is complete, and how much of it memory keeps.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bounds {
    pub(super) max_parked: Option<u64>,
    pub(super) first: Option<usize>,
    /// Jobs per line in memory, if not [`WINDOW`].
    pub(super) window: Option<usize>,
}

impl<W: Workflow> Core<W> {
    pub(super) fn new(
        header: Header<W>,
        clock: Clock,
        form: Form,
        policies: &[Option<Policy>],
        bounds: Bounds,
    ) -> Self {
        let now = clock.nanos();
        let unit = bounds.window.unwrap_or(WINDOW);
        let current = tuned::<W>(&header.tuned, policies);
        let queue = |(state, policy): (StateId<W>, &Option<Policy>)| {
            let slots = policy.map_or(0, |policy| policy.concurrency);
            let batch = policy.and_then(|policy| policy.batch).map_or(1, |batch| batch.max as usize);
            let window = bounds.window.unwrap_or(WINDOW.max(2 * slots.saturating_mul(batch)));
            let fresh = header.fresh.by_state[state.index()] > 0;
            Queue::new(window, WIDE * unit, batch, header.held.contains(&state), fresh)
        };
        let states = W::STATES.len();
        let inner = Inner {
            queues: StateId::all().zip(&current).map(queue).collect(),
            policies: policies.into(),
            current,
            alive: vec![0; states],
            tuned: header.tuned.clone(),
            tuned_anew: false,
            tunings: 0,
            permits: Permits::new(policies, &header, now),
            learned_at: now,
            next: header.next,
            fresh: header.fresh.clone(),
            durable: Header { clean: false, ..header },
            changes: Vec::new(),
            followers: Vec::new(),
            spare: (Vec::new(), Vec::new()),
            admitted: Vec::new(),
            saves: Vec::new(),
            held: None,
            held_keys: None,
            loads: VecDeque::new(),
            reading: None,
            uncommitted: 0,
            uncommitted_bytes: 0,
            executing: 0,
            running: Running::default(),
            cancels: VecDeque::new(),
            ending: None,
            phase: Phase::Open,
            writer_idle: false,
            failure: None,
            killed_by_signal: false,
            parked: 0,
            most_parked: bounds.max_parked.unwrap_or(u64::MAX),
            canary: bounds.first.map(|most| Canary { most, jobs: HashSet::new() }),
            suspects: Suspects::none(),
            tally: Tally { moves: vec![0; states], errors: vec![0; states], throttles: 0 },
            window: unit,
        };
        Core {
            inner: Mutex::new(inner),
            wake: (0..states).map(|_| Notify::new()).collect(),
            work: Notify::new(),
            timer: Notify::new(),
            grow: Notify::new(),
            cancels: AtomicU64::new(0),
            told: (0..states).map(|_| Notify::new()).collect(),
            stopping: CancellationToken::new(),
            kill: CancellationToken::new(),
            clock,
            form,
        }
    }

    /// How steps of a state run now.
    pub(super) fn policy(&self, state: StateId<W>) -> Option<Policy> {
        self.lock().current[state.index()]
    }

    fn lock(&self) -> MutexGuard<'_, Inner<W>> {
        // No code of a user runs under this lock, and ours does not panic half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Jobs that were moving when the run was last open, and the lanes in which others wait in the store.
    pub(super) fn resume(&self, jobs: Vec<Waiting<W>>, lanes: Vec<(StateId<W>, Vec<Lane>)>) {
        let now = self.clock.nanos();
        let mut inner = self.lock();
        for (state, lanes) in lanes {
            for lane in lanes {
                inner.line(state, &lane, true, now);
            }
        }
        for mut job in jobs {
            job.record.key.clone_from(&job.at_hand.demand.key);
            let state = job.record.job.state;
            let at = inner.line(state, &job.record.lane(), false, now);
            inner.queues[state.index()].resume(at, Waiting { since: now, ..job });
        }
        for state in StateId::<W>::all() {
            inner.ask(state, now, self);
        }
        inner.settle(self);
    }

    fn wake_all(&self) {
        for state in &self.wake {
            state.notify_waiters();
            state.notify_one();
        }
    }

    /// When the timer has to look next.
    pub(super) fn next_wake(&self) -> Option<u64> {
        self.lock().queues.iter().filter_map(|queue| queue.wake_at).min()
    }

    /// The timer's time has come.
    pub(super) fn tick(&self) {
        let now = self.clock.nanos();
        let mut inner = self.lock();
        for (queue, wake) in inner.queues.iter_mut().zip(&self.wake) {
            if queue.wake_at.is_some_and(|at| at <= now) {
                queue.wake_at = None;
                wake.notify_one();
            }
        }
    }
}

impl<W: Workflow> Inner<W> {
    /// How many slots a state is to have.
    fn slots(&self, state: usize) -> usize {
        self.current[state].as_ref().map_or(0, |policy| policy.concurrency)
    }

    /// The line of a lane.
    fn line(&mut self, state: StateId<W>, lane: &Lane, stored: bool, now: u64) -> usize {
        let Inner { queues, permits, .. } = self;
        queues[state.index()].line(lane, stored, || {
            let uses = permits.join(state, lane.key.as_ref(), now);
            let held = permits.is_held(&uses);
            (uses, held)
        })
    }

    /// Limiters need not remember the keys of lines that are over.
    fn tidy(&mut self, state: usize, now: u64) {
        for uses in self.queues[state].left.drain(..) {
            self.permits.leave(&uses, now);
        }
    }

    /// Whoever waited for something is to look again.
    fn told(&mut self, (state, line): Who, core: &Core<W>) {
        if let Some(line) = line {
            self.queues[state].told(line);
        }
        core.wake[state].notify_one();
    }

    fn wake_writer(&mut self, core: &Core<W>) {
        if std::mem::take(&mut self.writer_idle) {
            core.work.notify_one();
        }
    }

    /// So much is on its way to the store that nothing is to be added.
    fn is_full(&self) -> bool {
        self.uncommitted >= UNCOMMITTED * self.window || self.uncommitted_bytes >= UNCOMMITTED_BYTES
    }

    fn end(&mut self, ending: Ending, core: &Core<W>) {
        if self.ending.is_none() {
            self.ending = Some(ending);
            self.loads.clear();
            core.stopping.cancel();
            core.wake_all();
        }
    }

    /// Ends the run when there is nothing left to do, or too much has failed.
    fn settle(&mut self, core: &Core<W>) {
        if self.executing > 0 || self.uncommitted > 0 {
            return;
        }
        if let Some(canary) = &self.canary
            && canary.is_full()
        {
            let waits = |queue: &Queue<W>| queue.next_of(|job| canary.has(job)).is_some();
            if !self.queues.iter().any(|queue| !queue.held && waits(queue)) {
                return self.end(Ending::Canary, core);
            }
        }
        let left = |state: &StateId<W>| {
            !self.queues[state.index()].held && self.durable.counts.get(*state, Status::Ready) > 0
        };
        if StateId::<W>::all().filter(left).all(|state| self.queues[state.index()].only_held()) {
            self.end(Ending::Complete, core);
        }
    }
}

fn nanos(at: Timestamp) -> u64 {
    at.0.saturating_mul(1_000_000)
}
