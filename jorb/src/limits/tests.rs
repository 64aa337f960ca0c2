//! What a limiter promises: no window of time sees more starts than burst and rate allow, whatever happens in between;
//! and whoever waits as he is told gets his permit.
use std::{num::NonZeroU32, time::Duration};

use governor::{Quota, RateLimiter, clock::FakeRelativeClock};
use proptest::{
    collection::vec,
    prelude::{Strategy, any, proptest},
};

use super::*;

const MS: u64 = 1_000_000;
const START: u64 = 1_000_000 * MS;
/// As `core::LEAD`.
const LEAD: u64 = 20 * MS;

/// Takes a permit, or says when it is there.
fn take(bucket: &mut Bucket, now: u64, cost: u32) -> Result<(), u64> {
    bucket.holds(now, cost)?;
    bucket.take(now, cost);
    Ok(())
}

/// When each of `n` starts happens, for a caller that waits as it is told.
fn starts(limiter: &mut Bucket, mut now: u64, n: usize) -> Vec<u64> {
    let mut starts = Vec::new();
    while starts.len() < n {
        match take(limiter, now, 1) {
            Ok(()) => starts.push((now - START) / MS),
            Err(until) => {
                assert!(until > now);
                now = until;
            }
        }
    }
    starts
}

#[test]
fn starts_follow_the_rate_and_a_burst_catches_up() {
    let mut limiter = Bucket::new(Rate::literal("10/s"), None);
    assert_eq!(starts(&mut limiter, START, 4), [0, 100, 200, 300]);
    let mut limiter = Bucket::new(Rate::literal("10/s"), Some(3));
    assert_eq!(starts(&mut limiter, START, 5), [0, 0, 0, 100, 200]);
    assert_eq!(starts(&mut limiter, START + 10_000 * MS, 4), [10_000, 10_000, 10_000, 10_100]);
}

#[test]
fn another_rate_forgets_nothing_of_a_pause_that_has_just_ended() {
    let mut limiter = Bucket::new(Rate::literal("10/s"), Some(2));
    limiter.restore(Some(Timestamp((START + 90 * MS) / MS)), true, START);
    limiter.set_rate(1_000 * MS, 2, START);
    // Of two permits, nine tenths of one are taken.
    assert_eq!(starts(&mut limiter, START, 3), [0, 900, 1_900]);
}

#[test]
fn a_permit_that_is_used_late_puts_off_no_pause() {
    let mut limiter = Bucket::new(Rate::literal("10/s"), None);
    assert_eq!(take(&mut limiter, START, 1), Ok(()));
    limiter.pause(START + 400 * MS);
    limiter.shift(250 * MS);
    assert_eq!(limiter.holds(START, 1), Err(START + 400 * MS), "which is after the permit's 350");
    limiter.shift(250 * MS);
    assert_eq!(limiter.holds(START, 1), Err(START + 600 * MS), "which the permit is after");
}

#[test]
fn another_rate_forgets_no_permit_and_no_pause() {
    let half_second = 500 * MS;
    let mut limiter = Bucket::new(Rate::literal("10/s"), Some(3));
    assert_eq!(starts(&mut limiter, START, 3), [0, 0, 0]);
    // Three are taken: they come back at 2/s now.
    limiter.set_rate(half_second, 3, START);
    assert_eq!(starts(&mut limiter, START, 2), [500, 1_000]);
    limiter.set_rate(100 * MS, 1, START + 1_000 * MS);
    assert_eq!(starts(&mut limiter, START + 1_000 * MS, 3), [1_300, 1_400, 1_500]);
    limiter.pause(START + 9_000 * MS);
    limiter.set_rate(half_second, 2, START + 1_500 * MS);
    assert_eq!(starts(&mut limiter, START + 1_500 * MS, 2), [9_000, 9_500]);
    // Once all has come back, a burst is there.
    limiter.set_rate(100 * MS, 2, START + 20_000 * MS);
    assert_eq!(starts(&mut limiter, START + 20_000 * MS, 3), [20_000, 20_000, 20_100]);
}

