//! The scheduler: who may start, and what becomes of a step. One short lock, never held across an await.
use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::line::{Line, Waiting};
use super::permits::{Permits, Refused};
use super::summary::Ending;
use crate::{
    Clock, Error, Form, JobId, Policy, StateId, Status, Timestamp, Tuning, Workflow,
    store::{Change, Fresh, Header, LimiterName, Numbers},
    tuning::retrying,
};

use self::commit::Followers;
pub(super) use self::{
    commit::Work,
    finish::Done,
    read::{Load, Loaded},
};

mod commit;
mod control;
mod finish;
mod read;
#[cfg(test)]
mod tests;

/// Waiting jobs that memory keeps of each state; the rest stay in the store. It is the measure of all that is kept.
const WINDOW: usize = 1024;
/// So many windows a line keeps that flows, lest each commit sends what it cannot hold through the store.
const WIDE: usize = 8;
/// Saving a limiter takes less than this, nearly always: 20 ms.
const LEAD: u64 = 20_000_000;
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
    /// Nothing starts any more.
    pub(super) stopping: CancellationToken,
    /// Nobody waits for a step any more.
    pub(super) kill: CancellationToken,
    pub(super) clock: Clock,
    pub(super) form: Form,
}

struct Inner<W: Workflow> {
    lines: Vec<Line<W>>,
    /// Of each state: how many there are to be, and how many there are.
    slots: Vec<usize>,
    alive: Vec<usize>,
    /// What the code says.
    policies: Vec<Option<Policy>>,
    /// The same with the retries that an operator has changed.
    retrying: Vec<Option<Policy>>,
    /// What an operator has changed, as it is to be saved.
    tuned: Option<Vec<(LimiterName, Tuning)>>,
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
    /// Lines that are to be read from the store, by turns.
    loads: VecDeque<StateId<W>>,
    uncommitted: usize,
    uncommitted_bytes: usize,
    executing: usize,
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

/// A permit of slow limiters, which counts once it is saved.
pub(super) struct Permit {
    pub(super) saved: oneshot::Receiver<()>,
    /// When it was taken.
    at: u64,
    of: Vec<usize>,
}

/// What a slot is to do.
pub(super) enum Pull<W: Workflow> {
    /// Run this job; if there is a permit, once it is saved. The time is that of the start.
    Run(Waiting<W>, u64, Option<Permit>),
    /// Nothing can start now: wait for `wake`.
    Wait,
    /// The run ends.
    Retire,
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
        let slots = |(state, policy): (StateId<W>, &Option<Policy>)| slots(&header.tuned, state, *policy);
        let line = |(state, policy): (StateId<W>, &Option<Policy>)| {
            let slots = slots((state, policy));
            let window = bounds.window.unwrap_or(WINDOW.max(2 * slots));
            let beyond = header.counts.get(state, Status::Ready);
            Line::new(beyond, window, WIDE * unit, header.held.contains(&state))
        };
        let states = W::STATES.len();
        let inner = Inner {
            lines: StateId::all().zip(policies).map(line).collect(),
            slots: StateId::all().zip(policies).map(slots).collect(),
            alive: vec![0; states],
            policies: policies.into(),
            retrying: StateId::<W>::all()
                .zip(policies)
                .map(|(s, p)| retrying(&header.tuned, s, *p))
                .collect(),
            tuned: None,
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
            loads: VecDeque::new(),
            uncommitted: 0,
            uncommitted_bytes: 0,
            executing: 0,
            ending: None,
            phase: Phase::Open,
            writer_idle: false,
            failure: None,
            killed_by_signal: false,
            parked: 0,
            most_parked: bounds.max_parked.unwrap_or(u64::MAX),
            canary: bounds.first.map(|most| Canary { most, jobs: HashSet::new() }),
            tally: Tally { moves: vec![0; states], errors: vec![0; states], throttles: 0 },
            window: unit,
        };
        Core {
            inner: Mutex::new(inner),
            wake: (0..states).map(|_| Notify::new()).collect(),
            work: Notify::new(),
            timer: Notify::new(),
            grow: Notify::new(),
            stopping: CancellationToken::new(),
            kill: CancellationToken::new(),
            clock,
            form,
        }
    }

