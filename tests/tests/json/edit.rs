//! What a person may do to the document.
use std::fs;

use jorb::{
    Form, JobId, JsonStore, Status, Timestamp,
    store::{Access, Batch, Header, Seeding, Store},
};
use jorb_tests::{
    bench::{Model, Random, T0, tell, tell_record},
    flow::Flow,
};
use tempfile::TempDir;

/// A run whose document was written by hand.
fn by_hand(document: &str) -> (TempDir, JsonStore<Flow>, Header<Flow>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    fs::write(&path, document).unwrap();
    let mut store = JsonStore::at(&path);
    let header = store.open(Access::Drive).unwrap();
    (folder, store, header)
}

/// A document as this store writes it, of one job that ended.
const FAILED: &str = r#"{
  "jorb": 1, "workflow": "Flow", "run": "7f3c3c7e-7b53-4c9c-9be0-0c5d6c1a0a55", "generation": 5,
  "seeding": "done", "overall": "all",
  "next": {"job": 1, "seq": 9, "line": 3, "error": 2, "time": 1767225600000},
  "jobs": [
    {
      "id": 0,
      "state": "BuildFailed",
      "status": "ended",
      "step": 2,
      "attempt": 1,
      "data": {"code": 7},
      "context": {"text": "", "n": 0},
      "ready_at": "2026-01-01T00:00:01.5Z",
      "seq": 8,
      "once": {"in": "Edit", "key": "k"},
      "errors": {"Build": [{"id": 1, "at": "2026-01-01T00:00:01Z", "step": 1, "attempt": 1, "error": "e"}]},
      "history": [
        {"id": 1, "step": 0, "attempt": 1, "from": "Edit", "to": "Build", "at": "2026-01-01T00:00:00Z"},
        {"id": 2, "step": 1, "attempt": 2, "from": "Build", "to": "BuildFailed", "at": "2026-01-01T00:00:01.5Z"}
      ]
    }
  ]
}"#;

fn is_moved_by_hand(store: &mut JsonStore<Flow>, header: &Header<Flow>) {
    let record = store.job(JobId(0)).unwrap().unwrap();
    let job = &record.job;
    assert_eq!((job.state.name(), job.status), ("Edit", Status::Ready));
    assert_eq!((job.step, job.attempt, job.errors), (3, 1, 1));
    assert!(!record.placed);
    assert!(tell_record(&record).contains("Edit ready"), "its fields are those of the new state");
    assert_eq!(header.counts.get(job.state, Status::Ready), 1);
    assert_eq!(header.counts.total(), 1);
    assert_eq!(store.moving().unwrap().len(), 1);
    assert_eq!(store.once(JobId(0)).unwrap().unwrap().state.name(), "Edit");
    let past = store.story(JobId(0)).unwrap();
    let last = past.lines.last().unwrap();
    assert_eq!((&*last.from, &*last.to, last.attempt), ("BuildFailed", "Edit", 0));
    assert_eq!((past.lines.len(), past.errors.len()), (3, 1));
}

