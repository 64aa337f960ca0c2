//! A slot: pulls a job, runs its step in place, hands over what it left, pulls the next.
use std::{sync::Arc, time::Duration};

use tokio::{select, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::core::{Core, Done, Permit, Pull};
use super::line::Waiting;
use super::panic::{Caught, caught};
use super::random::uniform;
use crate::{
    Cx, Fault, Move, NewJob, Policy, Saved, StateId, Unreadable, Unwritable, Workflow,
    codec::load_state,
    cx::At,
    reduce::{Kicked, Moved, Returned, Target, reduce},
    store::Record,
};

/// What all slots share.
pub(super) struct Shared<W: Workflow> {
    pub(super) core: Core<W>,
    pub(super) app: Arc<W::App>,
    pub(super) overall: Arc<W::Overall>,
    pub(super) run: Uuid,
    pub(super) seed: u64,
}

/// What a step gave.
enum Gave<W: Workflow> {
    Outcome(Result<Move<W>, Fault>, W::Job),
    Broke(String),
    Stopped,
}

/// Runs steps of `state` until the run ends.
pub(super) async fn slot<W: Workflow>(shared: Arc<Shared<W>>, state: StateId<W>, policy: Policy) {
    let core = &shared.core;
    loop {
        match core.pull(state) {
            Pull::Run(job, permit) => {
                if !may_start(core, state, permit).await {
                    core.not_started(state);
                    continue;
                }
                step(&shared, &policy, job).await;
                // A handler that never waits must not keep the others from this thread.
                tokio::task::coop::consume_budget().await;
            }
            Pull::Wait => core.woken(state).await,
            Pull::Retire => return,
        }
    }
}

/// Waits until a permit is saved. False when the store failed: a start that is not saved is none.
async fn may_start<W: Workflow>(core: &Core<W>, state: StateId<W>, mut permit: Option<Permit>) -> bool {
    while let Some(Permit { saved, at }) = permit {
        if saved.await.is_err() {
            return false;
        }
        permit = core.starts(state, at);
    }
    true
}

async fn step<W: Workflow>(shared: &Arc<Shared<W>>, policy: &Policy, job: Box<Waiting<W>>) {
    let core = &shared.core;
    let Waiting { record, values } = *job;
    let started = core.clock.nanos();
    let waited =
        Duration::from_nanos(started.saturating_sub(record.job.ready_at.0.saturating_mul(1_000_000)));
    let (id, attempt, number) = (record.job.id, record.job.attempt, record.job.step);
    let values = match values {
        Some(values) => Ok(Ok(values)),
        None => caught(|| read(&record)),
    };
    let (returned, values, kicked) = match values {
        Err(error) => nothing(Returned::Broke { error }),
        Ok(Err(e)) => nothing(unusable(&e)),
        Ok(Ok((state, context))) => {
            let at = At {
                run: shared.run,
                id,
                parent: record.job.parent.map(|(parent, _)| parent),
                step: number,
                attempt,
                cancelled: core.kill.child_token(),
            };
            let cx = Cx { app: shared.app.clone(), overall: shared.overall.clone(), job: context, at };
            let span = tracing::debug_span!("step", job = id.0, state = state.name(), attempt);
            let gave = run(shared, state, cx, policy).instrument(span).await;
            let form = core.form;
            caught(|| encode(gave, form)).unwrap_or_else(|error| nothing(Returned::Broke { error }))
        }
    };
    let ran = Duration::from_nanos(core.clock.nanos().saturating_sub(started));
    let random = uniform(shared.seed, id, number, attempt);
    let (now, effects, action) = reduce(policy, record.job.clone(), returned, core.clock.now(), random);
    core.finish(Done { before: record, now, effects, action, values, kicked, waited, ran });
}

fn read<W: Workflow>(record: &Record<W>) -> Result<(W, W::Job), Unreadable> {
    let state = load_state(record.job.state.name(), &record.job.data)?;
    Ok((state, W::CODEC.job.load(&record.job.context)?))
}

/// Runs one step, where its policy says, for as long as it may take.
async fn run<W: Workflow>(shared: &Arc<Shared<W>>, state: W, cx: Cx<W>, policy: &Policy) -> Gave<W> {
    let cancelled = cx.at.cancelled.clone();
    let work = Caught::new(async move {
        let mut cx = cx;
        let step = state.dispatch(&mut cx).expect("only states with a handler have slots");
        let outcome = step.await;
        Gave::Outcome(outcome, cx.job)
    });
    if policy.blocking {
        run_blocking(shared, work, cancelled, policy).await
    } else {
        run_in_place(shared, work, &cancelled, policy).await
    }
}

async fn run_in_place<W: Workflow>(
    shared: &Shared<W>,
    work: impl Future<Output = Result<Gave<W>, String>>,
    cancelled: &CancellationToken,
    policy: &Policy,
) -> Gave<W> {
    let gave = select! {
        biased;
        gave = work => gave.unwrap_or_else(Gave::Broke),
        () = too_long(policy) => Gave::Broke(late(policy)),
        () = shared.core.kill.cancelled() => Gave::Stopped,
    };
    cancelled.cancel(); // whatever the handler started elsewhere can see that nobody waits for it
    gave
}

/// A thread cannot be dropped: after its timeout a step keeps its slot, and its job, until it returns.
async fn run_blocking<W: Workflow>(
    shared: &Shared<W>,
    work: impl Future<Output = Result<Gave<W>, String>> + Send + 'static,
    cancelled: CancellationToken,
    policy: &Policy,
) -> Gave<W> {
    let runtime = tokio::runtime::Handle::current();
    let span = tracing::Span::current();
    let mut thread = tokio::task::spawn_blocking(move || span.in_scope(|| runtime.block_on(work)));
    let joined = |joined: Result<Result<Gave<W>, String>, tokio::task::JoinError>| match joined {
        Ok(gave) => gave.unwrap_or_else(Gave::Broke),
        Err(_) => Gave::Stopped, // the runtime shuts down
    };
    select! {
        biased;
        gave = &mut thread => return joined(gave),
        () = shared.core.kill.cancelled() => return Gave::Stopped,
        () = too_long(policy) => {}
    }
    cancelled.cancel();
    tracing::debug!("timed out; the step's thread still runs");
    select! {
        _ = thread => Gave::Broke(late(policy)),
        () = shared.core.kill.cancelled() => Gave::Stopped,
    }
}

async fn too_long(policy: &Policy) {
    match policy.timeout {
        Some(limit) => sleep(limit).await,
        None => std::future::pending().await,
    }
}

fn late(policy: &Policy) -> String {
    format!("timed out: no result after {:?}", policy.timeout.unwrap_or_default())
}

type Encoded<W> = (Returned<W>, Option<(W, <W as Workflow>::Job)>, Vec<(W, <W as Workflow>::Job)>);

/// No values are at hand for the step that follows.
fn nothing<W: Workflow>(returned: Returned<W>) -> Encoded<W> {
    (returned, None, Vec::new())
}

/// What a step gave, as the store keeps it; and the values, for the steps that follow.
fn encode<W: Workflow>(gave: Gave<W>, form: crate::Form) -> Encoded<W> {
    let (outcome, context) = match gave {
        Gave::Stopped => return nothing(Returned::Stopped),
        Gave::Broke(error) => return nothing(Returned::Broke { error }),
        Gave::Outcome(outcome, context) => (outcome, context),
    };
    let saved = match W::CODEC.job.save(form, &context) {
        Ok(saved) => saved,
        Err(e) => return nothing(unusable(&e)),
    };
    match outcome {
        Err(fault) => {
            let error = shortened(fault.text());
            nothing(Returned::Failed { reaction: fault.reaction(), error, context: saved })
        }
        Ok(step) => match encode_move(form, step, saved) {
            Ok((moved, state, kicked)) => (Returned::Moved(moved), Some((state, context)), kicked),
            Err(e) => nothing(unusable(&e)),
        },
    }
}

type EncodedMove<W> = (Moved<W>, W, Vec<(W, <W as Workflow>::Job)>);

fn encode_move<W: Workflow>(
    form: crate::Form,
    step: Move<W>,
    context: Saved<W::Job>,
) -> Result<EncodedMove<W>, Unwritable> {
    let Move { to, after, kicks } = step;
    let (state, to) = Target::save(form, to)?;
    let mut values = Vec::with_capacity(kicks.len());
    let mut kicked = Vec::with_capacity(kicks.len());
    for NewJob { state, context, once } in kicks {
        let (state, to) = Target::save(form, state)?;
        kicked.push(Kicked { to, context: W::CODEC.job.save(form, &context)?, once });
        values.push((state, context));
    }
    Ok((Moved { to, after, kicks: kicked, context }, state, values))
}

fn unusable<W: Workflow>(error: &dyn std::error::Error) -> Returned<W> {
    Returned::Unusable { error: error.to_string() }
}

/// An error is for people to read: a build log belongs into a state's fields.
fn shortened(mut error: String) -> String {
    const MOST: usize = 8 * 1024;
    if error.len() > MOST {
        let cut = (0..=MOST).rev().find(|at| error.is_char_boundary(*at)).unwrap_or(0);
        error.truncate(cut);
        error.push_str(" .. (shortened)");
    }
    error
}
