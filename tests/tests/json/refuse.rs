//! Files that are no runs, or not ours.
use std::fs;

use jorb::{
    Error, JsonStore, UnknownState,
    store::{Access, Batch, New, Seeding, Store},
};
use jorb_tests::{
    bench::{Model, Random},
    flow::{Flow, Other},
};

fn error_of(document: &[u8]) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    fs::write(&path, document).unwrap();
    let error = JsonStore::<Flow>::at(&path).open(Access::Drive).err().expect("it is refused");
    assert_eq!(fs::read(&path).unwrap(), document, "what is refused is left alone");
    error
}

#[test]
fn what_is_no_run_is_refused() {
    for (document, reason) in [
        (&b""[..], "it is empty"),
        (b"hello", "line 1 column 1"),
        (b"{\"a\": [1,\n2", "line 2 column 1"),
        (b"\x00\xff\xfe", "line 1"),
        (b"[]", "it is JSON"),
        (b"{\"name\": \"package\"}", "no field `jorb`"),
        (b"{\"jorb\": \"x\"}", "no number of a format"),
        (b"{\"jorb\": 0}", "no number of a format"),
    ] {
        let error = error_of(document);
        assert!(matches!(error, Error::NotARun { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn a_damaged_document_says_where() {
    for (document, reason) in [
        (&b"{\"jorb\": 1,\n \"jobs\": [{\"state\""[..], "line 2 column 18"),
        (b"{\"jorb\": 1,\n \"jobs\": [{\"stat\": \"Edit\"}]}", "unknown field `stat`"),
        (b"{\"jorb\": 1,\n \"jobs\": [{\"id\": 1}]}", "missing field `state`"),
        (b"{\"jorb\": 1,\n \"jobs\": [{\"state\": \"Edit\", \"ready_at\": \"soon\"}]}", "a time such as"),
        (
            b"{\"jorb\": 1, \"jobs\": [{\"id\": 1, \"state\": \"Edit\"}, {\"id\": 1, \"state\": \"Edit\"}]}",
            "id 1",
        ),
    ] {
        let error = error_of(document);
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

/// Conformance: `torn_file`. We never leave such a file; who makes one by other means is told.
#[test]
fn a_cut_document_is_never_taken_for_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let mut store = JsonStore::<Flow>::at(&path);
    let header = store.open(Access::Drive).unwrap();
    let mut model = Model::new(store.form(), &header);
    for (batch, _) in model.seed(3, &mut Random::new(1)) {
        store.commit(&batch).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let document = fs::read(&path).unwrap();
    let whole = document.trim_ascii_end().len();
    for length in 0..whole {
        let error = error_of(&document[..length]);
        assert!(matches!(error, Error::Damaged { .. } | Error::NotARun { .. }), "{length}: {error}");
    }
}

#[test]
fn a_newer_format_is_refused() {
    let error = error_of(b"{\"jorb\": 99, \"surprise\": 1}");
    assert!(matches!(error, Error::Format { found: 99, known: 3, .. }), "{error}");
}

#[test]
fn another_workflow_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    JsonStore::<Other>::at(&path).open(Access::Drive).unwrap();
    let error = JsonStore::<Flow>::at(&path).open(Access::Drive).err().unwrap();
    assert!(
        matches!(&error, Error::OtherWorkflow { found, expected: "Flow", .. } if found == "Other"),
        "{error}"
    );
}

/// Conformance: `unknown_state_in_file`.
#[test]
fn unknown_states_are_named_and_counted() {
    let error = error_of(
        br#"{"jorb": 1, "jobs": [{"state": "Bild"}, {"state": "Bild"}, {"state": "Edit"}, {"state": "Zzzzzz"}]}"#,
    );
    let Error::UnknownStates { workflow: "Flow", states, .. } = error else { panic!("{error}") };
    let bild = UnknownState { name: "Bild".into(), jobs: 2, nearest: Some("Build") };
    let strange = UnknownState { name: "Zzzzzz".into(), jobs: 1, nearest: None };
    assert_eq!(states, [bild, strange]);
}

#[test]
fn a_context_of_another_type_is_not_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    fs::write(&path, r#"{"jorb": 1, "jobs": [{"state": "Edit", "context": [1, "two"]}]}"#).unwrap();
    let mut store = JsonStore::<Flow>::at(&path);
    store.open(Access::Drive).unwrap();
    let job = store.page(jorb::JobId(0), 1).unwrap().remove(0).job;
    assert_eq!(format!("{:?}", job.context), r#"[1,"two"]"#);
}

#[test]
fn there_must_be_a_run_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let error = JsonStore::<Flow>::at(&path).open(Access::Read).err().unwrap();
    assert!(matches!(error, Error::NoRun { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "looking makes no files");
    let error = JsonStore::<Flow>::at(folder.path().join("no/run.json")).open(Access::Drive).err().unwrap();
    assert!(matches!(error, Error::Disk { .. }), "{error}");
}

#[test]
fn a_second_process_is_told_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let mut store = JsonStore::<Flow>::at(&path);
    let header = store.open(Access::Drive).unwrap();
    let error = JsonStore::<Flow>::at(&path).open(Access::Drive).err().unwrap();
    assert!(matches!(error, Error::InUse { pid, .. } if pid == std::process::id()), "{error}");
    let mut reader = JsonStore::<Flow>::at(&path);
    reader.open(Access::Read).unwrap();
    let error = reader.commit(&Batch::new(header.next)).unwrap_err();
    assert!(error.to_string().contains("only to be read"), "{error}");
}

#[test]
fn more_jobs_than_it_is_made_for_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = JsonStore::<Flow>::at(folder.path().join("run.json"));
    let header = store.open(Access::Drive).unwrap();
    let mut model = Model::new(store.form(), &header);
    let [(mut batch, _), _] = model.seed(1, &mut Random::new(2));
    let New { record, .. } = batch.added.remove(0);
    let seeds = |from: u64, to: u64| {
        let mut batch = Batch { seeding: Some(Seeding::Begun), ..Batch::new(header.next) };
        batch.next.job = to;
        for id in from..to {
            let mut record = record.clone();
            record.job.id.0 = id;
            batch.added.push(New { record, once: None });
        }
        batch
    };
    store.commit(&seeds(0, 99_999)).unwrap();
    let error = store.commit(&seeds(99_999, 100_001)).unwrap_err();
    assert!(matches!(error, Error::TooLarge { most: 100_000, .. }), "{error}");
    assert!(store.job(jorb::JobId(99_999)).unwrap().is_none(), "nothing was changed");
    store.commit(&seeds(99_999, 100_000)).unwrap();
    assert!(store.job(jorb::JobId(99_999)).unwrap().is_some());
}
