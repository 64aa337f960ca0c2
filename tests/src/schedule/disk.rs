//! A disk that is done when it is told.
use std::{
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use jorb::{
    Error, Form, JobId, StateId, Status, Store,
    store::{Access, Batch, Change, Committed, Header, Lane, OnceKey, Record, Story, Turn},
};

use super::Trace;
use crate::{
    START,
    audit::Audit,
    spy::{Spy, disk_full},
    walk::Walk,
};

/// The disk of one process.
#[derive(Clone)]
pub(super) struct Disk {
    shared: Arc<(Mutex<Work>, Condvar)>,
    trace: Trace,
}

#[derive(Default)]
struct Work {
    /// The engine has handed over the store, and waits.
    busy: bool,
    /// What it does; known once its thread is there.
    does: Option<Does>,
    /// What becomes of it.
    verdict: Option<Verdict>,
    failed: bool,
    /// The store was let go.
    gone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Commit,
    Read,
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Done,
    /// Before or after the store has it.
    Fails {
        after: bool,
    },
}

impl Disk {
    pub(super) fn new(trace: Trace) -> Self {
        Disk { shared: Arc::default(), trace }
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a thread, which takes no time that the schedule knows of.
    fn until(&self, there: impl Fn(&Work) -> bool) -> MutexGuard<'_, Work> {
        let patience = Duration::from_secs(60);
        let (work, late) = self
            .shared
            .1
            .wait_timeout_while(self.lock(), patience, |work| !there(work))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!late.timed_out(), "a thread of the store does not come");
        work
    }

    fn change(&self, change: impl FnOnce(&mut Work)) {
        change(&mut self.lock());
        self.shared.1.notify_all();
    }

    /// The engine waits for it.
    pub(super) fn is_busy(&self) -> bool {
        self.lock().busy
    }

    /// With a commit.
    pub(super) fn commits(&self) -> bool {
        self.is_busy() && self.until(|work| work.does.is_some()).does == Some(Does::Commit)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.lock().failed
    }

    /// It is done, or fails, before or after that; and the engine has heard of it, but nobody has done anything since.
    pub(super) fn is_done(&self, fails: Option<bool>) {
        let does = self.until(|work| work.does.is_some()).does;
        self.trace.add(format!("{does:?} is done, fails: {fails:?}"));
        self.change(|work| {
            work.verdict = Some(fails.map_or(Verdict::Done, |after| Verdict::Fails { after }));
            work.failed |= fails.is_some();
        });
        let metrics = tokio::runtime::Handle::current().metrics();
        let began = Instant::now();
        while metrics.global_queue_depth() == 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "nobody waits for the store");
            thread::yield_now();
        }
        self.change(|work| *work = Work { failed: work.failed, gone: work.gone, ..Work::default() });
    }

    /// The process is dead: what it was about to do is done, or not, and nobody hears of it.
    pub(super) fn dies(&self, after: bool) {
        self.change(|work| work.verdict = Some(Verdict::Fails { after }));
        self.is_let_go();
    }

    /// Nobody says any more what becomes of it.
    pub(super) fn gives_up(&self) {
        self.change(|work| work.verdict = Some(Verdict::Fails { after: false }));
    }

    /// Nobody has the store any more.
    pub(super) fn is_let_go(&self) {
        drop(self.until(|work| work.gone));
    }
}

/// A store on such a disk.
pub(super) struct Slow {
    store: Spy<Walk, Audit>,
    disk: Disk,
}

impl Slow {
    pub(super) fn new(store: Spy<Walk, Audit>, disk: Disk) -> Self {
        Slow { store, disk }
    }

    /// Waits until the disk is done, if the engine does; then does it, or fails.
    fn does<T>(
        &mut self,
        does: Does,
        work: impl FnOnce(&mut Spy<Walk, Audit>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if !self.disk.is_busy() {
            return work(&mut self.store); // while the run is opened
        }
        self.disk.change(|work| {
            work.does.get_or_insert(does);
        });
        let verdict = self.disk.until(|work| work.verdict.is_some()).verdict;
        match verdict {
            Some(Verdict::Fails { after: false }) => Err(disk_full()),
            Some(Verdict::Fails { after: true }) => work(&mut self.store).and(Err(disk_full())),
            _ => work(&mut self.store),
        }
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.disk.change(|work| work.gone = true);
    }
}

impl Store<Walk> for Slow {
    fn form(&self) -> Form {
        self.store.form()
    }

    /// The engine asks before it hands over the store to a thread, and then waits for that.
    fn blocks(&self) -> bool {
        self.disk.change(|work| work.busy = true);
        true
    }

    fn path(&self) -> &Path {
        self.store.path()
    }

    fn open(&mut self, access: Access) -> Result<Header<Walk>, Error> {
        self.store.open(access)
    }

    fn commit(&mut self, batch: &Batch<Walk>) -> Result<Committed<Walk>, Error> {
        let trace = self.disk.trace.clone();
        self.does(Does::Commit, |store| {
            let change = |change: &Change<Walk>| {
                let (job, turn) = (&change.now.job, change.now.turn());
                let at = turn.ready_at.since(START); // seeds have another clock
                let kicks = change.kicks.len();
                format!("{} {:?}/{} at {at:?} {}, kicks {kicks}", job.id, job.state, job.step, turn.seq)
            };
            let changes: Vec<_> = batch.changes.iter().map(change).collect();
            let Batch { admitted, limiters, held, .. } = batch;
            trace.add(format!("commits {changes:?} {admitted:?} {limiters:?} {held:?}"));
            store.commit(batch)
        })
    }

    fn clear(&mut self) -> Result<(), Error> {
        self.store.clear()
    }

    fn close(&mut self) -> Result<(), Error> {
        self.does(Does::Close, Store::close)
    }

    fn page(&mut self, from: JobId, most: usize) -> Result<Vec<Record<Walk>>, Error> {
        self.does(Does::Read, |store| store.page(from, most))
    }

    fn moving(&mut self) -> Result<Vec<Record<Walk>>, Error> {
        self.does(Does::Read, Store::moving)
    }

    fn line(
        &mut self,
        state: StateId<Walk>,
        status: Status,
        lane: &Lane,
        after: Option<Turn>,
        most: usize,
    ) -> Result<Vec<Record<Walk>>, Error> {
        self.does(Does::Read, |store| store.line(state, status, lane, after, most))
    }

    fn lanes(
        &mut self,
        state: StateId<Walk>,
        status: Status,
        after: Option<&Lane>,
        most: usize,
    ) -> Result<Vec<Lane>, Error> {
        self.does(Does::Read, |store| store.lanes(state, status, after, most))
    }

    fn job(&mut self, id: JobId) -> Result<Option<Record<Walk>>, Error> {
        self.does(Does::Read, |store| store.job(id))
    }

    fn child(&mut self, parent: JobId, n: u64) -> Result<Option<JobId>, Error> {
        self.store.child(parent, n)
    }

    fn story(&mut self, id: JobId) -> Result<Story, Error> {
        Store::story(&mut self.store, id)
    }

    fn once(&mut self, id: JobId) -> Result<Option<OnceKey<Walk>>, Error> {
        self.store.once(id)
    }
}
