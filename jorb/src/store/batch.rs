//! What is committed at once.
use std::{collections::BTreeMap, fmt, sync::Arc};

use uuid::Uuid;

use super::{Failure, Line, Numbers, Seeding, Story};
use super::{Learned, LimiterName};
use crate::reduce::cancelled;
use crate::{JobId, Saved, Snapshot, StateId, Status, Timestamp, Tuning, Workflow};

/// A job as a store has it.
pub struct Record<W: Workflow> {
    /// The job.
    pub job: Snapshot<W>,
    /// The commit that made it so. Together with `ready_at`: its turn.
    pub seq: u64,
    /// It is in the side table of jobs that do not move.
    pub placed: bool,
    /// Of the limiters of its state that are `keyed`: with which other jobs it stands in line, if it is ready.
    pub key: Option<Arc<str>>,
    /// The newest line of its history.
    pub last_line: Option<u64>,
    /// Its newest error.
    pub last_error: Option<u64>,
}

impl<W: Workflow> Clone for Record<W> {
    fn clone(&self) -> Self {
        Record { job: self.job.clone(), key: self.key.clone(), ..*self }
    }
}

impl<W: Workflow> Record<W> {
    /// Where it stands.
    #[must_use]
    pub fn standing(&self) -> Standing<W> {
        let Snapshot { state, status, .. } = self.job;
        Standing { state, status, lane: self.lane(), turn: self.turn(), placed: self.placed }
    }

    /// Who it stands in line with.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self.job.status {
            Status::Ready => Lane { priority: self.job.priority, key: self.key.clone() },
            _ => Lane::FIRST,
        }
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

/// Ready jobs of a state stand in a line for each priority and key; all others of a status in one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// As [`Snapshot::priority`].
    pub priority: i8,
    /// As [`Record::key`].
    pub key: Option<Arc<str>>,
}

impl Lane {
    /// Of jobs that have neither.
    pub const FIRST: Lane = Lane { priority: 0, key: None };
}

/// Where a job stands.
pub struct Standing<W: Workflow> {
    /// Its state.
    pub state: StateId<W>,
    /// Its status.
    pub status: Status,
    /// Its line.
    pub lane: Lane,
    /// Its turn.
    pub turn: Turn,
    /// It is in the side table.
    pub placed: bool,
}

impl<W: Workflow> Clone for Standing<W> {
    fn clone(&self) -> Self {
        Standing { lane: self.lane.clone(), ..*self }
    }
}

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
    /// For some limiters, when the next permit is due if none is left over; 0 for those that are to be forgotten.
    pub limiters: Vec<(LimiterName, Timestamp)>,
    /// What some adaptive rates learned.
    pub learned: Vec<(LimiterName, Learned)>,
    /// All that an operator has changed of limits, when that has changed.
    pub tuned: Option<Vec<(LimiterName, Tuning)>>,
    /// The states that an operator has stopped, when that has changed.
    pub held: Option<Vec<StateId<W>>>,
    /// The keys that an operator has stopped, and since when, when that has changed.
    pub held_keys: Option<BTreeMap<LimiterName, Timestamp>>,
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
            learned: Vec::new(),
            tuned: None,
            held: None,
            held_keys: None,
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
    pub now: Box<Record<W>>,
    /// A line of its history.
    pub line: Option<Line>,
    /// An error.
    pub error: Option<Box<Failure>>,
    /// Jobs that it kicked.
    pub kicks: Vec<New<W>>,
}

impl<W: Workflow> Change<W> {
    /// Somebody cancels a job, in the commit of this number.
    pub(crate) fn cancelling(record: Record<W>, now: Timestamp, seq: u64) -> Self {
        let before = record.standing();
        let job = cancelled(record.job, false, now).job;
        let now = Box::new(Record { job, seq, placed: true, ..record });
        Change { before, now, line: None, error: None, kicks: Vec::new() }
    }
}

/// A job to make, unless its `once` key is taken.
pub struct New<W: Workflow> {
    /// The job. While a run is seeded, new jobs are fresh; later ones are placed or moving.
    pub record: Record<W>,
    /// Unique for the record's state.
    pub once: Option<String>,
}

/// What came of a batch.
pub struct Committed<W: Workflow> {
    /// The new jobs that a `once` key kept from being made.
    pub refused: Vec<JobId>,
    /// The jobs whose [join](crate::Next::when_children_done) was over with it, as they are now: placed, and no longer joining
    /// but ready, or ended.
    pub fired: Vec<Record<W>>,
}

impl<W: Workflow> fmt::Debug for Committed<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Committed { refused, fired } = self;
        let fired: Vec<_> = fired.iter().map(|record| record.job.id).collect();
        f.debug_struct("Committed").field("refused", refused).field("fired", &fired).finish()
    }
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
