//! A run in memory: what [`MemoryStore`](super::MemoryStore) is, and what a JSON document is while it is open.
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Bound,
    sync::Arc,
};

use uuid::Uuid;

use super::{
    Batch, Change, Committed, Counts, Fresh, Header, Lane, New, OnceKey, Record, Seeding, Standing, Story,
    Turn, joins::Joins,
};
use crate::{JobId, StateId, Status, Timestamp, Workflow};

pub(crate) use row::{Once, Row, story};
use rows::Rows;

mod join;
mod row;
mod rows;

/// All jobs of a run, and the side tables that make each lookup cheap. No change looks at more than the jobs that it
/// changes.
pub(crate) struct Table<W: Workflow> {
    head: Header<W>,
    jobs: Rows<W>,
    /// Placed jobs, by state and status.
    places: Vec<[Lanes; Status::ALL.len()]>,
    children: BTreeMap<(JobId, u64), JobId>,
    /// By the state in which the job was made.
    once: Vec<HashSet<Arc<str>>>,
}

/// Jobs of a state and a status, line by line.
type Lanes = BTreeMap<Lane, BTreeSet<(Turn, JobId)>>;

impl<W: Workflow> Table<W> {
    /// A run without jobs.
    pub(crate) fn new(run: Uuid, created: Timestamp) -> Self {
        Table::from_rows(Header::new(run, created), [])
    }

    /// A run with these jobs. What the header says of them is counted anew, but for the ends of the fresh range.
    pub(crate) fn from_rows(mut head: Header<W>, rows: impl IntoIterator<Item = Row<W>>) -> Self {
        head.counts = Counts::none(W::STATES.len());
        head.fresh.by_state = vec![0; W::STATES.len()];
        let mut table = Table {
            head,
            jobs: Rows::new(),
            places: W::STATES.iter().map(|_| Default::default()).collect(),
            children: BTreeMap::new(),
            once: W::STATES.iter().map(|_| HashSet::new()).collect(),
        };
        for row in rows {
            table.add(row);
        }
        table
    }

    /// Makes all that a batch says so, and what it [does to joins](Table::joins).
    pub(crate) fn apply(&mut self, batch: &Batch<W>, joins: Joins<W>) -> Committed<W> {
        for &(_, state) in &batch.admitted {
            let fresh = &mut self.head.fresh.by_state[state.index()];
            *fresh = fresh.saturating_sub(1);
        }
        Self::turn(&mut self.head, batch);
        let mut refused = Vec::new();
        for change in &batch.changes {
            self.change(change);
            refused.extend(change.kicks.iter().filter_map(|kick| self.make(kick)));
        }
        refused.extend(batch.added.iter().filter_map(|new| self.make(new)));
        Committed { refused, fired: self.join(joins) }
    }

    /// What a batch makes of a header, but for what is counted.
    pub(crate) fn turn(head: &mut Header<W>, batch: &Batch<W>) {
        if let Some((last, _)) = batch.admitted.last() {
            head.fresh.next = last.0 + 1;
        }
        if head.seeding != Seeding::Done {
            for job in batch.added.iter().map(|new| &new.record).filter(|job| !job.placed) {
                let Fresh { next, end, .. } = &mut head.fresh;
                if next == end {
                    *next = job.job.id.0;
                }
                *end = job.job.id.0 + 1;
            }
        }
        head.next = batch.next;
        head.limit(batch);
        if let Some(tuned) = &batch.tuned {
            head.tuned.clone_from(tuned);
        }
        if let Some(held) = &batch.held {
            head.held.clone_from(held);
        }
        if let Some(held) = &batch.held_keys {
            head.held_keys.clone_from(held);
        }
        if let Some(overall) = &batch.overall {
            head.overall = Some(overall.clone());
        }
        if let Some((run, created)) = batch.identity {
            head.run = run;
            head.created = created;
        }
        head.seeding = batch.seeding.unwrap_or(head.seeding);
        head.clean = batch.clean.unwrap_or(head.clean);
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
        let twice = self.jobs.insert(row);
        debug_assert!(twice.is_none(), "a job is made once");
    }

