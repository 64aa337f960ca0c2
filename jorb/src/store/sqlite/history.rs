//! Moves and errors of one job: chains from the newest to the oldest, of which the middle is dropped now and then.
use std::time::Duration;

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::{
    fail::Fail,
    int,
    repeated::Repeated,
    row::{millis, natural, optional},
    states::States,
};
use crate::{
    JobId, Timestamp, Workflow,
    store::{Change, Dropped, FIRST, Failure, LAST, Line, Story},
};

pub(super) const LINE: &str = "INSERT INTO line VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
pub(super) const ERROR: &str = "INSERT INTO error VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

pub(super) fn write_line(
    statement: &mut Repeated<'_, 12>,
    conn: &Connection,
    states: &States,
    job: JobId,
    line: &Line,
) -> Result<(), Fail> {
    statement.numbers([
        Some(int(line.id)),
        Some(int(job.0)),
        line.previous.map(int),
        Some(int(line.step)),
        Some(line.attempt.into()),
        Some(states.named(conn, &line.from)?),
        Some(states.named(conn, &line.to)?),
        Some(int(line.at.0)),
        Some(millis(line.waited)),
        Some(i64::try_from(line.ran.as_micros()).unwrap_or(i64::MAX)),
        line.first_child.map(|child| int(child.0)),
        Some(int(line.children)),
    ])?;
    statement.execute()?;
    Ok(())
}

pub(super) fn write_error(
    statement: &mut CachedStatement<'_>,
    conn: &Connection,
    states: &States,
    job: JobId,
    error: &Failure,
) -> Result<(), Fail> {
    statement.execute(params![
        int(error.id),
        int(job.0),
        error.previous.map(int),
        states.named(conn, &error.state)?,
        int(error.step),
        error.attempt,
        int(error.at.0),
        error.error,
    ])?;
    Ok(())
}

/// Adds what another store had dropped of a job before it came here.
pub(super) fn write_dropped(
    conn: &Connection,
    states: &States,
    job: JobId,
    dropped: &[Dropped],
) -> Result<(), Fail> {
    let mut write = conn.prepare_cached(
        "INSERT INTO dropped VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET lines = lines + excluded.lines, errors = errors + excluded.errors",
    )?;
    for Dropped { state, lines, errors } in dropped {
        write.execute([int(job.0), states.named(conn, state)?, int(*lines), int(*errors)])?;
    }
    Ok(())
}

/// Drops what is between the first and the last lines and errors of a job, each time that [`LAST`] more have come.
pub(super) fn prune<W: Workflow>(conn: &Connection, change: &Change<W>) -> Result<(), Fail> {
    let full = |n: u64| n.is_multiple_of(LAST as u64) && n >= (FIRST + 2 * LAST) as u64;
    let job = change.now.job.id;
    if let Some(line) = change.line.as_ref().filter(|_| full(change.now.job.step)) {
        drop_middle(conn, &LINES, job, line.id)?;
    }
    if let Some(error) = change.error.as_ref().filter(|_| full(change.now.job.errors)) {
        drop_middle(conn, &ERRORS, job, error.id)?;
    }
    Ok(())
}

/// What differs between the two chains of a job.
struct Chain {
    read: &'static str,
    delete: &'static str,
    link: &'static str,
    dropped: &'static str,
}

const LINES: Chain = Chain {
    read: "SELECT previous, from_state FROM line WHERE id = ?1",
    delete: "DELETE FROM line WHERE id = ?1",
    link: "UPDATE line SET previous = ?2 WHERE id = ?1",
    dropped: "INSERT INTO dropped VALUES (?1, ?2, 1, 0) ON CONFLICT DO UPDATE SET lines = lines + 1",
};

const ERRORS: Chain = Chain {
    read: "SELECT previous, state FROM error WHERE id = ?1",
    delete: "DELETE FROM error WHERE id = ?1",
    link: "UPDATE error SET previous = ?2 WHERE id = ?1",
    dropped: "INSERT INTO dropped VALUES (?1, ?2, 0, 1) ON CONFLICT DO UPDATE SET errors = errors + 1",
};

fn drop_middle(conn: &Connection, chain: &Chain, job: JobId, newest: u64) -> Result<(), Fail> {
    let mut read = conn.prepare_cached(chain.read)?;
    let mut links = Vec::new();
    let mut next = Some(newest);
    while let Some(id) = next {
        let (previous, state) =
            read.query_row([int(id)], |row| Ok((optional(row, 0), row.get::<_, i64>(1)?)))?;
        next = older(id, previous?)?;
        links.push((id, state));
    }
    if links.len() <= FIRST + LAST {
        return Ok(());
    }
    let first = links.len() - FIRST;
    let mut delete = conn.prepare_cached(chain.delete)?;
    let mut dropped = conn.prepare_cached(chain.dropped)?;
    for (id, state) in &links[LAST..first] {
        delete.execute([int(*id)])?;
        dropped.execute([int(job.0), *state])?;
    }
    conn.prepare_cached(chain.link)?.execute([int(links[LAST - 1].0), int(links[first].0)])?;
    Ok(())
}

