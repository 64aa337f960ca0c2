//! One job in memory, with as much of its past as is kept.
use std::{collections::VecDeque, sync::Arc};

use crate::{
    StateId, Workflow,
    store::{Dropped, FIRST, Failure, LAST, Line, New, OnceKey, Record, Restored, StateName, Story},
};

/// One job.
pub(crate) struct Row<W: Workflow> {
    pub(crate) record: Record<W>,
    pub(crate) once: Option<Once>,
    pub(crate) lines: Kept<Line>,
    pub(crate) errors: Kept<Failure>,
}

/// The `once` key that a job was made with. The state is kept by name: the program may not have it any more.
#[derive(Debug, Clone)]
pub(crate) struct Once {
    pub(crate) state: StateName,
    pub(crate) key: Arc<str>,
}

impl Once {
    /// Of a job that is made in this state.
    pub(crate) fn of<W: Workflow>(New { record, once }: &New<W>) -> Option<Self> {
        once.as_deref().map(|key| Once { state: record.job.state.name().into(), key: key.into() })
    }
}

impl Once {
    /// With the state as this program has it.
    pub(crate) fn known<W: Workflow>(&self) -> Option<OnceKey<W>> {
        Some(OnceKey { state: StateId::named(&self.state)?, key: self.key.to_string() })
    }
}

impl<W: Workflow> From<&OnceKey<W>> for Once {
    fn from(OnceKey { state, key }: &OnceKey<W>) -> Self {
        Once { state: state.name().into(), key: key.as_str().into() }
    }
}

impl<W: Workflow> From<Restored<W>> for Row<W> {
    fn from(Restored { record, story, once }: Restored<W>) -> Self {
        Row::new(record, once.as_ref().map(Once::from)).with(story)
    }
}

impl<W: Workflow> Row<W> {
    /// A job without a past.
    pub(crate) fn new(record: Record<W>, once: Option<Once>) -> Self {
        Row { record, once, lines: Kept::new(), errors: Kept::new() }
    }

    /// Adds what happened to it so far.
    pub(crate) fn with(mut self, Story { lines, errors, dropped }: Story) -> Self {
        self.lines.extend(lines);
        self.errors.extend(errors);
        for Dropped { state, lines, errors } in dropped {
            self.lines.drop_more(&state, lines);
            self.errors.drop_more(&state, errors);
        }
        self
    }

    /// What happened to it.
    pub(crate) fn story(&self) -> Story {
        story(&self.lines, &self.errors)
    }
}

/// What is kept of moves and errors.
pub(crate) fn story(lines: &Kept<Line>, errors: &Kept<Failure>) -> Story {
    let mut dropped = Vec::new();
    for (state, n) in &lines.dropped {
        of(state, &mut dropped).lines = *n;
    }
    for (state, n) in &errors.dropped {
        of(state, &mut dropped).errors = *n;
    }
    Story { lines: lines.iter().cloned().collect(), errors: errors.iter().cloned().collect(), dropped }
}

fn of<'a>(state: &StateName, dropped: &'a mut Vec<Dropped>) -> &'a mut Dropped {
    let i = dropped.iter().position(|d| d.state == *state).unwrap_or_else(|| {
        dropped.push(Dropped { state: state.clone(), lines: 0, errors: 0 });
        dropped.len() - 1
    });
    &mut dropped[i]
}

impl Story {
    /// Of a job to which nothing happened.
    pub(crate) fn nothing() -> Self {
        Story { lines: Vec::new(), errors: Vec::new(), dropped: Vec::new() }
    }
}

/// The first and the last of a list that may grow without end, and how many in between were dropped.
pub(crate) struct Kept<T> {
    first: Vec<T>,
    last: VecDeque<T>,
    dropped: Vec<(StateName, u64)>,
}

impl<T: OfState> Kept<T> {
    fn new() -> Self {
        Kept { first: Vec::new(), last: VecDeque::new(), dropped: Vec::new() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.last)
    }

    fn push(&mut self, new: T) {
        if self.first.len() < FIRST && self.last.is_empty() {
            self.first.push(new);
            return;
        }
        if self.last.len() == LAST {
            let old = self.last.pop_front().expect("it is full");
            self.drop_more(old.state(), 1);
        }
        self.last.push_back(new);
    }

    fn drop_more(&mut self, state: &StateName, n: u64) {
        match self.dropped.iter_mut().find(|(s, _)| s == state) {
            Some((_, dropped)) => *dropped += n,
            None if n == 0 => {}
            None => self.dropped.push((state.clone(), n)),
        }
    }
}

impl<T: OfState> Extend<T> for Kept<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, new: I) {
        for new in new {
            self.push(new);
        }
    }
}

/// A thing that happened in a state.
pub(crate) trait OfState {
    fn state(&self) -> &StateName;
}

impl OfState for Line {
    fn state(&self) -> &StateName {
        &self.from
    }
}

impl OfState for Failure {
    fn state(&self) -> &StateName {
        &self.state
    }
}
