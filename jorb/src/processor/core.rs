//! The scheduler: who may start, and what becomes of a step. One short lock, never held across an await.
use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::line::{Head, Line, Waiting};
use super::summary::{Ending, Overview, StateOverview};
use crate::{
    Clock, Error, Form, JobId, Policy, Saved, Snapshot, StateId, Status, Timestamp, Workflow,
    limits::Limiter,
    reduce::{Action, Effect},
    store::{Batch, Change, Failure, Fresh, Header, Line as HistoryLine, New, Numbers, Record, Turn},
};

/// Waiting jobs that memory keeps of each state; the rest stay in the store.
const WINDOW: usize = 1024;
/// Slots stop pulling above so many uncommitted steps, ..
const UNCOMMITTED: usize = 16 * 1024;
/// .. or so many bytes of them.
const UNCOMMITTED_BYTES: usize = 64 << 20;
/// Most steps in one transaction.
const BATCH: usize = 8 * 1024;

pub(super) struct Core<W: Workflow> {
    inner: Mutex<Inner<W>>,
    /// Per state: its slots look again.
    wake: Vec<Notify>,
    /// The writer looks again.
    pub(super) work: Notify,
    /// The timer looks again.
    pub(super) timer: Notify,
    /// Nothing starts any more.
    pub(super) stopping: CancellationToken,
    /// Nobody waits for a step any more.
    pub(super) kill: CancellationToken,
    pub(super) clock: Clock,
    pub(super) form: Form,
}

struct Inner<W: Workflow> {
    lines: Vec<Line<W>>,
    /// What the store has, as of the last commit.
    durable: Header<W>,
    next: Numbers,
    fresh: Fresh,
    pending: Vec<Pending<W>>,
    admitted: Vec<(JobId, StateId<W>)>,
    saves: Vec<(StateId<W>, Timestamp, oneshot::Sender<()>)>,
    held: Option<Vec<StateId<W>>>,
    loads: Vec<StateId<W>>,
    uncommitted: usize,
    uncommitted_bytes: usize,
    executing: usize,
    ending: Option<Ending>,
    closing: bool,
    failure: Option<Error>,
    killed_by_signal: bool,
    /// Above so many parked jobs, the run ends.
    most_parked: u64,
    canary: Option<Canary>,
    tally: Tally,
}

/// The first jobs of a run, which it is tried on.
struct Canary {
    most: usize,
    jobs: HashSet<JobId>,
}

/// What this process did.
struct Tally {
    /// Moves out of each state.
    moves: Vec<u64>,
    errors: Vec<u64>,
    throttles: u64,
}

/// A change on its way to the store, and who goes on when it is there.
pub(super) struct Pending<W: Workflow> {
    change: Change<W>,
    then: Option<Box<Waiting<W>>>,
    children: Vec<Option<Box<Waiting<W>>>>,
    bytes: usize,
}

/// What a slot is to do.
pub(super) enum Pull<W: Workflow> {
    /// Run this job; when there is a receiver, only after it was told that the limiter is saved.
    Run(Box<Waiting<W>>, Option<oneshot::Receiver<()>>),
    /// Nothing can start now: wait for `wake`.
    Wait,
    /// The run ends.
    Retire,
}

/// A step that ended.
pub(super) struct Done<W: Workflow> {
    pub(super) before: Record<W>,
    pub(super) now: Snapshot<W>,
    pub(super) effects: Vec<Effect<W>>,
    pub(super) action: Action,
    /// The values of `now`, and of each kick, if they are at hand.
    pub(super) values: Option<(W, W::Job)>,
    pub(super) kicked: Vec<(W, W::Job)>,
    pub(super) waited: Duration,
    pub(super) ran: Duration,
}

/// What the writer is to commit.
pub(super) struct Work<W: Workflow> {
    pub(super) batch: Batch<W>,
    followers: Vec<Followers<W>>,
    saved: Vec<oneshot::Sender<()>>,
    bytes: usize,
}

struct Followers<W: Workflow> {
    then: Option<Box<Waiting<W>>>,
    children: Vec<Option<Box<Waiting<W>>>>,
}

/// What the writer is to read.
pub(super) struct Load<W: Workflow> {
    pub(super) state: StateId<W>,
    pub(super) after: Option<Turn>,
    pub(super) most: usize,
    /// There are fresh jobs of this state, from here on.
    pub(super) fresh: Option<Fresh>,
}

