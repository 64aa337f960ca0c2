//! The lines of a state, against a plain list of all jobs: who starts is always the first of its key among those that are
//! durable, each starts once, and nobody is forgotten.
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use proptest::{
    collection::vec,
    prelude::{Strategy, any, proptest},
};

use super::{
    BYTES, Lone, MS,
    events::{Event, NONE, events},
    record,
};
use crate::{
    JobId, Timestamp,
    processor::{
        line::{Line, Waiting},
        queue::Queue,
    },
    store::{Lane, Record, Turn},
};

/// What is on its way to the store.
enum Pending {
    /// A job, and whether memory will keep it.
    Comes { turn: Turn, here: bool, placed: bool },
    /// A fresh job was read, but the line is long.
    PutBack(Turn),
    /// A job left this state.
    Leaves(Turn),
}

/// A page that was read, as `core::Loaded`.
struct Page {
    placed: Vec<OfLine>,
    fresh: Vec<Turn>,
}

/// The line, what it gets, whether that is all that there is, and whether more was cut off.
type OfLine = (usize, Vec<Record<Lone>>, bool, bool);

/// All there is to know of a state.
struct State {
    queue: Queue<Lone>,
    /// How many keys there are.
    keys: u64,
    widest: usize,
    /// In milliseconds.
    now: u64,
    seq: u64,
    pending: VecDeque<Pending>,
    page: Option<Page>,
    /// Durable jobs of this state, and whether they are placed.
    stored: BTreeMap<Turn, bool>,
    fresh: VecDeque<Turn>,
    seeds: u64,
    /// Those of them whose step is running,
    running: BTreeSet<Turn>,
    /// or has ended.
    left: BTreeSet<Turn>,
    started: Vec<Turn>,
}

impl State {
    /// Of a run that is opened: some jobs were never looked at, some stand still, some moved.
    fn opened(keys: u64, window: usize, widest: usize, fresh: u64, placed: &[u64], moving: &[u64]) -> Self {
        let seeds = fresh + placed.len() as u64;
        let mut seq = 0;
        let mut turn = |ready_at: u64| {
            seq += 1;
            Turn { ready_at: Timestamp(ready_at), seq }
        };
        // Seeds that were put back come before those that were never looked at.
        let put_back: Vec<_> = placed.iter().map(|_| turn(0)).collect();
        let fresh: VecDeque<_> = (0..fresh).map(|_| turn(0)).collect();
        let placed: Vec<_> = placed.iter().map(|at| turn(*at)).collect();
        let moving: Vec<_> = moving.iter().map(|at| turn(at % 10)).collect();
        let stored: BTreeMap<_, _> = put_back
            .into_iter()
            .chain(placed)
            .map(|turn| (turn, true))
            .chain(moving.iter().map(|turn| (*turn, false)))
            .collect();
        let queue = Queue::new(window, widest, 1, false, !fresh.is_empty());
        let mut state = State {
            queue,
            keys,
            widest,
            now: 10,
            seq,
            pending: VecDeque::new(),
            page: None,
            stored,
            fresh,
            seeds,
            running: BTreeSet::new(),
            left: BTreeSet::new(),
            started: Vec::new(),
        };
        let placed = state.stored.iter().filter(|(_, placed)| **placed);
        for turn in placed.map(|(turn, _)| *turn).collect::<Vec<_>>() {
            state.line(turn, true);
        }
        for turn in moving {
            let (line, job) = (state.line(turn, false), state.waiting(turn, false));
            state.queue.resume(line, job);
        }
        state.ask();
        state
    }

    fn nanos(&self) -> u64 {
        self.now * MS
    }

    /// As `Inner::ask`.
    fn ask(&mut self) {
        if self.queue.is_short(self.nanos()) {
            self.queue.asked = true;
        }
    }

    /// In which a job stands.
    fn lane(&self, turn: Turn) -> Lane {
        Lane { priority: 0, key: (self.keys > 1).then(|| (turn.seq % self.keys).to_string().into()) }
    }

