//! The ways in which people name a job.
use std::fmt;

use crate::{Error, JobId, Workflow, store::Store};

/// A job by its number, `7`, or by its path: the number of the job at the root, then of each kick.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    root: JobId,
    kicks: Vec<u64>,
    /// As whoever gave it wrote it.
    name: String,
}

impl Path {
    /// Reads `7`, `0->3->1`, or `0/3/1`, which needs no quotes in a shell.
    pub(crate) fn read(name: impl fmt::Display) -> Result<Self, Error> {
        let name = name.to_string();
        let parts = name.split("->").flat_map(|part| part.split('/'));
        let numbers: Option<Vec<u64>> = parts.map(|number| number.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some([root, kicks @ ..]) => Ok(Path { root: JobId(*root), kicks: kicks.to_vec(), name }),
            _ => Err(Error::NoSuchJob(name)),
        }
    }

    /// The job's number.
    pub(crate) fn find<W: Workflow>(&self, store: &mut dyn Store<W>) -> Result<JobId, Error> {
        let no_such_job = || Error::NoSuchJob(self.name.clone());
        let mut id = store.job(self.root)?.ok_or_else(no_such_job)?.job.id;
        for n in &self.kicks {
            id = store.child(id, *n)?.ok_or_else(no_such_job)?;
        }
        Ok(id)
    }
}

/// The path of a job, as `0->3->1`.
pub(super) fn of<W: Workflow>(id: JobId, store: &mut dyn Store<W>) -> Result<String, Error> {
    let (mut at, mut kicks) = (id, Vec::new());
    loop {
        let record = store.job(at)?.ok_or_else(|| Error::NoSuchJob(at.to_string()))?;
        let Some((parent, n)) = record.job.parent else { break };
        kicks.push(format!("->{n}"));
        at = parent;
    }
    kicks.reverse();
    Ok(format!("{at}{}", kicks.concat()))
}