/// Chains lead to ever smaller numbers, so that following one ends, whatever is in the file.
fn older(id: u64, previous: Option<u64>) -> Result<Option<u64>, Fail> {
    match previous {
        Some(previous) if previous >= id => {
            Err(Fail::Damaged(format!("history {id} comes after {previous}")))
        }
        previous => Ok(previous),
    }
}

pub(super) fn story(conn: &Connection, job: JobId) -> Result<Story, Fail> {
    // Of one moment: a process that drives the run may drop lines just now.
    let conn = conn.unchecked_transaction()?;
    let last = conn
        .prepare_cached("SELECT last_line, last_error FROM job WHERE id = ?1")?
        .query_row([int(job.0)], |row| Ok((optional(row, 0), optional(row, 1))))
        .optional()?;
    let Some((last_line, last_error)) = last else {
        return Ok(Story { lines: Vec::new(), errors: Vec::new(), dropped: Vec::new() });
    };
    let mut dropped = Vec::new();
    let mut read = conn.prepare_cached(
        "SELECT name, lines, errors FROM dropped JOIN state ON state.id = state WHERE job = ?1",
    )?;
    let mut rows = read.query([int(job.0)])?;
    while let Some(row) = rows.next()? {
        let state: String = row.get(0)?;
        dropped.push(Dropped { state: state.into(), lines: natural(row, 1)?, errors: natural(row, 2)? });
    }
    let (lines, middle) = ends(lines(&conn, last_line?)?);
    for line in middle {
        of_state(&mut dropped, line.from).lines += 1;
    }
    let (errors, middle) = ends(errors(&conn, last_error?)?);
    for error in middle {
        of_state(&mut dropped, error.state).errors += 1;
    }
    Ok(Story { lines, errors, dropped })
}

/// Newest first.
fn lines(conn: &Connection, newest: Option<u64>) -> Result<Vec<Line>, Fail> {
    let mut read = conn.prepare_cached(
        "SELECT previous, step, attempt, a.name, b.name, at, waited, ran, first_child, children
         FROM line JOIN state AS a ON a.id = from_state JOIN state AS b ON b.id = to_state WHERE line.id = ?1",
    )?;
    let mut lines = Vec::new();
    let mut next = newest;
    while let Some(id) = next {
        let line = read.query_row([int(id)], |row| {
            let (from, to): (String, String) = (row.get(3)?, row.get(4)?);
            let attempt = row.get(2)?;
            let line = || {
                Ok::<_, Fail>(Line {
                    id,
                    previous: optional(row, 0)?,
                    step: natural(row, 1)?,
                    attempt,
                    from: from.into(),
                    to: to.into(),
                    at: Timestamp(natural(row, 5)?),
                    waited: Duration::from_millis(natural(row, 6)?),
                    ran: Duration::from_micros(natural(row, 7)?),
                    first_child: optional(row, 8)?.map(JobId),
                    children: natural(row, 9)?,
                })
            };
            Ok(line())
        })??;
        next = older(id, line.previous)?;
        lines.push(line);
    }
    Ok(lines)
}

/// Newest first.
fn errors(conn: &Connection, newest: Option<u64>) -> Result<Vec<Failure>, Fail> {
    let mut errors = Vec::new();
    let mut next = newest;
    while let Some(id) = next {
        let error = error(conn, id)?;
        next = older(id, error.previous)?;
        errors.push(error);
    }
    Ok(errors)
}

/// The newest error of a job.
pub(super) fn last_error(conn: &Connection, job: JobId) -> Result<Option<Failure>, Fail> {
    let newest = conn
        .prepare_cached("SELECT last_error FROM job WHERE id = ?1 AND last_error IS NOT NULL")?
        .query_row([int(job.0)], |row| Ok(natural(row, 0)))
        .optional()?;
    newest.map(|id| error(conn, id?)).transpose()
}

fn error(conn: &Connection, id: u64) -> Result<Failure, Fail> {
    let mut read = conn.prepare_cached(
        "SELECT previous, state.name, step, attempt, at, error
         FROM error JOIN state ON state.id = state WHERE error.id = ?1",
    )?;
    read.query_row([int(id)], |row| {
        let (state, error): (String, String) = (row.get(1)?, row.get(5)?);
        let attempt = row.get(3)?;
        let error = || {
            Ok(Failure {
                id,
                previous: optional(row, 0)?,
                state: state.into(),
                step: natural(row, 2)?,
                attempt,
                at: Timestamp(natural(row, 4)?),
                error,
            })
        };
        Ok(error())
    })?
}

/// The first and the last of a chain, oldest first, and what is between them.
fn ends<T>(mut newest_first: Vec<T>) -> (Vec<T>, Vec<T>) {
    newest_first.reverse();
    let mut chain = newest_first;
    if chain.len() <= FIRST + LAST {
        return (chain, Vec::new());
    }
    let last = chain.split_off(chain.len() - LAST);
    let middle = chain.split_off(FIRST);
    chain.extend(last);
    (chain, middle)
}

fn of_state(dropped: &mut Vec<Dropped>, state: crate::store::StateName) -> &mut Dropped {
    let found = dropped.iter().position(|d| d.state == state).unwrap_or_else(|| {
        dropped.push(Dropped { state, lines: 0, errors: 0 });
        dropped.len() - 1
    });
    &mut dropped[found]
}
