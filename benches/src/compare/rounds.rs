//! Measures contenders in turn, round by round.
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{
    Failed,
    sample::{Outcome, Sample},
    statistics::{median, ratio},
    table::Entry,
};

/// How to measure.
pub(super) struct Rounds {
    pub(super) count: usize,
    /// Where temporary files go.
    pub(super) dir: PathBuf,
    /// Other systems are left out, if it has any.
    pub(super) only: Vec<String>,
    pub(super) machine: String,
}

/// Takes a sample; the folder is for what it needs to leave on disk.
type Take = Box<dyn Fn(&Path) -> Result<Outcome, Failed>>;

/// Who is measured.
pub(super) struct Contender {
    pub(super) case: String,
    pub(super) system: &'static str,
    pub(super) jobs: u64,
    /// No more rounds than so many.
    pub(super) most: usize,
    pub(super) take: Take,
}

/// What a contender showed, or why it did not.
type Results = Result<Vec<Outcome>, Failed>;

impl Contender {
    pub(super) fn new(case: &str, system: &'static str, jobs: u64, sample: Sample) -> Self {
        let take = move |dir: &Path| sample.take(jobs, dir);
        Contender { case: case.into(), system, jobs, most: usize::MAX, take: Box::new(take) }
    }
}

impl Rounds {
    /// It is not left out.
    pub(super) fn wants(&self, system: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == system)
    }

    /// A folder on the disk that is measured.
    pub(super) fn folder(&self) -> Result<TempDir, Failed> {
        Ok(tempfile::Builder::new().prefix("compare-").tempdir_in(&self.dir)?)
    }

    /// Measures them in turn. Other systems are compared with the first that is jorb.
    pub(super) fn alternate(&self, contenders: &[Contender]) -> Vec<Entry> {
        let contenders: Vec<_> = contenders.iter().filter(|contender| self.wants(contender.system)).collect();
        let mut all: Vec<Results> = contenders.iter().map(|_| Ok(Vec::new())).collect();
        for round in 0..self.count {
            for (contender, results) in contenders.iter().zip(&mut all) {
                let Ok(outcomes) = results else { continue };
                if round >= contender.most {
                    continue;
                }
                let Contender { case, system, jobs, take, .. } = contender;
                match self.folder().and_then(|folder| take(folder.path())) {
                    Ok(outcome) => {
                        let figure = outcome.figure();
                        eprintln!("{case}: {system}, {jobs} jobs, round {}: {figure:.4}", round + 1);
                        outcomes.push(outcome);
                    }
                    // It is said in the table, and not tried again.
                    Err(e) => {
                        eprintln!("{case}: {system}, {jobs} jobs: {e}");
                        *results = Err(e);
                    }
                }
            }
        }
        let jorb = contenders.iter().position(|contender| contender.system == "jorb");
        let jorb = jorb.map(|i| figures(&all[i])).unwrap_or_default();
        let entry = |(contender, results)| self.entry(contender, results, &jorb);
        contenders.into_iter().zip(&all).map(entry).collect()
    }

    fn entry(&self, contender: &Contender, results: &Results, jorb: &[f64]) -> Entry {
        let samples = figures(results);
        let outcomes = results.as_deref().unwrap_or_default();
        let middle = |of: &dyn Fn(&Outcome) -> Option<f64>| {
            median(&outcomes.iter().filter_map(of).collect::<Vec<_>>())
        };
        let keys = outcomes.first().map_or_else(Vec::new, |o| o.more.keys().cloned().collect());
        let more = |key: String| Some((key.clone(), middle(&|o| o.more.get(&key).copied())?));
        Entry {
            case: contender.case.clone(),
            system: contender.system.into(),
            jobs: contender.jobs,
            transitions_per_s: middle(&|o| o.transitions.map(|_| o.figure())),
            seconds: middle(&|o| Some(o.seconds)),
            ratio: (contender.system != "jorb").then(|| ratio(jorb, &samples)).flatten(),
            peak_rss_mb: middle(&|o| o.peak_rss_mb),
            file_mb: middle(&|o| o.file_mb),
            more: keys.into_iter().filter_map(more).collect(),
            samples,
            error: results.as_ref().err().map(ToString::to_string),
            machine: self.machine.clone(),
        }
    }
}

fn figures(results: &Results) -> Vec<f64> {
    results.as_deref().unwrap_or_default().iter().map(Outcome::figure).collect()
}