/// What it read.
pub(super) enum Loaded<W: Workflow> {
    Placed(Vec<Record<W>>),
    Fresh(Vec<Record<W>>),
}

/// What ends a run before it is complete.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bounds {
    pub(super) max_parked: Option<u64>,
    pub(super) first: Option<usize>,
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
        let line = |(state, policy): (StateId<W>, &Option<Policy>)| {
            let mut limiter = policy.as_ref().and_then(Limiter::of);
            if let Some(limiter) = &mut limiter {
                let saved = header.limiters.iter().find(|(of, _)| *of == state);
                if !header.clean && !limiter.is_slow() {
                    limiter.drain(now);
                } else if let Some((_, due)) = saved {
                    limiter.restore(*due, now);
                }
            }
            let window = WINDOW.max(policy.map_or(0, |p| 2 * p.concurrency));
            let beyond = header.counts.get(state, Status::Ready);
            Line::new(beyond, window, limiter, header.held.contains(&state))
        };
        let states = W::STATES.len();
        let parked = header.counts.of(Status::Parked);
        let most_parked = bounds.max_parked.map_or(u64::MAX, |most| parked.saturating_add(most));
        let inner = Inner {
            lines: StateId::all().zip(policies).map(line).collect(),
            next: header.next,
            fresh: header.fresh.clone(),
            durable: Header { clean: false, ..header },
            pending: Vec::new(),
            admitted: Vec::new(),
            saves: Vec::new(),
            held: None,
            loads: Vec::new(),
            uncommitted: 0,
            uncommitted_bytes: 0,
            executing: 0,
            ending: None,
            closing: false,
            failure: None,
            killed_by_signal: false,
            most_parked,
            canary: bounds.first.map(|most| Canary { most, jobs: HashSet::new() }),
            tally: Tally { moves: vec![0; states], errors: vec![0; states], throttles: 0 },
        };
        Core {
            inner: Mutex::new(inner),
            wake: (0..states).map(|_| Notify::new()).collect(),
            work: Notify::new(),
            timer: Notify::new(),
            stopping: CancellationToken::new(),
            kill: CancellationToken::new(),
            clock,
            form,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<W>> {
        // No code of a user runs under this lock, and ours does not panic half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Jobs that were moving when the run was last open.
    pub(super) fn resume(&self, jobs: Vec<Record<W>>) {
        let mut inner = self.lock();
        for record in jobs {
            inner.lines[record.job.state.index()].resume(record);
        }
        for state in StateId::<W>::all() {
            inner.ask(state);
        }
        inner.settle(self);
    }

    /// The next step of `state`, if one may start now.
    pub(super) fn pull(&self, state: StateId<W>) -> Pull<W> {
        let mut inner = self.lock();
        if inner.ending.is_some() {
            return Pull::Retire;
        }
        if inner.uncommitted >= UNCOMMITTED || inner.uncommitted_bytes >= UNCOMMITTED_BYTES {
            return Pull::Wait; // the writer wakes us
        }
        let canary_is_full = inner.canary.as_ref().is_some_and(|canary| canary.jobs.len() >= canary.most);
        let inner = &mut *inner;
        let line = &mut inner.lines[state.index()];
        if line.held {
            return Pull::Wait;
        }
        let job = if let (Some(canary), true) = (&inner.canary, canary_is_full) {
            let wanted = |job: &Waiting<W>| canary.jobs.contains(&job.record.job.id);
            let until = match line.next_of(wanted) {
                None => return Pull::Wait,
                Some(at) if at > self.clock.now() => Some(nanos(at)),
                Some(_) => line.limiter.as_mut().and_then(|limiter| limiter.take(self.clock.nanos()).err()),
            };
            if let Some(until) = until {
                if line.wake_by(until) {
                    self.timer.notify_one();
                }
                return Pull::Wait;
            }
            // There may be another one, for another slot.
            self.wake[state.index()].notify_one();
            line.take_if(wanted).expect("it waits")
        } else {
            let wait = match line.head(self.clock.now()) {
                Head::Due => None,
                Head::At(at) => Some(Some(nanos(at))),
                Head::Nobody => Some(None),
            };
            let wait = wait.or_else(|| {
                let limiter = line.limiter.as_mut()?;
                limiter.take(self.clock.nanos()).err().map(Some)
            });
            if let Some(until) = wait {
                if until.is_some_and(|until| line.wake_by(until)) {
                    self.timer.notify_one();
                }
                inner.ask(state);
                self.want_loads(inner);
                return Pull::Wait;
            }
            line.pop().expect("the head is due")
        };
        if let (Some(canary), false) = (&mut inner.canary, canary_is_full) {
            canary.jobs.insert(job.record.job.id);
        }
        let line = &mut inner.lines[state.index()];
        line.executing += 1;
        inner.executing += 1;
        // A slot that sleeps may find work as well, now or at its time.
        match line.head(self.clock.now()) {
            Head::Due => self.wake[state.index()].notify_one(),
            Head::At(at) if line.wake_by(nanos(at)) => self.timer.notify_one(),
            Head::At(_) | Head::Nobody => {}
        }
        let slow = line.limiter.as_ref().filter(|limiter| limiter.is_slow()).and_then(Limiter::due);
        let saved = slow.map(|due| {
            let (saved, wait) = oneshot::channel();
            inner.saves.push((state, due, saved));
            self.work.notify_one();
            wait
        });
        inner.ask(state);
        self.want_loads(inner);
        Pull::Run(job, saved)
    }

    fn want_loads(&self, inner: &Inner<W>) {
        if !inner.loads.is_empty() {
            self.work.notify_one();
        }
    }

    pub(super) async fn woken(&self, state: StateId<W>) {
        tokio::select! {
            () = self.wake[state.index()].notified() => {}
            () = self.stopping.cancelled() => {}
        }
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
    }

    /// A step ended: what it left goes to the writer.
    pub(super) fn finish(&self, done: Done<W>) {
        let mut inner = self.lock();
        let from = done.before.job.state;
        inner.executing -= 1;
        inner.lines[from.index()].executing -= 1;
        if done.action == Action::Stay || inner.failure.is_some() {
            inner.settle(self);
            return;
        }
        let pending = inner.pending_of(done, &self.clock);
        inner.uncommitted += 1;
        inner.uncommitted_bytes += pending.bytes;
        inner.pending.push(pending);
        drop(inner);
        self.work.notify_one();
    }

    /// What is to be committed now, if anything.
    pub(super) fn take_work(&self) -> Option<Work<W>> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let nothing = inner.pending.is_empty()
            && inner.saves.is_empty()
            && inner.held.is_none()
            && inner.admitted.is_empty();
        if nothing {
            return None;
        }
        inner.next.time = inner.next.time.max(self.clock.now());
        let mut batch = Batch::new(inner.next);
        let n = inner.pending.len().min(BATCH);
        let rest = inner.pending.split_off(n);
        let taken = std::mem::replace(&mut inner.pending, rest);
        let mut followers = Vec::with_capacity(n);
        let mut bytes = 0;
        batch.changes.reserve(n);
        for Pending { change, then, children, bytes: b } in taken {
            batch.changes.push(change);
            followers.push(Followers { then, children });
            bytes += b;
        }
        batch.admitted = std::mem::take(&mut inner.admitted);
        batch.held = inner.held.take();
        let mut saved = Vec::new();
        for (state, due, sender) in inner.saves.drain(..) {
            batch.limiters.push((state, due));
            saved.push(sender);
        }
        Some(Work { batch, followers, saved, bytes })
    }

    /// A batch is durable: `dropped` are new jobs that were not made.
    pub(super) fn committed(&self, work: Work<W>, dropped: &[JobId]) {
        let Work { batch, followers, saved, bytes } = work;
        let dropped: HashSet<JobId> = dropped.iter().copied().collect();
        for saved in saved {
            let _ = saved.send(()); // whoever waited may have been dropped
        }
        let n = batch.changes.len();
        let mut inner = self.lock();
        inner.record(&batch, &dropped);
        let mut woken = HashSet::new();
        for (change, followers) in batch.changes.iter().zip(followers) {
            inner.arrive(&change.now, followers.then, &mut woken);
            for (new, waiting) in change.kicks.iter().zip(followers.children) {
                let record = &new.record;
                if !dropped.contains(&record.job.id) {
                    inner.arrive(record, waiting, &mut woken);
                } else if record.job.status == Status::Ready {
                    inner.lines[record.job.state.index()].cancel(waiting.is_some(), record.turn());
                }
            }
        }
        let was_full = inner.uncommitted >= UNCOMMITTED || inner.uncommitted_bytes >= UNCOMMITTED_BYTES;
        inner.uncommitted -= n;
        inner.uncommitted_bytes -= bytes;
        for line in &mut inner.lines {
            line.committed();
        }
        for state in StateId::<W>::all() {
            inner.ask(state);
        }
        inner.settle(self);
        drop(inner);
        if was_full {
            self.wake_all();
        }
        for state in woken {
            self.wake[state].notify_one();
        }
    }

    /// The next thing to read.
    pub(super) fn take_load(&self) -> Option<Load<W>> {
        let mut inner = self.lock();
        let state = if inner.ending.is_some() { None } else { inner.loads.pop() }?;
        let (after, most) = inner.lines[state.index()].next_page();
        let fresh = (inner.fresh.by_state[state.index()] > 0).then(|| inner.fresh.clone());
        Some(Load { state, after, most, fresh })
    }

    pub(super) fn loaded(&self, state: StateId<W>, loaded: Loaded<W>) {
        let mut inner = self.lock();
        let inner_ref = &mut *inner;
        match loaded {
            Loaded::Placed(page) => inner_ref.lines[state.index()].loaded(page),
            Loaded::Fresh(page) => {
                inner_ref.lines[state.index()].none_put_back();
                inner_ref.lines[state.index()].admitted();
                for record in page {
                    inner_ref.admit(record);
                }
                self.work.notify_one();
            }
        }
        inner.settle(self);
        drop(inner);
        for wake in &self.wake {
            wake.notify_one();
        }
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

    /// Nothing starts any more.
    pub(super) fn stop(&self) {
        self.lock().end(Ending::Stopped, self);
    }

    /// The operator is impatient: drop the steps in flight, and end the program when all that is done is durable.
    pub(super) fn kill_by_signal(&self) {
        self.lock().killed_by_signal = true;
        self.kill.cancel();
    }

    pub(super) fn is_killed_by_signal(&self) -> bool {
        self.lock().killed_by_signal
    }

    /// The store failed: nothing that is not durable yet will be.
    pub(super) fn fail(&self, error: Error) {
        let mut inner = self.lock();
        inner.end(Ending::Stopped, self);
        inner.pending.clear();
        inner.saves.clear();
        inner.admitted.clear();
        inner.failure = Some(error);
        drop(inner);
        self.kill.cancel();
    }

    pub(super) fn hold(&self, state: StateId<W>, held: bool) {
        let mut inner = self.lock();
        inner.hold(&[(state, held)]);
        inner.settle(self);
        drop(inner);
        self.work.notify_one();
        self.wake[state.index()].notify_one();
    }

    /// As [`Core::hold`], before [`Core::resume`] looks whether there is anything to do.
    pub(super) fn hold_before_start(&self, states: &[(StateId<W>, bool)]) {
        if !states.is_empty() {
            self.lock().hold(states);
        }
    }

    /// All slots have retired; the writer ends when it has nothing left to do.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// The last batch: where the limiters are.
    pub(super) fn last_batch(&self) -> Batch<W> {
        let inner = self.lock();
        let mut batch = Batch::new(inner.next);
        let due =
            |state: StateId<W>| inner.lines[state.index()].limiter.as_ref()?.due().map(|due| (state, due));
        batch.limiters = StateId::all().filter_map(due).collect();
        batch.clean = Some(true);
        batch
    }

    pub(super) fn recorded(&self, batch: &Batch<W>) {
        self.lock().record(batch, &HashSet::new());
    }

    /// Gives back what the store knows, why the run ended, and the error that ended it.
    pub(super) fn end(&self) -> (Header<W>, Ending, Option<Error>) {
        let mut inner = self.lock();
        (inner.durable.clone(), inner.ending.unwrap_or(Ending::Stopped), inner.failure.take())
    }

    pub(super) fn overview(&self) -> Overview {
        let now = self.clock.now();
        let inner = self.lock();
        let state = |state: StateId<W>| {
            let line = &inner.lines[state.index()];
            let counts = &inner.durable.counts;
            let ready = counts.get(state, Status::Ready);
            let executing = (line.executing as u64).min(ready);
            let delayed = line.delayed(now).min(ready - executing);
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
                parked: counts.get(state, Status::Parked),
                errors: inner.tally.errors[state.index()],
            }
        };
        let states = StateId::all().map(state).collect();
        Overview { states, throttles: inner.tally.throttles, uncommitted: inner.uncommitted as u64 }
    }
}

