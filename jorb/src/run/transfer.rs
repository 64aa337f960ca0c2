//! To and from JSON Lines.
use std::io::{BufRead, Seek, Write};

use uuid::Uuid;

use crate::{
    Error, MemoryStore, Run, Timestamp, Workflow,
    store::{self, Access, BoxStore, Header, Store},
};

impl<W: Workflow> Run<W> {
    /// Writes the run as JSON Lines: the run, then its jobs by number, each with its past. Gives the number of jobs.
    ///
    /// ```
    /// # use jorb::prelude::*;
    /// use std::io::Cursor;
    ///
    /// use jorb::{MemoryStore, Run};
    /// # #[workflow] #[derive(Debug, Clone)] enum Crawl {
    /// #     #[state(initial, next(Done))] Fetch,
    /// #     #[state(terminal)] Done,
    /// # }
    /// # #[state] async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> { Ok(Next::to(crawl::Done)) }
    /// # fn main() -> Result<(), jorb::Error> {
    ///
    /// let mut run = Run::<Crawl>::open(MemoryStore::new())?;
    /// run.seed((), |jobs| jobs.add(Kick::new(crawl::Fetch, ())))?;
    /// let mut lines = Vec::new();
    /// assert_eq!(run.export(&mut lines)?, 1);
    ///
    /// assert_eq!(Run::<Crawl>::check_import(Cursor::new(&lines))?, 1);
    /// assert_eq!(Run::<Crawl>::import(MemoryStore::new(), Cursor::new(&lines))?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn export(&mut self, out: impl Write) -> Result<u64, Error> {
        let (store, header) = self.opened()?;
        store::export(&mut **store, header, out)
    }

    /// Makes a run in `store`, which must have none, of what [`Run::export`] wrote. Gives the number of jobs.
    ///
    /// Every line is checked against the types before the first job is made: nothing is imported unless all are good.
    pub fn import(store: impl Store<W>, lines: impl BufRead + Seek) -> Result<u64, Error> {
        Run::import_boxed(Box::new(store), lines)
    }

    pub(crate) fn import_boxed(mut store: BoxStore<W>, lines: impl BufRead + Seek) -> Result<u64, Error> {
        let header = store.open(Access::Drive)?;
        let jobs = store::import(lines, &mut *store, &header, false)?;
        store.close()?;
        Ok(jobs)
    }

    /// Checks what [`Run::export`] wrote against the types. Gives the number of jobs.
    pub fn check_import(lines: impl BufRead + Seek) -> Result<u64, Error> {
        let header = Header::new(Uuid::nil(), Timestamp::now());
        store::import(lines, &mut MemoryStore::<W>::new(), &header, true)
    }
}
