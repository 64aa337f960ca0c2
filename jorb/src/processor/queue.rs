//! All that waits in one state: a line for each priority and key.
use std::collections::{HashSet, VecDeque};

use foldhash::{HashMap, HashMapExt};

use super::{
    heap::Heap,
    line::{Line, Load, Spot, Waiting},
    permits::{Refused, Uses},
};
use crate::{
    JobId, Timestamp, Workflow,
    store::{Lane, Turn},
};

use self::levels::{First, Levels};
pub(super) use self::reading::{FLOWS, Page};

mod holding;
mod levels;
mod reading;

/// So many jobs that came later may go before one of a lower priority.
const PATIENCE: u32 = 64;
/// Rooms that are kept.
const SPARE: usize = 1024;

/// The lines of a state, and what its slots do.
pub(super) struct Queue<W: Workflow> {
    lines: Vec<Option<Line<W>>>,
    free: Vec<usize>,
    by: HashMap<Lane, usize>,
    /// The line of jobs that have neither priority nor key, which nearly all are: it is found without hashes, and never over.
    plain: Option<usize>,
    /// Those whose heads may start as far as is known, in the order in which they do; and those that are not to be looked
    /// at before a time.
    ready: Levels,
    later: Heap<u64>,
    /// Those that should have more from the store.
    short: VecDeque<usize>,
    /// Those of which the store had nothing yet.
    after_commit: Vec<usize>,
    /// Commits since lanes were read.
    commits: u32,
    /// Room for jobs, of lines that are over: asking for it each time costs more than all else that a line does.
    spare: Vec<VecDeque<Waiting<W>>>,
    /// What lines that are over have left behind.
    pub(super) left: Vec<Uses>,
    /// Jobs that memory has or will have, and how many of those in `ready` lines.
    kept: usize,
    able: usize,
    /// There are seeded jobs of this state that nobody has looked at.
    pub(super) fresh: bool,
    window: usize,
    /// What a line that flows may keep: so many, or fewer if they are large.
    widest: usize,
    wide: usize,
    /// Its lanes or its fresh jobs are about to be read.
    pub(super) asked: bool,
    /// Most jobs of one step.
    batch: usize,
    /// Steps in flight, and the jobs of those that have several.
    pub(super) executing: usize,
    pub(super) in_batches: usize,
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

impl<W: Workflow> Queue<W> {
    /// One that keeps about `window` jobs in memory, and `widest` while they flow; no more than `batch` of them start together.
    pub(super) fn new(window: usize, widest: usize, batch: usize, held: bool, fresh: bool) -> Self {
        Queue {
            lines: Vec::new(),
            free: Vec::new(),
            by: HashMap::new(),
            plain: None,
            ready: Levels::new(),
            later: Heap::new(),
            short: VecDeque::new(),
            after_commit: Vec::new(),
            commits: 0,
            spare: Vec::new(),
            left: Vec::new(),
            kept: 0,
            able: 0,
            fresh,
            window,
            widest: widest.max(window),
            wide: window,
            asked: false,
            batch,
            executing: 0,
            in_batches: 0,
            uncommitted: 0,
            idle: 0,
            held,
            refused: None,
            wake_at: None,
        }
    }

    /// The line of a lane; of a new one, with what its jobs take of, and whether an operator has stopped a key of that.
    pub(super) fn line(&mut self, lane: &Lane, stored: bool, uses: impl FnOnce() -> (Uses, bool)) -> usize {
        if let Some(line) = self.find(lane) {
            return line;
        }
        let room = self.spare.pop().unwrap_or_else(|| VecDeque::with_capacity(1));
        let line = Line::new(lane.clone(), uses(), room, stored, self.fresh && lane.priority <= 0);
        let at = self.free.pop().unwrap_or_else(|| {
            self.lines.push(None);
            self.lines.len() - 1
        });
        self.lines[at] = Some(line);
        self.by.insert(lane.clone(), at);
        if *lane == Lane::FIRST {
            self.plain = Some(at);
        }
        if stored {
            self.touch(at);
        }
        at
    }

    /// The line of a lane, if there is one.
    pub(super) fn find(&self, lane: &Lane) -> Option<usize> {
        if *lane == Lane::FIRST { self.plain } else { self.by.get(lane).copied() }
    }

    pub(super) fn at(&self, line: usize) -> &Line<W> {
        self.lines[line].as_ref().expect("a line in use is there")
    }

