//! Suspects of a death of the process run before others do, and alone.
use std::collections::HashMap;

use super::{Canary, Core, Inner};
use crate::{
    JobId, StateId, Workflow,
    processor::{line::Waiting, suspects::Suspect},
};

/// Those that did not run alone yet.
pub(super) struct Suspects<W: Workflow> {
    all: HashMap<JobId, Suspect<W>>,
    /// One of them that runs now.
    alone: Option<JobId>,
}

impl<W: Workflow> Suspects<W> {
    pub(super) fn none() -> Self {
        Suspects { all: HashMap::new(), alone: None }
    }

    fn of(&self, job: &Waiting<W>) -> Option<&Suspect<W>> {
        self.all.get(&job.record.job.id).filter(|suspect| suspect.note.seq == job.record.seq)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn len(&self) -> u64 {
        self.all.len() as u64
    }

    /// This job does not move any more.
    pub(super) fn acquit(&mut self, job: JobId) {
        self.all.remove(&job);
    }

    /// This job starts: it may be one of them.
    pub(super) fn starts(&mut self, job: &Waiting<W>) -> Option<Suspect<W>> {
        let suspect = *self.of(job)?;
        self.alone = Some(job.record.job.id);
        Some(suspect)
    }
}

impl<W: Workflow> Core<W> {
    /// Jobs that ran when the process died, before anything starts.
    pub(in crate::processor) fn suspect(&self, suspects: Vec<Suspect<W>>) {
        self.lock().suspects.all = suspects.into_iter().map(|suspect| (suspect.note.job, suspect)).collect();
    }

    /// Some of them did not run alone yet.
    pub(in crate::processor) fn has_suspects(&self) -> bool {
        !self.lock().suspects.is_empty()
    }
}

impl<W: Workflow> Inner<W> {
    /// Nobody but suspects may start: one runs, or waits in memory, or its queue is about to read more.
    pub(super) fn only_suspects(&self) -> bool {
        if self.suspects.is_empty() {
            return false;
        }
        let full = self.canary.as_ref().is_some_and(Canary::is_full);
        self.suspects.alone.is_some()
            || StateId::<W>::all().any(|state| {
                let queue = &self.queues[state.index()];
                let has = || self.suspects.all.values().any(|suspect| suspect.state == state);
                let brings = || !full && (queue.asked || self.reading == Some(state));
                !queue.held && has() && (self.suspect_of(state.index()).is_some() || brings())
            })
    }

    /// The suspect of a state that may start now, with its line.
    pub(super) fn lone(&self, state: usize) -> Option<(usize, &Waiting<W>)> {
        if self.executing > 0 { None } else { self.suspect_of(state) }
    }

    fn suspect_of(&self, state: usize) -> Option<(usize, &Waiting<W>)> {
        let canary = self.canary.as_ref().filter(|canary| canary.is_full());
        self.queues[state]
            .next_of(|job| self.suspects.of(job).is_some() && canary.is_none_or(|canary| canary.has(job)))
    }

    /// A step ended, or did not start after all: who waits to run alone, or for one that did, looks again.
    pub(super) fn step_is_over(&mut self, tried: bool, core: &Core<W>) {
        if self.suspects.is_empty() || self.executing > 0 {
            return;
        }
        if let Some(job) = self.suspects.alone.take()
            && tried
        {
            self.suspects.all.remove(&job);
        }
        core.wake_all();
    }
}
