//! A slot: pulls a job, runs its step in place, hands over what it left, pulls the next.
use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use tokio::{
    select,
    sync::Semaphore,
    task::coop,
    time::{sleep, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;
use uuid::Uuid;

use super::core::{Core, Done, Permit, Pull, Start};
use super::failure::{hand_over, judge};
use super::line::{AtHand, Values, Waiting, values};
use super::panic::{Caught, caught};
use super::permits::Uses;
use super::random::uniform;
use super::suspects::{Cell, Suspect};
use crate::{
    Clock, Cx, Demand, Fault, JobId, Move, NewJob, Policy, Reaction, Saved, Snapshot, StateId, Timestamp,
    Unwritable, Workflow,
    cx::{At, Cancelled, Settled},
    reduce::{Action, Kicked, Moved, Reduced, Returned, Target, reduce},
    store::{Record, Standing, steps::Steps},
};

pub(super) use self::batch::batches;

mod batch;

/// Steps of plain functions at once, of all states: tokio's pool has 512 threads unless told otherwise, and the store
/// needs one.
pub(super) const BLOCKING: usize = 500;

/// What all slots share.
pub(super) struct Shared<W: Workflow> {
    pub(super) core: Core<W>,
    pub(super) app: Arc<W::App>,
    pub(super) overall: Arc<W::Overall>,
    pub(super) run: Uuid,
    pub(super) seed: u64,
    /// Of plain functions.
    pub(super) threads: TaskTracker,
    /// How many of them there may be.
    pub(super) blocking: Arc<Semaphore>,
    /// Where slots note what they run, if a state asks for that.
    pub(super) steps: Option<Arc<Steps>>,
}

/// Runs steps of `state` until the run ends.
pub(super) async fn slot<W: Workflow>(shared: Arc<Shared<W>>, state: StateId<W>, policy: Policy) {
    let core = &shared.core;
    let mut bench = Bench::new(&shared, &policy);
    let mut cell = shared.steps.clone().filter(|_| policy.crashes.is_some()).map(Cell::new);
    let mut done = None;
    loop {
        // From before it is pulled, nothing that is done to a job is missed.
        bench.cancels = core.cancels();
        match core.next(state, done.take()) {
            Pull::Run(Start { job, at: started, permit, suspect }) => {
                if let Some(cell) = &mut cell
                    && (permit.is_some() || suspect.is_some())
                {
                    cell.clear();
                }
                let id = job.record.job.id;
                if !may_start(core, state, permit).await || core.is_cancelled(id, bench.cancels) {
                    core.not_started(&job);
                    continue;
                }
                let counted = match (&mut cell, suspect) {
                    // What stands there stays true until it is parked, and durably so.
                    (_, Some(suspect)) if suspect.verdict().is_some() => None,
                    (Some(cell), Some(suspect)) => match cell.count(suspect).await {
                        Ok(counted) => Some(counted),
                        Err(error) => {
                            core.not_started(&job);
                            core.fail(error);
                            continue;
                        }
                    },
                    (Some(cell), None) => {
                        cell.note(&job);
                        None
                    }
                    (None, _) => None,
                };
                let step = bench.step(job, started, suspect).await;
                // A step that was dropped by a stop has not ended.
                if let Some(counted) = counted
                    && step.action != Action::Stay
                {
                    counted.ended();
                }
                done = Some(step);
                // A handler that never waits must not keep the others from this thread.
                if !coop::has_budget_remaining()
                    && let Some(done) = done.take()
                {
                    core.finish(done);
                }
                coop::consume_budget().await;
            }
            Pull::Wait => {
                if let Some(cell) = &mut cell {
                    cell.clear();
                }
                core.woken(state).await;
            }
            Pull::Retire => return,
        }
    }
}

/// Waits until a permit is saved. False when the store failed, for a start that is not saved is none; or when the run
/// ends meanwhile.
async fn may_start<W: Workflow>(core: &Core<W>, state: StateId<W>, mut permit: Option<Permit>) -> bool {
    while let Some(mut taken) = permit {
        if (&mut taken.saved).await.is_err() || core.stopping.is_cancelled() {
            return false;
        }
        permit = core.starts(state, taken);
    }
    true
}

/// What the steps of all jobs see.
type Common<W> = (Arc<<W as Workflow>::App>, Arc<<W as Workflow>::Overall>);

/// What a slot has from step to step.
struct Bench<'a, W: Workflow> {
    shared: &'a Shared<W>,
    policy: &'a Policy,
    cancelled: Arc<Cancelled>,
    /// Handed from step to step: counting references costs more when all slots do it at once.
    at_hand: Option<Common<W>>,
    /// How often steps had been cancelled before this one.
    cancels: u64,
}

/// What a step gave.
enum Gave<T> {
    Outcome(T),
    Broke(String),
    Expired,
    /// The run ends, or the job was cancelled.
    Stopped,
}

/// What a handler gave, the context as it left it, and what it settled.
type Given<W> = (Result<Move<W>, Fault>, <W as Workflow>::Job, Settled);

/// For whom a step runs.
struct Whom<'a, W: Workflow> {
    state: StateId<W>,
    jobs: &'a [JobId],
    /// When nobody wants it any more.
    deadline: Option<Timestamp>,
}