    /// Of a line that is kept.
    fn known(&self, turn: Turn) -> usize {
        self.queue.find(&self.lane(turn)).expect("its line is not over")
    }

    fn line(&mut self, turn: Turn, stored: bool) -> usize {
        let lane = self.lane(turn);
        self.queue.line(&lane, stored, || (None, false))
    }

    fn record(&self, turn: Turn, placed: bool) -> Record<Lone> {
        Record { key: self.lane(turn).key, ..record(turn, placed) }
    }

    fn waiting(&self, turn: Turn, placed: bool) -> Waiting<Lone> {
        Waiting { since: self.nanos(), ..Waiting::read(self.record(turn, placed)) }
    }

    fn happens(&mut self, event: &Event) {
        match *event {
            Event::Come { jobs, delay } => (0..jobs).for_each(|_| self.comes(delay)),
            Event::Commit { most, lost } => self.commit(most, lost),
            Event::Read => self.read(),
            Event::Loaded => self.loaded(),
            Event::Pull => drop(self.pull()),
            Event::Ends { which } => self.ends(which),
            Event::Cancel { one_in } => self.cancel(one_in),
            Event::Others { most } => self.others_read(most),
            Event::Wait { millis } => self.now += millis,
        }
        self.check();
    }

    /// As `Inner::follower`.
    fn comes(&mut self, delay: u64) {
        self.seq += 1;
        let turn = Turn { ready_at: Timestamp(self.now + delay), seq: self.seq };
        let line = self.line(turn, false);
        let here = self.queue.expect(line, turn, BYTES, self.nanos());
        self.pending.push_back(Pending::Comes { turn, here, placed: !here || delay > 0 });
    }

    /// As `Core::committed`.
    fn commit(&mut self, most: usize, lost: usize) {
        self.loaded(); // the writer does one thing after the other
        for n in 1..=most.min(self.pending.len()) {
            match self.pending.pop_front().expect("there are so many") {
                Pending::Comes { turn, here, .. } if n % lost == 0 => {
                    let line = self.queue.find(&self.lane(turn)).expect("it waits for the job");
                    self.queue.cancel(line, here, turn);
                }
                Pending::Comes { turn, here, placed } => {
                    self.stored.insert(turn, placed);
                    if here {
                        let line = self.queue.find(&self.lane(turn)).expect("it waits for the job");
                        let job = self.waiting(turn, placed);
                        self.queue.arrive(line, job);
                    } else {
                        self.queue.saved(self.known(turn), turn);
                    }
                }
                Pending::PutBack(turn) => {
                    self.stored.insert(turn, true);
                    self.queue.saved(self.known(turn), turn);
                }
                Pending::Leaves(turn) => {
                    self.stored.remove(&turn);
                    self.left.remove(&turn);
                    self.queue.settled(self.known(turn));
                }
            }
        }
        self.queue.committed();
        self.ask();
    }

    /// As `Core::cancel_page`, and its commit.
    fn cancel(&mut self, one_in: u64) {
        self.loaded(); // the writer does one thing after the other
        let wanted = |turn: &Turn| turn.seq.is_multiple_of(one_in);
        let stands = |turn: &&Turn| wanted(turn) && !self.left.contains(turn);
        let durable: Vec<_> = self.stored.keys().filter(stands).copied().collect();
        let fresh = self.fresh.iter().filter(|turn| wanted(turn));
        let ids: HashSet<_> = durable.iter().chain(fresh).map(|turn| JobId(turn.seq - 1)).collect();
        self.queue.take_out(&ids);
        for pending in std::mem::take(&mut self.pending) {
            match pending {
                Pending::Comes { turn, here, .. } if wanted(&turn) => self.no_more(turn, here),
                Pending::PutBack(turn) if wanted(&turn) => self.no_more(turn, false),
                pending => self.pending.push_back(pending),
            }
        }
        self.fresh.retain(|turn| !wanted(turn));
        if self.fresh.is_empty() && self.queue.fresh {
            self.queue.no_fresh();
        }
        for turn in durable {
            self.stored.remove(&turn);
        }
        self.queue.committed();
        self.ask();
    }

