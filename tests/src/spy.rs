//! A store around another one that shows its commits to a watcher, and can fail, or "crash", at any of them.
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use jorb::{
    Error, Form, JobId, StateId, Status, Store, Workflow,
    store::{Access, Batch, BoxStore, Committed, Header, Lane, OnceKey, Record, Story, Turn},
};

/// Sees every commit.
pub trait Watch<W: Workflow>: Send + 'static {
    /// Before the store has it; an error keeps the store from getting it.
    fn before(&mut self, batch: &Batch<W>) -> Result<(), Error> {
        let _ = batch;
        Ok(())
    }

    /// When the store has it; an error is what a crash between the commit and its confirmation looks like.
    fn after(&mut self, batch: &Batch<W>, committed: &Committed<W>) -> Result<(), Error> {
        let _ = (batch, committed);
        Ok(())
    }
}

impl<W: Workflow> Watch<W> for () {}

/// The same store in several hands: one for the run, one for the test. Opening it again after the run was dropped is
/// a restart.
pub struct Spy<W: Workflow, T: Watch<W> = ()> {
    inner: Arc<Mutex<BoxStore<W>>>,
    watch: Arc<Mutex<T>>,
    form: Form,
    blocks: bool,
    path: PathBuf,
    rows: Arc<AtomicU64>,
    slow: Duration,
}

impl<W: Workflow> Spy<W> {
    /// Just shared.
    pub fn new(store: impl Store<W>) -> Self {
        Spy::watched(Box::new(store), ())
    }
}

impl<W: Workflow, T: Watch<W>> Spy<W, T> {
    /// Shared and watched.
    pub fn watched(store: BoxStore<W>, watch: T) -> Self {
        let (form, blocks, path) = (store.form(), store.blocks(), store.path().to_owned());
        Spy {
            inner: Arc::new(Mutex::new(store)),
            watch: Arc::new(Mutex::new(watch)),
            form,
            blocks,
            path,
            rows: Arc::default(),
            slow: Duration::ZERO,
        }
    }

    /// With a disk on which reading takes long, so that much happens meanwhile.
    #[must_use]
    pub fn slow(self, slow: Duration) -> Self {
        Spy { slow, blocks: true, ..self }
    }

    /// Its watcher.
    pub fn watch(&self) -> MutexGuard<'_, T> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inner(&self) -> MutexGuard<'_, BoxStore<W>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows of jobs that were read and written so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    fn count(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Relaxed);
    }

    /// Every job, by id. Of a run that nobody uses.
    pub fn jobs(&self) -> Vec<Record<W>> {
        self.header();
        let mut jobs: Vec<Record<W>> = Vec::new();
        loop {
            let from = jobs.last().map_or(0, |last| last.job.id.0 + 1);
            let page = self.inner().page(JobId(from), 1000).expect("the store can be read");
            if page.is_empty() {
                return jobs;
            }
            jobs.extend(page);
        }
    }

    /// What happened to a job.
    pub fn story(&self, id: u64) -> Story {
        self.header();
        self.inner().story(JobId(id)).expect("the store can be read")
    }

    /// What the store knows of the run as a whole. Of a run that nobody uses.
    pub fn header(&self) -> Header<W> {
        self.inner().open(Access::Read).expect("the store can be opened")
    }
}

impl<W: Workflow, T: Watch<W>> Clone for Spy<W, T> {
    fn clone(&self) -> Self {
        Spy {
            inner: self.inner.clone(),
            watch: self.watch.clone(),
            path: self.path.clone(),
            rows: self.rows.clone(),
            ..*self
        }
    }
}

/// What a failing disk says.
pub fn disk_full() -> Error {
    let source = io::Error::from(io::ErrorKind::StorageFull).into();
    Error::Disk { path: "test".into(), doing: "commit a batch", source }
}

impl<W: Workflow, T: Watch<W>> Store<W> for Spy<W, T> {
    fn form(&self) -> Form {
        self.form
    }

    fn blocks(&self) -> bool {
        self.blocks
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn beside(&self, suffix: &str) -> Option<PathBuf> {
        self.inner().beside(suffix)
    }

    fn open(&mut self, access: Access) -> Result<Header<W>, Error> {
        self.inner().open(access)
    }

    fn commit(&mut self, batch: &Batch<W>) -> Result<Committed<W>, Error> {
        self.watch().before(batch)?;
        let committed = self.inner().commit(batch)?;
        let kicks: usize = batch.changes.iter().map(|change| change.kicks.len()).sum();
        self.count(batch.changes.len() + kicks + batch.added.len() + batch.admitted.len());
        self.watch().after(batch, &committed)?;
        Ok(committed)
    }

    fn clear(&mut self) -> Result<(), Error> {
        self.inner().clear()
    }

    fn close(&mut self) -> Result<(), Error> {
        self.inner().close()
    }

    fn page(&mut self, from: JobId, most: usize) -> Result<Vec<Record<W>>, Error> {
        let rows = self.inner().page(from, most)?;
        self.count(rows.len());
        Ok(rows)
    }

    fn moving(&mut self) -> Result<Vec<Record<W>>, Error> {
        let rows = self.inner().moving()?;
        self.count(rows.len());
        Ok(rows)
    }

    fn line(
        &mut self,
        state: StateId<W>,
        status: Status,
        lane: &Lane,
        after: Option<Turn>,
        most: usize,
    ) -> Result<Vec<Record<W>>, Error> {
        let rows = self.inner().line(state, status, lane, after, most)?;
        std::thread::sleep(self.slow);
        self.count(rows.len());
        Ok(rows)
    }

    fn lanes(
        &mut self,
        state: StateId<W>,
        status: Status,
        after: Option<&Lane>,
        most: usize,
    ) -> Result<Vec<Lane>, Error> {
        self.inner().lanes(state, status, after, most)
    }

    fn job(&mut self, id: JobId) -> Result<Option<Record<W>>, Error> {
        self.inner().job(id)
    }

    fn child(&mut self, parent: JobId, n: u64) -> Result<Option<JobId>, Error> {
        self.inner().child(parent, n)
    }

    fn story(&mut self, id: JobId) -> Result<Story, Error> {
        self.inner().story(id)
    }

    fn once(&mut self, id: JobId) -> Result<Option<OnceKey<W>>, Error> {
        self.inner().once(id)
    }
}
