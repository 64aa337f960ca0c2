//! An independent account of a run of [`Walk`]: fed by every commit and every start, it checks the invariants.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs::File,
    io::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jorb::{
    Clock, Error, JobId, Overview, Status, Timestamp,
    store::{Batch, Committed, Record, Turn},
};
use tokio::time::Instant;

use crate::{
    lab::check_rate,
    schedule::Stage,
    spy::{Watch, disk_full},
    walk::{STATES, Walk},
};

mod cancelled;
mod joins;
mod rest;

pub use cancelled::Cancels;

/// The account; the app of the workflow and the watcher of its store share it.
#[derive(Clone, Default)]
pub struct Audit(Arc<Mutex<Account>>);

#[derive(Default)]
pub struct Account {
    jobs: HashMap<JobId, Known>,
    counts: HashMap<(&'static str, Status), u64>,
    names: HashSet<(JobId, u64)>,
    /// By parent.
    children: HashMap<JobId, Vec<JobId>>,
    lines: HashSet<u64>,
    /// Jobs that have a step to make and make none, by state.
    lines_of: BTreeMap<&'static str, BTreeSet<(Turn, JobId)>>,
    /// Jobs in flight: in which state, and whether each is the first of its step.
    running: HashMap<JobId, (&'static str, bool)>,
    starts: BTreeMap<&'static str, Vec<Instant>>,
    pub held: HashSet<&'static str>,
    /// When the process was told to stop.
    pub stopped: Option<Instant>,
    /// Until when a service asked each state to pause.
    pauses: BTreeMap<&'static str, Timestamp>,
    /// Where steps wait for their cue, if somebody gives them.
    pub stage: Option<Stage>,
    /// What the store has and the engine need not have heard of yet.
    unheard: Unheard,
    /// When memory last got something.
    stirred: Option<Instant>,
    pub clock: Option<Clock>,
    opened: Option<Instant>,
    /// Commits so far.
    pub commits: u64,
    /// The process "dies" at this commit: before or after the store has it.
    pub dies_at: Option<(u64, bool)>,
    /// Starts of steps.
    pub steps: u64,
    /// The engine takes orders from several threads, or through the disk: starts and commits are not told in order.
    pub loose: bool,
    /// How much later than allowed a step may start, on a real clock.
    pub late: Duration,
    /// Where starts are written down for others.
    pub log: Option<File>,
    /// Jobs that were cancelled, as the store has it, and as those heard who asked for it; and who was meant.
    cancelled: u64,
    told: u64,
    /// What is asked for: memory may have let go of jobs that the store still has in line.
    asked: Vec<Cancels>,
    /// When one may have had a permit that nobody uses.
    unused: Option<Instant>,
    meant: Vec<(Cancels, Vec<(JobId, u64)>)>,
    /// What was found wrong.
    pub wrong: Vec<String>,
}

/// What a store has committed while the engine was at something else.
#[derive(Default)]
struct Unheard {
    /// There may be such.
    any: bool,
    jobs: BTreeSet<(Turn, JobId)>,
}

struct Known {
    seeded: bool,
    step: u64,
    attempt: u32,
    state: &'static str,
    status: Status,
    turn: Turn,
}

impl Known {
    /// No step of it has ended.
    fn is_new(&self) -> bool {
        self.seeded && (self.step, self.attempt) == (0, 1)
    }
}

/// A step in flight.
pub struct Inside(Audit, JobId);

impl Drop for Inside {
    fn drop(&mut self) {
        let mut account = self.0.lock();
        account.running.remove(&self.1);
    }
}

impl Audit {
    pub fn lock(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step begins.
    pub fn start(&self, state: &'static str, job: JobId, key: &str, attempt: u32) -> Inside {
        let mut account = self.lock();
        account.started(state, job, key, attempt, true);
        account.end_if_wrong();
        Inside(self.clone(), job)
    }

    /// A step of several jobs begins.
    pub fn start_batch(
        &self,
        state: &'static str,
        jobs: impl IntoIterator<Item = (JobId, String, u32)>,
    ) -> Vec<Inside> {
        let mut account = self.lock();
        let mut inside = Vec::new();
        for (job, key, attempt) in jobs {
            account.started(state, job, &key, attempt, inside.is_empty());
            inside.push(Inside(self.clone(), job));
        }
        account.end_if_wrong();
        inside
    }

    /// A process opens the run.
    pub fn opened(&self, clock: Clock, jobs: &[Record<Walk>]) {
        let mut account = self.lock();
        account.running.clear();
        account.lines_of.clear();
        account.unheard = Unheard::default();
        account.stopped = None;
        account.asked.clear();
        account.clock = Some(clock);
        account.opened = Some(Instant::now());
        account.stirs();
        for record in jobs {
            account.know(record);
        }
    }

    /// Panics when anything was wrong.
    pub fn check(&self) {
        let account = self.lock();
        assert!(
            account.wrong.is_empty(),
            "{} things, the first: {:#?}",
            account.wrong.len(),
            &account.wrong[..account.wrong.len().min(5)]
        );
        for (name, _, _, interval) in STATES.iter().filter(|state| !state.3.is_zero()) {
            let burst = if *name == "C" { 5 } else { 1 };
            if let Some(starts) = account.starts.get(name) {
                check_rate(starts, burst, *interval, account.late);
            }
        }
    }
}

impl Account {
    /// A process that may be killed any time says at once what is wrong.
    fn end_if_wrong(&self) {
        if self.log.is_some() && !self.wrong.is_empty() {
            eprintln!("{:#?}", self.wrong);
            std::process::exit(3);
        }
    }

    fn know(&mut self, record: &Record<Walk>) {
        let job = &record.job;
        let known = Known {
            seeded: job.parent.is_none(),
            step: job.step,
            attempt: job.attempt,
            state: job.state.name(),
            status: job.status,
            turn: record.turn(),
        };
        if known.status == Status::Ready {
            self.lines_of.entry(known.state).or_default().insert((known.turn, job.id));
            if self.unheard.any {
                self.unheard.jobs.insert((known.turn, job.id));
            }
        }
        *self.counts.entry((known.state, known.status)).or_default() += 1;
        match (self.jobs.insert(job.id, known), job.parent) {
            (Some(old), _) => *self.counts.entry((old.state, old.status)).or_default() -= 1,
            (None, Some((parent, _))) => self.children.entry(parent).or_default().push(job.id),
            (None, None) => {}
        }
    }

    /// Steps in flight in a state.
    fn steps_in(&self, state: &str) -> usize {
        self.running.values().filter(|(of, first)| *of == state && *first).count()
    }

    fn started(&mut self, state: &'static str, job: JobId, key: &str, attempt: u32, first_of_step: bool) {
        self.steps += 1;
        if let Some(log) = &mut self.log {
            let step = key.rsplit('/').next().unwrap_or_default();
            log.write_all(format!("{job} {step} {attempt} {state}\n").as_bytes())
                .expect("the log can be written");
        }
        let wrong = &mut self.wrong;
        let Some(known) = self.jobs.get(&job) else {
            return wrong.push(format!("{job} started before it was committed"));
        };
        if known.state != state || !key.ends_with(&format!("/{}", known.step)) {
            wrong.push(format!("{key} {state} {attempt}: started before the commit that led there"));
        }
        if known.status != Status::Ready {
            wrong.push(format!("{key} started though {}", known.status));
        }
        if let Some((other, _)) = self.running.insert(job, (state, first_of_step)) {
            wrong.push(format!("{key} started in {state} while it runs in {other}"));
        }
        let most = STATES.iter().find(|s| s.0 == state).map_or(0, |s| s.2);
        let now = self.running.values().filter(|(of, first)| *of == state && *first).count();
        if now > most {
            wrong.push(format!("{now} in {state}"));
        }
        // A slow limiter is saved between the decision and the start, here and below.
        if self.held.contains(state) && (state != "D" || self.stage.is_none()) {
            wrong.push(format!("{key} started in held {state}"));
        }
        if self.stopped.is_some() {
            wrong.push(format!("{key} started after the stop"));
        }
        let clock = self.clock.expect("a process has opened the run");
        let line = self.lines_of.entry(state).or_default();
        if self.unheard.jobs.contains(&(known.turn, job)) {
            self.unheard.jobs.clear(); // now it has
        }
        let doomed = |id| self.asked.iter().any(|which| which.means(id, state));
        let first = line.iter().find(|waits| !self.unheard.jobs.contains(waits) && !doomed(waits.1));
        if !self.loose && state != "D" && !doomed(job) && first != Some(&(known.turn, job)) {
            wrong.push(format!("{job} started at {:?}, before {first:?}", known.turn));
        }
        if known.turn.ready_at > clock.now() {
            wrong.push(format!("{key} started {:?} early", known.turn.ready_at.since(clock.now())));
        }
        if !line.remove(&(known.turn, job)) {
            wrong.push(format!("{key} {attempt} started twice"));
        }
        self.starts.entry(state).or_default().push(Instant::now());
    }

    /// Once all is quiet: who could start has started.
    pub fn check_nobody_waits(&mut self) {
        let clock = self.clock.expect("a process has opened the run");
        let (now, late) = (clock.now(), Duration::from_millis(5));
        for (state, _, slots, interval) in STATES {
            let running = self.steps_in(state);
            let last = self.starts.get(state).and_then(|starts| starts.last()).copied().max(self.opened);
            let limited =
                last.is_some_and(|last| last.elapsed() <= interval * 6 + late + Duration::from_millis(200));
            let limited = !interval.is_zero() && limited;
            let Some((turn, job)) = self.lines_of.get(state).and_then(BTreeSet::first) else { continue };
            if turn.ready_at + late < now && running < slots && !limited && !self.held.contains(state) {
                let since = now.since(turn.ready_at);
                self.wrong.push(format!("{job} waits in {state} since {since:?}, {running} run"));
            }
        }
    }

    /// What listeners are told is what the store has.
    pub fn check_overview(&mut self, overview: &Overview) {
        for state in &overview.states {
            let of = |status| self.counts.get(&(state.name, status)).copied().unwrap_or(0);
            let told = (
                state.waiting + state.executing + state.delayed,
                state.joining,
                state.parked,
                state.cancelled,
            );
            if told != (of(Status::Ready), of(Status::Joining), of(Status::Parked), of(Status::Cancelled)) {
                self.wrong.push(format!("told {state:?}, but {} are ready", of(Status::Ready)));
            }
            if state.terminal && state.completed != of(Status::Ended) {
                self.wrong.push(format!("told {state:?}, but {} ended", of(Status::Ended)));
            }
        }
    }

    fn committed(&mut self, batch: &Batch<Walk>, Committed { refused: dropped, fired }: &Committed<Walk>) {
        for change in &batch.changes {
            let (id, now) = (change.now.job.id, &change.now.job);
            let Some(known) = self.jobs.get(&id) else {
                self.wrong.push(format!("{id} changes, but there is none"));
                continue;
            };
            let moves = u64::from(change.line.is_some());
            if now.step != known.step + moves || change.before.state.name() != known.state {
                self.wrong.push(format!("{id}: step {} follows {}", now.step, known.step));
            }
            let stood_still = matches!(known.status, Status::Parked | Status::Joining);
            let cancelled = now.status == Status::Cancelled && stood_still;
            if !cancelled && (change.before.status != Status::Ready || known.status != Status::Ready) {
                self.wrong.push(format!("{id} changes though {}", known.status));
            }
            if change.before.turn != known.turn {
                self.wrong.push(format!("{id} stood at {:?}, not {:?}", known.turn, change.before.turn));
            }
            if let Some(line) = &change.line
                && !self.lines.insert(line.id)
            {
                self.wrong.push(format!("line {} twice", line.id));
            }
            let stood = (known.turn, id);
            if change.line.is_none() && change.error.is_none() && change.before.turn == change.now.turn() {
                continue; // put back where it was
            }
            if let Some(line) = self.lines_of.get_mut(change.before.state.name()) {
                line.remove(&stood);
            }
            self.cancelled += u64::from(now.status == Status::Cancelled);
            self.know(&change.now);
            for new in &change.kicks {
                let job = &new.record.job;
                let name = job.parent.expect("it was kicked");
                if !self.names.insert(name) || name.0 != id {
                    self.wrong.push(format!("{name:?} twice"));
                }
                if self.jobs.contains_key(&job.id) {
                    self.wrong.push(format!("{} twice", job.id));
                }
                if !dropped.contains(&job.id) {
                    self.know(&new.record);
                }
            }
        }
        for new in &batch.added {
            if !dropped.contains(&new.record.job.id) {
                self.know(&new.record);
            }
        }
        for record in fired {
            self.fires(record);
        }
    }
}

impl Watch<Walk> for Audit {
    fn before(&mut self, _: &Batch<Walk>) -> Result<(), Error> {
        let mut account = self.lock();
        account.commits += 1;
        account.unheard.jobs.clear(); // the engine has heard of the one before
        let dead = account
            .dies_at
            .is_some_and(|(at, after)| account.commits > at || account.commits == at && !after);
        if dead { Err(disk_full()) } else { Ok(()) }
    }

    fn after(&mut self, batch: &Batch<Walk>, committed: &Committed<Walk>) -> Result<(), Error> {
        let mut account = self.lock();
        account.committed(batch, committed);
        account.end_if_wrong();
        let dead = account.dies_at.is_some_and(|(at, _)| account.commits >= at);
        if dead { Err(disk_full()) } else { Ok(()) }
    }
}
