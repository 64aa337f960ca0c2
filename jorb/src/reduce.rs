//! Everything that follows from a step, as one pure function: no clock, no store, no runtime.
use std::{sync::Arc, time::Duration};

use crate::{
    Form, Join, Policy, Reaction, Saved, Snapshot, StateId, Status, Timestamp, Unwritable, Workflow,
    codec::save_state, units::Unit,
};

/// What becomes of `job`, now that a step under `policy` has `returned`; `random` is in `0.0..1.0`.
///
/// When the step failed for good, `on_failure` is asked where the job goes, which is given as the failed attempt left it,
/// with the error: nowhere, so that it is parked; to a state; or why it cannot go there.
///
/// The engine commits the new snapshot and the effects in one transaction, and then does the action.
#[must_use]
pub fn reduce<W: Workflow>(
    policy: &Policy,
    mut job: Snapshot<W>,
    returned: Returned<W>,
    now: Timestamp,
    random: f64,
    on_failure: impl FnOnce(&Snapshot<W>, &str) -> Option<Result<Target<W>, String>>,
) -> Reduced<W> {
    let but = |job, effects, action| Reduced { job, effects, kicks: Vec::new(), action };
    let mut effects = Effects::none();
    let readable = !matches!(returned, Returned::Unusable { .. });
    let (reaction, mut error) = match returned {
        Returned::Expired => return cancelled(job, true, now),
        Returned::Stopped => return but(job, effects, Action::Stay),
        Returned::Moved(moved) => return follow(job, moved, now),
        Returned::Failed { reaction, error, context } => {
            job.context = context;
            (reaction, error)
        }
        Returned::Broke { error } => (Reaction::Retry(None), error),
        Returned::Unusable { error } => (Reaction::Park, error),
    };
    let wait = match reaction {
        Reaction::Retry(Some(after)) => after,
        // Without a hint and without a limiter this would spin; the shortest backoff is the floor.
        Reaction::Throttle(after) => after.unwrap_or(policy.backoff.min()),
        Reaction::Retry(None) | Reaction::Park => policy.backoff.wait(job.attempt, random),
    };
    let began = *job.began.get_or_insert(now);
    let too_late = policy.give_up_after.filter(|budget| now + wait > began + *budget);
    if let Reaction::Throttle(after) = reaction {
        effects.throttle = Some(Throttle { after });
        if let Some(budget) = too_late {
            error = format!("{error}; given up after {}", Unit(budget));
        } else {
            job.wait(now, wait);
            return but(job, effects, Action::Run);
        }
    }
    job.errors += 1;
    let attempts_left = matches!(reaction, Reaction::Retry(_)) && job.attempt <= policy.retries;
    if attempts_left && too_late.is_none() {
        effects.error = Some(Failing::of(&job, now, error));
        job.attempt = job.attempt.saturating_add(1);
        job.wait(now, wait);
        return but(job, effects, Action::Run);
    }
    match readable.then(|| on_failure(&job, &error)).flatten() {
        Some(Ok(to)) => {
            effects.error = Some(Failing::of(&job, now, error));
            let context = std::mem::replace(&mut job.context, Saved::Nothing);
            let moved = Moved { to, after: Duration::ZERO, kicks: Vec::new(), join: None, context };
            let Reduced { job, effects: Effects { moved, .. }, action, .. } = follow(job, moved, now);
            return but(job, Effects { moved, ..effects }, action);
        }
        Some(Err(why)) => error = format!("{error}; and `on_failure` came to nothing: {why}"),
        None => {}
    }
    effects.error = Some(Failing::of(&job, now, error));
    job.attempt = job.attempt.saturating_add(1);
    job.status = Status::Parked;
    job.wait(now, Duration::ZERO);
    but(job, effects, Action::Park)
}