#[test]
fn an_ended_job_whose_state_was_replaced_runs_again() {
    let edited = FAILED.replace(r#""state": "BuildFailed""#, r#""state": "Edit""#);
    let (folder, mut store, header) = by_hand(&edited);
    is_moved_by_hand(&mut store, &header);
    drop(store);
    // And it is moved once, not each time.
    let mut store = JsonStore::at(folder.path().join("run.json"));
    let header = store.open(Access::Drive).unwrap();
    is_moved_by_hand(&mut store, &header);
}

#[test]
fn what_we_write_can_be_found_and_replaced() {
    let (folder, mut store, header) = by_hand(FAILED);
    store.commit(&Batch { clean: Some(true), ..Batch::new(header.next) }).unwrap();
    store.close().unwrap();
    drop(store);
    let path = folder.path().join("run.json");
    let document = fs::read_to_string(&path).unwrap();
    assert!(document.contains("\n      \"state\": \"BuildFailed\",\n"), "{document}");
    assert_eq!(document.matches("\"state\":").count(), 1, "no other field has this name: {document}");
    fs::write(&path, document.replace(r#""state": "BuildFailed""#, r#""state": "Edit""#)).unwrap();
    let mut store = JsonStore::at(&path);
    let header = store.open(Access::Drive).unwrap();
    is_moved_by_hand(&mut store, &header);
}

#[test]
fn a_document_that_was_formatted_anew_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let mut store = JsonStore::at(&path);
    let header = store.open(Access::Drive).unwrap();
    let mut model = Model::new(Form::Json, &header);
    let mut random = Random::new(2);
    for (batch, _) in model.seed(5, &mut random) {
        store.commit(&batch).unwrap();
    }
    for _ in 0..30 {
        store.commit(&model.step(&mut random).0).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let expected = model.tell();
    let document: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    for text in [serde_json::to_string(&document).unwrap(), serde_json::to_string_pretty(&document).unwrap()]
    {
        fs::write(&path, text).unwrap();
        let mut store = JsonStore::<Flow>::at(&path);
        let header = store.open(Access::Drive).unwrap();
        assert_eq!(tell(&mut store, &header), expected);
        // What it now commits must be one line per batch.
        let mut change = |id| {
            let record = store.job(JobId(id)).unwrap().unwrap();
            let before = record.standing();
            jorb::store::Change { before, now: Box::new(record), line: None, error: None, kicks: Vec::new() }
        };
        let batch = Batch { changes: vec![change(0)], ..Batch::new(header.next) };
        store.commit(&batch).unwrap();
        drop(store);
        let mut store = JsonStore::<Flow>::at(&path);
        let header = store.open(Access::Drive).unwrap();
        assert_eq!(tell(&mut store, &header), expected);
    }
}

#[test]
fn a_job_that_was_parked_is_ready_when_its_state_was_replaced() {
    let document = |state: &str| {
        format!(
            r#"{{"jorb": 1, "jobs": [{{"id": 4, "state": "{state}", "status": "parked", "step": 0, "attempt": 4,
                "context": {{"text": "", "n": 1}}, "data": {{"tree": "t"}},
                "errors": {{"Build": [{{"error": "e"}}]}}}}]}}"#
        )
    };
    let job = |state| {
        let (_folder, mut store, _) = by_hand(&document(state));
        store.job(JobId(4)).unwrap().unwrap().job
    };
    let parked = job("Build");
    assert_eq!((parked.status, parked.attempt, parked.step), (Status::Parked, 4, 0));
    let edited = job("Edit");
    assert_eq!((edited.status, edited.attempt, edited.step), (Status::Ready, 1, 1));
    let ended = job("Done");
    assert_eq!((ended.status, ended.attempt, ended.step), (Status::Ended, 1, 1));
}

#[test]
fn a_run_can_be_written_by_hand() {
    let (folder, mut store, header) = by_hand(
        r#"{"jorb": 1, "jobs": [
            {"state": "Edit", "context": {"text": "a", "n": 1}},
            {"id": 7, "state": "Done", "context": {"text": "b", "n": 2}},
            {"state": "Build", "data": {"tree": "t"}, "context": {"text": "c", "n": 3}, "parent": {"job": 7, "n": 2}}
        ]}"#,
    );
    assert_eq!(header.seeding, Seeding::Done);
    assert_eq!((header.counts.of(Status::Ready), header.counts.of(Status::Ended)), (2, 1));
    assert_eq!(header.next.job, 10);
    let kicked = store.job(JobId(7)).unwrap().unwrap().job.kicked;
    assert_eq!(kicked, 3, "no kick gets the name of one that is there");
    let child = store.child(JobId(7), 2).unwrap().unwrap();
    assert!(child.0 > 7);
    let told = tell(&mut store, &header);
    drop(store);
    let mut store = JsonStore::<Flow>::at(folder.path().join("run.json"));
    let again = store.open(Access::Drive).unwrap();
    assert_eq!(again.run, header.run, "the run keeps the identity that it was given");
    assert_eq!(tell(&mut store, &again), told);
}

#[test]
fn an_old_name_of_a_state_is_known() {
    let (_folder, mut store, _) = by_hand(
        r#"{"jorb": 1, "held": ["Change", "Gone"], "jobs": [{"state": "Change", "context": {"text": "", "n": 0},
            "history": [{"from": "Strange", "to": "Change"}], "once": {"state": "Change", "key": "k"}}]}"#,
    );
    let job = store.job(JobId(0)).unwrap().unwrap().job;
    assert_eq!((job.state.name(), job.step), ("Edit", 0), "it was not moved by hand");
    assert_eq!(store.once(JobId(0)).unwrap().unwrap().state.name(), "Edit");
    assert_eq!(&*store.story(JobId(0)).unwrap().lines[0].from, "Strange");
}

#[test]
fn times_are_written_for_people_and_exact() {
    let (folder, mut store, header) = by_hand(FAILED);
    assert_eq!(store.job(JobId(0)).unwrap().unwrap().job.ready_at, Timestamp(T0 + 1500));
    store.commit(&Batch::new(header.next)).unwrap();
    store.close().unwrap();
    let document = fs::read_to_string(folder.path().join("run.json")).unwrap();
    assert!(document.contains(r#""ready_at": "2026-01-01T00:00:01.5Z""#), "{document}");
}
