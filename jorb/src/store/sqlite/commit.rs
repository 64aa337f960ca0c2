//! One batch, one transaction.
use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, Transaction, TransactionBehavior, params};

use super::{
    Open,
    fail::Fail,
    history, int,
    overview::{
        Overview, write_held, write_held_keys, write_learned, write_limiters, write_run, write_tuned,
    },
    repeated::Repeated,
    row,
    states::States,
};
use crate::{
    JobId, StateId, Status, Workflow,
    store::{BLOCK, Batch, Change, Committed, Lane, New, Record, Seeding, Standing},
};

/// Nearly all jobs have neither priority nor key: with constants, the tree is searched quicker.
const PLACE: [&str; 2] = [
    "INSERT INTO place VALUES (?1, ?2, 0, '', ?3, ?4, ?5)",
    "INSERT INTO place VALUES (?1, ?2, ?6, ?7, ?3, ?4, ?5)",
];
const LEAVE: [&str; 2] = [
    "DELETE FROM place WHERE status = ?1 AND state = ?2 AND priority = 0 AND key = ''
       AND ready_at = ?3 AND seq = ?4 AND job = ?5",
    "DELETE FROM place WHERE status = ?1 AND state = ?2 AND priority = ?6 AND key = ?7
       AND ready_at = ?3 AND seq = ?4 AND job = ?5",
];
const ONCE: &str = "INSERT OR IGNORE INTO once VALUES (?1, ?2, ?3)";
const KICK: &str = "INSERT INTO kick VALUES (?1, ?2, ?3, ?4)";
const MOVING: &str =
    "INSERT INTO moving VALUES (?1, ?2) ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs";
const STILL: &str = "DELETE FROM moving WHERE block = ?1 AND jobs = 0";

pub(super) fn commit<W: Workflow>(open: &mut Open, batch: &Batch<W>) -> Result<Committed<W>, Fail> {
    let Open { conn, states, overview, .. } = open;
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // What memory knows changes when the disk has.
    let mut next = overview.clone();
    let fresh = overview.seeding == Seeding::Begun || batch.seeding == Some(Seeding::Begun);
    let mut writer = Writer::new(&transaction, states, &mut next)?;
    writer.admit(&batch.admitted)?;
    for change in &batch.changes {
        writer.change(change)?;
    }
    writer.settle(&batch.changes)?;
    writer.add(&batch.added, fresh)?;
    let fired = writer.join(batch, overview.seeding, overview.counts.of(Status::Joining))?;
    let (moving, refused) = writer.end();

    write_moving(&transaction, moving)?;
    next.next = batch.next;
    next.seeding = batch.seeding.unwrap_or(next.seeding);
    next.clean = batch.clean.unwrap_or(next.clean);
    write_run::<W>(&transaction, states, overview, &next)?;
    write_limiters(&transaction, states, &batch.limiters)?;
    write_learned(&transaction, states, &batch.learned)?;
    if let Some(tuned) = &batch.tuned {
        write_tuned(&transaction, states, tuned)?;
    }
    if let Some(held) = &batch.held {
        write_held(&transaction, states, held)?;
    }
    if let Some(held) = &batch.held_keys {
        write_held_keys(&transaction, states, held)?;
    }
    if let Some(overall) = &batch.overall {
        let text = W::CODEC.overall.text(overall).map_err(|source| {
            Fail::Error(crate::Error::Unwritable { what: "the overall context".into(), source })
        })?;
        transaction.execute("DELETE FROM overall", [])?;
        transaction.execute("INSERT INTO overall VALUES (?1)", [&*text])?;
    }
    if let Some((run, created)) = batch.identity {
        let identity = params![run.to_string(), int(created.0)];
        transaction.execute("UPDATE run SET uuid = ?1, created = ?2", identity)?;
    }
    transaction.commit()?;
    *overview = next;
    Ok(Committed { refused, fired })
}

