//! How much of a state memory keeps, and what of it is read from the store.
use super::{Line, Load, Queue, Spot, Waiting};
use crate::{
    Workflow,
    store::{Lane, Turn},
};

/// A line flows while its head is in memory for no longer than this: 100 ms.
pub(in crate::processor) const FLOWS: u64 = 100_000_000;
/// A state that flows keeps fewer jobs than make so many bytes.
const WIDE_BYTES: usize = 8 << 20;
/// A lane may always keep so many jobs.
const NARROW: usize = 8;
/// After so many commits, lanes of which memory has nothing are read, however much it has of others.
const UNHEARD: u32 = 16;
/// Lanes that are read at once.
const LANES: usize = 256;

/// What is to be read of a lane.
pub(in crate::processor) struct Page {
    pub(in crate::processor) line: usize,
    pub(in crate::processor) lane: Lane,
    pub(in crate::processor) after: Option<Turn>,
    pub(in crate::processor) most: usize,
}

impl<W: Workflow> Queue<W> {
    /// Asks for more of a line that is short.
    pub(super) fn look(&mut self, at: usize) {
        let (room, fresh) = (self.lane_room(), self.fresh && self.at(at).lane.priority <= 0);
        let line = self.at_mut(at);
        if matches!(line.spot, Spot::Ready | Spot::Out) && line.is_short(room, fresh) {
            line.load = Load::Asked;
            if !std::mem::replace(&mut line.asks, true) {
                self.short.push_back(at);
            }
        }
    }

    /// It should have more from the store, and nobody has asked.
    pub(in crate::processor) fn is_short(&self, now: u64) -> bool {
        let more = !self.short.is_empty();
        if self.asked || !more && !self.fresh {
            return false;
        }
        let few = || self.able <= self.wide / 2 && self.able <= self.room(now) / 2;
        more && self.commits >= UNHEARD || few()
    }

    /// What to read next of lanes; fresh jobs, if of none.
    pub(in crate::processor) fn pages(&mut self, now: u64) -> Vec<Page> {
        self.asked = false;
        self.commits = 0;
        let room = self.room(now);
        let most = if self.by.len() == 1 {
            self.page(now)
        } else if self.kept <= self.wide {
            self.lane_room()
        } else {
            self.batch.max(2) // most of what is here waits for its key
        };
        let (mut pages, mut jobs) = (Vec::new(), 0);
        while pages.len() < LANES && jobs < room {
            let Some(at) = self.short.pop_front() else { break };
            let Some(line) = &mut self.lines[at] else { continue };
            line.asks = false;
            // One that was parked meanwhile asks again when it may be looked at.
            if line.load != Load::Asked {
                continue;
            }
            line.load = Load::Reading;
            pages.push(Page { line: at, lane: line.lane.clone(), after: line.horizon(), most });
            jobs += most;
        }
        pages
    }

    /// How many jobs to read of a state that has one line, or of fresh ones.
    pub(in crate::processor) fn page(&self, now: u64) -> usize {
        let room = self.room(now);
        (room - self.able.min(room / 2)).min((self.widest / 2).max(self.window))
    }

    /// Placed jobs that the store gave: see [`Line::loaded`].
    pub(in crate::processor) fn loaded(
        &mut self,
        at: usize,
        page: Vec<Waiting<W>>,
        all: bool,
        cut: bool,
        now: u64,
    ) {
        let fresh = self.fresh && self.at(at).lane.priority <= 0;
        self.with(at, |line| line.loaded(page, all, cut, fresh, now));
        if self.lines[at].as_ref().is_some_and(|line| line.load == Load::AfterCommit) {
            self.after_commit.push(at);
        }
    }

    /// As [`Line::pass`].
    pub(in crate::processor) fn pass(&mut self, at: usize, turn: Turn) {
        self.with(at, |line| line.pass(turn));
    }

    /// As [`Line::admit`].
    pub(in crate::processor) fn admit(&mut self, at: usize, job: Waiting<W>, now: u64) -> Option<Waiting<W>> {
        let room = self.has_room(at, now);
        self.with(at, |line| line.admit(job, room))
    }

    /// All fresh jobs were read.
    pub(in crate::processor) fn no_fresh(&mut self) {
        self.fresh = false;
        for at in 0..self.lines.len() {
            if self.lines[at].is_some() {
                self.with(at, |line| line.settle(false));
            }
        }
    }

    /// After a commit, a store that had nothing may have something.
    pub(in crate::processor) fn committed(&mut self) {
        self.commits = self.commits.saturating_add(1);
        for at in std::mem::take(&mut self.after_commit) {
            self.at_mut(at).committed();
            self.touch(at);
        }
    }

    /// Memory keeps enough for so many slots.
    pub(in crate::processor) fn widen(&mut self, slots: usize) {
        self.window = self.window.max(2 * slots.saturating_mul(self.batch));
        self.widest = self.widest.max(self.window);
        self.wide = self.wide.max(self.window);
    }

    /// A job of so many bytes was seen.
    pub(in crate::processor) fn sized(&mut self, bytes: usize) {
        self.wide = (WIDE_BYTES / bytes.max(1)).clamp(self.window, self.widest);
    }

    /// How many jobs memory keeps at most, about.
    fn room(&self, now: u64) -> usize {
        if self.flows(now) { self.wide } else { self.window }
    }

    /// How many of them of each lane.
    pub(super) fn lane_room(&self) -> usize {
        (self.wide / self.by.len().max(1)).max(NARROW).max(self.batch)
    }

    pub(super) fn has_room(&self, at: usize, now: u64) -> bool {
        let alone = self.by.len() == 1 || self.at(at).len() < self.lane_room();
        alone && self.kept < self.room(now)
    }

    /// Its jobs do not wait for long.
    fn flows(&self, now: u64) -> bool {
        let ready = self.ready.firsts().next().map(|first| first.line);
        let first = ready.or_else(|| self.later.first().map(|(_, at)| at));
        let head = first.and_then(|at| self.at(at).head());
        head.is_none_or(|job| now.saturating_sub(job.since) < FLOWS)
    }

    /// How many jobs it has in memory, if they do not wait for long.
    pub(in crate::processor) fn flowing(&self, now: u64) -> usize {
        if self.flows(now) { self.able } else { 0 }
    }

    /// Nobody can start of whom memory knows, though there may be who could. A state with one line that is empty just waits for
    /// those who are on their way.
    pub(in crate::processor) fn is_blind(&self) -> bool {
        self.ready.firsts().next().is_none() && (self.by.len() > 1 || self.all().any(Line::is_blind))
    }
}
