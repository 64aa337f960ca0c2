//! A line of jobs, against a plain list of all of them: who starts is always the first of those that are durable, each
//! starts once, and nobody is forgotten.
use std::collections::{BTreeMap, BTreeSet, VecDeque};

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
    Timestamp,
    processor::line::{Line, Waiting},
    store::{Record, Turn},
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
enum Page {
    Placed(Vec<Record<Lone>>),
    Fresh(Vec<Turn>),
}

/// All there is to know of a state.
struct State {
    line: Line<Lone>,
    widest: usize,
    /// In milliseconds.
    now: u64,
    seq: u64,
    pending: VecDeque<Pending>,
    page: Option<Page>,
    /// The line has asked for a page.
    asked: bool,
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
    fn opened(window: usize, widest: usize, fresh: u64, placed: &[u64], moving: &[u64]) -> Self {
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
        let beyond = (stored.len() + fresh.len()) as u64;
        let mut line = Line::new(beyond, window, widest, false);
        for turn in moving {
            line.resume(Waiting::read(record(turn, false)), 10 * MS);
        }
        let mut state = State {
            line,
            widest,
            now: 10,
            seq,
            pending: VecDeque::new(),
            page: None,
            asked: false,
            stored,
            fresh,
            seeds,
            running: BTreeSet::new(),
            left: BTreeSet::new(),
            started: Vec::new(),
        };
        state.ask();
        state
    }

    fn nanos(&self) -> u64 {
        self.now * MS
    }

    /// As `Inner::ask`.
    fn ask(&mut self) {
        if self.line.is_short(self.nanos()) {
            self.line.ask();
            self.asked = true;
        }
    }

    fn happens(&mut self, event: &Event) {
        match *event {
            Event::Come { jobs, delay } => (0..jobs).for_each(|_| self.comes(delay)),
            Event::Commit { most, lost } => self.commit(most, lost),
            Event::Read => self.read(),
            Event::Loaded => self.loaded(),
            Event::Pull => drop(self.pull()),
            Event::Ends { which } => self.ends(which),
            Event::Others { most } => self.others_read(most),
            Event::Wait { millis } => self.now += millis,
        }
        self.check();
    }

    /// As `Inner::follower`.
    fn comes(&mut self, delay: u64) {
        self.seq += 1;
        let turn = Turn { ready_at: Timestamp(self.now + delay), seq: self.seq };
        let here = self.line.expect(turn, BYTES, self.nanos());
        self.pending.push_back(Pending::Comes { turn, here, placed: !here || delay > 0 });
    }

    /// As `Core::committed`.
    fn commit(&mut self, most: usize, lost: usize) {
        self.loaded(); // the writer does one thing after the other
        for n in 1..=most.min(self.pending.len()) {
            match self.pending.pop_front().expect("there are so many") {
                Pending::Comes { turn, here, .. } if n % lost == 0 => self.line.cancel(here, turn),
                Pending::Comes { turn, here, placed } => {
                    self.stored.insert(turn, placed);
                    if here {
                        self.line
                            .arrive(Waiting { since: self.nanos(), ..Waiting::read(record(turn, placed)) });
                    } else {
                        self.line.saved(turn);
                    }
                }
                Pending::PutBack(turn) => {
                    self.stored.insert(turn, true);
                    self.line.saved(turn);
                }
                Pending::Leaves(turn) => {
                    self.stored.remove(&turn);
                    self.left.remove(&turn);
                }
            }
        }
        self.line.committed();
        self.ask();
    }

    /// As `writer::read`.
    fn read(&mut self) {
        if self.page.is_some() || !self.asked {
            return;
        }
        while !self.pending.is_empty() {
            self.commit(usize::MAX, NONE);
        }
        self.asked = false;
        let Some((after, most)) = self.line.next_page(self.nanos()) else { return };
        let placed =
            |(turn, placed): (&Turn, &bool)| (*placed && Some(*turn) > after).then(|| record(*turn, true));
        let mut page: Vec<_> = self.stored.iter().filter_map(placed).take(most).collect();
        if !self.fresh.is_empty() {
            page.truncate(page.partition_point(|record| record.seq <= self.seeds));
            if page.is_empty() {
                let page = self.fresh.drain(..most.min(self.fresh.len())).collect();
                return self.page = Some(Page::Fresh(page));
            }
        }
        self.page = Some(Page::Placed(page));
    }

