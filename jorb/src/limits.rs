//! Limits on how fast the steps of a state start.
//!
//! Fixed rates are GCRA by `governor` (ITU-T I.371, "virtual scheduling"): one number, the theoretical arrival time
//! of the next start, says all. We own that number through governor's `StateStore`, so that it can be saved with the
//! run, and pushed into the future when a service asks for a pause.
use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{NotKeyed, StateStore},
};

use crate::{Policy, Rate, Timestamp};

/// A limiter with so much time between starts is saved before each start; a faster one is saved at a clean stop, and
/// opens drained after any other end.
const SLOW: Duration = Duration::from_millis(100);

/// What 5 ms of a rate are may start at once: timers are coarse, and without it 20,000/s would starve.
const TICK: f64 = 0.005;

/// Lets steps start no faster than a rate. Times are nanoseconds since 1970.
pub(crate) struct Limiter {
    gcra: RateLimiter<NotKeyed, Due, Now, NoOpMiddleware<Nanos>>,
    due: Due,
    interval: u64,
    /// How far the due time may be ahead at most while a start is allowed.
    tolerance: u64,
}

impl Limiter {
    /// The limiter of a policy, if it has one.
    pub(crate) fn of(policy: &Policy) -> Option<Limiter> {
        policy.rate.map(|rate| Limiter::new(rate, policy.burst))
    }

    fn new(rate: Rate, burst: Option<u32>) -> Self {
        let interval = rate.interval();
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let burst = burst.unwrap_or_else(|| default_burst(rate)).max(1);
        let quota = Quota::with_period(interval).expect("a rate has an interval of at least 1 ns");
        let quota = quota.allow_burst(NonZeroU32::new(burst).expect("at least 1"));
        let due = Due::default();
        Limiter {
            gcra: RateLimiter::new(quota, due.clone(), Now::default()),
            due,
            interval: nanos,
            tolerance: nanos.saturating_mul(u64::from(burst) - 1),
        }
    }

    /// Takes a permit, or says when the next one is there.
    pub(crate) fn take(&mut self, now: u64) -> Result<(), u64> {
        self.gcra.clock().0.store(now, Relaxed);
        self.gcra.check().map_err(|until| until.earliest_possible().as_u64())
    }

    /// No start before `until`, and then at the rate.
    pub(crate) fn pause(&mut self, until: u64) {
        let due = until.saturating_add(self.tolerance);
        self.due.set(self.due.get().unwrap_or(0).max(due));
    }

    /// As if all permits had just been taken.
    pub(crate) fn drain(&mut self, now: u64) {
        self.pause(now.saturating_add(self.interval));
    }

    /// Saved before each start.
    pub(crate) fn is_slow(&self) -> bool {
        u128::from(self.interval) >= SLOW.as_nanos()
    }

    /// The last permit was used so much later than it was taken.
    pub(crate) fn shift(&mut self, late: u64) {
        if let Some(due) = self.due.get() {
            self.due.set(due.saturating_add(late));
        }
    }

    /// What is saved: when the next start is due if none is left over, and the last permit is used `late` later than it
    /// was taken. Rounded up.
    pub(crate) fn due(&self, late: u64) -> Option<Timestamp> {
        self.due.get().map(|due| Timestamp(due.saturating_add(late).div_ceil(1_000_000)))
    }

    /// What was saved. A clock that was set back meanwhile makes nobody wait longer than a full burst takes.
    pub(crate) fn restore(&mut self, due: Timestamp, now: u64) {
        let most = now.saturating_add(self.tolerance).saturating_add(self.interval);
        self.due.set(due.0.saturating_mul(1_000_000).min(most));
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a float to int cast saturates
fn default_burst(rate: Rate) -> u32 {
    (rate.per_second() * TICK) as u32
}

/// The one number.
#[derive(Clone, Default)]
struct Due(std::sync::Arc<AtomicU64>);

impl Due {
    /// Nothing before the first start.
    fn get(&self) -> Option<u64> {
        Some(self.0.load(Relaxed)).filter(|due| *due > 0)
    }

    fn set(&self, due: u64) {
        self.0.store(due, Relaxed);
    }
}

impl StateStore for Due {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // A limiter is behind one lock; the atomic only makes it `Sync`.
        let (outcome, due) = measure(self.get().map(Nanos::new))?;
        self.set(due.as_u64());
        Ok(outcome)
    }
}

/// The engine's time, told before each use.
#[derive(Clone, Default)]
struct Now(std::sync::Arc<AtomicU64>);

impl Clock for Now {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.load(Relaxed))
    }
}

#[cfg(test)]
mod tests;
