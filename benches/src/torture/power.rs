//! What a power cut would have left: of what was not synced, any part may be lost, page by page.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    dice::Dice,
    stored::{beside, copy_run, files},
};

/// Disks and file systems write whole pages.
const PAGE: usize = 4096;

/// What is lost of that which was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    All,
    /// All from some moment on.
    End,
    /// Each page or not.
    Pages,
    #[cfg(test)]
    Nothing,
}

/// The files of a run as they were when all of them were on the disk, and what was done to them since. What a process
/// did not sync before it was killed may be lost as long as none after it has.
pub(super) struct Books {
    base: PathBuf,
    /// Of each process since.
    journals: Vec<PathBuf>,
}

/// A record of `shim/faults.c`.
struct Record {
    kind: u32,
    file: usize,
    at: u64,
    bytes: Vec<u8>,
}

const WRITTEN: u32 = 0;
const CUT: u32 = 1;
const SYNCED: u32 = 2;
const NOT_SYNCED: u32 = 3;
const REMOVED: u32 = 4;

impl Books {
    /// Of a run that is not there yet; `folder` is for the copy.
    pub(super) fn new(folder: &Path) -> Self {
        Books { base: folder.join("base.jorb"), journals: Vec::new() }
    }

    /// All of `run` is on the disk.
    pub(super) fn begin(&mut self, run: &Path) -> io::Result<()> {
        copy_run(run, &self.base)?;
        self.journals.drain(..).try_for_each(|journal| ignore_missing(fs::remove_file(journal)))
    }

    /// Where the next process writes down what it does.
    pub(super) fn next(&mut self) -> &Path {
        let journal = self.base.with_file_name(format!("journal.{}", self.journals.len()));
        self.journals.push(journal);
        self.journals.last().expect("it was pushed")
    }

    /// Processes since [`Books::begin`].
    pub(super) fn processes(&self) -> usize {
        self.journals.len()
    }

    /// Brings the files of `run` into a state in which a power cut could have left them. Gives the first process of
    /// which something could be lost.
    pub(super) fn cut(&self, run: &Path, loss: Loss, dice: &mut Dice) -> io::Result<Option<usize>> {
        let (mut records, mut begins) = (Vec::new(), Vec::new());
        for journal in &self.journals {
            begins.push(records.len());
            match fs::read(journal) {
                Ok(journal) => read(&journal, &mut records),
                Err(e) => ignore_missing(Err(e))?,
            }
        }
        let mut images: Vec<Vec<u8>> =
            files(&self.base).iter().map(|file| fs::read(file).unwrap_or_default()).collect();
        let at_risk = apply(&records, &mut images, loss, dice);
        for (file, image) in files(run).iter().zip(images) {
            if file.exists() {
                fs::write(file, image)?;
            }
        }
        ignore_missing(fs::remove_file(beside(run, "-shm")))?;
        Ok(at_risk.first().map(|record| begins.partition_point(|begin| begin <= record) - 1))
    }
}

fn ignore_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Does what the records say, but for what is lost. Gives the records that could be.
fn apply(records: &[Record], images: &mut [Vec<u8>], loss: Loss, dice: &mut Dice) -> Vec<usize> {
    let at_risk: Vec<usize> =
        (0..records.len()).filter(|n| records[*n].kind == WRITTEN && !is_synced(records, *n)).collect();
    // As many of them as are kept when all from some moment on are lost.
    let end = usize::try_from(dice.below(at_risk.len() as u64 + 1)).expect("below a length");
    for (n, Record { kind, file, at, bytes }) in records.iter().enumerate() {
        let Some(image) = images.get_mut(*file) else { continue };
        let at = usize::try_from(*at).unwrap_or(usize::MAX);
        match *kind {
            WRITTEN => {
                let risk = at_risk.binary_search(&n);
                write(image, at, bytes, || match (risk, loss) {
                    (Err(_), _) => true,
                    (Ok(_), Loss::All) => false,
                    (Ok(n), Loss::End) => n < end,
                    (Ok(_), Loss::Pages) => dice.one_in(2),
                    #[cfg(test)]
                    (Ok(_), Loss::Nothing) => true,
                });
            }
            CUT => image.resize(at, 0),
            REMOVED => image.clear(),
            _ => {}
        }
    }
    at_risk
}

/// The first sync of this file that began after the write says whether it is safe: a sync that failed gave it up.
fn is_synced(records: &[Record], n: usize) -> bool {
    let of = |record: &&Record| {
        record.file == records[n].file && [SYNCED, NOT_SYNCED].contains(&record.kind) && record.at > n as u64
    };
    records[n..].iter().find(of).is_some_and(|record| record.kind == SYNCED)
}