fn follow<W: Workflow>(mut job: Snapshot<W>, moved: Moved<W>, now: Timestamp) -> Reduced<W> {
    let Moved { to, after, kicks, join, context } = moved;
    let moving = Moving { step: job.step, from: job.state, to: to.state, at: now, attempt: job.attempt };
    let first = job.kicked;
    let terminal = to.state.spec().terminal();
    job.kicked += kicks.len() as u64;
    job.step += 1;
    job.attempt = 1;
    job.began = None;
    job.state = to.state;
    job.data = to.data;
    job.context = context;
    let (status, action) = match (&join, terminal) {
        (Some(_), _) => (Status::Joining, Action::Join),
        (None, true) => (Status::Ended, Action::End),
        (None, false) => (Status::Ready, Action::Run),
    };
    job.status = status;
    job.wait(now, if terminal { Duration::ZERO } else { after });
    if join.is_some() {
        job.ready_at = now; // it joins since now; the delay begins when its children are done
    }
    job.join = join.map(Arc::new);
    let kicks = (first..).zip(kicks).collect();
    Reduced { job, effects: Effects { moved: Some(moving), ..Effects::none() }, kicks, action }
}

/// What becomes of a job that is cancelled: by somebody, or because its deadline has passed, which is an error.
pub(crate) fn cancelled<W: Workflow>(mut job: Snapshot<W>, expired: bool, now: Timestamp) -> Reduced<W> {
    let mut effects = Effects::none();
    if let Some(deadline) = job.deadline.filter(|_| expired) {
        job.errors += 1;
        effects.error = Some(Failing::of(&job, now, passed(deadline)));
    }
    if job.status == Status::Joining {
        // It still waits if it is redriven. It is counted then for how many, and may not have been so far.
        let join = Arc::make_mut(job.join.get_or_insert_default());
        join.left = join.left.max(1);
    }
    job.status = Status::Cancelled;
    (job.ready_at, job.delay) = (now, Duration::ZERO);
    Reduced { job, effects, kicks: Vec::new(), action: Action::Cancel }
}

/// The error of a job whose deadline passed.
pub(crate) fn passed(deadline: Timestamp) -> String {
    format!("deadline of {deadline} passed")
}

impl<W: Workflow> Snapshot<W> {
    /// No longer than until the deadline: then it is its turn to be cancelled.
    pub(crate) fn wait(&mut self, now: Timestamp, delay: Duration) {
        let until = self.deadline.unwrap_or(Timestamp(u64::MAX)).max(now);
        self.delay = delay.min(until.since(now));
        self.ready_at = now + self.delay;
    }

    /// Its deadline has passed.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// What follows from a step.
pub struct Reduced<W: Workflow> {
    /// The job from now on.
    pub job: Snapshot<W>,
    /// What else follows.
    pub effects: Effects<W>,
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
    /// The job's deadline passed meanwhile: there is no context to keep.
    Expired,
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
    /// The next step waits for the job's children.
    pub join: Option<Join>,
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
    /// Its parent's, if there is none.
    pub priority: Option<i8>,
    /// So long after it is made, it is cancelled if it has not ended.
    pub deadline: Option<Duration>,
}

/// What follows from a step besides the new snapshot; what went wrong and the move are written with it.
pub struct Effects<W: Workflow> {
    /// The state's limiter is to slow down.
    pub throttle: Option<Throttle>,
    /// An error, kept under the state.
    pub error: Option<Failing<W>>,
    /// A line of the job's history.
    pub moved: Option<Moving<W>>,
}

impl<W: Workflow> Effects<W> {
    const fn none() -> Self {
        Effects { throttle: None, error: None, moved: None }
    }
}

/// The service pushed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttle {
    /// What it asked for.
    pub after: Option<Duration>,
}

/// What went wrong.
pub struct Failing<W: Workflow> {
    /// State it happened in.
    pub state: StateId<W>,
    /// In which step.
    pub step: u64,
    /// On which attempt.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
    /// What.
    pub error: String,
}

impl<W: Workflow> Failing<W> {
    fn of(job: &Snapshot<W>, at: Timestamp, error: String) -> Self {
        Failing { state: job.state, step: job.step, attempt: job.attempt, at, error }
    }
}

/// A move.
pub struct Moving<W: Workflow> {
    /// Number of the step that ended.
    pub step: u64,
    /// State it ran in.
    pub from: StateId<W>,
    /// State it led to.
    pub to: StateId<W>,
    /// When.
    pub at: Timestamp,
    /// The attempt that succeeded, or the last one that failed.
    pub attempt: u32,
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
    /// Nobody wants it any more.
    Cancel,
    /// Leave it until its children are done, which the store finds out.
    Join,
    /// Nothing has changed; run it again after the next start.
    Stay,
}
