//! A small workflow program, for the tests of the command line.
use std::{path::PathBuf, process::ExitCode, time::Duration};

use jorb_tests::web::{Pages, Web, seed};

/// Fetches pages that are not there.
#[derive(clap::Args)]
struct Flags {
    #[arg(long, default_value = ".")]
    work: PathBuf,
    /// Pages that are refused.
    #[arg(long, default_value_t = 2, help_heading = jorb::cli::OF_RUN)]
    bad: usize,
    /// Nothing is refused any more.
    #[arg(long, help_heading = jorb::cli::OF_RUN)]
    healed: bool,
    /// Milliseconds for each page.
    #[arg(long, default_value_t = 0, help_heading = jorb::cli::OF_RUN)]
    slow: u64,
    /// Good pages.
    #[arg(long, default_value_t = 1, help_heading = jorb::cli::OF_RUN)]
    good: usize,
    /// The app cannot be built.
    #[arg(long, help_heading = jorb::cli::OF_RUN)]
    broken: bool,
}

fn main() -> ExitCode {
    jorb::cli::Program::<Pages, Flags>::new()
        .store(|flags| flags.work.join("pages.jorb"))
        .app(|flags| {
            let web = Web { refuses: !flags.healed, slow: Duration::from_millis(flags.slow) };
            if flags.broken { Err("there is no web") } else { Ok(web) }
        })
        .seed(|flags, run| {
            run.seed((), |jobs| {
                jobs.add(seed("root"))?;
                jobs.extend((0..flags.good).map(|n| seed(&format!("good{n}"))))?;
                jobs.extend((0..flags.bad).map(|n| seed(&format!("bad{n}"))))
            })
        })
        .command(clap::Command::new("where").about("Say where the run is"), |_, _, file, out| {
            writeln!(out, "{}", file.path().display())?;
            Ok(ExitCode::SUCCESS)
        })
        .main()
}
