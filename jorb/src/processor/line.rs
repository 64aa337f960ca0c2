//! The jobs of one lane of a state, in the order of their turns.
use std::collections::{BTreeSet, HashSet, VecDeque};

use crate::{
    Demand, JobId, StateId, Timestamp, Unreadable, Workflow,
    codec::load_state,
    store::{Lane, LimiterName, Record, Turn, key_name, named_key},
};

use super::{panic::caught, permits::Uses};

/// A job that memory has.
pub(super) struct Waiting<W: Workflow> {
    pub(super) record: Box<Record<W>>,
    pub(super) at_hand: AtHand<W>,
    /// When memory got it, in nanoseconds.
    pub(super) since: u64,
    /// What it takes of, once it starts.
    pub(super) uses: Uses,
    /// In which line it was then.
    pub(super) line: usize,
}

/// What is known of the next step of a job, without asking the store.
pub(super) struct AtHand<W: Workflow> {
    /// Its values, if they need not be read from their texts.
    pub(super) values: Option<Values<W>>,
    /// Of the limiters of its state.
    pub(super) demand: Demand,
}

impl<W: Workflow> AtHand<W> {
    pub(super) const NOTHING: Self = AtHand { values: None, demand: Demand::ONE };

    /// What a job takes of limiters is not stored: it follows from its state and its context. In a state without weights and keys,
    /// nothing is read before its step.
    pub(super) fn read(record: &Record<W>) -> Self {
        if !record.job.state.spec().demands() {
            return AtHand::NOTHING;
        }
        let asked = caught(|| {
            let (state, context) = values(record).ok()?;
            let (state, demand) = state.demand(&context);
            Some(AtHand { values: Some((state, context)), demand })
        });
        // One that cannot be read, or asked, is parked by its step, which says why.
        asked.ok().flatten().unwrap_or(AtHand::NOTHING)
    }

    /// Of values that nobody has to read.
    pub(super) fn of(to: StateId<W>, state: W, context: W::Job) -> Self {
        let (state, demand) = if to.spec().demands() { state.demand(&context) } else { (state, Demand::ONE) };
        AtHand { values: Some((state, context)), demand }
    }
}

/// A state and a context.
pub(super) type Values<W> = (W, <W as Workflow>::Job);

impl<W: Workflow> Waiting<W> {
    /// A job that the store gave.
    pub(super) fn read(record: Record<W>) -> Self {
        let at_hand = AtHand::read(&record);
        Waiting { record: Box::new(record), at_hand, since: 0, uses: None, line: 0 }
    }

    pub(super) fn turn(&self) -> Turn {
        self.record.turn()
    }

    /// In nanoseconds.
    pub(super) fn starts_at(&self) -> u64 {
        self.record.job.ready_at.0.saturating_mul(1_000_000)
    }
}

/// Whether the next step of a job takes of this key of a limiter, by its name in the store.
pub(crate) fn takes_of<W: Workflow>(record: &Record<W>, key: &LimiterName) -> bool {
    let limits = record.job.state.spec().limits;
    let Some((limiter, _)) = named_key(key) else { return false };
    let Some(at) = limits.iter().position(|spec| spec.keyed && spec.path == limiter) else { return false };
    let its = AtHand::read(record).demand.key_at(limits, at);
    its.is_some_and(|its| key_name(limiter, &its) == *key)
}

/// The state and the context of a job, read from their texts.
pub(super) fn values<W: Workflow>(record: &Record<W>) -> Result<Values<W>, Unreadable> {
    let state = load_state(record.job.state.name(), &record.job.data)?;
    Ok((state, W::CODEC.job.load(&record.job.context)?))
}

/// The line of one lane. Memory has its head, the store has the rest.
///
/// The rule: memory has every waiting job whose turn is at or before `horizon`, fresh ones included; without a horizon it has
/// all.
#[allow(clippy::struct_excessive_bools)] // any of them may be so without the others
pub(super) struct Line<W: Workflow> {
    pub(super) lane: Lane,
    pub(super) uses: Uses,
    waiting: VecDeque<Waiting<W>>,
    horizon: Option<Turn>,
    /// The turns of jobs that the store is about to have: reading must not go past them.
    unsaved: BTreeSet<Turn>,
    /// The store has placed jobs behind the horizon, or is about to.
    stored: bool,
    /// There may be seeded jobs that were read and put back in the store: their turns are before the fresh ones'.
    put_back: bool,
    /// Jobs that will be inserted once their commit is durable.
    incoming: usize,
    /// The last turn that memory has, or will have.
    last: Turn,
    /// The last turn that started: its job may still be placed, and must not be read again.
    started: Turn,
    pub(super) load: Load,
    /// It stands among those that ask.
    pub(super) asks: bool,
    /// Steps of it that run, or are not durable yet.
    pub(super) out: usize,
    /// Where its queue has it.
    pub(super) spot: Spot,
    /// An operator has stopped its key.
    pub(super) held: bool,
    /// How many jobs of higher priorities that came later went before its head.
    pub(super) overtaken: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    No,
    Asked,
    /// The store is being read.
    Reading,
    /// The store had nothing yet: ask again after a commit.
    AfterCommit,
}

