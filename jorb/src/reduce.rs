//! Everything that follows from a step, as one pure function: no clock, no store, no runtime.
use std::time::Duration;

use crate::{
    Form, Policy, Reaction, Saved, Snapshot, StateId, Status, Timestamp, Unwritable, Workflow,
    codec::save_state,
};

/// What becomes of `job`, now that a step under `policy` has `returned`; `random` is in `0.0..1.0`.
///
/// The engine commits the new snapshot and the effects in one transaction, and then does the action.
#[must_use]
pub fn reduce<W: Workflow>(
    policy: &Policy,
    mut job: Snapshot<W>,
    returned: Returned<W>,
    now: Timestamp,
    random: f64,
) -> Reduced<W> {
    let but = |job, effect, action| Reduced { job, effect: Some(effect), kicks: Vec::new(), action };
    let (reaction, error) = match returned {
        Returned::Stopped => return Reduced { job, effect: None, kicks: Vec::new(), action: Action::Stay },
        Returned::Moved(moved) => return follow(job, moved, now),
        Returned::Failed { reaction, error, context } => {
            job.context = context;
            (reaction, error)
        }
        Returned::Broke { error } => (Reaction::Retry(None), error),
        Returned::Unusable { error } => (Reaction::Park, error),
    };
    if let Reaction::Throttle(after) = reaction {
        // Without a hint and without a limiter this would spin; the shortest backoff is the floor.
        let wait = after.unwrap_or(policy.backoff.min());
        job.began.get_or_insert(now);
        job.wait(now, wait);
        return but(job, Effect::Throttle { after }, Action::Run);
    }
    job.began.get_or_insert(now);
    let record = Effect::Error { state: job.state, step: job.step, attempt: job.attempt, at: now, error };
    let used_up = job.attempt > policy.retries;
    let wait = match reaction {
        Reaction::Retry(Some(after)) => after,
        _ => policy.backoff.wait(job.attempt, random),
    };
    job.attempt = job.attempt.saturating_add(1);
    job.errors += 1;
    if reaction == Reaction::Park || used_up {
        job.status = Status::Parked;
        job.wait(now, Duration::ZERO);
        return but(job, record, Action::Park);
    }
    job.wait(now, wait);
    but(job, record, Action::Run)
}

fn follow<W: Workflow>(mut job: Snapshot<W>, moved: Moved<W>, now: Timestamp) -> Reduced<W> {
    let Moved { to, after, kicks, context } = moved;
    let history =
        Effect::Move { step: job.step, from: job.state, to: to.state, at: now, attempt: job.attempt };
    let first = job.kicked;
    let terminal = to.state.spec().terminal();
    job.kicked += kicks.len() as u64;
    job.step += 1;
    job.attempt = 1;
    job.began = None;
    job.state = to.state;
    job.data = to.data;
    job.context = context;
    job.status = if terminal { Status::Ended } else { Status::Ready };
    job.wait(now, if terminal { Duration::ZERO } else { after });
    let kicks = (first..).zip(kicks).collect();
    let action = if terminal { Action::End } else { Action::Run };
    Reduced { job, effect: Some(history), kicks, action }
}

impl<W: Workflow> Snapshot<W> {
    fn wait(&mut self, now: Timestamp, delay: Duration) {
        self.ready_at = now + delay;
        self.delay = delay;
    }
}

/// What follows from a step.
pub struct Reduced<W: Workflow> {
    /// The job from now on.
    pub job: Snapshot<W>,
    /// What is written together with it.
    pub effect: Option<Effect<W>>,
    /// New jobs, with their numbers under the parent. A number is used up even when a `once` key keeps its job from being
    /// made.
    pub kicks: Vec<(u64, Kicked<W>)>,
    /// What the engine does once all of that is committed.
    pub action: Action,
}

/// What a step gave back, ready to be saved.
pub enum Returned<W: Workflow> {
    /// `Ok(Next)`.
    Moved(Moved<W>),
    /// `Err(Fault)`.
    Failed {
        /// What the fault asks for.
        reaction: Reaction,
        /// Its text.
        error: String,
        /// The context as the step left it.
        context: Saved<W::Job>,
    },
    /// A panic or a timeout: there is no context to keep.
    Broke {
        /// What happened, and where.
        error: String,
    },
    /// What the step left cannot be written, or what was saved cannot be read: trying again cannot help.
    Unusable {
        /// Which field, and why.
        error: String,
    },
    /// The step was dropped by a stop.
    Stopped,
}

/// A move, ready to be saved.
pub struct Moved<W: Workflow> {
    /// Where to.
    pub to: Target<W>,
    /// No earlier than.
    pub after: Duration,
    /// New jobs.
    pub kicks: Vec<Kicked<W>>,
    /// The context as the step left it.
    pub context: Saved<W::Job>,
}

/// A state with its fields.
pub struct Target<W: Workflow> {
    /// Which.
    pub state: StateId<W>,
    /// Its fields.
    pub data: Saved<W>,
}

impl<W: Workflow> Target<W> {
    /// Writes a state down, and gives it back.
    pub(crate) fn save(form: Form, state: W) -> Result<(W, Self), Unwritable> {
        let id = StateId::of(&state);
        let (state, data) = save_state(form, state);
        Ok((state, Target { state: id, data: data? }))
    }
}

/// A job to create.
pub struct Kicked<W: Workflow> {
    /// State it starts in.
    pub to: Target<W>,
    /// Its own context.
    pub context: Saved<W::Job>,
    /// At most one job of this key and state in a run.
    pub once: Option<String>,
}

/// What the engine writes together with the new snapshot.
pub enum Effect<W: Workflow> {
    /// A line of the job's history.
    Move {
        /// Number of the step that ended.
        step: u64,
        /// State it ran in.
        from: StateId<W>,
        /// State it led to.
        to: StateId<W>,
        /// When.
        at: Timestamp,
        /// The attempt that succeeded.
        attempt: u32,
    },
    /// An error, kept under the state.
    Error {
        /// State it happened in.
        state: StateId<W>,
        /// In which step.
        step: u64,
        /// On which attempt.
        attempt: u32,
        /// When.
        at: Timestamp,
        /// What.
        error: String,
    },
    /// The state's limiter is to slow down.
    Throttle {
        /// What the service asked for.
        after: Option<Duration>,
    },
}

/// What the engine does once the effects are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Run the job's state, no earlier than the snapshot says.
    Run,
    /// Leave it until somebody redrives it.
    Park,
    /// It is in a terminal state.
    End,
    /// Nothing has changed; run it again after the next start.
    Stay,
}
