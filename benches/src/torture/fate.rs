//! What must become of all jobs, by an interpreter that knows no queue, no clock, no store and no crash.
use std::collections::{HashMap, hash_map::Entry};

use jorb::Status;

use super::walk::{Act, DONE, PROMISES, Plan, Position, Walker, decide, seeds};

/// The way of one job.
pub(super) struct Fate {
    /// Where it stands from its first position to its last.
    pub(super) stands: Vec<Stand>,
    /// Moves, by step.
    pub(super) moves: Vec<Moved>,
    /// All that it kicks, by number.
    pub(super) kicks: Vec<Kicked>,
}

/// One position of a job, and how its row reads there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) at: Position,
    pub(super) state: &'static str,
    pub(super) status: Status,
    pub(super) errors: u64,
    pub(super) kicked: usize,
    /// It starts no earlier than so many milliseconds after the step before it.
    pub(super) wait: u64,
}

/// A line of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) attempt: u32,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
}

/// A job that another one kicks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kicked {
    pub(super) me: u64,
    pub(super) once: bool,
}

/// The fates of all jobs of a run, by the jobs' own numbers.
pub(super) struct Fates {
    pub(super) seeds: Vec<u64>,
    by_me: HashMap<u64, Fate>,
}

impl Fates {
    pub(super) fn of(plan: Plan) -> Self {
        let mut todo: Vec<(usize, Walker)> = seeds(plan).collect();
        let mut fates =
            Fates { seeds: todo.iter().map(|(_, walker)| walker.me).collect(), by_me: HashMap::new() };
        while let Some((start, walker)) = todo.pop() {
            let me = walker.me;
            if let Entry::Vacant(place) = fates.by_me.entry(me) {
                place.insert(follow(plan, start, walker, &mut todo));
            }
        }
        fates
    }

    pub(super) fn get(&self, me: u64) -> Option<&Fate> {
        self.by_me.get(&me)
    }
}

impl Fate {
    /// The place of a position among those of this job.
    pub(super) fn place(&self, at: Position) -> Option<usize> {
        self.stands.binary_search_by_key(&at, |stand| stand.at).ok()
    }

    pub(super) fn last(&self) -> usize {
        self.stands.len() - 1
    }
}

fn follow(plan: Plan, start: usize, mut walker: Walker, todo: &mut Vec<(usize, Walker)>) -> Fate {
    let name = |state: usize| PROMISES.get(state).map_or("Done", |promise| promise.state);
    let (mut at, mut state, mut status) = (Position::FIRST, start, Status::Ready);
    let (mut errors, mut wait) = (0, 0);
    let mut fate = Fate { stands: Vec::new(), moves: Vec::new(), kicks: Vec::new() };
    loop {
        if state == DONE {
            status = Status::Ended;
        }
        let kicked = fate.kicks.len();
        fate.stands.push(Stand { at, state: name(state), status, errors, kicked, wait });
        if status != Status::Ready {
            return fate;
        }
        let policy = &PROMISES[state];
        let act = decide(plan, &walker, at);
        let fails = matches!(act, Act::Retry(_) | Act::Panic | Act::Fatal);
        if fails {
            let used_up = at.attempt > policy.retries;
            status = if used_up || matches!(act, Act::Fatal) { Status::Parked } else { Status::Ready };
            errors += 1;
            at.attempt += 1;
        }
        if !matches!(act, Act::Panic) {
            at.tries += 1;
        }
        wait = match act {
            Act::Move { to, after, kicks } => {
                fate.moves.push(Moved { attempt: at.attempt, from: name(state), to: name(to) });
                fate.kicks.extend(
                    kicks.iter().map(|kick| Kicked { me: kick.walker.me, once: kick.once.is_some() }),
                );
                todo.extend(kicks.into_iter().map(|kick| (kick.to, kick.walker)));
                (at.step, at.attempt, state) = (at.step + 1, 1, to);
                after
            }
            Act::Retry(Some(after)) | Act::Throttle(Some(after)) => after,
            Act::Retry(None) | Act::Throttle(None) | Act::Panic | Act::Fatal => policy.backoff,
        };
        walker.tries = at.tries;
    }
}
