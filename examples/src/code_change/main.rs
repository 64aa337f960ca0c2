//! Makes the same change in many Rust packages: checks each one out, edits it, commits, builds, and sends the patches
//! that build.
//!
//! ```text
//! cargo run --release -p jorb-examples --bin code_change
//! ```
//!
//! It is real work on real input with real tools: the packages are those that cargo has unpacked on this machine, the
//! change is `#![forbid(unsafe_code)]`, and git and cargo do the rest. Stop it with Ctrl-C or `kill -9` whenever you
//! like; the same command goes on, and no patch is sent twice. `workflow.rs` is where to start reading.
use std::{
    env, fs,
    io::{self, ErrorKind},
    path::PathBuf,
    process::ExitCode,
};

use jorb::{
    cli::{OF_RUN, Program},
    prelude::*,
};

use crate::{
    app::App,
    workflow::{CodeChange, Order, code_change},
};

mod app;
mod edit;
mod mail;
mod manifest;
mod tool;
mod workflow;

/// Adds `#![forbid(unsafe_code)]` to many Rust packages, and sends the patches of those that still build
#[derive(clap::Args)]
struct Flags {
    /// A folder of packages [default: the sources that cargo has unpacked on this machine]
    #[arg(long, value_name = "DIR", help_heading = OF_RUN)]
    packages: Option<PathBuf>,
    /// How many packages, the smallest first [default: 80]
    // It is not global, because `jobs --limit` is something else.
    #[arg(long, value_name = "N", help_heading = OF_RUN)]
    limit: Option<usize>,
    /// Where the run, the checkouts and the outbox are
    #[arg(long, value_name = "DIR", default_value = "code-change-work")]
    work: PathBuf,
}

fn main() -> ExitCode {
    Program::<CodeChange, Flags>::new()
        .store(|flags| {
            // An error shows when the run cannot be made there.
            let _ = fs::create_dir_all(&flags.work);
            flags.work.join("run.jorb")
        })
        .app(|flags| {
            let app = App::open(&flags.work, &cargo_home()?)?;
            if !quiet() {
                let work = flags.work.display();
                eprintln!("works in {work}; patches go to {work}/outbox.mbox");
            }
            Ok::<_, io::Error>(app)
        })
        .seed(|flags, run| {
            if run.is_seeded() {
                flags.say_if_ignored(&run.overall()?)?;
                return Ok(false);
            }
            let order = Order { packages: flags.packages()?, limit: flags.limit.unwrap_or(80) };
            Ok::<_, jorb::BoxError>(run.seed(order, |jobs| jobs.add(Kick::new(code_change::Scan, None)))?)
        })
        .main()
}

impl Flags {
    /// A run is made once: flags that come later and want another one do nothing, and the user should know.
    fn say_if_ignored(&self, made_with: &Order) -> io::Result<()> {
        let other_limit = self.limit.is_some_and(|limit| limit != made_with.limit);
        if other_limit || (self.packages.is_some() && self.packages()? != made_with.packages) {
            let packages: Vec<_> = made_with.packages.iter().map(|p| p.display().to_string()).collect();
            eprintln!(
                "this run was made with --limit {} --packages {}, which it keeps: for others, give a new --work",
                made_with.limit,
                packages.join(" and ")
            );
        }
        Ok(())
    }

    /// As whole paths: they are saved with the run, which may be driven on from elsewhere.
    fn packages(&self) -> io::Result<Vec<PathBuf>> {
        let Some(packages) = &self.packages else {
            // One folder for each registry.
            return Ok(manifest::folders(&cargo_home()?.join("registry/src"))?.into_iter().collect());
        };
        match packages.canonicalize() {
            Ok(packages) => Ok(vec![packages]),
            Err(e) => Err(io::Error::new(e.kind(), format!("{}: {e}", packages.display()))),
        }
    }
}

/// `--quiet` is a flag of the library, which keeps it for itself.
fn quiet() -> bool {
    env::args_os().any(|arg| arg == "--quiet" || arg == "-q")
}

/// Where cargo keeps what it has downloaded.
fn cargo_home() -> io::Result<PathBuf> {
    let usual = || Some(env::home_dir()?.join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(usual).ok_or_else(|| {
        io::Error::new(ErrorKind::NotFound, "set CARGO_HOME to where cargo keeps its packages")
    })
}
