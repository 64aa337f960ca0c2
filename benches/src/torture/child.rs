//! The process that is tortured: drives a run until it is complete, or somebody kills it.
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use jorb::{Error, Processor, Run, SqliteStore};

use super::{
    marks::Session,
    shim::Shim,
    walk::{Plan, Walk, seed},
};

/// What a child is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Drive {
    /// The run.
    file: PathBuf,
    /// The handlers' log.
    log: PathBuf,
    /// Of the plan.
    seed: u64,
    /// Of the plan.
    jobs: u64,
    /// Of the plan.
    load: usize,
    /// How often to try again in the same process when the disk fails.
    again: u32,
}

/// How a child ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Complete = 0,
    /// With an error of the disk.
    Disk = 10,
    /// Another process has the run.
    InUse = 11,
    Otherwise = 12,
}

impl Drive {
    pub(super) fn new(folder: &Path, plan: Plan, again: u32) -> Self {
        let (file, log) = (folder.join("run.jorb"), folder.join("steps"));
        let Plan { seed, jobs, load } = plan;
        Drive { file, log, seed, jobs, load, again }
    }

    /// Starts a process that does it, with a shim that records in a journal.
    pub(super) fn spawn(&self, shim: Option<(&Shim, &Path)>) -> std::io::Result<Child> {
        let errors = self.log.with_file_name("errors");
        let errors = std::fs::OpenOptions::new().append(true).create(true).open(errors)?;
        let mut child = Command::new(std::env::current_exe()?);
        child.arg("drive").args([&self.file, &self.log]);
        child.args([self.seed, self.jobs, self.load as u64, self.again.into()].map(|n| n.to_string()));
        child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        if let Some((shim, journal)) = shim {
            shim.preload(&mut child, &self.file, journal);
        }
        child.spawn()
    }

    /// Does it in this process. Gives what to exit with.
    #[must_use]
    pub fn run(&self) -> u8 {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
        let end = match runtime {
            Ok(runtime) => {
                let end = runtime.block_on(self.drive());
                // A plain function may be at work still.
                runtime.shutdown_timeout(Duration::from_secs(1));
                end
            }
            Err(e) => {
                eprintln!("{e}");
                End::Otherwise
            }
        };
        end as u8
    }

    async fn drive(&self) -> End {
        let opened = Run::<Walk>::open(SqliteStore::at(&self.file)).and_then(|mut run| {
            seed(&mut run, Plan { seed: self.seed, jobs: self.jobs, load: self.load })?;
            Ok(run)
        });
        let mut run = match opened {
            Ok(run) => run,
            Err(e) => return failed(&e),
        };
        for again in 0.. {
            let session = match Session::new(&self.log, again) {
                Ok(session) => session,
                Err(e) => {
                    eprintln!("{}: {e}", self.log.display());
                    break;
                }
            };
            match Processor::new(session).exec(&mut run).await {
                Ok(summary) if summary.is_complete() => return End::Complete,
                Ok(summary) => {
                    eprintln!("{summary}");
                    break;
                }
                Err(e) if again >= self.again => return failed(&e),
                Err(e) => {
                    failed(&e);
                    tokio::time::sleep(Duration::from_millis(0)).await;
                }
            }
        }
        End::Otherwise
    }
}

fn failed(e: &Error) -> End {
    eprintln!("process {}: {e}", std::process::id());
    match e {
        Error::Disk { .. } => End::Disk,
        Error::InUse { .. } => End::InUse,
        _ => End::Otherwise,
    }
}