impl<'a, W: Workflow> Whom<'a, W> {
    fn of(job: &'a Snapshot<W>) -> Self {
        Whom { state: job.state, jobs: std::slice::from_ref(&job.id), deadline: job.deadline }
    }
}

/// A job whose step has begun.
struct Begun<W: Workflow> {
    before: Standing<W>,
    record: Box<Record<W>>,
    demand: Demand,
    uses: Uses,
    line: usize,
    waited: Duration,
}

impl<W: Workflow> Begun<W> {
    /// At this time; with its values, if they were at hand.
    fn new(job: Waiting<W>, started: u64) -> (Self, Option<Values<W>>) {
        let Waiting { mut record, at_hand: AtHand { values, demand }, uses, line, .. } = job;
        let before = record.standing();
        let since = before.turn.ready_at.0.saturating_mul(1_000_000);
        let waited = Duration::from_nanos(started.saturating_sub(since));
        record.job.began.get_or_insert(Timestamp(started / 1_000_000));
        (Begun { before, record, demand, uses, line, waited }, values)
    }
}

impl<'a, W: Workflow> Bench<'a, W> {
    fn new(shared: &'a Shared<W>, policy: &'a Policy) -> Self {
        Bench { shared, policy, cancelled: Arc::default(), at_hand: None, cancels: 0 }
    }
}

