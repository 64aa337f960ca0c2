//! A batch as the log has it.
use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{document::Document, unwritable};
use crate::{
    Error, JobId, Workflow,
    store::{
        Batch, Change, New, Record, Story,
        entry::{Entry, Head},
        joins::Joins,
        table::{Once, Table},
    },
};

/// One batch: what is different of the run, and the jobs as they are after it, with what happened in it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Commit {
    /// A field that says nothing has not changed. `next`, `fresh` and `clean` always say something.
    pub(super) head: Head<()>,
    pub(super) jobs: Vec<Entry>,
}

impl Commit {
    /// What a batch makes of a run, but for the new jobs that are refused. How many children a job still waits for is
    /// counted when the document is read.
    pub(super) fn of<W: Workflow>(
        table: &Table<W>,
        batch: &Batch<W>,
        refused: &[JobId],
        joins: &Joins<W>,
    ) -> Result<Self, Error> {
        let mut header = table.header();
        Table::turn(&mut header, batch);
        header.overall.clone_from(&batch.overall);
        let mut head = Head::of(&header)
            .map_err(|source| Error::Unwritable { what: "the overall context".into(), source })?;
        head.workflow = None;
        if batch.identity.is_none() {
            head.run = None;
            head.created = None;
        }
        let refused: HashSet<_> = refused.iter().collect();
        let made = |new: &New<W>| !refused.contains(&new.record.job.id);
        let mut jobs = Vec::new();
        for Change { now, line, error, kicks, .. } in &batch.changes {
            let story = Story {
                lines: line.iter().cloned().collect(),
                errors: error.iter().map(|error| (**error).clone()).collect(),
                dropped: Vec::new(),
            };
            jobs.push((&**now, story, None));
            let kicks = kicks.iter().filter(|kick| made(kick));
            jobs.extend(kicks.map(|kick| (&kick.record, Story::nothing(), Once::of(kick))));
        }
        let added = batch.added.iter().filter(|added| made(added));
        jobs.extend(added.map(|added| (&added.record, Story::nothing(), Once::of(added))));
        jobs.extend(joins.fired.iter().map(|(_, record)| (record, Story::nothing(), None)));
        let entry = |(record, story, once): (&Record<W>, _, _)| {
            Entry::of(record, story, once).map_err(|e| unwritable(record.job.id, e))
        };
        Ok(Commit { head, jobs: jobs.into_iter().map(entry).collect::<Result<_, _>>()? })
    }

    /// Makes the change to what was read of the document.
    pub(super) fn fold_into(self, document: &mut Document, jobs: &mut BTreeMap<JobId, Entry>) {
        let Commit { head, jobs: changed } = self;
        document.run = head.run.or(document.run);
        document.created = head.created.or(document.created);
        document.seeding = head.seeding.or(document.seeding);
        document.overall = head.overall.or(document.overall.take());
        document.clean = head.clean;
        document.held = head.held;
        document.held_keys = head.held_keys;
        document.limiters = head.limiters;
        document.learned = head.learned;
        document.tuned = head.tuned;
        document.next = head.next.or(document.next);
        document.fresh = head.fresh;
        for entry in changed {
            let Some(id) = entry.id else { continue };
            match jobs.get_mut(&id) {
                Some(job) => job.becomes(entry),
                None => drop(jobs.insert(id, entry)),
            }
        }
    }
}
