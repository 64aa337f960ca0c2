//! Every store, by turns.
use std::path::Path;

use jorb::{MemoryStore, SqliteStore, Workflow, store::BoxStore};

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Memory,
    Sqlite,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 2] = [Kind::Memory, Kind::Sqlite];
    /// Those that outlive a process.
    pub const DURABLE: [Kind; 1] = [Kind::Sqlite];

    /// A store in this folder: the same one each time, but for memory.
    pub fn at<W: Workflow>(self, folder: &Path) -> BoxStore<W> {
        match self {
            Kind::Memory => Box::new(MemoryStore::new()),
            Kind::Sqlite => Box::new(SqliteStore::at(folder.join("run.jorb"))),
        }
    }
}
