//! Which jobs run at this moment, in a file beside the run: for when the process dies of one of them.
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use uuid::Uuid;

use crate::JobId;

/// The file, while its run is driven: a head and cells of one size, one for each slot that notes what it runs.
///
/// What is written is in the system's cache, and so survives the death of the process; nothing is synced unless that is
/// said. A cell that does not check was torn by a death of the system, and says nothing.
#[derive(Debug)]
pub(crate) struct Steps {
    path: PathBuf,
    file: File,
    cells: Mutex<Cells>,
}

/// That a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) job: JobId,
    /// The commit that the job stands at: another one than at any other step or attempt of it.
    pub(crate) seq: u64,
    /// How often the process died while it ran alone, if it dies now.
    pub(crate) deaths: u32,
}

#[derive(Debug, Default)]
struct Cells {
    free: Vec<u64>,
    /// Cells that nobody had yet begin here.
    next: u64,
}

/// Bytes of a cell, and of the head. A page of the cache has whole ones.
const CELL: usize = 32;
const MAGIC: &[u8; 8] = b"jorbstp1";

impl Steps {
    /// Opens the file at `path`, or makes it, for this run. Gives what it says, with the cells that say so: they stay as they
    /// are until something else is written there. What another run left there is thrown away.
    pub(crate) fn open(path: PathBuf, run: Uuid) -> io::Result<(Steps, Vec<(u64, Note)>)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let head = head(run);
        let mut bytes = Vec::new();
        (&mut file).take(CELL as u64).read_to_end(&mut bytes)?;
        if bytes == head {
            bytes.clear();
            file.read_to_end(&mut bytes)?;
        } else {
            file.set_len(0)?;
            write_at(&file, &head, 0)?;
            bytes.clear();
        }
        let (mut notes, mut cells) = (Vec::new(), Cells::default());
        for cell in bytes.chunks_exact(CELL) {
            match Note::read(cell) {
                Some(note) => notes.push((cells.next, note)),
                None => cells.free.push(cells.next),
            }
            cells.next += 1;
        }
        Ok((Steps { path, file, cells: Mutex::new(cells) }, notes))
    }

    /// What the file at `path` says of this run, to look at; nothing if there is none.
    pub(crate) fn look(path: &Path, run: Uuid) -> io::Result<Vec<Note>> {
        let bytes = match fs::read(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            bytes => bytes?,
        };
        let cells = bytes.strip_prefix(&head(run)).unwrap_or_default();
        Ok(cells.chunks_exact(CELL).filter_map(Note::read).collect())
    }

    /// A cell for a slot.
    pub(crate) fn take(&self) -> u64 {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.free.pop().unwrap_or_else(|| {
            cells.next += 1;
            cells.next - 1
        })
    }

    /// A cell that says nothing any more is for others.
    pub(crate) fn give_back(&self, cell: u64) {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner).free.push(cell);
    }

    /// What a cell says from now on.
    pub(crate) fn write(&self, cell: u64, note: Option<Note>) -> io::Result<()> {
        let bytes = note.map_or([0; CELL], Note::bytes);
        write_at(&self.file, &bytes, (cell + 1) * CELL as u64)
    }

    /// The same, durable when it returns.
    pub(crate) fn write_durably(&self, cell: u64, note: Note) -> io::Result<()> {
        self.write(cell, Some(note))?;
        self.file.sync_all()
    }

    /// Nothing is left to say.
    pub(crate) fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn head(run: Uuid) -> [u8; CELL] {
    let mut head = [0; CELL];
    head[..8].copy_from_slice(MAGIC);
    head[8..24].copy_from_slice(run.as_bytes());
    head
}

impl Note {
    fn bytes(self) -> [u8; CELL] {
        let mut bytes = [0; CELL];
        bytes[..8].copy_from_slice(&self.job.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.deaths.to_le_bytes());
        let sum = sum(&bytes[..24]);
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Nothing if the cell is empty or torn.
    fn read(cell: &[u8]) -> Option<Note> {
        let (said, check) = cell.split_at_checked(24)?;
        let number = |at: usize| Some(u64::from_le_bytes(said.get(at..at + 8)?.try_into().ok()?));
        let checks = check == sum(said).to_le_bytes();
        let note = Note { job: JobId(number(0)?), seq: number(8)?, deaths: u32::try_from(number(16)?).ok()? };
        checks.then_some(note)
    }
}

/// FNV-1a; an empty cell does not check.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, b| (sum ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    let written = std::os::windows::fs::FileExt::seek_write(file, bytes, at)?;
    if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Uuid = Uuid::from_u128(7);

    fn note(job: u64, deaths: u32) -> Note {
        Note { job: JobId(job), seq: !job, deaths }
    }

    /// A folder with the file of a process that died, which had these in flight.
    fn died(notes: &[Note]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jorb.steps");
        let (steps, none) = Steps::open(path.clone(), RUN).unwrap();
        assert_eq!(none, [], "there was no file");
        for note in notes {
            steps.write(steps.take(), Some(*note)).unwrap();
        }
        (folder, path)
    }

    fn found(path: &Path, run: Uuid) -> Vec<Note> {
        let (_, notes) = Steps::open(path.to_owned(), run).unwrap();
        notes.into_iter().map(|(_, note)| note).collect()
    }

    #[test]
    fn what_ran_is_known_after_a_death() {
        let (_folder, path) = died(&[note(0, 0), note(1, 2), note(u64::MAX, u32::MAX)]);
        assert_eq!(found(&path, RUN), [note(0, 0), note(1, 2), note(u64::MAX, u32::MAX)]);
        assert_eq!(found(&path, RUN).len(), 3, "reading changes nothing");
    }

    #[test]
    fn what_has_ended_is_not() {
        let (_folder, path) = died(&[note(1, 0), note(2, 0), note(3, 0)]);
        let (steps, notes) = Steps::open(path.clone(), RUN).unwrap();
        steps.write(notes[1].0, None).unwrap();
        steps.give_back(notes[1].0);
        assert_eq!(found(&path, RUN), [note(1, 0), note(3, 0)]);
        assert_eq!((steps.take(), steps.take()), (1, 3), "cells that say something are not given away");
    }

    #[test]
    fn a_note_of_another_run_is_none() {
        let (_folder, path) = died(&[note(1, 0)]);
        assert_eq!(found(&path, Uuid::from_u128(8)), []);
        assert_eq!(found(&path, RUN), [], "the file is the other run's now");
    }

    #[test]
    fn whatever_is_torn_off_is_not_known_and_harms_nobody() {
        let (_folder, path) = died(&[note(1, 0), note(2, 1)]);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let left = (length / CELL).saturating_sub(1);
            assert_eq!(found(&path, RUN), [note(1, 0), note(2, 1)][..left], "{length} bytes");
        }
    }

    #[test]
    fn a_cell_of_which_a_bit_has_changed_says_nothing() {
        let (_folder, path) = died(&[note(1, 0), note(2, 1)]);
        let whole = fs::read(&path).unwrap();
        for bit in 0..8 * CELL {
            let mut bytes = whole.clone();
            bytes[CELL + bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            assert_eq!(found(&path, RUN), [note(2, 1)], "bit {bit}");
        }
    }

    #[test]
    fn garbage_is_replaced() {
        let (_folder, path) = died(&[]);
        fs::write(&path, "x".repeat(1000)).unwrap();
        assert_eq!(found(&path, RUN), []);
        assert_eq!(fs::read(&path).unwrap().len(), CELL);
    }
}