/// The jobs of a batch.
pub(super) struct Writer<'a> {
    pub(super) conn: &'a Connection,
    pub(super) states: &'a States,
    overview: &'a mut Overview,
    /// By how many the moving jobs of a block become more.
    moving: HashMap<u64, i64>,
    /// New jobs that a `once` key kept from being made.
    taken: Vec<JobId>,
    pub(super) job: Repeated<'a, 18>,
    place: [CachedStatement<'a>; 2],
    leave: [CachedStatement<'a>; 2],
    line: Repeated<'a, 12>,
    error: CachedStatement<'a>,
    once: CachedStatement<'a>,
    kick: CachedStatement<'a>,
}

impl<'a> Writer<'a> {
    fn new(
        conn: &'a Transaction<'_>,
        states: &'a States,
        overview: &'a mut Overview,
    ) -> Result<Self, rusqlite::Error> {
        Ok(Writer {
            conn,
            states,
            overview,
            moving: HashMap::new(),
            taken: Vec::new(),
            job: Repeated::new(conn, row::WRITE)?,
            place: [conn.prepare_cached(PLACE[0])?, conn.prepare_cached(PLACE[1])?],
            leave: [conn.prepare_cached(LEAVE[0])?, conn.prepare_cached(LEAVE[1])?],
            line: Repeated::new(conn, history::LINE)?,
            error: conn.prepare_cached(history::ERROR)?,
            once: conn.prepare_cached(ONCE)?,
            kick: conn.prepare_cached(KICK)?,
        })
    }

    fn end(self) -> (HashMap<u64, i64>, Vec<JobId>) {
        (self.moving, self.taken)
    }

    /// Fresh jobs are to move.
    fn admit<W: Workflow>(&mut self, admitted: &[(JobId, StateId<W>)]) -> Result<(), Fail> {
        let fresh = &mut self.overview.fresh;
        for (job, state) in admitted {
            let jobs = &mut fresh.by_state[state.index()];
            *jobs = jobs.checked_sub(1).ok_or_else(|| uncounted(*state, "fresh"))?;
            fresh.next = job.0 + 1;
            *self.moving.entry(job.0 / BLOCK).or_default() += 1;
        }
        Ok(())
    }

    fn change<W: Workflow>(&mut self, change: &Change<W>) -> Result<(), Fail> {
        let Change { before, now, line, error, kicks } = change;
        let id = now.job.id;
        self.stand(id, before, &now.standing())?;
        if let Some(line) = line {
            history::write_line(&mut self.line, self.conn, self.states, id, line)?;
        }
        if let Some(error) = error {
            history::write_error(&mut self.error, self.conn, self.states, id, error)?;
        }
        history::prune(self.conn, change)?;
        self.add(kicks, false)
    }

    /// A job stands elsewhere.
    pub(super) fn stand<W: Workflow>(
        &mut self,
        id: JobId,
        before: &Standing<W>,
        after: &Standing<W>,
    ) -> Result<(), Fail> {
        self.count(before, -1)?;
        self.count(after, 1)?;
        let fresh = &mut self.overview.fresh;
        match (moves(before), moves(after)) {
            (true, false) if fresh.has(id, before) => {
                let jobs = &mut fresh.by_state[before.state.index()];
                *jobs = jobs.checked_sub(1).ok_or_else(|| uncounted(before.state, "fresh"))?;
            }
            (true, false) => *self.moving.entry(id.0 / BLOCK).or_default() -= 1,
            (false, true) => *self.moving.entry(id.0 / BLOCK).or_default() += 1,
            _ => {}
        }
        if before.placed {
            at_place(&mut self.leave, self.states, id, before)?;
        }
        if after.placed {
            at_place(&mut self.place, self.states, id, after)?;
        }
        Ok(())
    }

    /// Writes what became of jobs in the end, in order of their numbers, in which the tree has them: an eighth faster.
    fn settle<W: Workflow>(&mut self, changes: &[Change<W>]) -> Result<(), Fail> {
        let mut jobs: Vec<&Record<W>> = changes.iter().map(|change| &*change.now).collect();
        jobs.sort_by_key(|record| record.job.id);
        for of_one_job in jobs.chunk_by(|a, b| a.job.id == b.job.id) {
            row::write(&mut self.job, self.states, of_one_job[of_one_job.len() - 1])?;
        }
        Ok(())
    }

    /// Makes new jobs, which are to be looked at later if they are `fresh`, and move otherwise.
    fn add<W: Workflow>(&mut self, jobs: &[New<W>], fresh: bool) -> Result<(), Fail> {
        for kicks in jobs.chunk_by(follow) {
            let first = &kicks[0].record.job;
            if let Some((parent, nth)) = first.parent {
                let jobs = i64::try_from(kicks.len()).expect("a count in memory");
                self.kick.execute(params![int(parent.0), int(nth), int(first.id.0), jobs])?;
            }
        }
        for New { record, once } in jobs {
            let id = record.job.id;
            let standing = record.standing();
            if let Some(key) = once {
                let made = self.once.execute(params![self.states.id(standing.state), key, int(id.0)])?;
                if made == 0 {
                    self.taken.push(id);
                    continue;
                }
            }
            row::write(&mut self.job, self.states, record)?;
            self.count(&standing, 1)?;
            if standing.placed {
                at_place(&mut self.place, self.states, id, &standing)?;
            } else if moves(&standing) && fresh {
                self.overview.fresh.by_state[standing.state.index()] += 1;
            } else if moves(&standing) {
                *self.moving.entry(id.0 / BLOCK).or_default() += 1;
            }
        }
        // Those that were placed at once are not in the range, unless they stand amid others.
        let mut new = jobs.iter().map(|new| &new.record).filter(|record| fresh && !record.placed);
        if let Some(first) = new.next() {
            let last = new.next_back().unwrap_or(first);
            let fresh = &mut self.overview.fresh;
            if fresh.next == fresh.end {
                fresh.next = first.job.id.0;
            }
            fresh.end = last.job.id.0 + 1;
        }
        Ok(())
    }

    fn count<W: Workflow>(&mut self, standing: &Standing<W>, n: i64) -> Result<(), Fail> {
        let Standing { state, status, .. } = *standing;
        if n < 0 && self.overview.counts.get(state, status) == 0 {
            return Err(uncounted(state, status.name()));
        }
        self.overview.counts.add(state, status, n);
        Ok(())
    }
}

/// The counts were changed behind our back.
fn uncounted<W: Workflow>(state: StateId<W>, kind: &str) -> Fail {
    Fail::Damaged(format!("there is a {kind} job in `{}`, and the count of them is zero", state.name()))
}

/// The job is in memory while the run is driven, if it is not fresh.
fn moves<W: Workflow>(standing: &Standing<W>) -> bool {
    standing.status == Status::Ready && !standing.placed
}

/// Does with the place of a job what the first statement says, or, if it has a lane, the second one.
fn at_place<W: Workflow>(
    statements: &mut [CachedStatement<'_>; 2],
    states: &States,
    job: JobId,
    standing: &Standing<W>,
) -> Result<(), Fail> {
    let Standing { state, status, turn, lane, .. } = standing;
    let numbers = [*status as i64, states.id(*state), int(turn.ready_at.0), int(turn.seq), int(job.0)];
    let Lane { priority, key } = lane;
    let has_lane = *lane != Lane::FIRST;
    let statement = &mut statements[usize::from(has_lane)];
    for (i, number) in (1..).zip(numbers) {
        statement.raw_bind_parameter(i, number)?;
    }
    if has_lane {
        statement.raw_bind_parameter(6, priority)?;
        statement.raw_bind_parameter(7, key.as_deref().unwrap_or_default())?;
    }
    statement.raw_execute()?;
    Ok(())
}

/// `b` is the next kick after `a`, and has the next number.
fn follow<W: Workflow>(a: &New<W>, b: &New<W>) -> bool {
    match (a.record.job.parent, b.record.job.parent) {
        (None, None) => true,
        (Some((parent_a, nth_a)), Some((parent_b, nth_b))) => {
            parent_a == parent_b && nth_b == nth_a + 1 && b.record.job.id.0 == a.record.job.id.0 + 1
        }
        _ => false,
    }
}

fn write_moving(conn: &Connection, moving: HashMap<u64, i64>) -> Result<(), Fail> {
    let mut add = conn.prepare_cached(MOVING)?;
    let mut remove = conn.prepare_cached(STILL)?;
    for (block, more) in moving.into_iter().filter(|(_, more)| *more != 0) {
        add.execute([int(block), more])?;
        if more < 0 {
            remove.execute([int(block)])?;
        }
    }
    Ok(())
}
