//! A run: a group of jobs with one overall context, in a store.
use std::{collections::HashSet, time::Duration};

use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{
    BoxError, Error, Initial, JobId, Kick, NewJob, Saved, Snapshot, StateId, Status, Timestamp, Tuning,
    Workflow,
    reduce::Target,
    store::{Access, Batch, BoxStore, Header, New, Record, Seeding, Store},
    tuning::{key_of, limiter, target, tune, tuning_of},
};

mod cancel;
mod check;
mod counts;
mod job;
mod jobs;
mod path;
mod redrive;
mod report;
mod shown;
mod story;
mod transfer;
mod walk;

pub use cancel::Cancel;
pub use job::{Job, JobIn};
pub use jobs::{AnyState, Jobs, JobsIter};
pub(crate) use path::Path;
pub use redrive::Redrive;
#[cfg(feature = "cli")]
pub(crate) use report::suspected;
pub use report::{Advice, Reason, Report, StateReport};
pub use shown::{Shown, UnknownStatus};
pub use story::{Cancelled, JobStory};
pub(crate) use walk::{Filter, Walk};

/// Jobs that are seeded in one transaction.
const SEEDS: usize = 8 * 1024;

/// A group of jobs with one overall context, in a store. See the [crate's page](crate) for how to drive it.
pub struct Run<W: Workflow> {
    /// Away while a processor drives the run.
    store: Option<BoxStore<W>>,
    header: Header<W>,
    /// A processor has closed the store: it is opened again when it is needed again.
    closed: bool,
    access: Access,
    /// Those of plain functions, which nobody can drop: they may outlive the processor that waited for them.
    pub(crate) threads: TaskTracker,
}

impl<W: Workflow> Run<W> {
    /// Opens the run in `store`, or makes a new one: the same call in both cases.
    ///
    /// What does not belong to this workflow is refused before anything is changed: another workflow's run, jobs in
    /// unknown states, contexts that do not fit today's types.
    pub fn open(store: impl Store<W>) -> Result<Self, Error> {
        Run::open_boxed(Box::new(store), Access::Drive)
    }

    /// Opens a run to look at it, also while another process drives it. What would change it is refused.
    pub fn read(store: impl Store<W>) -> Result<Self, Error> {
        Run::open_boxed(Box::new(store), Access::Read)
    }

    pub(crate) fn open_boxed(mut store: BoxStore<W>, access: Access) -> Result<Self, Error> {
        if access == Access::Drive {
            // To drive a run changes it, if only the name of a state: look first.
            if let Ok(header) = store.open(Access::Read) {
                check::sample(&mut store, &header)?;
            }
        }
        let mut header = store.open(access)?;
        if header.seeding == Seeding::Begun && access == Access::Drive {
            store.clear()?;
            header = Header::new(header.run, header.created);
        }
        Ok(Run { store: Some(store), header, closed: false, access, threads: TaskTracker::new() })
    }

    /// Fills a new run, all or nothing; does nothing when the run was seeded before. Says whether it did.
    ///
    /// `jobs` gets a [`Seeds`] to add jobs to, one by one or from an iterator, which is read lazily: ten million are
    /// no problem. When it fails, or the process is killed meanwhile, the run is unseeded, and the next call starts
    /// over. `overall` is what all jobs share; it is ignored too when the run was seeded before.
    #[allow(clippy::needless_pass_by_value)] // `Site::new()` reads better than `&Site::new()`
    pub fn seed(
        &mut self,
        overall: W::Overall,
        jobs: impl FnOnce(&mut Seeds<'_, W>) -> Result<(), BoxError>,
    ) -> Result<bool, Error> {
        if self.header.seeding == Seeding::Done {
            return Ok(false);
        }
        let at = self.header.now();
        self.reopen()?;
        let store = self.store.as_mut().ok_or(Error::Away)?;
        let saved = save_overall::<W>(store, &overall)?;
        let mut seeds = Seeds {
            batch: Batch { seeding: Some(Seeding::Begun), ..Batch::new(self.header.next) },
            store,
            header: &mut self.header,
            at,
        };
        let seeded = seeds.commit().map_err(BoxError::from).and_then(|()| jobs(&mut seeds)).and_then(|()| {
            seeds.batch.overall = Some(saved);
            seeds.batch.seeding = Some(Seeding::Done);
            seeds.commit().map_err(BoxError::from)
        });
        if let Err(error) = seeded {
            self.header = Header::new(self.header.run, self.header.created);
            if let Some(store) = &mut self.store {
                store.clear()?;
            }
            return Err(match error.downcast::<Error>() {
                Ok(error) => *error,
                Err(error) => Error::Seed(error),
            });
        }
        Ok(true)
    }

    /// Adds a job to a seeded run. Gives its id, or nothing when its `once` key is taken.
    pub fn add<S: Initial<Workflow = W>>(&mut self, job: Kick<S>) -> Result<Option<JobId>, Error> {
        self.check_seeded()?;
        self.reopen()?;
        let store = self.store.as_mut().ok_or(Error::Away)?;
        let mut batch = Batch::new(self.header.next);
        let new = new_job(&mut batch, store, job.into(), self.header.now())?;
        let (id, state, status) = (new.record.job.id, new.record.job.state, new.record.job.status);
        batch.added.push(New { record: Record { placed: true, ..new.record }, once: new.once });
        let dropped = store.commit(&batch)?.refused;
        self.header.next = batch.next;
        if dropped.contains(&id) {
            return Ok(None);
        }
        self.header.counts.add(state, status, 1);
        Ok(Some(id))
    }

    /// The run has its jobs.
    #[must_use]
    pub fn is_seeded(&self) -> bool {
        self.header.seeding == Seeding::Done
    }

    /// The run's identity.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.header.run
    }

