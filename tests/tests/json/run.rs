//! Runs that are driven from a document.
use std::fs;

use jorb::{JsonStore, Kick, Processor, Run};
use jorb_tests::flow::{Flow, Note, flow};

fn job(n: u64) -> Kick<flow::Edit> {
    Kick::new(flow::Edit, Note { text: String::new(), n })
}

async fn exec(run: &mut Run<Flow>) -> u64 {
    let summary = Processor::new(()).exec(run).await.unwrap();
    summary.states.iter().find(|state| state.name == "Done").unwrap().ended
}

#[tokio::test]
async fn a_run_is_driven_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let mut run = Run::open(JsonStore::<Flow>::at(&path)).unwrap();
    run.seed("all".into(), |jobs| jobs.extend((0..10).map(job))).unwrap();
    assert_eq!(exec(&mut run).await, 10);
    run.add(job(10)).unwrap().unwrap();
    assert_eq!(exec(&mut run).await, 11);
    drop(run);
    let mut run = Run::open(JsonStore::<Flow>::at(&path)).unwrap();
    assert_eq!(exec(&mut run).await, 11);
    assert!(!path.with_extension("json.log").exists(), "a clean stop leaves one file");
    drop(run);
    // Find and replace.
    let document = fs::read_to_string(&path).unwrap();
    assert_eq!(document.matches(r#""state": "Done""#).count(), 11);
    fs::write(&path, document.replace(r#""state": "Done""#, r#""state": "Edit""#)).unwrap();
    let mut run = Run::open(JsonStore::<Flow>::at(&path)).unwrap();
    let summary = Processor::new(()).exec(&mut run).await.unwrap();
    assert_eq!(summary.moves, 22);
}

#[tokio::test]
async fn jobs_that_were_edited_before_anybody_looked_at_them_are_run_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let mut run = Run::open(JsonStore::<Flow>::at(&path)).unwrap();
    run.seed("all".into(), |jobs| jobs.extend((0..4).map(job))).unwrap();
    drop(run);
    // It was not closed; opening it once to look after it makes the document.
    drop(Run::open(JsonStore::<Flow>::at(&path)).unwrap());
    let document = fs::read_to_string(&path).unwrap();
    fs::write(&path, document.replacen(r#""state": "Edit""#, r#""state": "Done""#, 2)).unwrap();
    let mut run = Run::open(JsonStore::<Flow>::at(&path)).unwrap();
    let summary = Processor::new(()).exec(&mut run).await.unwrap();
    assert_eq!(summary.moves, 4, "two of them had ended");
    assert_eq!(exec(&mut run).await, 4);
}

#[tokio::test]
async fn a_run_that_was_written_by_hand_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let jobs = r#"{"state": "Edit", "context": {"text": "", "n": 0}},
        {"state": "Build", "data": {"tree": "t"}, "context": {"text": "", "n": 1}}"#;
    fs::write(&path, format!(r#"{{"jorb": 1, "overall": "all", "jobs": [{jobs}]}}"#)).unwrap();
    let mut run = Run::open(JsonStore::<Flow>::at(&path)).unwrap();
    assert_eq!(exec(&mut run).await, 2);
}
