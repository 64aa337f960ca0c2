//! A job as a row.
use std::{borrow::Cow, time::Duration};

use rusqlite::{CachedStatement, Row, types::ValueRef};

use super::{fail::Fail, int, schema::job_columns, states::States};
use crate::{Error, JobId, Saved, Snapshot, Status, Timestamp, Unwritable, Workflow, codec, store::Record};

pub(super) const WRITE: &str = concat!(
    "INSERT OR REPLACE INTO job(",
    job_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)"
);

/// Writes a row, over the one that is there.
pub(super) fn write<W: Workflow>(
    statement: &mut CachedStatement<'_>,
    states: &States,
    record: &Record<W>,
) -> Result<(), Fail> {
    let Record { job, seq, placed, key, last_line, last_error } = record;
    let unwritable = |source| Error::Unwritable { what: format!("job {}", job.id), source };
    let data = data(&job.data).map_err(unwritable)?;
    let context = context::<W>(&job.context).map_err(unwritable)?;
    let numbers = [
        int(job.id.0),
        states.id(job.state),
        job.status as i64,
        int(job.step),
        job.attempt.into(),
        int(job.errors),
        int(job.kicked),
    ];
    for (i, number) in (1..).zip(numbers) {
        statement.raw_bind_parameter(i, number)?;
    }
    statement.raw_bind_parameter(8, job.parent.map(|(parent, _)| int(parent.0)))?;
    statement.raw_bind_parameter(9, job.parent.map(|(_, nth)| int(nth)))?;
    statement.raw_bind_parameter(10, int(job.ready_at.0))?;
    statement.raw_bind_parameter(11, millis(job.delay))?;
    statement.raw_bind_parameter(12, int(*seq))?;
    statement.raw_bind_parameter(13, *placed)?;
    statement.raw_bind_parameter(14, last_line.map(int))?;
    statement.raw_bind_parameter(15, last_error.map(int))?;
    statement.raw_bind_parameter(16, data.as_deref())?;
    statement.raw_bind_parameter(17, context.as_deref())?;
    statement.raw_bind_parameter(18, job.began.map(|at| int(at.0)))?;
    statement.raw_bind_parameter(19, job.priority)?;
    statement.raw_bind_parameter(20, key.as_deref())?;
    statement.raw_bind_parameter(21, job.deadline.map(|at| int(at.0)))?;
    statement.raw_execute()?;
    Ok(())
}

/// Reads a row of [`job_columns`].
pub(super) fn read<W: Workflow>(row: &Row<'_>, states: &States) -> Result<Record<W>, Fail> {
    let parent = match (optional(row, 7)?, optional(row, 8)?) {
        (Some(parent), Some(nth)) => Some((JobId(parent), nth)),
        _ => None,
    };
    let job = Snapshot {
        id: JobId(natural(row, 0)?),
        parent,
        step: natural(row, 3)?,
        attempt: row.get(4)?,
        began: optional(row, 17)?.map(Timestamp),
        errors: natural(row, 5)?,
        kicked: natural(row, 6)?,
        state: states.state(row.get(1)?)?,
        data: text(row, 15)?,
        context: text(row, 16)?,
        priority: row.get(18)?,
        status: status(row, 2)?,
        ready_at: Timestamp(natural(row, 9)?),
        delay: Duration::from_millis(natural(row, 10)?),
        deadline: optional(row, 20)?.map(Timestamp),
    };
    Ok(Record {
        job,
        seq: natural(row, 11)?,
        placed: row.get(12)?,
        key: row.get(19)?,
        last_line: optional(row, 13)?,
        last_error: optional(row, 14)?,
    })
}

/// A number that is not negative.
pub(super) fn natural(row: &Row<'_>, i: usize) -> Result<u64, Fail> {
    optional(row, i)?.ok_or_else(|| Fail::Damaged("a number is missing".into()))
}

pub(super) fn optional(row: &Row<'_>, i: usize) -> Result<Option<u64>, Fail> {
    let Some(number) = row.get::<_, Option<i64>>(i)? else { return Ok(None) };
    number
        .try_into()
        .map(Some)
        .map_err(|_| Fail::Damaged(format!("{number} where no number can be negative")))
}

pub(super) fn status(row: &Row<'_>, i: usize) -> Result<Status, Fail> {
    let number = natural(row, i)?;
    let found = Status::ALL.into_iter().find(|status| *status as u64 == number);
    found.ok_or_else(|| Fail::Damaged(format!("there is no status number {number}")))
}

/// Whole milliseconds, no fewer.
pub(super) fn millis(duration: Duration) -> i64 {
    int((Timestamp(0) + duration).0)
}

fn text<T>(row: &Row<'_>, i: usize) -> Result<Saved<T>, Fail> {
    match row.get_ref(i)? {
        ValueRef::Null => Ok(Saved::Nothing),
        value => Ok(Saved::Json(value.as_str().map_err(rusqlite::Error::from)?.into())),
    }
}

fn data<W: Workflow>(saved: &Saved<W>) -> Result<Option<Cow<'_, str>>, Unwritable> {
    match saved {
        Saved::Json(text) => Ok(Some(Cow::Borrowed(text))),
        other => Ok(codec::state_text(other)?.map(|text| Cow::Owned(String::from(&*text)))),
    }
}

fn context<W: Workflow>(saved: &Saved<W::Job>) -> Result<Option<Cow<'_, str>>, Unwritable> {
    let text = match saved {
        Saved::Json(text) => Cow::Borrowed(&**text),
        other => Cow::Owned(String::from(&*W::CODEC.job.text(other)?)),
    };
    // Most runs without a job context have `()` for it.
    Ok(Some(text).filter(|text| text != "null"))
}
