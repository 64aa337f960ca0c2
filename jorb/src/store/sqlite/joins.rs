//! Jobs that wait for their children.
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    commit::Writer,
    fail::Fail,
    int, read,
    row::{self, natural},
    states::States,
};
use crate::{
    JobId, Join, StateId, Status, Workflow,
    store::{
        Batch, Lane, Record, Seeding,
        joins::{Joins, Lookup, joins},
    },
};

const JOINING: &str = "SELECT children FROM joining WHERE job = ?1";
pub(super) const CHILDREN: &str = "SELECT state, status, count(*) FROM kick
  CROSS JOIN job ON id >= first AND id < first + jobs
  WHERE kick.parent = ?1 AND job.parent = ?1 GROUP BY state, status";

/// What a job waits for: kept apart from its row, which may be large, because it changes with each child's end.
pub(super) fn joining(conn: &Connection, id: JobId) -> Result<Option<Join>, Fail> {
    let mut read = conn.prepare_cached(JOINING)?;
    let text: Option<String> = read.query_row([int(id.0)], |row| row.get(0)).optional()?;
    text.map(|text| parse(&text)).transpose()
}

/// What a job waits for, or how its children stood then.
pub(super) fn parse(text: &str) -> Result<Join, Fail> {
    serde_json::from_str(text).map_err(|e| Fail::Damaged(format!("how children stand: {e}")))
}

pub(super) fn text(join: &Join) -> String {
    serde_json::to_string(join).expect("names and numbers are written without fail")
}

impl Writer<'_> {
    /// What a batch, whose jobs are written, does to joins. Gives the jobs whose joins are over.
    pub(super) fn join<W: Workflow>(
        &mut self,
        batch: &Batch<W>,
        seeding: Seeding,
        joining: u64,
    ) -> Result<Vec<Record<W>>, Fail> {
        let Joins { left, wait, fired } =
            joins(batch, seeding, joining, &mut Written { conn: self.conn, states: self.states })?;
        if left.is_empty() && wait.is_empty() && fired.is_empty() {
            return Ok(Vec::new());
        }
        let mut put = self.conn.prepare_cached("INSERT OR REPLACE INTO joining VALUES (?1, ?2)")?;
        let mut delete = self.conn.prepare_cached("DELETE FROM joining WHERE job = ?1")?;
        for id in left {
            delete.execute([int(id.0)])?;
        }
        for (id, join) in wait {
            put.execute(params![int(id.0), text(&join)])?;
        }
        let mut records = Vec::with_capacity(fired.len());
        for (before, record) in fired {
            let id = record.job.id;
            delete.execute([int(id.0)])?;
            self.stand(id, &before, &record.standing())?;
            row::write(&mut self.job, self.states, &record)?;
            records.push(record);
        }
        Ok(records)
    }
}

/// The jobs after a batch; what they wait for, before it.
struct Written<'a> {
    conn: &'a Connection,
    states: &'a States,
}

impl<W: Workflow> Lookup<W> for Written<'_> {
    type Error = Fail;

    fn joining(&mut self, id: JobId) -> Result<Option<Record<W>>, Fail> {
        if joining(self.conn, id)?.is_none() {
            return Ok(None);
        }
        Ok(read::records(self.conn, self.states, read::JOB, [int(id.0)])?.pop())
    }

    fn all_joining(&mut self) -> Result<Vec<Record<W>>, Fail> {
        let mut all = Vec::new();
        for state in StateId::all() {
            all.extend(read::places(
                self.conn,
                self.states,
                state,
                Status::Joining,
                &Lane::FIRST,
                None,
                usize::MAX,
            )?);
        }
        Ok(all)
    }

    fn children(&mut self, of: JobId, each: &mut dyn FnMut(StateId<W>, Status, u64)) -> Result<(), Fail> {
        let mut read = self.conn.prepare_cached(CHILDREN)?;
        let mut rows = read.query([int(of.0)])?;
        while let Some(row) = rows.next()? {
            each(self.states.state(row.get(0)?)?, row::status(row, 1)?, natural(row, 2)?);
        }
        Ok(())
    }
}