fn write(image: &mut Vec<u8>, mut at: usize, mut bytes: &[u8], mut kept: impl FnMut() -> bool) {
    while !bytes.is_empty() {
        let (here, rest) = bytes.split_at(bytes.len().min(PAGE - at % PAGE));
        if kept() {
            image.resize(image.len().max(at + here.len()), 0);
            image[at..at + here.len()].copy_from_slice(here);
        }
        at += here.len();
        bytes = rest;
    }
}

/// The last record may have been cut: then it is left out.
fn read(mut journal: &[u8], records: &mut Vec<Record>) {
    const HEAD: usize = 24;
    let before = records.len() as u64;
    while let Some((head, rest)) = journal.split_at_checked(HEAD) {
        let word = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let long = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let bytes = usize::try_from(long(16)).ok().and_then(|length| rest.split_at_checked(length));
        let Some((bytes, rest)) = bytes else { break };
        let kind = word(0);
        // A sync counts the records of its own process.
        let at = long(8) + if [SYNCED, NOT_SYNCED].contains(&kind) { before } else { 0 };
        records.push(Record { kind, file: word(4) as usize, at, bytes: bytes.to_vec() });
        journal = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(at: u64, bytes: &[u8]) -> Record {
        Record { kind: WRITTEN, file: 1, at, bytes: bytes.to_vec() }
    }

    fn mark(kind: u32, at: u64) -> Record {
        Record { kind, file: 1, at, bytes: Vec::new() }
    }

    fn left(records: &[Record], loss: Loss, seed: u64) -> (usize, String) {
        let mut images = vec![Vec::new(), b"..".to_vec(), Vec::new()];
        let at_risk = apply(records, &mut images, loss, &mut Dice::new(seed));
        (at_risk.len(), String::from_utf8(images.swap_remove(1)).unwrap())
    }

    #[test]
    fn what_was_synced_stays_and_the_rest_may_go() {
        let records = [
            written(0, b"a"),
            written(1, b"b"),
            mark(SYNCED, 2),
            written(1, b"c"),
            written(2, b"d"),
            mark(SYNCED, 1),
        ];
        assert_eq!(left(&records, Loss::Nothing, 0), (2, "acd".into()));
        assert_eq!(left(&records, Loss::All, 0), (2, "ab".into()));
        let mut found: Vec<_> = (0..50).map(|seed| left(&records, Loss::Pages, seed).1).collect();
        found.sort();
        found.dedup();
        assert_eq!(found, ["ab", "abd", "ac", "acd"]);
        let mut found: Vec<_> = (0..50).map(|seed| left(&records, Loss::End, seed).1).collect();
        found.sort();
        found.dedup();
        assert_eq!(found, ["ab", "ac", "acd"]);
    }

    #[test]
    fn a_sync_that_failed_gives_up_what_was_written_before_it() {
        let records = [written(0, b"a"), mark(NOT_SYNCED, 1), written(1, b"b"), mark(SYNCED, 3)];
        assert_eq!(left(&records, Loss::All, 0), (1, ".b".into()));
    }

    #[test]
    fn files_are_cut_and_removed() {
        let records = [written(0, b"abc"), mark(CUT, 1), mark(SYNCED, 2), written(3, b"d")];
        assert_eq!(left(&records, Loss::Nothing, 0).1, "a\0\0d");
        let records = [written(0, b"abc"), mark(REMOVED, 0), written(0, b"d"), mark(SYNCED, 3)];
        assert_eq!(left(&records, Loss::All, 0).1, "d");
    }

    #[test]
    fn a_record_that_was_cut_is_left_out_and_the_next_process_goes_on() {
        let bytes = |Record { kind, file, at, bytes }: Record| {
            let mut all = kind.to_ne_bytes().to_vec();
            all.extend(u32::try_from(file).unwrap().to_ne_bytes());
            all.extend(at.to_ne_bytes());
            all.extend((bytes.len() as u64).to_ne_bytes());
            all.extend(bytes);
            all
        };
        let mut first: Vec<u8> = [written(0, b"a"), written(1, b"b")].map(bytes).concat();
        first.pop();
        let second: Vec<u8> = [written(2, b"c"), mark(SYNCED, 1)].map(bytes).concat();
        let mut records = Vec::new();
        read(&first, &mut records);
        assert_eq!(records.len(), 1);
        read(&second, &mut records);
        assert_eq!(left(&records, Loss::All, 0), (0, "a.c".into())); // synced by the second process
    }
}
