//! Measures contenders in turn, round by round.
use std::path::{Path, PathBuf};

use super::{
    Failed,
    sample::{Outcome, Sample},
    statistics::{median, ratio},
    table::Entry,
    work::STATES,
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

type Take = Box<dyn Fn(&Path) -> Result<Outcome, Failed>>;

/// Who is measured.
pub(super) struct Contender {
    pub(super) case: String,
    pub(super) system: &'static str,
    pub(super) jobs: u64,
    pub(super) take: Take,
}

impl Contender {
    pub(super) fn new(case: &str, system: &'static str, jobs: u64, sample: Sample) -> Self {
        Contender { case: case.into(), system, jobs, take: Box::new(move |dir| sample.take(jobs, dir)) }
    }
}

impl Rounds {
    /// Measures them in turn. The first one is what the others are compared with.
    pub(super) fn alternate(&self, mut contenders: Vec<Contender>) -> Vec<Entry> {
        if !self.only.is_empty() {
            contenders.retain(|contender| self.only.iter().any(|only| only == contender.system));
        }
        let mut results: Vec<Results> = contenders.iter().map(|_| Ok(Vec::new())).collect();
        for round in 1..=self.count {
            for (contender, results) in contenders.iter().zip(&mut results) {
                let Ok(outcomes) = results else { continue };
                match self.take(contender) {
                    Ok(outcome) => {
                        eprintln!(
                            "{} {}/{}, {} jobs: {:.0}/s",
                            contender.case,
                            contender.system,
                            round,
                            contender.jobs,
                            outcome.transitions as f64 / outcome.seconds
                        );
                        outcomes.push(outcome);
                    }
                    // It is said in the table, and not tried again.
                    Err(e) => {
                        eprintln!("{} {}: {e}", contender.case, contender.system);
                        *results = Err(e);
                    }
                }
            }
        }
        self.entries(&contenders, &results)
    }

    fn take(&self, contender: &Contender) -> Result<Outcome, Failed> {
        let folder = tempfile::Builder::new().prefix("compare-").tempdir_in(&self.dir)?;
        let outcome = (contender.take)(folder.path())?;
        let made = STATES * contender.jobs;
        if outcome.transitions != made {
            return Err(format!("made {} steps instead of {made}", outcome.transitions).into());
        }
        Ok(outcome)
    }

    fn entries(&self, contenders: &[Contender], results: &[Results]) -> Vec<Entry> {
        let rates = |results: &Results| match results {
            Ok(outcomes) => outcomes.iter().map(|o| o.transitions as f64 / o.seconds).collect(),
            Err(_) => Vec::new(),
        };
        let first = results.first().map(rates).unwrap_or_default();
        let entry = |(i, (contender, results)): (usize, (&Contender, &Results))| {
            let samples: Vec<f64> = rates(results);
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
                transitions_per_s: median(&samples),
                ratio: (i > 0).then(|| ratio(&first, &samples)).flatten(),
                peak_rss_mb: middle(&|o| o.peak_rss_mb),
                file_mb: middle(&|o| o.file_mb),
                more: keys.into_iter().filter_map(more).collect(),
                samples,
                error: results.as_ref().err().map(ToString::to_string),
                machine: self.machine.clone(),
            }
        };
        contenders.iter().zip(results).enumerate().map(entry).collect()
    }
}

type Results = Result<Vec<Outcome>, Failed>;
