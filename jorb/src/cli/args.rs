//! What the command line says.
#![allow(clippy::doc_markdown)] // it is help for a terminal, not Markdown
use std::path::PathBuf;

use clap::{Arg, ArgGroup, Args, Command, Subcommand, error::ErrorKind};

use crate::{Backoff, Rate, Shown};

/// The heading, in a program's help, of flags that have an effect when the run is seeded and driven, and nowhere else: all that
/// only [`app`](super::Program::app), [`seed`](super::Program::seed) and [`processor`](super::Program::processor) look at. A flag
/// with this heading is not in the help of other subcommands than `run`. They take it all the same, so that a program and its flags
/// can be an alias.
///
/// ```
/// #[derive(clap::Args)]
/// struct Flags {
///     /// Where to work
///     #[arg(long, default_value = ".")]
///     work: std::path::PathBuf,
///     /// How many pages
///     #[arg(long, default_value_t = 100, help_heading = jorb::cli::OF_RUN)]
///     pages: u32,
/// }
/// ```
pub const OF_RUN: &str = "Options of `run`";

// The flags of every workflow program, and what it is to do. (A doc comment would be the program's help.)
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
#[command(next_help_heading = OF_RUN)]
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
    /// Exits with 0 when every job has ended or was cancelled, 3 when some are parked, or wait for such, 4 when it was stopped, 1 after
    /// an error.
    Run(RunArgs),
    /// Count the jobs by state
    Status(StatusArgs),
    /// List jobs, or show one with its history and errors
    Jobs(JobsArgs),
    /// Say what failed and why, and what to do about it
    Report {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Move jobs to another state, or run parked ones again
    ///
    /// All jobs are checked first: when one cannot go there, nothing is changed. The run must not be driven meanwhile:
    /// stop the program, redrive, and start it again.
    Redrive(RedriveArgs),
    /// Cancel jobs: they stay where they are, and run no more
    ///
    /// Say which. `redrive --status cancelled` has them go on again. The run must not be driven meanwhile, as with `redrive`.
    Cancel(CancelArgs),
    /// Stop a state, or a key of a limiter: jobs arrive and wait
    ///
    /// The run must not be driven meanwhile: stop the program, hold, and start it again.
    Hold(HoldArgs),
    /// Let a held state, or a held key, go on
    ///
    /// The run must not be driven meanwhile, as with `hold`.
    Release(HoldArgs),
    /// Change the rate, the burst, the concurrency or the retries of a state, or of a shared limiter
    ///
    /// What is not given stays as it is. The run must not be driven meanwhile, as with `hold`; it remembers the change.
    Tune(TuneArgs),
    /// Write the run as JSON Lines
    Export {
        /// Where to; standard output if not given
        file: Option<PathBuf>,
    },
    /// Make a run of what `export` wrote
    Import {
        /// Where from
        file: PathBuf,
        /// Only check all lines
        #[arg(long)]
        check: bool,
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

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct JobsArgs {
    /// Show this job: its number, `7`, or its path, `0/3/1` (`0->3->1` is the same, but a shell wants it in quotes)
    #[arg(conflicts_with_all = ["state", "status", "error", "limit", "key"])]
    pub(super) job: Option<String>,
    /// Only jobs in this state, with its fields
    #[arg(long)]
    pub(super) state: Option<String>,
    /// Only jobs that stand so: ready, delayed, held, joining, parked, ended or cancelled
    #[arg(long)]
    pub(super) status: Option<Shown>,
    /// Only jobs whose newest error contains this
    #[arg(long, value_name = "TEXT")]
    pub(super) error: Option<String>,
    #[command(flatten)]
    pub(super) of: KeyArgs,
    /// No more than N jobs
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    /// One JSON object per line, for programs
    #[arg(long)]
    pub(super) json: bool,
}

/// Jobs that take of a key of a limiter.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct KeyArgs {
    /// The limiter that --key is of
    #[arg(long, value_name = "LIMITER", requires = "key")]
    limiter: Option<String>,
    /// Only jobs whose next step takes of this key of the limiter
    #[arg(long, value_name = "KEY", requires = "limiter")]
    key: Option<String>,
}

impl KeyArgs {
    pub(super) fn named(&self) -> Option<(&str, &str)> {
        self.limiter.as_deref().zip(self.key.as_deref())
    }
}

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct RedriveArgs {
    /// Only jobs in this state
    #[arg(long, value_name = "STATE")]
    pub(super) from: Option<String>,
    /// Where they go; if not given, they run again where they are
    #[arg(long, value_name = "STATE")]
    pub(super) to: Option<String>,
    /// The fields of the new state; if not given, those of the old state must fit
    #[arg(long, value_name = "JSON", requires = "to")]
    pub(super) data: Option<String>,
    /// Only jobs whose newest error contains this
    #[arg(long, value_name = "TEXT")]
    pub(super) error: Option<String>,
    /// Only this job, by its number, `7`, or its path, `0/3/1`, however it stands
    #[arg(long, value_name = "ID")]
    pub(super) job: Option<String>,
    /// Only jobs that stand so [default: parked; ended for a terminal state; with --job, however it stands]
    #[arg(long)]
    pub(super) status: Option<Shown>,
    /// No more than N jobs
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    /// Check and count, but change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group(ArgGroup::new("which").required(true).multiple(true).args(["state", "error", "job", "status", "key"])))]
pub(super) struct CancelArgs {
    /// Only jobs in this state
    #[arg(long, value_name = "STATE")]
    pub(super) state: Option<String>,
    /// Only jobs whose newest error contains this
    #[arg(long, value_name = "TEXT")]
    pub(super) error: Option<String>,
    /// Only this job, by its number, `7`, or its path, `0/3/1`, also if it is parked
    #[arg(long, value_name = "ID")]
    pub(super) job: Option<String>,
    /// Only jobs that stand so [default: ready, delayed, held and joining; with --job, however it stands]
    #[arg(long)]
    pub(super) status: Option<Shown>,
    #[command(flatten)]
    pub(super) of: KeyArgs,
    /// No more than N jobs
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    /// Count, but change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
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

fn is_of_run(flag: &Arg) -> bool {
    flag.get_help_heading() == Some(OF_RUN)
}

/// Makes flags global that can be: clap does not know that of required ones, nor of those that a subcommand has too. Those of `run` are
/// in no other help.
pub(super) fn allow_behind_subcommands<'a>(
    command: Command,
    flags: impl Iterator<Item = &'a Arg>,
) -> Command {
    let taken: Vec<Arg> = command.get_subcommands().flat_map(Command::get_arguments).cloned().collect();
    let clashes = |flag: &Arg| {
        taken.iter().any(|arg| {
            let short = arg.get_short().is_some() && arg.get_short() == flag.get_short();
            arg.get_id() == flag.get_id()
                || (flag.get_long().is_some() && arg.get_long() == flag.get_long())
                || short
        })
    };
    let can_be = |flag: &&Arg| !flag.is_positional() && !flag.is_required_set() && !clashes(flag);
    flags.filter(can_be).fold(command, |command, flag| {
        let command = command.mut_arg(flag.get_id(), |arg| arg.global(true));
        if is_of_run(flag) {
            let hidden = flag.clone().global(true).hide(true);
            let hide = |sub: Command| if sub.get_name() == "run" { sub } else { sub.arg(hidden.clone()) };
            command.mut_subcommands(hide)
        } else {
            command
        }
    })
}

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct HoldArgs {
    /// The state
    #[arg(required_unless_present = "limiter")]
    pub(super) state: Option<String>,
    /// The limiter whose key it is
    #[arg(long, value_name = "LIMITER", requires = "key", conflicts_with = "state")]
    pub(super) limiter: Option<String>,
    /// The key
    #[arg(long, value_name = "KEY", requires = "limiter", conflicts_with = "state")]
    pub(super) key: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct TuneArgs {
    /// The state, or the limiter
    pub(super) name: String,
    /// Starts per time, like 10/s
    #[arg(long)]
    pub(super) rate: Option<Rate>,
    /// Starts that may follow each other at once
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) burst: Option<u32>,
    /// Steps in flight at once
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) concurrency: Option<u32>,
    /// Attempts after the first one; of a state
    #[arg(long)]
    pub(super) retries: Option<u32>,
    /// Waits between attempts, like 200ms..30s; of a state
    #[arg(long)]
    pub(super) backoff: Option<Backoff>,
    /// Back to what the code says
    #[arg(long, conflicts_with_all = ["rate", "burst", "concurrency", "retries", "backoff"])]
    pub(super) reset: bool,
}
