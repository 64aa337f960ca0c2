//! Kills at every point of a commit and of a rewrite.
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use jorb::{
    Error, Form, JobId, JsonStore, Saved, Status,
    store::{Access, Batch, Change, Store},
};
use jorb_tests::{
    bench::{Model, Random, context, tell},
    flow::{Flow, Note},
};

/// What the run in a folder is: its text, as any process would see it.
fn seen(path: &Path, access: Access) -> Result<String, Error> {
    let mut store = JsonStore::<Flow>::at(path);
    let header = store.open(access)?;
    Ok(tell(&mut store, &header))
}

/// Files of a run at some time.
#[derive(Clone, Default)]
struct Files {
    document: Option<Vec<u8>>,
    log: Option<Vec<u8>>,
    new: Option<Vec<u8>>,
}

impl Files {
    fn of(path: &Path) -> Self {
        let read = |suffix| fs::read(beside(path, suffix)).ok();
        Files { document: read(""), log: read(".log"), new: read(".tmp") }
    }

    fn lay(&self, path: &Path) {
        for (suffix, bytes) in [("", &self.document), (".log", &self.log), (".tmp", &self.new)] {
            if let Some(bytes) = bytes {
                fs::write(beside(path, suffix), bytes).unwrap();
            }
        }
    }

    /// What a process sees that looks at these files.
    fn looked_at(&self) -> Result<String, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        self.lay(&path);
        seen(&path, Access::Read)
    }

    /// What a process sees that finds these files; the same when it only looks, and when it comes again.
    fn seen(&self) -> Result<String, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        self.lay(&path);
        let read = seen(&path, Access::Read)?;
        let driven = seen(&path, Access::Drive)?;
        assert_eq!(read, driven);
        assert_eq!(driven, seen(&path, Access::Drive)?);
        Ok(driven)
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    format!("{}{suffix}", path.display()).into()
}

/// The files after each commit, from the first document on, and what is seen then; and the files after a rewrite.
fn history(commits: usize) -> (Vec<(Files, String)>, Files) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let mut store = JsonStore::at(&path);
    let header = store.open(Access::Drive).unwrap();
    let mut model = Model::new(Form::Json, &header);
    let mut random = Random::new(11);
    for (batch, _) in model.seed(3, &mut random) {
        store.commit(&batch).unwrap();
    }
    store.close().unwrap();
    let mut then = vec![(Files::of(&path), model.tell())];
    for _ in 0..commits {
        let (batch, _) = model.step(&mut random);
        store.commit(&batch).unwrap();
        then.push((Files::of(&path), model.tell()));
    }
    store.close().unwrap();
    (then, Files::of(&path))
}

#[test]
fn a_kill_at_every_byte_of_the_log_leaves_the_commits_before_it() {
    let (then, _) = history(6);
    let (last, _) = then.last().unwrap();
    let log = last.log.clone().unwrap();
    for length in 0..=log.len() {
        let cut = &log[..length];
        let commits = cut.split(|b| *b == b'\n').count() - 1;
        let files = Files { log: Some(cut.to_vec()), ..last.clone() };
        assert_eq!(files.looked_at().unwrap(), then[commits].1, "cut at {length}");
        // Where a line ends, and here and there.
        let near_an_end = log[length.saturating_sub(2)..].iter().take(3).any(|b| *b == b'\n');
        if near_an_end || length % 101 == 0 {
            assert_eq!(files.seen().unwrap(), then[commits].1, "cut at {length}");
        }
    }
}

#[test]
fn a_commit_after_a_torn_one_is_not_hidden() {
    let (then, _) = history(3);
    let (last, _) = then.last().unwrap();
    let log = last.log.clone().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    fs::write(&path, last.document.as_ref().unwrap()).unwrap();
    fs::write(beside(&path, ".log"), &log[..log.len() - 5]).unwrap();
    let mut store = JsonStore::<Flow>::at(&path);
    let header = store.open(Access::Drive).unwrap();
    store.commit(&Batch { clean: Some(!header.clean), ..Batch::new(header.next) }).unwrap();
    drop(store);
    let mut store = JsonStore::<Flow>::at(&path);
    assert_eq!(store.open(Access::Drive).unwrap().clean, !header.clean);
}

