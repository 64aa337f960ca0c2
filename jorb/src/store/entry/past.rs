//! What happened to a job, between its JSON form and a store's.
use std::collections::BTreeMap;

use super::{DroppedEntry, ErrorEntry, Kicked, LineEntry, Millis, When};
use crate::store::{Dropped, Failure, Line, StateName, Story};

/// The links from each to the one before are made anew: only what is kept can be linked.
pub(super) fn story(
    history: Vec<LineEntry>,
    errors: BTreeMap<StateName, Vec<ErrorEntry>>,
    dropped: BTreeMap<StateName, DroppedEntry>,
) -> Story {
    let mut previous = None;
    let lines = history.into_iter().map(|line| {
        let id = line.id.unwrap_or(0);
        let previous = previous.replace(id);
        let Kicked { first, count } = line.kicked.unwrap_or(Kicked { first: None, count: 0 });
        Line {
            id,
            previous,
            step: line.step,
            attempt: line.attempt,
            from: line.from,
            to: line.to,
            at: line.at.0,
            waited: line.waited_ms.0,
            ran: line.ran_ms.0,
            first_child: first,
            children: count,
        }
    });
    let failure = |state: &StateName, entry: ErrorEntry| Failure {
        id: entry.id.unwrap_or(0),
        previous: None,
        state: state.clone(),
        step: entry.step,
        attempt: entry.attempt,
        at: entry.at.0,
        error: entry.error,
    };
    let of_state = |(state, errors): (StateName, Vec<_>)| {
        errors.into_iter().map(|error| failure(&state, error)).collect::<Vec<_>>()
    };
    let lines = lines.collect();
    let mut errors: Vec<_> = errors.into_iter().flat_map(of_state).collect();
    errors.sort_by_key(|error| error.id);
    let mut previous = None;
    for error in &mut errors {
        error.previous = previous.replace(error.id);
    }
    let dropped = dropped.into_iter().map(|(state, d)| Dropped { state, lines: d.lines, errors: d.errors });
    Story { lines, errors, dropped: dropped.collect() }
}

impl From<Line> for LineEntry {
    fn from(line: Line) -> Self {
        let kicked = Kicked { first: line.first_child, count: line.children };
        LineEntry {
            id: Some(line.id),
            step: line.step,
            attempt: line.attempt,
            from: line.from,
            to: line.to,
            at: When(line.at),
            waited_ms: Millis(line.waited),
            ran_ms: Millis(line.ran),
            kicked: (line.children > 0).then_some(kicked),
        }
    }
}

impl From<Failure> for ErrorEntry {
    fn from(Failure { id, step, attempt, at, error, .. }: Failure) -> Self {
        ErrorEntry { id: Some(id), at: When(at), step, attempt, error }
    }
}
