//! The file that keeps the run of a program.
use std::{
    marker::PhantomData,
    path::{Path, PathBuf},
};

use crate::{
    Error, JsonStore, Run, Workflow,
    store::{Access, BoxStore},
};

/// The file that keeps the run of a program, as a command of the program's own gets it.
#[derive(Debug)]
pub struct RunFile<W: Workflow> {
    path: PathBuf,
    workflow: PhantomData<fn() -> W>,
}

impl<W: Workflow> RunFile<W> {
    pub(super) fn at(path: PathBuf) -> Self {
        RunFile { path, workflow: PhantomData }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the run, or makes a new one: [`Run::open`].
    pub fn open(&self) -> Result<Run<W>, Error> {
        Run::open_boxed(self.store()?, Access::Drive)
    }

    /// Opens the run to look at it, also while another process drives it: [`Run::read`].
    pub fn read(&self) -> Result<Run<W>, Error> {
        Run::open_boxed(self.store()?, Access::Read)
    }

    /// Opens a run that must be there: a command that changes jobs makes no new one.
    pub(super) fn open_old(&self) -> Result<Run<W>, Error> {
        self.read()?;
        self.open()
    }

    /// Opens the run so that all that is read is of one moment, also while another process drives it. What comes with
    /// it is to be kept as long as the run.
    pub(super) fn of_one_moment(&self) -> Result<(Run<W>, Option<Copied>), Error> {
        let run = self.read()?;
        if self.is_json() {
            return Ok((run, None)); // it was read as a whole
        }
        drop(run);
        match self.open() {
            Ok(run) => Ok((run, None)),
            Err(Error::InUse { .. }) => self.copied().map(|(run, copy)| (run, Some(copy))),
            // We may only read it.
            Err(_) => Ok((self.read()?, None)),
        }
    }

    #[cfg(feature = "sqlite")]
    fn copied(&self) -> Result<(Run<W>, Copied), Error> {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".export-{}", std::process::id()));
        let copy = Copied(path.into());
        crate::SqliteStore::at(&self.path).backup(&copy.0)?;
        Ok((Run::read(crate::SqliteStore::at(&copy.0))?, copy))
    }

    #[cfg(not(feature = "sqlite"))]
    fn copied(&self) -> Result<(Run<W>, Copied), Error> {
        self.read().map(|run| (run, Copied(PathBuf::new())))
    }

    fn is_json(&self) -> bool {
        self.path.extension().is_some_and(|ending| ending == "json")
    }

    /// The kind of store that the file's name asks for.
    #[cfg_attr(feature = "sqlite", allow(clippy::unnecessary_wraps))]
    pub(super) fn store(&self) -> Result<BoxStore<W>, Error> {
        if self.is_json() {
            return Ok(Box::new(JsonStore::at(&self.path)));
        }
        #[cfg(feature = "sqlite")]
        return Ok(Box::new(crate::SqliteStore::at(&self.path)));
        #[cfg(not(feature = "sqlite"))]
        Err(Error::NotARun {
            path: self.path.clone(),
            reason: "this program was built without SQLite and keeps runs in `.json` files only".into(),
        })
    }
}

/// A copy of a run, which goes when this goes.
pub(super) struct Copied(PathBuf);

impl Drop for Copied {
    fn drop(&mut self) {
        for behind in ["", "-wal", "-shm"] {
            let mut path = self.0.clone().into_os_string();
            path.push(behind);
            // What is left over does no harm but for the room that it takes.
            let _ = std::fs::remove_file(path);
        }
    }
}
