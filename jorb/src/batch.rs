//! Several jobs of one state in one step, for services that take many things at once.
use std::{fmt, sync::Arc};

use tokio_util::sync::CancellationToken;

use crate::{
    Active, Children, Fault, JobId, Limiter, Move, Outcome, State, Workflow,
    cx::{At, Cancelled, Settled},
};

/// What a handler of batches returns: `Ok(batch.finish(..))`, or an error of all its jobs.
pub type BatchOutcome<S> = Result<Finished<S>, Fault>;

/// Several jobs in state `S`, which one step handles together: `#[state(batch(max = 100, wait = "2s"))]`.
///
/// A step starts when `max` jobs wait, or when the first of them has waited for `wait`; without `wait` it takes whoever is
/// there. All jobs of a batch have the same priority and the same keys of limiters, and they come in the order of the line.
/// [`finish`](Batch::finish) gives each job an outcome of its own. When the handler returns an error instead, panics or runs
/// into its timeout, that is the outcome of each of its jobs: they are tried again as the policy says, each with the
/// context that it had before.
///
/// Steps, errors and throttles are counted of each job: a call of 100 that fails is 100 errors.
///
/// The batch is one step as far as slots, rates and pools go, whatever it holds; of limiters that are
/// [weighted](crate::Weighted) it takes what its jobs cost together, and holds no more jobs than their burst allows at once.
/// With `batch(max = 100, per_job)`, each of its jobs counts for rates.
///
/// A job that is cancelled meanwhile is cancelled, whatever the batch gives for it; the others go on. A deadline that
/// passes meanwhile cuts no batch: the job is cancelled before its next step.
///
/// ```
/// use jorb::{Batch, BatchCx, BatchOutcome, MemoryStore, Processor, Run, prelude::*};
///
/// #[workflow(job = String)]
/// #[derive(Debug, Clone)]
/// enum Sync {
///     #[state(initial, next(Stored, Refused))]
///     Upload,
///     #[state(terminal)]
///     Stored,
///     #[state(terminal)]
///     Refused,
/// }
///
/// /// Takes up to 100 rows in one call, and says of each whether it was stored.
/// async fn insert(rows: Vec<&str>) -> Result<Vec<bool>, std::io::Error> {
///     Ok(rows.into_iter().map(|row| !row.is_empty()).collect())
/// }
///
/// #[state(batch(max = 100, wait = "50ms"), rate = "5/s", retries = 3)]
/// async fn upload(batch: Batch<sync::Upload>, _: &mut BatchCx<Sync>) -> BatchOutcome<sync::Upload> {
///     let stored = insert(batch.iter().map(|item| item.job.as_str()).collect()).await?;
///     let mut stored = stored.into_iter();
///     Ok(batch.finish(|_| match stored.next() {
///         Some(true) => Ok(Next::to(sync::Stored)),
///         Some(false) => Ok(Next::to(sync::Refused)),
///         None => Err(Fault::retry("the service said nothing of this row")),
///     }))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), jorb::Error> {
/// let mut run = Run::<Sync>::open(MemoryStore::new())?;
/// run.seed((), |jobs| jobs.extend(["a", "", "c"].map(|row| Kick::new(sync::Upload, row.to_owned()))))?;
/// let summary = Processor::new(()).exec(&mut run).await?;
/// assert_eq!((summary.jobs("Stored"), summary.jobs("Refused")), (2, 1));
/// # Ok(())
/// # }
/// ```
#[must_use = "`finish` it, or its jobs have no outcome"]
pub struct Batch<S: State> {
    items: Vec<Item<S>>,
}

/// One job of a [`Batch`].
pub struct Item<S: State> {
    /// Its state.
    pub state: S,
    /// Its own context; what [`Batch::finish`] leaves here is saved with its outcome.
    pub job: <S::Workflow as Workflow>::Job,
    pub(crate) at: At,
}

impl<S: State> Batch<S> {
    /// Jobs 0, 1, .. with these states and contexts, each at its first attempt, for unit tests.
    ///
    /// ```
    /// # use jorb::{Batch, BatchCx, BatchOutcome, prelude::*};
    /// # #[workflow(job = u32)] #[derive(Debug, Clone)] enum Count {
    /// #     #[state(initial, next(Done))] Up,
    /// #     #[state(terminal)] Done,
    /// # }
    /// #[state(batch(max = 10))]
    /// async fn up(batch: Batch<count::Up>, _: &mut BatchCx<Count>) -> BatchOutcome<count::Up> {
    ///     Ok(batch.finish(|item| {
    ///         item.job += 1;
    ///         if item.job > 5 { Err("too many")? }
    ///         Ok(Next::to(count::Done))
    ///     }))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let batch = Batch::test([(count::Up, 1), (count::Up, 5)]);
    /// let finished = up(batch, &mut BatchCx::test((), ())).await.unwrap();
    /// let ended: Vec<_> = finished.jobs().iter().map(|ended| (ended.job, ended.outcome.is_ok())).collect();
    /// assert_eq!(ended, [(2, true), (6, false)]);
    /// # }
    /// ```
    pub fn test(jobs: impl IntoIterator<Item = (S, <S::Workflow as Workflow>::Job)>) -> Self {
        let item = |(n, (state, job))| Item { state, job, at: At::test(JobId(n)) };
        Batch { items: (0..).zip(jobs).map(item).collect() }
    }

