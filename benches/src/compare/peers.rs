//! Other engines. Each has a version of SQLite of its own, so each is a program of its own, in a workspace of its own.
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    Failed,
    rounds::Contender,
    sample::{self, Outcome},
};

/// An engine, and a way to do the work with it.
pub(super) struct Peer {
    /// The system; the folder of its program, too.
    pub(super) name: &'static str,
    case: &'static str,
    /// What its program is told.
    way: &'static str,
    /// Jobs that it can finish in a few seconds.
    jobs: u64,
}

pub(super) const PEERS: [Peer; 5] = [
    Peer { name: "apalis", case: "durable", way: "queues", jobs: 1_000 },
    Peer { name: "effectum", case: "durable, three job types", way: "types", jobs: 1_000 },
    Peer { name: "effectum", case: "durable, one job, two checkpoints", way: "checkpoints", jobs: 2_000 },
    Peer { name: "effectum", case: "durable, the same, 24 at once", way: "checkpoints-24", jobs: 2_000 },
    Peer { name: "durare", case: "durable", way: "steps", jobs: 1_000 },
];

impl Peer {
    /// With a part of its jobs: `share` of 1 for all.
    pub(super) fn contender(&self, share: f64) -> Contender {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a few thousand
        let jobs = (self.jobs as f64 * share) as u64;
        let Peer { name, case, way, .. } = *self;
        let program = build(name).map_err(|e| format!("it does not build: {e}"));
        let take = move |dir: &Path| -> Result<Outcome, Failed> {
            let program = program.clone()?;
            sample::take(Command::new(program).args([way, &jobs.to_string()]).arg(dir), dir)?.check(jobs)
        };
        Contender { case: case.into(), system: name, jobs, most: usize::MAX, take: Box::new(take) }
    }
}

/// Builds a program, unless that was done. Gives its path.
fn build(name: &str) -> Result<PathBuf, Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name);
    // Beside what this program was built with, so that one `target` has all.
    let target =
        std::env::current_exe()?.ancestors().nth(2).ok_or("it is in no target folder")?.join("peers");
    eprintln!("building {name}");
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--quiet", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("cargo: {status}").into());
    }
    Ok(target.join("release").join(format!("jorb-peer-{name}")))
}
