//! The account of one run: fed with the handlers' own log and with what is in the file between two processes, it finds
//! what should not be.
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::{self, Display},
};

use jorb::JobId;

use self::rate::Rates;
use super::{
    fate::Fates,
    marks::{Mark, Name, Step, What},
    walk::{PROMISES, Plan},
};

mod look;
mod rate;
#[cfg(test)]
mod tests;

/// A promise that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wrong {
    /// A step ran again although it was committed.
    CommittedStepRerun,
    /// A step ran twice in one process, without an outcome in between.
    StartedTwice,
    /// A step started before the move that led to it was durable.
    StartedBeforeCommit,
    /// A job went back behind a commit.
    WentBack,
    /// A job got further than its steps brought it.
    MovedWithoutStep,
    /// A job is gone.
    JobLost,
    /// There are two of a job.
    JobDoubled,
    /// A move without its kicks, or kicks without their move.
    NotAtomic,
    /// A number or a name was given out twice.
    NumberReused,
    /// Two steps of one job at once.
    Overlap,
    /// More steps at once than a state allows.
    Concurrency,
    /// More starts than a rate allows.
    Rate,
    /// A start before its time.
    Early,
    /// A row, or a history, that no sequence of steps leaves.
    ImpossibleRow,
    /// What a damaged file looks like.
    Integrity,
    /// A run that is not complete at its end.
    Unfinished,
    /// A process that failed without a reason, or did not fail with one.
    Process,
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wrong::CommittedStepRerun => "steps ran again although they were committed",
            Wrong::StartedTwice => "steps ran twice in one process",
            Wrong::StartedBeforeCommit => "steps started before the move that led to them was durable",
            Wrong::WentBack => "jobs went back behind a commit",
            Wrong::MovedWithoutStep => "jobs got further than their steps brought them",
            Wrong::JobLost => "jobs were lost",
            Wrong::JobDoubled => "jobs were doubled",
            Wrong::NotAtomic => "moves, kicks or histories were committed in parts",
            Wrong::NumberReused => "numbers or names were given out twice",
            Wrong::Overlap => "steps of one job ran at once",
            Wrong::Concurrency => "steps were more at once than their state allows",
            Wrong::Rate => "starts were more than their state's rate allows",
            Wrong::Early => "steps started before their time",
            Wrong::ImpossibleRow => "rows are as no steps leave them",
            Wrong::Integrity => "times the file was damaged",
            Wrong::Unfinished => "jobs were left over in a run that said that it was complete",
            Wrong::Process => "processes did not end as they should",
        })
    }
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) steps: u64,
    /// Steps that were cut, and ran again.
    pub(super) steps_rerun: u64,
    /// Of a process that was killed while it wrote one.
    pub(super) cut_marks: u64,
    pub(super) wrong: BTreeMap<Wrong, u64>,
    /// The first of them.
    pub(super) texts: Vec<String>,
}

impl Tally {
    pub(super) fn wrong(&mut self, wrong: Wrong, text: impl Display) {
        *self.wrong.entry(wrong).or_default() += 1;
        if self.texts.len() < 50 {
            self.texts.push(format!("{wrong:?}: {text}"));
        }
    }
}

/// See the module.
pub(super) struct Account {
    plan: Plan,
    fates: Fates,
    seeded: bool,
    /// How often the file was looked at.
    looks: u64,
    jobs: HashMap<u64, Known>,
    /// To whom a number was given.
    numbers: HashMap<JobId, u64>,
    session: Option<Name>,
    inside: HashMap<(Name, JobId), &'static str>,
    rates: Rates,
    /// Marks of rounds that were looked at are forgotten; what they said is here.
    pub(super) tally: Tally,
}

/// What is known of a job.
struct Known {
    id: JobId,
    /// Where it is for certain: so it was found in the file, or so its step was started.
    at: usize,
    /// The look that first found it there in the file.
    found: Option<u64>,
    /// Its step there has returned, at this time: the next place may be durable.
    ended: Option<u64>,
    /// No start there before this time.
    due: u64,
    /// The last session in which its step there was started.
    started: Option<Name>,
}

/// Times are rounded to a millisecond here and there.
const ROUNDED: u64 = 2_000_000;

impl Account {
    pub(super) fn new(plan: Plan) -> Self {
        Account {
            plan,
            fates: Fates::of(plan),
            seeded: false,
            looks: 0,
            jobs: HashMap::new(),
            numbers: HashMap::new(),
            session: None,
            inside: HashMap::new(),
            rates: Rates::default(),
            tally: Tally::default(),
        }
    }

    /// All processes stood still, from and to times of the monotonic clock.
    pub(super) fn stood_still(&mut self, from: u64, to: u64) {
        self.rates.stood_still(from, to);
    }

    /// What was added to the log since it was read last.
    pub(super) fn read(&mut self, log: &str) {
        for line in log.lines().filter(|line| !line.is_empty()) {
            match Mark::read(line) {
                Some(mark) => self.mark(mark),
                None => self.tally.cut_marks += 1,
            }
        }
    }

