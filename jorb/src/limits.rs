//! Limits on how fast steps start, and on how many are in flight.
//!
//! A rate is GCRA (ITU-T I.371, "virtual scheduling"): one number, the theoretical arrival time of the next start, says
//! all. So a limiter can be asked without being charged, saved with the run, pushed into the future when a service asks for
//! a pause, and given another rate without losing what was taken. Times are nanoseconds since 1970.
use std::time::Duration;

use self::adaptive::{Adaptive, AdaptiveSpec, Kind};
use crate::{LimiterSpec, Rate, Timestamp, Tuning, policy::Controller, store::Learned};

mod adaptive;

#[cfg(test)]
mod tests;

/// A limiter with so much time between starts is saved before each start. A faster one is saved before a start that costs
/// more than its burst, and at a clean stop; after any other end it opens drained.
const SLOW: Duration = Duration::from_millis(100);

/// What 5 ms of a rate are may start at once: timers are coarse, and without it 20,000/s would starve.
const TICK: f64 = 0.005;

/// What a step needs of one limiter to start: a permit at its rate, and a place in its pool.
pub(crate) struct Gate {
    bucket: Option<Bucket>,
    /// The bucket's rate follows what the service answers, unless an operator has said what it is.
    adaptive: Option<Adaptive>,
    fixed: bool,
    /// Most steps in flight.
    size: usize,
    in_use: usize,
    /// A permit is on its way to the store: until its step starts, nobody knows when the next one may.
    pub(crate) saving: bool,
}

/// Why a gate is shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shut {
    /// Its permits are used up until then.
    Until(u64),
    /// As many are in flight as may be.
    Full,
    /// A permit is being saved.
    Saving,
}

impl Gate {
    pub(crate) fn new(spec: &LimiterSpec) -> Self {
        Gate {
            bucket: spec.rate.map(|rate| Bucket::new(rate, spec.burst)),
            adaptive: spec.adaptive.map(adaptive),
            fixed: false,
            size: spec.concurrency.unwrap_or(usize::MAX),
            in_use: 0,
            saving: false,
        }
    }

    /// The time in which a whole burst comes back, if there is a rate; of an adaptive one, at its slowest.
    pub(crate) fn refill(spec: &LimiterSpec, tuning: Tuning) -> Option<u64> {
        let mut gate = Gate::new(spec);
        gate.tune(spec, tuning, 0);
        let bucket = gate.bucket?;
        let slowest = spec.adaptive.map_or(0, |rate| interval(slowest(rate)));
        Some(bucket.interval.max(slowest).saturating_mul(u64::from(bucket.burst)))
    }

    /// As it was left by a run that ended cleanly or not.
    pub(crate) fn restore(
        &mut self,
        due: Option<Timestamp>,
        learned: Option<Learned>,
        clean: bool,
        now: u64,
    ) {
        if let (Some(adaptive), Some(learned)) = (&mut self.adaptive, learned) {
            adaptive.restore(learned);
        }
        self.follow(now);
        if let Some(bucket) = &mut self.bucket {
            bucket.restore(due, clean, now);
        }
    }

    /// Does what the code says, but for what an operator has changed of it.
    pub(crate) fn tune(&mut self, spec: &LimiterSpec, tuning: Tuning, now: u64) {
        self.size = tuning.concurrency.or(spec.concurrency).unwrap_or(usize::MAX);
        self.fixed = tuning.rate.is_some();
        let Some(rate) = tuning.rate.or(spec.rate) else {
            self.bucket = None;
            return;
        };
        let new = Bucket::new(rate, tuning.burst.or(spec.burst));
        match &mut self.bucket {
            Some(bucket) => bucket.set_rate(new.interval, new.burst, now),
            None => self.bucket = Some(new),
        }
        self.follow(now);
    }

    /// The bucket's rate is what the service allows.
    fn follow(&mut self, now: u64) {
        if let (Some(adaptive), Some(bucket), false) = (&self.adaptive, &mut self.bucket, self.fixed) {
            bucket.set_rate(interval(adaptive.rate()), adaptive.burst(), now);
        }
    }

