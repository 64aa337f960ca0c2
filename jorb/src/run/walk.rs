//! Which jobs are asked for, and how they are found without looking at all of them.
use std::collections::VecDeque;

use super::Path;
use crate::{
    Error, JobId, Shown, StateId, Status, Timestamp, Workflow,
    nearest::no_such_state,
    processor::takes_of,
    store::{Header, Lane, LimiterName, Record, Store, Turn, named_key},
    tuning::key_of,
};

/// Jobs that are read at once. Their contexts may be large.
const PAGE: usize = 256;

/// Which jobs are asked for.
pub(crate) struct Filter<W: Workflow> {
    pub(crate) state: Option<StateId<W>>,
    pub(crate) status: Option<Shown>,
    /// Only those with a step to make, now or later.
    pub(crate) to_do: bool,
    /// What the newest error contains.
    pub(crate) error: Option<String>,
    pub(crate) job: Option<Path>,
    /// Of a limiter, by its name in the store: those whose next step takes of it.
    pub(crate) key: Option<LimiterName>,
    pub(crate) limit: u64,
}

impl<W: Workflow> Filter<W> {
    /// Only jobs in the state of this name.
    pub(crate) fn in_state_named(self, name: &str) -> Result<Self, Error> {
        let state = StateId::named(name).ok_or_else(|| no_such_state::<W>(name))?;
        Ok(Filter { state: Some(state), ..self })
    }

    /// Only jobs whose next step takes of this key of the limiter of this name.
    pub(crate) fn of_key(self, limiter: &str, key: &str) -> Result<Self, Error> {
        Ok(Filter { key: Some(key_of::<W>(limiter, key)?), ..self })
    }

    pub(crate) fn all() -> Self {
        Filter { state: None, status: None, to_do: false, error: None, job: None, key: None, limit: u64::MAX }
    }
}

impl<W: Workflow> Filter<W> {
    /// Whoever cancels means jobs that have a step to make, unless they say how they stand, or which one.
    pub(crate) fn of_cancel(mut self) -> Self {
        self.to_do = self.status.is_none() && self.job.is_none();
        self
    }

    /// Whether it asks for a job that stands so, as far as its error goes not.
    pub(crate) fn asks_for(&self, record: &Record<W>, shown: Shown) -> bool {
        self.state.is_none_or(|state| state == record.job.state)
            && self.status.is_none_or(|status| status == shown)
            && (!self.to_do || matches!(record.job.status, Status::Ready | Status::Joining))
            && self.key.as_ref().is_none_or(|key| takes_of(record, key))
    }
}

impl<W: Workflow> Clone for Filter<W> {
    fn clone(&self) -> Self {
        Filter { error: self.error.clone(), job: self.job.clone(), key: self.key.clone(), ..*self }
    }
}

/// Walks over the jobs of a filter, page by page.
pub(crate) struct Walk<W: Workflow> {
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
    One(Path),
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
    if (filter.state, filter.status, filter.to_do) == (None, None, false) {
        return Source::All { from: JobId(0) };
    }
    let mut states: Vec<_> = match filter.state {
        Some(state) => vec![state],
        None => StateId::all().collect(),
    };
    if let Some((limiter, _)) = filter.key.as_deref().and_then(named_key) {
        states.retain(|state| state.spec().limits.iter().any(|spec| spec.path == limiter));
    }
    let waits = |shown: Shown| matches!(shown, Shown::Ready | Shown::Delayed | Shown::Held);
    if filter.status.is_some_and(waits) {
        states.retain(|state| header.held.contains(state) == (filter.status == Some(Shown::Held)));
    }
    let (ends, goes_on): (Vec<_>, Vec<_>) = states.into_iter().partition(|state| state.spec().terminal());
    let in_all =
        |status| goes_on.iter().chain(&ends).map(move |state| Place::Line(*state, status, Lane::FIRST));
    let mut places = VecDeque::new();
    // First: who cancels their children page by page would not meet them any more.
    if filter.status.is_none_or(|shown| shown == Shown::Joining) {
        places.extend(in_all(Status::Joining));
    }
    if filter.status.is_none_or(waits) && !goes_on.is_empty() {
        places.push_back(Place::Moving);
        places.extend(goes_on.iter().map(|state| Place::Lines(*state, Status::Ready, None)));
        if goes_on.iter().any(|state| header.fresh.by_state[state.index()] > 0) {
            places.push_back(Place::Fresh(JobId(header.fresh.next), JobId(header.fresh.end)));
        }
    }
    let stands = |shown| filter.status.map_or(!filter.to_do, |status| status == shown);
    if stands(Shown::Parked) {
        places.extend(goes_on.iter().map(|state| Place::Line(*state, Status::Parked, Lane::FIRST)));
    }
    if stands(Shown::Cancelled) {
        places.extend(in_all(Status::Cancelled));
    }
    if stands(Shown::Ended) {
        places.extend(ends.iter().map(|state| Place::Line(*state, Status::Ended, Lane::FIRST)));
    }
    Source::Places { places, after: None }
}

