//! States by their numbers in a file.
use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::fail::Fail;
use crate::{StateId, Workflow};

/// Which row of `state` is which state of the program.
#[derive(Default)]
pub(super) struct States {
    /// By place in [`Workflow::STATES`]: the number under which it is written.
    ids: Vec<i64>,
    /// All numbers, with places: more than one per place in a file with old names that was opened for reading.
    places: Vec<(i64, usize)>,
    /// By name, for what is told of the past. There are few, and each line asks for two: a tree is faster than hashes.
    names: BTreeMap<String, i64>,
}

/// A row of `state` whose name is not that of a state any more.
pub(super) struct Stranger {
    pub(super) id: i64,
    pub(super) name: String,
}

impl States {
    /// Reads them. States that have no row are left out; see [`States::adopt`].
    pub(super) fn read<W: Workflow>(conn: &Connection) -> Result<(Self, Vec<Stranger>), Fail> {
        let mut states = States { ids: vec![0; W::STATES.len()], ..States::default() };
        let mut strangers = Vec::new();
        let mut rows = conn.prepare("SELECT id, name FROM state ORDER BY id")?;
        let rows = rows.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
        for row in rows {
            let (id, name) = row?;
            match StateId::<W>::named(&name) {
                Some(state) => {
                    states.places.push((id, state.index()));
                    let known = &mut states.ids[state.index()];
                    if *known == 0 || state.name() == name {
                        *known = id;
                    }
                }
                None => strangers.push(Stranger { id, name: name.clone() }),
            }
            states.names.insert(name, id);
        }
        Ok((states, strangers))
    }

    /// Gives every state of the program one row, under today's name: old names are replaced, rows of two names of
    /// one state made one, missing rows made. In a transaction.
    pub(super) fn adopt<W: Workflow>(&mut self, conn: &Connection) -> Result<(), Fail> {
        for (from, place) in std::mem::take(&mut self.places) {
            let to = self.ids[place];
            if from != to {
                merge(conn, from, to)?;
            }
        }
        for state in StateId::<W>::all() {
            let id = &mut self.ids[state.index()];
            if *id == 0 {
                conn.execute("INSERT INTO state(name) VALUES (?1)", [state.name()])?;
                *id = conn.last_insert_rowid();
            } else {
                conn.execute(
                    "UPDATE state SET name = ?2 WHERE id = ?1 AND name <> ?2",
                    params![*id, state.name()],
                )?;
            }
            self.places.push((*id, state.index()));
        }
        Ok(())
    }

    /// Every state has exactly one row, under its name.
    pub(super) fn adopted<W: Workflow>(&self) -> bool {
        self.places.len() == self.ids.len()
            && StateId::<W>::all().all(|s| self.names.get(s.name()) == Some(&self.ids[s.index()]))
    }

    /// Under which number to write.
    pub(super) fn id<W: Workflow>(&self, state: StateId<W>) -> i64 {
        self.ids[state.index()]
    }

    /// Under which numbers to look.
    pub(super) fn ids_of<W: Workflow>(&self, state: StateId<W>) -> impl Iterator<Item = i64> {
        self.places.iter().filter(move |(_, place)| *place == state.index()).map(|(id, _)| *id)
    }

    /// Which state of the program a number means.
    pub(super) fn state<W: Workflow>(&self, id: i64) -> Result<StateId<W>, Fail> {
        let found = self.places.iter().find(|(known, _)| *known == id);
        let (_, place) = found.ok_or_else(|| Fail::Damaged(format!("there is no state number {id}")))?;
        Ok(StateId::at(*place))
    }

    /// The number of a name, which need not be one of today's: histories may come from elsewhere.
    pub(super) fn named(&self, conn: &Connection, name: &str) -> Result<i64, Fail> {
        if let Some(id) = self.names.get(name) {
            return Ok(*id);
        }
        conn.execute("INSERT INTO state(name) VALUES (?1) ON CONFLICT DO NOTHING", [name])?;
        let id = conn.query_row("SELECT id FROM state WHERE name = ?1", [name], |row| row.get(0))?;
        Ok(id)
    }
}

/// Everything in state `from` is in state `to`.
fn merge(conn: &Connection, from: i64, to: i64) -> Result<(), Fail> {
    // Where both have a row, the sum, or either, is right.
    const ALL: [&str; 18] = [
        "INSERT INTO count SELECT ?2, status, jobs FROM count WHERE state = ?1
           ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs",
        "DELETE FROM count WHERE state = ?1 AND ?2",
        "INSERT INTO fresh SELECT ?2, jobs FROM fresh WHERE state = ?1
           ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs",
        "DELETE FROM fresh WHERE state = ?1 AND ?2",
        "UPDATE OR REPLACE held SET state = ?2 WHERE state = ?1",
        "UPDATE OR REPLACE limiter SET state = ?2 WHERE state = ?1",
        "UPDATE OR REPLACE learned SET state = ?2 WHERE state = ?1",
        "UPDATE OR REPLACE keyed SET limiter = ?2 WHERE limiter = ?1",
        "UPDATE OR REPLACE held_key SET limiter = ?2 WHERE limiter = ?1",
        "UPDATE OR REPLACE tuned SET state = ?2 WHERE state = ?1",
        "UPDATE job SET state = ?2 WHERE state = ?1",
        "UPDATE place SET state = ?2 WHERE state = ?1",
        "UPDATE line SET from_state = iif(from_state = ?1, ?2, from_state), to_state = iif(to_state = ?1, ?2, to_state)
           WHERE from_state = ?1 OR to_state = ?1",
        "UPDATE error SET state = ?2 WHERE state = ?1",
        "INSERT INTO dropped SELECT job, ?2, lines, errors FROM dropped WHERE state = ?1
           ON CONFLICT DO UPDATE SET lines = lines + excluded.lines, errors = errors + excluded.errors",
        "DELETE FROM dropped WHERE state = ?1 AND ?2",
        "UPDATE OR REPLACE once SET state = ?2 WHERE state = ?1",
        "DELETE FROM state WHERE id = ?1 AND ?2",
    ];
    for sql in ALL {
        conn.execute(sql, [from, to])?;
    }
    Ok(())
}
