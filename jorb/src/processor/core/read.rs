//! What the lines want from the store.
use super::{
    Canary, Core, Inner, WIDE,
    commit::{Followers, Then},
    finish::size,
};
use crate::{
    StateId, Workflow,
    processor::line::{FLOWS, Waiting},
    store::{Change, Fresh, Turn},
};

/// What the writer is to read.
pub(in crate::processor) struct Load<W: Workflow> {
    pub(in crate::processor) state: StateId<W>,
    pub(in crate::processor) after: Option<Turn>,
    pub(in crate::processor) most: usize,
    /// There are fresh jobs of this state, from here on.
    pub(in crate::processor) fresh: Option<Fresh>,
}

/// What it read.
pub(in crate::processor) enum Loaded<W: Workflow> {
    Placed(Vec<Waiting<W>>),
    Fresh(Vec<Waiting<W>>),
}

impl<W: Workflow> Core<W> {
    /// The next thing to read.
    pub(in crate::processor) fn take_load(&self) -> Option<Load<W>> {
        let mut inner = self.lock();
        let now = self.clock.nanos();
        let (state, (after, most)) = loop {
            let state = if inner.ending.is_some() { None } else { inner.loads.pop_front() }?;
            if let Some(page) = inner.lines[state.index()].next_page(now) {
                break (state, page);
            }
        };
        let fresh = (inner.fresh.by_state[state.index()] > 0).then(|| inner.fresh.clone());
        Some(Load { state, after, most, fresh })
    }

    pub(in crate::processor) fn loaded(&self, state: StateId<W>, loaded: Loaded<W>) {
        let now = self.clock.nanos();
        let mut inner = self.lock();
        let inner_ref = &mut *inner;
        match loaded {
            Loaded::Placed(page) => inner_ref.lines[state.index()].loaded(page, now),
            Loaded::Fresh(page) => {
                inner_ref.lines[state.index()].none_put_back();
                let bytes = page.first().map(|job| size(&job.record.job));
                inner_ref.lines[state.index()].admitted(bytes);
                for job in page {
                    inner_ref.admit(job, now);
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

    pub(super) fn want_loads(&self, inner: &Inner<W>) {
        if !inner.loads.is_empty() {
            self.work.notify_one();
        }
    }
}

impl<W: Workflow> Inner<W> {
    /// A fresh job was read: it moves from now on, or is placed when its line is long.
    fn admit(&mut self, job: Waiting<W>, now: u64) {
        let (id, state) = (job.record.job.id, job.record.job.state);
        self.fresh.next = id.0 + 1;
        self.fresh.by_state[state.index()] -= 1;
        self.admitted.push((id, state));
        if let Some(Waiting { mut record, .. }) = self.lines[state.index()].admit(job, now) {
            let before = record.standing();
            record.placed = true;
            let change = Change { before, now: record, line: None, error: None, kicks: Vec::new() };
            let bytes = size(&change.now.job);
            self.lines[state.index()].uncommitted += 1;
            self.uncommitted += 1;
            self.uncommitted_bytes += bytes;
            self.changes.push(change);
            self.followers.push(Followers { then: Then::Away, children: Vec::new(), bytes });
        }
    }

    /// Asks the store for more of a line that is short.
    pub(super) fn ask(&mut self, state: StateId<W>, now: u64, core: &Core<W>) {
        let only_canaries = self.canary.as_ref().is_some_and(Canary::is_full);
        if only_canaries || state.spec().terminal() || !self.lines[state.index()].is_short(now) {
            return;
        }
        let fresh = self.fresh.by_state[state.index()] > 0;
        let blind = self.lines[state.index()].is_blind();
        let crowded = fresh && !blind && self.flowing(now) >= WIDE / 2 * self.window;
        let line = &mut self.lines[state.index()];
        if !crowded {
            line.ask();
            self.loads.push_back(state);
        } else if line.wake_by(now + FLOWS) {
            core.timer.notify_one();
        }
    }

    /// Jobs that are on their way through states in which they do not wait for long. Fresh ones are admitted behind them:
    /// who is in later states goes first.
    fn flowing(&self, now: u64) -> usize {
        self.uncommitted + self.lines.iter().map(|line| line.flowing(now)).sum::<usize>()
    }
}
