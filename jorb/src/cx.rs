//! What a handler sees of its surroundings.
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Children, JobId, Join, Limiter, Workflow};

/// The context of one step. Three public fields, so that borrows of them are disjoint.
pub struct Cx<W: Workflow> {
    /// Clients and functions.
    pub app: Arc<W::App>,
    /// What all jobs of the run share.
    pub overall: Arc<W::Overall>,
    /// This job's own context; what a step leaves here is saved with its outcome.
    pub job: W::Job,
    pub(crate) at: At,
}

/// Made when somebody looks: few steps ask whether they are cancelled.
pub(crate) type Cancelled = OnceLock<CancellationToken>;

/// Which step of which job this is.
#[derive(Clone)]
pub(crate) struct At {
    pub(crate) run: Uuid,
    pub(crate) id: JobId,
    pub(crate) parent: Option<JobId>,
    pub(crate) step: u64,
    pub(crate) attempt: u32,
    pub(crate) children: Option<Arc<Join>>,
    pub(crate) cancelled: Arc<Cancelled>,
    pub(crate) settled: Settled,
}

/// What a step took in the end of limiters, by their paths.
#[allow(clippy::box_collection)] // few steps settle, and all carry this
pub(crate) type Settled = Option<Box<Vec<(&'static str, u32)>>>;

/// The last word counts.
pub(crate) fn settle<L: Limiter>(settled: &mut Settled, actual: u32) {
    let path = L::SPEC.path;
    let settled = settled.get_or_insert_default();
    match settled.iter_mut().find(|(known, _)| *known == path) {
        Some((_, known)) => *known = actual,
        None => settled.push((path, actual)),
    }
}

impl At {
    /// The first attempt of the first step.
    pub(crate) fn test(id: JobId) -> Self {
        At {
            run: Uuid::nil(),
            id,
            parent: None,
            step: 0,
            attempt: 1,
            children: None,
            cancelled: Arc::default(),
            settled: None,
        }
    }

    pub(crate) fn key(&self) -> String {
        let At { run, id, step, .. } = self;
        format!("{run}/{id}/{step}")
    }
}

impl<W: Workflow> Cx<W> {
    /// A context for unit tests: first attempt of the first step of job 0.
    pub fn test(app: W::App, overall: W::Overall, job: W::Job) -> Self {
        Cx { app: Arc::new(app), overall: Arc::new(overall), job, at: At::test(JobId(0)) }
    }

    /// The same after it had waited for these children, for unit tests.
    ///
    /// ```
    /// # use jorb::prelude::*;
    /// # #[workflow] #[derive(Debug, Clone)] enum Book {
    /// #     #[state(initial, next(Bound))] Bind,
    /// #     #[state(terminal)] Bound,
    /// # }
    /// # #[state] async fn bind(_: book::Bind) -> Outcome<book::Bind> { Ok(Next::to(book::Bound)) }
    /// use jorb::Children;
    ///
    /// let cx = Cx::<Book>::test((), (), ()).with_children(Children::none().with_ended::<book::Bound>(2));
    /// assert_eq!(cx.children().ended_in::<book::Bound>(), 2);
    /// ```
    #[must_use]
    pub fn with_children(mut self, children: Children<W>) -> Self {
        self.at.children = Some(children.into_join());
        self
    }

    /// How the children of this job stood when it had waited for them, if its last move said
    /// [`when_children_done`](crate::Next::when_children_done): the same on every attempt, whatever became of them since.
    /// Otherwise there are none.
    #[must_use]
    pub fn children(&self) -> Children<W> {
        Children::of(self.at.children.clone())
    }

    /// The job's identity in this run.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.at.id
    }

    /// The job that kicked this one.
    #[must_use]
    pub fn parent(&self) -> Option<JobId> {
        self.at.parent
    }

    /// 1 on the first try.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.at.attempt
    }

    /// The same on every attempt of this step and on no other step of any run: an idempotency key for services.
    ///
    /// It reads `run/job/step`, where `run` is the run's UUID.
    #[must_use]
    pub fn key(&self) -> String {
        self.at.key()
    }

    /// This step took `actual` of the limiter `L`, and not what it was thought to cost: the difference is given back when
    /// the step ends, or is owed, so that steps which follow wait for it. The last word counts. A step that panics or runs
    /// into its timeout has taken what it was thought to.
    ///
    /// A limiter that its state does not name is left alone. [`Weighted`](crate::Weighted) has an example.
    pub fn settle<L: Limiter>(&mut self, actual: u32) {
        settle::<L>(&mut self.at.settled, actual);
    }

    /// Cancelled when nobody waits for this step any more: it ran into its timeout, or the grace period of a stop
    /// is over. An `async` step is dropped then; a plain `fn` that takes long can look here and return early.
    #[must_use]
    pub fn cancelled(&self) -> &CancellationToken {
        self.at.cancelled.get_or_init(CancellationToken::new)
    }
}
