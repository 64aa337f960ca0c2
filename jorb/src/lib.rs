//! Concentrated computing: a big batch of jobs on one big machine, each job walking a typed graph of states.
//!
//! You have a hundred to ten million things to do that each take several fallible, rate-limited steps. Write the steps
//! down as an enum of states and a function per state; jorb runs them with a concurrency, a rate and retries per state,
//! and commits each step, so that the program can be killed at any instant and started again.
//!
//! ```
//! use jorb::prelude::*;
//! use jorb::{Processor, Run, SqliteStore};
//!
//! /// The life of one page.
//! #[workflow(job = Page)]
//! #[derive(Debug, Clone)]
//! enum Crawl {
//!     #[state(initial, next(Parse, Gone))]
//!     Fetch,
//!     #[state(next(Done), kick(Fetch))]
//!     Parse { html: String },
//!     #[state(terminal)]
//!     Done,
//!     #[state(terminal)]
//!     Gone { status: u16 },
//! }
//!
//! /// What the states of one page share.
//! #[derive(Debug, Clone, Serialize, Deserialize)]
//! struct Page {
//!     url: String,
//! }
//!
//! #[state(concurrency = 4, rate = "100/s", retries = 5, timeout = "30s")]
//! async fn fetch(_: crawl::Fetch, cx: &mut Cx<Crawl>) -> Outcome<crawl::Fetch> {
//!     match cx.job.url.as_str() {
//!         "/" => Ok(Next::to(crawl::Parse { html: "/a /b /a".into() })),
//!         "/a" => Ok(Next::to(crawl::Parse { html: "/ /b".into() })),
//!         _ => Ok(Next::to(crawl::Gone { status: 404 })),
//!     }
//! }
//!
//! #[state]
//! fn parse(crawl::Parse { html }: crawl::Parse) -> Outcome<crawl::Parse> {
//!     let kick = |url: &str| Kick::new(crawl::Fetch, Page { url: url.into() }).once(url);
//!     Ok(Next::to(crawl::Done).kick(html.split(' ').map(kick)))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), jorb::Error> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("crawl.jorb");
//! let mut run = Run::<Crawl>::open(SqliteStore::at(&path))?; // resumes, or makes a new run
//! let start = Kick::new(crawl::Fetch, Page { url: "/".into() }).once("/");
//! run.seed((), |jobs| jobs.add(start))?; // only once
//! let summary = Processor::new(()).exec(&mut run).await?;
//! assert_eq!((summary.jobs("Done"), summary.jobs("Gone")), (2, 1));
//!
//! for page in run.jobs().in_state::<crawl::Gone>() {
//!     let page = page?;
//!     assert_eq!((page.context.url.as_str(), page.state.status), ("/b", 404));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is checked while compiling
//!
//! `Next::to(crawl::Done)` in `fetch` would not compile: `Fetch` lists `next(Parse, Gone)`. Nor do a misspelled state, a
//! forgotten handler, a handler of a terminal state, a dead end, a state that nobody can reach, a context that cannot
//! be saved, a bad rate. [`macro@workflow`] and [`macro@state`] say what the keys mean.
//!
//! # What follows from what a handler returns
//!
//! | a step | the job | attempts |
//! | --- | --- | --- |
//! | returns `Ok(Next::to(s))` | moves; state, context, history and kicks commit in one transaction; only then `s` may start | from 1 again |
//! | returns `Ok(Next::to(s).after(d))` | the same, and `s` starts no earlier than `d` from now; survives restarts | from 1 again |
//! | returns `Ok(Next::to(s).when_children_done())` | the same, and `s` starts when all jobs that it kicked have [ended](Next::when_children_done) | from 1 again |
//! | returns `Err(..)`, or `?` | keeps its context's changes and tries again after the backoff, without a slot | one more |
//! | the same, and `retry_if` says no | fails for good | one more |
//! | returns `Err(Fault::retry(e).after(d))` | tries again after `d`; `retry_if` is not asked | one more |
//! | returns `Err(Fault::throttled(after))` | tries again; the state's limiter pauses as well | no more |
//! | returns `Err(Fault::fatal(e))` | fails for good | one more |
//! | panics, or runs into its timeout | its context is as before the step; as an error otherwise | one more |
//! | gives back a [`Batch`] that it has [finished](Batch::finish) | each of its jobs as if it had run alone | |
//! | is dropped by a stop | is as before the step, which runs again at the next start | no more |
//!
//! What fails for good is parked: so is a job whose attempts are used up, or whose next one would start later than
//! `give_up_after` allows. Without either, the first error parks the job: no step is repeated unless its author said so. A
//! parked job stays in its state, visible, until somebody [redrives](Run::redrive) it.
//!
//! With `on_failure(Gone)` on its state it is not parked but moves to `Gone`, which is made of the state and the error
//! ([`Failed`]); both are in one commit. Where that cannot be made, because the `From` panics or gives what cannot be saved,
//! the job is parked after all, and its error says why. A job whose saved data cannot be read, or who leaves what cannot be
//! saved, is parked in any case: that is for somebody to mend.
//!
//! # Cancelling, and deadlines
//!
//! A job that nobody wants any more is cancelled: by [`Handle::cancel`] while the run is driven, by [`Run::cancel`] (and the
//! subcommand `cancel`) when nobody drives it, or because its [deadline](Kick::deadline) has passed. It stays in its state
//! with its errors, its history and its `once` key, and makes no step any more unless somebody redrives it. A step in flight
//! is stopped at its next `await`, and its context is as before the step; the result of a plain `fn`, which nobody can stop,
//! is ignored, and its slot stays taken until it returns. Children that were kicked before are jobs of their own. A job that waits
//! [for its children](Next::when_children_done) counts the cancelled ones as done. A run
//! is complete when only ended, parked and cancelled jobs are left, and cancelled ones alone are no reason for another exit
//! code than 0.
//!
//! # Once, and again
//!
//! A step runs *at least* once: make it idempotent with [`Cx::key`], which is the same on every attempt.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! | --- | --- | --- |
//! | `sqlite` | yes | `SqliteStore` |
//! | `progress` | yes | `Progress` |
//! | `cli` | no | `cli::Program`: subcommands for a workflow program |

