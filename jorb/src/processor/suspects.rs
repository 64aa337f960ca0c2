//! Jobs whose step may have killed the process: noted while they run, tried alone after its death.
use std::sync::Arc;

use tracing::warn;
use uuid::Uuid;

use super::line::Waiting;
use crate::{
    Error, JobId, StateId, Status, Workflow,
    store::{
        Record, Store,
        steps::{Note, Steps},
    },
};

/// A job that ran when the process died.
pub(super) struct Suspect<W: Workflow> {
    pub(super) state: StateId<W>,
    pub(super) note: Note,
    /// Where that stands.
    cell: u64,
    /// So many deaths are enough.
    most: u32,
}

impl<W: Workflow> Clone for Suspect<W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W: Workflow> Copy for Suspect<W> {}

impl<W: Workflow> Suspect<W> {
    /// It is not to run again; the error says why.
    pub(super) fn verdict(&self) -> Option<String> {
        let Note { deaths, .. } = self.note;
        let times = if deaths == 1 { "once".into() } else { format!("{deaths} times") };
        (deaths >= self.most).then(|| format!("its step killed the process {times} while nothing else ran"))
    }
}

/// The file in which slots note what they run, and what a process that died has left there; nothing if no state asks
/// for that, or the run has no file.
#[allow(clippy::type_complexity)] // one caller
pub(super) fn open<W: Workflow>(
    store: &mut dyn Store<W>,
    run: Uuid,
) -> Result<Option<(Arc<Steps>, Vec<Suspect<W>>)>, Error> {
    if StateId::<W>::all().all(|state| crashes(state).is_none()) {
        return Ok(None);
    }
    let Some(path) = store.beside(".steps") else { return Ok(None) };
    let disk = |e| Error::disk(&path, "note there which jobs run")(e);
    let (steps, notes) = Steps::open(path.clone(), run).map_err(disk)?;
    let mut suspects: Vec<Suspect<W>> = Vec::new();
    for (cell, note) in notes {
        let known = suspects.iter().any(|suspect| suspect.note.job == note.job);
        match suspected(store, note)? {
            Some((state, most)) if !known => suspects.push(Suspect { state, note, cell, most }),
            _ => {
                steps.write(cell, None).map_err(disk)?;
                steps.give_back(cell);
            }
        }
    }
    if !suspects.is_empty() {
        warn!(jobs = suspects.len(), "the process died while these ran: each is tried alone");
    }
    Ok(Some((Arc::new(steps), suspects)))
}

/// Those of a run that nobody drives, for who only looks at it.
pub(crate) fn look<W: Workflow>(store: &mut dyn Store<W>, run: Uuid) -> Result<Vec<JobId>, Error> {
    let Some(path) = store.beside(".steps") else { return Ok(Vec::new()) };
    let notes = Steps::look(&path, run).map_err(Error::disk(&path, "read there which jobs ran"))?;
    let mut suspects = Vec::new();
    for note in notes {
        if suspected(store, note)?.is_some() {
            suspects.push(note.job);
        }
    }
    suspects.sort_unstable();
    suspects.dedup();
    Ok(suspects)
}

/// The state of a job that is noted, and how many deaths are enough there, if it is a suspect.
fn suspected<W: Workflow>(store: &mut dyn Store<W>, note: Note) -> Result<Option<(StateId<W>, u32)>, Error> {
    // One that has moved on since, or was redriven, stands at another commit.
    let stands = |record: &Record<W>| record.seq == note.seq && record.job.status == Status::Ready;
    let state = store.job(note.job)?.filter(stands).map(|record| record.job.state);
    Ok(state.and_then(|state| Some((state, crashes(state)?))))
}

fn crashes<W: Workflow>(state: StateId<W>) -> Option<u32> {
    state.spec().policy?.crashes
}

/// A slot's own cell; nothing where nobody notes.
pub(super) struct Cell {
    steps: Arc<Steps>,
    at: u64,
    /// It says that a job runs.
    says: bool,
}

impl Cell {
    pub(super) fn new(steps: Arc<Steps>) -> Self {
        let at = steps.take();
        Cell { steps, at, says: false }
    }

    /// Notes that a job runs, in place of the one before it.
    pub(super) fn note<W: Workflow>(&mut self, job: &Waiting<W>) {
        let note = Note { job: job.record.job.id, seq: job.record.seq, deaths: 0 };
        write(&self.steps, self.at, Some(note));
        self.says = true;
    }

    /// The job that was noted runs no more, and no other does yet.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.says) {
            write(&self.steps, self.at, None);
        }
    }

    /// Counts, durably, that the process dies of a job that runs alone now, until the job has ended.
    pub(super) async fn count<W: Workflow>(&self, suspect: Suspect<W>) -> Result<Counted, Error> {
        let Suspect { state, note, cell, .. } = suspect;
        let (job, state) = (note.job.0, state.name());
        warn!(job, state, deaths = note.deaths, "ran when the process died: it runs alone now");
        let steps = self.steps.clone();
        let counted = Note { deaths: note.deaths.saturating_add(1), ..note };
        let written = tokio::task::spawn_blocking(move || steps.write_durably(cell, counted)).await;
        let written = written.unwrap_or_else(|e| Err(std::io::Error::other(e)));
        written.map_err(|e| Error::disk(self.steps.path(), "note there that a job runs alone")(e))?;
        Ok(Counted { steps: self.steps.clone(), cell, before: Some(note) })
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.clear();
        self.steps.give_back(self.at);
    }
}

/// A job runs alone.
pub(super) struct Counted {
    steps: Arc<Steps>,
    cell: u64,
    /// What stands there again if the step is dropped.
    before: Option<Note>,
}

impl Counted {
    /// The step has ended, and the process has not died of it.
    pub(super) fn ended(mut self) {
        self.before = None;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        write(&self.steps, self.cell, self.before);
    }
}

/// A note that cannot be written is no reason to keep a job from running.
fn write(steps: &Steps, cell: u64, note: Option<Note>) {
    if let Err(error) = steps.write(cell, note) {
        warn!(path = %steps.path().display(), %error, "cannot note there which jobs run");
    }
}
