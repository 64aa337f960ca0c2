//! The program `compare`: the same work done by jorb and by others, side by side.
use std::{fs, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

mod case;
mod goals;
mod machine;
mod peers;
mod rounds;
mod sample;
mod statistics;
mod system;
mod table;
mod work;

use self::{rounds::Rounds, table::Entry};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Jorb beside what one would use instead: the same work, alternating, in one run.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// In memory: jorb, a hand-written chain of futures, one task per step.
    Memory(Options),
    /// On disk: jorb, a bare writer of the same rows, a raw append, other engines.
    Durable(Options),
    /// In one JSON document: jorb, and beside it jorb in memory.
    Json(Options),
    /// From a thousand jobs to ten million: speed, memory, size, opening, looking.
    Scale(Options),
    /// A page of what `--json` wrote, with the goals.
    Table {
        /// Files that `--json` wrote.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// One sample, in a process of its own.
    #[command(hide = true)]
    Sample { order: String },
}

#[derive(clap::Args)]
struct Options {
    /// End within a minute.
    #[arg(long)]
    quick: bool,
    /// Write what was measured here.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Make temporary files in this folder: its disk is what is measured.
    #[arg(long, default_value = "target")]
    dir: PathBuf,
    /// Measure each so many times, in turn.
    #[arg(long)]
    rounds: Option<usize>,
    /// Only those systems.
    #[arg(long)]
    only: Vec<String>,
    /// So many jobs, where one number of jobs is measured.
    #[arg(long)]
    jobs: Option<u64>,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    match run(Args::parse().what) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("compare: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(what: What) -> Result<(), Failed> {
    let (options, entries) = match what {
        What::Memory(options) => {
            let entries = case::memory(&options, &rounds(&options)?);
            (options, entries)
        }
        What::Durable(options) => {
            let entries = case::durable(&options, &rounds(&options)?);
            (options, entries)
        }
        What::Json(options) => {
            let entries = case::json(&options, &rounds(&options)?);
            (options, entries)
        }
        What::Scale(options) => {
            let entries = case::scale(&options, &rounds(&options)?)?;
            (options, entries)
        }
        What::Table { files } => {
            let part = |file: PathBuf| -> Result<(String, Vec<Entry>), Failed> {
                let name = file.file_stem().map(|name| name.to_string_lossy().into_owned());
                Ok((name.unwrap_or_default(), serde_json::from_slice(&fs::read(file)?)?))
            };
            print!("{}", table::page(&files.into_iter().map(part).collect::<Result<Vec<_>, _>>()?));
            return Ok(());
        }
        What::Sample { order } => return sample::child(&order),
    };
    print!("{}", table::markdown(&entries));
    if let Some(file) = options.json {
        fs::write(file, serde_json::to_vec_pretty(&entries)?)?;
    }
    Ok(())
}

fn rounds(options: &Options) -> Result<Rounds, Failed> {
    fs::create_dir_all(&options.dir)?;
    let count = options.rounds.unwrap_or(if options.quick { 5 } else { 7 });
    Ok(Rounds {
        count,
        dir: options.dir.canonicalize()?,
        only: options.only.clone(),
        machine: machine::describe(&options.dir),
    })
}