impl<W: Workflow> Inner<W> {
    /// Numbers and places for what a step left.
    fn pending_of(&mut self, done: Done<W>, clock: &Clock) -> Pending<W> {
        let Done { before, now: job, effects, action, values, kicked, waited, ran } = done;
        let from = before.job.state;
        let standing = before.standing();
        let seq = take(&mut self.next.seq);
        let mut record =
            Record { job, seq, placed: true, last_line: before.last_line, last_error: before.last_error };
        let (mut line, mut error) = (None, None);
        let (mut kicks, mut children) = (Vec::new(), Vec::new());
        let mut values_of_kicks = kicked.into_iter();
        let mut bytes = size(&record.job);
        for effect in effects {
            match effect {
                Effect::Move { step, from, to, at, attempt } => {
                    let id = take(&mut self.next.line);
                    let previous = record.last_line.replace(id);
                    let (from, to) = (from.name().into(), to.name().into());
                    line = Some(HistoryLine {
                        id,
                        previous,
                        step,
                        attempt,
                        from,
                        to,
                        at,
                        waited,
                        ran,
                        first_child: None,
                        children: 0,
                    });
                }
                Effect::Error { state, step, attempt, at, error: text } => {
                    let id = take(&mut self.next.error);
                    let previous = record.last_error.replace(id);
                    bytes += text.len();
                    self.tally.errors[state.index()] += 1;
                    error = Some(Failure {
                        id,
                        previous,
                        state: state.name().into(),
                        step,
                        attempt,
                        at,
                        error: text,
                    });
                }
                Effect::Kick { n, kick } => {
                    let id = JobId(take(&mut self.next.job));
                    if let Some(line) = &mut line {
                        line.first_child.get_or_insert(id);
                        line.children += 1;
                    }
                    let (new, waiting) =
                        self.child(record.job.id, n, id, kick, values_of_kicks.next(), clock.now());
                    bytes += size(&new.record.job);
                    kicks.push(new);
                    children.push(waiting);
                }
                Effect::Throttle { after } => {
                    self.tally.throttles += 1;
                    if let (Some(limiter), Some(after)) = (&mut self.lines[from.index()].limiter, after) {
                        let pause = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
                        limiter.pause(clock.nanos().saturating_add(pause));
                    }
                }
            }
        }
        let then = if action == Action::Run { self.follower(&mut record, values, clock.now()) } else { None };
        let change = Change { before: standing, now: record, line, error, kicks };
        Pending { change, then, children, bytes }
    }