    /// A step that started then was answered: with a move, or a throttle.
    pub(crate) fn answered(&mut self, now: u64, started_at: u64, throttled: bool) {
        let Some(adaptive) = &mut self.adaptive else { return };
        if throttled {
            adaptive.throttled(now, started_at);
        } else {
            adaptive.succeeded(now, started_at);
        }
        self.follow(now);
    }

    /// What is worth keeping of what the service answered.
    pub(crate) fn learned(&self) -> Option<Learned> {
        self.adaptive.as_ref().map(Adaptive::learned)
    }

    /// Whether a step of this cost may start.
    pub(crate) fn is_open(&self, now: u64, cost: u32) -> Result<(), Shut> {
        if self.saving {
            return Err(Shut::Saving);
        }
        if self.in_use >= self.size {
            return Err(Shut::Full);
        }
        self.bucket.as_ref().map_or(Ok(()), |bucket| bucket.holds(now, cost)).map_err(Shut::Until)
    }

    /// The step starts.
    pub(crate) fn enter(&mut self, now: u64, cost: u32) {
        self.in_use += 1;
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now, cost);
        }
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.started(now);
            self.follow(now);
        }
    }

    /// It ended.
    pub(crate) fn leave(&mut self) {
        // Of a state that got its rate while its steps ran, those were not counted.
        self.in_use = self.in_use.saturating_sub(1);
    }

    /// Its cost was another one than it was thought to be.
    pub(crate) fn settle(&mut self, now: u64, cost: u32, actual: u32) {
        if let Some(bucket) = &mut self.bucket {
            bucket.settle(now, cost, actual);
        }
    }

    pub(crate) fn size(&self) -> Option<usize> {
        (self.size < usize::MAX).then_some(self.size)
    }

    pub(crate) fn in_use(&self) -> usize {
        self.in_use
    }

    pub(crate) fn bucket(&self) -> Option<&Bucket> {
        self.bucket.as_ref()
    }

    pub(crate) fn bucket_mut(&mut self) -> Option<&mut Bucket> {
        self.bucket.as_mut()
    }
}

/// Lets steps start no faster than a rate.
pub(crate) struct Bucket {
    /// When the next start is due if none is left over, by what was taken; nothing before the first one.
    taken: Option<u64>,
    interval: u64,
    burst: u32,
    /// The same by the last pause.
    paused: Option<u64>,
}

impl Bucket {
    pub(crate) fn new(rate: Rate, burst: Option<u32>) -> Self {
        let interval = u64::try_from(rate.interval().as_nanos()).unwrap_or(u64::MAX);
        let burst = burst.unwrap_or_else(|| default_burst(rate)).max(1);
        Bucket { taken: None, interval, burst, paused: None }
    }

    /// Says when a step of this cost may start, if not now. One that costs more than the burst may when nothing is
    /// taken; the others wait until it is paid off.
    pub(crate) fn holds(&self, now: u64, cost: u32) -> Result<(), u64> {
        // What costs nothing waits for pauses alone.
        let due = if cost > 0 { self.next(0) } else { self.paused };
        let left = self.burst - cost.clamp(1, self.burst);
        let from = due.unwrap_or(0).saturating_sub(self.worth(left));
        if from <= now { Ok(()) } else { Err(from) }
    }

    /// A step starts that may.
    pub(crate) fn take(&mut self, now: u64, cost: u32) {
        if cost > 0 {
            self.taken = Some(self.next(0).unwrap_or(0).max(now).saturating_add(self.worth(cost)));
        }
    }

    /// A step took `actual`, and not `cost`.
    fn settle(&mut self, now: u64, cost: u32, actual: u32) {
        self.taken = Some(if actual >= cost {
            self.next(0).unwrap_or(0).max(now).saturating_add(self.worth(actual - cost))
        } else {
            self.taken.unwrap_or(0).saturating_sub(self.worth(cost - actual))
        });
    }

    /// When the next start is due if none is left over, and the last permit is used `late` later than it was taken.
    fn next(&self, late: u64) -> Option<u64> {
        self.taken.map(|taken| taken.saturating_add(late)).max(self.paused)
    }

