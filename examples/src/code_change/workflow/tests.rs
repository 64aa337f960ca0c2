//! Each step twice, as after a `kill -9` that came when it was done, but not committed.
use std::{path::Path, process::Command};

use tempfile::TempDir;

use super::*;

type Result = std::result::Result<(), Fault>;

#[tokio::test]
async fn a_step_done_twice_does_what_it_does_once() -> Result {
    let (dir, mut cx) = package("pub fn a() {}\n")?;
    for _ in 0..2 {
        assert_eq!(to(&checkout(code_change::Checkout, &mut cx).await?), "Edit");
    }
    for _ in 0..2 {
        assert_eq!(to(&edit(code_change::Edit, &mut cx)?), "Add");
    }
    for _ in 0..2 {
        assert_eq!(to(&add(code_change::Add, &mut cx).await?), "Commit");
    }
    for _ in 0..2 {
        assert_eq!(to(&commit(code_change::Commit, &mut cx).await?), "TrialBuild");
    }
    assert_eq!(subjects(&cx), ["Forbid unsafe code in p-1.0.0", "Import p-1.0.0"]);
    for _ in 0..2 {
        assert_eq!(to(&trial_build(code_change::TrialBuild, &mut cx).await?), "Patch");
    }
    for _ in 0..2 {
        assert_eq!(to(&patch(code_change::Patch, &mut cx).await?), "Send");
    }
    for _ in 0..2 {
        assert_eq!(to(&send(code_change::Send, &mut cx)?), "Sent");
    }
    let mbox = fs::read_to_string(dir.path().join("work/outbox.mbox"))?;
    assert_eq!(mbox.matches("\n+#![forbid(unsafe_code)]\n").count(), 1, "{mbox}");
    assert_eq!(fs::read_dir(dir.path().join("work/attempts"))?.count(), 0, "attempts are left");
    Ok(())
}

/// What `redrive --from BuildFailed --to Edit` does to a job.
#[tokio::test]
async fn a_job_that_is_sent_back_changes_the_baseline_again() -> Result {
    let (_dir, mut cx) = package("pub fn a() {}\n")?;
    assert_eq!(to(&checkout(code_change::Checkout, &mut cx).await?), "Edit");
    for _ in 0..2 {
        edit_and_commit(&mut cx).await?;
        assert_eq!(subjects(&cx).len(), 2);
    }
    Ok(())
}

#[tokio::test]
async fn a_package_without_need_is_unchanged() -> Result {
    let (_dir, mut cx) = package("#![forbid(unsafe_code)]\n")?;
    assert_eq!(to(&checkout(code_change::Checkout, &mut cx).await?), "Edit");
    assert_eq!(to(&edit(code_change::Edit, &mut cx)?), "Unchanged");
    Ok(())
}

#[tokio::test]
async fn a_package_that_is_unsafe_fails_with_what_cargo_says() -> Result {
    let (_dir, mut cx) = package("pub fn a() { unsafe {} }\n")?;
    assert_eq!(to(&checkout(code_change::Checkout, &mut cx).await?), "Edit");
    edit_and_commit(&mut cx).await?;
    let next = trial_build(code_change::TrialBuild, &mut cx).await?;
    let CodeChange::BuildFailed { log } = &next.as_move().to else { panic!("{next:?}") };
    assert!(log.contains("src/lib.rs:2:14: error: usage of an `unsafe` block"), "{log}");
    Ok(())
}

#[test]
fn a_scan_kicks_the_smallest_packages_first() -> Result {
    let (dir, mut cx) = package("")?;
    for (name, source) in
        [("big", "// as long as it is\n"), ("small", "//\n"), ("biggest", "// longer than that\n// ")]
    {
        write_package(&dir.path().join("packages").join(name), source)?;
    }
    fs::create_dir(dir.path().join("packages/empty"))?;
    let next = scan(code_change::Scan, &mut cx)?;
    let kicked: Vec<_> =
        next.as_move().kicks.iter().map(|kick| kick.context.as_ref().map(|p| p.name.as_str())).collect();
    assert_eq!(kicked, [Some("p-1.0.0"), Some("small"), Some("big")]);
    Ok(())
}

/// A work folder, and the context of a job with one package, which has `source`.
fn package(source: &str) -> std::result::Result<(TempDir, Cx<CodeChange>), Fault> {
    let dir = tempfile::tempdir()?;
    let app = App::open(&dir.path().join("work"), Path::new("/nowhere"))?;
    let order = Order { packages: vec![dir.path().join("packages")], limit: 3 };
    let package = Package { name: "p-1.0.0".into(), source: dir.path().join("packages/p-1.0.0") };
    write_package(&package.source, source)?;
    Ok((dir, Cx::test(app, order, Some(package))))
}

fn write_package(at: &Path, source: &str) -> std::io::Result<()> {
    fs::create_dir_all(at.join("src"))?;
    fs::write(at.join("src/lib.rs"), source)?;
    fs::write(at.join("Cargo.toml"), "[package]\nname = 'p'\nversion = '1.0.0'\nedition = '2021'\n")
}

/// A cargo that outlives its killed parent fails for want of its folder, and must not pass that on.
#[tokio::test]
async fn what_rustc_said_in_one_build_is_not_kept_for_the_next() -> Result {
    let (dir, mut cx) = package("pub fn a() {}\n")?;
    let _ = checkout(code_change::Checkout, &mut cx).await?;
    edit_and_commit(&mut cx).await?;
    let next = trial_build(code_change::TrialBuild, &mut cx).await?;
    assert_eq!(next.as_move().to.name(), "Patch");
    let target = dir.path().join("work/target/1");
    assert!(target.join("debug").is_dir() && !target.join(".rustc_info.json").exists());
    Ok(())
}

async fn edit_and_commit(cx: &mut Cx<CodeChange>) -> Result {
    assert_eq!(to(&edit(code_change::Edit, cx)?), "Add");
    assert_eq!(to(&add(code_change::Add, cx).await?), "Commit");
    assert_eq!(to(&commit(code_change::Commit, cx).await?), "TrialBuild");
    Ok(())
}

fn to<S: State>(next: &Next<S>) -> &'static str {
    next.as_move().to.name()
}

/// Of the commits, the latest first.
fn subjects(cx: &Cx<CodeChange>) -> Vec<String> {
    let tree = cx.app.tree("p-1.0.0", "commit");
    let mut git = Command::new("git");
    // As in a hook of the repository that this is a test of.
    git.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
    let log = git.arg("-C").arg(tree).args(["log", "--format=%s"]).output().unwrap();
    String::from_utf8(log.stdout).unwrap().lines().map(str::to_owned).collect()
}
