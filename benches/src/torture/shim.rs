//! Faults inside the child: a library that is loaded before all others, and a page on which we tell it what is to fail.
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::marks::monotonic;

/// The library, as `build.rs` made it from `shim/faults.c`; empty where it cannot be made.
const LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/faults.so"));

/// The words of the page, in the order of `shim/faults.c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Loaded,
    Space,
    WriteError,
    Syncs,
    Deny,
    Clock,
    ClockTime,
    ClockSince,
    DieAt,
    DieHow,
    RefusedWrites,
    RefusedSyncs,
    RefusedOpens,
    ClockReads,
    Deaths,
}

const WORDS: usize = Word::Deaths as usize + 1;

/// All of something.
pub(super) const NO_END: u64 = u64::MAX;

/// The library, and the page of the child.
pub(super) struct Shim {
    library: PathBuf,
    page: PathBuf,
    file: File,
}

impl Shim {
    /// Nothing where there is no library.
    pub(super) fn new(folder: &Path) -> io::Result<Option<Self>> {
        if LIBRARY.is_empty() {
            return Ok(None);
        }
        let (library, page) = (folder.join("faults.so"), folder.join("faults.page"));
        fs::write(&library, LIBRARY)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&page)?;
        let shim = Shim { library, page, file };
        shim.reset()?;
        Ok(Some(shim))
    }

    /// Nothing fails, and nothing has.
    pub(super) fn reset(&self) -> io::Result<()> {
        self.file.write_all_at(&[0; WORDS * 8], 0)?;
        self.set(Word::Space, NO_END)
    }

    pub(super) fn set(&self, word: Word, value: u64) -> io::Result<()> {
        self.file.write_all_at(&value.to_ne_bytes(), word as u64 * 8)
    }

    pub(super) fn get(&self, word: Word) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, word as u64 * 8)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// The child's clock shows `time`, and stands or goes on from there.
    pub(super) fn set_clock(&self, time: u64, stands: bool) -> io::Result<()> {
        self.set(Word::ClockTime, time)?;
        self.set(Word::ClockSince, monotonic())?;
        self.set(Word::Clock, if stands { 2 } else { 1 })
    }

    /// Nothing fails any more.
    pub(super) fn lift(&self) -> io::Result<()> {
        self.set(Word::Space, NO_END)?;
        self.set(Word::Syncs, 0)?;
        self.set(Word::Deny, 0)
    }

    /// How often something failed.
    pub(super) fn refused(&self) -> io::Result<u64> {
        let counts = [Word::RefusedWrites, Word::RefusedSyncs, Word::RefusedOpens].map(|word| self.get(word));
        counts.into_iter().sum()
    }

    /// Loads the library into a child that drives the run at `run`, whose path must have no links in it. What it does to
    /// the run is recorded in `journal`.
    pub(super) fn preload(&self, child: &mut Command, run: &Path, journal: &Path) {
        child.env("LD_PRELOAD", &self.library).env("TORTURE_CONTROL", &self.page);
        child.env("TORTURE_RUN", run).env("TORTURE_JOURNAL", journal);
    }
}
