//! Whether what is saved fits today's types.
use crate::{
    Error, JobId, Run, StateId, Status, Unreadable, Workflow,
    codec::load_state,
    store::{BoxStore, Header, Record, Store},
};

/// Jobs that are read at once.
const PAGE: usize = 1024;
/// Jobs that opening looks at, fresh ones and of each line.
const SAMPLE: usize = 4;

impl<W: Workflow> Run<W> {
    /// Reads all jobs, and gives those whose state or context does not fit today's types.
    ///
    /// A run is opened without this: opening looks at a few jobs only, and a job that does not fit is parked when its
    /// turn comes, with the reason.
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
    /// for (job, why) in run.check()? {
    ///     eprintln!("job {job}: {why}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn check(&mut self) -> Result<Vec<(JobId, Unreadable)>, Error> {
        self.reopen()?;
        let store = self.store.as_mut().ok_or(Error::Away)?;
        let (mut from, mut found) = (JobId(0), Vec::new());
        loop {
            let page = store.page(from, PAGE)?;
            let Some(last) = page.last() else { return Ok(found) };
            from = JobId(last.job.id.0 + 1);
            found.extend(page.iter().filter_map(|record| Some((record.job.id, misfit(record)?))));
        }
    }
}

/// Looks at a few jobs of each state that have something left to do; an error when none of a state fits. (A single
/// one may just be spoilt: it is parked in its turn.)
pub(super) fn sample<W: Workflow>(store: &mut BoxStore<W>, header: &Header<W>) -> Result<(), Error> {
    let mut waiting = store.moving()?;
    if header.fresh.by_state.iter().any(|jobs| *jobs > 0) {
        waiting.extend(store.page(JobId(header.fresh.next), SAMPLE)?);
    }
    for state in StateId::<W>::all() {
        let here = waiting.iter().filter(|record| record.job.state == state);
        let mut jobs: Vec<_> = here.take(SAMPLE).cloned().collect();
        for lane in store.lanes(state, Status::Ready, None, 1)? {
            jobs.extend(store.line(state, Status::Ready, &lane, None, SAMPLE)?);
        }
        let misfits: Vec<_> =
            jobs.iter().map_while(|record| Some((record.job.id, misfit(record)?))).collect();
        if let (true, [(_, source), _, ..]) = (misfits.len() == jobs.len(), &misfits[..]) {
            return Err(Error::UnreadableJobs {
                path: Store::path(&**store).to_owned(),
                jobs: misfits.iter().map(|(id, _)| *id).collect(),
                source: source.clone(),
            });
        }
    }
    Ok(())
}

fn misfit<W: Workflow>(record: &Record<W>) -> Option<Unreadable> {
    let job = &record.job;
    let state = load_state::<W>(job.state.name(), &job.data).map(drop);
    state.and_then(|()| W::CODEC.job.load(&job.context).map(drop)).err()
}
