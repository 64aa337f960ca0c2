//! Every store, by turns.
use std::path::Path;

use jorb::{JsonStore, MemoryStore, SqliteStore, Workflow, store::BoxStore};

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Memory,
    Sqlite,
    Json,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Memory, Kind::Sqlite, Kind::Json];
    /// Those that outlive a process.
    pub const DURABLE: [Kind; 2] = [Kind::Sqlite, Kind::Json];

    /// A store in this folder: the same one each time, but for memory.
    pub fn at<W: Workflow>(self, folder: &Path) -> BoxStore<W> {
        match self {
            Kind::Memory => Box::new(MemoryStore::new()),
            Kind::Sqlite => Box::new(SqliteStore::at(folder.join("run.jorb"))),
            Kind::Json => Box::new(JsonStore::at(folder.join("run.json"))),
        }
    }
}
