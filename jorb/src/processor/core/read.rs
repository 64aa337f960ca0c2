//! What the lines want from the store.
use super::{
    Canary, Core, Inner,
    finish::{Pending, size},
};
use crate::{
    StateId, Workflow,
    store::{Change, Fresh, Record, Turn},
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
    Placed(Vec<Record<W>>),
    Fresh(Vec<Record<W>>),
}

impl<W: Workflow> Core<W> {
    /// The next thing to read.
    pub(in crate::processor) fn take_load(&self) -> Option<Load<W>> {
        let mut inner = self.lock();
        let state = if inner.ending.is_some() { None } else { inner.loads.pop() }?;
        let (after, most) = inner.lines[state.index()].next_page();
        let fresh = (inner.fresh.by_state[state.index()] > 0).then(|| inner.fresh.clone());
        Some(Load { state, after, most, fresh })
    }

    pub(in crate::processor) fn loaded(&self, state: StateId<W>, loaded: Loaded<W>) {
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

    pub(super) fn want_loads(&self, inner: &Inner<W>) {
        if !inner.loads.is_empty() {
            self.work.notify_one();
        }
    }
}

impl<W: Workflow> Inner<W> {
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

    pub(super) fn ask(&mut self, state: StateId<W>) {
        let only_canaries = self.canary.as_ref().is_some_and(Canary::is_full);
        if !only_canaries && !state.spec().terminal() && self.lines[state.index()].ask() {
            self.loads.push(state);
        }
    }
}
