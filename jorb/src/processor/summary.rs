//! How a run stands, while it is driven and after.
use std::{
    fmt,
    process::{ExitCode, Termination},
    time::Duration,
};

use serde::Serialize;
use uuid::Uuid;

use crate::{
    StateId, Status, Timestamp, Tuning, Workflow,
    store::{Header, named_key},
    tuning::limiter,
};

/// How a run stands while it is driven: what [`Listener`](crate::Listener)s get.
///
/// Counts of jobs are as of the last commit; `executing` is live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// Every state, in declaration order.
    pub states: Vec<StateOverview>,
    /// The limits that states share, in the order in which states name them.
    pub limiters: Vec<LimiterOverview>,
    /// What an operator has changed of states, and of limits that states share.
    pub tuned: Vec<Tuned>,
    /// How often a service pushed back, since this process drives the run.
    pub throttles: u64,
    /// Jobs that ran when the process died and did not run alone since: until then nothing else starts.
    pub suspects: u64,
    /// Why no step starts any more, from when none does.
    pub ending: Option<Ending>,
    /// Steps that ended and are not durable yet.
    #[serde(skip)]
    pub uncommitted: u64,
}

/// How one state stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateOverview {
    /// The state.
    pub name: &'static str,
    /// It has no handler.
    pub terminal: bool,
    /// An operator has stopped it.
    pub held: bool,
    /// Jobs that could start.
    pub waiting: u64,
    /// Steps in flight; of a state with batches, their jobs.
    pub executing: u64,
    /// Jobs whose time has not come.
    pub delayed: u64,
    /// Jobs that ended here; of a state that is not terminal, steps that moved on since this process drives the
    /// run.
    pub completed: u64,
    /// Jobs that wait for their children.
    pub joining: u64,
    /// Jobs that failed for good.
    pub parked: u64,
    /// Jobs that were cancelled.
    pub cancelled: u64,
    /// Errors since this process drives the run.
    pub errors: u64,
    /// What its next job waits for, if not for a slot of the state.
    pub waits: Option<Wait>,
}

/// What an operator has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tuned {
    /// The state, or the limiter.
    pub name: String,
    /// What the code says.
    pub configured: Tuning,
    /// What holds until it is reset.
    pub current: Tuning,
}

/// A key of a limiter that an operator has stopped: [`Handle::hold_key`](crate::Handle::hold_key).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldKey {
    /// The limiter.
    pub limiter: String,
    /// The key.
    pub key: String,
    /// Since when.
    pub since: Timestamp,
}

impl HeldKey {
    /// One that a store has under this name.
    pub(crate) fn of<W: Workflow>(name: &str, since: Timestamp) -> Option<Self> {
        let (path, key) = named_key(name)?;
        let limiter = limiter::<W>(path).map_or(path, |limiter| limiter.name).into();
        Some(HeldKey { limiter, key: key.into(), since })
    }
}

/// What a job waits for that has a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// The limiter; `rate` is the state's own one, and `batch` stands for the jobs that are to start with it.
    pub limiter: &'static str,
    /// Its key, if it is keyed.
    pub key: Option<String>,
    /// An operator has stopped the key: nothing but a release helps.
    pub held: bool,
    /// Since when; of a key that is held, since when it is.
    pub since: Timestamp,
    /// When it gets a permit at the earliest; nothing while it waits for a step to end, for a job of another state that
    /// came first, or for an operator.
    pub until: Option<Timestamp>,
    /// While it waits for others: the states whose steps hold the limiter, with any key, or whose job came first.
    pub by: Vec<&'static str>,
}

impl Wait {
    /// For others of its batch; both in nanoseconds.
    pub(super) fn batch(since: u64, until: u64) -> Self {
        let at = |nanos: u64| Timestamp(nanos.div_ceil(1_000_000));
        Wait {
            limiter: "batch",
            key: None,
            held: false,
            since: at(since),
            until: Some(at(until)),
            by: Vec::new(),
        }
    }
}

/// How a limit stands that states share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimiterOverview {
    /// The limiter.
    pub name: &'static str,
    /// The states that take of it.
    pub states: Vec<&'static str>,
    /// How many keys memory knows of a limiter that is keyed.
    pub keys: Option<u64>,
    /// The keys that an operator has stopped.
    pub held: Vec<HeldKey>,
    /// Steps that hold it, with any key.
    pub executing: u64,
    /// How many may, if it is not keyed.
    pub concurrency: Option<u64>,
    /// How many of one key may, if it is keyed.
    pub concurrency_per_key: Option<u64>,
    /// The time between two starts, as its rate is now, of one key, if it is keyed; an adaptive one changes.
    pub interval: Option<Duration>,
    /// When a step of cost 1 gets a permit, of whichever key that is first, as far as its rate goes; nothing if that is now.
    pub next: Option<Timestamp>,
}

impl Overview {
    /// Of all states together.
    #[must_use]
    pub fn sum(&self, of: impl Fn(&StateOverview) -> u64) -> u64 {
        self.states.iter().map(of).sum()
    }

    /// The state of this name.
    #[must_use]
    pub fn state(&self, name: &str) -> Option<&StateOverview> {
        self.states.iter().find(|state| state.name == name)
    }
}

/// Why the processor returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// No job has anything left to do, but for those that are held.
    Complete,
    /// It was told to stop.
    Stopped,
    /// More jobs are parked than `max_parked` allows.
    TooManyParked,
    /// The first jobs that it was to try are through.
    Canary,
}

