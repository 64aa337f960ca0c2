//! How many jobs a run has, and where.
use crate::{
    Error, HeldKey, JobId, Run, StateId, StateSummary, Status, Workflow,
    processor::suspects,
    store::{Access, is_taken},
};

impl<W: Workflow> Run<W> {
    /// Jobs by state and status, in declaration order; of a run that another process drives, as of when it was
    /// opened.
    ///
    /// ```
    /// # use jorb::prelude::*;
    /// # #[workflow] #[derive(Debug, Clone)] enum Crawl {
    /// #     #[state(initial, next(Done))] Fetch,
    /// #     #[state(terminal)] Done,
    /// # }
    /// # #[state] async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> { Ok(Next::to(crawl::Done)) }
    /// # fn main() -> Result<(), jorb::Error> {
    /// let mut run = jorb::Run::<Crawl>::open(jorb::MemoryStore::new())?;
    /// run.seed((), |jobs| jobs.add(Kick::new(crawl::Fetch, ())))?;
    /// assert_eq!((run.states()[0].name, run.states()[0].ready), ("Fetch", 1));
    /// assert!(!run.is_complete());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn states(&self) -> Vec<StateSummary> {
        StateSummary::of_all(&self.header)
    }

    /// The states that an operator has stopped.
    #[must_use]
    pub fn held(&self) -> Vec<&'static str> {
        StateId::all().filter(|state| self.header.held.contains(state)).map(StateId::name).collect()
    }

    /// The keys of limiters that an operator has stopped. Their jobs count as ready ones.
    #[must_use]
    pub fn held_keys(&self) -> Vec<HeldKey> {
        let held = self.header.held_keys.iter();
        held.filter_map(|(name, since)| HeldKey::of::<W>(name, *since)).collect()
    }

    /// Jobs that ran when the process died, in states with `crashes`: when the run is driven next, they run first, and alone. None
    /// while another process drives the run: [`Overview::suspects`](crate::Overview::suspects) counts those that are left there.
    pub fn suspects(&mut self) -> Result<Vec<JobId>, Error> {
        let (access, run) = (self.access, self.header.run);
        let (store, _) = self.opened()?;
        let is_driven = || store.beside(".lock").is_some_and(|lock| is_taken(&lock));
        if access == Access::Read && is_driven() { Ok(Vec::new()) } else { suspects(&mut **store, run) }
    }

    /// The run has its jobs, and none of them has anything left to do, now or later.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let counts = &self.header.counts;
        self.is_seeded() && counts.of(Status::Ready) + counts.of(Status::Joining) == 0
    }

    /// The newest job, if there is one.
    #[must_use]
    pub fn newest(&self) -> Option<JobId> {
        self.header.next.job.checked_sub(1).map(JobId)
    }
}
