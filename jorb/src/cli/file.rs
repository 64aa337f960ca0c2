//! The file that keeps the run of a program.
use std::{
    marker::PhantomData,
    path::{Path, PathBuf},
};

use crate::{
    Error, Run, Workflow,
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
        Run::open_boxed(self.boxed()?, Access::Drive)
    }

    /// Opens the run to look at it, also while another process drives it: [`Run::read`].
    pub fn read(&self) -> Result<Run<W>, Error> {
        if !self.path.exists() {
            return Err(Error::NoRun { path: self.path.clone() });
        }
        Run::open_boxed(self.boxed()?, Access::Read)
    }

    /// Opens a run that must be there: a command that changes jobs makes no new one.
    pub(super) fn open_old(&self) -> Result<Run<W>, Error> {
        if !self.path.exists() {
            return Err(Error::NoRun { path: self.path.clone() });
        }
        self.open()
    }

    #[cfg(feature = "sqlite")]
    fn boxed(&self) -> Result<BoxStore<W>, Error> {
        Ok(Box::new(crate::store::SqliteStore::at(&self.path)))
    }

    #[cfg(not(feature = "sqlite"))]
    fn boxed(&self) -> Result<BoxStore<W>, Error> {
        let reason = "this program can only keep runs in `.json` files".into();
        Err(Error::NotARun { path: self.path.clone(), reason })
    }
}