    /// The same run without its jobs.
    pub(crate) fn cleared(&self) -> Self {
        let mut table = Table::new(self.head.run, self.head.created);
        table.head.next.time = self.head.next.time;
        table.head.held.clone_from(&self.head.held);
        table.head.held_keys.clone_from(&self.head.held_keys);
        table.head.limiters.clone_from(&self.head.limiters);
        table.head.learned.clone_from(&self.head.learned);
        table.head.tuned.clone_from(&self.head.tuned);
        table
    }

    pub(crate) fn header(&self) -> Header<W> {
        self.head.clone()
    }

    /// How many jobs there are.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row<W>> {
        self.jobs.from(JobId(0))
    }

    pub(crate) fn page(&self, from: JobId, most: usize) -> Vec<Record<W>> {
        self.jobs.from(from).take(most).map(|row| row.record.clone()).collect()
    }

    pub(crate) fn moving(&self) -> Vec<Record<W>> {
        let fresh = &self.head.fresh;
        let moving = |record: &&Record<W>| !record.placed && !fresh.has(record.job.id, &record.standing());
        self.rows().map(|row| &row.record).filter(moving).cloned().collect()
    }

    pub(crate) fn line(
        &self,
        state: StateId<W>,
        status: Status,
        lane: &Lane,
        after: Option<Turn>,
        most: usize,
    ) -> Vec<Record<W>> {
        let Some(placed) = self.places[state.index()][status as usize].get(lane) else { return Vec::new() };
        let record = |(_, id): &(Turn, JobId)| self.job(*id).expect("placed jobs are there");
        match after {
            // No job has that number, so this is behind all of a turn.
            Some(after) => placed.range((after, JobId(u64::MAX))..).take(most).map(record).collect(),
            None => placed.iter().take(most).map(record).collect(),
        }
    }

    pub(crate) fn lanes(
        &self,
        state: StateId<W>,
        status: Status,
        after: Option<&Lane>,
        most: usize,
    ) -> Vec<Lane> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let lanes = self.places[state.index()][status as usize].range::<Lane, _>((from, Bound::Unbounded));
        lanes.map(|(lane, _)| lane.clone()).take(most).collect()
    }

    pub(crate) fn job(&self, id: JobId) -> Option<Record<W>> {
        self.jobs.get(id).map(|row| row.record.clone())
    }

    pub(crate) fn child(&self, parent: JobId, n: u64) -> Option<JobId> {
        self.children.get(&(parent, n)).copied()
    }

    pub(crate) fn story(&self, id: JobId) -> Story {
        self.jobs.get(id).map_or_else(Story::nothing, Row::story)
    }

    pub(crate) fn once(&self, id: JobId) -> Option<OnceKey<W>> {
        self.jobs.get(id)?.once.as_ref()?.known()
    }

    fn change(&mut self, Change { now, line, error, .. }: &Change<W>) {
        let id = now.job.id;
        let row = self.jobs.get_mut(id).expect("a job is made before it is changed");
        let before = row.record.standing();
        row.record = (**now).clone();
        row.lines.extend(line.clone());
        row.errors.extend(error.as_deref().cloned());
        self.stand(id, before, -1);
        self.stand(id, now.standing(), 1);
    }

    /// Gives the job's number if its `once` key is taken.
    fn make(&mut self, new: &New<W>) -> Option<JobId> {
        let job = &new.record.job;
        let once = Once::of(new);
        if once.as_ref().is_some_and(|once| self.once[job.state.index()].contains(&once.key)) {
            return Some(job.id);
        }
        self.add(Row::new(new.record.clone(), once));
        None
    }

    /// One more job that stands there, or one less.
    fn stand(&mut self, id: JobId, at: Standing<W>, n: i64) {
        self.head.counts.add(at.state, at.status, n);
        let placed = &mut self.places[at.state.index()][at.status as usize];
        if at.placed && n > 0 {
            placed.entry(at.lane).or_default().insert((at.turn, id));
        } else if at.placed {
            if let Some(line) = placed.get_mut(&at.lane) {
                line.remove(&(at.turn, id));
                if line.is_empty() {
                    placed.remove(&at.lane);
                }
            }
        } else if self.head.fresh.has(id, &at) {
            let fresh = &mut self.head.fresh.by_state[at.state.index()];
            *fresh = fresh.checked_add_signed(n).expect("a fresh job is counted once");
        }
    }
}
