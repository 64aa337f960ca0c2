//! Where a run lives between processes.
//!
//! A [`Store`] keeps rows and commits batches; what a row means is the engine's business. Three are here:
//! `SqliteStore`, [`JsonStore`] and [`MemoryStore`].
//!
//! # What a store keeps of a job's standing
//!
//! A job is in exactly one of three places:
//!
//! * *fresh*: seeded and never looked at since. Fresh jobs are a range of ids, so ten million of them cost nothing.
//! * *placed*: it does not move: it ended, is parked, is delayed, or waits in a line that is longer than what memory
//!   holds. A side table lists placed jobs by `(status, state, ready at, commit number)`.
//! * *moving*: it is ready, and the engine has it in memory. The store keeps how many there are in each block of
//!   [`BLOCK`] ids, so that opening reads those blocks and nothing else.
use std::path::{Path, PathBuf};

use crate::{Error, Form, JobId, StateId, Status, Workflow};

mod batch;
mod boxed;
mod entry;
mod header;
mod joins;
mod json;
mod lock;
mod memory;
mod settle;
#[cfg(feature = "sqlite")]
mod sqlite;
pub(crate) mod steps;
mod story;
mod table;
mod transfer;

pub use batch::{Batch, Change, Committed, Lane, New, OnceKey, Record, Restored, Standing, Turn};
pub use header::{Counts, Fresh, Header, Learned, LimiterName, Numbers, Seeding};
pub(crate) use header::{key_name, named_key};
pub use json::JsonStore;
pub(crate) use lock::is_taken;
pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
pub use story::{Dropped, FIRST, Failure, LAST, Line, StateName, Story};
pub use transfer::{export, import};

/// Ids per block in which moving jobs are counted.
pub const BLOCK: u64 = 256;

/// Keeps one run. Only the engine calls it; implement it to keep runs elsewhere.
///
/// A store is used by one thread at a time. Every method either does all that it says or nothing.
pub trait Store<W: Workflow>: Send + 'static {
    /// In which form values are handed over.
    fn form(&self) -> Form;
    /// Calls touch the disk, so the engine makes them on a thread where that is no harm.
    fn blocks(&self) -> bool;
    /// The file, for messages.
    fn path(&self) -> &Path;
    /// Where the engine may keep a file of its own beside the run, named like it with this behind; nowhere if the run
    /// lives no longer than the process.
    fn beside(&self, suffix: &str) -> Option<PathBuf> {
        let _ = suffix;
        None
    }

    /// Opens the run, or makes a new one; with [`Access::Read`] a run that another process may be driving.
    /// Called once, before everything else.
    fn open(&mut self, access: Access) -> Result<Header<W>, Error>;
    /// Commits a batch: durable when it returns. Says which new jobs were refused, and which jobs have no child left to wait
    /// for.
    ///
    /// A batch says of a job that it [joins](Status::Joining), not when that is over: this is counted where the children are,
    /// in the transaction with which the last of them is done. Before a run is seeded, nothing is counted.
    fn commit(&mut self, batch: &Batch<W>) -> Result<Committed<W>, Error>;
    /// Throws all jobs away: the way back from a seeding that was cut.
    fn clear(&mut self) -> Result<(), Error>;
    /// Makes jobs that come from another store, as they are and with their past; none is fresh. They count as
    /// seeds: a crash before a batch says [`Seeding::Done`] leaves a run that is to be [cleared](Store::clear).
    ///
    /// As it is here, it goes by [`Store::commit`], and forgets how many moves and errors had been dropped.
    fn restore(&mut self, jobs: Vec<Restored<W>>) -> Result<(), Error> {
        transfer::restore(self, jobs)
    }
    /// Ends the use of the run, when all that was committed is to be left in its best shape.
    fn close(&mut self) -> Result<(), Error>;

    /// At most `most` jobs from `from` on, by id.
    fn page(&mut self, from: JobId, most: usize) -> Result<Vec<Record<W>>, Error>;
    /// All jobs that were moving when the run was last open.
    fn moving(&mut self) -> Result<Vec<Record<W>>, Error>;
    /// At most `most` placed jobs of this state, status and lane, in order, after `after`.
    fn line(
        &mut self,
        state: StateId<W>,
        status: Status,
        lane: &Lane,
        after: Option<Turn>,
        most: usize,
    ) -> Result<Vec<Record<W>>, Error>;
    /// The lanes in which placed jobs of this state and status stand, in order, after `after`; at most `most`.
    fn lanes(
        &mut self,
        state: StateId<W>,
        status: Status,
        after: Option<&Lane>,
        most: usize,
    ) -> Result<Vec<Lane>, Error>;
    /// One job.
    fn job(&mut self, id: JobId) -> Result<Option<Record<W>>, Error>;
    /// The `n`th kick of a job, if it was made.
    fn child(&mut self, parent: JobId, n: u64) -> Result<Option<JobId>, Error>;
    /// What happened to a job.
    fn story(&mut self, id: JobId) -> Result<Story, Error>;
    /// The newest error of a job.
    fn last_error(&mut self, id: JobId) -> Result<Option<Failure>, Error> {
        Ok(self.story(id)?.errors.pop())
    }
    /// The `once` key that a job was made with.
    fn once(&mut self, id: JobId) -> Result<Option<OnceKey<W>>, Error>;
}

/// Any store, for a program that chooses one while running.
pub type BoxStore<W> = Box<dyn Store<W>>;

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To change it: nobody else may.
    Drive,
    /// To look at it, also while another process changes it. There must be a run.
    Read,
}