/// Another implementation of the same algorithm, asked the same.
#[test]
fn starts_are_those_of_governor() {
    let mut next = 1_u64;
    let mut random = |below: u32| {
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(next >> 33).unwrap() % below
    };
    for _ in 0..200 {
        let rate = Rate::new(1 + random(50), Duration::from_millis(1 + u64::from(random(2_000))));
        let burst = 1 + random(5);
        let clock = FakeRelativeClock::default();
        let quota = Quota::with_period(rate.interval()).unwrap().allow_burst(NonZeroU32::new(burst).unwrap());
        let theirs = RateLimiter::direct_with_clock(quota, clock.clone());
        let mut ours = Bucket::new(rate, Some(burst));
        let mut now = START;
        for _ in 0..200 {
            let cost = 1 + random(burst);
            let theirs = theirs.check_n(NonZeroU32::new(cost).unwrap()).unwrap();
            assert_eq!(take(&mut ours, now, cost).is_ok(), theirs.is_ok(), "{rate}, {burst}, {cost}");
            let pause = ours.interval * u64::from(random(2_000 * burst)) / 1_000;
            clock.advance(Duration::from_nanos(pause));
            now += pause;
        }
    }
}

#[test]
fn fast_rates_have_a_burst_of_5_ms() {
    assert_eq!(default_burst(Rate::literal("20000/s")), 100);
    assert_eq!(Bucket::new(Rate::literal("10/s"), None).burst, 1);
}

#[test]
fn a_pause_is_obeyed_and_leaves_no_burst() {
    let mut limiter = Bucket::new(Rate::literal("10/s"), Some(3));
    limiter.pause(START + 500 * MS);
    assert_eq!(starts(&mut limiter, START, 3), [500, 600, 700]);
}

#[test]
fn what_is_saved_goes_on_where_it_was() {
    let mut limiter = Bucket::new(Rate::literal("10/s"), Some(2));
    starts(&mut limiter, START, 2);
    let mut next = Bucket::new(Rate::literal("10/s"), Some(2));
    next.restore(limiter.due(0), true, START + 10 * MS);
    assert_eq!(starts(&mut next, START + 10 * MS, 2), [100, 200]);
    let mut drained = Bucket::new(Rate::literal("10/s"), Some(2));
    drained.drain(START);
    assert_eq!(starts(&mut drained, START, 2), [100, 200]);
}

/// What may happen to the limiter of a state. Times are in intervals of its rate, and thousandths of them.
#[derive(Debug, Clone)]
enum Event {
    /// Somebody wants to start; a slow start is saved first, which takes so many milliseconds each time.
    Start { saving: [u64; 2], cost: u32 },
    /// Time goes on.
    Wait { thousandths: u64 },
    /// Somebody waits as long as he is told, and starts.
    Patient { saving: [u64; 2], cost: u32 },
    /// The last start cost so much in the end.
    Settle { actual: u32 },
    /// A service asks for a pause.
    Pause { thousandths: u64 },
    /// The process stops, and another one goes on.
    Stop { thousandths: u64 },
    /// The process dies, between saving a permit and its use if `saved`, and another one goes on.
    Crash { thousandths: u64, saved: bool },
}

impl Event {
    /// One of all, simple ones for small numbers.
    fn of(n: u32) -> Self {
        let (kind, n) = (n % 16, u64::from(n / 16));
        let saving = [[0, 0, 1, 19, 21, 300, 40_000][(n % 7) as usize], n % 3 * 9];
        let cost = [1, 1, 1, 0, 2, 3, 9][(n / 7 % 7) as usize];
        let thousandths = [n % 500, n % 1_000, n % 3_000, n % 20_000][(n / 20_000 % 4) as usize];
        match kind {
            0..6 => Event::Start { saving, cost },
            6..9 => Event::Wait { thousandths },
            9..11 => Event::Patient { saving, cost },
            11 => Event::Settle { actual: (n % 12) as u32 },
            12 => Event::Pause { thousandths },
            13 => Event::Stop { thousandths },
            _ => Event::Crash { thousandths, saved: n % 2 == 0 },
        }
    }
}

/// A state's limiter in one process after the other, used as the engine does.
struct User {
    rate: Rate,
    burst: Option<u32>,
    limiter: Bucket,
    now: u64,
    /// What the store has.
    saved: Option<Timestamp>,
    /// When, at what cost, and what it cost in the end.
    starts: Vec<(u64, u32, u32)>,
    /// No start before, said a service.
    paused: u64,
    /// A crash may forget it.
    latest_pause: u64,
    /// Since the last start.
    reopened: bool,
}

