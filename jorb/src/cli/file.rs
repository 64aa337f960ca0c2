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

    /// The kind of store that the file's name asks for.
    #[cfg_attr(feature = "sqlite", allow(clippy::unnecessary_wraps))]
    pub(super) fn store(&self) -> Result<BoxStore<W>, Error> {
        if self.path.extension().is_some_and(|ending| ending == "json") {
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