/// Where a line stands among those of its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// Nobody waits, or the store must be asked first.
    Out,
    /// Its head may start as far as is known.
    Ready,
    /// It is not to be looked at before a time.
    Later,
    /// It is not to be looked at until it is told.
    Blocked,
}

/// Before all turns.
pub(super) const FIRST: Turn = Turn { ready_at: Timestamp(0), seq: 0 };

impl<W: Workflow> Line<W> {
    /// One of which memory has nothing, and the store has placed jobs if it is `stored`, and may have `fresh` ones.
    pub(super) fn new(
        lane: Lane,
        (uses, held): (Uses, bool),
        room: VecDeque<Waiting<W>>,
        stored: bool,
        fresh: bool,
    ) -> Self {
        Line {
            lane,
            uses,
            held,
            waiting: room,
            horizon: (stored || fresh).then_some(FIRST),
            unsaved: BTreeSet::new(),
            stored,
            put_back: stored,
            incoming: 0,
            last: FIRST,
            started: FIRST,
            load: Load::No,
            asks: false,
            out: 0,
            spot: Spot::Out,
            overtaken: 0,
        }
    }

    /// It is over: what it had its jobs in.
    pub(super) fn into_room(self) -> VecDeque<Waiting<W>> {
        self.waiting
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Waiting<W>> {
        self.waiting.iter()
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.waiting.len() + self.incoming
    }

    #[cfg(test)]
    pub(super) fn started(&self) -> Turn {
        self.started
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Nobody waits here or will, and the store has nobody.
    pub(super) fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.incoming + self.out == 0 && !self.stored && self.load == Load::No
    }

    /// Says whether memory will keep a job that is being committed with this turn, if it has `room`; if not, only the store
    /// has it.
    pub(super) fn expect(&mut self, turn: Turn, room: bool) -> bool {
        let here = match self.horizon {
            Some(horizon) => turn <= horizon,
            None => turn <= self.last || room,
        };
        if here {
            self.incoming += 1;
            self.last = self.last.max(turn);
        } else {
            self.put(turn);
        }
        here
    }

    /// The store is about to have a job, and memory not.
    fn put(&mut self, turn: Turn) {
        self.unsaved.insert(turn);
        self.stored = true;
        self.horizon.get_or_insert(self.last);
    }

    /// Memory will keep a job that is being committed, wherever in the line it stands. It must not be placed.
    pub(super) fn keep(&mut self) {
        self.incoming += 1;
    }

    /// A job that [`Line::expect`] spoke of was not made after all.
    pub(super) fn cancel(&mut self, here: bool, turn: Turn) {
        if here {
            self.incoming -= 1;
        } else {
            self.unsaved.remove(&turn);
        }
    }

    /// A job that only the store has is durable.
    pub(super) fn saved(&mut self, turn: Turn) {
        self.unsaved.remove(&turn);
    }

    /// An expected job is durable. Says whether memory has it.
    pub(super) fn arrive(&mut self, job: Waiting<W>) -> bool {
        self.incoming -= 1;
        if job.record.placed && self.horizon.is_some_and(|horizon| job.turn() > horizon) {
            // Others were forgotten meanwhile: the store will give this one in its turn.
            self.stored = true;
            return false;
        }
        self.insert(job);
        true
    }

    /// Forgets jobs that are in the store too, the last ones first, until so many are left. Says how many it forgot.
    pub(super) fn forget(&mut self, most: usize) -> usize {
        if self.load == Load::Reading {
            return 0; // what is read goes on behind them
        }
        let (before, started) = (self.waiting.len(), self.started);
        while self.waiting.len() > most
            && self.waiting.back().is_some_and(|job| job.record.placed && job.turn() > started)
        {
            self.waiting.pop_back();
            self.stored = true;
            self.horizon = Some(self.waiting.back().map_or(started, |job| job.turn().max(started)));
        }
        before - self.waiting.len()
    }

    fn insert(&mut self, job: Waiting<W>) {
        let turn = job.turn();
        self.last = self.last.max(turn);
        match self.waiting.back() {
            Some(back) if back.turn() > turn => {
                let at = self.waiting.partition_point(|job| job.turn() <= turn);
                self.waiting.insert(at, job);
            }
            _ => self.waiting.push_back(job),
        }
    }

    /// A job that was moving when the run was last open.
    pub(super) fn resume(&mut self, job: Waiting<W>) {
        self.insert(job);
    }

    /// Its head; nothing when nobody waits, or the store must be asked first.
    pub(super) fn head(&self) -> Option<&Waiting<W>> {
        let job = self.waiting.front()?;
        let known = self.horizon.is_none_or(|horizon| job.turn() <= horizon);
        known.then_some(job)
    }

    /// Those in memory that may start in their turn; or all, if they need not wait for that.
    pub(super) fn known(&self, all: bool) -> impl Iterator<Item = &Waiting<W>> {
        let horizon = self.horizon.filter(|_| !all);
        self.waiting.iter().take_while(move |job| horizon.is_none_or(|horizon| job.turn() <= horizon))
    }

    pub(super) fn pop(&mut self) -> Option<Waiting<W>> {
        let job = self.waiting.pop_front()?;
        self.started = self.started.max(job.turn());
        self.overtaken = 0;
        self.out += 1;
        Some(job)
    }

    /// It should have more from the store, and nobody has asked. While there are `fresh` jobs, the store has only those that
    /// were put back.
    pub(super) fn is_short(&self, room: usize, fresh: bool) -> bool {
        let few = || self.waiting.len() <= room / 2;
        self.stored && self.load == Load::No && (self.put_back || !fresh) && (few() || self.is_blind())
    }

    /// Nobody can start: the store may have jobs whose turns are before those in memory.
    pub(super) fn is_blind(&self) -> bool {
        self.waiting.front().zip(self.horizon).is_some_and(|(job, horizon)| job.turn() > horizon)
    }

    /// After a commit, a store that had nothing may have something.
    pub(super) fn committed(&mut self) {
        if self.load == Load::AfterCommit {
            self.load = Load::No;
        }
    }

    /// The first turn that the store is about to have.
    pub(super) fn first_unsaved(&self) -> Option<Turn> {
        self.unsaved.first().copied()
    }

    /// Where to go on reading.
    pub(super) fn horizon(&self) -> Option<Turn> {
        self.horizon
    }

    /// Placed jobs that the store gave, in order, those after the horizon. It has no more of them, if these are `all`; but
    /// for those behind the fresh ones, which were `cut` off.
    pub(super) fn loaded(&mut self, mut page: Vec<Waiting<W>>, all: bool, cut: bool, fresh: bool, now: u64) {
        if let Some(unsaved) = self.unsaved.first() {
            page.truncate(page.partition_point(|job| job.turn() < *unsaved));
        }
        let all = all && self.unsaved.is_empty();
        self.load = if page.is_empty() && !all { Load::AfterCommit } else { Load::No };
        for job in page {
            self.horizon = Some(job.turn());
            self.insert(Waiting { since: now, ..job });
        }
        if all {
            self.put_back = false;
            self.stored = cut;
            self.settle(fresh);
        }
    }

    /// Memory has all that there is, if the store has nothing, and there are no `fresh` jobs.
    pub(super) fn settle(&mut self, fresh: bool) {
        if !self.stored && !fresh {
            self.horizon = None;
        }
    }

    /// Passes a job that stands in the store where it does not belong.
    pub(super) fn pass(&mut self, turn: Turn) {
        self.horizon = self.horizon.map(|horizon| horizon.max(turn));
        self.load = Load::No;
    }

    /// A fresh job that the store gave: kept, if there is `room`. If not, it is given back to be placed.
    pub(super) fn admit(&mut self, job: Waiting<W>, room: bool) -> Option<Waiting<W>> {
        if !room || self.put_back {
            self.put_back = true;
            self.put(job.turn());
            return Some(job);
        }
        if let Some(horizon) = &mut self.horizon {
            *horizon = job.turn().max(*horizon);
        }
        self.insert(job);
        None
    }

    /// Whoever memory does not know waits for a time after `now`.
    pub(super) fn is_later(&self, now: Timestamp) -> bool {
        self.horizon.is_none_or(|horizon| horizon.ready_at > now)
    }

    /// How many in memory wait for a time after `now`.
    pub(super) fn delayed(&self, now: Timestamp) -> usize {
        self.waiting.len() - self.waiting.partition_point(|job| job.record.job.ready_at <= now)
    }

    /// Takes a job in memory that may not be the first, to run it.
    pub(super) fn take_if(&mut self, wanted: impl Fn(&Waiting<W>) -> bool) -> Option<Waiting<W>> {
        let at = self.waiting.iter().position(wanted)?;
        let job = self.waiting.remove(at)?;
        self.started = self.started.max(job.turn());
        self.out += 1;
        Some(job)
    }

    /// Takes out those that are cancelled.
    pub(super) fn take_out(&mut self, jobs: &HashSet<JobId>) {
        self.waiting.retain(|job| !jobs.contains(&job.record.job.id));
    }

    /// The first of the jobs in memory that `wanted` wants.
    pub(super) fn next_of(&self, wanted: impl Fn(&Waiting<W>) -> bool) -> Option<&Waiting<W>> {
        self.waiting.iter().find(|job| wanted(job))
    }
}
