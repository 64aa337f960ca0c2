//! A run as a JSON document.
use std::{
    fs::{self, OpenOptions},
    io::ErrorKind,
    path::{Path, PathBuf},
    time::SystemTime,
};

use uuid::Uuid;

use super::{
    Access, Batch, Committed, Header, Lane, OnceKey, Record, Restored, Store, Story, Turn,
    entry::{Entry, Head},
    lock::{Lock, beside, canonical},
    table::{Once, Row, Table},
};
use crate::{Error, Form, JobId, StateId, Status, Timestamp, Unwritable, Workflow};

use commit::Commit;
use log::{Found, Log, Tie};

mod commit;
mod document;
mod layout;
mod log;

/// The most jobs in a run.
const MOST: u64 = 100_000;
/// The document is written when the log is so many times as long,
const FACTOR: u64 = 4;
/// and at least this long.
const SHORTEST: u64 = 1 << 20;

/// Keeps a run in one readable JSON document, which a person may edit while no program has it open.
///
/// To build again all that failed to build, replace `"state": "BuildFailed"` by `"state": "Edit"`: what can be
/// derived from the jobs (who is ready, who has ended, how many there are) is derived when the document is opened,
/// and a job whose state was replaced starts there with its first attempt. A job can be written by hand as
/// `{"state": "Fetch", "context": {"url": "https://example.org/"}}`, a run as `{"jorb": 1, "jobs": [..]}`.
///
/// While a run is driven, commits go to a log beside the document (`<path>.log`), each durable before the next step
/// of its job starts. The log is folded into the document now and then, when the run is closed, and after a crash
/// when it is opened. A run holds at most 100,000 jobs; [`SqliteStore`](crate::SqliteStore) has no such bound.
///
/// ```
/// use jorb::{JsonStore, Processor, Run, prelude::*};
///
/// #[workflow]
/// #[derive(Debug, Clone)]
/// pub enum Patch {
///     #[state(initial, next(Done))]
///     Edit,
///     #[state(terminal)]
///     Done,
/// }
///
/// #[state]
/// async fn edit(_: patch::Edit) -> Outcome<patch::Edit> {
///     Ok(Next::to(patch::Done))
/// }
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("patch.json");
/// let mut run = Run::<Patch>::open(JsonStore::at(&path))?;
/// run.seed((), |jobs| jobs.add(Kick::new(patch::Edit, ())))?;
/// Processor::new(()).exec(&mut run).await?;
///
/// assert!(std::fs::read_to_string(&path)?.contains(r#""state": "Done""#));
/// # Ok(()) }
/// ```
pub struct JsonStore<W: Workflow> {
    path: PathBuf,
    open: Option<Open<W>>,
}

struct Open<W: Workflow> {
    table: Table<W>,
    /// Nothing when the run is only looked at.
    drive: Option<Drive>,
}

struct Drive {
    log: Log,
    /// Length of the log at which the document is written again.
    rewrite_at: u64,
    lock: Lock,
}

impl<W: Workflow> JsonStore<W> {
    /// The run in this file, which need not exist yet; its folder must.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        JsonStore { path: path.into(), open: None }
    }

    fn table(&self) -> Result<&Table<W>, Error> {
        match &self.open {
            Some(open) => Ok(&open.table),
            None => Err(Error::disk(&self.path, "read it")("it is not open")),
        }
    }

    fn driven(&mut self) -> Result<(&mut Table<W>, &mut Drive), Error> {
        match &mut self.open {
            Some(Open { table, drive: Some(drive) }) => Ok((table, drive)),
            _ => Err(Error::disk(&self.path, "change it")("it is open only to be read")),
        }
    }

    /// Commits what a batch is, and then makes it so.
    fn append(&mut self, commit: &Commit) -> Result<(), Error> {
        let path = self.path.clone();
        let text = serde_json::to_string(commit).map_err(Error::disk(&path, "write a batch"))?;
        self.driven()?.1.log.append(&text)
    }

    fn refuse_more_than_most(&self, new: usize) -> Result<(), Error> {
        let jobs = self.table()?.len() + new;
        if jobs as u64 > MOST {
            return Err(Error::TooLarge { path: self.path.clone(), most: MOST });
        }
        Ok(())
    }

    /// Writes the document if the log has grown long. What was committed stays committed if that fails.
    fn rewrite_if_long(&mut self) {
        let path = self.path.clone();
        if let Ok((table, drive)) = self.driven()
            && drive.log.length() >= drive.rewrite_at
            && rewrite(&path, table, drive).is_err()
        {
            drive.rewrite_at = drive.log.length() * 2;
        }
    }
}

