//! The graph as traits: what `#[workflow]` implements, and [`Handler`], which `#[state]` implements.
use std::{future::Future, pin::Pin};

use crate::{
    Batch, BatchCx, BatchOutcome, Codec, Cx, Demand, Ended, Fault, Graph, LimiterSpec, Loose, Move, Outcome,
    Policy, Unreadable, Unwritable,
};

/// A workflow: an enum of states. Implemented by [`#[workflow]`](macro@crate::workflow).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a workflow",
    note = "put `#[workflow]` on the enum of states; a handler's context is `&mut Cx<ThatEnum>`"
)]
pub trait Workflow: Sized + Send + Sync + 'static {
    /// Clients and functions; built fresh in each process, never saved.
    type App: Send + Sync + 'static;
    /// Values that all jobs of a run share; saved with the run. `Sync`, because many steps read it at once.
    type Overall: Send + Sync + 'static;
    /// What several states of one job share; saved with the job.
    type Job: Send + Sync + 'static;
    /// The name in the store.
    const NAME: &'static str;
    /// One entry per variant, in declaration order.
    const STATES: &'static [StateSpec];
    /// The states and their edges; prints as text, and as a Mermaid diagram.
    const GRAPH: Graph = Graph { workflow: Self::NAME, states: Self::STATES };
    /// How contexts are cloned, written and read.
    #[doc(hidden)]
    const CODEC: Codec<Self>;

    /// Place of the current state in [`Workflow::STATES`].
    fn index(&self) -> usize;
    /// The fields of the current state as JSON, nothing for a state without fields; and the state itself again.
    fn save(self) -> (Self, Result<Option<String>, Unwritable>);
    /// The state of this name with these fields; nothing when no state has the name.
    fn load(state: &str, data: Option<&str>) -> Option<Result<Self, Unreadable>>;
    /// Start the handler of the current state; nothing when the state is terminal.
    fn dispatch(self, cx: &mut Cx<Self>) -> Option<Task<'_, Self>>;
    /// Start the handler of batches of the state in which all these jobs are; nothing when that is terminal.
    #[doc(hidden)]
    fn dispatch_batch(jobs: Vec<Loose<Self>>, cx: &mut BatchCx<Self>) -> Option<BatchTask<'_, Self>> {
        let _ = (jobs, cx);
        None
    }
    /// What a step of the current state takes of its limiters; and the state itself again.
    fn demand(self, job: &Self::Job) -> (Self, Demand) {
        let _ = job;
        (self, Demand::ONE)
    }
    /// Where `on_failure` leads from the current state, after so many attempts of which the last one gave this error;
    /// nothing when the state has none.
    fn fail(self, error: String, attempts: u32) -> Option<Self> {
        let _ = (error, attempts);
        None
    }

    /// Name of the current state.
    fn name(&self) -> &'static str {
        Self::STATES[self.index()].name
    }
}

/// One step under way. It borrows the context, so whoever runs the step keeps the context afterwards.
pub type Task<'a, W> = Pin<Box<dyn Future<Output = Result<Move<W>, Fault>> + Send + 'a>>;

/// One step of several jobs under way.
#[doc(hidden)]
pub type BatchTask<'a, W> = Pin<Box<dyn Future<Output = Result<Vec<Ended<W>>, Fault>> + Send + 'a>>;

/// The struct that `#[workflow]` generates for one variant.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a workflow state",
    note = "a state is the struct that `#[workflow]` makes of a variant, in the module named after the enum: `crawl::Fetch`, not `Crawl::Fetch`"
)]
pub trait State: Into<Self::Workflow> + 'static {
    /// The enum this state belongs to.
    type Workflow: Workflow;
    /// The variant's name.
    const NAME: &'static str;
    /// The struct of a value of the enum, if it is this variant.
    fn of(workflow: Self::Workflow) -> Option<Self>
    where
        Self: Sized;
}

/// A state that is not terminal. Implemented by `#[workflow]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot have a handler: it is a terminal state, or no state",
    label = "a handler takes the struct of a state that is not terminal, like `crawl::Fetch`"
)]
pub trait Active: State {}

/// A state in which jobs may be added to a run. Implemented by `#[workflow]`.
#[diagnostic::on_unimplemented(
    message = "jobs cannot be added to a run in state `{Self}`",
    label = "not an initial state",
    note = "mark the variant `#[state(initial, ..)]`, or add the job in a state that has the mark"
)]
pub trait Initial: State {}

/// The code of one state. Implemented by [`#[state]`](macro@crate::state), or by hand.
#[diagnostic::on_unimplemented(
    message = "state `{Self}` has no handler",
    label = "no `#[state]` function takes this state",
    note = "write `#[state] async fn name(state: {Self}, cx: &mut Cx<_>) -> Outcome<{Self}>`, or mark the variant `#[state(terminal)]`"
)]
pub trait Handler: Active {
    /// How the engine may run this state.
    const POLICY: Policy;
    /// Limiters that it shares with others.
    const LIMITS: &'static [LimiterSpec] = &[];
    /// What a step takes of them.
    fn demand(&self, job: &<Self::Workflow as Workflow>::Job) -> Demand {
        let _ = job;
        Demand::ONE
    }
    /// Run one step. With [`Policy::blocking`] it is driven to its end on the blocking pool.
    fn run(self, cx: &mut Cx<Self::Workflow>) -> impl Future<Output = Outcome<Self>> + Send;
    /// Run one step of several jobs: what is called in place of [`run`](Handler::run) with [`Policy::batch`].
    fn run_batch(
        batch: Batch<Self>,
        cx: &mut BatchCx<Self::Workflow>,
    ) -> impl Future<Output = BatchOutcome<Self>> + Send {
        let _ = (batch, cx);
        async { unreachable!("only states whose policy says so have batches") }
    }
}

/// An edge of the graph, declared by `next(..)`.
#[diagnostic::on_unimplemented(
    message = "state `{Self}` may not go to `{To}`",
    label = "illegal transition",
    note = "legal next states are listed in `next(..)` on the variant"
)]
pub trait Transition<To: State>: Active {}

/// A fork of the graph, declared by `kick(..)`.
#[diagnostic::on_unimplemented(
    message = "state `{Self}` may not kick jobs in `{Child}`",
    label = "illegal kick",
    note = "states of kicked jobs are listed in `kick(..)` on the variant"
)]
pub trait Kicks<Child: State>: Active {}

/// What is known of one state without a job.
#[derive(Debug, Clone, Copy)]
pub struct StateSpec {
    /// Variant name, also the name in the store.
    pub name: &'static str,
    /// Names that it had in older stores.
    pub aliases: &'static [&'static str],
    /// `None` for terminal states.
    pub policy: Option<Policy>,
    /// Limiters that it shares with others.
    pub limits: &'static [LimiterSpec],
    /// It has fields, which are saved with the job.
    pub fields: bool,
    /// Jobs may be added here.
    pub initial: bool,
    /// States that a job may move to.
    pub next: &'static [&'static str],
    /// States that it may kick jobs into.
    pub kick: &'static [&'static str],
    /// The state that a job moves to when its step has failed for good.
    pub on_failure: Option<&'static str>,
}

impl StateSpec {
    /// No handler: a job that comes here has ended.
    #[must_use]
    pub const fn terminal(&self) -> bool {
        self.policy.is_none()
    }

    /// What a step takes of its limiters is to be asked.
    pub(crate) fn demands(&self) -> bool {
        self.limits.iter().any(|limiter| limiter.weighted || limiter.keyed)
    }

    /// Has this name, or used to have it.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}
