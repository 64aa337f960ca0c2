//! Which jobs are asked for, and how they are found without looking at all of them.
use std::collections::VecDeque;

use crate::{
    Error, JobId, Shown, StateId, Status, Timestamp, Workflow,
    store::{BoxStore, Header, Lane, Record, Turn},
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
    /// Jobs that were changed by this commit or a later one are not met, but by number.
    fence: u64,
    page: VecDeque<Record<W>>,
    source: Source<W>,
}

/// Where the next page comes from.
enum Source<W: Workflow> {
    /// Where jobs of these states stand, one place after the other.
    Places {
        places: VecDeque<Place<W>>,
        after: Option<Turn>,
    },
    /// All jobs, by id.
    All {
        from: JobId,
    },
    One(JobId),
    Nowhere,
}

enum Place<W: Workflow> {
    /// Jobs that move, of any state: no more than the engine has in memory.
    Moving,
    /// Those of a state and a status that do not move, line by line, after this one.
    Lines(StateId<W>, Status, Option<Lane>),
    /// Those of one line, in the order of their turns.
    Line(StateId<W>, Status, Lane),
    /// Those that were seeded and not looked at since, of any state: by id, from here until before there.
    Fresh(JobId, JobId),
}

/// All jobs are only looked at if neither a state nor a status is asked for.
fn source<W: Workflow>(filter: &Filter<W>, header: &Header<W>) -> Source<W> {
    if (filter.state, filter.status) == (None, None) {
        return Source::All { from: JobId(0) };
    }
    let mut states: Vec<_> = match filter.state {
        Some(state) => vec![state],
        None => StateId::all().collect(),
    };
    let waits = |shown: Shown| !matches!(shown, Shown::Parked | Shown::Ended);
    if filter.status.is_some_and(waits) {
        states.retain(|state| header.held.contains(state) == (filter.status == Some(Shown::Held)));
    }
    let (ends, goes_on): (Vec<_>, Vec<_>) = states.into_iter().partition(|state| state.spec().terminal());
    let mut places = VecDeque::new();
    if filter.status.is_none_or(waits) && !goes_on.is_empty() {
        places.push_back(Place::Moving);
        places.extend(goes_on.iter().map(|state| Place::Lines(*state, Status::Ready, None)));
        if goes_on.iter().any(|state| header.fresh.by_state[state.index()] > 0) {
            places.push_back(Place::Fresh(JobId(header.fresh.next), JobId(header.fresh.end)));
        }
    }
    if filter.status.is_none_or(|shown| shown == Shown::Parked) {
        places.extend(goes_on.iter().map(|state| Place::Line(*state, Status::Parked, Lane::FIRST)));
    }
    if filter.status.is_none_or(|shown| shown == Shown::Ended) {
        places.extend(ends.iter().map(|state| Place::Line(*state, Status::Ended, Lane::FIRST)));
    }
    Source::Places { places, after: None }
}

impl<W: Workflow> Walk<W> {
    pub(super) fn new(filter: Filter<W>, header: &Header<W>) -> Self {
        let source = match filter.job {
            Some(job) => Source::One(job),
            None => source(&filter, header),
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
            Source::Places { places, after } => {
                let Some(place) = places.pop_front() else {
                    self.source = Source::Nowhere;
                    return Ok(Vec::new());
                };
                let (mut page, rest) = match place {
                    Place::Moving => (store.moving()?, None),
                    Place::Lines(state, status, last) => {
                        let lanes = store.lanes(state, status, last.as_ref(), PAGE)?;
                        if let Some(last) = lanes.last() {
                            places.push_front(Place::Lines(state, status, Some(last.clone())));
                        }
                        for lane in lanes.into_iter().rev() {
                            places.push_front(Place::Line(state, status, lane));
                        }
                        (Vec::new(), None)
                    }
                    Place::Line(state, status, lane) => {
                        // Jobs whose time has not come stand behind all others.
                        let delayed = self.filter.status == Some(Shown::Delayed);
                        let come = delayed.then_some(Turn { ready_at: self.now, seq: u64::MAX });
                        let mut page = store.line(state, status, &lane, after.or(come), PAGE)?;
                        *after = page.last().map(Record::turn);
                        if self.filter.status == Some(Shown::Ready) {
                            page.retain(|record| record.job.ready_at <= self.now);
                        }
                        (page, Some(Place::Line(state, status, lane)))
                    }
                    Place::Fresh(from, end) => {
                        let mut page = store.page(from, PAGE)?;
                        page.retain(|record| record.job.id < end);
                        let rest = page.last().map(|last| Place::Fresh(JobId(last.job.id.0 + 1), end));
                        (page, rest)
                    }
                };
                match rest {
                    Some(rest) if !page.is_empty() => places.push_front(rest),
                    _ => *after = None,
                }
                page.retain(|record| record.seq < self.fence);
                Ok(page)
            }
        }
    }
}