impl User {
    fn happens(&mut self, event: &Event) {
        match *event {
            Event::Start { saving, cost } => drop(self.start(saving, cost)),
            Event::Wait { thousandths } => self.wait(thousandths),
            Event::Patient { saving, cost } => self.patient(saving, cost),
            Event::Settle { actual } => {
                // Of a start in this process that was not settled yet.
                if let Some((_, cost, settled)) = self.starts.last_mut()
                    && !self.reopened
                    && cost == settled
                    && *cost > 0
                {
                    self.limiter.settle(self.now, *cost, actual);
                    *settled = actual;
                    if self.limiter.is_saved(self.now) {
                        self.saved = self.limiter.due(0);
                    }
                }
            }
            Event::Pause { thousandths } => {
                let until = self.now + self.limiter.interval / 1_000 * thousandths;
                self.limiter.pause(until);
                self.paused = self.paused.max(until);
                self.latest_pause = self.latest_pause.max(until);
            }
            Event::Stop { thousandths } => {
                self.saved = self.limiter.due(0).or(self.saved);
                self.reopen(thousandths, true);
            }
            Event::Crash { thousandths, saved } => {
                if saved && self.limiter.is_slow() && take(&mut self.limiter, self.now, 1).is_ok() {
                    self.saved = self.limiter.due(LEAD);
                }
                self.reopen(thousandths, false);
            }
        }
    }

    fn wait(&mut self, thousandths: u64) {
        self.now += self.limiter.interval / 1_000 * thousandths + thousandths % 7;
    }

    /// As `Core::next` and `Core::starts`; says when to come again.
    fn start(&mut self, saving: [u64; 2], cost: u32) -> Result<(), u64> {
        take(&mut self.limiter, self.now, cost)?;
        self.reopened = false;
        assert!(self.now >= self.paused, "a start in a pause");
        if cost > 0 && self.limiter.is_saved(self.now) {
            let mut taken = self.now;
            for took in saving {
                self.saved = self.limiter.due(LEAD);
                self.now += took * MS;
                let late = self.now - taken;
                self.limiter.shift(late);
                if late <= LEAD {
                    break;
                }
                taken = self.now;
            }
        }
        self.starts.push((self.now, cost, cost));
        Ok(())
    }

    fn patient(&mut self, saving: [u64; 2], cost: u32) {
        if let Err(until) = self.start(saving, cost) {
            // A large debt is paid off first, and each crash adds to it what saving may have taken.
            let small = cost <= 1 && self.starts.iter().all(|(_, cost, actual)| *cost <= 1 && *actual <= 1);
            let latest = self.latest_pause.max(self.now + self.limiter.interval) + LEAD + MS;
            assert!(until > self.now && (until <= latest || !small), "told to wait {} ns", until - self.now);
            self.now = until;
            assert_eq!(self.start(saving, cost), Ok(()), "whoever waits as he is told gets his permit");
        }
    }

    /// As `Core::new`.
    fn reopen(&mut self, thousandths: u64, clean: bool) {
        self.wait(thousandths);
        self.limiter = Bucket::new(self.rate, self.burst);
        if !clean {
            self.paused = 0;
        }
        self.reopened = true;
        self.limiter.restore(self.saved, clean, self.now);
    }

    /// Windows that begin and end with a start are the narrowest. The last start of a window may be the one that makes
    /// a debt, or turn out to have cost more than was known.
    fn check(&self, burst: u32) {
        let interval = u128::from(self.limiter.interval);
        for (i, (first, ..)) in self.starts.iter().enumerate() {
            let mut before = 0;
            for (last, cost, actual) in &self.starts[i..] {
                let allowed = u128::from(burst.max(*cost)) + u128::from(last - first) / interval;
                let all = before + u128::from(*cost);
                assert!(*cost == 0 || all <= allowed, "{all} in {} ns, from start {i} on", last - first);
                before += u128::from(*actual);
            }
        }
    }
}

/// From one per nanosecond to one in sixteen hours.
fn rate() -> impl Strategy<Value = Rate> {
    (1..1_000_u32, 1..1_000_u64, 0..9_u32).prop_map(|(permits, n, unit)| {
        let unit =
            [1, 1_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 60_000_000_000][unit as usize % 7];
        Rate::new(permits, Duration::from_nanos((n * unit).max(permits.into())))
    })
}

proptest! {
    #![proptest_config(crate::repeatable::cases(20_000))]

    #[test]
    fn no_window_has_more_starts_than_allowed_and_nobody_starves(
        rate in rate(),
        burst in proptest::option::of(1..6_u32),
        events in vec(any::<u32>().prop_map(Event::of), 0..80),
    ) {
        let limiter = Bucket::new(rate, burst);
        let mut user = User { rate, burst, limiter, now: START, saved: None, starts: Vec::new(), paused: 0, latest_pause: 0, reopened: true };
        for event in &events {
            user.happens(event);
        }
        user.patient([0, 0], 1);
        user.check(user.limiter.burst);
    }
}