    /// A job on its way here is cancelled.
    fn no_more(&mut self, turn: Turn, here: bool) {
        let line = self.queue.find(&self.lane(turn)).expect("it waits for the job");
        self.queue.cancel(line, here, turn);
    }

    /// As `writer::read`.
    fn read(&mut self) {
        if self.page.is_some() || !self.queue.asked {
            return;
        }
        while !self.pending.is_empty() {
            self.commit(usize::MAX, NONE);
        }
        let mut page = Page { placed: Vec::new(), fresh: Vec::new() };
        for of in self.queue.pages(self.nanos()) {
            let placed = self
                .stored
                .iter()
                .filter(|(turn, placed)| **placed && Some(**turn) > of.after && self.lane(**turn) == of.lane);
            let mut jobs: Vec<_> = placed.map(|(turn, _)| self.record(*turn, true)).take(of.most).collect();
            let (all, many) = (jobs.len() < of.most, jobs.len());
            if !self.fresh.is_empty() {
                jobs.truncate(jobs.partition_point(|record| record.seq <= self.seeds));
            }
            let cut = jobs.len() < many;
            page.placed.push((of.line, jobs, all || cut, cut));
        }
        if page.placed.iter().all(|(_, jobs, ..)| jobs.is_empty()) {
            let most = self.queue.page(self.nanos());
            page.fresh = self.fresh.drain(..most.min(self.fresh.len())).collect();
        }
        self.page = Some(page);
    }

    /// As `Core::loaded`.
    fn loaded(&mut self) {
        let Some(Page { placed, fresh }) = self.page.take() else { return };
        for (line, jobs, all, cut) in placed {
            let jobs = jobs.into_iter().map(Waiting::read).collect();
            self.queue.loaded(line, jobs, all, cut, self.nanos());
        }
        self.admit(fresh);
        self.ask();
        self.check();
    }

    fn others_read(&mut self, most: usize) {
        if self.page.is_none() && self.pending.is_empty() {
            let page: Vec<_> = self.fresh.drain(..most.min(self.fresh.len())).collect();
            self.admit(page);
        }
    }

    fn admit(&mut self, page: Vec<Turn>) {
        for turn in page {
            let (line, job) = (self.line(turn, false), self.waiting(turn, false));
            match self.queue.admit(line, job, self.nanos()) {
                Some(_) => self.pending.push_back(Pending::PutBack(turn)),
                None => drop(self.stored.insert(turn, false)),
            }
        }
        if self.fresh.is_empty() && self.queue.fresh {
            self.queue.no_fresh();
        }
    }

    fn ends(&mut self, which: usize) {
        let turn = self.running.iter().nth(which % self.running.len().max(1)).copied();
        if let Some(turn) = turn {
            self.running.remove(&turn);
            if !self.stored.contains_key(&turn) {
                return self.queue.settled(self.known(turn)); // it was cancelled meanwhile
            }
            self.left.insert(turn);
            self.pending.push_back(Pending::Leaves(turn));
        }
    }

    /// As `Core::pull`. Says whether a job started.
    fn pull(&mut self) -> bool {
        let job = self.due().and_then(|line| self.queue.pop(line));
        self.ask();
        let Some(job) = job else { return false };
        let turn = job.turn();
        assert_eq!(
            Some(turn),
            self.first(&self.lane(turn)),
            "who starts is the first of those that are durable"
        );
        assert!(!self.started.contains(&turn), "it starts once");
        assert!(self.running.insert(turn));
        self.started.push(turn);
        true
    }

    /// The line whose head is to start now.
    fn due(&mut self) -> Option<usize> {
        loop {
            let line = self.queue.first(self.nanos())?;
            let at = self.queue.at(line).head().expect("it is ready").starts_at();
            if at <= self.nanos() {
                return Some(line);
            }
            self.queue.delay(line, at, 1);
        }
    }

