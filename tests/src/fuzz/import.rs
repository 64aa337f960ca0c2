//! Exports: JSON Lines.
use std::io::Cursor;

use jorb::{
    Error, MemoryStore, Run, SqliteStore,
    store::{Access, BoxStore, Seeding, Store},
};

use super::check;
use crate::{flow::Flow, spy::Spy};

/// Any bytes are a whole run, the same in each store, or are refused at a line that is there, and nothing is made.
pub fn import(bytes: &[u8]) {
    let memory = Spy::new(MemoryStore::new());
    let checked = Run::<Flow>::check_import(Cursor::new(bytes));
    let jobs = match Run::<Flow>::import(memory.clone(), Cursor::new(bytes)) {
        Ok(jobs) => jobs,
        Err(Error::Import { line, reason }) => {
            let lines = bytes.split(|b| *b == b'\n').count() as u64 + 1;
            assert!((1..=lines).contains(&line) && !reason.is_empty(), "{line}: {reason}");
            assert!(checked.is_err(), "{line}: {reason}");
            let header = memory.header();
            assert_eq!((header.counts.total(), header.seeding), (0, Seeding::No), "{line}: {reason}");
            return;
        }
        Err(other) => panic!("it names no line: {other}"),
    };
    assert_eq!(checked.expect("it was imported"), jobs);
    let said = told(Box::new(memory));

    // What it left out is filled in now.
    let again = Spy::new(MemoryStore::new());
    Run::<Flow>::import(again.clone(), Cursor::new(&said)).expect("it was written by us");
    assert_eq!(told(Box::new(again)), said, "it is not what was written");
    let folder = tempfile::tempdir().unwrap();
    let sqlite = || SqliteStore::at(folder.path().join("run.jorb"));
    assert_eq!(Run::<Flow>::import(sqlite(), Cursor::new(&said)).unwrap(), jobs);
    assert_eq!(told(Box::new(sqlite())), said, "stores differ");
}

fn told(mut store: BoxStore<Flow>) -> String {
    let header = store.open(Access::Read).unwrap();
    check(&mut *store, &header)
}
