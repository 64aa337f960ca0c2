//! Jobs of a table that wait for their children.
use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
};

use super::Table;
use crate::{
    JobId, StateId, Status, Workflow,
    store::{
        Batch, Lane, Record, Seeding,
        joins::{Fired, Joins, Lookup, joins},
    },
};

impl<W: Workflow> Table<W> {
    /// What a batch does to joins, without changing anything.
    pub(crate) fn joins(&self, batch: &Batch<W>) -> Joins<W> {
        let mut lookup = After { table: self, batch, changed: None };
        let joining = self.head.counts.of(Status::Joining);
        match joins(batch, self.head.seeding, joining, &mut lookup) {
            Ok(joins) => joins,
            Err(never) => match never {},
        }
    }

    /// Makes it so. Gives the jobs whose joins are over.
    pub(super) fn join(&mut self, Joins { wait, fired, .. }: Joins<W>) -> Vec<Record<W>> {
        for (id, join) in wait {
            self.jobs.get_mut(id).expect("who joins is there").record.job.join = Some(join);
        }
        let fire = |(before, record): Fired<W>| {
            let id = record.job.id;
            self.stand(id, before, -1);
            self.stand(id, record.standing(), 1);
            self.jobs.get_mut(id).expect("who joins is there").record = record.clone();
            record
        };
        fired.into_iter().map(fire).collect()
    }

    /// Counts anew what all joins wait for, of a table that was read. Says whether that changed anything.
    pub(crate) fn count_joins(&mut self) -> bool {
        if self.head.seeding != Seeding::Done {
            return false;
        }
        let all = Batch { seeding: Some(Seeding::Done), ..Batch::new(self.head.next) };
        let joins = self.joins(&all);
        let known = |id| self.jobs.get(id).and_then(|row| row.record.job.join.as_ref());
        let changed = !joins.fired.is_empty() || joins.wait.iter().any(|(id, join)| known(*id) != Some(join));
        self.join(joins);
        changed
    }
}

/// A table as it will be after a batch.
struct After<'a, W: Workflow> {
    table: &'a Table<W>,
    batch: &'a Batch<W>,
    changed: Option<Changed<W>>,
}

/// What becomes of children.
struct Changed<W: Workflow> {
    now: HashMap<JobId, Place<W>>,
    /// By parent.
    made: HashMap<JobId, Vec<(JobId, Place<W>)>>,
}

type Place<W> = (StateId<W>, Status);

impl<W: Workflow> Changed<W> {
    fn of(table: &Table<W>, batch: &Batch<W>) -> Self {
        let refused: HashSet<_> = table.refused(batch).into_iter().collect();
        let stands = |record: &Record<W>| (record.job.state, record.job.status);
        let mut made: HashMap<_, Vec<_>> = HashMap::new();
        for new in batch.changes.iter().flat_map(|change| &change.kicks) {
            if let Some((parent, _)) = new.record.job.parent
                && !refused.contains(&new.record.job.id)
            {
                made.entry(parent).or_default().push((new.record.job.id, stands(&new.record)));
            }
        }
        let now = batch.changes.iter().map(|change| (change.now.job.id, stands(&change.now)));
        Changed { now: now.collect(), made }
    }
}

impl<W: Workflow> Lookup<W> for After<'_, W> {
    type Error = Infallible;

    fn joining(&mut self, id: JobId) -> Result<Option<Record<W>>, Infallible> {
        Ok(self.table.job(id).filter(|record| record.job.status == Status::Joining))
    }

    fn all_joining(&mut self) -> Result<Vec<Record<W>>, Infallible> {
        let line = |state| self.table.line(state, Status::Joining, &Lane::FIRST, None, usize::MAX);
        Ok(StateId::all().flat_map(line).collect())
    }

    fn children(
        &mut self,
        of: JobId,
        each: &mut dyn FnMut(StateId<W>, Status, u64),
    ) -> Result<(), Infallible> {
        let Changed { now, made } = self.changed.get_or_insert_with(|| Changed::of(self.table, self.batch));
        for id in self.table.children.range((of, 0)..=(of, u64::MAX)).map(|(_, id)| id) {
            let job = &self.table.jobs.get(*id).expect("children are there").record.job;
            let (state, status) = now.get(id).copied().unwrap_or((job.state, job.status));
            each(state, status, 1);
        }
        for (id, made) in made.get(&of).into_iter().flatten() {
            let (state, status) = now.get(id).copied().unwrap_or(*made);
            each(state, status, 1);
        }
        Ok(())
    }
}
