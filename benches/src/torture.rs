//! Kills a process that drives a run, over and over, with worse than kills in between, and proves after each that nothing
//! was lost, nothing doubled, and nothing that was committed ran again. `TORTURE.md` says what exactly.
use std::{
    fs, io,
    path::PathBuf,
    time::{Duration, Instant},
};

mod account;
mod child;
mod dice;
mod fate;
mod fault;
mod live;
mod marks;
mod power;
mod report;
mod run;
mod shim;
mod stored;
mod wal;
mod walk;

pub use child::Drive;
pub use report::Report;

use self::{
    dice::Dice,
    fault::{Deck, Round},
    run::{Ended, Tortured},
    shim::Shim,
    walk::Plan,
};

/// What to do.
#[derive(Debug, Clone, clap::Args)]
pub struct Torture {
    /// How often to kill.
    #[arg(long, default_value_t = 1_000)]
    kills: u64,
    /// Where to leave the results.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// On which disk: a folder for the runs. They are removed unless something is found.
    #[arg(long, value_name = "FOLDER", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Makes the same choices as before. When a process is killed is chosen, how far it has got then is not.
    #[arg(long)]
    seed: Option<u64>,
    /// Jobs that a run begins with.
    #[arg(long, default_value_t = 400)]
    jobs: u64,
}

/// How often to say how it goes.
const EVERY: Duration = Duration::from_secs(5);

impl Torture {
    /// Does it.
    pub fn run(&self) -> io::Result<Report> {
        let seed = self.seed.unwrap_or_else(|| u64::from(std::process::id()) ^ u64::from(now()));
        let mut dice = Dice::new(seed);
        let folder = tempfile::Builder::new().prefix("torture-").tempdir_in(&self.dir)?;
        let path = folder.path().canonicalize()?;
        let shim = Shim::new(&path)?;
        println!("seed {seed}, in {}", path.display());
        if shim.is_none() {
            println!("no faults of disk and clock: nothing can be preloaded on this system");
        }
        let mut report = Report::new(seed);
        let (began, mut said, mut deck) = (Instant::now(), Instant::now(), Deck::new());
        while report.kills < self.kills && !report.is_bad() {
            report.runs += 1;
            // At times so much that the log is brought into the file while steps go on.
            let (jobs, load) = if dice.one_in(3) { (self.jobs / 4, 40_000) } else { (self.jobs, 20) };
            let plan = Plan { seed: dice.next(), jobs, load };
            let of_run = path.join(format!("run-{}", report.runs));
            let mut run = Tortured::new(&of_run, plan, shim.as_ref())?;
            let calm_after = report.kills + 10 + dice.below(30);
            loop {
                let calm = report.kills >= self.kills.min(calm_after);
                let round = if calm { Round::CALM } else { deck.deal(&mut dice, shim.is_some()) };
                let went = run.round(&round, &mut dice)?;
                let complete = went.end == Ended::Complete;
                report.add(&went, run.tally());
                report.seconds = began.elapsed().as_secs_f64();
                if said.elapsed() > EVERY {
                    println!("{}", report.progress(self.kills));
                    said = Instant::now();
                }
                if complete || report.is_bad() {
                    break;
                }
            }
            report.jobs += run.jobs() as u64;
            if !report.is_bad() {
                fs::remove_dir_all(&of_run)?;
            }
        }
        if report.is_bad() {
            report.files = Some(folder.keep());
        }
        if let Some(file) = &self.json {
            fs::write(file, serde_json::to_string_pretty(&report)? + "\n")?;
        }
        Ok(report)
    }
}

fn now() -> u32 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos())
}
