//! The jobs that wait in one state, in the order of their turns.
use std::collections::{BTreeSet, VecDeque};

use crate::{
    Demand, StateId, Timestamp, Unreadable, Workflow,
    codec::load_state,
    store::{Record, Turn},
};

use super::{panic::caught, permits::Refused};

/// A job that memory has.
pub(super) struct Waiting<W: Workflow> {
    pub(super) record: Box<Record<W>>,
    pub(super) at_hand: AtHand<W>,
    /// When memory got it, in nanoseconds.
    pub(super) since: u64,
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

    /// What a job takes of limiters is not stored: it follows from its state and its context. In a state without weights,
    /// nothing is read before its step.
    pub(super) fn read(record: &Record<W>) -> Self {
        if !record.job.state.spec().is_weighted() {
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
        let (state, demand) =
            if to.spec().is_weighted() { state.demand(&context) } else { (state, Demand::ONE) };
        AtHand { values: Some((state, context)), demand }
    }
}

/// A state and a context.
pub(super) type Values<W> = (W, <W as Workflow>::Job);

impl<W: Workflow> Waiting<W> {
    /// A job that the store gave.
    pub(super) fn read(record: Record<W>) -> Self {
        let at_hand = AtHand::read(&record);
        Waiting { record: Box::new(record), at_hand, since: 0 }
    }

    pub(super) fn turn(&self) -> Turn {
        self.record.turn()
    }

    /// In nanoseconds.
    pub(super) fn starts_at(&self) -> u64 {
        self.record.job.ready_at.0.saturating_mul(1_000_000)
    }
}

/// The state and the context of a job, read from their texts.
pub(super) fn values<W: Workflow>(record: &Record<W>) -> Result<Values<W>, Unreadable> {
    let state = load_state(record.job.state.name(), &record.job.data)?;
    Ok((state, W::CODEC.job.load(&record.job.context)?))
}

/// The line of one state. Memory has its head, the store has the rest.
///
/// The rule: memory has every waiting job whose turn is at or before `horizon`; without a horizon it has all.
pub(super) struct Line<W: Workflow> {
    waiting: VecDeque<Waiting<W>>,
    horizon: Option<Turn>,
    /// Waiting jobs that only the store has, or is about to have.
    beyond: u64,
    /// The turns of those that it is about to have: reading must not go past them.
    unsaved: BTreeSet<Turn>,
    /// There may be seeded jobs that were read and put back in the store: their turns are before the fresh ones'.
    put_back: bool,
    /// Jobs that will be inserted once their commit is durable.
    incoming: usize,
    /// The last turn that memory has, or will have.
    last: Turn,
    /// The last turn that started: its job may still be placed, and must not be read again.
    started: Turn,
    window: usize,
    /// What a line that flows may keep: so many, or fewer if they are large.
    widest: usize,
    wide: usize,
    load: Load,
    /// Steps in flight.
    pub(super) executing: usize,
    /// Its steps that are on their way to the store.
    pub(super) uncommitted: usize,
    /// Slots that wait to be woken.
    pub(super) idle: usize,
    /// Stopped by an operator.
    pub(super) held: bool,
    /// What its next job waits for, if not for a slot.
    pub(super) refused: Option<(Refused, u64)>,
    /// When its slots are to look again.
    pub(super) wake_at: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    No,
    Asked,
    /// The store had nothing yet: ask again after a commit.
    AfterCommit,
}

/// A line flows while its head is in memory for no longer than this: 100 ms.
pub(super) const FLOWS: u64 = 100_000_000;
/// A line that flows keeps fewer jobs than make so many bytes.
const WIDE_BYTES: usize = 8 << 20;

const FIRST: Turn = Turn { ready_at: Timestamp(0), seq: 0 };

impl<W: Workflow> Line<W> {
    /// A line of `beyond` jobs, none of which memory has, that keeps about `window` in memory, and `widest` while it
    /// flows.
    pub(super) fn new(beyond: u64, window: usize, widest: usize, held: bool) -> Self {
        Line {
            waiting: VecDeque::new(),
            horizon: (beyond > 0).then_some(FIRST),
            beyond,
            unsaved: BTreeSet::new(),
            put_back: true,
            incoming: 0,
            last: FIRST,
            started: FIRST,
            window,
            widest: widest.max(window),
            wide: window,
            load: Load::No,
            executing: 0,
            uncommitted: 0,
            idle: 0,
            held,
            refused: None,
            wake_at: None,
        }
    }