/// Writes the document and empties the log. In this order: until the new document is durable under its name, the
/// old one and its log are the run; from then on the log is of an older generation and counts for nothing.
fn rewrite<W: Workflow>(path: &Path, table: &Table<W>, drive: &mut Drive) -> Result<(), Error> {
    let tie = Tie { run: table.header().run, generation: drive.log.tie().generation + 1 };
    let text = document::text(table, tie.generation).map_err(|(id, source)| unwritable(id, source))?;
    document::replace(path, &text)?;
    let emptied = document::sync_folder(path)
        .map_err(Error::disk(path, "sync its folder"))
        .and_then(|()| Log::empty(path, tie));
    drive.log = emptied.inspect_err(|_| drive.log.give_up())?;
    drive.rewrite_at = (text.len() as u64 * FACTOR).max(SHORTEST);
    Ok(())
}

fn unwritable(id: JobId, source: Unwritable) -> Error {
    Error::Unwritable { what: format!("job {id}"), source }
}

/// What is on the disk: the run, its document's tie, and whether the document alone says the same.
fn read<W: Workflow>(path: &Path) -> Result<Option<(Table<W>, Tie, bool)>, Error> {
    // A process that drives the run may write the document at any time.
    for _ in 0..100 {
        let before = identity(path);
        let bytes = match fs::read(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(Error::disk(path, "read it"))?,
        };
        let log = log::bytes(path)?;
        if identity(path) != before {
            continue;
        }
        let document = document::parse::<W>(path, &bytes)?;
        let tie =
            Tie { run: document.run.unwrap_or(Uuid::nil()), generation: document.generation.unwrap_or(0) };
        let damaged = |reason: String| Error::Damaged { path: path.to_owned(), reason };
        let commits = match log::parse(&log, tie).map_err(damaged)? {
            Found::Commits(commits) => commits,
            Found::Older => Vec::new(),
            Found::Newer => return Err(damaged("its log goes with a newer document".into())),
        };
        let (table, changed) = document::run(path, document, commits)?;
        return Ok(Some((table, tie, changed)));
    }
    Err(Error::disk(path, "read it")("it is written again all the time"))
}

/// Changes whenever the document is written.
fn identity(path: &Path) -> Option<(u64, u64, Option<SystemTime>)> {
    let meta = fs::metadata(path).ok()?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&meta);
    #[cfg(not(unix))]
    let inode = 0;
    Some((inode, meta.len(), meta.modified().ok()))
}

fn drive<W: Workflow>(path: &Path, lock: Lock) -> Result<Open<W>, Error> {
    let new =
        || (Table::new(Uuid::new_v4(), Timestamp::now()), Tie { run: Uuid::nil(), generation: 0 }, true);
    let found = read(path)?;
    if found.is_some() {
        // A rename would replace a file that may not be written.
        OpenOptions::new().write(true).open(path).map_err(Error::disk(path, "open it to write"))?;
    }
    let (table, tie, changed) = found.unwrap_or_else(new);
    let mut drive = Drive { log: Log::at(path, tie), rewrite_at: 0, lock };
    if changed {
        rewrite(path, &table, &mut drive)?;
    } else {
        drive.log = Log::empty(path, tie)?;
        drive.rewrite_at = SHORTEST.max(fs::metadata(path).map_or(0, |meta| meta.len() * FACTOR));
    }
    Ok(Open { table, drive: Some(drive) })
}

impl<W: Workflow> Store<W> for JsonStore<W> {
    fn form(&self) -> Form {
        Form::Json
    }

