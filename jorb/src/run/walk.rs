//! Which jobs are asked for, and how they are found without looking at all of them.
use std::collections::VecDeque;

use crate::{
    Error, JobId, Shown, StateId, Status, Timestamp, Workflow,
    store::{BoxStore, Header, Record, Turn},
};

/// Jobs that are read at once. Their contexts may be large.
const PAGE: usize = 256;

/// Which jobs are asked for.
pub(super) struct Filter<W: Workflow> {
    pub(super) state: Option<StateId<W>>,
    pub(super) status: Option<Shown>,
    /// What the newest error contains.
    pub(super) error: Option<String>,
    pub(super) job: Option<JobId>,
    pub(super) limit: u64,
}

impl<W: Workflow> Filter<W> {
    pub(super) fn all() -> Self {
        Filter { state: None, status: None, error: None, job: None, limit: u64::MAX }
    }
}

impl<W: Workflow> Clone for Filter<W> {
    fn clone(&self) -> Self {
        Filter { error: self.error.clone(), ..*self }
    }
}

/// Walks over the jobs of a filter, page by page.
pub(super) struct Walk<W: Workflow> {
    filter: Filter<W>,
    held: Vec<StateId<W>>,
    now: Timestamp,
    /// Jobs that were changed by this commit or a later one are not met in a line.
    fence: u64,
    page: VecDeque<Record<W>>,
    source: Source<W>,
}

/// Where the next page comes from.
enum Source<W: Workflow> {
    /// The lines of these states and this status, each in the order of its turns.
    Lines {
        states: VecDeque<StateId<W>>,
        status: Status,
        after: Option<Turn>,
    },
    /// All jobs, by id.
    All {
        from: JobId,
    },
    One(JobId),
    Nowhere,
}

/// Jobs that ended or are parked are found in their lines; for others, all are looked at.
fn source<W: Workflow>(filter: &Filter<W>) -> Source<W> {
    let ends = |state: &StateId<W>| state.spec().terminal();
    let status = match (filter.status, filter.state) {
        (Some(Shown::Parked), _) => Status::Parked,
        (Some(Shown::Ended), _) => Status::Ended,
        (None, Some(state)) if ends(&state) => Status::Ended,
        _ => return Source::All { from: JobId(0) },
    };
    let lines = match filter.state {
        Some(state) => VecDeque::from([state]),
        None => StateId::all().filter(|state| ends(state) == (status == Status::Ended)).collect(),
    };
    Source::Lines { states: lines, status, after: None }
}

impl<W: Workflow> Walk<W> {
    pub(super) fn new(filter: Filter<W>, header: &Header<W>) -> Self {
        let source = match filter.job {
            Some(job) => Source::One(job),
            None => source(&filter),
        };
        let source = if filter.limit == 0 { Source::Nowhere } else { source };
        Walk {
            filter,
            held: header.held.clone(),
            now: header.now(),
            fence: u64::MAX,
            page: VecDeque::new(),
            source,
        }
    }

    /// As of now: a job that is changed during the walk and comes back to its line is not met again.
    pub(super) fn fenced(mut self, header: &Header<W>) -> Self {
        self.fence = header.next.seq;
        self
    }

    /// The next job, and how it stands.
    pub(super) fn next(&mut self, store: &mut BoxStore<W>) -> Result<Option<(Record<W>, Shown)>, Error> {
        loop {
            let Some(record) = self.page.pop_front() else {
                if matches!(self.source, Source::Nowhere) {
                    return Ok(None);
                }
                self.page = self.read(store)?.into();
                continue;
            };
            let shown = Shown::of(&record, &self.held, self.now);
            if self.asks_for(&record, shown, store)? {
                self.filter.limit -= 1;
                if self.filter.limit == 0 {
                    self.page.clear();
                    self.source = Source::Nowhere;
                }
                return Ok(Some((record, shown)));
            }
        }
    }

    fn asks_for(&self, record: &Record<W>, shown: Shown, store: &mut BoxStore<W>) -> Result<bool, Error> {
        let Filter { state, status, error, .. } = &self.filter;
        if state.is_some_and(|state| state != record.job.state)
            || status.is_some_and(|status| status != shown)
        {
            return Ok(false);
        }
        let Some(text) = error else { return Ok(true) };
        if record.job.errors == 0 {
            return Ok(false);
        }
        Ok(store.last_error(record.job.id)?.is_some_and(|last| last.error.contains(text)))
    }

    /// The next page, which may be empty before the end.
    fn read(&mut self, store: &mut BoxStore<W>) -> Result<Vec<Record<W>>, Error> {
        match &mut self.source {
            Source::Nowhere => Ok(Vec::new()),
            Source::One(id) => {
                let id = *id;
                self.source = Source::Nowhere;
                Ok(store.job(id)?.into_iter().collect())
            }
            Source::All { from } => {
                let page = store.page(*from, PAGE)?;
                match page.last() {
                    Some(last) => from.0 = last.job.id.0 + 1,
                    None => self.source = Source::Nowhere,
                }
                Ok(page)
            }
            Source::Lines { states, status, after } => {
                let Some(&state) = states.front() else {
                    self.source = Source::Nowhere;
                    return Ok(Vec::new());
                };
                let mut page = store.line(state, *status, *after, PAGE)?;
                *after = page.last().map(Record::turn);
                if page.is_empty() {
                    states.pop_front();
                }
                page.retain(|record| record.seq < self.fence);
                Ok(page)
            }
        }
    }
}
