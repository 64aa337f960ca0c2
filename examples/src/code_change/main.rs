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

use jorb::{cli::Program, prelude::*};

use crate::{
    app::App,
    workflow::{CodeChange, Order, Package, code_change},
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
    #[arg(long, value_name = "DIR", global = true)]
    packages: Option<PathBuf>,
    /// How many packages, the smallest first
    // It is not global, because `jobs --limit` is something else.
    #[arg(long, value_name = "N", default_value_t = 80)]
    limit: usize,
    /// Where the run, the checkouts and the outbox are
    #[arg(long, value_name = "DIR", global = true, default_value = "code-change-work")]
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
            let work = flags.work.display();
            eprintln!("works in {work}; patches go to {work}/outbox.mbox");
            Ok::<_, io::Error>(app)
        })
        .seed(|flags, run| {
            let order = Order { packages: flags.packages()?, limit: flags.limit };
            let scan = Kick::new(code_change::Scan, Package::default());
            Ok::<_, jorb::BoxError>(run.seed(order, |jobs| jobs.add(scan))?)
        })
        .main()
}

impl Flags {
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

/// Where cargo keeps what it has downloaded.
fn cargo_home() -> io::Result<PathBuf> {
    let usual = || Some(env::home_dir()?.join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(usual).ok_or_else(|| {
        io::Error::new(ErrorKind::NotFound, "set CARGO_HOME to where cargo keeps its packages")
    })
}
