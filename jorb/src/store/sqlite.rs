//! One SQLite file per run.
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{
    Access, Batch, Committed, Failure, Header, Lane, OnceKey, Record, Restored, Store, Story, Turn,
    lock::{Lock, beside},
    transfer,
};
use crate::{Error, Form, JobId, StateId, Status, Workflow};
use checkpoint::Checkpoints;
use fail::Fail;
use overview::Overview;
use states::States;

mod backup;
mod checkpoint;
mod commit;
mod fail;
mod history;
mod joins;
mod migrate;
mod open;
mod overview;
mod read;
mod repeated;
mod row;
mod schema;
mod states;
#[cfg(test)]
mod tests;

/// Keeps a run in one SQLite file, for as many jobs as the disk holds.
///
/// A batch that was committed survives a crash of the process, of the system, and of the power. While a run is
/// driven there are `-wal` and `-shm` files beside the file, which belong to it; after a clean stop there is the
/// file alone (and an empty `.lock`, which says who drives the run). [`SqliteStore::backup`] copies a run at any time.
///
/// The file can be queried: by `sqlite3`, from Python, from DuckDB. The views `jobs`, `moves`, `errors` and `counts`
/// are made for that.
///
/// ```sh
/// sqlite3 crawl.jorb "SELECT state, status, jobs FROM counts"
/// sqlite3 crawl.jorb "SELECT id, context ->> 'url', last_error FROM jobs WHERE status = 'parked'"
/// ```
///
/// ```
/// use jorb::SqliteStore;
///
/// // Nothing is touched until a run is opened on it.
/// let store = SqliteStore::at("crawl.jorb");
/// # let _ = store;
/// ```
pub struct SqliteStore {
    path: PathBuf,
    open: Option<Open>,
}

/// A store in use.
struct Open {
    conn: Connection,
    states: States,
    overview: Overview,
    /// Keys by job are in a table of this connection, of all jobs before this one.
    keys: Option<u64>,
    /// While the run is driven.
    driven: Option<Driven>,
}

// In the order in which they are dropped: the lock last.
struct Driven {
    checkpoints: Checkpoints,
    _lock: Lock,
}

impl SqliteStore {
    /// The run in the file at `path`, or a new one there.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        SqliteStore { path: path.into(), open: None }
    }

    /// Copies the run to a file that does not exist yet. The copy is that of one moment and complete, also while a
    /// process drives the run. Errors when there is no run, or the copy cannot be written.
    ///
    /// ```no_run
    /// jorb::SqliteStore::at("crawl.jorb").backup("crawl-monday.jorb")?;
    /// # Ok::<(), jorb::Error>(())
    /// ```
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<(), Error> {
        backup::backup(&self.path, to.as_ref())
    }

    /// Does something with the open file.
    fn with<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&mut Open) -> Result<T, Fail>,
    ) -> Result<T, Error> {
        let Some(open) = &mut self.open else {
            return Err(Error::disk(&self.path, doing)("the store is not open"));
        };
        work(open).map_err(|fail| fail.on(&self.path, doing))
    }
}

impl<W: Workflow> Store<W> for SqliteStore {
    fn form(&self) -> Form {
        Form::Json
    }

    fn blocks(&self) -> bool {
        true
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn beside(&self, suffix: &str) -> Option<PathBuf> {
        beside(&self.path, suffix)
    }

    fn open(&mut self, access: Access) -> Result<Header<W>, Error> {
        // The lock of an earlier opening goes first.
        self.open = None;
        let (open, header) = match access {
            Access::Drive => open::drive(&self.path),
            Access::Read => open::read(&self.path),
        }?;
        self.open = Some(open);
        Ok(header)
    }

    fn commit(&mut self, batch: &Batch<W>) -> Result<Committed<W>, Error> {
        let committed = self.with("commit a batch", |open| commit::commit(open, batch))?;
        if let Some(Open { conn, driven: Some(driven), .. }) = &mut self.open {
            driven.checkpoints.after_commit(conn);
        }
        Ok(committed)
    }

    fn clear(&mut self) -> Result<(), Error> {
        self.with("clear it", |open| {
            let transaction = open.conn.transaction()?;
            transaction.execute_batch(schema::CLEAR)?;
            transaction.commit()?;
            open.overview = Overview::empty::<W>();
            open.keys = None;
            Ok(())
        })
    }

    fn restore(&mut self, jobs: Vec<Restored<W>>) -> Result<(), Error> {
        let dropped: Vec<_> = jobs.iter().map(|job| (job.record.job.id, job.story.dropped.clone())).collect();
        transfer::restore(self, jobs)?;
        self.with("restore jobs", |open| {
            let transaction = open.conn.transaction()?;
            for (job, dropped) in dropped {
                history::write_dropped(&transaction, &open.states, job, &dropped)?;
            }
            transaction.commit()?;
            Ok(())
        })
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(Open { conn, driven, .. }) = self.open.take() else { return Ok(()) };
        let Some(Driven { checkpoints, _lock }) = driven else { return Ok(()) };
        drop(checkpoints);
        checkpoint::fold(conn).map_err(|e| Fail::from(e).on(&self.path, "close it"))
    }

    fn page(&mut self, from: JobId, most: usize) -> Result<Vec<Record<W>>, Error> {
        self.with("read jobs", |open| read::page(open, from, most))
    }

    fn moving(&mut self) -> Result<Vec<Record<W>>, Error> {
        self.with("read jobs", |open| read::moving(open))
    }

    fn line(
        &mut self,
        state: StateId<W>,
        status: Status,
        lane: &Lane,
        after: Option<Turn>,
        most: usize,
    ) -> Result<Vec<Record<W>>, Error> {
        self.with("read jobs", |open| read::line(open, state, status, lane, after, most))
    }

    fn lanes(
        &mut self,
        state: StateId<W>,
        status: Status,
        after: Option<&Lane>,
        most: usize,
    ) -> Result<Vec<Lane>, Error> {
        self.with("read the lines of a state", |open| read::lanes(open, state, status, after, most))
    }

    fn job(&mut self, id: JobId) -> Result<Option<Record<W>>, Error> {
        self.with("read a job", |open| read::job(open, id))
    }

    fn child(&mut self, parent: JobId, n: u64) -> Result<Option<JobId>, Error> {
        self.with("read a job", |open| read::child(open, parent, n))
    }

    fn story(&mut self, id: JobId) -> Result<Story, Error> {
        self.with("read the history of a job", |open| history::story(&open.conn, id))
    }

    fn last_error(&mut self, id: JobId) -> Result<Option<Failure>, Error> {
        self.with("read an error of a job", |open| history::last_error(&open.conn, id))
    }

    fn once(&mut self, id: JobId) -> Result<Option<OnceKey<W>>, Error> {
        self.with("read `once` keys", |open| read::once(open, id))
    }
}

/// A number for SQLite, which has no unsigned ones. What does not fit is a time at the end of all times.
fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