mod batch;
mod children;
#[cfg(feature = "cli")]
pub mod cli;
mod codec;
mod cx;
mod error;
mod failed;
mod graph;
mod job;
mod limiter;
mod limits;
mod macros;
mod nearest;
mod outcome;
mod policy;
mod processor;
#[cfg(feature = "progress")]
mod progress;
pub mod reduce;
#[cfg(test)]
mod repeatable;
mod run;
pub mod store;
mod time;
mod tuning;
mod units;
mod workflow;

pub use batch::{Batch, BatchCx, BatchOutcome, Ended, Finished, IntoBatchOutcome, Item, Loose};
pub use children::{Children, Join};
pub use codec::{Codec, Form, Saved, Unreadable, Unwritable};
pub use cx::Cx;
pub use error::{Error, UnknownState};
pub use failed::{AfterFailure, Failed};
pub use graph::Graph;
pub use job::{JobId, Snapshot, StateId, Status};
pub use limiter::{Demand, Keyed, Limiter, LimiterSpec, Takes, Weighted};
pub use macros::{limiter, state, workflow};
pub use outcome::{BoxError, Fault, IntoOutcome, Kick, Move, NewJob, Next, Outcome, Reaction};
pub use policy::{Adaptive, Backoff, Batching, Policy, Rate, RetryIf};
pub use processor::{
    CancelDriven, Ending, Event, Exit, Handle, HeldKey, LimiterOverview, Listener, Overview, Processor,
    StateOverview, StateSummary, Summary, Tuned, Wait,
};
#[cfg(feature = "progress")]
pub use progress::Progress;
pub use run::{
    Advice, AnyState, Cancel, Cancelled, Job, JobIn, JobStory, Jobs, JobsIter, Reason, Redrive, Report, Run,
    Seeds, Shown, StateReport, UnknownStatus,
};
#[cfg(feature = "sqlite")]
pub use store::SqliteStore;
pub use store::{JsonStore, MemoryStore, Store};
pub use time::{Clock, Timestamp};
pub use tuning::Tuning;
pub use units::BadUnit;
pub use workflow::{
    Active, BatchTask, Handler, Initial, Kicks, State, StateSpec, Task, Transition, Workflow,
};

#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../docs/limits.md")]
struct Limits;

#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../../docs/recipes.md")]
struct Recipes;

/// What a module with a workflow or handlers needs.
pub mod prelude {
    pub use crate::{Cx, Fault, Kick, Next, Outcome, State, Workflow, limiter, state, workflow};
    pub use serde::{Deserialize, Serialize};
}

/// Not public API. Used by the macros.
#[doc(hidden)]
pub mod __private {
    pub use core::{convert::From, option::Option, result::Result};
    pub use serde;
    pub use std::{string::String, vec::Vec};

    use core::time::Duration;

    use serde::{Serialize, de::DeserializeOwned};

    pub use crate::codec::{Context, read_state, write};
    use crate::{
        AfterFailure, Backoff, BatchCx, BatchTask, Codec, Cx, Demand, Failed, Handler, LimiterSpec, Loose,
        Policy, Rate, State, Task, Unreadable, Unwritable, Workflow, batch, units,
    };

    /// What the dispatcher needs to know of one state.
    pub struct Entry<S: State> {
        pub policy: Policy,
        pub limits: &'static [LimiterSpec],
        pub run: Start<S, S::Workflow>,
        pub run_batch: StartBatch<S::Workflow>,
        pub demand: fn(&S, &<S::Workflow as Workflow>::Job) -> Demand,
    }

