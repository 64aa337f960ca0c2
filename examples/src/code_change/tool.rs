//! Runs git and cargo so that they die with the step that started them.
use std::{
    error::Error,
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// Runs `command` to its end, with all that it says in the file `log`.
///
/// When this future is dropped, as a step is on its timeout and at a stop, the command dies, and so does every
/// process that it has started.
pub(crate) async fn run(mut command: Command, log: &Path) -> io::Result<ExitStatus> {
    let said = File::options().append(true).create(true).open(log)?;
    command
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(said)
        // cargo starts compilers. Killing cargo alone would leave them to run on, so all get a group of their own.
        // It also keeps Ctrl-C for us: the terminal sends it to our group, and the step may finish.
        .process_group(0)
        .kill_on_drop(true);
    Group(command.spawn()?).0.wait().await
}

/// A child, and the group of processes that it leads.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // No id means that it has been waited for: its number may be another process's by now.
        let leader = self.0.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(leader) = leader {
            // It may have ended just now; that is what we want.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Runs git in `tree`; an error unless it succeeds.
pub(crate) async fn git(tree: &Path, args: &[&str]) -> Result<(), ToolError> {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(tree)
        .args(["-c", "gc.auto=0", "-c", "user.name=code_change", "-c", "user.email=code_change@localhost"])
        .args(args)
        // The result is to depend on the package only, not on whose machine this is.
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    for inherited in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(inherited);
    }
    let log = beside(tree, "git.log");
    let result = run(command, &log).await;
    if matches!(&result, Ok(status) if status.success()) {
        return Ok(());
    }
    Err(ToolError { what: format!("git {}", args.join(" ")), result, said: tail(&log) })
}

/// Checks that `tree` compiles, with nothing but what cargo has on this machine. Gives cargo's words if it does not.
pub(crate) async fn cargo_check(tree: &Path, target: &Path) -> Result<Result<(), String>, ToolError> {
    // Set when `cargo run` started us: the toolchain that the user wants.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(tree)
        .args(["check", "--offline", "--quiet", "--color=never", "--message-format=short", "--target-dir"])
        .arg(target)
        // A cargo that outlives its killed parent, and finds its folder gone, would leave its failure to the next one.
        .env("CARGO_CACHE_RUSTC_INFO", "0")
        .env("CARGO_INCREMENTAL", "0");
    let log = beside(tree, "cargo.log");
    match run(command, &log).await {
        Ok(status) if status.success() => Ok(Ok(())),
        // It came to a verdict.
        Ok(status) if status.code().is_some() => Ok(Err(tail(&log))),
        // It did not start, or something killed it: that says nothing about the package.
        result => Err(ToolError { what: "cargo check".into(), result, said: tail(&log) }),
    }
}

/// A tool that did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct ToolError {
    what: String,
    result: io::Result<ExitStatus>,
    said: String,
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(status) => write!(f, "`{}`: {status}: {}", self.what, self.said.trim_end()),
            Err(error) => write!(f, "cannot run `{}`: {error}", self.what),
        }
    }
}

impl Error for ToolError {}

/// Logs lie beside the tree, in the folder of the attempt, where git does not see them.
fn beside(tree: &Path, name: &str) -> PathBuf {
    tree.with_file_name(name)
}

/// The last 4 KB: what went wrong comes last.
fn tail(log: &Path) -> String {
    const MOST: usize = 4 * 1024;
    let said = fs::read(log).unwrap_or_default();
    let last = &said[said.len().saturating_sub(MOST)..];
    String::from_utf8_lossy(last).into_owned()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test]
    async fn what_a_tool_has_started_dies_with_the_step() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 1000 & echo $!; wait"]);
        let step = timeout(Duration::from_millis(300), run(shell, &log)).await;
        assert!(step.is_err(), "it was not cut short");
        let started = fs::read_to_string(&log).unwrap();
        let start = Instant::now();
        while runs(started.trim()) {
            assert!(start.elapsed() < Duration::from_secs(5), "process {started} lives on");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// A dead process may still be listed, as a zombie.
    fn runs(pid: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    }
}
