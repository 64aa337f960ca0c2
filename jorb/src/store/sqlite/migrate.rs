//! Files of older formats: `docs/store-format.md` says how a format is changed.
use rusqlite::{Connection, TransactionBehavior};

use super::{fail::Fail, schema::FORMAT};

/// What makes a file of each format, from 1 on, one of the next.
const STEPS: [&str; FORMAT as usize - 1] = [
    "ALTER TABLE job ADD COLUMN began INTEGER;
  CREATE TABLE learned(state INTEGER PRIMARY KEY, rate REAL NOT NULL, ceiling REAL) STRICT;
  CREATE TABLE tuned(state INTEGER PRIMARY KEY, rate TEXT, burst INTEGER, concurrency INTEGER,
  retries INTEGER, backoff TEXT) STRICT",
    "ALTER TABLE job ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE job ADD COLUMN key TEXT;
  ALTER TABLE job ADD COLUMN deadline INTEGER;
  ALTER TABLE job ADD COLUMN children TEXT;
  CREATE TABLE keyed(limiter INTEGER, key TEXT, due_at INTEGER, rate REAL, ceiling REAL,
  PRIMARY KEY(limiter, key)) STRICT, WITHOUT ROWID;
  CREATE TABLE joining(job INTEGER PRIMARY KEY, children TEXT NOT NULL) STRICT;
  CREATE TABLE held_key(limiter INTEGER, key TEXT, since INTEGER NOT NULL,
  PRIMARY KEY(limiter, key)) STRICT, WITHOUT ROWID",
];

/// What lets a file of format 1 be read by today's queries, which leaves it as it is.
const FORMAT_1: &str = "CREATE TEMP VIEW job AS
    SELECT *, NULL AS began, 0 AS priority, NULL AS key, NULL AS deadline, NULL AS children FROM main.job;
  CREATE TEMP VIEW joining AS SELECT 0 AS job, '' AS children WHERE 0;
  CREATE TEMP VIEW learned AS SELECT 0 AS state, 0.0 AS rate, NULL AS ceiling WHERE 0;
  CREATE TEMP VIEW keyed AS SELECT 0 AS limiter, '' AS key, NULL AS due_at, NULL AS rate, NULL AS ceiling WHERE 0;
  CREATE TEMP VIEW held_key AS SELECT 0 AS limiter, '' AS key, 0 AS since WHERE 0;
  CREATE TEMP VIEW tuned AS SELECT 0 AS state, NULL AS rate, NULL AS burst, NULL AS concurrency,
    NULL AS retries, NULL AS backoff WHERE 0";

/// The same of format 2.
const FORMAT_2: &str = "CREATE TEMP VIEW job AS
    SELECT *, 0 AS priority, NULL AS key, NULL AS deadline, NULL AS children FROM main.job;
  CREATE TEMP VIEW joining AS SELECT 0 AS job, '' AS children WHERE 0;
  CREATE TEMP VIEW keyed AS SELECT 0 AS limiter, '' AS key, NULL AS due_at, NULL AS rate, NULL AS ceiling WHERE 0;
  CREATE TEMP VIEW held_key AS SELECT 0 AS limiter, '' AS key, 0 AS since WHERE 0";

/// All steps from an older format to today's, or none.
pub(super) fn migrate(conn: &mut Connection, format: u32) -> Result<(), Fail> {
    if format == FORMAT {
        return Ok(());
    }
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in STEPS.iter().skip(format as usize - 1) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", FORMAT)?;
    Ok(transaction.commit()?)
}

/// Makes today's queries fit for an older file, which this connection only reads.
pub(super) fn read_as_today(conn: &Connection) -> Result<(), Fail> {
    match format(conn)? {
        1 => conn.execute_batch(FORMAT_1)?,
        2 => conn.execute_batch(FORMAT_2)?,
        _ => {}
    }
    Ok(())
}

/// The format of a file.
pub(super) fn format(conn: &Connection) -> Result<u32, rusqlite::Error> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0))
}
