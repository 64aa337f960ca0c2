//! A run in memory: what [`MemoryStore`](super::MemoryStore) is, and what a JSON document is while it is open.
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use uuid::Uuid;

use super::{
    Batch, Change, Counts, Fresh, Header, New, Numbers, OnceKey, Record, Seeding, Standing, Story, Turn,
};
use crate::{JobId, StateId, Status, Timestamp, Workflow};

pub(crate) use row::{Once, Row};

mod row;

/// All jobs of a run, and the side tables that make each lookup cheap. No change looks at more than the jobs that it
/// changes.
pub(crate) struct Table<W: Workflow> {
    head: Header<W>,
    jobs: BTreeMap<JobId, Row<W>>,
    places: BTreeSet<Place>,
    children: BTreeMap<(JobId, u64), JobId>,
    /// By the state in which the job was made.
    once: Vec<HashSet<Arc<str>>>,
}

/// A placed job: status, state, turn, and the job itself.
type Place = (Status, usize, Turn, JobId);

impl<W: Workflow> Table<W> {
    /// A run without jobs.
    pub(crate) fn new(run: Uuid, created: Timestamp) -> Self {
        Table::from_rows(
            Header {
                run,
                created,
                overall: None,
                seeding: Seeding::No,
                next: Numbers::FIRST,
                fresh: Fresh { next: 0, end: 0, by_state: Vec::new() },
                counts: Counts::none(0),
                held: Vec::new(),
                limiters: Vec::new(),
                clean: false,
            },
            [],
        )
    }

    /// A run with these jobs. What the header says of them is counted anew, but for the ends of the fresh range.
    pub(crate) fn from_rows(mut head: Header<W>, rows: impl IntoIterator<Item = Row<W>>) -> Self {
        head.counts = Counts::none(W::STATES.len());
        head.fresh.by_state = vec![0; W::STATES.len()];
        let mut table = Table {
            head,
            jobs: BTreeMap::new(),
            places: BTreeSet::new(),
            children: BTreeMap::new(),
            once: W::STATES.iter().map(|_| HashSet::new()).collect(),
        };
        for row in rows {
            table.add(row);
        }
        table
    }

    /// Makes all that a batch says so. Gives the new jobs that a `once` key kept from being made.
    pub(crate) fn apply(&mut self, batch: &Batch<W>) -> Vec<JobId> {
        let seeding = self.head.seeding != Seeding::Done;
        let mut refused = Vec::new();
        for &(id, _) in &batch.admitted {
            self.admit(id);
        }
        for change in &batch.changes {
            self.change(change);
            refused.extend(change.kicks.iter().filter_map(|kick| self.make(kick, false)));
        }
        refused.extend(batch.added.iter().filter_map(|new| self.make(new, seeding)));
        let head = &mut self.head;
        head.next = batch.next;
        for &(state, at) in &batch.limiters {
            match head.limiters.iter_mut().find(|(s, _)| *s == state) {
                Some(limiter) => limiter.1 = at,
                None => head.limiters.push((state, at)),
            }
        }
        if let Some(held) = &batch.held {
            head.held.clone_from(held);
        }
        if let Some(overall) = &batch.overall {
            head.overall = Some(overall.clone());
        }
        head.seeding = batch.seeding.unwrap_or(head.seeding);
        head.clean = batch.clean.unwrap_or(head.clean);
        refused
    }

    /// What [`Table::apply`] would give, without changing anything.
    pub(crate) fn refused(&self, batch: &Batch<W>) -> Vec<JobId> {
        let mut taken = HashSet::new();
        let mut refused = Vec::new();
        let kicks = batch.changes.iter().flat_map(|change| &change.kicks);
        for New { record, once } in kicks.chain(&batch.added) {
            let state = record.job.state.index();
            let Some(key) = once.as_deref() else { continue };
            if self.once[state].contains(key) || !taken.insert((state, key)) {
                refused.push(record.job.id);
            }
        }
        refused
    }

    /// Puts a job as it is into the run: one that was saved, or comes from another store.
    pub(crate) fn add(&mut self, row: Row<W>) {
        let Record { ref job, .. } = row.record;
        if let Some((parent, n)) = job.parent {
            self.children.insert((parent, n), job.id);
        }
        if let Some(Once { state, key }) = &row.once
            && let Some(state) = StateId::<W>::named(state)
        {
            self.once[state.index()].insert(key.clone());
        }
        self.stand(job.id, row.record.standing(), 1);
        let twice = self.jobs.insert(job.id, row);
        debug_assert!(twice.is_none(), "a job is made once");
    }