    fn mark(&mut self, Mark { session, time, what }: Mark) {
        match what {
            What::Opened => {
                // A process that is dead runs nothing; one that drives the run again may.
                self.inside.retain(|(of, _), _| of.pid == session.pid && of.again < session.again);
                self.session = Some(session);
            }
            What::Started(step) => self.started(session, time, step),
            What::Ended(step) => {
                self.inside.remove(&(session, step.job));
                self.ended(session, time, step);
            }
            What::Dropped(step) => drop(self.inside.remove(&(session, step.job))),
        }
    }

    fn started(&mut self, session: Name, time: u64, step: Step) {
        self.tally.steps += 1;
        let Step { job, me, at, state } = step;
        if self.session != Some(session) {
            self.tally.wrong(Wrong::Process, format!("{session:?} starts {step:?} though it is over"));
        }
        self.check_inside(session, step);
        if let Some(text) = self.rates.started(state, time) {
            self.tally.wrong(Wrong::Rate, format!("{text}: the last by job {job} in {session:?}"));
        }
        self.check_number(job, me);
        let Some(fate) = self.fates.get(me) else {
            return self
                .tally
                .wrong(Wrong::ImpossibleRow, format!("nobody makes job {me}, and {step:?} starts"));
        };
        let Some(place) = fate.place(at).filter(|place| fate.stands[*place].state == state) else {
            return self.tally.wrong(Wrong::ImpossibleRow, format!("{step:?} starts, which cannot be"));
        };
        let known = self.jobs.entry(me).or_insert(Known::new(job));
        if place < known.at {
            return self.tally.wrong(
                Wrong::CommittedStepRerun,
                format!("{step:?} ran again though it was committed, and is at {:?}", fate.stands[known.at]),
            );
        }
        if place == known.at {
            if known.started == Some(session) {
                self.tally.wrong(Wrong::StartedTwice, format!("{step:?} in {session:?}"));
            }
            self.tally.steps_rerun += u64::from(known.started.is_some());
        } else if place == known.at + 1 && known.ended.is_some() {
            known.go(place, fate.stands[place].wait);
        } else {
            let was = &fate.stands[known.at];
            self.tally.wrong(
                Wrong::StartedBeforeCommit,
                format!("{step:?} follows {was:?}, which has not returned"),
            );
            (known.at, known.found) = (place, None);
        }
        if time + ROUNDED < known.due {
            let early = std::time::Duration::from_nanos(known.due - time);
            self.tally.wrong(Wrong::Early, format!("{step:?} starts {early:?} before its time"));
        }
        known.started = Some(session);
        known.ended = None;
    }

    fn ended(&mut self, session: Name, time: u64, step: Step) {
        let Some(known) = self.jobs.get_mut(&step.me) else { return };
        let here = self.fates.get(step.me).and_then(|fate| fate.place(step.at)) == Some(known.at);
        // What a session leaves that is over is thrown away.
        if here && known.started == Some(session) && self.session == Some(session) {
            known.ended = Some(time);
        }
    }

    fn check_inside(&mut self, session: Name, step: Step) {
        let Step { job, state, .. } = step;
        if self.inside.keys().any(|(_, other)| *other == job) {
            self.tally.wrong(Wrong::Overlap, format!("{step:?} starts in {session:?} while it runs already"));
        }
        self.inside.insert((session, job), state);
        let now = self.inside.values().filter(|s| **s == state).count();
        let most =
            PROMISES.iter().find(|promise| promise.state == state).map_or(0, |promise| promise.concurrency);
        if now > most {
            self.tally.wrong(Wrong::Concurrency, format!("{now} in {state}, where {most} may be: {step:?}"));
        }
    }

    /// A number belongs to one job for ever, and a job has one number.
    fn check_number(&mut self, id: JobId, me: u64) {
        let before = *self.numbers.entry(id).or_insert(me);
        if before != me {
            self.tally.wrong(Wrong::NumberReused, format!("{id} is {me}, and was {before}"));
        }
        if let Some(known) = self.jobs.get(&me).filter(|known| known.id != id) {
            self.tally.wrong(Wrong::JobDoubled, format!("{me} is {id}, and was {}", known.id));
        }
    }
}

impl Known {
    fn new(id: JobId) -> Self {
        Known { id, at: 0, found: None, ended: None, due: 0, started: None }
    }

    /// It got to the next place; `wait` is in milliseconds.
    fn go(&mut self, place: usize, wait: u64) {
        let ended = self.ended.take().unwrap_or(0);
        *self = Known { at: place, found: None, due: ended + wait * 1_000_000, started: None, ..*self };
    }
}

/// What is in `a` and not in `b`.
fn beyond<'a>(a: &'a HashSet<u64>, b: &'a HashSet<u64>) -> impl Iterator<Item = u64> {
    a.difference(b).copied()
}
