//! A store that says when a commit made jobs ready.
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Instant,
};

use jorb::{
    Error, Form, JobId, StateId, Status, Store, Workflow,
    store::{Access, Batch, Committed, Header, Lane, OnceKey, Record, Story, Turn},
};

use super::lock;

/// When each job was durable.
pub(super) type Ready = Arc<Mutex<HashMap<JobId, Instant>>>;

pub(super) struct Clocked<S> {
    store: S,
    /// Jobs of this state.
    state: &'static str,
    ready: Ready,
}

impl<S> Clocked<S> {
    pub(super) fn new(store: S, state: &'static str, ready: Ready) -> Self {
        Clocked { store, state, ready }
    }
}

impl<W: Workflow, S: Store<W>> Store<W> for Clocked<S> {
    fn commit(&mut self, batch: &Batch<W>) -> Result<Committed<W>, Error> {
        let committed = self.store.commit(batch)?;
        let now = Instant::now();
        let kicks = batch.changes.iter().flat_map(|change| &change.kicks).map(|new| &new.record.job);
        let of_state = kicks.filter(|job| job.state.name() == self.state);
        lock(&self.ready).extend(of_state.map(|job| (job.id, now)));
        Ok(committed)
    }

    fn form(&self) -> Form {
        self.store.form()
    }

    fn blocks(&self) -> bool {
        self.store.blocks()
    }

    fn path(&self) -> &Path {
        self.store.path()
    }

    fn open(&mut self, access: Access) -> Result<Header<W>, Error> {
        self.store.open(access)
    }

    fn clear(&mut self) -> Result<(), Error> {
        self.store.clear()
    }

    fn close(&mut self) -> Result<(), Error> {
        self.store.close()
    }

    fn page(&mut self, from: JobId, most: usize) -> Result<Vec<Record<W>>, Error> {
        self.store.page(from, most)
    }

    fn moving(&mut self) -> Result<Vec<Record<W>>, Error> {
        self.store.moving()
    }

    fn line(
        &mut self,
        state: StateId<W>,
        status: Status,
        lane: &Lane,
        after: Option<Turn>,
        most: usize,
    ) -> Result<Vec<Record<W>>, Error> {
        self.store.line(state, status, lane, after, most)
    }

    fn lanes(
        &mut self,
        state: StateId<W>,
        status: Status,
        after: Option<&Lane>,
        most: usize,
    ) -> Result<Vec<Lane>, Error> {
        self.store.lanes(state, status, after, most)
    }

    fn job(&mut self, id: JobId) -> Result<Option<Record<W>>, Error> {
        self.store.job(id)
    }

    fn child(&mut self, parent: JobId, n: u64) -> Result<Option<JobId>, Error> {
        self.store.child(parent, n)
    }

    fn story(&mut self, id: JobId) -> Result<Story, Error> {
        self.store.story(id)
    }

    fn once(&mut self, id: JobId) -> Result<Option<OnceKey<W>>, Error> {
        self.store.once(id)
    }
}