    /// Throws all jobs away.
    pub(crate) fn clear(&mut self) {
        let Header { run, created, ref held, ref limiters, .. } = self.head;
        let (held, limiters) = (held.clone(), limiters.clone());
        *self = Table::new(run, created);
        self.head.held = held;
        self.head.limiters = limiters;
    }

    pub(crate) fn header(&self) -> Header<W> {
        let Header { overall, fresh, counts, held, limiters, .. } = &self.head;
        Header {
            overall: overall.clone(),
            fresh: fresh.clone(),
            counts: counts.clone(),
            held: held.clone(),
            limiters: limiters.clone(),
            ..self.head
        }
    }

    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = &Row<W>> {
        self.jobs.values()
    }

    pub(crate) fn page(&self, from: JobId, most: usize) -> Vec<Record<W>> {
        self.jobs.range(from..).take(most).map(|(_, row)| row.record.clone()).collect()
    }

    pub(crate) fn moving(&self) -> Vec<Record<W>> {
        let moving = |record: &&Record<W>| !record.placed && !self.in_fresh_range(record.job.id);
        self.jobs.values().map(|row| &row.record).filter(moving).cloned().collect()
    }

    pub(crate) fn line(
        &self,
        state: StateId<W>,
        status: Status,
        after: Option<Turn>,
        most: usize,
    ) -> Vec<Record<W>> {
        let state = state.index();
        let nobody = JobId(u64::MAX);
        let end = Turn { ready_at: Timestamp(u64::MAX), seq: u64::MAX };
        let line = match after {
            // No job has the number `nobody`, so this is behind all of that turn.
            Some(after) => self.places.range((status, state, after, nobody)..=(status, state, end, nobody)),
            None => {
                let start = Turn { ready_at: Timestamp(0), seq: 0 };
                self.places.range((status, state, start, JobId(0))..=(status, state, end, nobody))
            }
        };
        line.take(most).map(|(.., id)| self.jobs[id].record.clone()).collect()
    }

    pub(crate) fn job(&self, id: JobId) -> Option<Record<W>> {
        self.jobs.get(&id).map(|row| row.record.clone())
    }

    pub(crate) fn child(&self, parent: JobId, n: u64) -> Option<JobId> {
        self.children.get(&(parent, n)).copied()
    }

    pub(crate) fn story(&self, id: JobId) -> Story {
        self.jobs.get(&id).map(Row::story).unwrap_or_else(Story::nothing)
    }

    pub(crate) fn once(&self, id: JobId) -> Option<OnceKey<W>> {
        let Once { state, key } = self.jobs.get(&id)?.once.as_ref()?;
        Some(OnceKey { state: StateId::named(state)?, key: key.to_string() })
    }

    fn admit(&mut self, id: JobId) {
        let at = self.jobs[&id].record.standing();
        self.stand(id, at, -1);
        self.head.fresh.next = id.0 + 1;
        self.stand(id, at, 1);
    }

    fn change(&mut self, Change { now, line, error, .. }: &Change<W>) {
        let id = now.job.id;
        let row = self.jobs.get_mut(&id).expect("a job is made before it is changed");
        let before = row.record.standing();
        row.record = now.clone();
        row.lines.extend(line.clone());
        row.errors.extend(error.clone());
        self.stand(id, before, -1);
        self.stand(id, now.standing(), 1);
    }

    /// Gives the job's number if its `once` key is taken.
    fn make(&mut self, new: &New<W>, fresh: bool) -> Option<JobId> {
        let Record { job, placed, .. } = &new.record;
        let once = new.once.as_deref().map(|key| Once { state: job.state.name().into(), key: key.into() });
        if once.as_ref().is_some_and(|once| self.once[job.state.index()].contains(&once.key)) {
            return Some(job.id);
        }
        if fresh && !placed {
            let range = &mut self.head.fresh;
            if range.next == range.end {
                range.next = job.id.0;
            }
            range.end = job.id.0 + 1;
        }
        self.add(Row::new(new.record.clone(), once));
        None
    }

    /// One more job that stands there, or one less.
    fn stand(&mut self, id: JobId, at: Standing<W>, n: i64) {
        self.head.counts.add(at.state, at.status, n);
        let place = (at.status, at.state.index(), at.turn, id);
        if at.placed && n > 0 {
            self.places.insert(place);
        } else if at.placed {
            self.places.remove(&place);
        } else if self.in_fresh_range(id) {
            let fresh = &mut self.head.fresh.by_state[at.state.index()];
            *fresh = fresh.checked_add_signed(n).expect("a fresh job is counted once");
        }
    }

    fn in_fresh_range(&self, id: JobId) -> bool {
        (self.head.fresh.next..self.head.fresh.end).contains(&id.0)
    }
}