    /// What all jobs share.
    pub fn overall(&self) -> Result<W::Overall, Error> {
        let saved = self.header.overall.as_ref().ok_or(Error::Unseeded)?;
        let unreadable = |source| Error::Unreadable { what: "the overall context".into(), source };
        W::CODEC.overall.load(saved).map_err(unreadable)
    }

    /// Replaces what all jobs share.
    pub fn set_overall(&mut self, overall: &W::Overall) -> Result<(), Error> {
        self.check_seeded()?;
        self.reopen()?;
        let store = self.store.as_mut().ok_or(Error::Away)?;
        let saved = save_overall::<W>(store, overall)?;
        store.commit(&Batch { overall: Some(saved.clone()), ..Batch::new(self.header.next) })?;
        self.header.overall = Some(saved);
        Ok(())
    }

    /// Stops a state, or releases it, for when the run is driven next.
    pub fn set_held(&mut self, state: &str, held: bool) -> Result<(), Error> {
        let state = StateId::named(state).ok_or_else(|| crate::nearest::no_such_state::<W>(state))?;
        self.reopen()?;
        let store = self.store.as_mut().ok_or(Error::Away)?;
        let mut all = self.header.held.clone();
        all.retain(|s| *s != state);
        if held {
            all.push(state);
        }
        store.commit(&Batch { held: Some(all.clone()), ..Batch::new(self.header.next) })?;
        self.header.held = all;
        Ok(())
    }

    /// Stops a key of a limiter that is `keyed`, or releases it, for when the run is driven next: see
    /// [`Handle::hold_key`](crate::Handle::hold_key).
    pub fn set_key_held(&mut self, limiter: &str, key: &str, held: bool) -> Result<(), Error> {
        let name = key_of::<W>(limiter, key)?;
        self.reopen()?;
        let store = self.store.as_mut().ok_or(Error::Away)?;
        let mut all = self.header.held_keys.clone();
        if held {
            all.entry(name).or_insert(self.header.now());
        } else {
            all.remove(&name);
        }
        store.commit(&Batch { held_keys: Some(all.clone()), ..Batch::new(self.header.next) })?;
        self.header.held_keys = all;
        Ok(())
    }

    /// Changes the rate, the burst or the concurrency of a state, or of a limiter that states share, for when the run is driven
    /// next. What is not given stays as it is; nothing given resets it to what the code says. Says what is changed of
    /// it now.
    pub fn tune(&mut self, name: &str, tuning: Tuning) -> Result<Tuning, Error> {
        let name = target::<W>(name, tuning)?;
        self.reopen()?;
        let store = self.store.as_mut().ok_or(Error::Away)?;
        let mut all = self.header.tuned.clone();
        tune(&mut all, &name, tuning);
        store.commit(&Batch { tuned: Some(all.clone()), ..Batch::new(self.header.next) })?;
        self.header.tuned = all;
        Ok(tuning_of(&self.header.tuned, &name))
    }

    /// What is changed of states, and of limiters that states share.
    #[must_use]
    pub fn tuned(&self) -> Vec<(&str, Tuning)> {
        let shown = |name| limiter::<W>(name).map_or(name, |limiter| limiter.name);
        self.header.tuned.iter().map(|(name, tuning)| (shown(name), *tuning)).collect()
    }

    /// Ends the use of the run and leaves its file in its best shape. Without it nothing is lost either.
    pub fn close(self) -> Result<(), Error> {
        match self.store {
            _ if self.closed => Ok(()),
            Some(mut store) => store.close(),
            None => Err(Error::Away),
        }
    }

