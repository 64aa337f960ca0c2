//! Cancelling jobs of a run that nobody drives.
use std::fmt;

use super::{
    jobs::Jobs,
    redrive::{BATCH, commit},
    walk::Walk,
};
use crate::{
    Error, Limiter, Run, Shown, State, StateId, Workflow,
    store::{Batch, Change},
};

/// Jobs to cancel: [`Run::cancel`].
///
/// All that have a step to make, now or later, unless you say otherwise; [`Cancel::status`] and [`Cancel::job`] reach parked
/// ones too. Those that ended, or were cancelled before, are left as they are.
#[must_use = "it does nothing before `apply`"]
pub struct Cancel<'r, W: Workflow> {
    jobs: Jobs<'r, W>,
    dry_run: bool,
}

impl<W: Workflow> Run<W> {
    /// Cancels jobs: all that have a step to make, or the ones that you look for. A cancelled job stays in its state and makes
    /// no step any more; its context, its errors, its history and its `once` key stay. [Redrive](Run::redrive) it to have it
    /// go on. A processor's [handle](crate::Handle::cancel) does the same while a run is driven.
    ///
    /// ```
    /// # use jorb::prelude::*;
    /// # #[workflow(job = String)] #[derive(Debug, Clone)] enum Crawl {
    /// #     #[state(initial, next(Done))] Fetch,
    /// #     #[state(terminal)] Done,
    /// # }
    /// # #[state] async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> { Ok(Next::to(crawl::Done)) }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), jorb::Error> {
    /// # let mut run = jorb::Run::<Crawl>::open(jorb::MemoryStore::new())?;
    /// # run.seed((), |jobs| jobs.extend(["a", "b", "c"].map(|page| Kick::new(crawl::Fetch, page.into()))))?;
    /// assert_eq!(run.cancel().job(1)?.apply()?, 1);
    /// let summary = jorb::Processor::new(()).exec(&mut run).await?;
    /// assert_eq!((summary.ended(), summary.cancelled()), (2, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel(&mut self) -> Cancel<'_, W> {
        Cancel { jobs: self.jobs(), dry_run: false }
    }
}

impl<W: Workflow> Cancel<'_, W> {
    /// Only those in this state.
    pub fn in_state<S: State<Workflow = W>>(mut self) -> Self {
        self.jobs.filter.state = StateId::named(S::NAME);
        self
    }

    /// Only those in the state of this name.
    pub fn state(self, name: &str) -> Result<Self, Error> {
        Ok(Cancel { jobs: self.jobs.state(name)?, ..self })
    }

    /// Only those that stand so.
    pub fn status(self, status: impl Into<Shown>) -> Self {
        Cancel { jobs: self.jobs.status(status), ..self }
    }

    /// Only those whose newest error contains this text.
    pub fn error_contains(self, text: impl Into<String>) -> Self {
        Cancel { jobs: self.jobs.error_contains(text), ..self }
    }

    /// Only those whose next step takes of this key of a limiter that is `keyed`, however they wait for it. An error is that the limiter
    /// has no keys, or that the key is empty.
    pub fn of_key<L: Limiter>(self, key: &str) -> Result<Self, Error> {
        self.key(L::SPEC.path, key)
    }

    /// As [`Cancel::of_key`], for the name of a limiter that a person gives.
    pub fn key(self, limiter: &str, key: &str) -> Result<Self, Error> {
        Ok(Cancel { jobs: self.jobs.key(limiter, key)?, ..self })
    }

    /// Only this job, by its number or its path.
    pub fn job(self, name: impl fmt::Display) -> Result<Self, Error> {
        Ok(Cancel { jobs: self.jobs.only(name)?, ..self })
    }

    /// No more than so many.
    pub fn limit(self, most: u64) -> Self {
        Cancel { jobs: self.jobs.limit(most), ..self }
    }

    /// Changes nothing: only counts.
    pub fn dry_run(self, dry_run: bool) -> Self {
        Cancel { dry_run, ..self }
    }

    /// Cancels them, in batches, each of which is durable. Gives how many there were.
    pub fn apply(self) -> Result<u64, Error> {
        let Cancel { jobs: Jobs { run, filter, .. }, dry_run } = self;
        run.check_seeded()?;
        run.reopen()?;
        let now = run.header.now();
        let mut walk = Walk::new(filter.of_cancel(), &run.header);
        let mut batch = Batch::new(run.header.next);
        batch.next.time = batch.next.time.max(now);
        let mut n = 0;
        loop {
            let store = run.store.as_mut().ok_or(Error::Away)?;
            let Some((record, _)) = walk.next(store)? else { break };
            if !record.job.status.can_be_cancelled() {
                continue;
            }
            n += 1;
            if dry_run {
                continue;
            }
            batch.changes.push(Change::cancelling(record, now, batch.next.seq));
            batch.next.seq += 1;
            if batch.changes.len() == BATCH {
                commit(run, &mut batch)?;
            }
        }
        if !batch.changes.is_empty() {
            commit(run, &mut batch)?;
        }
        Ok(n)
    }
}
