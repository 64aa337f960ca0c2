//! What a handler returns: a move with its kicks, or a fault.
use std::{error::Error, fmt, marker::PhantomData, time::Duration};

use crate::{Join, Kicks, State, Transition, Workflow};

/// Any error: what `?` turns into a [`Fault`].
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What a handler returns.
pub type Outcome<S> = Result<Next<S>, Fault>;

/// A move out of state `S`, with the jobs to create in the same commit.
#[must_use]
pub struct Next<S: State> {
    step: Move<S::Workflow>,
    from: PhantomData<fn() -> S>,
}

/// A [`Next`] without its type: what the engine commits.
pub struct Move<W: Workflow> {
    /// Where the job goes.
    pub to: W,
    /// Not before so long after the commit.
    pub after: Duration,
    /// New jobs.
    pub kicks: Vec<NewJob<W>>,
    /// Not before its children are done.
    pub join: Option<Join>,
}

/// A [`Kick`] without its type.
pub struct NewJob<W: Workflow> {
    /// State it starts in.
    pub state: W,
    /// Its context.
    pub context: W::Job,
    /// At most one job of this key and state in a run.
    pub once: Option<String>,
    /// As [`Kick::priority`]; of a kick without, its parent's.
    pub priority: Option<i8>,
    /// So long after it is made, it is cancelled if it has not ended.
    pub deadline: Option<Duration>,
}

impl<S: State> Next<S> {
    /// Move this job to `to`.
    pub fn to<T>(to: T) -> Self
    where
        S: Transition<T>,
        T: State<Workflow = S::Workflow>,
    {
        let step = Move { to: to.into(), after: Duration::ZERO, kicks: Vec::new(), join: None };
        Next { step, from: PhantomData }
    }

    /// Start the next step no earlier than `delay` from now. No slot is held meanwhile, and the delay survives a
    /// restart. When the job waits for its children, the delay begins when they are done. On a move to a terminal state it
    /// does nothing.
    pub fn after(mut self, delay: Duration) -> Self {
        self.step.after = delay;
        self
    }

    /// Create jobs, committed together with the move. Chain calls for several kinds of children.
    pub fn kick<T>(mut self, children: impl IntoIterator<Item = Kick<T>>) -> Self
    where
        S: Kicks<T>,
        T: State<Workflow = S::Workflow>,
    {
        self.step.kicks.extend(children.into_iter().map(NewJob::from));
        self
    }

    /// Start the next step when all children of this job have ended or were cancelled. Until then the job is *joining*: it holds no slot and no
    /// permit, and survives a restart. Then it takes its turn in its new state, where [`Cx::children`](crate::Cx::children)
    /// says how many ended, and how many were cancelled, in which state.
    ///
    /// Its children are all jobs that it kicked itself: with this move, and in all of its life before. One that a `once` key
    /// kept from being made is none. Without children it goes on at once; on a move to a terminal state, it ends when they
    /// have.
    ///
    /// A parked child keeps it joining, until somebody redrives the child and it ends, or cancels it. When a child that was done
    /// is redriven, the job waits for it again if it still joins; if not, nothing changes.
    ///
    /// A job that joins can be cancelled itself, and then never goes on, whatever becomes of its children; one that is redriven
    /// after that waits again. Its [deadline](Kick::deadline) is looked at when its children are done.
    ///
    /// ```
    /// use jorb::{MemoryStore, Processor, Run, prelude::*};
    ///
    /// #[workflow(job = String)]
    /// #[derive(Debug, Clone)]
    /// enum Book {
    ///     #[state(initial, next(Bind), kick(Print))]
    ///     Split,
    ///     #[state(next(Printed, Blank))]
    ///     Print,
    ///     #[state(next(Bound))]
    ///     Bind,
    ///     #[state(terminal)]
    ///     Printed,
    ///     #[state(terminal)]
    ///     Blank,
    ///     #[state(terminal)]
    ///     Bound { pages: u64 },
    /// }
    ///
    /// #[state]
    /// async fn split(_: book::Split, cx: &mut Cx<Book>) -> Outcome<book::Split> {
    ///     let pages = cx.job.split('|').map(|page| Kick::new(book::Print, page.into()));
    ///     Ok(Next::to(book::Bind).kick(pages).when_children_done())
    /// }
    ///
    /// #[state]
    /// async fn print(_: book::Print, cx: &mut Cx<Book>) -> Outcome<book::Print> {
    ///     Ok(if cx.job.is_empty() { Next::to(book::Blank) } else { Next::to(book::Printed) })
    /// }
    ///
    /// #[state]
    /// async fn bind(_: book::Bind, cx: &mut Cx<Book>) -> Outcome<book::Bind> {
    ///     let pages = cx.children().ended_in::<book::Printed>();
    ///     Ok(Next::to(book::Bound { pages }))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), jorb::Error> {
    /// let mut run = Run::<Book>::open(MemoryStore::new())?;
    /// run.seed((), |jobs| jobs.add(Kick::new(book::Split, "Once upon a time||the end".into())))?;
    /// let _ = Processor::new(()).exec(&mut run).await?;
    /// let book = run.jobs().in_state::<book::Bound>().into_iter().next().expect("it is bound")?;
    /// assert_eq!(book.state.pages, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn when_children_done(mut self) -> Self {
        self.step.join = Some(Join::new(false));
        self
    }

    /// As [`when_children_done`](Next::when_children_done), but a parked child is as good as one that has ended.
    /// [`Children::parked`](crate::Children::parked) says how many are.
    #[doc(alias = "or_parked")]
    pub fn when_children_done_or_parked(mut self) -> Self {
        self.step.join = Some(Join::new(true));
        self
    }

    /// The move itself, for tests.
    pub fn as_move(&self) -> &Move<S::Workflow> {
        &self.step
    }
}

