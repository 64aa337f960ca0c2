//! Looking jobs up.
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Params, params};

use super::{Open, fail::Fail, int, joins, row, schema::job_columns, states::States};
use crate::{
    JobId, StateId, Status, Workflow,
    store::{BLOCK, Lane, OnceKey, Record, Turn},
};

pub(super) const PAGE: &str =
    concat!("SELECT ", job_columns!(), " FROM job WHERE id >= ?1 ORDER BY id LIMIT ?2");
pub(super) const JOB: &str = concat!("SELECT ", job_columns!(), " FROM job WHERE id = ?1");
pub(super) const MOVING: &str = concat!(
    "SELECT ",
    job_columns!(),
    " FROM moving CROSS JOIN job ON id >= block * ?1 AND id < (block + 1) * ?1
      WHERE +status = 0 AND +placed = 0
      AND NOT (id >= (SELECT fresh_next FROM run) AND id < (SELECT fresh_end FROM run)
        AND seq <= (SELECT fresh_end FROM run))
      ORDER BY block, id"
);
pub(super) const LINE: &str = concat!(
    "SELECT ",
    job_columns!(),
    " FROM (SELECT job AS placed_job, ready_at AS turn, seq AS turn_seq FROM place
        WHERE status = ?1 AND state = ?2 AND priority = ?3 AND key = ?4 AND (ready_at, seq) > (?5, ?6)
        ORDER BY ready_at, seq LIMIT ?7)
      CROSS JOIN job ON id = placed_job ORDER BY turn, turn_seq"
);
/// One step of a walk from lane to lane.
pub(super) const LANE: &str = "SELECT priority, key FROM place
  WHERE status = ?1 AND state = ?2 AND (priority, key) > (?3, ?4) ORDER BY priority, key LIMIT 1";
pub(super) const CHILD: &str =
    "SELECT id FROM job, (SELECT nth, first, jobs FROM kick WHERE parent = ?1 AND nth <= ?2
    ORDER BY nth DESC LIMIT 1) AS kick
  WHERE ?2 < kick.nth + jobs AND id = first + ?2 - kick.nth";

pub(super) fn page<W: Workflow>(open: &Open, from: JobId, most: usize) -> Result<Vec<Record<W>>, Fail> {
    records(&open.conn, &open.states, PAGE, [int(from.0), limit(most)])
}

pub(super) fn job<W: Workflow>(open: &Open, id: JobId) -> Result<Option<Record<W>>, Fail> {
    Ok(records(&open.conn, &open.states, JOB, [int(id.0)])?.pop())
}

pub(super) fn moving<W: Workflow>(open: &Open) -> Result<Vec<Record<W>>, Fail> {
    records(&open.conn, &open.states, MOVING, [int(BLOCK)])
}

pub(super) fn line<W: Workflow>(
    open: &Open,
    state: StateId<W>,
    status: Status,
    lane: &Lane,
    after: Option<Turn>,
    most: usize,
) -> Result<Vec<Record<W>>, Fail> {
    places(&open.conn, &open.states, state, status, lane, after, most)
}

pub(super) fn places<W: Workflow>(
    conn: &Connection,
    states: &States,
    state: StateId<W>,
    status: Status,
    lane: &Lane,
    after: Option<Turn>,
    most: usize,
) -> Result<Vec<Record<W>>, Fail> {
    let (ready_at, seq) = after.map_or((-1, -1), |turn| (int(turn.ready_at.0), int(turn.seq)));
    let Lane { priority, key } = lane;
    let key = key.as_deref().unwrap_or_default();
    let mut line = Vec::new();
    let mut lines = 0;
    for id in states.ids_of(state) {
        line.extend(records(
            conn,
            states,
            LINE,
            params![status as i64, id, priority, key, ready_at, seq, limit(most)],
        )?);
        lines += 1;
    }
    if lines > 1 {
        line.sort_by_key(Record::turn);
        line.truncate(most);
    }
    Ok(line)
}

/// Each is looked up behind the one before it: the work is that of the lanes, and not of the jobs in them.
pub(super) fn lanes<W: Workflow>(
    open: &Open,
    state: StateId<W>,
    status: Status,
    after: Option<&Lane>,
    most: usize,
) -> Result<Vec<Lane>, Fail> {
    let mut next = open.conn.prepare_cached(LANE)?;
    let mut lanes = Vec::new();
    for id in open.states.ids_of(state) {
        // No priority is smaller, and no key is before the empty one.
        let mut last = match after {
            Some(Lane { priority, key }) => (i64::from(*priority), key.clone()),
            None => (i64::MIN, None),
        };
        for _ in 0..most {
            let from = params![status as i64, id, last.0, last.1.as_deref().unwrap_or_default()];
            let found = next.query_row(from, |row| Ok((row.get(0)?, row.get::<_, std::sync::Arc<str>>(1)?)));
            let Some((priority, key)) = found.optional()? else { break };
            let key = Some(key).filter(|key| !key.is_empty());
            last = (priority, key.clone());
            let priority = i8::try_from(priority)
                .map_err(|_| Fail::Damaged(format!("there is no priority {priority}")))?;
            lanes.push(Lane { priority, key });
        }
    }
    lanes.sort_unstable();
    lanes.dedup();
    lanes.truncate(most);
    Ok(lanes)
}

pub(super) fn child(open: &Open, parent: JobId, n: u64) -> Result<Option<JobId>, Fail> {
    let child =
        open.conn.prepare_cached(CHILD)?.query_row([int(parent.0), int(n)], |row| Ok(row::natural(row, 0)));
    child.optional()?.transpose().map(|id| id.map(JobId))
}

/// A table of keys by job is made the first time, because only an export asks for more than a few, and for all.
pub(super) fn once<W: Workflow>(open: &mut Open, id: JobId) -> Result<Option<OnceKey<W>>, Fail> {
    let Open { conn, states, keys, .. } = open;
    if keys.is_none_or(|end| id.0 >= end) {
        let transaction = conn.transaction()?;
        let end = transaction.query_row("SELECT next_job FROM run", [], |row| Ok(row::natural(row, 0)))??;
        transaction.execute_batch(
            "DROP TABLE IF EXISTS temp.once_key;
             CREATE TEMP TABLE once_key(job INTEGER PRIMARY KEY, state INTEGER, key TEXT);
             INSERT INTO temp.once_key SELECT job, state, key FROM once ORDER BY job;",
        )?;
        transaction.commit()?;
        *keys = Some(end);
    }
    let mut read = conn.prepare_cached("SELECT state, key FROM temp.once_key WHERE job = ?1")?;
    let found = read.query_row([int(id.0)], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((state, key)) = found else { return Ok(None) };
    Ok(Some(OnceKey { state: states.state(state)?, key }))
}

pub(super) fn records<W: Workflow>(
    conn: &Connection,
    states: &States,
    sql: &str,
    params: impl Params,
) -> Result<Vec<Record<W>>, Fail> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let mut record = row::read(row, states)?;
        if record.job.status == Status::Joining
            && let Some(join) = joins::joining(conn, record.job.id)?
        {
            record.job.join = Some(Arc::new(join));
        }
        records.push(record);
    }
    Ok(records)
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}