    /// How many jobs it has: at least one.
    #[allow(clippy::len_without_is_empty)] // it never is
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Its jobs, in the order of the line.
    pub fn iter(&self) -> std::slice::Iter<'_, Item<S>> {
        self.items.iter()
    }

    /// The same, to change their contexts.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Item<S>> {
        self.items.iter_mut()
    }

    /// Gives each job its outcome, in the same order: what a handler of one job would return.
    ///
    /// When the service's answer says nothing of a job, give that an `Err(Fault::retry(..))` here. A panic in here is one of the
    /// whole batch: what the service has taken would be sent again.
    pub fn finish(self, mut outcome: impl FnMut(&mut Item<S>) -> Outcome<S>) -> Finished<S> {
        let finish = |mut item: Item<S>| {
            let outcome = outcome(&mut item).map(Into::into);
            Ended { id: item.at.id, outcome, job: item.job }
        };
        Finished { jobs: self.items.into_iter().map(finish).collect() }
    }
}

impl<'a, S: State> IntoIterator for &'a Batch<S> {
    type Item = &'a Item<S>;
    type IntoIter = std::slice::Iter<'a, Item<S>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, S: State> IntoIterator for &'a mut Batch<S> {
    type Item = &'a mut Item<S>;
    type IntoIter = std::slice::IterMut<'a, Item<S>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<S: State> fmt::Debug for Batch<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({}, {} jobs)", S::NAME, self.len())
    }
}

impl<S: State> Item<S> {
    /// As [`Cx::id`](crate::Cx::id).
    #[must_use]
    pub fn id(&self) -> JobId {
        self.at.id
    }

    /// As [`Cx::parent`](crate::Cx::parent).
    #[must_use]
    pub fn parent(&self) -> Option<JobId> {
        self.at.parent
    }

    /// As [`Cx::attempt`](crate::Cx::attempt). The jobs of a batch may be at different ones.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.at.attempt
    }

    /// As [`Cx::key`](crate::Cx::key).
    #[must_use]
    pub fn key(&self) -> String {
        self.at.key()
    }

    /// As [`Cx::children`](crate::Cx::children).
    #[must_use]
    pub fn children(&self) -> Children<S::Workflow> {
        Children::of(self.at.children.clone())
    }
}

/// A [`Batch`] whose jobs all have an outcome.
#[must_use]
pub struct Finished<S: State> {
    jobs: Vec<Ended<S::Workflow>>,
}

impl<S: State> Finished<S> {
    /// What became of each job, in order, for tests.
    #[must_use]
    pub fn jobs(&self) -> &[Ended<S::Workflow>] {
        &self.jobs
    }
}

impl<S: State> fmt::Debug for Finished<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Finished({}, {} jobs)", S::NAME, self.jobs.len())
    }
}

/// What a handler of batches sees of its surroundings, as [`Cx`](crate::Cx) is for one job.
pub struct BatchCx<W: Workflow> {
    /// Clients and functions.
    pub app: Arc<W::App>,
    /// What all jobs of the run share.
    pub overall: Arc<W::Overall>,
    pub(crate) cancelled: Arc<Cancelled>,
    pub(crate) settled: Settled,
}

impl<W: Workflow> BatchCx<W> {
    /// One for unit tests.
    pub fn test(app: W::App, overall: W::Overall) -> Self {
        BatchCx { app: Arc::new(app), overall: Arc::new(overall), cancelled: Arc::default(), settled: None }
    }

    /// The whole batch took `actual` of the limiter `L`: as [`Cx::settle`](crate::Cx::settle).
    pub fn settle<L: Limiter>(&mut self, actual: u32) {
        crate::cx::settle::<L>(&mut self.settled, actual);
    }

    /// As [`Cx::cancelled`](crate::Cx::cancelled); also when each of its jobs was cancelled.
    #[must_use]
    pub fn cancelled(&self) -> &CancellationToken {
        self.cancelled.get_or_init(CancellationToken::new)
    }
}

/// Return types that a handler of batches of `S` may have.
#[diagnostic::on_unimplemented(
    message = "a handler of batches of state `{S}` cannot return `{Self}`",
    label = "expected `BatchOutcome<{S}>`",
    note = "it returns `BatchOutcome<S>`, or `Result<Finished<S>, E>` where `E: Into<Fault>`: `Ok(batch.finish(|item| ..))`",
    note = "an `async fn` is awaited; a plain `fn` runs on the blocking pool and returns no future"
)]
pub trait IntoBatchOutcome<S: State> {
    /// Convert.
    fn into_outcome(self) -> BatchOutcome<S>;
}

impl<S: State, E: Into<Fault>> IntoBatchOutcome<S> for Result<Finished<S>, E> {
    fn into_outcome(self) -> BatchOutcome<S> {
        self.map_err(Into::into)
    }
}

/// An [`Item`] without its type: what the engine hands over.
#[doc(hidden)]
pub struct Loose<W: Workflow> {
    pub(crate) state: W,
    pub(crate) job: W::Job,
    pub(crate) at: At,
}

impl<W: Workflow> Loose<W> {
    /// Its state.
    #[must_use]
    pub fn state(&self) -> &W {
        &self.state
    }
}

/// What became of one job of a [`Finished`] batch.
#[non_exhaustive]
pub struct Ended<W: Workflow> {
    /// Which job.
    pub id: JobId,
    /// Where it goes, or what went wrong.
    pub outcome: Result<Move<W>, Fault>,
    /// Its context from now on.
    pub job: W::Job,
}

/// A batch of jobs that are all in `S`, which they are if this is called by the dispatcher.
pub(crate) fn batch<S: Active>(jobs: Vec<Loose<S::Workflow>>) -> Batch<S> {
    let item = |Loose { state, job, at }| Some(Item { state: S::of(state)?, job, at });
    Batch { items: jobs.into_iter().filter_map(item).collect() }
}

pub(crate) fn ended<S: State>(finished: Finished<S>) -> Vec<Ended<S::Workflow>> {
    finished.jobs
}