#[test]
fn a_changed_byte_in_the_middle_is_damage_and_in_the_last_line_a_torn_line() {
    let (then, _) = history(3);
    let (last, _) = then.last().unwrap();
    let log = last.log.clone().unwrap();
    let log_end = log.len();
    let last_line = log[..log.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for at in (0..log.len()).filter(|at| at % 3 == 0 || log[*at] == b'\n') {
        let mut log = log.clone();
        log[at] = if log[at] == b'7' { b'8' } else { b'7' };
        let files = Files { log: Some(log), ..last.clone() };
        match files.looked_at() {
            Ok(seen) if at >= last_line => assert_eq!(seen, then[then.len() - 2].1, "at {at}"),
            Err(Error::Damaged { .. }) if at < last_line || at + 1 == log_end => {}
            Ok(_) => panic!("the damage at {at} is not seen"),
            Err(other) => panic!("at {at}: {other}"),
        }
    }
}

#[test]
fn a_kill_at_every_point_of_a_rewrite_leaves_all_commits() {
    let (then, after) = history(4);
    let (last, told) = then.last().unwrap();
    let document = after.document.clone().unwrap();
    assert!(after.log.is_none(), "a closed run is one file");
    // While the new document is written.
    for length in (0..document.len()).step_by(97) {
        let files = Files { new: Some(document[..length].to_vec()), ..last.clone() };
        assert_eq!(files.seen().unwrap(), *told);
    }
    // It has its name, and the log is not emptied, or only in part, or not removed.
    let log = last.log.clone().unwrap();
    for length in (0..=log.len()).step_by(61).chain([log.len()]) {
        let files = Files { log: Some(log[..length].to_vec()), ..after.clone() };
        assert_eq!(files.seen().unwrap(), *told);
    }
    assert_eq!(after.seen().unwrap(), *told);
}

#[test]
fn a_log_that_is_newer_than_the_document_is_damage() {
    let (then, after) = history(2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    fs::write(&path, after.document.unwrap()).unwrap();
    let mut store = JsonStore::<Flow>::at(&path);
    let header = store.open(Access::Drive).unwrap();
    store.commit(&Batch::new(header.next)).unwrap();
    drop(store);
    fs::write(&path, then[0].0.document.as_ref().unwrap()).unwrap();
    let error = seen(&path, Access::Drive).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("newer document"), "{error}");
}

#[test]
fn a_log_of_another_run_is_ignored() {
    let (then, _) = history(2);
    let (other, _) = history(1);
    let files = Files { log: other[1].0.log.clone(), ..then[0].0.clone() };
    assert_eq!(files.seen().unwrap(), then[0].1);
}

/// Conformance: `torn_file`, and that one may look while another process drives.
#[test]
fn a_reader_sees_commits_in_order_while_the_document_is_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let mut store = JsonStore::at(&path);
    let header = store.open(Access::Drive).unwrap();
    let mut model = Model::new(Form::Json, &header);
    for (batch, _) in model.seed(1, &mut Random::new(1)) {
        store.commit(&batch).unwrap();
    }
    let mut record = store.job(JobId(0)).unwrap().unwrap();
    let next = model.header.next;
    store.commit(&Batch { admitted: vec![(JobId(0), record.job.state)], ..Batch::new(next) }).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=60 {
                let before = record.standing();
                record.seq += 1;
                record.job.context = context(Form::Json, &Note { text: "x".repeat(100_000), n });
                let now = record.clone();
                let change =
                    Change { before, now: Box::new(now), line: None, error: None, kicks: Vec::new() };
                store.commit(&Batch { changes: vec![change], ..Batch::new(next) }).unwrap();
            }
            store.close().unwrap();
            done.store(true, Ordering::Release);
        });
        let mut newest = 0;
        loop {
            let last = done.load(Ordering::Acquire);
            let mut reader = JsonStore::<Flow>::at(&path);
            reader.open(Access::Read).unwrap();
            let Saved::Json(text) = reader.job(JobId(0)).unwrap().unwrap().job.context else { panic!() };
            let note: Note = serde_json::from_str(&text).unwrap();
            assert!(note.n >= newest, "{} after {newest}", note.n);
            newest = note.n;
            if last {
                break;
            }
        }
        assert_eq!(newest, 60);
    });
    let generation = fs::read_to_string(&path).unwrap();
    assert!(!generation.contains("\"generation\": 2,"), "it was rewritten in between");
    assert_eq!(Status::ALL.len(), 5);
}
