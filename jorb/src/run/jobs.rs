//! Looking for jobs.
use std::{fmt, marker::PhantomData};

use serde::de::DeserializeOwned;

use super::{
    path::Path,
    walk::{Filter, Walk},
};
use crate::{
    Error, Job, JobId, JobIn, Limiter, Run, Shown, State, StateId, Workflow,
    store::{BoxStore, Failure},
};

/// Jobs of any state, in [`Jobs`].
#[derive(Debug)]
pub enum AnyState {}

/// Jobs to iterate over: [`Run::jobs`].
///
/// They are read page by page, so a run of any size will do; while another process drives the run, each page is of its
/// own moment. If you say in which state or how they stand, they are found where such jobs are, however many others there
/// are: first those that join, then those that are under way, then those that wait, in the order in which they will start, then
/// those that were seeded and not looked at since, then those that are parked, cancelled or ended, in the order in which they
/// did. All jobs, or those with an error of which you say nothing else, come in the order of their numbers.
#[must_use = "it does nothing before it is iterated over"]
pub struct Jobs<'r, W: Workflow, S = AnyState> {
    pub(super) run: &'r mut Run<W>,
    pub(super) filter: Filter<W>,
    state: PhantomData<fn() -> S>,
}

impl<W: Workflow> Run<W> {
    /// The jobs, all of them or those that you look for.
    ///
    /// ```
    /// # use jorb::prelude::*;
    /// use jorb::{MemoryStore, Processor, Run, Shown};
    ///
    /// #[workflow(job = String)]
    /// #[derive(Debug, Clone)]
    /// enum Crawl {
    ///     #[state(initial, next(Done, Gone))]
    ///     Fetch,
    ///     #[state(terminal)]
    ///     Done,
    ///     #[state(terminal)]
    ///     Gone { status: u16 },
    /// }
    ///
    /// #[state]
    /// async fn fetch(_: crawl::Fetch, cx: &mut Cx<Crawl>) -> Outcome<crawl::Fetch> {
    ///     match cx.job.as_str() {
    ///         "index" => Ok(Next::to(crawl::Done)),
    ///         "about" => Ok(Next::to(crawl::Gone { status: 410 })),
    ///         _ => Err(Fault::fatal("connection refused")),
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), jorb::Error> {
    /// let mut run = Run::<Crawl>::open(MemoryStore::new())?;
    /// run.seed((), |jobs| {
    ///     jobs.extend(["index", "about", "news"].map(|page| Kick::new(crawl::Fetch, page.into())))
    /// })?;
    /// let _ = Processor::new(()).exec(&mut run).await?;
    ///
    /// for job in run.jobs().in_state::<crawl::Gone>() {
    ///     let job = job?;
    ///     assert_eq!((job.context.as_str(), job.state.status), ("about", 410));
    /// }
    /// let parked = run.jobs().state("Fetch")?.status(Shown::Parked).error_contains("refused");
    /// assert_eq!(parked.into_iter().count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn jobs(&mut self) -> Jobs<'_, W> {
        Jobs { run: self, filter: Filter::all(), state: PhantomData }
    }
}

impl<'r, W: Workflow> Jobs<'r, W> {
    /// Only those in this state, with its fields.
    pub fn in_state<S: State<Workflow = W>>(mut self) -> Jobs<'r, W, S> {
        self.filter.state = StateId::named(S::NAME);
        Jobs { run: self.run, filter: self.filter, state: PhantomData }
    }

    /// Only those in the state of this name.
    pub fn state(self, name: &str) -> Result<Self, Error> {
        Ok(Jobs { filter: self.filter.in_state_named(name)?, ..self })
    }
}

impl<W: Workflow, S> Jobs<'_, W, S> {
    /// Only those that stand so.
    pub fn status(mut self, status: impl Into<Shown>) -> Self {
        self.filter.status = Some(status.into());
        self
    }

    /// Only those whose newest error contains this text.
    pub fn error_contains(mut self, text: impl Into<String>) -> Self {
        self.filter.error = Some(text.into());
        self
    }

    /// Only those whose next step takes of this key of a limiter that is `keyed`, however they wait for it. An error is that the limiter
    /// has no keys, or that the key is empty.
    pub fn of_key<L: Limiter>(self, key: &str) -> Result<Self, Error> {
        self.key(L::SPEC.path, key)
    }

    /// As [`Jobs::of_key`], for the name of a limiter that a person gives.
    pub fn key(self, limiter: &str, key: &str) -> Result<Self, Error> {
        Ok(Jobs { filter: self.filter.of_key(limiter, key)?, ..self })
    }

    /// Only this one, by its number or its path.
    pub(super) fn only(mut self, name: impl fmt::Display) -> Result<Self, Error> {
        let path = Path::read(name)?;
        path.find(&mut **self.run.opened()?.0)?; // who asks hears at once that there is none
        self.filter.job = Some(path);
        Ok(self)
    }

    /// No more than so many.
    pub fn limit(mut self, most: u64) -> Self {
        self.filter.limit = most;
        self
    }
}

impl<'r, W: Workflow> IntoIterator for Jobs<'r, W> {
    type Item = Result<Job<W>, Error>;
    type IntoIter = JobsIter<'r, W>;

    fn into_iter(self) -> JobsIter<'r, W> {
        JobsIter::new(self, Ok)
    }
}

impl<'r, W: Workflow, S: State<Workflow = W> + DeserializeOwned> IntoIterator for Jobs<'r, W, S> {
    type Item = Result<JobIn<S>, Error>;
    type IntoIter = JobsIter<'r, W, JobIn<S>>;

    fn into_iter(self) -> JobsIter<'r, W, JobIn<S>> {
        JobsIter::new(self, JobIn::new)
    }
}

/// Iterates over [`Jobs`]. A job that does not fit its type is an error, after which it goes on; after an error of the
/// store it ends.
pub struct JobsIter<'r, W: Workflow, J = Job<W>> {
    store: Result<&'r mut BoxStore<W>, Option<Error>>,
    walk: Walk<W>,
    view: fn(Job<W>) -> Result<J, Error>,
}

impl<'r, W: Workflow, J> JobsIter<'r, W, J> {
    fn new<S>(jobs: Jobs<'r, W, S>, view: fn(Job<W>) -> Result<J, Error>) -> Self {
        let walk = Walk::new(jobs.filter, &jobs.run.header);
        JobsIter { walk, store: jobs.run.opened().map(|(store, _)| store).map_err(Some), view }
    }

    /// The newest error of a job: with the texts of errors, a list of many jobs is read in one go.
    pub fn last_error(&mut self, job: JobId) -> Result<Option<Failure>, Error> {
        match &mut self.store {
            Ok(store) => store.last_error(job),
            Err(e) => Err(e.take().unwrap_or(Error::Away)),
        }
    }
}

impl<W: Workflow, J> Iterator for JobsIter<'_, W, J> {
    type Item = Result<J, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let store = match &mut self.store {
            Ok(store) => store,
            Err(e) => return e.take().map(Err),
        };
        match self.walk.next(&mut **store) {
            Ok(found) => found.map(|found| (self.view)(Job::new(found))),
            Err(e) => {
                self.store = Err(None);
                Some(Err(e))
            }
        }
    }
}
