//! What is saved of a job.
use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Join, Saved, StateSpec, Timestamp, Workflow};

/// A job between two steps: all of it that a store keeps, but for its history and errors.
pub struct Snapshot<W: Workflow> {
    /// The job's number in its run.
    pub id: JobId,
    /// The job that kicked it, and the how manyth of that job's kicks it is (from 0).
    pub parent: Option<(JobId, u64)>,
    /// Moves so far.
    pub step: u64,
    /// Attempt of the next step, from 1.
    pub attempt: u32,
    /// When the first attempt of the next step began, once there was one.
    pub began: Option<Timestamp>,
    /// Errors so far, in all states.
    pub errors: u64,
    /// Jobs kicked so far: the next kick gets this number.
    pub kicked: u64,
    /// The state it is in.
    pub state: StateId<W>,
    /// The state's fields.
    pub data: Saved<W>,
    /// The job context.
    pub context: Saved<W::Job>,
    /// Of ready jobs of a state, those of a higher priority start first.
    pub priority: i8,
    /// How it stands.
    pub status: Status,
    /// When the next step may start; of a job that does not move, since when.
    pub ready_at: Timestamp,
    /// The delay that `ready_at` was computed with: on opening, what remains of it is at most this.
    pub delay: Duration,
    /// When it is cancelled if it has not ended by then.
    pub deadline: Option<Timestamp>,
    /// What it waits for; once that is over, until its next move, how its children stood then.
    pub join: Option<Arc<Join>>,
}

impl<W: Workflow> Clone for Snapshot<W> {
    fn clone(&self) -> Self {
        Snapshot { data: self.data.clone(), context: self.context.clone(), join: self.join.clone(), ..*self }
    }
}

impl<W: Workflow> Snapshot<W> {
    /// The job; what stays has neither state data nor context.
    pub(crate) fn take(&mut self) -> Self {
        let join = self.join.take();
        let rest = Snapshot { data: Saved::Nothing, context: Saved::Nothing, join: None, ..*self };
        Snapshot { join, ..std::mem::replace(self, rest) }
    }
}

/// How a job stands, as it is stored.
///
/// Two more words are used where jobs are shown: a ready job whose time has not come is *delayed*, one whose state
/// an operator has stopped is *held*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Has a step to make, now or later.
    Ready,
    /// Failed for good; stays in its state until somebody redrives it.
    Parked,
    /// In a terminal state.
    Ended,
    /// Nobody wants it any more; stays in its state unless somebody redrives it.
    Cancelled,
    /// Waits for its children.
    Joining,
}

impl Status {
    /// All of them, in the order of their numbers in a store.
    pub const ALL: [Status; 5] =
        [Status::Ready, Status::Parked, Status::Ended, Status::Cancelled, Status::Joining];

    /// It has not ended, and was not cancelled before.
    pub(crate) fn can_be_cancelled(self) -> bool {
        matches!(self, Status::Ready | Status::Parked | Status::Joining)
    }

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Status::Ready => "ready",
            Status::Parked => "parked",
            Status::Ended => "ended",
            Status::Cancelled => "cancelled",
            Status::Joining => "joining",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A job's number in its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A state of workflow `W`: its place in [`Workflow::STATES`]. Good for one process only; what is stored is the name.
pub struct StateId<W: Workflow>(u16, std::marker::PhantomData<fn() -> W>);

impl<W: Workflow> StateId<W> {
    /// The state that `state` is.
    #[must_use]
    pub fn of(state: &W) -> Self {
        StateId::at(state.index())
    }

    /// The state of this name, or the one that used to have it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        W::STATES.iter().position(|s| s.is_called(name)).map(StateId::at)
    }

    /// Every state, in declaration order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..W::STATES.len()).map(StateId::at)
    }

    /// What is known of it.
    #[must_use]
    pub fn spec(self) -> &'static StateSpec {
        &W::STATES[self.index()]
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// Its place in [`Workflow::STATES`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0.into()
    }

    pub(crate) fn at(index: usize) -> Self {
        StateId(u16::try_from(index).expect("no enum has more variants"), std::marker::PhantomData)
    }
}

impl<W: Workflow> Clone for StateId<W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W: Workflow> Copy for StateId<W> {}

impl<W: Workflow> PartialEq for StateId<W> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<W: Workflow> Eq for StateId<W> {}

impl<W: Workflow> fmt::Debug for StateId<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
