//! What changes with the number of jobs, and what must not.
use std::{fs, path::Path};

use tempfile::TempDir;

use super::super::{
    Failed, Options,
    rounds::{Contender, Rounds},
    sample::{Cache, Keeper, Keys, Query, Sample},
    table::Entry,
    work::Step,
};

/// What other sizes are compared with.
const BASE: u64 = 100_000;
/// From this size on, once must do.
const HUGE: u64 = 10_000_000;
/// Steps of the job that is alone.
const STEPS: u64 = 1_000;

pub(in crate::compare) fn scale(options: &Options, rounds: &Rounds) -> Result<Vec<Entry>, Failed> {
    let sizes = match options.jobs {
        Some(jobs) => vec![BASE, jobs],
        None if options.quick => vec![BASE, 1_000, 10_000],
        None => vec![BASE, 1_000, 10_000, 1_000_000, HUGE],
    };
    let mut entries = Vec::new();

    let all_done = Kept::new(rounds, &sizes)?;
    let all = Sample::Jorb(Keeper::Sqlite, Step::Ready);
    let mut scaled = rounds.alternate(&all_done.contenders("scale", all));
    // Of medians: a run of minutes has no round in common with one of a second.
    let base = scaled[0].transitions_per_s;
    for entry in &mut scaled[1..] {
        let share = entry.transitions_per_s.zip(base).map(|(rate, base)| rate / base);
        entry.more.extend(share.map(|share| ("of_1e5".into(), share)));
    }
    entries.extend(scaled);
    for (jobs, dir) in all_done.largest() {
        entries.extend(rounds.alternate(&ask(
            jobs,
            dir.path(),
            &[
                ("status", Query::Status),
                ("job", Query::Job),
                ("page Done ended", Query::DoneEnded),
                ("page Third parked", Query::ThirdParked),
                ("page First ready, none", Query::FirstReady),
            ],
        )));
    }

    let waiting = Kept::new(rounds, &sizes)?;
    entries.extend(rounds.alternate(&waiting.contenders("waiting", Sample::Waiting)));
    for (jobs, dir) in waiting.largest() {
        let dir = dir.path();
        entries.extend(rounds.alternate(&ask(
            jobs,
            dir,
            &[
                ("status, waiting", Query::Status),
                ("page First ready", Query::FirstReady),
                ("page Second held", Query::SecondHeld),
            ],
        )));
        entries.extend(rounds.alternate(&[
            on("open", jobs, dir, Sample::Open(Cache::Warm)),
            on("open, cold", jobs, dir, Sample::Open(Cache::Cold)),
            after_a_crash(jobs, dir),
        ]));
    }

    for jobs in if options.quick { vec![BASE] } else { vec![BASE, 10 * BASE] } {
        entries.extend(rounds.alternate(&[
            Contender::new("once, no keys", "jorb", jobs, Sample::Once(Keys::None)),
            Contender::new("once, sequential keys", "jorb", jobs, Sample::Once(Keys::Sequential)),
            Contender::new("once, random keys", "jorb", jobs, Sample::Once(Keys::Random)),
        ]));
    }
    entries.extend(rounds.alternate(&[
        Contender::new("latency", "jorb", STEPS, Sample::Loop),
        Contender::new("latency", "raw", STEPS, Sample::Append),
    ]));
    entries.extend(rounds.alternate(&[Contender::new("fairness", "jorb", BASE, Sample::Fair)]));
    Ok(entries)
}

/// A folder for each size, so that what the last sample left can be looked at.
struct Kept(Vec<(u64, TempDir)>);

impl Kept {
    fn new(rounds: &Rounds, sizes: &[u64]) -> Result<Self, Failed> {
        sizes.iter().map(|size| Ok((*size, rounds.folder()?))).collect::<Result<_, Failed>>().map(Kept)
    }

    fn contenders(&self, case: &str, sample: Sample) -> Vec<Contender> {
        let contender = |(jobs, dir): &(u64, TempDir)| {
            let (jobs, dir) = (*jobs, dir.path().to_owned());
            let take = move |_: &Path| {
                fs::remove_dir_all(&dir)?;
                fs::create_dir(&dir)?;
                sample.take(jobs, &dir)
            };
            let most = if jobs >= HUGE { 1 } else { usize::MAX };
            Contender { case: case.into(), system: "jorb", jobs, most, take: Box::new(take) }
        };
        self.0.iter().map(contender).collect()
    }

    /// The two largest, at least as large as what others are compared with. A folder goes when it was looked at.
    fn largest(mut self) -> impl Iterator<Item = (u64, TempDir)> {
        self.0.retain(|(jobs, _)| *jobs >= BASE);
        self.0.sort_by_key(|(jobs, _)| *jobs);
        let rest = self.0.len().saturating_sub(2);
        self.0.into_iter().skip(rest)
    }
}

fn ask(jobs: u64, dir: &Path, queries: &[(&str, Query)]) -> Vec<Contender> {
    let both = |(case, query): &(&str, Query)| {
        let cold = format!("{case}, cold");
        [
            on(case, jobs, dir, Sample::Ask(*query, Cache::Warm)),
            on(&cold, jobs, dir, Sample::Ask(*query, Cache::Cold)),
        ]
    };
    queries.iter().flat_map(both).collect()
}

/// Looks at the run in this folder.
fn on(case: &str, jobs: u64, dir: &Path, sample: Sample) -> Contender {
    let dir = dir.to_owned();
    let take = move |_: &Path| sample.take(jobs, &dir);
    Contender { case: case.into(), system: "jorb", jobs, most: usize::MAX, take: Box::new(take) }
}

/// Opens it when the process before was cut.
fn after_a_crash(jobs: u64, dir: &Path) -> Contender {
    let dir = dir.to_owned();
    let take = move |_: &Path| {
        Sample::Die.take(jobs, &dir)?;
        // A clean end would have folded it into the file.
        if fs::metadata(dir.join("run.jorb-wal")).map_or(0, |log| log.len()) == 0 {
            return Err("it left no log, so it was not cut".into());
        }
        Sample::Open(Cache::Warm).take(jobs, &dir)
    };
    Contender {
        case: "open, after a crash".into(),
        system: "jorb",
        jobs,
        most: usize::MAX,
        take: Box::new(take),
    }
}
