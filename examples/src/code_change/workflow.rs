//! The workflow: its states, and what is done in each.
//!
//! A step that was cut short, by `kill -9` too, is done again. So each is idempotent: it works in a folder of its own (an
//! [`Attempt`](app::Attempt)), on a copy of what the step before it has left, and puts the result in place with one
//! rename. Three are different: [`scan`] touches no file, [`trial_build`] keeps only its answer, [`send`] cannot be undone.
use std::{fs, path::PathBuf};

use jorb::prelude::*;
use tokio::task::spawn_blocking;

use crate::{
    app::{self, App},
    edit::{LINE, forbid_unsafe_code},
    manifest::{folders, prepare},
    tool::{cargo_check, git},
};

#[cfg(test)]
mod tests;

/// The life of one package, and of the job that finds them all.
#[workflow(app = App, overall = Order, job = Option<Package>)]
#[derive(Debug, Clone)]
pub(crate) enum CodeChange {
    /// List the packages and kick a job for each.
    #[state(initial, next(Scanned), kick(Checkout))]
    Scan,
    /// Every package has its job.
    #[state(terminal)]
    Scanned,
    /// Copy the sources, make the manifest resolve offline, commit that as the baseline.
    #[state(next(Edit))]
    Checkout,
    /// Change the code.
    #[state(next(Add, Unchanged))]
    Edit,
    /// `git add`.
    #[state(next(Commit))]
    Add,
    /// `git commit`.
    #[state(next(TrialBuild))]
    Commit,
    /// `cargo check`: does it still compile?
    #[state(next(Patch, BuildFailed))]
    TrialBuild,
    /// `git format-patch` into the outbox.
    #[state(next(Send))]
    Patch,
    /// Append the patch to the outbox's mbox file.
    #[state(next(Sent))]
    Send,
    /// The change is on its way.
    #[state(terminal)]
    Sent,
    /// There was nothing to change.
    #[state(terminal)]
    Unchanged,
    /// With the change the package does not compile; or it does not without it.
    #[state(terminal)]
    BuildFailed {
        /// What cargo says.
        log: String,
    },
}

/// What all jobs share.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Folders of packages.
    pub(crate) packages: Vec<PathBuf>,
    /// How many packages, the smallest first.
    pub(crate) limit: usize,
}

/// What a job is about: one package. `Scan` is about all of them, so its job has `None`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Package {
    /// With its version, as its folder is called.
    pub(crate) name: String,
    /// Where it is. Nothing is changed there.
    pub(crate) source: PathBuf,
}

/// A plain `fn`, because it reads thousands of files: it runs beside the async steps, not among them.
#[state]
fn scan(_: code_change::Scan, cx: &mut Cx<CodeChange>) -> Outcome<code_change::Scan> {
    let mut packages = Vec::new();
    for folder in &cx.overall.packages {
        for source in folders(folder)?.into_iter().filter(|source| source.join("Cargo.toml").is_file()) {
            let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
            packages.push((app::size(&source)?, Package { name, source }));
        }
    }
    if packages.is_empty() {
        return Err(Fault::fatal(format!("no packages in {:?}", cx.overall.packages)));
    }
    packages.sort_by(|(a, x), (b, y)| (a, &x.name).cmp(&(b, &y.name)));
    packages.dedup_by(|(_, x), (_, y)| x.name == y.name);
    packages.truncate(cx.overall.limit);
    // The jobs are made in the same commit that moves this one on: a second scan makes none twice. `once` is for two
    // folders that hold a package of the same name, which would share a place to work.
    let jobs = packages.into_iter().map(|(_, package)| {
        let name = package.name.clone();
        Kick::new(code_change::Checkout, Some(package)).once(name)
    });
    Ok(Next::to(code_change::Scanned).kick(jobs))
}

#[state(concurrency = 2, retries = 2, timeout = "1m")]
async fn checkout(_: code_change::Checkout, cx: &mut Cx<CodeChange>) -> Outcome<code_change::Checkout> {
    let Package { name, source } = package(cx)?.clone();
    let attempt = cx.app.attempt()?;
    let tree = attempt.tree();
    let (app, to) = (cx.app.clone(), tree.clone());
    spawn_blocking(move || -> Result<(), Fault> {
        app::copy(&source, &to)?;
        // The versions that its authors had, and the toolchain: neither need be on this machine.
        for pinned in ["Cargo.lock", "rust-toolchain", "rust-toolchain.toml", ".cargo/config.toml"] {
            let _ = fs::remove_file(to.join(pinned));
        }
        let manifest = to.join("Cargo.toml");
        let text = prepare(&fs::read_to_string(&manifest)?, &app.cache).map_err(Fault::fatal)?;
        Ok(fs::write(manifest, text)?)
    })
    .await??;
    git(&tree, &["init", "--quiet", "--template="]).await?;
    // What was published is the baseline, also what its `.gitignore` names.
    git(&tree, &["add", "--all", "--force"]).await?;
    git(&tree, &["commit", "--quiet", "--message", &format!("Import {name}")]).await?;
    attempt.keep(&cx.app.tree(&name, "checkout"))?;
    Ok(Next::to(code_change::Edit))
}