    /// What a step that failed is retried by.
    pub(super) fn retrying(&self, state: StateId<W>) -> Option<Policy> {
        self.lock().retrying[state.index()]
    }

    fn lock(&self) -> MutexGuard<'_, Inner<W>> {
        // No code of a user runs under this lock, and ours does not panic half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Jobs that were moving when the run was last open.
    pub(super) fn resume(&self, jobs: Vec<Waiting<W>>) {
        let now = self.clock.nanos();
        let mut inner = self.lock();
        for job in jobs {
            inner.lines[job.record.job.state.index()].resume(job, now);
        }
        for state in StateId::<W>::all() {
            inner.ask(state, now, self);
        }
        inner.settle(self);
    }

    /// A slot of `state` hands over what it did, and asks what to do next: the next step, if one may start now.
    pub(super) fn next(&self, state: StateId<W>, done: Option<Done<W>>) -> Pull<W> {
        let ended = done.as_ref().map(|done| done.ended);
        let mut inner = self.lock();
        let inner = &mut *inner;
        if let Some(done) = done {
            inner.finish(done, self);
        }
        if inner.ending.is_some() || inner.alive[state.index()] > inner.slots[state.index()] {
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
    pub(super) fn starts(&self, state: StateId<W>, Permit { at, of, .. }: Permit) -> Option<Permit> {
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
    pub(super) async fn woken(&self, state: StateId<W>) {
        tokio::select! {
            () = self.wake[state.index()].notified() => {}
            () = self.stopping.cancelled() => {}
        }
        self.lock().lines[state.index()].idle -= 1;
    }

    fn wake_all(&self) {
        for state in &self.wake {
            state.notify_waiters();
            state.notify_one();
        }
    }

    /// A step that was pulled does not start: the run ends.
    pub(super) fn not_started(&self, state: StateId<W>) {
        let mut inner = self.lock();
        inner.executing -= 1;
        inner.lines[state.index()].executing -= 1;
        inner.permits.give_back(state.index());
    }

    /// When the timer has to look next.
    pub(super) fn next_wake(&self) -> Option<u64> {
        self.lock().lines.iter().filter_map(|line| line.wake_at).min()
    }

    /// The timer's time has come.
    pub(super) fn tick(&self) {
        let now = self.clock.nanos();
        let mut inner = self.lock();
        for (line, wake) in inner.lines.iter_mut().zip(&self.wake) {
            if line.wake_at.is_some_and(|at| at <= now) {
                line.wake_at = None;
                wake.notify_one();
            }
        }
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
                && self.lines[*other].executing < self.slots[*other]
                && self.candidate(*other).is_some_and(goes_first)
        })
    }

    /// The next job of this state did not start: those behind it look again.
    fn steps_back(&mut self, state: StateId<W>, core: &Core<W>) {
        let limiter = self.lines[state.index()].refused.map(|(refused, _)| refused.limiter);
        self.permits.steps_back(state.index(), limiter, |behind| core.wake[behind].notify_one());
    }

    /// Who waits for the limiters of this state looks again.
    fn permits_changed(&mut self, state: StateId<W>, core: &Core<W>) {
        self.permits.changed(state.index(), |blocked| core.wake[blocked].notify_one());
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
            let waits = |line: &Line<W>| line.next_of(|job| canary.has(job)).is_some();
            if !self.lines.iter().any(|line| !line.held && waits(line)) {
                return self.end(Ending::Canary, core);
            }
        }
        let left = StateId::<W>::all().filter(|s| !self.lines[s.index()].held);
        let left: u64 = left.map(|s| self.durable.counts.get(s, Status::Ready)).sum();
        if left == 0 {
            self.end(Ending::Complete, core);
        }
    }
}

/// How many slots a state has.
fn slots<W: Workflow>(tuned: &[(LimiterName, Tuning)], state: StateId<W>, policy: Option<Policy>) -> usize {
    let Some(policy) = policy else { return 0 };
    let tuned = tuned.iter().find(|(name, _)| *name == state.name());
    tuned.and_then(|(_, tuning)| tuning.concurrency).unwrap_or(policy.concurrency)
}

fn nanos(at: Timestamp) -> u64 {
    at.0.saturating_mul(1_000_000)
}