    /// Says whether memory will keep a job that is being committed with this turn; if not, only the store has it.
    pub(super) fn expect(&mut self, turn: Turn, bytes: usize, now: u64) -> bool {
        self.sized(bytes);
        let here = match self.horizon {
            Some(horizon) => turn <= horizon,
            None => turn <= self.last || self.waiting.len() + self.incoming < self.room(now),
        };
        if here {
            self.incoming += 1;
            self.last = self.last.max(turn);
        } else {
            self.beyond += 1;
            self.unsaved.insert(turn);
            self.horizon.get_or_insert(self.last);
        }
        here
    }

    /// Memory keeps at least so many.
    pub(super) fn widen(&mut self, window: usize) {
        self.window = self.window.max(window);
        self.widest = self.widest.max(self.window);
        self.wide = self.wide.max(self.window);
    }

    /// A job of so many bytes was seen.
    fn sized(&mut self, bytes: usize) {
        self.wide = (WIDE_BYTES / bytes.max(1)).clamp(self.window, self.widest);
    }

    /// How many jobs memory keeps at most, about.
    fn room(&self, now: u64) -> usize {
        if self.flows(now) { self.wide } else { self.window }
    }

    /// Its jobs do not wait for long.
    fn flows(&self, now: u64) -> bool {
        self.waiting.front().is_none_or(|job| now.saturating_sub(job.since) < FLOWS)
    }

    /// How many jobs it has in memory, if they do not wait for long.
    pub(super) fn flowing(&self, now: u64) -> usize {
        if self.flows(now) { self.waiting.len() } else { 0 }
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
            self.beyond -= 1;
            self.unsaved.remove(&turn);
        }
        self.settle();
    }

    /// A job that only the store has is durable.
    pub(super) fn saved(&mut self, turn: Turn) {
        self.unsaved.remove(&turn);
    }