    fn check_seeded(&self) -> Result<(), Error> {
        if self.is_seeded() { Ok(()) } else { Err(Error::Unseeded) }
    }

    /// Gives the store to a processor.
    pub(crate) fn take(&mut self) -> Result<(BoxStore<W>, Header<W>), Error> {
        self.check_seeded()?;
        self.reopen()?;
        let store = self.store.take().ok_or(Error::Away)?;
        Ok((store, self.header.clone()))
    }

    /// Takes the store back.
    pub(crate) fn put_back(&mut self, store: BoxStore<W>, header: Header<W>) {
        self.store = Some(store);
        self.header = header;
        self.closed = true;
    }

    /// The store, open, to look at.
    fn opened(&mut self) -> Result<(&mut BoxStore<W>, &Header<W>), Error> {
        self.reopen()?;
        Ok((self.store.as_mut().ok_or(Error::Away)?, &self.header))
    }

    fn reopen(&mut self) -> Result<(), Error> {
        if self.closed {
            self.header = self.store.as_mut().ok_or(Error::Away)?.open(Access::Drive)?;
            self.closed = false;
        }
        Ok(())
    }
}

/// Jobs for a new run.
pub struct Seeds<'r, W: Workflow> {
    store: &'r mut BoxStore<W>,
    header: &'r mut Header<W>,
    batch: Batch<W>,
    at: Timestamp,
}

impl<W: Workflow> Seeds<'_, W> {
    /// Adds a job. One whose `once` key is taken is left out.
    pub fn add<S: Initial<Workflow = W>>(&mut self, job: Kick<S>) -> Result<(), BoxError> {
        let new = new_job(&mut self.batch, self.store, job.into(), self.at)?;
        self.batch.added.push(new);
        if self.batch.added.len() >= SEEDS {
            self.commit()?;
        }
        Ok(())
    }

    /// Adds many.
    pub fn extend<S: Initial<Workflow = W>>(
        &mut self,
        jobs: impl IntoIterator<Item = Kick<S>>,
    ) -> Result<(), BoxError> {
        jobs.into_iter().try_for_each(|job| self.add(job))
    }

    fn commit(&mut self) -> Result<(), Error> {
        let dropped: HashSet<JobId> = self.store.commit(&self.batch)?.refused.into_iter().collect();
        let header = &mut *self.header;
        for Record { job, placed, .. } in self.batch.added.iter().map(|new| &new.record) {
            header.fresh.end = job.id.0 + 1;
            if !dropped.contains(&job.id) {
                header.counts.add(job.state, job.status, 1);
                header.fresh.by_state[job.state.index()] += u64::from(!placed);
            }
        }
        header.next = self.batch.next;
        header.seeding = self.batch.seeding.unwrap_or(header.seeding);
        if let Some(overall) = &self.batch.overall {
            header.overall = Some(overall.clone());
        }
        self.batch = Batch::new(header.next);
        Ok(())
    }
}

fn new_job<W: Workflow>(
    batch: &mut Batch<W>,
    store: &BoxStore<W>,
    job: NewJob<W>,
    at: Timestamp,
) -> Result<New<W>, Error> {
    let form = store.form();
    let what = || format!("a new job in state `{}`", job.state.name());
    let context = W::CODEC.job.save(form, &job.context);
    let context = context.map_err(|source| Error::Unwritable { what: what(), source })?;
    let what = what();
    let (_, to) = Target::save(form, job.state).map_err(|source| Error::Unwritable { what, source })?;
    let next = &mut batch.next;
    let job_snapshot = Snapshot {
        id: JobId(next.job),
        parent: None,
        step: 0,
        attempt: 1,
        began: None,
        errors: 0,
        kicked: 0,
        priority: job.priority.unwrap_or(0),
        status: if to.state.spec().terminal() { Status::Ended } else { Status::Ready },
        state: to.state,
        data: to.data,
        context,
        ready_at: at,
        delay: Duration::ZERO,
        deadline: job.deadline.map(|deadline| at + deadline),
        join: None,
    };
    let record = Record {
        // Fresh jobs are read in the order of their numbers, and those of another priority are not in it.
        placed: job_snapshot.status == Status::Ended || job_snapshot.priority != 0,
        key: None,
        job: job_snapshot,
        seq: next.seq,
        last_line: None,
        last_error: None,
    };
    next.job += 1;
    next.seq += 1;
    next.time = next.time.max(at);
    Ok(New { record, once: job.once })
}

fn save_overall<W: Workflow>(store: &BoxStore<W>, overall: &W::Overall) -> Result<Saved<W::Overall>, Error> {
    let unwritable = |source| Error::Unwritable { what: "the overall context".into(), source };
    W::CODEC.overall.save(store.form(), overall).map_err(unwritable)
}
