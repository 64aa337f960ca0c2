//! A service with a limit that it does not tell, and a client that keeps to a controller's rate, on a virtual clock.
use std::{cmp::Reverse, collections::BinaryHeap};

use super::super::{Adaptive, AdaptiveSpec, Kind};

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const MS: u64 = 1_000_000;

/// 2023: the first sight of a clock is not the end of a long wait.
const START: u64 = 1_700_000_000 * SECOND;

/// Numbers in no order, the same on each run: the upper half of a linear congruence.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        dice.next();
        dice
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 32
    }

    /// From 0 to 1, without 1.
    pub(super) fn share(&mut self) -> f64 {
        self.next() as f64 / 4_294_967_296.0
    }

    fn between(&mut self, (least, most): (u64, u64)) -> u64 {
        least + (most - least) / 1000 * self.next() / (1 << 32) * 1000
    }
}

/// How the service counts.
#[derive(Clone, Copy)]
pub(super) enum Counts {
    /// A bucket of so many requests, or of so many seconds of its rate if that is more.
    Bucket(f64, f64),
    /// So many seconds of its rate in each window of that length.
    Window(u64),
}

/// A service and its client. Rates are per second, times are seconds, latencies nanoseconds.
#[derive(Clone)]
pub(super) struct Scenario {
    pub(super) kind: Kind,
    pub(super) initial: f64,
    /// What the service takes, from when on.
    pub(super) capacity: Vec<(f64, f64)>,
    pub(super) counts: Counts,
    /// Share of requests that it refuses for no reason.
    pub(super) noise: f64,
    pub(super) latency: (u64, u64),
    /// Latency of a refusal.
    pub(super) refusal: (u64, u64),
    /// Longest time from a start to the request's arrival.
    pub(super) way: u64,
    /// What the client has work for, on average.
    pub(super) demand: f64,
    pub(super) seconds: f64,
    pub(super) seed: u64,
}

impl Scenario {
    /// A strict bucket, steps of 20 to 200 ms, and always work.
    pub(super) fn new(initial: f64, capacity: f64, seconds: f64) -> Self {
        Scenario {
            kind: Kind::Probe,
            initial,
            capacity: vec![(0.0, capacity)],
            counts: Counts::Bucket(2.0, 0.01),
            noise: 0.0,
            latency: (20 * MS, 200 * MS),
            refusal: (20 * MS, 200 * MS),
            way: 0,
            demand: f64::INFINITY,
            seconds,
            seed: 1,
        }
    }

    fn capacity_at(&self, seconds: f64) -> f64 {
        self.capacity.iter().rev().find(|(from, _)| *from <= seconds).expect("one from 0 on").1
    }

