//! What the lines want from the store.
use super::{
    Canary, Core, Inner, WIDE,
    commit::{Followers, Then},
    finish::size,
};
use crate::{
    StateId, Workflow,
    processor::{
        line::Waiting,
        queue::{FLOWS, Page},
    },
    store::{Change, Fresh, Record, Standing},
};

/// What the writer is to read.
pub(in crate::processor) struct Load<W: Workflow> {
    pub(in crate::processor) state: StateId<W>,
    pub(in crate::processor) pages: Vec<Page>,
    /// There are fresh jobs of this state, from here on; and how many to read of them if the pages are empty.
    pub(in crate::processor) fresh: Option<Fresh>,
    pub(in crate::processor) most: usize,
}

/// What it read.
pub(in crate::processor) struct Loaded<W: Workflow> {
    pub(in crate::processor) pages: Vec<LoadedPage<W>>,
    pub(in crate::processor) fresh: Option<Vec<Waiting<W>>>,
}

/// A page of a line. The store has no more jobs of it, if these are `all`, but for those behind the fresh ones, which were
/// `cut` off.
pub(in crate::processor) struct LoadedPage<W: Workflow> {
    pub(in crate::processor) line: usize,
    pub(in crate::processor) jobs: Vec<Waiting<W>>,
    pub(in crate::processor) all: bool,
    pub(in crate::processor) cut: bool,
}

impl<W: Workflow> Core<W> {
    /// The next thing to read.
    pub(in crate::processor) fn take_load(&self) -> Option<Load<W>> {
        let mut inner = self.lock();
        let now = self.clock.nanos();
        loop {
            let state = if inner.ending.is_some() { None } else { inner.loads.pop_front() }?;
            let fresh = (inner.fresh.by_state[state.index()] > 0).then(|| inner.fresh.clone());
            let queue = &mut inner.queues[state.index()];
            let (pages, most) = (queue.pages(now), queue.page(now));
            if fresh.is_some() || !pages.is_empty() {
                inner.reading = Some(state);
                return Some(Load { state, pages, fresh, most });
            }
            // Those that were short are not any more: nobody need wait for their suspects.
            if !inner.suspects.is_empty() {
                self.wake_all();
            }
        }
    }

    pub(in crate::processor) fn loaded(&self, state: StateId<W>, loaded: Loaded<W>) {
        let now = self.clock.nanos();
        let mut inner = self.lock();
        let inner_ref = &mut *inner;
        inner_ref.reading = None;
        for page in loaded.pages {
            inner_ref.loaded(state, page, now);
        }
        if let Some(page) = loaded.fresh {
            if let Some(job) = page.first() {
                inner_ref.queues[state.index()].sized(size(&job.record.job));
            }
            for job in page {
                inner_ref.admit(job, now);
            }
            inner_ref.look_for_fresh();
            self.work.notify_one();
        }
        inner_ref.tidy(state.index(), now);
        for state in StateId::<W>::all() {
            inner_ref.ask(state, now, self);
        }
        self.want_loads(inner_ref);
        inner.settle(self);
        drop(inner);
        for wake in &self.wake {
            wake.notify_one();
        }
    }

    pub(super) fn want_loads(&self, inner: &Inner<W>) {
        if !inner.loads.is_empty() {
            self.work.notify_one();
        }
    }
}

impl<W: Workflow> Inner<W> {
    /// States whose last fresh job is gone need not wait for any.
    pub(super) fn look_for_fresh(&mut self) {
        for (queue, fresh) in self.queues.iter_mut().zip(&self.fresh.by_state) {
            if *fresh == 0 && queue.fresh {
                queue.no_fresh();
            }
        }
    }

    /// A fresh job was read: it moves from now on, or is placed when its line is long.
    fn admit(&mut self, mut job: Waiting<W>, now: u64) {
        let (id, state) = (job.record.job.id, job.record.job.state);
        self.fresh.next = id.0 + 1;
        self.fresh.by_state[state.index()] -= 1;
        self.admitted.push((id, state));
        let before = job.record.standing();
        job.record.key.clone_from(&job.at_hand.demand.key);
        let line = self.line(state, &job.record.lane(), false, now);
        let job = Waiting { since: now, ..job };
        if let Some(Waiting { mut record, .. }) = self.queues[state.index()].admit(line, job, now) {
            record.placed = true;
            self.place(before, record, Then::Stored(line));
        }
    }

    /// Placed jobs of a line were read. One whose key is another now, as the program says, goes to the line of that.
    fn loaded(&mut self, state: StateId<W>, page: LoadedPage<W>, now: u64) {
        let LoadedPage { line, jobs, all, cut } = page;
        let lane = self.queues[state.index()].at(line).lane.clone();
        let (here, astray): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| job.at_hand.demand.key == lane.key);
        let unsaved = self.queues[state.index()].at(line).first_unsaved();
        let last = here.iter().chain(&astray).map(Waiting::turn).max();
        let queue = &mut self.queues[state.index()];
        queue.loaded(line, here, all, cut, now);
        let last = last.filter(|last| unsaved.is_none_or(|unsaved| *last < unsaved));
        if let (Some(last), true) = (last, queue.find(&lane) == Some(line)) {
            queue.pass(line, last);
        }
        for job in astray {
            // Those are read again.
            if unsaved.is_some_and(|unsaved| job.turn() >= unsaved) {
                continue;
            }
            self.astray(job.record.standing(), job, now);
        }
    }

    /// A placed job goes to the line of the key that the program says.
    pub(super) fn astray(&mut self, before: Standing<W>, job: Waiting<W>, now: u64) {
        let Waiting { mut record, at_hand, .. } = job;
        let then = self.follower(&mut record, at_hand, now);
        // An urgent seed has the number of a fresh job, and keeps its turn: it must not stand as these do.
        record.placed |= (self.fresh.next..self.fresh.end).contains(&record.job.id.0);
        self.place(before, record, then);
    }

    /// A job stands elsewhere, as it is.
    fn place(&mut self, before: Standing<W>, now: Box<Record<W>>, then: Then<W>) {
        let bytes = size(&now.job);
        self.queues[before.state.index()].uncommitted += 1;
        self.uncommitted += 1;
        self.uncommitted_bytes += bytes;
        self.changes.push(Change { before, now, line: None, error: None, kicks: Vec::new() });
        self.followers.push(Followers { then, children: Vec::new(), bytes, left: None });
    }

    /// Asks the store for more of a state that is short.
    pub(super) fn ask(&mut self, state: StateId<W>, now: u64, core: &Core<W>) {
        let only_canaries = self.canary.as_ref().is_some_and(Canary::is_full);
        if only_canaries || state.spec().terminal() || !self.queues[state.index()].is_short(now) {
            return;
        }
        let fresh = self.fresh.by_state[state.index()] > 0;
        let blind = self.queues[state.index()].is_blind();
        let crowded = fresh && !blind && self.flowing(now) >= WIDE / 2 * self.window;
        let queue = &mut self.queues[state.index()];
        if !crowded {
            queue.asked = true;
            self.loads.push_back(state);
        } else if queue.wake_by(now + FLOWS) {
            core.timer.notify_one();
        }
    }

    /// Jobs that are on their way through states in which they do not wait for long. Fresh ones are admitted behind them:
    /// who is in later states goes first.
    fn flowing(&self, now: u64) -> usize {
        self.uncommitted + self.queues.iter().map(|queue| queue.flowing(now)).sum::<usize>()
    }
}
