//! The ways in which people name a job.
use std::fmt;

use crate::{Error, JobId, Workflow, store::Store};

/// A job by its number, `7`, or by its path: the number of the job at the root, then of each kick. As somebody wrote it.
#[derive(Debug, Clone)]
pub(crate) struct Path(Box<str>);

impl Path {
    /// Takes `7`, `0->3->1`, or `0/3/1`, which needs no quotes in a shell.
    pub(crate) fn read(name: impl fmt::Display) -> Result<Self, Error> {
        let name = name.to_string();
        match numbers(&name) {
            Some(_) => Ok(Path(name.into())),
            None => Err(Error::NoSuchJob(name)),
        }
    }

    /// The job's number.
    pub(crate) fn find<W: Workflow>(&self, store: &mut dyn Store<W>) -> Result<JobId, Error> {
        let no_such_job = || Error::NoSuchJob(self.0.to_string());
        let (root, kicks) = numbers(&self.0).ok_or_else(no_such_job)?;
        let mut id = store.job(root)?.ok_or_else(no_such_job)?.job.id;
        for n in kicks {
            id = store.child(id, n)?.ok_or_else(no_such_job)?;
        }
        Ok(id)
    }
}

/// The root, and the kicks.
fn numbers(name: &str) -> Option<(JobId, Vec<u64>)> {
    let mut numbers = name.split("->").flat_map(|part| part.split('/')).map(|n| n.trim().parse().ok());
    Some((JobId(numbers.next()??), numbers.collect::<Option<_>>()?))
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