    fn at_mut(&mut self, line: usize) -> &mut Line<W> {
        self.lines[line].as_mut().expect("a line in use is there")
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Line<W>> {
        self.lines.iter().flatten()
    }

    /// Their jobs take of other limiters now.
    pub(super) fn uses(&mut self, mut uses: impl FnMut(&Line<W>) -> Uses) {
        for line in self.lines.iter_mut().flatten() {
            line.uses = uses(line);
        }
    }

    /// Looks again where a line stands after it was changed.
    pub(super) fn touch(&mut self, at: usize) {
        self.out(at);
        let line = self.lines[at].as_mut().expect("it is there");
        if line.held && line.head().is_some() {
            return self.stand_by(at, None);
        }
        if let Some(head) = line.head() {
            let turn = head.turn();
            line.spot = Spot::Ready;
            self.able += line.len();
            self.ready.insert(line.lane.priority, turn, at);
        } else if line.is_over() && line.lane != Lane::FIRST {
            let line = self.lines[at].take().expect("it is there");
            self.by.remove(&line.lane);
            self.free.push(at);
            self.left.push(line.uses.clone());
            if self.spare.len() < SPARE {
                self.spare.push(line.into_room());
            }
            return;
        }
        self.look(at);
    }

    /// Takes a line from where it stands.
    fn out(&mut self, at: usize) {
        let line = self.lines[at].as_mut().expect("it is there");
        match std::mem::replace(&mut line.spot, Spot::Out) {
            Spot::Ready => {
                self.able -= line.len();
                self.ready.remove(line.lane.priority, at);
            }
            Spot::Later => self.later.remove(at),
            Spot::Blocked | Spot::Out => {}
        }
    }

    /// Does something with a line, and looks where it stands then.
    fn with<T>(&mut self, at: usize, change: impl FnOnce(&mut Line<W>) -> T) -> T {
        self.out(at);
        let before = self.at(at).len();
        let result = change(self.at_mut(at));
        self.kept = self.kept + self.at(at).len() - before;
        self.touch(at);
        result
    }

    /// A line is not to be looked at before its head is due; or it is full, if it waits for that. So many of it stay.
    pub(super) fn delay(&mut self, at: usize, due: u64, keep: usize) {
        // Who comes before its head must find it here.
        self.stand_by(at, Some(due));
        self.make_room(at, keep);
    }

    /// A line is not to be looked at before this time, or, without one, until it is [told](Queue::told).
    pub(super) fn park(&mut self, at: usize, until: Option<u64>) {
        self.stand_by(at, until);
        self.make_room(at, 0);
    }

    fn stand_by(&mut self, at: usize, until: Option<u64>) {
        self.out(at);
        let line = self.at_mut(at);
        if line.load == Load::Asked {
            line.load = Load::No;
        }
        self.at_mut(at).spot = match until {
            Some(until) => {
                self.later.insert(until, at);
                Spot::Later
            }
            None => Spot::Blocked,
        };
    }

    /// What a line cannot start soon need not be here.
    fn make_room(&mut self, at: usize, keep: usize) {
        if self.kept > 2 * self.wide {
            let forgotten = self.at_mut(at).forget(keep);
            self.kept -= forgotten;
        }
    }

    /// A line that was parked may be looked at.
    pub(super) fn told(&mut self, at: usize) {
        if self.lines[at].is_some() {
            self.touch(at);
        }
    }

    /// The line whose head is to start next, if memory knows it.
    pub(super) fn first(&mut self, now: u64) -> Option<usize> {
        while let Some((until, at)) = self.later.first() {
            if until > now {
                break;
            }
            self.touch(at);
        }
        self.peek()
    }

    /// The same, as of when it was last asked.
    pub(super) fn peek(&self) -> Option<usize> {
        let mut firsts = self.ready.firsts();
        let first = firsts.next()?;
        let is_impatient =
            |lower: &First| lower.turn < first.turn && self.at(lower.line).overtaken >= PATIENCE;
        Some(firsts.find(is_impatient).unwrap_or(first).line)
    }

    /// Takes the head of a line, to run it.
    pub(super) fn pop(&mut self, at: usize) -> Option<Waiting<W>> {
        let (priority, uses) = (self.at(at).lane.priority, self.at(at).uses.clone());
        let job = self.with(at, Line::pop)?;
        for level in 0..self.ready.levels() {
            let lower = self.ready.first_of(level).filter(|lower| lower.priority < priority);
            if let Some(lower) = lower.filter(|lower| lower.turn < job.turn()) {
                self.at_mut(lower.line).overtaken += 1;
            }
        }
        Some(Waiting { uses, line: at, ..job })
    }

    /// Its slots are to look again at this time. Says whether that is earlier than what the timer knows.
    pub(super) fn wake_by(&mut self, at: u64) -> bool {
        let earlier = self.wake_at.is_none_or(|known| at < known);
        if earlier {
            self.wake_at = Some(at);
        }
        earlier
    }

    /// When somebody may start of whom memory knows, if that is a time.
    pub(super) fn outlook(&self) -> Option<u64> {
        let ready = self.ready.firsts().map(|first| self.at(first.line).head().map_or(0, Waiting::starts_at));
        ready.chain(self.later.first().map(|(until, _)| until)).min()
    }

    /// Says whether memory will keep a job that is being committed: see [`Line::expect`].
    pub(super) fn expect(&mut self, at: usize, turn: Turn, bytes: usize, now: u64) -> bool {
        self.sized(bytes);
        let room = self.has_room(at, now);
        let here = self.at_mut(at).expect(turn, room);
        self.kept += usize::from(here);
        here
    }

    /// As [`Line::keep`].
    pub(super) fn keep(&mut self, at: usize) {
        self.kept += 1;
        self.at_mut(at).keep();
    }

    /// As [`Line::cancel`].
    pub(super) fn cancel(&mut self, at: usize, here: bool, turn: Turn) {
        self.kept -= usize::from(here);
        self.at_mut(at).cancel(here, turn);
        self.touch(at);
    }

    /// As [`Line::saved`].
    pub(super) fn saved(&mut self, at: usize, turn: Turn) {
        self.at_mut(at).saved(turn);
        self.look(at);
    }

    /// A step of this line is durable.
    pub(super) fn settled(&mut self, at: usize) {
        let line = self.at_mut(at);
        line.out -= 1;
        if line.is_over() {
            self.touch(at);
        }
    }

    /// As [`Line::arrive`].
    pub(super) fn arrive(&mut self, at: usize, job: Waiting<W>) {
        self.kept -= 1; // it was expected
        let head = self.at(at).head().map(Waiting::turn);
        let wide = 2 * self.wide;
        if self.at(at).spot != Spot::Blocked && head.is_none_or(|head| job.turn() < head) {
            self.with(at, |line| line.arrive(job));
        } else {
            let arrived = self.at_mut(at).arrive(job);
            self.kept += usize::from(arrived);
            self.able += usize::from(arrived && self.at(at).spot == Spot::Ready);
        }
        // It may have waited for this one to be full.
        if self.batch > 1 && self.lines[at].as_ref().is_some_and(|line| self.fills(line)) {
            self.touch(at);
        }
        // Delayed jobs are in the store too, and can be forgotten here.
        if self.lines[at].as_ref().is_some_and(|line| line.len() > wide) {
            self.with(at, |line| line.forget(wide));
        }
    }

    /// Since when the first job waits for others of its batch, and until when; if nobody else may start.
    pub(super) fn next_filling(&self, now: Timestamp) -> Option<(u64, u64)> {
        if self.batch == 1 || self.peek().is_some() {
            return None;
        }
        let (until, at) = self.later.first()?;
        let head = self.at(at).head().filter(|head| head.record.job.ready_at <= now)?;
        Some((head.starts_at(), until))
    }

    /// It has a batch, and does not know that it may start.
    fn fills(&self, line: &Line<W>) -> bool {
        line.spot == Spot::Later && line.len() >= self.batch
    }

    /// As [`Line::resume`].
    pub(super) fn resume(&mut self, at: usize, job: Waiting<W>) {
        self.with(at, |line| line.resume(job));
    }

    /// All that wait for something else than a time look again.
    pub(super) fn tell_all(&mut self) {
        for at in 0..self.lines.len() {
            if self.lines[at].is_some() {
                self.touch(at);
            }
        }
    }

    /// Whoever memory does not know waits for a time after `now`.
    pub(super) fn all_later(&self, now: Timestamp) -> bool {
        !self.fresh && self.all().all(|line| line.is_later(now))
    }

    /// How many memory has.
    pub(super) fn waiting(&self) -> u64 {
        self.all().map(|line| line.len() as u64).sum()
    }

    /// How many in memory wait for a time after `now`.
    pub(super) fn delayed(&self, now: Timestamp) -> u64 {
        self.all().map(|line| line.delayed(now) as u64).sum()
    }

    /// What it counts is so.
    #[cfg(test)]
    fn check(&self) {
        let able: usize = self.ready.lines().map(|at| self.at(at).len()).sum();
        assert_eq!(able, self.able);
        let kept: usize = self.all().map(Line::kept).sum();
        assert_eq!(kept, self.kept);
    }

    /// Takes a job in memory that may not be the first of its line, to run it.
    pub(super) fn take_if(&mut self, wanted: impl Fn(&Waiting<W>) -> bool) -> Option<Waiting<W>> {
        let holds =
            |line: &Option<Line<W>>| line.as_ref().is_some_and(|line| line.next_of(&wanted).is_some());
        let at = self.lines.iter().position(holds)?;
        let uses = self.at(at).uses.clone();
        let job = self.with(at, |line| line.take_if(&wanted));
        job.map(|job| Waiting { uses, line: at, ..job })
    }

    /// Takes out those of these jobs that are in memory, wherever they stand.
    pub(super) fn take_out(&mut self, jobs: &HashSet<JobId>) {
        for at in 0..self.lines.len() {
            let wanted = |job: &Waiting<W>| jobs.contains(&job.record.job.id);
            if self.lines[at].as_ref().is_some_and(|line| line.next_of(wanted).is_some()) {
                self.with(at, |line| line.take_out(jobs));
            }
        }
    }

    /// The first of the jobs in memory that `wanted` wants, with its line; but for those whose key is held.
    pub(super) fn next_of(&self, wanted: impl Fn(&Waiting<W>) -> bool) -> Option<(usize, &Waiting<W>)> {
        let lines = self.lines.iter().enumerate().filter_map(|(at, line)| Some((at, line.as_ref()?)));
        lines.filter(|(_, line)| !line.held).find_map(|(at, line)| Some((at, line.next_of(&wanted)?)))
    }
}

#[cfg(test)]
pub(super) mod tests;
