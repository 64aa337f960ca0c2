//! How the children of a job stand that waits for them, or has.
use std::{collections::BTreeMap, fmt, marker::PhantomData, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{State, StateId, Status, Workflow, store::StateName};

/// What a job waits for, or waited for before its step, as it is saved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// Parked children are done as well.
    #[serde(default, skip_serializing_if = "is_false")]
    pub or_parked: bool,
    /// Children that are not done.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left: u64,
    /// Children that ended, by state.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ended: BTreeMap<StateName, u64>,
    /// Children that are parked and done, by state.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parked: BTreeMap<StateName, u64>,
    /// Children that were cancelled, by state.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cancelled: BTreeMap<StateName, u64>,
}

impl Join {
    /// Before anything is counted.
    #[must_use]
    pub fn new(or_parked: bool) -> Self {
        Join { or_parked, ..Join::default() }
    }

    /// So many more children that stand so, or fewer.
    pub(crate) fn add<W: Workflow>(&mut self, state: StateId<W>, status: Status, n: i64) {
        let done = match status {
            Status::Ended => &mut self.ended,
            Status::Parked if self.or_parked => &mut self.parked,
            Status::Cancelled => &mut self.cancelled,
            Status::Ready | Status::Joining | Status::Parked => return change(&mut self.left, n),
        };
        // It may have been counted when the state had another name.
        let known = done.keys().find(|name| state.spec().is_called(name)).cloned();
        let name = known.unwrap_or_else(|| state.name().into());
        let jobs = done.entry(name.clone()).or_default();
        change(jobs, n);
        if *jobs == 0 {
            done.remove(&name);
        }
    }
}

fn change(count: &mut u64, n: i64) {
    *count = count.checked_add_signed(n).expect("no child leaves a place where it was not");
}

/// How the children of a job stood when it had waited for them: [`Cx::children`](crate::Cx::children).
///
/// They are those that the job kicked itself, in all of its life.
pub struct Children<W: Workflow> {
    join: Arc<Join>,
    of: PhantomData<fn() -> W>,
}

impl<W: Workflow> Children<W> {
    pub(crate) fn of(join: Option<Arc<Join>>) -> Self {
        Children { join: join.unwrap_or_default(), of: PhantomData }
    }

    /// No children: to start from in a unit test.
    #[must_use]
    pub fn none() -> Self {
        Children::of(None)
    }

    /// The same and so many that ended in state `S`, for unit tests.
    #[must_use]
    pub fn with_ended<S: State<Workflow = W>>(mut self, n: u64) -> Self {
        *Arc::make_mut(&mut self.join).ended.entry(S::NAME.into()).or_default() += n;
        self
    }

    /// The same and so many that are parked in state `S`, for unit tests.
    #[must_use]
    pub fn with_parked<S: State<Workflow = W>>(mut self, n: u64) -> Self {
        *Arc::make_mut(&mut self.join).parked.entry(S::NAME.into()).or_default() += n;
        self
    }

    /// The same and so many that were cancelled in state `S`, for unit tests.
    #[must_use]
    pub fn with_cancelled<S: State<Workflow = W>>(mut self, n: u64) -> Self {
        *Arc::make_mut(&mut self.join).cancelled.entry(S::NAME.into()).or_default() += n;
        self
    }

    /// How many ended in state `S`.
    #[must_use]
    pub fn ended_in<S: State<Workflow = W>>(&self) -> u64 {
        jobs_in::<S>(&self.join.ended)
    }

    /// How many were parked in state `S`: none, unless the job waited with
    /// [`when_children_done_or_parked`](crate::Next::when_children_done_or_parked).
    #[must_use]
    pub fn parked_in<S: State<Workflow = W>>(&self) -> u64 {
        jobs_in::<S>(&self.join.parked)
    }

    /// How many were cancelled in state `S`, by somebody or because their deadline had passed.
    #[must_use]
    pub fn cancelled_in<S: State<Workflow = W>>(&self) -> u64 {
        jobs_in::<S>(&self.join.cancelled)
    }

    /// How many ended, in whatever state.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.join.ended.values().sum()
    }

    /// How many were parked, in whatever state; as [`parked_in`](Children::parked_in).
    #[must_use]
    pub fn parked(&self) -> u64 {
        self.join.parked.values().sum()
    }

    /// How many were cancelled, in whatever state.
    #[must_use]
    pub fn cancelled(&self) -> u64 {
        self.join.cancelled.values().sum()
    }

    /// How many were not done: none, unless an operator let the job go on before they were.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.join.left
    }

    /// How many there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ended() + self.parked() + self.cancelled() + self.left()
    }

    pub(crate) fn into_join(self) -> Arc<Join> {
        self.join
    }
}

fn jobs_in<S: State>(counted: &BTreeMap<StateName, u64>) -> u64 {
    let Some(state) = StateId::<S::Workflow>::named(S::NAME) else { return 0 };
    counted.iter().filter(|(name, _)| state.spec().is_called(name)).map(|(_, jobs)| jobs).sum()
}

impl<W: Workflow> Clone for Children<W> {
    fn clone(&self) -> Self {
        Children { join: self.join.clone(), of: PhantomData }
    }
}

impl<W: Workflow> fmt::Debug for Children<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Join { left, ended, parked, cancelled, .. } = &*self.join;
        let mut children = f.debug_struct("Children");
        children.field("ended", ended).field("parked", parked).field("cancelled", cancelled);
        children.field("left", left).finish()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(yes: &bool) -> bool {
    !*yes
}
