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

#[cfg(test)]
mod tests {
    use std::process::Output;

    use super::{
        super::dice::Dice,
        super::power::{Books, Loss},
        *,
    };

    /// A folder with a shim, and programs that meet it.
    struct Bench {
        shim: Shim,
        folder: tempfile::TempDir,
        books: Books,
    }

    impl Bench {
        /// Nothing where nothing can be preloaded.
        fn new() -> Option<Self> {
            let folder = tempfile::tempdir().unwrap();
            let shim = Shim::new(folder.path()).unwrap()?;
            let mut books = Books::new(folder.path());
            fs::write(folder.path().join("run.jorb"), "before").unwrap();
            books.begin(&folder.path().join("run.jorb")).unwrap();
            Some(Bench { shim, folder, books })
        }

        fn file(&self) -> PathBuf {
            self.folder.path().join("run.jorb")
        }

        /// A program that has the file as `$0`.
        fn sh(&mut self, program: &str) -> Output {
            let file = self.file();
            let mut sh = Command::new("sh");
            sh.env("LC_ALL", "C").args(["-c", program]).arg(&file);
            self.shim.preload(&mut sh, &file, self.books.next());
            let output = sh.output().unwrap();
            assert_eq!(self.shim.get(Word::Loaded).unwrap(), 1);
            output
        }

        fn said(&mut self, program: &str) -> String {
            let output = self.sh(program);
            assert!(!output.status.success(), "{program}");
            String::from_utf8(output.stderr).unwrap()
        }

        fn length(&self) -> u64 {
            fs::metadata(self.file()).unwrap().len()
        }
    }

    const WRITE: &str = "exec dd if=/dev/zero of=$0 bs=4096 count=3 conv=notrunc status=none";
    const WRITE_AND_SYNC: &str = "exec dd if=/dev/zero of=$0 bs=4096 count=3 conv=notrunc,fsync status=none";

    #[test]
    fn a_full_disk_takes_what_there_is_room_for() {
        let Some(mut bench) = Bench::new() else { return };
        bench.shim.set(Word::WriteError, 28).unwrap();
        bench.shim.set(Word::Space, 5_000).unwrap();
        assert!(bench.said(WRITE).contains("No space left on device"));
        assert_eq!((bench.length(), bench.shim.refused().unwrap()), (5_000, 1));
        bench.shim.lift().unwrap();
        assert!(bench.sh(WRITE).status.success());
        assert_eq!(bench.length(), 3 * 4096);
        // Other files have room.
        bench.shim.set(Word::Space, 0).unwrap();
        assert!(bench.sh("exec dd if=/dev/zero of=$0.other bs=1 count=1 status=none").status.success());
    }

    #[test]
    fn a_disk_that_is_read_only_takes_nothing() {
        let Some(mut bench) = Bench::new() else { return };
        bench.shim.set(Word::WriteError, 30).unwrap();
        bench.shim.set(Word::Space, 0).unwrap();
        assert!(bench.said(WRITE).contains("Read-only file system"));
        assert!(bench.said("exec unlink $0").contains("Read-only file system"));
        assert!(bench.said("exec truncate -s 1 $0").contains("Read-only file system"));
        assert_eq!(bench.length(), 6);
    }

    #[test]
    fn files_that_are_read_only_can_be_read() {
        let Some(mut bench) = Bench::new() else { return };
        bench.shim.set(Word::Deny, 1).unwrap();
        assert!(bench.said(WRITE).contains("Permission denied"));
        assert_eq!(bench.sh("cat $0").stdout, b"before");
    }

    #[test]
    fn a_sync_fails_as_often_as_it_is_told_to() {
        let Some(mut bench) = Bench::new() else { return };
        bench.shim.set(Word::Syncs, 1).unwrap();
        assert!(bench.said(WRITE_AND_SYNC).contains("Input/output error"));
        assert!(bench.sh(WRITE_AND_SYNC).status.success());
        // What was given up may be lost for ever, but for what was written again.
        let file = bench.file();
        bench.books.cut(&file, Loss::All, &mut Dice::new(0)).unwrap();
        assert_eq!(bench.length(), 3 * 4096);
    }

    #[test]
    fn a_process_dies_before_in_the_middle_of_or_after_a_write() {
        use std::os::unix::process::ExitStatusExt;
        for (how, length) in [(0, 4096), (1, 4096 + 2048), (2, 2 * 4096)] {
            let Some(mut bench) = Bench::new() else { return };
            bench.shim.set(Word::DieHow, how).unwrap();
            bench.shim.set(Word::DieAt, 2).unwrap();
            assert_eq!(bench.sh(WRITE).status.signal(), Some(9));
            assert_eq!((bench.length(), bench.shim.get(Word::Deaths).unwrap()), (length, 1));
        }
    }

    /// In 2001.
    const TIME: u64 = 1_000_000_000_000_000_000;

    #[test]
    fn the_clock_stands_or_runs() {
        let Some(mut bench) = Bench::new() else { return };
        bench.shim.set_clock(TIME, true).unwrap();
        assert_eq!(bench.sh("exec date +%s%N").stdout, b"1000000000000000000\n");
        bench.shim.set_clock(TIME, false).unwrap();
        let told = String::from_utf8(bench.sh("exec date +%s%N").stdout).unwrap();
        let told: u64 = told.trim().parse().unwrap();
        assert!(told > TIME && told < TIME + 60_000_000_000, "{told}");
    }

    #[test]
    fn the_journal_says_what_was_done_and_what_was_synced() {
        let Some(mut bench) = Bench::new() else { return };
        let file = bench.file();
        let cut = |bench: &Bench, loss| {
            let after = fs::read(bench.file()).unwrap();
            let at_risk = bench.books.cut(&file, loss, &mut Dice::new(0)).unwrap();
            let left = fs::read(&file).unwrap();
            fs::write(&file, &after).unwrap();
            (at_risk, left, after)
        };
        assert!(bench.sh(WRITE).status.success());
        let (at_risk, left, after) = cut(&bench, Loss::Nothing);
        assert_eq!((at_risk, left == after), (Some(0), true));
        assert_eq!(cut(&bench, Loss::All).1, b"before");
        assert!(
            bench
                .sh("exec dd if=/dev/zero of=$0 bs=100 seek=200 count=1 conv=notrunc,fsync status=none")
                .status
                .success()
        );
        // The second process synced what the first one had left.
        let (at_risk, left, after) = cut(&bench, Loss::All);
        assert_eq!((at_risk, left == after, left.len()), (None, true, 20_100));
        assert!(bench.sh("exec truncate -s 10 $0").status.success());
        let (at_risk, left, after) = cut(&bench, Loss::All);
        assert_eq!((at_risk, left == after, left.len()), (None, true, 10));
    }
}
