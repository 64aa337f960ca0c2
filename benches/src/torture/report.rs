//! What came out of it.
use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use serde::Serialize;

use super::{
    account::{Tally, Wrong},
    fault::Kind,
    run::{Ended, Went},
};

/// What came out of it.
#[derive(Debug, Serialize)]
pub struct Report {
    pub(super) kills: u64,
    /// Of those, at a change of a file: before, in the middle of, or after it.
    pub(super) kills_at_a_write: u64,
    pub(super) runs: u64,
    pub(super) jobs: u64,
    pub(super) steps: u64,
    /// Steps that were cut before they were committed, and ran again.
    pub(super) steps_rerun: u64,
    pub(super) committed_steps_rerun: u64,
    pub(super) jobs_lost: u64,
    pub(super) jobs_doubled: u64,
    pub(super) faults: BTreeMap<Kind, u64>,
    /// Processes that ended by saying that the disk fails.
    pub(super) errors_told: u64,
    /// Lines of the handlers' log that a kill cut.
    pub(super) cut_marks: u64,
    pub(super) seconds: f64,
    pub(super) seed: u64,
    pub(super) wrong: BTreeMap<Wrong, u64>,
    pub(super) texts: Vec<String>,
    /// Where they are kept when something is wrong.
    pub(super) files: Option<PathBuf>,
}

impl Report {
    pub(super) fn new(seed: u64) -> Self {
        Report {
            kills: 0,
            kills_at_a_write: 0,
            runs: 0,
            jobs: 0,
            steps: 0,
            steps_rerun: 0,
            committed_steps_rerun: 0,
            jobs_lost: 0,
            jobs_doubled: 0,
            // Each is told, also one that never came.
            faults: Kind::ALL.into_iter().map(|kind| (kind, 0)).collect(),
            errors_told: 0,
            cut_marks: 0,
            seconds: 0.0,
            seed,
            wrong: BTreeMap::new(),
            texts: Vec::new(),
            files: None,
        }
    }

    pub(super) fn add(&mut self, went: &Went, tally: &mut Tally) {
        let Tally { steps, steps_rerun, cut_marks, wrong, texts } = std::mem::take(tally);
        self.kills += u64::from(went.end.is_kill());
        self.kills_at_a_write += u64::from(went.end == Ended::KilledAtAWrite);
        self.errors_told += u64::from(went.end == Ended::Told);
        self.steps += steps;
        self.steps_rerun += steps_rerun;
        self.cut_marks += cut_marks;
        for kind in &went.met {
            *self.faults.entry(*kind).or_default() += 1;
        }
        for (kind, n) in wrong {
            *self.wrong.entry(kind).or_default() += n;
        }
        self.texts.extend(texts);
        let wrong = |kind| self.wrong.get(&kind).copied().unwrap_or(0);
        self.committed_steps_rerun = wrong(Wrong::CommittedStepRerun);
        self.jobs_lost = wrong(Wrong::JobLost);
        self.jobs_doubled = wrong(Wrong::JobDoubled);
    }

    /// Something was found.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        !self.wrong.is_empty()
    }

    pub(super) fn progress(&self, of: u64) -> String {
        let Report { kills, runs, steps, steps_rerun, seconds, .. } = self;
        let faults: u64 = self.faults.values().sum();
        format!(
            "{kills} of {of} kills, {faults} other faults, run {runs}, {steps} steps, {steps_rerun} of them again, {seconds:.0} s"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elapsed = Duration::from_secs_f64(self.seconds.round());
        writeln!(f, "{} kills, {} of them at a write, in {elapsed:?}", self.kills, self.kills_at_a_write)?;
        let Report { jobs, runs, steps, steps_rerun, .. } = self;
        writeln!(
            f,
            "{jobs} jobs in {runs} runs; {steps} steps, of which {steps_rerun} were cut and ran again"
        )?;
        for (kind, n) in &self.faults {
            writeln!(f, "  {n:5}  {kind}")?;
        }
        writeln!(f, "{} processes ended because the disk failed, and said so", self.errors_told)?;
        let Some(files) = &self.files else {
            return write!(f, "nothing was lost, nothing doubled, and nothing that was committed ran again");
        };
        writeln!(f)?;
        for text in &self.texts {
            writeln!(f, "{text}")?;
        }
        for (kind, n) in &self.wrong {
            writeln!(f, "  {n:5}  {kind}")?;
        }
        write!(f, "the files are in {}; the seed was {}", files.display(), self.seed)
    }
}
