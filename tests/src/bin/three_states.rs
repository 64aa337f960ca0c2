//! How fast jobs go through three states that do nothing: the figure in the README.
//!
//! `three_states sqlite|json|memory JOBS [SECONDS]` drives JOBS jobs, each with a context of about 200 bytes, and fails when
//! that takes longer than SECONDS.
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use jorb::{JsonStore, MemoryStore, Processor, Run, SqliteStore, prelude::*, store::BoxStore};

#[derive(Clone, Serialize, Deserialize)]
struct Page {
    url: String,
    text: String,
    steps: u32,
}

#[workflow(job = Page)]
#[derive(Clone)]
enum Three {
    #[state(initial, next(Second))]
    First,
    #[state(next(Third))]
    Second,
    #[state(next(Done))]
    Third,
    #[state(terminal)]
    Done,
}

#[state(concurrency = 8)]
async fn first(_: three::First, cx: &mut Cx<Three>) -> Outcome<three::First> {
    cx.job.steps += 1;
    Ok(Next::to(three::Second))
}

#[state(concurrency = 8)]
async fn second(_: three::Second, cx: &mut Cx<Three>) -> Outcome<three::Second> {
    cx.job.steps += 1;
    Ok(Next::to(three::Third))
}

#[state(concurrency = 8)]
async fn third(_: three::Third, cx: &mut Cx<Three>) -> Outcome<three::Third> {
    cx.job.steps += 1;
    Ok(Next::to(three::Done))
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kind, jobs, most @ ..] = &args[..] else {
        eprintln!("usage: three_states sqlite|json|memory JOBS [SECONDS]");
        return ExitCode::from(2);
    };
    let jobs: u64 = jobs.parse().expect("JOBS is a number");
    let most: Option<f64> = most.first().map(|most| most.parse().expect("SECONDS is a number"));
    let folder = tempfile::tempdir_in(".").expect("a folder here: the disk is what is measured");
    let store: BoxStore<Three> = match kind.as_str() {
        "sqlite" => Box::new(SqliteStore::at(folder.path().join("run.jorb"))),
        "json" => Box::new(JsonStore::at(folder.path().join("run.json"))),
        _ => Box::new(MemoryStore::new()),
    };
    let mut run = Run::open(store).expect("a new run");
    let page = |n| Page { url: format!("https://example.org/{n}"), text: "x".repeat(150), steps: 0 };
    let start = Instant::now();
    run.seed((), |seeds| seeds.extend((0..jobs).map(|n| Kick::new(three::First, page(n))))).expect("seeds");
    let (seeded, start) = (start.elapsed(), Instant::now());
    let summary = Processor::new(()).exec(&mut run).await.expect("a summary");
    let took = start.elapsed();
    assert_eq!((summary.jobs("Done"), summary.moves), (jobs, 3 * jobs));
    println!(
        "{kind}, {jobs} jobs: seeded in {}, then {} steps in {}, {:.0} steps/s",
        S(seeded),
        summary.moves,
        S(took),
        summary.moves as f64 / took.as_secs_f64()
    );
    if most.is_some_and(|most| took.as_secs_f64() > most) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

struct S(Duration);

impl std::fmt::Display for S {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} s", self.0.as_secs_f64())
    }
}
