//! A store that was chosen while running is a store.
use std::path::{Path, PathBuf};

use super::{
    Access, Batch, BoxStore, Committed, Failure, Header, Lane, OnceKey, Record, Restored, Store, Story, Turn,
};
use crate::{Error, Form, JobId, StateId, Status, Workflow};

macro_rules! forward {
    ($($name:ident($this:ident: $own:ty $(, $arg:ident: $type:ty)*) -> $result:ty;)*) => { $(
        fn $name($this: $own $(, $arg: $type)*) -> $result {
            (**$this).$name($($arg),*)
        }
    )* };
}

impl<W: Workflow> Store<W> for BoxStore<W> {
    forward! {
        form(self: &Self) -> Form;
        blocks(self: &Self) -> bool;
        path(self: &Self) -> &Path;
        beside(self: &Self, suffix: &str) -> Option<PathBuf>;
        open(self: &mut Self, access: Access) -> Result<Header<W>, Error>;
        commit(self: &mut Self, batch: &Batch<W>) -> Result<Committed<W>, Error>;
        clear(self: &mut Self) -> Result<(), Error>;
        restore(self: &mut Self, jobs: Vec<Restored<W>>) -> Result<(), Error>;
        close(self: &mut Self) -> Result<(), Error>;
        page(self: &mut Self, from: JobId, most: usize) -> Result<Vec<Record<W>>, Error>;
        moving(self: &mut Self) -> Result<Vec<Record<W>>, Error>;
        line(
            self: &mut Self,
            state: StateId<W>,
            status: Status,
            lane: &Lane,
            after: Option<Turn>,
            most: usize
        ) -> Result<Vec<Record<W>>, Error>;
        lanes(
            self: &mut Self,
            state: StateId<W>,
            status: Status,
            after: Option<&Lane>,
            most: usize
        ) -> Result<Vec<Lane>, Error>;
        job(self: &mut Self, id: JobId) -> Result<Option<Record<W>>, Error>;
        child(self: &mut Self, parent: JobId, n: u64) -> Result<Option<JobId>, Error>;
        story(self: &mut Self, id: JobId) -> Result<Story, Error>;
        last_error(self: &mut Self, id: JobId) -> Result<Option<Failure>, Error>;
        once(self: &mut Self, id: JobId) -> Result<Option<OnceKey<W>>, Error>;
    }
}