/// How a run stood when the processor returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use]
pub struct Summary {
    /// The run's identity.
    pub run: Uuid,
    /// Why the processor returned.
    pub ending: Ending,
    /// Jobs by state and status, in declaration order.
    pub states: Vec<StateSummary>,
    /// Steps that moved a job on, in this call.
    pub moves: u64,
    /// Errors, in this call.
    pub errors: u64,
    /// How long this call took.
    pub elapsed: Duration,
}

/// Jobs of one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateSummary {
    /// The state.
    pub name: &'static str,
    /// With a step to make, now or later.
    pub ready: u64,
    /// Of those, in a state that an operator has stopped.
    pub held: u64,
    /// That wait for their children.
    pub joining: u64,
    /// That failed for good.
    pub parked: u64,
    /// In a terminal state.
    pub ended: u64,
    /// That nobody wants any more.
    pub cancelled: u64,
}

impl StateSummary {
    /// Of every state, in declaration order.
    pub(crate) fn of_all<W: Workflow>(header: &Header<W>) -> Vec<Self> {
        let of = |state: StateId<W>| {
            let count = |status| header.counts.get(state, status);
            let ready = count(Status::Ready);
            StateSummary {
                name: state.name(),
                ready,
                held: if header.held.contains(&state) { ready } else { 0 },
                joining: count(Status::Joining),
                parked: count(Status::Parked),
                ended: count(Status::Ended),
                cancelled: count(Status::Cancelled),
            }
        };
        StateId::all().map(of).collect()
    }

    /// In any status.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ready + self.joining + self.parked + self.ended + self.cancelled
    }
}

impl Summary {
    /// The jobs of one state, in any status.
    #[must_use]
    pub fn jobs(&self, state: &str) -> u64 {
        self.states.iter().filter(|s| s.name == state).map(StateSummary::total).sum()
    }

    /// Jobs that failed for good.
    #[must_use]
    pub fn parked(&self) -> u64 {
        self.states.iter().map(|s| s.parked).sum()
    }

    /// Jobs that wait for their children.
    #[must_use]
    pub fn joining(&self) -> u64 {
        self.states.iter().map(|s| s.joining).sum()
    }

    /// Jobs that ended.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.states.iter().map(|s| s.ended).sum()
    }

    /// Jobs that were cancelled.
    #[must_use]
    pub fn cancelled(&self) -> u64 {
        self.states.iter().map(|s| s.cancelled).sum()
    }

    /// No job has anything left to do, now or later. Jobs may be [parked](Summary::parked) all the same: a run of
    /// which all has ended well [exits](Summary::exit) with [`Exit::Complete`].
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.states.iter().all(|s| s.ready + s.joining == 0)
    }

    /// Whoever joins waits for parked jobs.
    fn nothing_is_ready(&self) -> bool {
        self.states.iter().all(|s| s.ready == 0)
    }

    /// What a program exits with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self.ending {
            Ending::Complete if self.parked() == 0 && self.is_complete() => Exit::Complete,
            Ending::Complete if self.nothing_is_ready() => Exit::Parked,
            Ending::Complete | Ending::Stopped | Ending::TooManyParked | Ending::Canary => Exit::Stopped,
        }
    }
}

/// Exit codes of a workflow program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: every job has ended, or was cancelled.
    Complete = 0,
    /// 1: an error; the run is as its last commit left it.
    Failed = 1,
    /// 3: complete but for parked jobs, and those that wait for them. (2 is what command lines use for wrong arguments.)
    Parked = 3,
    /// 4: stopped, or held, before it was complete; the same command goes on.
    Stopped = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

impl Termination for Summary {
    fn report(self) -> ExitCode {
        self.exit().into()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.ending {
            Ending::Complete if self.nothing_is_ready() => "complete",
            Ending::Complete => "all that is not held is complete",
            Ending::Stopped => "stopped; the same command goes on",
            Ending::TooManyParked => "stopped: too many jobs failed",
            Ending::Canary => "stopped: the first jobs are through",
        })?;
        let complete = self.ending == Ending::Complete;
        match self.parked() {
            0 => {}
            1 if complete => f.write_str(", but for 1 parked job")?,
            n if complete => write!(f, ", but for {n} parked jobs")?,
            1 => f.write_str("; 1 job is parked")?,
            n => write!(f, "; {n} jobs are parked")?,
        }
        let and = if self.parked() > 0 { " and" } else { ", but for" };
        match self.joining() {
            n if n == 0 || !complete => {}
            1 => write!(f, "{and} 1 that waits for its children")?,
            n => write!(f, "{and} {n} that wait for their children")?,
        }
        if self.parked() > 0 {
            f.write_str("; see `report`")?;
        }
        let Summary { moves, errors, elapsed, .. } = self;
        writeln!(f, " ({moves} steps, {errors} errors, {:.1} s)", elapsed.as_secs_f64())?;
        let width = self.states.iter().map(|s| s.name.len()).max().unwrap_or(0);
        for s in self.states.iter().filter(|s| s.total() > 0) {
            write!(f, "  {:width$}", s.name)?;
            let parts = [
                (s.ended, "ended"),
                (s.ready - s.held, "ready"),
                (s.held, "held"),
                (s.joining, "joining"),
                (s.parked, "parked"),
                (s.cancelled, "cancelled"),
            ];
            for (n, what) in parts.into_iter().filter(|(n, _)| *n > 0) {
                write!(f, "  {n} {what}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
