//! What jobs say of each other.
use std::collections::{HashMap, HashSet};

use super::wrong;
use crate::{
    Error, JobId, Workflow,
    store::{OnceKey, Restored},
};

/// All that was read of an import, as far as other lines may be wrong about it.
pub(super) struct Check {
    /// Jobs, and how many they kicked.
    kicked: HashMap<JobId, u64>,
    names: HashSet<(JobId, u64)>,
    once: HashSet<(usize, String)>,
    /// Jobs that came before their parents.
    orphans: Vec<(u64, JobId, (JobId, u64))>,
}

impl Check {
    pub(super) fn new() -> Self {
        Check { kicked: HashMap::new(), names: HashSet::new(), once: HashSet::new(), orphans: Vec::new() }
    }

    /// One more job.
    pub(super) fn job<W: Workflow>(
        &mut self,
        line: u64,
        Restored { record, once, .. }: &Restored<W>,
    ) -> Result<(), Error> {
        let job = &record.job;
        if self.kicked.insert(job.id, job.kicked).is_some() {
            return Err(wrong(line, format!("another job has the id {}", job.id)));
        }
        if let Some(name @ (parent, n)) = job.parent {
            if !self.names.insert(name) {
                return Err(wrong(line, format!("job {}: another job is kick {n} of job {parent}", job.id)));
            }
            if !self.parent(line, job.id, name)? {
                self.orphans.push((line, job.id, name));
            }
        }
        if let Some(OnceKey { state, key }) = once
            && !self.once.insert((state.index(), key.clone()))
        {
            let state = state.name();
            return Err(wrong(line, format!("job {}: another job of `{state}` has the key `{key}`", job.id)));
        }
        Ok(())
    }

    /// Those whose parents came later.
    pub(super) fn parents(&self) -> Result<(), Error> {
        for &(line, id, name) in &self.orphans {
            if !self.parent(line, id, name)? {
                return Err(wrong(line, format!("job {id}: its parent, job {}, is not there", name.0)));
            }
        }
        Ok(())
    }

    /// Whether the parent is there.
    fn parent(&self, line: u64, id: JobId, (parent, n): (JobId, u64)) -> Result<bool, Error> {
        let kicked = self.kicked.get(&parent);
        if let Some(kicked) = kicked.filter(|kicked| **kicked <= n) {
            return Err(wrong(
                line,
                format!("job {id} is kick {n} of job {parent}, which kicked only {kicked}"),
            ));
        }
        Ok(kicked.is_some())
    }
}
