//! Kills a process that drives a run, over and over, and proves that nothing was lost. See `TORTURE.md`.
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jorb_benches::torture::{Drive, Torture};

/// Kills a process that drives a run, over and over, and proves after each kill that nothing was lost, nothing doubled,
/// and that nothing that was committed ran again.
///
/// Between the kills the disk fills up, fails to sync, becomes read-only or loses its power, the log ends in garbage, the
/// clock stops or is set back, and a second process opens the run. Exits with 1 when something was found, and says what
/// and where the files are. TORTURE.md, beside this program's source, says more.
#[derive(Parser)]
#[command(name = "torture", args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    torture: Torture,
}

#[derive(Subcommand)]
enum Part {
    /// What is tortured.
    #[command(hide = true)]
    Drive(Drive),
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Part::Drive(drive)) = args.part {
        return drive.run().into();
    }
    match args.torture.run() {
        Ok(report) => {
            println!("{report}");
            ExitCode::from(u8::from(report.is_bad()))
        }
        Err(e) => {
            eprintln!("torture: {e}");
            ExitCode::from(2)
        }
    }
}
