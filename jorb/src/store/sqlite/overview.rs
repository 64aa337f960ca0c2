//! What is known of a run as a whole: kept in memory too, because it changes with each batch.
use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};

use super::{
    fail::Fail,
    int,
    row::{self, natural},
    states::States,
};
use crate::{
    StateId, Status, Timestamp, Tuning, Workflow,
    store::{Counts, Fresh, Learned, LimiterName, Numbers, Seeding, named_key},
};

#[derive(Clone)]
pub(super) struct Overview {
    pub(super) seeding: Seeding,
    pub(super) next: Numbers,
    pub(super) fresh: Fresh,
    pub(super) counts: Counts,
    pub(super) clean: bool,
}

impl Overview {
    /// Of a run without jobs.
    pub(super) fn empty<W: Workflow>() -> Self {
        let states = W::STATES.len();
        Overview {
            seeding: Seeding::No,
            next: Numbers::FIRST,
            fresh: Fresh { next: 0, end: 0, by_state: vec![0; states] },
            counts: Counts::none(states),
            clean: true,
        }
    }

    pub(super) fn read<W: Workflow>(conn: &Connection, states: &States) -> Result<Self, Fail> {
        let mut it = Overview::empty::<W>();
        let mut run = conn.prepare(
            "SELECT next_job, next_seq, next_line, next_error, fresh_next, fresh_end, seeding, clean, time FROM run",
        )?;
        run.query_row([], |row| Ok(it.read_run(row)))??;
        let mut counts = conn.prepare("SELECT state, status, jobs FROM count WHERE jobs > 0")?;
        let mut rows = counts.query([])?;
        while let Some(row) = rows.next()? {
            it.counts.add::<W>(states.state(row.get(0)?)?, row::status(row, 1)?, row.get(2)?);
        }
        let mut fresh = conn.prepare("SELECT state, jobs FROM fresh WHERE jobs > 0")?;
        let mut rows = fresh.query([])?;
        while let Some(row) = rows.next()? {
            it.fresh.by_state[states.state::<W>(row.get(0)?)?.index()] += natural(row, 1)?;
        }
        Ok(it)
    }

    fn read_run(&mut self, row: &Row<'_>) -> Result<(), Fail> {
        self.next = Numbers {
            job: natural(row, 0)?,
            seq: natural(row, 1)?,
            line: natural(row, 2)?,
            error: natural(row, 3)?,
            time: Timestamp(natural(row, 8)?),
        };
        self.fresh.next = natural(row, 4)?;
        self.fresh.end = natural(row, 5)?;
        let seeding: String = row.get(6)?;
        let known =
            [Seeding::No, Seeding::Begun, Seeding::Done].into_iter().find(|s| seeding_name(*s) == seeding);
        self.seeding = known.ok_or_else(|| Fail::Damaged(format!("seeding is `{seeding}`")))?;
        self.clean = row.get(7)?;
        Ok(())
    }
}

/// Writes what differs from `before`.
pub(super) fn write_run<W: Workflow>(
    conn: &Connection,
    states: &States,
    before: &Overview,
    now: &Overview,
) -> Result<(), Fail> {
    let Overview { seeding, next, fresh, counts, clean } = now;
    conn.prepare_cached(
        "UPDATE run SET next_job = ?1, next_seq = ?2, next_line = ?3, next_error = ?4,
           fresh_next = ?5, fresh_end = ?6, seeding = ?7, clean = ?8, time = ?9",
    )?
    .execute(params![
        int(next.job),
        int(next.seq),
        int(next.line),
        int(next.error),
        int(fresh.next),
        int(fresh.end),
        seeding_name(*seeding),
        clean,
        int(next.time.0)
    ])?;
    let mut write_count = conn.prepare_cached("INSERT OR REPLACE INTO count VALUES (?1, ?2, ?3)")?;
    let mut write_fresh = conn.prepare_cached("INSERT OR REPLACE INTO fresh VALUES (?1, ?2)")?;
    for state in StateId::<W>::all() {
        for status in Status::ALL {
            let jobs = counts.get(state, status);
            if jobs != before.counts.get(state, status) {
                write_count.execute([states.id(state), status as i64, int(jobs)])?;
            }
        }
        let jobs = fresh.by_state[state.index()];
        if jobs != before.fresh.by_state[state.index()] {
            write_fresh.execute([states.id(state), int(jobs)])?;
        }
    }
    Ok(())
}

