//! What the command line says.
#![allow(clippy::doc_markdown)] // it is help for a terminal, not Markdown
use std::path::PathBuf;

use clap::{Args, Command, Subcommand, error::ErrorKind};

/// The flags of every workflow program, and what it is to do.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Own {
    /// The file that keeps the run: JSON if it ends in `.json`, else SQLite
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) store: Option<PathBuf>,
    #[command(flatten)]
    pub(super) run: RunArgs,
    #[command(subcommand)]
    pub(super) verb: Option<Verb>,
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = "Options of `run`")]
pub(super) struct RunArgs {
    /// Stop when more than N jobs are parked
    #[arg(long, value_name = "N")]
    pub(super) max_parked: Option<u64>,
    /// Run only the first N jobs that start, and stop: a trial
    #[arg(long, value_name = "N")]
    pub(super) first: Option<usize>,
    /// Show no progress and no summary
    #[arg(long, short)]
    pub(super) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Drive the run until nothing is left to do (the default)
    ///
    /// Exits with 0 when every job has ended, 3 when some are parked, 4 when it was stopped, 1 after an error.
    Run(RunArgs),
    /// Count the jobs by state
    Status(StatusArgs),
    /// Stop a state: jobs arrive and wait
    Hold {
        /// The state
        state: String,
    },
    /// Let a held state go on
    Release {
        /// The state
        state: String,
    },
    /// Print the states and their edges, as a Mermaid diagram
    Graph {
        /// As plain text
        #[arg(long)]
        text: bool,
    },
}

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct StatusArgs {
    /// For programs
    #[arg(long)]
    pub(super) json: bool,
}

impl Own {
    /// Refuses flags of `run` before another subcommand: they would do nothing.
    pub(super) fn check(&self, clap: &mut Command, verb: Option<&str>) -> Result<(), clap::Error> {
        let RunArgs { max_parked, first, quiet } = self.run;
        let given =
            [(max_parked.is_some(), "--max-parked"), (first.is_some(), "--first"), (quiet, "--quiet")];
        let (Some(verb), Some((_, flag))) = (verb, given.iter().find(|(given, _)| *given)) else {
            return Ok(());
        };
        let why = match verb {
            "run" => format!("write `{flag}` behind `run`"),
            _ => format!("`{flag}` is for `run`, not for `{verb}`"),
        };
        Err(clap.error(ErrorKind::ArgumentConflict, why))
    }
}
