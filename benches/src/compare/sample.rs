//! One sample: one system, one workload, one process of its own, so that its peak of memory is its own.
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use super::{Failed, machine, system, work::Step};

/// What a child is to do.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Sample {
    /// Jorb with the store of this name.
    Jorb(Keeper, Step),
    Chain(Step),
    Fused(Step),
    Spawn(Step),
    /// All cores with the CPU that the steps take, and nothing else.
    Cores(Step),
    Rusqlite,
    Raw,
}

/// Where jorb keeps its run.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Keeper {
    Memory,
    Sqlite,
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
    /// Steps that were made.
    pub(super) transitions: u64,
    /// How long they took.
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
    pub(super) fn new(transitions: u64, seconds: f64) -> Self {
        Outcome { transitions, seconds, peak_rss_mb: None, file_mb: None, more: BTreeMap::new() }
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
            Sample::Jorb(keeper, step) => system::jorb::run(keeper, step, jobs, dir),
            Sample::Chain(step) => system::chain::run(step, jobs),
            Sample::Fused(step) => system::chain::run_fused(step, jobs),
            Sample::Spawn(step) => system::spawn::run(step, jobs),
            Sample::Cores(step) => Ok(system::cores::run(step, jobs)),
            Sample::Rusqlite => system::rusqlite::run(jobs, dir),
            Sample::Raw => system::raw::run(jobs, dir),
        }
    }
}

/// The child's side.
pub(super) fn child(order: &str) -> Result<(), Failed> {
    let Order { sample, jobs, dir } = serde_json::from_str(order)?;
    let mut outcome = sample.run(jobs, &dir)?;
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
fn size(dir: &Path) -> Result<u64, Failed> {
    fs::read_dir(dir)?.map(|file| Ok(file?.metadata()?.len())).sum()
}
