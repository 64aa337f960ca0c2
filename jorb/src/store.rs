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
use std::{borrow::Cow, path::Path, time::Duration};

use uuid::Uuid;

use crate::{Error, Form, JobId, Saved, Snapshot, StateId, Status, Timestamp, Workflow};

mod entry;
mod json;
mod lock;
mod memory;
mod settle;
#[cfg(feature = "sqlite")]
mod sqlite;
mod table;
mod transfer;

pub use json::JsonStore;
pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
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

    /// Opens the run, or makes a new one; with [`Access::Read`] a run that another process may be driving.
    /// Called once, before everything else.
    fn open(&mut self, access: Access) -> Result<Header<W>, Error>;
    /// Commits a batch: durable when it returns. Gives the ids of the new jobs that a `once` key kept from being
    /// made.
    fn commit(&mut self, batch: &Batch<W>) -> Result<Vec<JobId>, Error>;
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
    /// At most `most` placed jobs of this state and status, in order, after `after`.
    fn line(
        &mut self,
        state: StateId<W>,
        status: Status,
        after: Option<Turn>,
        most: usize,
    ) -> Result<Vec<Record<W>>, Error>;
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

/// Any store.
pub type BoxStore<W> = Box<dyn Store<W>>;

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To change it: nobody else may.
    Drive,
    /// To look at it, also while another process changes it. There must be a run.
    Read,
}

/// What a store knows of a run as a whole.
pub struct Header<W: Workflow> {
    /// The run's identity.
    pub run: Uuid,
    /// When it was made.
    pub created: Timestamp,
    /// The overall context; nothing while the run is unseeded.
    pub overall: Option<Saved<W::Overall>>,
    /// How far seeding got.
    pub seeding: Seeding,
    /// The next numbers to give out.
    pub next: Numbers,
    /// Jobs that were seeded and not looked at since.
    pub fresh: Fresh,
    /// Jobs by state and status.
    pub counts: Counts,
    /// States that an operator has stopped.
    pub held: Vec<StateId<W>>,
    /// For each limiter that was saved, when its next permit is due if none is left over.
    pub limiters: Vec<(StateId<W>, Timestamp)>,
    /// The limiters were saved by a clean stop: what they say is exact.
    pub clean: bool,
}

impl<W: Workflow> Header<W> {
    /// Of a run without jobs.
    #[must_use]
    pub fn new(run: Uuid, created: Timestamp) -> Self {
        let states = W::STATES.len();
        Header {
            run,
            created,
            overall: None,
            seeding: Seeding::No,
            next: Numbers::FIRST,
            fresh: Fresh { next: 0, end: 0, by_state: vec![0; states] },
            counts: Counts::none(states),
            held: Vec::new(),
            limiters: Vec::new(),
            clean: true,
        }
    }
}

impl<W: Workflow> Header<W> {
    /// The time, outside of a processor: never before the last commit.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now().max(self.next.time)
    }
}

impl<W: Workflow> Clone for Header<W> {
    fn clone(&self) -> Self {
        Header {
            overall: self.overall.clone(),
            fresh: self.fresh.clone(),
            counts: self.counts.clone(),
            held: self.held.clone(),
            limiters: self.limiters.clone(),
            ..*self
        }
    }
}

/// How far seeding got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seeding {
    /// Not begun, or cut by a crash.
    No,
    /// Under way.
    Begun,
    /// All seeds are in.
    Done,
}

/// Numbers that are given out once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Numbers {
    /// Of jobs.
    pub job: u64,
    /// Of commits of jobs: orders jobs of the same time.
    pub seq: u64,
    /// Of history lines.
    pub line: u64,
    /// Of errors.
    pub error: u64,
    /// Not a number, but as them never given out smaller: the time of the last commit. A clock that was set back
    /// since then is not believed.
    #[serde(default)]
    pub time: Timestamp,
}

impl Numbers {
    /// Of a new run.
    pub const FIRST: Numbers = Numbers { job: 0, seq: 1, line: 1, error: 1, time: Timestamp(0) };
}

/// The range of fresh jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// The first of them.
    pub next: u64,
    /// Behind the last of them.
    pub end: u64,
    /// How many there are of each state, by its place in [`Workflow::STATES`].
    pub by_state: Vec<u64>,
}

/// Jobs by state and status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts(Vec<[u64; Status::ALL.len()]>);

impl Counts {
    /// None, of a workflow with so many states.
    #[must_use]
    pub fn none(states: usize) -> Self {
        Counts(vec![[0; Status::ALL.len()]; states])
    }

    /// How many.
    #[must_use]
    pub fn get<W: Workflow>(&self, state: StateId<W>, status: Status) -> u64 {
        self.0[state.index()][status as usize]
    }

    /// One more, or one less.
    ///
    /// # Panics
    /// When a job leaves a place where none was: a bug in whoever counts.
    pub fn add<W: Workflow>(&mut self, state: StateId<W>, status: Status, n: i64) {
        let count = &mut self.0[state.index()][status as usize];
        *count = count.checked_add_signed(n).expect("no job leaves a place where it was not");
    }

    /// Of one status, in all states.
    #[must_use]
    pub fn of(&self, status: Status) -> u64 {
        self.0.iter().map(|by_status| by_status[status as usize]).sum()
    }

    /// All jobs.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().flatten().sum()
    }
}

/// A job as a store has it.
pub struct Record<W: Workflow> {
    /// The job.
    pub job: Snapshot<W>,
    /// The commit that made it so. Together with `ready_at`: its turn.
    pub seq: u64,
    /// It is in the side table of jobs that do not move.
    pub placed: bool,
    /// The newest line of its history.
    pub last_line: Option<u64>,
    /// Its newest error.
    pub last_error: Option<u64>,
}

