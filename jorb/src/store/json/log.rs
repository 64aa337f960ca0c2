//! The log: what was committed since the document was written, a line per batch.
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    commit::Commit,
    document::{beside, sync_folder},
};
use crate::Error;

/// A line.
#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Line<'a> {
    run: Uuid,
    generation: u64,
    n: u64,
    /// Of all the others: a part of a line that reached the disk may look like JSON.
    sum: u64,
    #[serde(borrow)]
    commit: &'a RawValue,
}

/// Which document a log belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tie {
    pub(super) run: Uuid,
    pub(super) generation: u64,
}

/// What is in a log.
pub(super) enum Found {
    /// What was committed since the document was written.
    Commits(Vec<Commit>),
    /// The document is newer: it has all that the log says.
    Older,
    /// The document is older than the log.
    Newer,
}

/// Reads what is there of a log. The last line may be torn: then its batch was not committed.
pub(super) fn parse(bytes: &[u8], tie: Tie) -> Result<Found, String> {
    let mut commits = Vec::new();
    let mut lines = bytes.split_inclusive(|b| *b == b'\n').peekable();
    let mut n = 0;
    while let Some(text) = lines.next() {
        n += 1;
        let (line, commit) = match line(text) {
            Ok(line) => line,
            Err(_) if lines.peek().is_none() && !goes_on(text) => break,
            Err(reason) => return Err(format!("line {n} of its log: {reason}")),
        };
        if n == 1 && (line.run != tie.run || line.generation < tie.generation) {
            return Ok(Found::Older);
        }
        if n == 1 && line.generation > tie.generation {
            return Ok(Found::Newer);
        }
        if (line.run, line.generation, line.n) != (tie.run, tie.generation, n) {
            return Err(format!("line {n} of its log: it is from another log"));
        }
        commits.push(commit);
    }
    Ok(Found::Commits(commits))
}

fn line(text: &[u8]) -> Result<(Line<'_>, Commit), String> {
    let text = text.strip_suffix(b"\n").ok_or("it has no end")?;
    let line: Line<'_> = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    if line.sum != line.sum() {
        return Err("its checksum is wrong".into());
    }
    let commit = serde_json::from_str(line.commit.get()).map_err(|e| e.to_string())?;
    Ok((line, commit))
}

/// A whole line is there, but its end was overwritten: a torn line has no end, or zeros in its place.
fn goes_on(text: &[u8]) -> bool {
    let mut lines = serde_json::Deserializer::from_slice(text).into_iter::<Line<'_>>();
    let whole = matches!(lines.next(), Some(Ok(line)) if line.sum == line.sum());
    whole && text.get(lines.byte_offset()).is_some_and(|b| !b"\n\0".contains(b))
}

impl Line<'_> {
    /// FNV-1a.
    fn sum(&self) -> u64 {
        let tie = format!("{} {} {} ", self.run, self.generation, self.n);
        let bytes = tie.bytes().chain(self.commit.get().bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |sum, b| (sum ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
    }
}

/// A log that is written.
pub(super) struct Log {
    path: PathBuf,
    document: PathBuf,
    file: Option<File>,
    tie: Tie,
    /// Batches in it.
    n: u64,
    /// Bytes in it.
    length: u64,
    /// It may hold something that was not committed: nothing may be written behind that.
    broken: bool,
}

impl Log {
    /// The log beside a document of which nothing was committed since.
    pub(super) fn at(document: &Path, tie: Tie) -> Self {
        let path = beside(document, ".log");
        Log { path, document: document.to_owned(), file: None, tie, n: 0, length: 0, broken: false }
    }

    /// As [`Log::at`], and throws away what is there: an older log, or a torn line.
    pub(super) fn empty(document: &Path, tie: Tie) -> Result<Self, Error> {
        let log = Log::at(document, tie);
        let path = &log.path;
        match OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(0)) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::disk(path, "empty it")(e)),
            _ => Ok(log),
        }
    }

    /// What it belongs to.
    pub(super) fn tie(&self) -> Tie {
        self.tie
    }

    /// Bytes in it.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Durable when it returns. When it fails, the log is as before.
    pub(super) fn append(&mut self, commit: &str) -> Result<(), Error> {
        if self.broken {
            let source = "an earlier write failed; open the run again";
            return Err(Error::disk(&self.path, "commit a batch")(source));
        }
        let Tie { run, generation } = self.tie;
        let raw: &RawValue =
            serde_json::from_str(commit).map_err(Error::disk(&self.path, "write a batch"))?;
        let line = Line { run, generation, n: self.n + 1, sum: 0, commit: raw };
        let line = Line { sum: line.sum(), ..line };
        let mut text = serde_json::to_string(&line).map_err(Error::disk(&self.path, "write a batch"))?;
        text.push('\n');
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let made = create(&self.path, &self.document);
                none.insert(made.map_err(Error::disk(&self.path, "make it"))?)
            }
        };
        if let Err(e) = file.write_all(text.as_bytes()) {
            // A part of a line would hide the lines behind it.
            self.broken = file.set_len(self.length).is_err();
            return Err(Error::disk(&self.path, "commit a batch")(e));
        }
        if let Err(e) = file.sync_data() {
            // What the disk has now is anyone's guess, and a second sync would not tell.
            self.broken = true;
            let _ = file.set_len(self.length);
            return Err(Error::disk(&self.path, "commit a batch")(e));
        }
        self.n += 1;
        self.length += text.len() as u64;
        Ok(())
    }

    /// Refuses all further commits: it is not known any more which document it belongs to.
    pub(super) fn give_up(&mut self) {
        self.broken = true;
    }

    /// Removes the file, which must be empty or older than the document.
    pub(super) fn remove(&mut self) -> Result<(), Error> {
        self.file = None;
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::disk(&self.path, "remove it")(e)),
            _ => Ok(()),
        }
    }
}

/// Opens the log, which nobody may read who may not read the document.
fn create(path: &Path, document: &Path) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    file.set_permissions(fs::metadata(document)?.permissions())?;
    sync_folder(document)?;
    Ok(file)
}

/// The bytes of the log beside a document; none if there is none.
pub(super) fn bytes(document: &Path) -> Result<Vec<u8>, Error> {
    let path = beside(document, ".log");
    match fs::read(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|e: io::Error| Error::disk(&path, "read it")(e)),
    }
}
