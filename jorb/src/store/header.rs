//! What a store knows of a run as a whole.
use std::{borrow::Cow, collections::BTreeMap};

use uuid::Uuid;

use super::{Batch, Change, Record, Standing};
use crate::{JobId, Saved, StateId, Status, Timestamp, Tuning, Workflow};

/// A limiter, by name: of a state's own rate, its state's; of one that states share, its type's with its module.
pub type LimiterName = Cow<'static, str>;

/// The same of one key of a limiter that is `keyed`.
pub(crate) fn key_name(limiter: &str, key: &str) -> LimiterName {
    format!("{limiter}[{key}]").into()
}

/// The limiter and the key that such a name is made of.
pub(crate) fn named_key(name: &str) -> Option<(&str, &str)> {
    name.strip_suffix(']')?.split_once('[')
}

/// What an adaptive rate learned of a service.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Learned {
    /// Starts per second.
    pub rate: f64,
    /// The rate that was too much, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<f64>,
}

/// What a store knows of a run as a whole.
pub struct Header<W: Workflow> {
    /// The run's identity.
    pub run: Uuid,
    /// When it was made.
    pub created: Timestamp,
    /// The overall context; nothing while the run is unseeded.
    pub overall: Option<Saved<W::Overall>>,
    /// How far seeding got.
    pub seeding: Seeding,
    /// The next numbers to give out.
    pub next: Numbers,
    /// Jobs that were seeded and not looked at since.
    pub fresh: Fresh,
    /// Jobs by state and status.
    pub counts: Counts,
    /// States that an operator has stopped.
    pub held: Vec<StateId<W>>,
    /// Keys of limiters that an operator has stopped, and since when.
    pub held_keys: BTreeMap<LimiterName, Timestamp>,
    /// For each limiter that was saved, when its next permit is due if none is left over.
    pub limiters: BTreeMap<LimiterName, Timestamp>,
    /// What adaptive rates learned.
    pub learned: BTreeMap<LimiterName, Learned>,
    /// What an operator has changed of limits.
    pub tuned: Vec<(LimiterName, Tuning)>,
    /// The limiters were saved by a clean stop: what they say is exact.
    pub clean: bool,
}

impl<W: Workflow> Header<W> {
    /// Of a run without jobs.
    #[must_use]
    pub fn new(run: Uuid, created: Timestamp) -> Self {
        let states = W::STATES.len();
        Header {
            run,
            created,
            overall: None,
            seeding: Seeding::No,
            next: Numbers::FIRST,
            fresh: Fresh { next: 0, end: 0, by_state: vec![0; states] },
            counts: Counts::none(states),
            held: Vec::new(),
            held_keys: BTreeMap::new(),
            limiters: BTreeMap::new(),
            learned: BTreeMap::new(),
            tuned: Vec::new(),
            clean: true,
        }
    }
}

impl<W: Workflow> Header<W> {
    /// What a batch says of limiters. What is due at no time is to be forgotten.
    pub(crate) fn limit(&mut self, batch: &Batch<W>) {
        for (name, due) in &batch.limiters {
            if *due == Timestamp(0) {
                self.limiters.remove(name);
                self.learned.remove(name);
            } else {
                self.limiters.insert(name.clone(), *due);
            }
        }
        self.learned.extend(batch.learned.iter().cloned());
    }

    /// The time, outside of a processor: never before the last commit.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now().max(self.next.time)
    }
}

impl<W: Workflow> Header<W> {
    /// What a change makes of the counts of jobs, but for its kicks.
    pub(crate) fn count(&mut self, Change { before, now, .. }: &Change<W>) {
        if self.fresh.has(now.job.id, before) {
            self.fresh.by_state[before.state.index()] -= 1;
        }
        self.counts.add(before.state, before.status, -1);
        self.counts.add(now.job.state, now.job.status, 1);
    }

    /// What the end of a job's join makes of them.
    pub(crate) fn count_fired(&mut self, Record { job, .. }: &Record<W>) {
        self.counts.add(job.state, Status::Joining, -1);
        self.counts.add(job.state, job.status, 1);
    }
}

impl<W: Workflow> Clone for Header<W> {
    fn clone(&self) -> Self {
        Header {
            overall: self.overall.clone(),
            fresh: self.fresh.clone(),
            counts: self.counts.clone(),
            held: self.held.clone(),
            held_keys: self.held_keys.clone(),
            limiters: self.limiters.clone(),
            learned: self.learned.clone(),
            tuned: self.tuned.clone(),
            ..*self
        }
    }
}

/// How far seeding got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seeding {
    /// Not begun, or cut by a crash.
    No,
    /// Under way.
    Begun,
    /// All seeds are in.
    Done,
}

/// Numbers that are given out once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Numbers {
    /// Of jobs.
    pub job: u64,
    /// Of commits of jobs: orders jobs of the same time.
    pub seq: u64,
    /// Of history lines.
    pub line: u64,
    /// Of errors.
    pub error: u64,
    /// Not a number, but as them never given out smaller: the time of the last commit. A clock that was set back
    /// since then is not believed.
    #[serde(default)]
    pub time: Timestamp,
}

impl Numbers {
    /// Of a new run.
    pub const FIRST: Numbers = Numbers { job: 0, seq: 1, line: 1, error: 1, time: Timestamp(0) };
}

/// The range of fresh jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// The first of them.
    pub next: u64,
    /// Behind the last of them.
    pub end: u64,
    /// How many there are of each state, by its place in [`Workflow::STATES`].
    pub by_state: Vec<u64>,
}

impl Fresh {
    /// It has a job of this number that stands so. One that has a priority was placed when it was seeded; if it has moved since
    /// then, its commit number says so.
    pub(crate) fn has<W: Workflow>(&self, id: JobId, at: &Standing<W>) -> bool {
        let in_range = (self.next..self.end).contains(&id.0) && at.turn.seq <= self.end;
        at.status == Status::Ready && !at.placed && in_range
    }
}

/// Jobs by state and status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts(Vec<[u64; Status::ALL.len()]>);

impl Counts {
    /// None, of a workflow with so many states.
    #[must_use]
    pub fn none(states: usize) -> Self {
        Counts(vec![[0; Status::ALL.len()]; states])
    }

    /// How many.
    #[must_use]
    pub fn get<W: Workflow>(&self, state: StateId<W>, status: Status) -> u64 {
        self.0[state.index()][status as usize]
    }

    /// One more, or one less.
    ///
    /// # Panics
    /// When a job leaves a place where none was: a bug in whoever counts.
    pub fn add<W: Workflow>(&mut self, state: StateId<W>, status: Status, n: i64) {
        let count = &mut self.0[state.index()][status as usize];
        *count = count.checked_add_signed(n).expect("no job leaves a place where it was not");
    }

    /// Of one status, in all states.
    #[must_use]
    pub fn of(&self, status: Status) -> u64 {
        self.0.iter().map(|by_status| by_status[status as usize]).sum()
    }

    /// All jobs.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().flatten().sum()
    }
}