/// The trap of this step: an attempt that is killed after it has changed the file, but before its commit, must not make
/// the next attempt find nothing to change. It does not, because it starts from what `Checkout` has left.
#[state(concurrency = 2, retries = 2)]
fn edit(_: code_change::Edit, cx: &mut Cx<CodeChange>) -> Outcome<code_change::Edit> {
    let name = &package(cx)?.name;
    let attempt = cx.app.attempt()?;
    app::copy(&cx.app.tree(name, "checkout"), &attempt.tree())?;
    if !forbid_unsafe_code(&attempt.tree())? {
        return Ok(Next::to(code_change::Unchanged));
    }
    attempt.keep(&cx.app.tree(name, "edit"))?;
    Ok(Next::to(code_change::Add))
}

#[state(concurrency = 2, retries = 2, timeout = "1m")]
async fn add(_: code_change::Add, cx: &mut Cx<CodeChange>) -> Outcome<code_change::Add> {
    let attempt = take(cx, "edit").await?;
    git(&attempt.tree(), &["add", "--update"]).await?;
    attempt.keep(&cx.app.tree(&package(cx)?.name, "add"))?;
    Ok(Next::to(code_change::Commit))
}

#[state(concurrency = 2, retries = 2, timeout = "1m")]
async fn commit(_: code_change::Commit, cx: &mut Cx<CodeChange>) -> Outcome<code_change::Commit> {
    let name = &package(cx)?.name;
    let attempt = take(cx, "add").await?;
    let subject = format!("Forbid unsafe code in {name}");
    let body = format!("It has none. With `{LINE}` the compiler keeps it so.");
    git(&attempt.tree(), &["commit", "--quiet", "--message", &subject, "--message", &body]).await?;
    attempt.keep(&cx.app.tree(name, "commit"))?;
    Ok(Next::to(code_change::TrialBuild))
}

/// A build that fails is a result, not an error of this step: the job moves on. An error is when cargo could not say.
#[state(concurrency = 2, retries = 1, timeout = "5m")]
async fn trial_build(
    _: code_change::TrialBuild,
    cx: &mut Cx<CodeChange>,
) -> Outcome<code_change::TrialBuild> {
    // In a copy, because cargo writes a `Cargo.lock`.
    let attempt = take(cx, "commit").await?;
    let target = cx.app.target();
    Ok(match cargo_check(&attempt.tree(), &target).await? {
        Ok(()) => Next::to(code_change::Patch),
        Err(log) => Next::to(code_change::BuildFailed { log }),
    })
}

#[state(concurrency = 2, retries = 2, timeout = "1m")]
async fn patch(_: code_change::Patch, cx: &mut Cx<CodeChange>) -> Outcome<code_change::Patch> {
    let attempt = take(cx, "commit").await?;
    let file = attempt.tree().with_file_name("patch");
    let output = format!("--output={}", file.display());
    git(&attempt.tree(), &["format-patch", "--quiet", "-1", &output]).await?;
    // One rename again: the outbox never holds half a patch.
    fs::rename(file, cx.app.patch(&package(cx)?.name))?;
    Ok(Next::to(code_change::Send))
}

/// The one step that cannot be undone or done in a copy. So it hands over the key of the step, which is the same on
/// every attempt, and the receiver knows what it has already.
#[state(rate = "10/s", retries = 5, backoff = "200ms..10s")]
fn send(_: code_change::Send, cx: &mut Cx<CodeChange>) -> Outcome<code_change::Send> {
    let name = &package(cx)?.name;
    let patch = fs::read_to_string(cx.app.patch(name))?;
    cx.app.outbox.send(&cx.key(), &format!("{name} <{name}@localhost>"), &patch)?;
    Ok(Next::to(code_change::Sent))
}

/// What this job is about.
fn package(cx: &Cx<CodeChange>) -> Result<&Package, Fault> {
    cx.job.as_ref().ok_or_else(|| Fault::fatal("this job is about no package: it belongs in `Scan`"))
}

/// A folder of this attempt's own with a copy of what `step` has left.
async fn take(cx: &Cx<CodeChange>, step: &str) -> Result<app::Attempt, Fault> {
    let attempt = cx.app.attempt()?;
    let (from, to) = (cx.app.tree(&package(cx)?.name, step), attempt.tree());
    spawn_blocking(move || app::copy(&from, &to)).await??;
    Ok(attempt)
}