    /// As `Core::loaded`.
    fn loaded(&mut self) {
        match self.page.take() {
            None => return,
            Some(Page::Placed(page)) => {
                let page = page.into_iter().map(Waiting::read).collect();
                self.line.loaded(page, self.nanos());
            }
            Some(Page::Fresh(page)) => {
                self.line.none_put_back();
                self.line.admitted(page.first().map(|_| BYTES));
                for turn in page {
                    self.admit(turn);
                }
            }
        }
        self.check();
    }

    fn others_read(&mut self, most: usize) {
        if self.page.is_none() && self.pending.is_empty() {
            let page: Vec<_> = self.fresh.drain(..most.min(self.fresh.len())).collect();
            for turn in page {
                self.admit(turn);
            }
        }
    }

    fn admit(&mut self, turn: Turn) {
        match self.line.admit(Waiting::read(record(turn, false)), self.nanos()) {
            Some(_) => self.pending.push_back(Pending::PutBack(turn)),
            None => drop(self.stored.insert(turn, false)),
        }
    }

    fn ends(&mut self, which: usize) {
        let turn = self.running.iter().nth(which % self.running.len().max(1)).copied();
        if let Some(turn) = turn {
            self.running.remove(&turn);
            self.left.insert(turn);
            self.pending.push_back(Pending::Leaves(turn));
        }
    }

    /// As `Core::pull`. Says whether a job started.
    fn pull(&mut self) -> bool {
        let due = self.line.head().is_some_and(|job| job.record.job.ready_at.0 <= self.now);
        let job = if due { self.line.pop() } else { None };
        self.ask();
        let Some(job) = job else { return false };
        let turn = job.turn();
        assert_eq!(Some(turn), self.first(), "who starts is the first of those that are durable");
        assert!(!self.started.contains(&turn), "it starts once");
        assert!(self.running.insert(turn));
        self.started.push(turn);
        true
    }

    /// The durable job that is to start next.
    fn first(&self) -> Option<Turn> {
        let waits = |turn: &&Turn| !self.left.contains(*turn) && !self.running.contains(*turn);
        let put_back = self.pending.iter().filter_map(|p| match p {
            Pending::PutBack(turn) => Some(turn),
            _ => None,
        });
        let read = match &self.page {
            Some(Page::Fresh(page)) => page.first(),
            _ => None,
        };
        let stored = self.stored.keys().find(waits);
        stored.into_iter().chain(self.fresh.front()).chain(put_back).chain(read).min().copied()
    }

    /// Memory is bounded: what it could forget is not much more than what it keeps.
    fn check(&self) {
        let line = &self.line;
        assert!(line.waiting.iter().is_sorted_by_key(Waiting::turn));
        let kept = line.waiting.iter().filter(|job| job.record.placed && job.turn() > line.started).count();
        assert!(kept <= 4 * self.widest, "{kept} placed ones in memory");
        assert!(line.delayed(Timestamp(self.now)) <= line.waiting.len() as u64 + line.beyond);
    }

    /// Nothing is under way: who is to start next is known.
    fn comes_to_rest(&mut self) {
        for _ in 0..1_000 {
            self.loaded();
            self.commit(usize::MAX, NONE);
            if !self.asked && self.pending.is_empty() {
                let first = self.first().map(|turn| turn.ready_at);
                let head = self.line.head().map(|job| job.record.job.ready_at);
                assert_eq!(head, first, "the line knows who is first");
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
            if self.first().is_none() {
                break;
            }
        }
        self.comes_to_rest();
        assert!(self.stored.is_empty() && self.fresh.is_empty());
        assert_eq!((self.line.waiting.len(), self.line.beyond, self.line.incoming), (0, 0, 0));
    }
}

proptest! {
    #![proptest_config(crate::repeatable::cases(20_000))]

    #[test]
    fn jobs_start_once_and_in_order(
        (window, widest) in (1..5_usize, 1..4_usize).prop_map(|(window, times)| (window, window * times)),
        fresh in 0..12_u64,
        placed in vec(0..40_u64, 0..8),
        moving in vec(any::<u64>(), 0..8),
        tides in vec(events(), 0..6),
    ) {
        let mut state = State::opened(window, widest, fresh, &placed, &moving);
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