    type Start<S, W> = fn(S, &mut Cx<W>) -> Task<'_, W>;
    type StartBatch<W> = fn(Vec<Loose<W>>, &mut BatchCx<W>) -> BatchTask<'_, W>;

    /// Asks for the handler of `S`: the only place that does.
    #[must_use]
    pub const fn entry<S: Handler>() -> Entry<S> {
        Entry {
            policy: S::POLICY,
            limits: S::LIMITS,
            demand: S::demand,
            run: |state, cx| {
                let step = state.run(cx);
                Box::pin(async move { step.await.map(Into::into) })
            },
            run_batch: |jobs, cx| {
                let step = S::run_batch(batch::batch(jobs), cx);
                Box::pin(async move { step.await.map(batch::ended) })
            },
        }
    }

    /// The engine runs such a state by its other function.
    ///
    /// # Panics
    /// Always.
    #[must_use]
    pub fn never<T>() -> T {
        unreachable!("a state has one kind of handler, and the policy says which")
    }

    /// Asks for what makes a `T` of a failed `S`: the only place that does.
    #[must_use]
    pub const fn after_failure<T: AfterFailure<S>, S: State>() -> fn(Failed<S>) -> S::Workflow {
        |failed| T::after(failed).into()
    }

    /// The only name, unless a `cfg` has taken it away.
    #[must_use]
    pub const fn first(names: &'static [&'static str]) -> Option<&'static str> {
        names.first().copied()
    }

    /// What a step takes of each of its limiters, and for which keys.
    #[must_use]
    pub fn demand<const N: usize>(limiters: &[LimiterSpec], demands: [(u32, String); N]) -> Demand {
        let costs = demands.each_ref().map(|(cost, _)| *cost);
        Demand::of(&costs).with_keys(limiters, &demands.map(|(_, key)| key))
    }

    /// Asks for what the enum must be.
    #[must_use]
    pub const fn codec<W: Workflow + Clone>(job: Context<W::Job>, overall: Context<W::Overall>) -> Codec<W> {
        Codec { clone_state: W::clone, job, overall }
    }

    /// Asks for what a context must be.
    #[must_use]
    pub const fn context<C: Clone + Serialize + DeserializeOwned>() -> Context<C> {
        Context::new()
    }

    /// The fields of a state, and the state itself again.
    pub fn save<S: State + Serialize>(state: S) -> (S::Workflow, Result<Option<String>, Unwritable>) {
        let text = write(&state).map(Some);
        (state.into(), text)
    }

    /// As [`read_state`], of a state with named fields: when it had none, its new ones may have defaults.
    pub fn read_fields<S: State + DeserializeOwned>(data: Option<&str>) -> Result<S::Workflow, Unreadable> {
        read_state::<S>(Some(data.unwrap_or("{}")))
    }

    /// Evaluated while compiling; `track_caller` makes the error point at the caller.
    #[must_use]
    #[track_caller]
    pub const fn concurrency(n: usize) -> usize {
        assert!(n > 0, "`concurrency` must be at least 1");
        n
    }

    /// As [`concurrency`].
    #[must_use]
    #[track_caller]
    pub const fn burst(n: u32) -> u32 {
        assert!(n > 0, "`burst` must be at least 1");
        n
    }

    /// As [`concurrency`].
    #[must_use]
    #[track_caller]
    pub const fn crashes(n: u32) -> u32 {
        assert!(n > 0, "`crashes` must be at least 1");
        n
    }

    /// As [`concurrency`].
    #[must_use]
    #[track_caller]
    pub const fn max(n: u32) -> u32 {
        assert!(n > 0, "`max` must be at least 1");
        n
    }

    /// As [`concurrency`].
    #[must_use]
    #[track_caller]
    pub const fn wait(longest: Duration) -> Duration {
        longest
    }

    /// As [`concurrency`].
    #[must_use]
    #[track_caller]
    pub const fn timeout(limit: Duration) -> Duration {
        assert!(!limit.is_zero(), "`timeout` must be more than zero");
        limit
    }

    /// As [`concurrency`].
    #[must_use]
    #[track_caller]
    pub const fn give_up_after(budget: Duration) -> Duration {
        assert!(!budget.is_zero(), "`give_up_after` must be more than zero");
        budget
    }

    /// The text of a `rate`.
    #[must_use]
    #[track_caller]
    pub const fn rate(text: &str) -> Rate {
        Rate::literal(text)
    }

    /// The text of a `backoff`.
    #[must_use]
    #[track_caller]
    pub const fn backoff(text: &str) -> Backoff {
        Backoff::literal(text)
    }

    /// The text of a duration.
    #[must_use]
    #[track_caller]
    pub const fn duration(text: &str) -> Duration {
        match units::duration(text) {
            Ok(duration) => duration,
            Err(e) => panic!("{}", e.message()),
        }
    }
}
