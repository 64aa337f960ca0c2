//! What can go wrong with a run, and what to do about it.
use std::{fmt, io, path::PathBuf};

use crate::{BoxError, JobId, Unreadable, Unwritable};

/// What went wrong with a run. Nothing was changed unless the text says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store could not be read or written: no such folder, no permission, a full disk, a failing one.
    #[error("{path}: cannot {doing}: {source}", path = path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What was tried: `open it`, `commit a batch`.
        doing: &'static str,
        /// Why it failed.
        source: BoxError,
    },
    /// The file is not a run.
    #[error("{path} is not a jorb run: {reason}; give the path of a run, or of a file that does not exist yet", path = path.display())]
    NotARun {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// The file is a run, but damaged.
    #[error("{path} is damaged: {reason}; restore a backup, or export what can be read", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file was written by a newer version of jorb.
    #[error("{path} has format {found}, this version of jorb knows formats up to {known}; upgrade jorb", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// The run belongs to another workflow.
    #[error("{path} is a run of workflow `{found}`, not of `{expected}`; give another path, or say `#[workflow(name = \"{found}\")]` if it was renamed", path = path.display())]
    OtherWorkflow {
        /// The file.
        path: PathBuf,
        /// Whose run it is.
        found: String,
        /// The workflow of this program.
        expected: &'static str,
    },
    /// The run has jobs in states that this program does not know.
    #[error("{path} has jobs in states that `{workflow}` does not have: {states}; add the states, or say `alias = \"..\"` on the variant that replaces one", path = path.display(), states = List(states))]
    UnknownStates {
        /// The file.
        path: PathBuf,
        /// The workflow of this program.
        workflow: &'static str,
        /// The states.
        states: Vec<UnknownState>,
    },
    /// Another process has the run open.
    #[error("{path} is in use by process {pid}; wait for it, or stop it", path = path.display())]
    InUse {
        /// The file.
        path: PathBuf,
        /// The other process.
        pid: u32,
    },
    /// The file is on a filesystem on which locks and fsync cannot be trusted.
    #[error("{path} is on a network filesystem ({kind}); keep runs on a local disk", path = path.display())]
    NetworkFilesystem {
        /// The file.
        path: PathBuf,
        /// Which filesystem.
        kind: &'static str,
    },
    /// There are more jobs than this store is made for.
    #[error("{path}: a JSON run holds at most {most} jobs; use `SqliteStore`, and `export` and `import` to move the run there", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most jobs.
        most: u64,
    },
    /// There is no run to look at.
    #[error("{path}: there is no run here; start one with `run`", path = path.display())]
    NoRun {
        /// The file.
        path: PathBuf,
    },
    /// A context or a state cannot be written as JSON.
    #[error("{what}: {source}")]
    Unwritable {
        /// Which job, or the overall context.
        what: String,
        /// Which field, and why.
        source: Unwritable,
    },
    /// A context or a state does not fit today's type.
    #[error("{what}: {source}")]
    Unreadable {
        /// Which job, or the overall context.
        what: String,
        /// Why.
        source: Unreadable,
    },
    /// Of all jobs that were looked at, none fits today's types: parking each of them would help nobody.
    #[error("{path}: the saved jobs do not fit today's types: {source} (looked at jobs {jobs}); give new fields a `#[serde(default)]`, or go back to the program that wrote them", path = path.display(), jobs = Ids(jobs))]
    UnreadableJobs {
        /// The file.
        path: PathBuf,
        /// The jobs.
        jobs: Vec<JobId>,
        /// What is wrong with the first of them.
        source: Unreadable,
    },
    /// The iterator or closure that seeds the run failed; the run is still unseeded.
    #[error("seeding failed, the run is still unseeded: {0}")]
    Seed(#[source] BoxError),
    /// A processor took the run and was dropped before it gave it back.
    #[error("the run went away with a processor that was dropped; open it again")]
    Away,
    /// The processor that was to cancel jobs ended before that was durable.
    #[error(
        "the processor ended before it was known that the jobs are cancelled; look, and cancel them again"
    )]
    NotCancelled,
    /// The run has not been seeded.
    #[error("the run has not been seeded; call `seed` first")]
    Unseeded,
    /// There is no job of this name.
    #[error("there is no job {0}")]
    NoSuchJob(String),
    /// There is no state of this name.
    #[error("there is no state `{}`{}", .0.name, Nearest(.0.nearest))]
    NoSuchState(UnknownState),
    /// There is neither a state that runs steps nor a limiter of this name.
    #[error("there is no state with a handler, and no limiter, of the name `{}`{}", .0.name, Nearest(.0.nearest))]
    NoSuchTarget(UnknownState),
    /// There is no limiter of this name.
    #[error("there is no limiter `{}`{}", .0.name, Nearest(.0.nearest))]
    NoSuchLimiter(UnknownState),
    /// A key was named of a limiter that has none.
    #[error("`{limiter}` has no keys: it is not `keyed`; name the states that take of it")]
    NotKeyed {
        /// The limiter.
        limiter: &'static str,
    },
    /// An empty key stands for none: a step that has it takes nothing of the limiter.
    #[error("an empty key of `{limiter}` stands for none; give a key")]
    EmptyKey {
        /// The limiter.
        limiter: &'static str,
    },
    /// Retries were to be changed of a limiter, which has none.
    #[error("`{limiter}` is a limiter: retries and backoff are of states; tune {}", .states.join(", "))]
    NotOfLimiters {
        /// The limiter.
        limiter: &'static str,
        /// The states that take of it.
        states: Vec<&'static str>,
    },
    /// A job cannot be moved to a state without the state's fields.
    #[error("job {job} cannot go to `{state}`: {source}; give the fields of the state as JSON")]
    StateData {
        /// The job.
        job: JobId,
        /// Where it was to go.
        state: &'static str,
        /// What is missing.
        source: Unreadable,
    },
    /// A line of an import does not fit; nothing was imported.
    #[error("line {line}: {reason}; nothing was imported")]
    Import {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// An import goes into a new run only.
    #[error("{path} already has jobs; import into a file that does not exist yet", path = path.display())]
    NotEmpty {
        /// The file.
        path: PathBuf,
    },
}

/// A state that a run or a person names, and this program does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownState {
    /// Its name.
    pub name: String,
    /// How many jobs are in it.
    pub jobs: u64,
    /// The state whose name is nearest.
    pub nearest: Option<&'static str>,
}

struct List<'a>(&'a [UnknownState]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, UnknownState { name, jobs, nearest }) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let s = if *jobs == 1 { "" } else { "s" };
            write!(f, "{comma}`{name}` ({jobs} job{s}{})", Nearest(*nearest))?;
        }
        Ok(())
    }
}

struct Ids<'a>(&'a [JobId]);

impl fmt::Display for Ids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, id) in self.0.iter().enumerate() {
            write!(f, "{}{id}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

struct Nearest(Option<&'static str>);

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |name| write!(f, "; did you mean `{name}`?"))
    }
}

impl Error {
    /// For `map_err` on an operation on a file.
    pub(crate) fn disk<E: Into<BoxError>>(
        path: &std::path::Path,
        doing: &'static str,
    ) -> impl FnOnce(E) -> Error {
        let path = path.to_owned();
        move |source| Error::Disk { path, doing, source: source.into() }
    }

    /// The error of the operating system behind this one, if that is what it is.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Error::Disk { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Many errors, ours among them, print their cause themselves.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
