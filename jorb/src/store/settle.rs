//! From JSON to jobs: fills in what was left out, and finds what a person has changed.
use std::collections::{BTreeMap, HashSet};

use serde_json::value::RawValue;

use super::{
    Numbers, StateName,
    entry::{Entry, LineEntry, Millis, When},
    table::Row,
};
use crate::{JobId, StateId, Status, Timestamp, UnknownState, Workflow, nearest::nearest};

/// Gives numbers to what has none. What has one keeps it, so that no number is given twice.
pub(crate) struct Settle {
    /// The next numbers to give out.
    pub(crate) next: Numbers,
    /// Something was filled in or found changed: what was read is not what is now.
    pub(crate) changed: bool,
    now: Timestamp,
}

impl Settle {
    /// For entries of one run, which has given out numbers up to `next`.
    pub(crate) fn new(next: Numbers, now: Timestamp) -> Self {
        Settle { next, changed: false, now: now.max(next.time) }
    }

    /// Leaves behind all numbers that an entry has.
    pub(crate) fn note(&mut self, entry: &Entry) {
        let before = self.next;
        let Numbers { job, seq, line, error, .. } = &mut self.next;
        let behind =
            |next: &mut u64, n: Option<u64>| *next = (*next).max(n.map_or(0, |n| n.saturating_add(1)));
        behind(job, entry.id.map(|id| id.0));
        behind(seq, entry.seq);
        entry.history.iter().for_each(|l| behind(line, l.id));
        entry.errors.values().flatten().for_each(|e| behind(error, e.id));
        self.changed |= before != self.next;
    }

    /// Gives new numbers to all that happened to a job: those of another run mean nothing in this one.
    pub(crate) fn renumber(&mut self, entry: &mut Entry) {
        let Numbers { line, error, .. } = &mut self.next;
        for (l, id) in entry.history.iter_mut().zip(*line..) {
            l.id = Some(id);
        }
        let mut errors: Vec<_> = entry.errors.values_mut().flatten().collect();
        errors.sort_by_key(|e| (e.id.unwrap_or(u64::MAX), e.at.0));
        for (e, id) in errors.iter_mut().zip(*error..) {
            e.id = Some(id);
        }
        *line += entry.history.len() as u64;
        *error += entry.errors.values().flatten().count() as u64;
    }

    /// Makes a job of an entry whose numbers were [noted](Settle::note); gives the name of its state if it is
    /// unknown.
    pub(crate) fn job<W: Workflow>(&mut self, mut entry: Entry) -> Result<Row<W>, StateName> {
        let Some(state) = StateId::<W>::named(&entry.state) else {
            return Err(entry.state);
        };
        self.number(&mut entry);
        if let Some(from) = edited(&entry, state) {
            self.moved_by_hand(&mut entry, from, state);
        }
        let status = match (state.spec().terminal(), entry.status) {
            (_, Some(stays @ (Status::Joining | Status::Cancelled))) => stays,
            (true, _) => Status::Ended,
            (false, Some(Status::Parked)) => Status::Parked,
            (false, _) => Status::Ready,
        };
        self.changed |= entry.status != Some(status) || entry.ready_at.is_none();
        if entry.status.is_some_and(|before| before != status) {
            entry.ready_at = None;
            entry.delay_ms = Millis::default();
            entry.placed = false;
        }
        entry.status = Some(status);
        entry.ready_at.get_or_insert(When(self.now));
        let (record, story, once) = entry.into_parts(state);
        Ok(Row::new(record, once).with(story))
    }

    fn number(&mut self, entry: &mut Entry) {
        let mut give = |number: &mut Option<u64>, next: &mut u64| {
            if number.is_none() {
                *number = Some(*next);
                *next += 1;
                self.changed = true;
            }
        };
        let Numbers { job, seq, line, error, .. } = &mut self.next;
        let mut id = entry.id.map(|id| id.0);
        give(&mut id, job);
        entry.id = id.map(JobId);
        give(&mut entry.seq, seq);
        entry.history.iter_mut().for_each(|l| give(&mut l.id, line));
        let mut unnumbered: Vec<_> = entry.errors.values_mut().flatten().collect();
        unnumbered.sort_by_key(|e| e.at.0);
        for unnumbered in unnumbered {
            give(&mut unnumbered.id, error);
        }
    }

    /// Somebody has replaced the state in the document: the same as a move by an operator.
    fn moved_by_hand<W: Workflow>(&mut self, entry: &mut Entry, from: StateName, to: StateId<W>) {
        entry.history.push(LineEntry {
            id: Some(self.next.line),
            step: entry.step,
            attempt: 0,
            from,
            to: to.name().into(),
            at: When(self.now),
            waited_ms: Millis::default(),
            ran_ms: Millis::default(),
            kicked: None,
        });
        // The fields were those of another state; most often, the new one has none.
        let fits = |data: Option<&str>| matches!(W::load(to.name(), data), Some(Ok(_)));
        if !fits(entry.data.as_deref().map(RawValue::get)) && fits(None) {
            entry.data = None;
        }
        entry.step += 1;
        entry.attempt = 1;
        entry.began = None;
        entry.deadline.take_if(|When(deadline)| *deadline <= self.now);
        entry.status = None;
        entry.children = None;
        entry.placed = false;
        entry.ready_at = None;
        entry.delay_ms = Millis::default();
        entry.seq = Some(self.next.seq);
        self.next.line += 1;
        self.next.seq += 1;
        self.changed = true;
    }
}

/// The state in which the job was, if that is not the one that it is said to be in.
///
/// Its last move led to its state, and since then it had errors only there.
fn edited<W: Workflow>(entry: &Entry, state: StateId<W>) -> Option<StateName> {
    let of_last_error = || {
        let newest = |(_, errors): &(_, &Vec<super::entry::ErrorEntry>)| errors.iter().map(|e| e.id).max();
        entry.errors.iter().max_by_key(newest).map(|(state, _)| state)
    };
    let before = entry.history.last().map(|line| &line.to).or_else(of_last_error)?;
    (!state.spec().is_called(before)).then(|| before.clone())
}

/// States that no variant is called by, for [`Error::UnknownStates`](crate::Error::UnknownStates).
pub(crate) fn unknown<W: Workflow>(names: BTreeMap<StateName, u64>) -> Vec<UnknownState> {
    let known = || W::STATES.iter().map(|state| state.name);
    let state = |(name, jobs): (StateName, u64)| {
        let nearest = nearest(&name, known());
        UnknownState { name: name.into_owned(), jobs, nearest }
    };
    names.into_iter().map(state).collect()
}

/// Makes sure that no kick of a job that is there gets a name again.
pub(crate) fn kicks_are_counted<W: Workflow>(rows: &mut BTreeMap<JobId, Row<W>>) -> bool {
    let parents: Vec<_> = rows.values().filter_map(|row| row.record.job.parent).collect();
    let mut changed = false;
    for (parent, n) in parents {
        if let Some(parent) = rows.get_mut(&parent)
            && parent.record.job.kicked <= n
        {
            parent.record.job.kicked = n.saturating_add(1);
            changed = true;
        }
    }
    changed
}

/// The number that two entries have.
pub(crate) fn twice(entries: &[Entry]) -> Option<JobId> {
    let mut seen = HashSet::new();
    entries.iter().filter_map(|entry| entry.id).find(|id| !seen.insert(*id))
}
