//! Moving jobs on by hand.
use std::{fmt, time::Duration};

use serde::de::DeserializeOwned;

use super::{
    jobs::{AnyState, Jobs},
    walk::Walk,
};
use crate::{
    Error, Form, Job, JobIn, Run, Saved, Shown, State, StateId, Status, Timestamp, Unreadable, Workflow,
    codec::load_state,
    nearest::no_such_state,
    reduce::Target,
    store::{Batch, Change, Line, Numbers, Record},
};

/// Jobs that are changed in one transaction.
pub(super) const BATCH: usize = 1024;

/// Jobs to redrive: [`Run::redrive`].
///
/// Parked jobs, unless you say otherwise: those of a terminal state have ended, and are meant when you name it;
/// [`Redrive::status`] and [`Redrive::job`] reach all others, such as those that were cancelled. Seeded jobs that were
/// not started yet are left alone. A deadline that has passed is cleared.
#[must_use = "it does nothing before `retry` or `to`"]
pub struct Redrive<'r, W: Workflow, S = AnyState> {
    jobs: Jobs<'r, W, S>,
    dry_run: bool,
}

impl<W: Workflow> Run<W> {
    /// Tries parked jobs again, or moves jobs to another state; of all those, or of the ones that you look for.
    ///
    /// All jobs are checked before the first one is changed: when one of them cannot go where it is to go, nothing is
    /// changed. Then they are changed in batches, each of which is durable.
    ///
    /// ```
    /// # use jorb::prelude::*;
    /// use jorb::{MemoryStore, Processor, Run};
    ///
    /// #[workflow(job = String)]
    /// #[derive(Debug, Clone)]
    /// enum Crawl {
    ///     #[state(initial, next(Done, Gone))]
    ///     Fetch,
    ///     #[state(terminal)]
    ///     Done,
    ///     #[state(terminal)]
    ///     Gone { status: u16 },
    /// }
    ///
    /// #[state]
    /// async fn fetch(_: crawl::Fetch, cx: &mut Cx<Crawl>) -> Outcome<crawl::Fetch> {
    ///     match cx.job.as_str() {
    ///         "index" => Ok(Next::to(crawl::Done)),
    ///         _ => Ok(Next::to(crawl::Gone { status: 410 })),
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), jorb::Error> {
    /// let mut run = Run::<Crawl>::open(MemoryStore::new())?;
    /// run.seed((), |jobs| jobs.add(Kick::new(crawl::Fetch, "home".into())))?;
    /// let _ = Processor::new(()).exec(&mut run).await?;
    ///
    /// // The page has another name now.
    /// let moved = run.redrive().in_state::<crawl::Gone>().to(|gone, page| {
    ///     assert_eq!(gone.status, 410);
    ///     *page = "index".into();
    ///     crawl::Fetch
    /// })?;
    /// assert_eq!(moved, 1);
    /// assert_eq!(Processor::new(()).exec(&mut run).await?.jobs("Done"), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn redrive(&mut self) -> Redrive<'_, W> {
        Redrive { jobs: self.jobs(), dry_run: false }
    }
}

impl<'r, W: Workflow> Redrive<'r, W> {
    /// Only those in this state, with its fields.
    pub fn in_state<S: State<Workflow = W>>(self) -> Redrive<'r, W, S> {
        Redrive { jobs: self.jobs.in_state(), dry_run: self.dry_run }
    }

    /// Only those in the state of this name.
    pub fn state(self, name: &str) -> Result<Self, Error> {
        Ok(Redrive { jobs: self.jobs.state(name)?, ..self })
    }

    /// Moves them to the state of this name, with these fields as JSON. Without them, the state must have no fields,
    /// or those of the old state must fit. Gives how many there were.
    ///
    /// It counts as a step, and stands in the history, as attempt 0. Contexts, errors and history stay.
    pub fn to_state(self, name: &str, data: Option<&str>) -> Result<u64, Error> {
        let to = StateId::<W>::named(name).ok_or_else(|| no_such_state::<W>(name))?;
        let given = data.is_some();
        self.apply(|job, form| {
            let misfit = |source| Error::StateData { job: job.id(), state: to.name(), source };
            let data = data.map(Into::into).or(job.state_json()?);
            let state = load_state(to.name(), &data.map_or(Saved::Nothing, Saved::Json)).map_err(misfit)?;
            let (_, target) = Target::save(form, state)
                .map_err(|source| Error::Unwritable { what: format!("job {}", job.id()), source })?;
            if given && !to.spec().fields {
                let reason = "it has no fields".into();
                return Err(misfit(Unreadable { type_name: to.name(), reason }));
            }
            let mut record = job.record().clone();
            (record.job.state, record.job.data) = (target.state, target.data);
            Ok(Some((record, true)))
        })
    }
}

impl<W: Workflow, S: State<Workflow = W> + DeserializeOwned> Redrive<'_, W, S> {
    /// Moves each to the state that `to` gives; what `to` does to the context is saved as well. Gives how many there
    /// were.
    ///
    /// It counts as a step, and stands in the history, as attempt 0. Errors and history stay. `to` is called twice for
    /// each job: once to check that all of them can be moved.
    pub fn to<T: Into<W>>(self, to: impl Fn(S, &mut W::Job) -> T) -> Result<u64, Error> {
        self.apply(|job, form| {
            let what = format!("job {}", job.id());
            let mut record = job.record().clone();
            let JobIn { state, mut context, .. } = JobIn::<S>::new(job)?;
            let unwritable = |source| Error::Unwritable { what: what.clone(), source };
            let (_, target) = Target::save(form, to(state, &mut context).into()).map_err(unwritable)?;
            record.job.context = W::CODEC.job.save(form, &context).map_err(unwritable)?;
            (record.job.state, record.job.data) = (target.state, target.data);
            Ok(Some((record, true)))
        })
    }
}