    /// The durable job of a lane that is to start next.
    fn first(&self, lane: &Lane) -> Option<Turn> {
        self.waits().filter(|turn| self.lane(*turn) == *lane).min()
    }

    /// Durable jobs that have not started.
    fn waits(&self) -> impl Iterator<Item = Turn> {
        let waits = |turn: &&Turn| !self.left.contains(*turn) && !self.running.contains(*turn);
        let put_back = self.pending.iter().filter_map(|p| match p {
            Pending::PutBack(turn) => Some(turn),
            _ => None,
        });
        let read = self.page.iter().flat_map(|page| &page.fresh);
        self.stored.keys().filter(waits).chain(&self.fresh).chain(put_back).chain(read).copied()
    }

    /// Memory is bounded: what it could forget is not much more than what it keeps.
    fn check(&self) {
        let mut kept = 0;
        for line in self.queue.all() {
            assert!(line.waiting().is_sorted_by_key(Waiting::turn));
            kept += line.waiting().filter(|job| job.record.placed && job.turn() > line.started()).count();
        }
        let lanes = usize::try_from(self.keys).expect("a few");
        assert!(kept <= lanes * 4 * self.widest.max(8), "{kept} placed ones in memory");
        assert!(self.queue.delayed(Timestamp(self.now)) <= self.queue.waiting());
        self.queue.check();
    }

    /// Nothing is under way: who is to start next is known, of all whose time has come.
    fn comes_to_rest(&mut self) {
        for _ in 0..1_000 {
            self.loaded();
            self.commit(usize::MAX, NONE);
            self.due();
            self.ask();
            if !self.queue.asked && self.pending.is_empty() {
                let mut firsts = HashMap::<Lane, Turn>::new();
                for turn in self.waits() {
                    let first = firsts.entry(self.lane(turn)).or_insert(turn);
                    *first = turn.min(*first);
                }
                let due = firsts.values().map(|turn| turn.ready_at.0).filter(|at| *at <= self.now).min();
                let head = self.due().and_then(|line| self.queue.at(line).head());
                let head = head.map(|job| job.record.job.ready_at.0);
                // Of several lanes, the one that came first may have to wait for its turn to be read.
                if self.keys == 1 {
                    assert_eq!(head, due, "it is known who is first");
                }
                assert_eq!(head.is_some(), due.is_some(), "it is known whether somebody can start");
                return;
            }
            self.read();
        }
        panic!("the line asks without end");
    }

    /// Everybody's turn comes.
    fn runs_out(&mut self) {
        loop {
            self.comes_to_rest();
            self.now += 1_000;
            while self.pull() {}
            while !self.running.is_empty() {
                self.ends(0);
            }
            if self.waits().next().is_none() {
                break;
            }
        }
        self.comes_to_rest();
        assert!(self.stored.is_empty() && self.fresh.is_empty());
        assert_eq!(self.queue.waiting(), 0);
        assert!(self.queue.all().all(Line::is_over), "nothing is left behind");
    }
}

proptest! {
    #![proptest_config(crate::repeatable::cases(20_000))]

    #[test]
    fn jobs_start_once_and_in_order(
        (window, widest) in (1..5_usize, 1..4_usize).prop_map(|(window, times)| (window, window * times)),
        keys in 1..5_u64,
        fresh in 0..12_u64,
        placed in vec(0..40_u64, 0..8),
        moving in vec(any::<u64>(), 0..8),
        tides in vec(events(), 0..6),
    ) {
        let mut state = State::opened(keys, window, widest, fresh, &placed, &moving);
        state.comes_to_rest();
        for (n, events) in tides.iter().enumerate() {
            for event in events {
                state.happens(event);
            }
            if n % 3 == 2 {
                state.comes_to_rest();
            }
        }
        state.runs_out();
    }
}
