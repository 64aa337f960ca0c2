//! All of one job.
use std::{fmt, ops::Deref};

use serde::Serialize;

use super::{
    Run,
    path::{self, Path},
};
use crate::{
    Error, Job, JobId, Shown, Workflow,
    reduce::passed,
    store::{Failure, OnceKey, StateName, Story},
};

/// All of one job: [`Run::job`].
pub struct JobStory<W: Workflow> {
    /// Its path: the number of the job at the root, then of each kick, as `0->3->1`.
    pub path: String,
    /// Its history and its errors.
    pub story: Story,
    /// The `once` key that it was made with.
    pub once: Option<OnceKey<W>>,
    job: Job<W>,
}

impl<W: Workflow> JobStory<W> {
    /// Its errors by the state in which they happened, in the order in which each state first failed.
    #[must_use]
    pub fn errors_by_state(&self) -> Vec<(&StateName, Vec<&Failure>)> {
        let mut by_state: Vec<(&StateName, Vec<&Failure>)> = Vec::new();
        for error in &self.story.errors {
            match by_state.iter_mut().find(|(state, _)| **state == error.state) {
                Some((_, errors)) => errors.push(error),
                None => by_state.push((&error.state, vec![error])),
            }
        }
        by_state
    }
}

impl<W: Workflow> JobStory<W> {
    /// Why it is cancelled, if it is.
    #[must_use]
    pub fn cancelled(&self) -> Option<Cancelled> {
        // Whoever redrives such a job takes the deadline off it.
        let last = self.story.errors.last().map(|last| last.error.as_str());
        let its_deadline = |deadline| last == Some(passed(deadline).as_str());
        (self.status() == Shown::Cancelled).then(|| match self.deadline() {
            Some(deadline) if its_deadline(deadline) => Cancelled::Deadline,
            _ => Cancelled::Asked,
        })
    }
}

/// Why a job is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cancelled {
    /// Somebody asked for it: an operator, or the program.
    Asked,
    /// Its deadline passed; its newest error says so.
    Deadline,
}

impl<W: Workflow> Deref for JobStory<W> {
    type Target = Job<W>;

    fn deref(&self) -> &Job<W> {
        &self.job
    }
}

impl<W: Workflow> Run<W> {
    /// One job with its history: by its number, `7`, or by its path, `0->3->1` or `0/3/1`.
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
    /// let job = run.job("0")?;
    /// assert_eq!((job.state_name(), job.path.as_str(), job.story.lines.len()), ("Fetch", "0", 0));
    /// # Ok(())
    /// # }
    /// ```
    pub fn job(&mut self, name: impl fmt::Display) -> Result<JobStory<W>, Error> {
        let id = self.find(name)?;
        let (store, header) = self.opened()?;
        let record = store.job(id)?.ok_or_else(|| Error::NoSuchJob(id.to_string()))?;
        let shown = Shown::of(&record, &header.held, header.now());
        Ok(JobStory {
            path: path::of(id, &mut **store)?,
            story: store.story(id)?,
            once: store.once(id)?,
            job: Job::new((record, shown)),
        })
    }

    /// The number of a job that is named by its number or its path, `0->3->1`; or `0/3/1`, which needs no quotes in a shell.
    pub fn find(&mut self, name: impl fmt::Display) -> Result<JobId, Error> {
        let path = Path::read(name)?;
        path.find(&mut **self.opened()?.0)
    }

    /// The path of a job: the number of the job at the root, then of each kick.
    pub fn path(&mut self, id: JobId) -> Result<String, Error> {
        path::of(id, &mut **self.opened()?.0)
    }
}