    /// Decides where a job waits that has a step to make: in memory, in the store, or (delayed) in both.
    fn follower(
        &mut self,
        record: &mut Record<W>,
        values: Option<(W, W::Job)>,
        now: Timestamp,
    ) -> Option<Box<Waiting<W>>> {
        let line = &mut self.lines[record.job.state.index()];
        if self.canary.as_ref().is_some_and(|canary| canary.jobs.contains(&record.job.id)) {
            // Whoever stands before it may never start.
            line.keep();
            record.placed = false;
            return Some(Waiting::new(record.clone(), values));
        }
        let here = line.expect(record.turn());
        record.placed = !here || record.job.ready_at > now;
        here.then(|| Waiting::new(record.clone(), values))
    }

    fn child(
        &mut self,
        parent: JobId,
        n: u64,
        id: JobId,
        kick: crate::reduce::Kicked<W>,
        values: Option<(W, W::Job)>,
        now: Timestamp,
    ) -> (New<W>, Option<Box<Waiting<W>>>) {
        let terminal = kick.to.state.spec().terminal();
        let job = Snapshot {
            id,
            parent: Some((parent, n)),
            step: 0,
            attempt: 1,
            errors: 0,
            kicked: 0,
            state: kick.to.state,
            data: kick.to.data,
            context: kick.context,
            status: if terminal { Status::Ended } else { Status::Ready },
            ready_at: now,
            delay: Duration::ZERO,
        };
        let seq = take(&mut self.next.seq);
        let mut record = Record { job, seq, placed: true, last_line: None, last_error: None };
        let waiting = if terminal { None } else { self.follower(&mut record, values, now) };
        (New { record, once: kick.once }, waiting)
    }

