//! What a user asks on the command line: from before opening to when the answer is there.
use std::{hint::black_box, path::Path, time::Instant};

use jorb::{Run, Shown, SqliteStore};

use super::{
    super::{
        Failed,
        sample::{Cache, Outcome, Query},
        work::{STATES, Three},
    },
    chill,
};

/// Jobs on a page.
const PAGE: usize = 100;

pub(in crate::compare) fn run(query: Query, cache: Cache, jobs: u64, dir: &Path) -> Result<Outcome, Failed> {
    chill(cache, dir)?;
    let start = Instant::now();
    let mut run = Run::<Three>::read(SqliteStore::at(dir.join("run.jorb")))?;
    let found = match query {
        Query::Status => {
            let states = run.states();
            let all: u64 = states.iter().map(jorb::StateSummary::total).sum();
            black_box((run.is_complete(), run.held().len()));
            expect(all, jobs..=jobs)?
        }
        Query::Job => {
            let job = run.job(jobs / 2)?;
            black_box(job.context_json()?);
            expect(job.story.lines.len() as u64, STATES..=STATES)?
        }
        Query::FirstReady => page(&mut run, "First", Shown::Ready)?,
        Query::SecondHeld => page(&mut run, "Second", Shown::Held)?,
        Query::DoneEnded => page(&mut run, "Done", Shown::Ended)?,
        Query::ThirdParked => page(&mut run, "Third", Shown::Parked)?,
    };
    let mut outcome = Outcome::of(start.elapsed());
    outcome.more.insert("found".into(), found as f64);
    Ok(outcome)
}

fn page(run: &mut Run<Three>, state: &str, status: Shown) -> Result<u64, Failed> {
    let mut found = 0;
    for job in run.jobs().state(state)?.status(status).limit(PAGE as u64) {
        black_box(job?.context_json()?);
        found += 1;
    }
    Ok(found)
}

fn expect(found: u64, expected: std::ops::RangeInclusive<u64>) -> Result<u64, Failed> {
    if expected.contains(&found) { Ok(found) } else { Err(format!("found {found}").into()) }
}