impl<W: Workflow> Clone for Record<W> {
    fn clone(&self) -> Self {
        Record { job: self.job.clone(), ..*self }
    }
}

impl<W: Workflow> Record<W> {
    /// Where it stands.
    #[must_use]
    pub fn standing(&self) -> Standing<W> {
        let Snapshot { state, status, .. } = self.job;
        Standing { state, status, turn: self.turn(), placed: self.placed }
    }

    /// Its turn among the jobs of its state and status.
    #[must_use]
    pub fn turn(&self) -> Turn {
        Turn { ready_at: self.job.ready_at, seq: self.seq }
    }
}

/// The order in which jobs of a state start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    /// When it may start, or since when it stands still.
    pub ready_at: Timestamp,
    /// The commit that said so.
    pub seq: u64,
}

/// Where a job stands.
pub struct Standing<W: Workflow> {
    /// Its state.
    pub state: StateId<W>,
    /// Its status.
    pub status: Status,
    /// Its turn.
    pub turn: Turn,
    /// It is in the side table.
    pub placed: bool,
}

impl<W: Workflow> Clone for Standing<W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W: Workflow> Copy for Standing<W> {}

/// What is committed at once.
pub struct Batch<W: Workflow> {
    /// Steps that ended, and what an operator did to jobs, in order.
    pub changes: Vec<Change<W>>,
    /// New jobs without a parent.
    pub added: Vec<New<W>>,
    /// Fresh jobs that are fresh no longer but moving, in order of their ids, which follow each other but for
    /// holes.
    pub admitted: Vec<(JobId, StateId<W>)>,
    /// The next numbers to give out.
    pub next: Numbers,
    /// For some limiters, when the next permit is due if none is left over.
    pub limiters: Vec<(StateId<W>, Timestamp)>,
    /// The states that an operator has stopped, when that has changed.
    pub held: Option<Vec<StateId<W>>>,
    /// A new overall context.
    pub overall: Option<Saved<W::Overall>>,
    /// Seeding got further.
    pub seeding: Option<Seeding>,
    /// The run takes the identity of the one that was imported.
    pub identity: Option<(Uuid, Timestamp)>,
    /// The run stops cleanly, or (`false`) is driven again.
    pub clean: Option<bool>,
}

impl<W: Workflow> Batch<W> {
    /// Nothing yet.
    #[must_use]
    pub fn new(next: Numbers) -> Self {
        Batch {
            changes: Vec::new(),
            added: Vec::new(),
            admitted: Vec::new(),
            next,
            limiters: Vec::new(),
            held: None,
            overall: None,
            seeding: None,
            identity: None,
            clean: None,
        }
    }
}

/// What a step, or an operator, makes of one job.
pub struct Change<W: Workflow> {
    /// Where the job stood.
    pub before: Standing<W>,
    /// The job now.
    pub now: Record<W>,
    /// A line of its history.
    pub line: Option<Line>,
    /// An error.
    pub error: Option<Failure>,
    /// Jobs that it kicked.
    pub kicks: Vec<New<W>>,
}

/// A job to make, unless its `once` key is taken.
pub struct New<W: Workflow> {
    /// The job. While a run is seeded, new jobs are fresh; later ones are placed or moving.
    pub record: Record<W>,
    /// Unique for the record's state.
    pub once: Option<String>,
}

/// A job that comes from another store.
pub struct Restored<W: Workflow> {
    /// The job; it is placed, whatever its status.
    pub record: Record<W>,
    /// What happened to it.
    pub story: Story,
    /// The `once` key that it was made with.
    pub once: Option<OnceKey<W>>,
}

/// A `once` key: unique per state in which the job was made.
pub struct OnceKey<W: Workflow> {
    /// In which state it was made.
    pub state: StateId<W>,
    /// The key.
    pub key: String,
}

/// A state by name, in what is told of the past: the program may not have it any more.
pub type StateName = Cow<'static, str>;

/// A line of a job's history: one move.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its number.
    pub id: u64,
    /// The line before it.
    pub previous: Option<u64>,
    /// Number of the step that ended.
    pub step: u64,
    /// The attempt that succeeded; 0 when an operator moved the job.
    pub attempt: u32,
    /// State it ran in.
    pub from: StateName,
    /// State it led to.
    pub to: StateName,
    /// When it was committed.
    pub at: Timestamp,
    /// How long the job waited since it could have started.
    pub waited: Duration,
    /// How long the last attempt ran.
    pub ran: Duration,
    /// The jobs that it kicked have ids from here on.
    pub first_child: Option<JobId>,
    /// How many it kicked, those included that a `once` key kept from being made.
    pub children: u64,
}

/// An error of a job.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Its number.
    pub id: u64,
    /// The error before it.
    pub previous: Option<u64>,
    /// In which state.
    pub state: StateName,
    /// In which step.
    pub step: u64,
    /// On which attempt.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
    /// What.
    pub error: String,
}

/// What happened to a job: the first [`FIRST`] and the last [`LAST`] moves and errors; all in between are counted.
#[derive(Debug, Clone)]
pub struct Story {
    /// Moves, oldest first.
    pub lines: Vec<Line>,
    /// Errors, oldest first.
    pub errors: Vec<Failure>,
    /// Per state, moves and errors that are no longer kept.
    pub dropped: Vec<Dropped>,
}

/// What is no longer kept of one state of a job.
#[derive(Debug, Clone)]
pub struct Dropped {
    /// The state.
    pub state: StateName,
    /// Moves out of it.
    pub lines: u64,
    /// Errors in it.
    pub errors: u64,
}

/// So many of a job's first moves, and errors, are kept.
pub const FIRST: usize = 8;
/// So many of a job's last moves, and errors, are kept.
pub const LAST: usize = 64;