    /// A job is durable: it waits where [`Inner::follower`] said.
    fn arrive(&mut self, job: &Record<W>, waiting: Option<Box<Waiting<W>>>, woken: &mut HashSet<usize>) {
        let state = job.job.state.index();
        match waiting {
            Some(waiting) => {
                woken.insert(state);
                self.lines[state].arrive(waiting);
            }
            None if job.job.status == Status::Ready => self.lines[state].saved(job.turn()),
            None => {}
        }
    }

    /// A fresh job was read: it moves from now on, or is placed when its line is long.
    fn admit(&mut self, record: Record<W>) {
        let (id, state) = (record.job.id, record.job.state);
        self.fresh.next = id.0 + 1;
        self.fresh.by_state[state.index()] -= 1;
        self.admitted.push((id, state));
        if let Some(record) = self.lines[state.index()].admit(record) {
            let change = Change {
                before: record.standing(),
                now: Record { placed: true, ..record },
                line: None,
                error: None,
                kicks: Vec::new(),
            };
            let bytes = size(&change.now.job);
            self.uncommitted += 1;
            self.uncommitted_bytes += bytes;
            self.pending.push(Pending { change, then: None, children: Vec::new(), bytes });
        }
    }

    /// What the store did, done to our copy of what it knows.
    fn record(&mut self, batch: &Batch<W>, dropped: &HashSet<JobId>) {
        let durable = &mut self.durable;
        for change in &batch.changes {
            let (before, now) = (change.before, &change.now.job);
            durable.counts.add(before.state, before.status, -1);
            durable.counts.add(now.state, now.status, 1);
            for new in change.kicks.iter().filter(|new| !dropped.contains(&new.record.job.id)) {
                durable.counts.add(new.record.job.state, new.record.job.status, 1);
            }
            if change.line.is_some() {
                self.tally.moves[before.state.index()] += 1;
            }
        }
        for (id, state) in &batch.admitted {
            durable.fresh.next = id.0 + 1;
            durable.fresh.by_state[state.index()] -= 1;
        }
        for (state, due) in &batch.limiters {
            durable.limiters.retain(|(of, _)| of != state);
            durable.limiters.push((*state, *due));
        }
        if let Some(held) = &batch.held {
            durable.held.clone_from(held);
        }
        durable.clean = batch.clean.unwrap_or(durable.clean);
        durable.next = batch.next;
    }