    fn blocks(&self) -> bool {
        true
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn beside(&self, suffix: &str) -> Option<PathBuf> {
        beside(&self.path, suffix)
    }

    fn open(&mut self, access: Access) -> Result<Header<W>, Error> {
        let held = self.open.take().and_then(|open| open.drive).map(|drive| drive.lock);
        self.path = canonical(&self.path)?;
        let open = match access {
            Access::Drive => drive(&self.path, held.map_or_else(|| Lock::take(&self.path), Ok)?)?,
            Access::Read => {
                let (table, ..) =
                    read(&self.path)?.ok_or_else(|| Error::NoRun { path: self.path.clone() })?;
                Open { table, drive: None }
            }
        };
        Ok(self.open.insert(open).table.header())
    }

    fn commit(&mut self, batch: &Batch<W>) -> Result<Committed<W>, Error> {
        let refused = self.driven()?.0.refused(batch);
        let new = batch.changes.iter().map(|change| change.kicks.len()).sum::<usize>() + batch.added.len();
        self.refuse_more_than_most(new - refused.len())?;
        let table = self.table()?;
        let joins = table.joins(batch);
        self.append(&Commit::of(table, batch, &refused, &joins)?)?;
        let committed = self.driven()?.0.apply(batch, joins);
        self.rewrite_if_long();
        Ok(committed)
    }

    fn clear(&mut self) -> Result<(), Error> {
        let path = self.path.clone();
        let (table, drive) = self.driven()?;
        let empty = table.cleared();
        rewrite(&path, &empty, drive)?;
        *table = empty;
        Ok(())
    }

    fn restore(&mut self, jobs: Vec<Restored<W>>) -> Result<(), Error> {
        self.refuse_more_than_most(jobs.len())?;
        let entry = |Restored { record, story, once }: &Restored<W>| {
            let once = once.as_ref().map(Once::from);
            Entry::of(record, story.clone(), once).map_err(|e| unwritable(record.job.id, e))
        };
        let entries = jobs.iter().map(entry).collect::<Result<_, _>>()?;
        let header = Header { overall: None, ..self.table()?.header() };
        let head = Head::of(&header).map_err(|e| unwritable(JobId(0), e))?;
        self.append(&Commit { head, jobs: entries })?;
        let table = self.driven()?.0;
        jobs.into_iter().map(Row::from).for_each(|row| table.add(row));
        self.rewrite_if_long();
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        let path = self.path.clone();
        let Some(Open { table, drive: Some(drive) }) = &mut self.open else {
            return Ok(());
        };
        if drive.log.length() > 0 {
            rewrite(&path, table, drive)?;
        }
        drive.log.remove()
    }

    fn page(&mut self, from: JobId, most: usize) -> Result<Vec<Record<W>>, Error> {
        Ok(self.table()?.page(from, most))
    }

    fn moving(&mut self) -> Result<Vec<Record<W>>, Error> {
        Ok(self.table()?.moving())
    }

    fn line(
        &mut self,
        state: StateId<W>,
        status: Status,
        lane: &Lane,
        after: Option<Turn>,
        most: usize,
    ) -> Result<Vec<Record<W>>, Error> {
        Ok(self.table()?.line(state, status, lane, after, most))
    }

    fn lanes(
        &mut self,
        state: StateId<W>,
        status: Status,
        after: Option<&Lane>,
        most: usize,
    ) -> Result<Vec<Lane>, Error> {
        Ok(self.table()?.lanes(state, status, after, most))
    }

    fn job(&mut self, id: JobId) -> Result<Option<Record<W>>, Error> {
        Ok(self.table()?.job(id))
    }

    fn child(&mut self, parent: JobId, n: u64) -> Result<Option<JobId>, Error> {
        Ok(self.table()?.child(parent, n))
    }

    fn story(&mut self, id: JobId) -> Result<Story, Error> {
        Ok(self.table()?.story(id))
    }

    fn once(&mut self, id: JobId) -> Result<Option<OnceKey<W>>, Error> {
        Ok(self.table()?.once(id))
    }
}
