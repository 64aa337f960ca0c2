//! What happened to a job.
use std::{borrow::Cow, time::Duration};

use crate::{JobId, Timestamp};

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
    /// The attempt that succeeded, or the last one when the job moved because it had failed; 0 when an operator moved it.
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
