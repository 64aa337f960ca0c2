//! A disk that is full.
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use jorb::{
    Error, Form, JobId, JsonStore, Saved,
    store::{Access, Batch, Change, Header, Record, Store},
};
use jorb_tests::{
    bench::{Model, Random, context},
    flow::{Flow, Note},
};

/// What the child that fills the disk is told to fill.
const FILL: &str = "JORB_TEST_FILL";

fn write(
    store: &mut JsonStore<Flow>,
    header: &Header<Flow>,
    record: &mut Record<Flow>,
    n: u64,
    size: usize,
) -> Result<(), Error> {
    let before = record.standing();
    let mut now = record.clone();
    now.seq += 1;
    now.placed = true;
    now.job.context = context(Form::Json, &Note { text: "x".repeat(size), n });
    let change = Change { before, now: Box::new(now.clone()), line: None, error: None, kicks: Vec::new() };
    store.commit(&Batch { changes: vec![change], ..Batch::new(header.next) })?;
    *record = now;
    Ok(())
}

fn number(path: &Path) -> u64 {
    let mut store = JsonStore::<Flow>::at(path);
    store.open(Access::Drive).unwrap();
    let Saved::Json(text) = store.job(JobId(0)).unwrap().unwrap().job.context else { panic!() };
    serde_json::from_str::<Note>(&text).unwrap().n
}

/// Not a test by itself: runs in a process in which no file can be longer than 64 KiB.
#[test]
fn child_that_fills_the_disk() {
    let Some(path) = std::env::var_os(FILL).map(PathBuf::from) else { return };
    let mut store = JsonStore::<Flow>::at(&path);
    let header = store.open(Access::Drive).unwrap();
    let mut record = store.job(JobId(0)).unwrap().unwrap();
    let n = 6;
    for n in 1..=n {
        write(&mut store, &header, &mut record, n, 5_000).unwrap();
    }
    // The disk takes the first half of this one.
    for _ in 0..2 {
        let error = write(&mut store, &header, &mut record, n + 1, 60_000).unwrap_err();
        assert!(matches!(error, Error::Disk { .. }), "{error}");
        assert!(error.io().is_some(), "{error}");
        let Saved::Json(text) = store.job(JobId(0)).unwrap().unwrap().job.context else { panic!() };
        assert_eq!(serde_json::from_str::<Note>(&text).unwrap().n, n, "what failed is not seen");
    }
    // A smaller one that fits is committed behind what is good.
    write(&mut store, &header, &mut record, 1_000_000 + n, 10).unwrap();
    println!("committed {}", 1_000_000 + n);
}

/// As above: closes a run whose document will not fit.
#[test]
fn child_that_closes_on_a_full_disk() {
    let Some(path) = std::env::var_os("JORB_TEST_CLOSE").map(PathBuf::from) else { return };
    let mut store = JsonStore::<Flow>::at(&path);
    let header = store.open(Access::Drive).unwrap();
    let mut record = store.job(JobId(0)).unwrap().unwrap();
    let document = fs::read(&path).unwrap();
    write(&mut store, &header, &mut record, 5, 40_000).unwrap();
    let error = store.close().unwrap_err();
    assert!(matches!(error, Error::Disk { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), document);
    assert!(!path.with_extension("json.tmp").exists(), "a full disk gets its bytes back");
    // The commits after that are as durable as before.
    write(&mut store, &header, &mut record, 6, 10).unwrap();
}

/// Runs a test of this file where files can be only so long.
fn in_child(test: &str, variable: &str, path: &Path, kib: u32) -> String {
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" --exact {test} --nocapture", kib * 2);
    let child = Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(variable, path)
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{out}{}", String::from_utf8_lossy(&child.stderr));
    assert!(out.contains("1 passed"), "{out}");
    out
}

/// A run with one job that moves, and so many bytes of jobs that do not.
fn run(path: &Path, ballast: usize) {
    let mut store = JsonStore::<Flow>::at(path);
    let header = store.open(Access::Drive).unwrap();
    let mut model = Model::new(Form::Json, &header);
    let [(mut batch, _), (done, _)] = model.seed(2, &mut Random::new(2));
    batch.added[1].record.job.context = context(Form::Json, &Note { text: "b".repeat(ballast), n: 0 });
    batch.added[1].once = None;
    let state = batch.added[0].record.job.state;
    store.commit(&batch).unwrap();
    store.commit(&done).unwrap();
    store.commit(&Batch { admitted: vec![(JobId(0), state)], ..Batch::new(model.header.next) }).unwrap();
    store.close().unwrap();
}

/// Conformance: `full_disk`.
#[test]
fn a_full_disk_costs_no_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    run(&path, 0);
    let out = in_child("disk::child_that_fills_the_disk", FILL, &path, 64);
    let committed = out.lines().find_map(|line| line.split("committed ").nth(1)).unwrap();
    assert_eq!(number(&path), committed.trim().parse::<u64>().unwrap());
}

#[test]
fn a_document_that_does_not_fit_leaves_the_old_one_and_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    run(&path, 40_000);
    in_child("disk::child_that_closes_on_a_full_disk", "JORB_TEST_CLOSE", &path, 64);
    assert_eq!(number(&path), 6);
}

#[test]
fn a_log_that_cannot_be_written_is_an_error_of_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    run(&path, 0);
    let mut store = JsonStore::<Flow>::at(&path);
    let header = store.open(Access::Drive).unwrap();
    fs::create_dir(folder.path().join("run.json.log")).unwrap();
    let error = store.commit(&Batch::new(header.next)).unwrap_err();
    assert!(matches!(error, Error::Disk { .. }), "{error}");
    drop(store);
    fs::remove_dir(folder.path().join("run.json.log")).unwrap();
    assert_eq!(number(&path), 0);
}

#[cfg(unix)]
#[test]
fn the_document_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    run(&path, 0);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut store = JsonStore::<Flow>::at(&path);
    let header = store.open(Access::Drive).unwrap();
    store.commit(&Batch::new(header.next)).unwrap();
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("run.json.log"), 0o600);
    store.close().unwrap();
    assert_eq!(mode("run.json"), 0o600);
}