    /// The time in which so much comes back.
    fn worth(&self, cost: u32) -> u64 {
        self.interval.saturating_mul(u64::from(cost))
    }

    /// No start before `until`, and then at the rate.
    pub(crate) fn pause(&mut self, until: u64) {
        self.paused = self.paused.max(Some(until.saturating_add(self.worth(self.burst - 1))));
    }

    /// Another rate from now on. What is taken stays taken: it comes back at the new rate.
    pub(crate) fn set_rate(&mut self, interval: u64, burst: u32, now: u64) {
        if (interval, burst) == (self.interval, self.burst) {
            return;
        }
        let due = self.next(0);
        let until = self.paused.take().map(|paused| paused.saturating_sub(self.worth(self.burst - 1)));
        let until = until.filter(|until| *until > now);
        let from = until.unwrap_or(now);
        if let Some(due) = due.filter(|due| *due > from) {
            let taken = u128::from(due - from) * u128::from(interval) / u128::from(self.interval.max(1));
            self.taken = Some(from.saturating_add(u64::try_from(taken).unwrap_or(u64::MAX)));
        }
        self.interval = interval.max(1);
        self.burst = burst.max(1);
        if let Some(until) = until {
            self.pause(until);
        }
    }

    /// As if all permits had just been taken.
    fn drain(&mut self, now: u64) {
        self.pause(now.saturating_add(self.interval));
    }

    /// Time between two starts.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    /// What may be taken at once.
    pub(crate) fn burst(&self) -> u32 {
        self.burst
    }

    /// What was taken is to be saved at once: a crash must not forget it.
    pub(crate) fn is_saved(&self, now: u64) -> bool {
        self.is_slow() || self.owes(now)
    }

    /// Saved before each start.
    pub(crate) fn is_slow(&self) -> bool {
        u128::from(self.interval) >= SLOW.as_nanos()
    }

    /// More is taken than there is after a crash, when all is taken.
    fn owes(&self, now: u64) -> bool {
        self.next(0).is_some_and(|due| due > now.saturating_add(self.worth(self.burst)))
    }

    /// The last permit was used so much later than it was taken.
    pub(crate) fn shift(&mut self, late: u64) {
        self.taken = self.taken.map(|due| due.saturating_add(late));
    }

    /// What is saved: when the next start is due if none is left over, and the last permit is used `late` later than it
    /// was taken. Rounded up.
    pub(crate) fn due(&self, late: u64) -> Option<Timestamp> {
        self.next(late).map(|due| Timestamp(due.div_ceil(1_000_000)))
    }

    /// What was saved last, by a run that ended cleanly or not. Its time never goes back, so what was saved cannot be
    /// further away than when it was.
    pub(crate) fn restore(&mut self, due: Option<Timestamp>, clean: bool, now: u64) {
        if !clean && !self.is_slow() {
            self.drain(now);
        }
        if let Some(due) = due {
            // It may be that of a pause.
            self.paused = self.paused.max(Some(due.0.saturating_mul(1_000_000)));
        }
    }
}

/// A rate is known within a hundredth and the hundredfold of where it starts, if nobody knows better.
const FACTOR: f64 = 100.0;

/// What an adaptive rate may go down to.
fn slowest(rate: crate::Adaptive) -> f64 {
    rate.min.map_or(rate.initial.per_second() / FACTOR, Rate::per_second)
}

fn adaptive(rate: crate::Adaptive) -> Adaptive {
    let crate::Adaptive { kind, initial, max, .. } = rate;
    let initial = initial.per_second();
    let spec = AdaptiveSpec {
        kind: match kind {
            Controller::Probe => Kind::Probe,
            Controller::Aimd => Kind::AIMD,
        },
        initial,
        min: slowest(rate),
        max: max.map_or(initial * FACTOR, Rate::per_second),
    };
    Adaptive::new(&spec).expect("rates are finite")
}

/// Time between two starts.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a float to int cast saturates
fn interval(per_second: f64) -> u64 {
    (1e9 / per_second).ceil() as u64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a float to int cast saturates
fn default_burst(rate: Rate) -> u32 {
    (rate.per_second() * TICK) as u32
}