    /// An expected job is durable.
    pub(super) fn arrive(&mut self, job: Waiting<W>) {
        self.incoming -= 1;
        if job.record.placed && self.horizon.is_some_and(|horizon| job.turn() > horizon) {
            // Others were forgotten meanwhile: the store will give this one in its turn.
            self.beyond += 1;
            return;
        }
        self.insert(job);
        // Delayed jobs are in the store too, and can be forgotten here.
        let started = self.started;
        while self.waiting.len() > 2 * self.wide
            && self.waiting.back().is_some_and(|job| job.record.placed && job.turn() > started)
        {
            self.waiting.pop_back();
            self.beyond += 1;
            self.horizon = Some(self.waiting.back().map_or(started, |job| job.turn().max(started)));
        }
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
    pub(super) fn resume(&mut self, job: Waiting<W>, now: u64) {
        self.beyond -= 1;
        self.insert(Waiting { since: now, ..job });
        self.settle();
    }

    /// Its head; nothing when nobody waits, or the store must be asked first.
    pub(super) fn head(&self) -> Option<&Waiting<W>> {
        let job = self.waiting.front()?;
        let known = self.horizon.is_none_or(|horizon| job.turn() <= horizon);
        known.then_some(job)
    }

    pub(super) fn pop(&mut self) -> Option<Waiting<W>> {
        let job = self.waiting.pop_front()?;
        self.started = self.started.max(job.turn());
        Some(job)
    }

    /// Its slots are to look again at this time. Says whether that is earlier than what the timer knows.
    pub(super) fn wake_by(&mut self, at: u64) -> bool {
        let earlier = self.wake_at.is_none_or(|known| at < known);
        if earlier {
            self.wake_at = Some(at);
        }
        earlier
    }

    /// It should have more from the store, and nobody has asked.
    pub(super) fn is_short(&self, now: u64) -> bool {
        let few = || self.waiting.len() <= self.room(now) / 2;
        self.beyond > 0 && self.load == Load::No && (few() || self.is_blind())
    }

    /// Nobody can start: the store may have jobs whose turns are before those in memory.
    pub(super) fn is_blind(&self) -> bool {
        self.waiting.front().zip(self.horizon).is_some_and(|(job, horizon)| job.turn() > horizon)
    }

    /// The store is asked for more.
    pub(super) fn ask(&mut self) {
        self.load = Load::Asked;
    }

    /// After a commit, a store that had nothing may have something.
    pub(super) fn committed(&mut self) {
        if self.load == Load::AfterCommit {
            self.load = Load::No;
        }
    }

    /// Where to go on reading, and how much; nothing when all that it asked for is in memory, or was not made after all.
    pub(super) fn next_page(&mut self, now: u64) -> Option<(Option<Turn>, usize)> {
        if self.beyond == 0 {
            self.load = Load::No;
            return None;
        }
        let room = self.room(now);
        let most = (room - self.waiting.len().min(room / 2)).min((self.widest / 2).max(self.window));
        Some((self.horizon, most))
    }

    /// Placed jobs that the store gave, in order, those after the horizon.
    pub(super) fn loaded(&mut self, mut page: Vec<Waiting<W>>, now: u64) {
        if let Some(unsaved) = self.unsaved.first() {
            page.truncate(page.partition_point(|job| job.turn() < *unsaved));
        }
        self.load = if page.is_empty() { Load::AfterCommit } else { Load::No };
        for job in page {
            self.beyond -= 1;
            self.horizon = Some(job.turn());
            self.insert(Waiting { since: now, ..job });
        }
        self.settle();
    }

    /// A fresh job that the store gave: kept, unless the line is long. Then it is given back to be placed.
    pub(super) fn admit(&mut self, job: Waiting<W>, now: u64) -> Option<Waiting<W>> {
        if self.waiting.len() >= self.room(now) || self.put_back {
            self.put_back = true;
            return Some(job);
        }
        self.beyond -= 1;
        self.horizon = Some(job.turn());
        self.insert(Waiting { since: now, ..job });
        self.settle();
        None
    }

    /// The store has no jobs that were put back: fresh ones are next.
    pub(super) fn none_put_back(&mut self) {
        self.put_back = false;
    }

    /// A page of fresh jobs was read.
    pub(super) fn admitted(&mut self, bytes: Option<usize>) {
        self.load = Load::No;
        if let Some(bytes) = bytes {
            self.sized(bytes);
        }
    }

    fn settle(&mut self) {
        if self.beyond == 0 {
            self.horizon = None;
        }
    }

    /// How many in memory wait for a time after `now`, and how many memory does not know.
    pub(super) fn delayed(&self, now: Timestamp) -> u64 {
        let due = self.waiting.partition_point(|job| job.record.job.ready_at <= now);
        let here = (self.waiting.len() - due) as u64;
        let all_later = self.horizon.is_some_and(|horizon| horizon.ready_at > now);
        if all_later { here + self.beyond } else { here }
    }

    /// Finds a job in memory, for a canary.
    pub(super) fn take_if(&mut self, wanted: impl Fn(&Waiting<W>) -> bool) -> Option<Waiting<W>> {
        let at = self.waiting.iter().position(wanted)?;
        self.waiting.remove(at)
    }

    /// The first of the jobs in memory that `wanted` wants.
    pub(super) fn next_of(&self, wanted: impl Fn(&Waiting<W>) -> bool) -> Option<&Waiting<W>> {
        self.waiting.iter().find(|job| wanted(job))
    }
}

#[cfg(test)]
pub(super) mod tests;
