//! A job as a row.
use std::{borrow::Cow, sync::Arc, time::Duration};

use rusqlite::{Row, types::ValueRef};

use super::{fail::Fail, int, joins, repeated::Repeated, schema::job_columns, states::States};
use crate::{Error, JobId, Saved, Snapshot, Status, Timestamp, Unwritable, Workflow, codec, store::Record};

/// The texts are bound last.
pub(super) const WRITE: &str = concat!(
    "INSERT OR REPLACE INTO job(",
    job_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?19, ?20, ?16, ?17, ?21, ?18, ?22)"
);

/// Writes a row, over the one that is there.
pub(super) fn write<W: Workflow>(
    statement: &mut Repeated<'_, 18>,
    states: &States,
    record: &Record<W>,
) -> Result<(), Fail> {
    let Record { job, seq, placed, key, last_line, last_error } = record;
    let unwritable = |source| Error::Unwritable { what: format!("job {}", job.id), source };
    let data = data(&job.data).map_err(unwritable)?;
    let context = context::<W>(&job.context).map_err(unwritable)?;
    statement.numbers([
        Some(int(job.id.0)),
        Some(states.id(job.state)),
        Some(job.status as i64),
        Some(int(job.step)),
        Some(job.attempt.into()),
        Some(int(job.errors)),
        Some(int(job.kicked)),
        job.parent.map(|(parent, _)| int(parent.0)),
        job.parent.map(|(_, nth)| int(nth)),
        Some(int(job.ready_at.0)),
        Some(millis(job.delay)),
        Some(int(*seq)),
        Some((*placed).into()),
        last_line.map(int),
        last_error.map(int),
        job.began.map(|at| int(at.0)),
        Some(job.priority.into()),
        job.deadline.map(|at| int(at.0)),
    ])?;
    statement.other(1, data.as_deref())?;
    statement.other(2, context.as_deref())?;
    statement.other(3, key.as_deref())?;
    statement.other(4, job.join.as_deref().map(joins::text))?;
    statement.execute()?;
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
        join: match row.get_ref(21)? {
            ValueRef::Null => None,
            text => Some(Arc::new(joins::parse(text.as_str().map_err(rusqlite::Error::from)?)?)),
        },
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
