//! A bare writer of the rows that jorb writes: no scheduler, no handlers, no reading. The jobs go through their states in
//! waves, in the order of their numbers, which is the friendliest there is.
use std::{
    path::Path,
    time::{Instant, SystemTime},
};

use rusqlite::{Connection, TransactionBehavior, params};

use super::{
    super::{Failed, sample::Outcome, work::Page},
    pages,
    raw::BATCH,
    steps,
};

/// As jorb's, with the same columns.
const CREATE: &str = "
CREATE TABLE job(
  id INTEGER PRIMARY KEY, state INTEGER NOT NULL, status INTEGER NOT NULL,
  step INTEGER NOT NULL, attempt INTEGER NOT NULL, errors INTEGER NOT NULL, kicked INTEGER NOT NULL,
  parent INTEGER, nth INTEGER,
  ready_at INTEGER NOT NULL, delay INTEGER NOT NULL, seq INTEGER NOT NULL, placed INTEGER NOT NULL,
  last_line INTEGER, last_error INTEGER, data TEXT, context TEXT, began INTEGER,
  priority INTEGER NOT NULL DEFAULT 0, key TEXT, deadline INTEGER, children TEXT) STRICT;
CREATE TABLE line(
  id INTEGER PRIMARY KEY, job INTEGER NOT NULL, previous INTEGER,
  step INTEGER NOT NULL, attempt INTEGER NOT NULL, from_state INTEGER NOT NULL, to_state INTEGER NOT NULL,
  at INTEGER NOT NULL, waited INTEGER NOT NULL, ran INTEGER NOT NULL,
  first_child INTEGER, children INTEGER NOT NULL) STRICT;
";
/// The state after the third one.
const ENDED: i64 = 3;
const JOB: &str = "INSERT OR REPLACE INTO job VALUES (?1, ?2, ?3, ?4, 1, 0, 0, NULL, NULL, ?5, 0, ?6, ?7, ?8, NULL, NULL, ?9, NULL, 0, NULL, NULL, NULL)";
const LINE: &str = "INSERT INTO line VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8, ?9, NULL, 0)";

pub(in crate::compare) fn run(jobs: u64, dir: &Path) -> Result<Outcome, Failed> {
    let mut pages = pages(jobs);
    let mut conn = Connection::open(dir.join("bare.sqlite"))?;
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    // A longer log than by default: as long as jorb's, and a little faster.
    conn.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    conn.execute_batch(CREATE)?;
    let mut writer = Writer { seq: 0, line: 0 };
    for (first, wave) in (0..).step_by(BATCH).zip(pages.chunks_mut(BATCH)) {
        writer.commit(&mut conn, first, wave, 0)?;
    }

    let start = Instant::now();
    for (first, wave) in (0..).step_by(BATCH).zip(pages.chunks_mut(BATCH)) {
        for state in 1..=ENDED {
            writer.commit(&mut conn, first, wave, state)?;
        }
    }
    // Which leaves one file, as jorb does.
    conn.close().map_err(|(_, e)| e)?;
    let took = start.elapsed();
    Ok(Outcome::steps(steps(&pages), took))
}

struct Writer {
    seq: i64,
    line: i64,
}

impl Writer {
    /// One transaction: jobs whose numbers follow `first` come to `state`. At first, they are new.
    fn commit(
        &mut self,
        conn: &mut Connection,
        first: i64,
        wave: &mut [Page],
        state: i64,
    ) -> Result<(), Failed> {
        let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut write_job = transaction.prepare_cached(JOB)?;
        let mut write_line = transaction.prepare_cached(LINE)?;
        let jobs = i64::try_from(wave.len())?;
        for (id, page) in (first..).zip(wave) {
            let now = now();
            self.seq += 1;
            let mut line = None;
            if state > 0 {
                page.steps += 1;
                self.line += 1;
                line = Some(self.line);
                let previous = (state > 1).then(|| self.line - jobs);
                let (waited, ran) = (0, 1);
                let from = state - 1;
                write_line.execute(params![self.line, id, previous, from, from, state, now, waited, ran])?;
            }
            let context = serde_json::to_string(page)?;
            let (status, placed) = if state == ENDED { (2, true) } else { (0, false) };
            write_job.execute(params![id, state, status, state, now, self.seq, placed, line, context])?;
        }
        drop((write_job, write_line));
        transaction.commit()?;
        Ok(())
    }
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