impl<W: Workflow> Bench<'_, W> {
    async fn step(&mut self, job: Waiting<W>, started: u64, suspect: Option<Suspect<W>>) -> Done<W> {
        let form = self.shared.core.form;
        let verdict = suspect.and_then(|suspect| suspect.verdict());
        let (begun, known) = Begun::new(job, started);
        let known = match known {
            _ if verdict.is_some() => Err(String::new()),
            Some(known) => Ok(Ok(known)),
            None => caught(|| values(&begun.record)),
        };
        let mut settled = None;
        let encoded = match known {
            _ if let Some(error) = verdict => {
                let Snapshot { id, state, context, .. } = &begun.record.job;
                tracing::warn!(job = id.0, state = state.name(), error, "it is not run again");
                nothing(Returned::Failed { reaction: Reaction::Park, error, context: context.clone() })
            }
            Err(error) => nothing(Returned::Broke { error }),
            Ok(Err(e)) => nothing(unusable(&e)),
            Ok(Ok((state, context))) => {
                let Snapshot { id, attempt, .. } = &begun.record.job;
                let span = tracing::debug_span!("step", job = id.0, state = state.name(), attempt);
                let mut gave = self.run(&begun.record.job, state, context).instrument(span).await;
                if let Gave::Outcome((outcome, _, said)) = &mut gave {
                    settled = said.take();
                    judge(self.policy, outcome);
                }
                caught(|| encode(gave, form)).unwrap_or_else(|error| nothing(Returned::Broke { error }))
            }
        };
        let ended = self.shared.core.clock.nanos();
        self.done(begun, encoded, settled, (started, ended))
    }

    /// What follows from what a step gave.
    fn done(
        &self,
        begun: Begun<W>,
        encoded: Encoded<W>,
        settled: Settled,
        (started, ended): (u64, u64),
    ) -> Done<W> {
        let core = &self.shared.core;
        let Begun { before, mut record, demand, uses, line, waited } = begun;
        let Encoded { returned, at_hand, of_kicks } = encoded;
        let ran = Duration::from_nanos(ended.saturating_sub(started));
        let random = match returned {
            Returned::Moved(_) => 0.0,
            _ => uniform(self.shared.seed, record.job.id, record.job.step, record.job.attempt),
        };
        let now = Timestamp(ended / 1_000_000);
        let form = core.form;
        let on_failure = |job: &Snapshot<W>, error: &str| hand_over(form, job, error);
        // An operator may have changed how steps are retried.
        let policy = match returned {
            Returned::Moved(_) => None,
            _ => core.policy(before.state),
        };
        let policy = policy.as_ref().unwrap_or(self.policy);
        let Reduced { job, effects, kicks, action } =
            reduce(policy, record.job.take(), returned, now, random, on_failure);
        record.job = job;
        // A step that failed may have changed what the next one takes.
        let at_hand = at_hand.unwrap_or_else(|| AtHand::read(&record));
        Done {
            before,
            record,
            effects,
            kicks,
            action,
            at_hand,
            of_kicks,
            demand,
            settled,
            waited,
            ran,
            ended,
            uses,
            line,
        }
    }

    /// Runs one step, where its policy says, for as long as it may take.
    async fn run(&mut self, job: &Snapshot<W>, state: W, context: W::Job) -> Gave<Given<W>> {
        let (app, overall) = self.common();
        let cx = Cx { app, overall, job: context, at: self.at(job) };
        let whom = Whom::of(job);
        let gave = if self.policy.blocking {
            self.run_on_thread(&whom, run_to_end(state, cx)).await
        } else {
            self.run_in_place(&whom, state, cx).await
        };
        self.cancel();
        gave
    }

    fn at(&self, job: &Snapshot<W>) -> At {
        At {
            run: self.shared.run,
            id: job.id,
            parent: job.parent.map(|(parent, _)| parent),
            step: job.step,
            attempt: job.attempt,
            children: job.join.clone(),
            cancelled: self.cancelled.clone(),
            settled: None,
        }
    }

    fn common(&mut self) -> Common<W> {
        let both = || (self.shared.app.clone(), self.shared.overall.clone());
        self.at_hand.take().unwrap_or_else(both)
    }

    fn give_back(&mut self, app: Arc<W::App>, overall: Arc<W::Overall>) {
        // A handler may have put others there.
        if Arc::ptr_eq(&app, &self.shared.app) && Arc::ptr_eq(&overall, &self.shared.overall) {
            self.at_hand = Some((app, overall));
        }
    }

    async fn run_in_place(&mut self, whom: &Whom<'_, W>, state: W, mut cx: Cx<W>) -> Gave<Given<W>> {
        let outcome = self.drive(whom, pin!(run(state, &mut cx))).await;
        let Cx { app, overall, job: context, at } = cx;
        self.give_back(app, overall);
        outcome.map_or_else(|gave| gave, |outcome| Gave::Outcome((outcome, context, at.settled)))
    }

    /// Drives a step until it ends, or nobody wants it any more.
    async fn drive<F: Future + Unpin, T>(&self, whom: &Whom<'_, W>, work: F) -> Result<F::Output, Gave<T>> {
        select! {
            biased;
            outcome = Caught(work) => outcome.map_err(Gave::Broke),
            gave = self.cut(whom) => Err(gave),
            () = self.shared.core.kill.cancelled() => Err(Gave::Stopped),
        }
    }

    /// Ends when nobody wants its jobs any more. Gives what their step gives then.
    async fn unwanted<T>(&self, whom: &Whom<'_, W>) -> Gave<T> {
        let core = &self.shared.core;
        select! {
            biased;
            () = core.cancelled(whom.state, whom.jobs, self.cancels) => Gave::Stopped,
            () = deadline(whom.deadline, &core.clock) => Gave::Expired,
        }
    }

    /// The same, or when the step takes too long.
    async fn cut<T>(&self, whom: &Whom<'_, W>) -> Gave<T> {
        select! {
            biased;
            gave = self.unwanted(whom) => gave,
            () = too_long(self.policy) => Gave::Broke(late(self.policy)),
        }
    }

    /// A thread cannot be dropped: after its timeout a step keeps its slot, and its jobs, until it returns.
    async fn run_on_thread<T: Send + 'static>(
        &mut self,
        whom: &Whom<'_, W>,
        work: impl Future<Output = Gave<T>> + Send + 'static,
    ) -> Gave<T> {
        let kill = &self.shared.core.kill;
        let runtime = tokio::runtime::Handle::current();
        let span = tracing::Span::current();
        let place = select! {
            biased;
            () = kill.cancelled() => return Gave::Stopped,
            gave = self.unwanted(whom) => return gave,
            place = self.shared.blocking.clone().acquire_owned() => place,
        };
        let cancelled = self.cancelled.clone();
        let work = Caught(Box::pin(async move {
            let _place = place; // until the thread ends
            if cancelled.get().is_some_and(CancellationToken::is_cancelled) {
                return Gave::Stopped; // before there was a thread for it
            }
            work.await
        }));
        let mut thread = self.shared.threads.spawn_blocking(move || span.in_scope(|| runtime.block_on(work)));
        let joined = |joined: Result<Result<Gave<T>, String>, tokio::task::JoinError>| match joined {
            Ok(gave) => gave.unwrap_or_else(Gave::Broke),
            Err(_) => Gave::Stopped, // the runtime shuts down
        };
        let gave = select! {
            biased;
            gave = &mut thread => return joined(gave),
            () = kill.cancelled() => return Gave::Stopped,
            gave = self.cut(whom) => gave,
        };
        self.cancel();
        tracing::debug!("nobody waits for the step any more; its thread still runs");
        select! {
            _ = thread => gave,
            () = kill.cancelled() => Gave::Stopped,
        }
    }

    /// Whatever the handler started elsewhere, or its thread, can see that nobody waits for it.
    fn cancel(&mut self) {
        if Arc::strong_count(&self.cancelled) > 1 || self.cancelled.get().is_some() {
            self.cancelled.get_or_init(CancellationToken::new).cancel();
            self.cancelled = Arc::default();
        }
    }
}

