//! Back to just below where it was too much, then slowly beyond.
use super::{Bounds, noise::Noise};
use crate::store::Learned;

/// A backoff leads this share below the ceiling; the curve is as far above it one length later.
const STEP: f64 = 0.15;

/// Shortest length of the curve: seconds, and requests. Each length costs a throttle or two.
const SECONDS: f64 = 4.0;
const REQUESTS: f64 = 100.0;

/// So far beyond the ceiling, it is forgotten.
const GONE: f64 = 1.5;

/// Longest time in seconds that a service is thought to be shut between two of its windows.
const DARKEST: f64 = 1800.0;

/// Finds the rate of a service that tells its limit only by "too many", and stays there.
///
/// The model is TCP CUBIC (RFC 9438). The rate at which the service said "too many" is the *ceiling*. A backoff leads a
/// step below it; from there the rate follows a cubic curve of time: fast back towards the ceiling, flat around it, and
/// faster again the longer nothing happens. Until the first throttle it doubles instead.
///
/// What differs from CUBIC: there are rates for windows of packets. A service that refuses tells what it takes, so the
/// ceiling is the rate times the share that was taken in this *round*: of the steps that started after the last backoff.
/// Answers to older steps are about a rate that is gone, and ignored. The curve is measured in requests where rates are
/// low, so that looking for more costs about one request in a hundred. Nothing grows before the new rate has had a
/// success, nor while less than 80 % of it is used (the thought of RFC 7661). If *nothing* is taken any more, the service
/// counts in windows and is shut until the next: the ceiling stays, the rate falls with each try, and when the service
/// is open again, the ceiling is spread over the time that it was shut. For throttles at random see [`Noise`].
#[derive(Debug)]
pub(crate) struct Probe {
    rate: f64,
    bounds: Bounds,
    /// The rate that was too much, and what stands for it as long as none is known.
    ceiling: Option<f64>,
    initial: f64,
    /// The rate after the last backoff, and the seconds on the curve since.
    floor: f64,
    age: f64,
    round: Round,
    noise: Noise,
    /// When the service opened, when it shut, and for how many seconds it was shut of late.
    open: Option<u64>,
    shut: Option<u64>,
    dark: f64,
    /// The last start, and by how many starts the client is ahead of 80 % of the rate.
    last: Option<u64>,
    ahead: f64,
    /// Seconds that a step takes, smoothed.
    lag: f64,
}

/// Answers to steps that started after a moment.
#[derive(Debug, Default)]
struct Round {
    after: u64,
    taken: u64,
    refused: u64,
}

impl Probe {
    pub(super) fn new(rate: f64, bounds: Bounds) -> Self {
        Probe {
            rate,
            bounds,
            ceiling: None,
            initial: rate,
            floor: rate,
            age: 0.0,
            round: Round::default(),
            noise: Noise::default(),
            open: None,
            shut: None,
            dark: 0.0,
            last: None,
            // In use until the contrary is seen.
            ahead: f64::MAX,
            lag: 0.0,
        }
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    pub(super) fn started(&mut self, now: u64) {
        self.open.get_or_insert(now);
        let gap = self.last.replace(now).map_or(0.0, |last| seconds(last, now));
        // Room for the bursts of a coarse timer.
        let most = 8.0 + 0.04 * self.rate;
        self.ahead = (self.ahead - 0.8 * self.rate * gap).clamp(0.0, most);
        if self.ahead > most / 2.0 && self.round.taken > 0 {
            self.grow(gap);
        }
        self.ahead += 1.0;
    }

    fn grow(&mut self, gap: f64) {
        self.age += gap;
        let rate = match self.ceiling {
            Some(ceiling) if self.rate <= GONE * ceiling => {
                let length = SECONDS.max(REQUESTS / ceiling).max(2.0 * self.dark).max(4.0 * self.lag);
                let x = self.age / length - 1.0;
                let depth = if x < 0.0 { ceiling - self.floor } else { STEP * ceiling };
                ceiling + depth * x.powi(3)
            }
            // Twice as much after a second, five requests and one answer.
            _ => {
                self.ceiling = None;
                self.initial = self.rate;
                self.dark = 0.0;
                self.rate * (gap / self.lag.max(1.0).max(5.0 / self.rate)).exp2()
            }
        };
        self.rate = self.bounds.clamp(rate);
    }

    pub(super) fn succeeded(&mut self, now: u64, started_at: u64) {
        self.lag += (seconds(started_at, now) - self.lag) / 16.0;
        if self.is_news(now, started_at) {
            self.noise.hear(self.is_below(1.0 - STEP / 3.0) && self.round.taken > 0, false);
            if self.round.taken == 0 && self.is_below(0.25) {
                self.reopen(started_at);
            }
            self.round.taken += 1;
        }
    }

    pub(super) fn throttled(&mut self, now: u64, started_at: u64) {
        if !self.is_news(now, started_at) {
            return;
        }
        let below = self.is_below(1.0 - STEP / 3.0);
        self.noise.hear(below && self.round.taken > 0, true);
        if self.noise.forgives() {
            return;
        }
        self.round.refused += 1;
        let Round { taken, refused, .. } = self.round;
        if taken == 0 {
            // Shut, or it looks like that: fewer tries, at last one in a quarter of the time that it lasts.
            let part = if self.is_below(0.125) { 0.8 } else { 0.5 };
            self.drop_to(part * self.rate);
        } else {
            self.noise.back_off(below, taken);
            self.shut = Some(started_at);
            self.dark *= 0.9;
            // As if four more had been taken: the first few answers say little.
            let share = refused as f64 / (taken + refused + 4) as f64;
            self.settle(self.rate * (1.0 - share.min(0.5)));
        }
        self.round = Round { after: now, taken: 0, refused: 0 };
    }

    /// What was taken from opening to shutting was for the time until now.
    fn reopen(&mut self, now: u64) {
        let shut = self.shut.take().unwrap_or(now);
        let (good, bad) = (seconds(self.open.unwrap_or(shut), shut), seconds(shut, now));
        let share = good / (good + bad).max(1e-9);
        self.dark = self.dark.max(bad).min(DARKEST);
        self.open = Some(now);
        self.settle((self.ceiling.unwrap_or(self.initial) * share).max(self.rate));
    }

    /// Just below a ceiling.
    fn settle(&mut self, ceiling: f64) {
        self.ceiling = Some(ceiling);
        self.drop_to(ceiling * (1.0 - STEP));
    }

    fn drop_to(&mut self, rate: f64) {
        self.rate = self.bounds.clamp(rate);
        self.floor = self.rate;
        self.age = 0.0;
    }

    fn is_below(&self, share: f64) -> bool {
        self.rate < share * self.ceiling.unwrap_or(self.initial)
    }

    /// Whether an answer is about today's rate. A clock that was set back must not make all answers old.
    fn is_news(&mut self, now: u64, started_at: u64) -> bool {
        self.round.after = self.round.after.min(now);
        started_at > self.round.after
    }

    pub(super) fn learned(&self) -> Learned {
        Learned { rate: self.rate, ceiling: self.ceiling.map(|ceiling| ceiling.max(self.rate)) }
    }

    pub(super) fn restore(&mut self, learned: Learned) {
        let sane = |rate: &f64| rate.is_finite() && *rate > 0.0;
        if let Some(ceiling) = learned.ceiling.filter(sane).map(|ceiling| self.bounds.clamp(ceiling)) {
            self.settle(ceiling);
        } else if sane(&learned.rate) {
            self.rate = self.bounds.clamp(learned.rate);
            self.initial = self.rate;
        }
    }
}

fn seconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 * 1e-9
}