impl<S: State> fmt::Debug for Next<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Move { to, after, kicks, join } = &self.step;
        write!(f, "Next({} -> {}, after {after:?}, {} kicks", S::NAME, to.name(), kicks.len())?;
        f.write_str(match join {
            None => ")",
            Some(Join { or_parked: false, .. }) => ", when children are done)",
            Some(Join { or_parked: true, .. }) => ", when children are done or parked)",
        })
    }
}

impl<S: State<Workflow = W>, W: Workflow> From<Next<S>> for Move<W> {
    fn from(next: Next<S>) -> Self {
        next.step
    }
}

/// A job to create: by a transition, or from outside when a run is seeded or added to.
#[must_use]
pub struct Kick<T: State> {
    state: T,
    context: <T::Workflow as Workflow>::Job,
    once: Option<String>,
    priority: Option<i8>,
    deadline: Option<Duration>,
}

impl<T: State> Kick<T> {
    /// A job in `state` with its own context.
    pub fn new(state: T, context: <T::Workflow as Workflow>::Job) -> Self {
        Kick { state, context, once: None, priority: None, deadline: None }
    }

    /// At most one job of this key and state in the whole run, whoever creates it; later ones are dropped.
    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.once = Some(key.into());
        self
    }

    /// Before other jobs of its states that are ready, or behind them: a higher one starts first, always, but that no job is
    /// overtaken more than 64 times. Those of the same priority start first come, first served. It is 0, or, of a kick, that
    /// of the parent, unless it is said here.
    pub fn priority(mut self, priority: i8) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Cancel the job if it has not ended so long after it is made: when a run is seeded or added to, or when the move
    /// that kicks it is committed. It is for the job's whole life, through all its states, and survives restarts.
    ///
    /// A step in flight is stopped at its next `await` then, as by a timeout; the result of a plain `fn` is ignored. A job that
    /// waits for a delay or a backoff waits no longer than until then. One that waits for a slot is cancelled when its
    /// turn comes, without a step or a permit; so is one that waits for its children, once they are done, but if it has only to end
    /// then, it ends. Each has an error that says so. A job that is redriven after its
    /// deadline has none any more.
    ///
    /// ```
    /// # use jorb::prelude::*;
    /// # use std::time::Duration;
    /// # #[workflow(job = String)] #[derive(Debug, Clone)] enum Crawl {
    /// #     #[state(initial, next(Done))] Fetch,
    /// #     #[state(terminal)] Done,
    /// # }
    /// # #[state] async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> { Ok(Next::to(crawl::Done)) }
    /// let page = Kick::new(crawl::Fetch, "news".into()).deadline(Duration::from_secs(3600));
    /// # let _ = page;
    /// ```
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

impl<T: State> From<Kick<T>> for NewJob<T::Workflow> {
    fn from(Kick { state, context, once, priority, deadline }: Kick<T>) -> Self {
        NewJob { state: state.into(), context, once, priority, deadline }
    }
}

/// Why a step did not finish. `?` turns any error into [`Fault::retry`].
///
/// It is no `Error` itself; that is what lets `?` take `anyhow::Error`, `String` and `&str` as well.
#[derive(Debug)]
pub struct Fault {
    pub(crate) reaction: Reaction,
    pub(crate) error: BoxError,
}

/// What a [`Fault`] asks the engine to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Try again under the state's policy; with a delay, no earlier than that instead of the backoff.
    Retry(Option<Duration>),
    /// Pause the limiters of the state, or of its key if the step has one, then try again; costs no attempt.
    Throttle(Option<Duration>),
    /// Park the job at once.
    Park,
}

impl Fault {
    /// Try again later; counts as an attempt.
    pub fn retry(error: impl Into<BoxError>) -> Self {
        Fault { reaction: Reaction::Retry(None), error: error.into() }
    }

    /// The service pushed back (HTTP 429), perhaps with a `Retry-After`; counts as no attempt.
    #[must_use]
    pub fn throttled(after: impl Into<Option<Duration>>) -> Self {
        Fault { reaction: Reaction::Throttle(after.into()), error: "throttled".into() }
    }

    /// Trying again cannot help: park the job.
    pub fn fatal(error: impl Into<BoxError>) -> Self {
        Fault { reaction: Reaction::Park, error: error.into() }
    }

    /// Try again after `delay` instead of the backoff. It does nothing on a fatal fault.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        match &mut self.reaction {
            Reaction::Retry(after) | Reaction::Throttle(after) => *after = Some(delay),
            Reaction::Park => {}
        }
        self
    }

    /// What it asks for.
    #[must_use]
    pub fn reaction(&self) -> Reaction {
        self.reaction
    }

    /// What went wrong.
    #[must_use]
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }

    /// The error and its causes in one line, as it is recorded.
    pub(crate) fn text(&self) -> String {
        crate::error::with_causes(&*self.error)
    }
}

impl<E: Into<BoxError>> From<E> for Fault {
    fn from(error: E) -> Self {
        Fault::retry(error)
    }
}

/// Return types that a handler of `S` may have.
#[diagnostic::on_unimplemented(
    message = "a handler of state `{S}` cannot return `{Self}`",
    label = "expected `Outcome<{S}>`",
    note = "a handler of `S` returns `Outcome<S>`, or `Result<Next<S>, E>` where `E: Into<Fault>`",
    note = "an `async fn` is awaited; a plain `fn` runs on the blocking pool and returns no future"
)]
pub trait IntoOutcome<S: State> {
    /// Convert.
    fn into_outcome(self) -> Outcome<S>;
}

impl<S: State, E: Into<Fault>> IntoOutcome<S> for Result<Next<S>, E> {
    fn into_outcome(self) -> Outcome<S> {
        self.map_err(Into::into)
    }
}
