//! What a batch does to jobs that wait for their children: the same for all stores.
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{Batch, Change, Record, Seeding, Standing, Turn};
use crate::{JobId, Join, StateId, Status, Workflow};

/// What a store has to say of its jobs.
pub(crate) trait Lookup<W: Workflow> {
    type Error;

    /// A job as it was before the batch, if it joined then; with its [`Join`] as of then.
    fn joining(&mut self, id: JobId) -> Result<Option<Record<W>>, Self::Error>;
    /// All jobs that join.
    fn all_joining(&mut self) -> Result<Vec<Record<W>>, Self::Error>;
    /// How many children of a job stand how after the batch.
    fn children(
        &mut self,
        of: JobId,
        each: &mut dyn FnMut(StateId<W>, Status, u64),
    ) -> Result<(), Self::Error>;
}

/// What is to be written besides the batch.
pub(crate) struct Joins<W: Workflow> {
    /// Jobs that joined and do not any more, because the batch says so.
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "only SQLite has a table of them"))]
    pub(crate) left: Vec<JobId>,
    /// Jobs that join, and what they wait for now.
    pub(crate) wait: Vec<(JobId, Arc<Join>)>,
    /// Jobs whose children are done: where the batch left them, and the jobs now.
    pub(crate) fired: Vec<Fired<W>>,
}

/// Where a job stood, and the job now.
pub(crate) type Fired<W> = (Standing<W>, Record<W>);

impl<W: Workflow> Joins<W> {
    fn none() -> Self {
        Joins { left: Vec::new(), wait: Vec::new(), fired: Vec::new() }
    }
}

/// What `batch` does to joins, of a run in which `joining` jobs joined before it, and that had been seeded so far.
///
/// All is decided as of the end of the batch: a child that is done in it and then again is not makes no difference.
pub(crate) fn joins<W: Workflow, L: Lookup<W>>(
    batch: &Batch<W>,
    seeding: Seeding,
    joining: u64,
    lookup: &mut L,
) -> Result<Joins<W>, L::Error> {
    let changed = |change: &Change<W>| joins_or_joined(change.before.status, change.now.job.status);
    let none = joining == 0 && !batch.changes.iter().any(changed);
    if none || batch.seeding.unwrap_or(seeding) != Seeding::Done {
        return Ok(Joins::none());
    }
    let mut open = Open { lookup, jobs: BTreeMap::new() };
    let mut left = Vec::new();
    for Change { before, now, .. } in &batch.changes {
        let id = now.job.id;
        if now.job.status == Status::Joining {
            open.jobs.insert(id, Some(Waiting::new((**now).clone())));
        } else if before.status == Status::Joining {
            open.jobs.insert(id, None);
        }
        if before.status == Status::Joining {
            left.push(id);
        }
    }
    if batch.seeding == Some(Seeding::Done) {
        // The jobs of an import, which came in any order.
        for record in open.lookup.all_joining()? {
            open.jobs.insert(record.job.id, Some(Waiting::new(record)));
        }
    }
    let counted = open.count()?;
    for Change { before, now, .. } in &batch.changes {
        let after = now.standing();
        let same = (before.state, before.status) == (after.state, after.status);
        if let Some((parent, _)) = now.job.parent
            && !same
            && (stands_still(before.status) || stands_still(after.status))
        {
            open.child(parent, before, &after, counted.contains(&parent))?;
        }
    }
    let fired = open.fire()?;
    let wait = |(id, waiting): (JobId, Option<Waiting<W>>)| Some((id, Arc::new(waiting?.join)));
    Ok(Joins { left, wait: open.jobs.into_iter().filter_map(wait).collect(), fired })
}

fn joins_or_joined(before: Status, now: Status) -> bool {
    before == Status::Joining || now == Status::Joining
}

/// Whoever waits for the job may want to know.
fn stands_still(status: Status) -> bool {
    !matches!(status, Status::Ready | Status::Joining)
}

struct Waiting<W: Workflow> {
    record: Record<W>,
    join: Join,
    /// Of what was done last: the job's own, or a child's.
    turn: Turn,
}

impl<W: Workflow> Waiting<W> {
    fn new(record: Record<W>) -> Self {
        let join = record.job.join.as_deref().cloned().unwrap_or_default();
        Waiting { turn: record.turn(), record, join }
    }
}

struct Open<'a, W: Workflow, L> {
    lookup: &'a mut L,
    /// Jobs of which something is known; nothing if they do not join.
    jobs: BTreeMap<JobId, Option<Waiting<W>>>,
}

impl<W: Workflow, L: Lookup<W>> Open<'_, W, L> {
    /// Counts the children of those that begin to join.
    fn count(&mut self) -> Result<HashSet<JobId>, L::Error> {
        let mut counted = HashSet::new();
        for (id, waiting) in &mut self.jobs {
            let Some(Waiting { join, .. }) = waiting else { continue };
            *join = Join::new(join.or_parked);
            self.lookup.children(*id, &mut |state, status, jobs| {
                join.add(state, status, i64::try_from(jobs).expect("so many jobs are in no store"));
            })?;
            counted.insert(*id);
        }
        Ok(counted)
    }

    /// A child stands elsewhere now, which may be in what was counted already.
    fn child(
        &mut self,
        parent: JobId,
        before: &Standing<W>,
        after: &Standing<W>,
        counted: bool,
    ) -> Result<(), L::Error> {
        if !self.jobs.contains_key(&parent) {
            let job = self.lookup.joining(parent)?.map(Waiting::new);
            self.jobs.insert(parent, job);
        }
        let Some(Some(Waiting { join, turn, .. })) = self.jobs.get_mut(&parent) else { return Ok(()) };
        if !counted {
            join.add(before.state, before.status, -1);
            join.add(after.state, after.status, 1);
        }
        if stands_still(after.status) {
            *turn = (*turn).max(after.turn);
        }
        Ok(())
    }

    /// Ends the joins that wait for nobody, and those that this ends.
    fn fire(&mut self) -> Result<Vec<Fired<W>>, L::Error> {
        let over = |waiting: &Option<Waiting<W>>| waiting.as_ref().is_some_and(|w| w.join.left == 0);
        let mut next: Vec<JobId> =
            self.jobs.iter().filter(|(_, waiting)| over(waiting)).map(|(id, _)| *id).collect();
        let mut fired = Vec::new();
        while let Some(id) = next.pop() {
            let Some(Waiting { mut record, join, turn }) = self.jobs.get_mut(&id).and_then(Option::take)
            else {
                continue;
            };
            let before = record.standing();
            let terminal = record.job.state.spec().terminal();
            let delay = if terminal { Duration::ZERO } else { record.job.delay };
            record.job.status = if terminal { Status::Ended } else { Status::Ready };
            record.job.wait(turn.ready_at, delay);
            record.job.join = Some(Arc::new(join));
            record.seq = turn.seq;
            record.placed = true;
            if let Some((parent, _)) = record.job.parent.filter(|_| terminal) {
                self.child(parent, &before, &record.standing(), false)?;
                if self.jobs.get(&parent).is_some_and(over) {
                    next.push(parent);
                }
            }
            fired.push((before, record));
        }
        Ok(fired)
    }
}
