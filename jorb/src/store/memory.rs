//! A run that lives as long as the process.
use std::path::Path;

use uuid::Uuid;

use super::{
    Access, Batch, Committed, Header, Lane, OnceKey, Record, Restored, Store, Story, Turn,
    table::{Row, Table},
};
use crate::{Error, Form, JobId, StateId, Status, Timestamp, Workflow};

/// Keeps a run in memory: for tests, and for work that need not outlive the process.
///
/// Contexts are kept as values, not as text. Closing and opening it again changes nothing; dropping it loses all.
///
/// ```
/// use jorb::{MemoryStore, Processor, Run, prelude::*};
///
/// #[workflow]
/// #[derive(Debug, Clone)]
/// pub enum Greet {
///     #[state(initial, next(Done))]
///     Hello,
///     #[state(terminal)]
///     Done,
/// }
///
/// #[state]
/// async fn hello(_: greet::Hello) -> Outcome<greet::Hello> {
///     Ok(Next::to(greet::Done))
/// }
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut run = Run::<Greet>::open(MemoryStore::new())?;
/// run.seed((), |jobs| jobs.extend((0..10).map(|_| Kick::new(greet::Hello, ()))))?;
/// let summary = Processor::new(()).exec(&mut run).await?;
/// assert_eq!(summary.moves, 10);
/// # Ok(()) }
/// ```
pub struct MemoryStore<W: Workflow> {
    table: Option<Table<W>>,
}

impl<W: Workflow> MemoryStore<W> {
    /// No run yet.
    #[must_use]
    pub const fn new() -> Self {
        MemoryStore { table: None }
    }

    fn table(&mut self) -> &mut Table<W> {
        self.table.get_or_insert_with(|| Table::new(Uuid::new_v4(), Timestamp::now()))
    }
}

impl<W: Workflow> Default for MemoryStore<W> {
    fn default() -> Self {
        MemoryStore::new()
    }
}

impl<W: Workflow> Store<W> for MemoryStore<W> {
    fn form(&self) -> Form {
        Form::Value
    }

    fn blocks(&self) -> bool {
        false
    }

    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn open(&mut self, access: Access) -> Result<Header<W>, Error> {
        if access == Access::Read && self.table.is_none() {
            return Err(Error::NoRun { path: "memory".into() });
        }
        Ok(self.table().header())
    }

    fn commit(&mut self, batch: &Batch<W>) -> Result<Committed<W>, Error> {
        let table = self.table();
        let joins = table.joins(batch);
        Ok(table.apply(batch, joins))
    }

    fn clear(&mut self) -> Result<(), Error> {
        *self.table() = self.table().cleared();
        Ok(())
    }

    fn restore(&mut self, jobs: Vec<Restored<W>>) -> Result<(), Error> {
        let table = self.table();
        jobs.into_iter().map(Row::from).for_each(|row| table.add(row));
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn page(&mut self, from: JobId, most: usize) -> Result<Vec<Record<W>>, Error> {
        Ok(self.table().page(from, most))
    }

    fn moving(&mut self) -> Result<Vec<Record<W>>, Error> {
        Ok(self.table().moving())
    }

    fn line(
        &mut self,
        state: StateId<W>,
        status: Status,
        lane: &Lane,
        after: Option<Turn>,
        most: usize,
    ) -> Result<Vec<Record<W>>, Error> {
        Ok(self.table().line(state, status, lane, after, most))
    }

    fn lanes(
        &mut self,
        state: StateId<W>,
        status: Status,
        after: Option<&Lane>,
        most: usize,
    ) -> Result<Vec<Lane>, Error> {
        Ok(self.table().lanes(state, status, after, most))
    }

    fn job(&mut self, id: JobId) -> Result<Option<Record<W>>, Error> {
        Ok(self.table().job(id))
    }

    fn child(&mut self, parent: JobId, n: u64) -> Result<Option<JobId>, Error> {
        Ok(self.table().child(parent, n))
    }

    fn story(&mut self, id: JobId) -> Result<Story, Error> {
        Ok(self.table().story(id))
    }

    fn once(&mut self, id: JobId) -> Result<Option<OnceKey<W>>, Error> {
        Ok(self.table().once(id))
    }
}