    /// Plays it.
    pub(super) fn run(&self) -> Trace {
        let spec = AdaptiveSpec { kind: self.kind, initial: self.initial, min: 0.01, max: 100_000.0 };
        let mut adaptive = Adaptive::new(&spec).unwrap();
        let (mut dice, mut noise) = (Dice::new(self.seed), Dice::new(self.seed + 99));
        let mut service = Service { counts: self.counts, left: 0.0, at: 0.0, window: u64::MAX };
        let mut events = BinaryHeap::<Reverse<(u64, u64, u64, Event)>>::new();
        // The client: when its next start is due by rate, when it has work for it, when it started last.
        let (mut due, mut work, mut last) = (0.0, 0.0, 0);
        let mut trace = Trace { rates: vec![(0.0, adaptive.rate())], ..Trace::default() };
        for order in 0.. {
            let rate = adaptive.rate();
            let early = f64::from(adaptive.burst() - 1) / rate;
            let start = nanos(f64::max(due - early, work)).max(last);
            let event = events.peek().map_or(u64::MAX, |Reverse((at, ..))| *at);
            let now = start.min(event);
            let seconds = now as f64 * 1e-9;
            if seconds >= self.seconds {
                break;
            }
            if event > start {
                adaptive.started(START + now);
                due = f64::max(due, seconds) + 1.0 / rate;
                work = f64::max(work, seconds - 0.1) - (1.0 - dice.share()).ln() / self.demand;
                last = now;
                events.push(Reverse((now + dice.between((0, self.way)), order, now, Event::Arrives)));
            } else {
                let Reverse((_, _, started_at, event)) = events.pop().expect("just seen");
                match event {
                    Event::Arrives => {
                        let taken =
                            service.takes(now, self.capacity_at(seconds)) && noise.share() >= self.noise;
                        trace.answers.push((seconds, taken));
                        let (latency, event) =
                            if taken { (self.latency, Event::Taken) } else { (self.refusal, Event::Refused) };
                        let ends = (started_at + dice.between(latency)).max(now);
                        events.push(Reverse((ends, order, started_at, event)));
                    }
                    Event::Taken => adaptive.succeeded(START + now, START + started_at),
                    Event::Refused => adaptive.throttled(START + now, START + started_at),
                }
            }
            if adaptive.rate() != rate {
                // What is left of the wait is waited at the new rate.
                due = f64::min(due, seconds) + f64::max(due - seconds, 0.0) * rate / adaptive.rate();
                trace.rates.push((seconds, adaptive.rate()));
            }
        }
        trace
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives,
    Taken,
    Refused,
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a float to int cast saturates
fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

struct Service {
    counts: Counts,
    left: f64,
    at: f64,
    window: u64,
}

impl Service {
    fn takes(&mut self, now: u64, capacity: f64) -> bool {
        match self.counts {
            Counts::Bucket(least, seconds) => {
                let at = now as f64 * 1e-9;
                self.left = (self.left + (at - self.at) * capacity).min(least.max(seconds * capacity));
                self.at = at;
            }
            Counts::Window(length) if now / length != self.window => {
                self.window = now / length;
                self.left = (capacity * length as f64 * 1e-9).round();
            }
            Counts::Window(_) => (),
        }
        let takes = self.left >= 1.0;
        self.left -= f64::from(u8::from(takes));
        takes
    }
}

/// What happened, and when.
#[derive(Default)]
pub(super) struct Trace {
    /// Each request that arrived, and whether it was taken.
    pub(super) answers: Vec<(f64, bool)>,
    /// Each change of the rate.
    pub(super) rates: Vec<(f64, f64)>,
}

impl Trace {
    fn answers(&self, from: f64, to: f64) -> impl Iterator<Item = bool> {
        self.answers.iter().filter(move |(at, _)| (from..to).contains(at)).map(|(_, taken)| *taken)
    }

    /// Requests taken per second.
    pub(super) fn taken(&self, from: f64, to: f64) -> f64 {
        self.answers(from, to).filter(|taken| *taken).count() as f64 / (to - from)
    }

    /// Number of requests refused.
    pub(super) fn refused(&self, from: f64, to: f64) -> usize {
        self.answers(from, to).filter(|taken| !taken).count()
    }

    /// Share of requests refused.
    pub(super) fn throttled(&self, from: f64, to: f64) -> f64 {
        self.refused(from, to) as f64 / self.answers(from, to).count().max(1) as f64
    }

    /// Seconds from `from` until the rate is between the two for the first time.
    pub(super) fn reaches(&self, from: f64, least: f64, most: f64) -> f64 {
        let is = |rate: f64| (least..=most).contains(&rate);
        if is(self.rate(from)) {
            return 0.0;
        }
        let then = self.rates.iter().find(|(at, rate)| *at >= from && is(*rate));
        then.map_or(f64::INFINITY, |(at, _)| at - from)
    }

    /// Greatest and least rate.
    pub(super) fn most(&self, from: f64, to: f64) -> f64 {
        self.within(from, to).fold(self.rate(from), f64::max)
    }

    pub(super) fn least(&self, from: f64, to: f64) -> f64 {
        self.within(from, to).fold(self.rate(from), f64::min)
    }

    fn within(&self, from: f64, to: f64) -> impl Iterator<Item = f64> {
        self.rates.iter().filter(move |(at, _)| (from..to).contains(at)).map(|(_, rate)| *rate)
    }

    /// The rate at a moment.
    pub(super) fn rate(&self, at: f64) -> f64 {
        self.rates[self.rates.partition_point(|(then, _)| *then <= at) - 1].1
    }

    /// A line of bars down the page, for people.
    pub(super) fn draw(&self, seconds: f64, most: f64) {
        for row in 0..120 {
            let at = seconds * f64::from(row) / 120.0;
            let bar = "#".repeat(usize::try_from(nanos(self.rate(at) / most * 8e-8)).unwrap_or(0).min(120));
            println!("{at:9.2} s {:10.3}/s {bar}", self.rate(at));
        }
    }
}
