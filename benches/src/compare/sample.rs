//! One sample: one system, one workload, one process of its own, so that its peak of memory is its own.
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    Failed, machine, system,
    work::{STATES, Step},
};

/// What a child is to do.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Sample {
    /// Jorb with this store, all the way.
    Jorb(Keeper, Step),
    /// The same in memory, with a rate that is never reached on each state.
    Limited(Step),
    /// With a hundred thousand keys on each state.
    Keyed(Keeper),
    Chain(Step),
    Fused(Step),
    Spawn(Step),
    /// All cores with the CPU that the steps take, and nothing else.
    Cores(Step),
    Rusqlite,
    Raw,
    /// Jorb's run with all of its jobs waiting, but for a few in a state that is held.
    Waiting,
    /// Jorb's run with these `once` keys.
    Once(Keys),
    /// Drives a run that is there, and ends the process in the midst of it.
    Die,
    /// Opens a run that is there, until its first step starts.
    Open(Cache),
    /// Asks a run that is there.
    Ask(Query, Cache),
    /// One job that makes so many steps.
    Loop,
    /// So many small appends, each made durable.
    Append,
    /// Jobs that seldom come, beside so many that always have something to do.
    Fair,
}

/// Where jorb keeps its run.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Keeper {
    Memory,
    Sqlite,
    Json,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Keys {
    None,
    Sequential,
    Random,
}

/// What the system has of the file in memory beforehand.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Cache {
    /// What earlier samples left there.
    Warm,
    /// Nothing.
    Cold,
}

/// What a user asks on the command line.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Query {
    /// How many jobs are where.
    Status,
    /// One job from the middle, with its history.
    Job,
    /// The first page of the jobs that wait in the first state.
    FirstReady,
    /// That of the few that are held in the second one.
    SecondHeld,
    /// That of those that ended.
    DoneEnded,
    /// Of those that are parked: there are none.
    ThirdParked,
}

#[derive(Serialize, Deserialize)]
struct Order {
    sample: Sample,
    jobs: u64,
    dir: PathBuf,
}

/// What a child says in one line of JSON; other engines' programs say the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// Steps that were made, when that is what was timed.
    pub(super) transitions: Option<u64>,
    pub(super) seconds: f64,
    /// The most memory that the process ever had.
    #[serde(default)]
    pub(super) peak_rss_mb: Option<f64>,
    /// The size of what it left, measured by the parent.
    #[serde(skip)]
    pub(super) file_mb: Option<f64>,
    /// Other figures.
    #[serde(default)]
    pub(super) more: BTreeMap<String, f64>,
}

impl Outcome {
    /// Something else than steps took so long.
    pub(super) fn of(took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        Outcome { transitions: None, seconds, peak_rss_mb: None, file_mb: None, more: BTreeMap::new() }
    }

    /// So many steps took so long.
    pub(super) fn steps(transitions: u64, took: Duration) -> Self {
        Outcome { transitions: Some(transitions), ..Outcome::of(took) }
    }

    /// Transitions per second, or seconds.
    pub(super) fn figure(&self) -> f64 {
        self.transitions.map_or(self.seconds, |transitions| transitions as f64 / self.seconds)
    }

    /// All steps of all jobs were made, no fewer and no more.
    pub(super) fn check(self, jobs: u64) -> Result<Self, Failed> {
        let all = STATES * jobs;
        match self.transitions {
            Some(made) if made == all => Ok(self),
            made => Err(format!("made {} steps instead of {all}", made.unwrap_or(0)).into()),
        }
    }
}

impl Sample {
    /// Takes the sample in a process of its own, which may leave files in `dir`.
    pub(super) fn take(self, jobs: u64, dir: &Path) -> Result<Outcome, Failed> {
        let order = serde_json::to_string(&Order { sample: self, jobs, dir: dir.to_owned() })?;
        take(Command::new(env::current_exe()?).args(["sample", &order]), dir)
    }

    fn run(self, jobs: u64, dir: &Path) -> Result<Outcome, Failed> {
        match self {
            Sample::Jorb(keeper, step) => system::jorb::run(keeper, step, false, jobs, dir)?.check(jobs),
            Sample::Limited(step) => system::jorb::run(Keeper::Memory, step, true, jobs, dir)?.check(jobs),
            Sample::Keyed(keeper) => system::keyed::run(keeper, jobs, dir)?.check(jobs),
            Sample::Chain(step) => system::chain::run(step, jobs)?.check(jobs),
            Sample::Fused(step) => system::chain::run_fused(step, jobs)?.check(jobs),
            Sample::Spawn(step) => system::spawn::run(step, jobs)?.check(jobs),
            Sample::Cores(step) => system::cores::run(step, jobs).check(jobs),
            Sample::Rusqlite => system::rusqlite::run(jobs, dir)?.check(jobs),
            Sample::Raw => system::raw::run(jobs, dir)?.check(jobs),
            Sample::Waiting => system::seeds::waiting(jobs, dir),
            Sample::Once(keys) => system::seeds::once(keys, jobs, dir),
            Sample::Die => system::resume::die(dir),
            Sample::Open(cache) => system::resume::open(cache, dir),
            Sample::Ask(query, cache) => system::ask::run(query, cache, jobs, dir),
            Sample::Loop => system::latency::jorb(jobs, dir),
            Sample::Append => system::latency::append(jobs, dir),
            Sample::Fair => system::fairness::run(jobs, dir),
        }
    }
}

/// The child's side.
pub(super) fn child(order: &str) -> Result<(), Failed> {
    let Order { sample, jobs, dir } = serde_json::from_str(order)?;
    say(sample.run(jobs, &dir)?)
}

/// Tells the parent.
pub(super) fn say(mut outcome: Outcome) -> Result<(), Failed> {
    outcome.peak_rss_mb = machine::peak_rss_mb();
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

/// Runs a program that says an [`Outcome`].
pub(super) fn take(program: &mut Command, dir: &Path) -> Result<Outcome, Failed> {
    let output = program.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{}", output.status).into());
    }
    let mut outcome: Outcome = serde_json::from_slice(&output.stdout)?;
    outcome.file_mb = Some(size(dir)? as f64 / 1e6).filter(|size| *size > 0.0);
    Ok(outcome)
}

/// Bytes in the files of a folder.
pub(super) fn size(dir: &Path) -> Result<u64, Failed> {
    fs::read_dir(dir)?.map(|file| Ok(file?.metadata()?.len())).sum()
}