async fn run<W: Workflow>(state: W, cx: &mut Cx<W>) -> Result<Move<W>, Fault> {
    state.dispatch(cx).expect("only states with a handler have slots").await
}

/// The same, with the context that it leaves.
async fn run_to_end<W: Workflow>(state: W, mut cx: Cx<W>) -> Gave<Given<W>> {
    let outcome = run(state, &mut cx).await;
    Gave::Outcome((outcome, cx.job, cx.at.settled))
}

async fn deadline(deadline: Option<Timestamp>, clock: &Clock) {
    match deadline {
        Some(at) => sleep_until(clock.instant(at)).await,
        None => std::future::pending().await,
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

struct Encoded<W: Workflow> {
    returned: Returned<W>,
    /// For the steps that follow.
    at_hand: Option<AtHand<W>>,
    of_kicks: Vec<AtHand<W>>,
}

/// Nothing is at hand for the step that follows.
fn nothing<W: Workflow>(returned: Returned<W>) -> Encoded<W> {
    Encoded { returned, at_hand: None, of_kicks: Vec::new() }
}

/// What a step gave, as the store keeps it.
fn encode<W: Workflow>(gave: Gave<Given<W>>, form: crate::Form) -> Encoded<W> {
    let (outcome, context, _) = match gave {
        Gave::Stopped => return nothing(Returned::Stopped),
        Gave::Expired => return nothing(Returned::Expired),
        Gave::Broke(error) => return nothing(Returned::Broke { error }),
        Gave::Outcome(given) => given,
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
            Ok((moved, state, of_kicks)) => {
                let at_hand = AtHand::of(moved.to.state, state, context);
                Encoded { returned: Returned::Moved(moved), at_hand: Some(at_hand), of_kicks }
            }
            Err(e) => nothing(unusable(&e)),
        },
    }
}

type EncodedMove<W> = (Moved<W>, W, Vec<AtHand<W>>);

fn encode_move<W: Workflow>(
    form: crate::Form,
    step: Move<W>,
    context: Saved<W::Job>,
) -> Result<EncodedMove<W>, Unwritable> {
    let Move { to, after, kicks, join } = step;
    let (state, to) = Target::save(form, to)?;
    let mut of_kicks = Vec::with_capacity(kicks.len());
    let mut kicked = Vec::with_capacity(kicks.len());
    for NewJob { state, context, once, priority, deadline } in kicks {
        let (state, to) = Target::save(form, state)?;
        let saved = W::CODEC.job.save(form, &context)?;
        of_kicks.push(AtHand::of(to.state, state, context));
        kicked.push(Kicked { to, context: saved, once, priority, deadline });
    }
    Ok((Moved { to, after, kicks: kicked, join, context }, state, of_kicks))
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
