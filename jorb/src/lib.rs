//! Concentrated computing: a big batch of jobs on one big machine, each walking a typed graph of states.

#[cfg(feature = "cli")]
pub mod cli;
mod codec;
mod cx;
mod error;
mod graph;
mod job;
mod limits;
mod macros;
mod nearest;
mod outcome;
mod policy;
mod processor;
#[cfg(feature = "progress")]
mod progress;
pub mod reduce;
mod run;
pub mod store;
mod time;
mod units;
mod workflow;

pub use codec::{Codec, Form, Saved, Unreadable, Unwritable};
pub use cx::Cx;
pub use error::{Error, UnknownState};
pub use graph::Graph;
pub use job::{JobId, Snapshot, StateId, Status};
pub use macros::{state, workflow};
pub use outcome::{BoxError, Fault, IntoOutcome, Kick, Move, NewJob, Next, Outcome, Reaction};
pub use policy::{Backoff, Policy, Rate};
pub use processor::{
    Ending, Event, Exit, Handle, Listener, Overview, Processor, StateOverview, StateSummary, Summary,
};
#[cfg(feature = "progress")]
pub use progress::Progress;
pub use run::{
    Advice, AnyState, Job, JobIn, JobStory, Jobs, JobsIter, Reason, Redrive, Report, Run, Seeds, Shown,
    StateReport, UnknownStatus,
};
#[cfg(feature = "sqlite")]
pub use store::SqliteStore;
pub use store::{JsonStore, MemoryStore, Store};
pub use time::{Clock, Timestamp};
pub use units::BadUnit;
pub use workflow::{Active, Handler, Initial, Kicks, State, StateSpec, Task, Transition, Workflow};

/// What a module with a workflow or handlers needs.
pub mod prelude {
    pub use crate::{Cx, Fault, Kick, Next, Outcome, State, Workflow, state, workflow};
    pub use serde::{Deserialize, Serialize};
}

/// Not public API. Used by the macros.
#[doc(hidden)]
pub mod __private {
    pub use core::{convert::From, option::Option, result::Result};
    pub use serde;
    pub use std::string::String;

    use core::time::Duration;

    use serde::{Serialize, de::DeserializeOwned};

    pub use crate::codec::{Context, read_state, write};
    use crate::{
        Backoff, Codec, Cx, Handler, Policy, Rate, State, Task, Unreadable, Unwritable, Workflow, units,
    };

    /// What the dispatcher needs to know of one state.
    pub struct Entry<S: State> {
        pub policy: Policy,
        pub run: Start<S, S::Workflow>,
    }

    type Start<S, W> = fn(S, &mut Cx<W>) -> Task<'_, W>;

    /// Asks for the handler of `S`: the only place that does.
    #[must_use]
    pub const fn entry<S: Handler>() -> Entry<S> {
        Entry {
            policy: S::POLICY,
            run: |state, cx| {
                let step = state.run(cx);
                Box::pin(async move { step.await.map(Into::into) })
            },
        }
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
    pub const fn timeout(limit: Duration) -> Duration {
        assert!(!limit.is_zero(), "`timeout` must be more than zero");
        limit
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