/// Limiters have their names where states have theirs.
pub(super) fn write_limiters(
    conn: &Connection,
    states: &States,
    limiters: &[(LimiterName, Timestamp)],
) -> Result<(), Fail> {
    let mut write = conn.prepare_cached("INSERT OR REPLACE INTO limiter VALUES (?1, ?2)")?;
    let mut write_key = conn.prepare_cached(
        "INSERT INTO keyed(limiter, key, due_at) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET due_at = ?3",
    )?;
    let mut forget_key = conn.prepare_cached("DELETE FROM keyed WHERE limiter = ?1 AND key = ?2")?;
    for (name, due_at) in limiters {
        if let Some((limiter, key)) = named_key(name) {
            let limiter = states.named(conn, limiter)?;
            if *due_at == Timestamp(0) {
                forget_key.execute(params![limiter, key])?;
            } else {
                write_key.execute(params![limiter, key, int(due_at.0)])?;
            }
            continue;
        }
        write.execute([states.named(conn, name)?, int(due_at.0)])?;
    }
    Ok(())
}

pub(super) fn write_learned(
    conn: &Connection,
    states: &States,
    learned: &[(LimiterName, Learned)],
) -> Result<(), Fail> {
    let mut write = conn.prepare_cached("INSERT OR REPLACE INTO learned VALUES (?1, ?2, ?3)")?;
    let mut write_key = conn.prepare_cached(
        "INSERT INTO keyed(limiter, key, rate, ceiling) VALUES (?1, ?2, ?3, ?4)
           ON CONFLICT DO UPDATE SET rate = ?3, ceiling = ?4",
    )?;
    for (name, Learned { rate, ceiling }) in learned {
        if let Some((limiter, key)) = named_key(name) {
            write_key.execute(params![states.named(conn, limiter)?, key, rate, ceiling])?;
            continue;
        }
        write.execute(params![states.named(conn, name)?, rate, ceiling])?;
    }
    Ok(())
}

pub(super) fn write_tuned(
    conn: &Connection,
    states: &States,
    tuned: &[(LimiterName, Tuning)],
) -> Result<(), Fail> {
    conn.execute("DELETE FROM tuned", [])?;
    for (name, Tuning { rate, burst, concurrency, retries, backoff }) in tuned {
        let rate = rate.map(|rate| rate.to_string());
        let concurrency = concurrency.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        let backoff = backoff.map(|backoff| backoff.to_string());
        let tuned = params![states.named(conn, name)?, rate, burst, concurrency, retries, backoff];
        conn.execute("INSERT INTO tuned VALUES (?1, ?2, ?3, ?4, ?5, ?6)", tuned)?;
    }
    Ok(())
}

pub(super) fn write_held<W: Workflow>(
    conn: &Connection,
    states: &States,
    held: &[StateId<W>],
) -> Result<(), Fail> {
    conn.execute("DELETE FROM held", [])?;
    for state in held {
        conn.execute("INSERT OR IGNORE INTO held VALUES (?1)", [states.id(*state)])?;
    }
    Ok(())
}

pub(super) fn write_held_keys(
    conn: &Connection,
    states: &States,
    held: &BTreeMap<LimiterName, Timestamp>,
) -> Result<(), Fail> {
    conn.execute("DELETE FROM held_key", [])?;
    for (name, since) in held {
        let Some((limiter, key)) = named_key(name) else { continue };
        let held = params![states.named(conn, limiter)?, key, int(since.0)];
        conn.execute("INSERT INTO held_key VALUES (?1, ?2, ?3)", held)?;
    }
    Ok(())
}

fn seeding_name(seeding: Seeding) -> &'static str {
    match seeding {
        Seeding::No => "no",
        Seeding::Begun => "begun",
        Seeding::Done => "done",
    }
}