impl<W: Workflow, S> Redrive<'_, W, S> {
    /// Only those that stand so.
    pub fn status(self, status: impl Into<Shown>) -> Self {
        Redrive { jobs: self.jobs.status(status), ..self }
    }

    /// Only those whose newest error contains this text.
    pub fn error_contains(self, text: impl Into<String>) -> Self {
        Redrive { jobs: self.jobs.error_contains(text), ..self }
    }

    /// Only this job, by its number or its path, however it stands.
    pub fn job(self, name: impl fmt::Display) -> Result<Self, Error> {
        Ok(Redrive { jobs: self.jobs.only(name)?, ..self })
    }

    /// No more than so many.
    pub fn limit(self, most: u64) -> Self {
        Redrive { jobs: self.jobs.limit(most), ..self }
    }

    /// Changes nothing: only checks and counts.
    pub fn dry_run(self, dry_run: bool) -> Self {
        Redrive { dry_run, ..self }
    }

    /// Tries them again in place, with all their attempts; those that ended are left out. Gives how many there were. A job that
    /// waits for its children waits no longer, and sees how they stand now; one that was cancelled while it waited waits again.
    ///
    /// The step keeps its number, so its idempotency key is the same as before. Errors and history stay.
    pub fn retry(self) -> Result<u64, Error> {
        self.apply(|job, _| {
            let record = job.record().clone();
            Ok((job.status() != Shown::Ended).then_some((record, false)))
        })
    }

    /// Gives each job to `change`, twice. It gives the job's new state, and whether that counts as a move.
    fn apply(
        self,
        change: impl Fn(Job<W>, Form) -> Result<Option<(Record<W>, bool)>, Error>,
    ) -> Result<u64, Error> {
        let Redrive { jobs: Jobs { run, mut filter, .. }, dry_run } = self;
        run.check_seeded()?;
        run.reopen()?;
        if filter.status.is_none() && filter.job.is_none() {
            let terminal = filter.state.is_some_and(|state| state.spec().terminal());
            filter.status = Some(if terminal { Shown::Ended } else { Shown::Parked });
        }
        let most = std::mem::replace(&mut filter.limit, u64::MAX);
        let (now, fresh) = (run.header.now(), run.header.fresh.clone());
        let each = |run: &mut Run<W>, on_change: &mut dyn FnMut(&mut Run<W>, _) -> Result<(), Error>| {
            let mut walk = Walk::new(filter.clone(), &run.header).fenced(&run.header);
            let mut n = 0;
            while n < most {
                let store = run.store.as_mut().ok_or(Error::Away)?;
                let form = store.form();
                let Some((record, shown)) = walk.next(store)? else { break };
                let before = record.clone();
                if fresh.has(before.job.id, &before.standing()) {
                    continue;
                }
                let Some((now, moved)) = change(Job::new((record, shown)), form)? else { continue };
                on_change(run, (before, now, moved))?;
                n += 1;
            }
            Ok(n)
        };
        let n = each(run, &mut |_, _| Ok(()))?;
        if dry_run || n == 0 {
            return Ok(n);
        }
        let mut batch = Batch::new(run.header.next);
        batch.next.time = batch.next.time.max(now);
        each(run, &mut |run, (before, after, moved)| {
            batch.changes.push(redriven(&before, after, moved, now, &mut batch.next));
            if batch.changes.len() < BATCH { Ok(()) } else { commit(run, &mut batch) }
        })?;
        commit(run, &mut batch)?;
        Ok(n)
    }
}

fn redriven<W: Workflow>(
    before: &Record<W>,
    mut now: Record<W>,
    moved: bool,
    at: Timestamp,
    next: &mut Numbers,
) -> Change<W> {
    let terminal = now.job.state.spec().terminal();
    now.seq = next.seq;
    next.seq += 1;
    now.placed = true;
    (now.job.attempt, now.job.began) = (1, None);
    let waits =
        before.job.status == Status::Cancelled && before.job.join.as_ref().is_some_and(|join| join.left > 0);
    now.job.status = match terminal {
        _ if waits && !moved => Status::Joining,
        true => Status::Ended,
        false => Status::Ready,
    };
    (now.job.ready_at, now.job.delay) = (at, Duration::ZERO);
    now.job.deadline.take_if(|deadline| *deadline <= at);
    let line = moved.then(|| {
        now.job.join = None;
        now.job.step += 1;
        let id = next.line;
        next.line += 1;
        Line {
            id,
            previous: now.last_line.replace(id),
            step: before.job.step,
            attempt: 0,
            from: before.job.state.name().into(),
            to: now.job.state.name().into(),
            at,
            waited: at.since(before.job.ready_at),
            ran: Duration::ZERO,
            first_child: None,
            children: 0,
        }
    });
    Change { before: before.standing(), now: Box::new(now), line, error: None, kicks: Vec::new() }
}

pub(super) fn commit<W: Workflow>(run: &mut Run<W>, batch: &mut Batch<W>) -> Result<(), Error> {
    let fired = run.store.as_mut().ok_or(Error::Away)?.commit(batch)?.fired;
    let header = &mut run.header;
    header.next = batch.next;
    batch.changes.drain(..).for_each(|change| header.count(&change));
    for record in &fired {
        header.count_fired(record);
    }
    Ok(())
}