impl<W: Workflow> Walk<W> {
    pub(crate) fn new(filter: Filter<W>, header: &Header<W>) -> Self {
        let source = match &filter.job {
            Some(job) => Source::One(job.clone()),
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

    /// As of a time, and with states that are held then.
    pub(crate) fn at(filter: Filter<W>, header: &Header<W>, held: Vec<StateId<W>>, now: Timestamp) -> Self {
        let header = Header { held, ..header.clone() };
        Walk { now, ..Walk::new(filter, &header) }
    }

    /// As of now: a job that is changed during the walk and comes back to its line is not met again.
    pub(crate) fn fenced(mut self, header: &Header<W>) -> Self {
        self.fence = header.next.seq;
        self
    }

    /// The next job, and how it stands.
    pub(crate) fn next(&mut self, store: &mut dyn Store<W>) -> Result<Option<(Record<W>, Shown)>, Error> {
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

    /// There are no more.
    pub(crate) fn is_over(&self) -> bool {
        let nowhere = match &self.source {
            Source::Nowhere => true,
            Source::Places { places, .. } => places.is_empty(),
            Source::All { .. } | Source::One(_) => false,
        };
        nowhere && self.page.is_empty()
    }

    /// The next jobs, if there are any.
    pub(crate) fn page(&mut self, store: &mut dyn Store<W>) -> Result<Vec<Record<W>>, Error> {
        let mut page = Vec::new();
        while page.len() < PAGE
            && let Some((record, _)) = self.next(store)?
        {
            page.push(record);
        }
        Ok(page)
    }

    fn asks_for(&self, record: &Record<W>, shown: Shown, store: &mut dyn Store<W>) -> Result<bool, Error> {
        if !self.filter.asks_for(record, shown) {
            return Ok(false);
        }
        let Some(text) = &self.filter.error else { return Ok(true) };
        if record.job.errors == 0 {
            return Ok(false);
        }
        Ok(store.last_error(record.job.id)?.is_some_and(|last| last.error.contains(text)))
    }

    /// The next page, which may be empty before the end.
    fn read(&mut self, store: &mut dyn Store<W>) -> Result<Vec<Record<W>>, Error> {
        match &mut self.source {
            Source::Nowhere => Ok(Vec::new()),
            Source::One(path) => {
                let id = path.find(store)?;
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
                        let rest = (!page.is_empty()).then_some(Place::Line(state, status, lane));
                        (page, rest)
                    }
                    Place::Fresh(from, end) => {
                        let mut page = store.page(from, PAGE)?;
                        page.retain(|record| record.job.id < end);
                        let rest = page.last().map(|last| Place::Fresh(JobId(last.job.id.0 + 1), end));
                        // Those that are not fresh are met where they stand.
                        page.retain(|record| !record.placed && record.seq <= end.0);
                        (page, rest)
                    }
                };
                match rest {
                    Some(rest) => places.push_front(rest),
                    None => *after = None,
                }
                page.retain(|record| record.seq < self.fence);
                Ok(page)
            }
        }
    }
}