    fn hold(&mut self, states: &[(StateId<W>, bool)]) {
        for (state, held) in states {
            self.lines[state.index()].held = *held;
        }
        self.held = Some(StateId::all().filter(|s| self.lines[s.index()].held).collect());
    }

    fn ask(&mut self, state: StateId<W>) {
        let canary_is_full = self.canary.as_ref().is_some_and(|canary| canary.jobs.len() >= canary.most);
        if !canary_is_full && !state.spec().terminal() && self.lines[state.index()].ask() {
            self.loads.push(state);
        }
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
        let counts = &self.durable.counts;
        if counts.of(Status::Parked) > self.most_parked {
            return self.end(Ending::TooManyParked, core);
        }
        if self.executing > 0 || self.uncommitted > 0 {
            return;
        }
        if let Some(canary) = &self.canary
            && canary.jobs.len() >= canary.most
        {
            let waits =
                |line: &Line<W>| line.next_of(|job| canary.jobs.contains(&job.record.job.id)).is_some();
            if !self.lines.iter().any(|line| !line.held && waits(line)) {
                return self.end(Ending::Canary, core);
            }
        }
        let left = StateId::<W>::all().filter(|s| !self.lines[s.index()].held);
        let left: u64 = left.map(|s| counts.get(s, Status::Ready)).sum();
        if left == 0 {
            self.end(Ending::Complete, core);
        }
    }
}

fn take(number: &mut u64) -> u64 {
    let n = *number;
    *number += 1;
    n
}

fn nanos(at: Timestamp) -> u64 {
    at.0.saturating_mul(1_000_000)
}

/// About how many bytes a job takes until it is committed.
fn size<W: Workflow>(job: &Snapshot<W>) -> usize {
    fn text<T>(saved: &Saved<T>) -> usize {
        match saved {
            Saved::Json(text) => text.len(),
            Saved::Value(_) | Saved::Nothing => 0,
        }
    }
    256 + text(&job.data) + text(&job.context)
}
