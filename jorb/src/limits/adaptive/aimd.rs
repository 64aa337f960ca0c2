//! Additive increase, multiplicative decrease.
use super::Bounds;

/// One more per interval while all goes well, half when the service says "too many".
#[derive(Debug)]
pub(crate) struct Aimd {
    rate: f64,
    bounds: Bounds,
    /// Nanoseconds between two increases.
    increase: u64,
    /// Throttles so many nanoseconds after a backoff are its echo.
    coalesce: u64,
    /// The last increase since the last backoff.
    increased: Option<u64>,
    backed_off: Option<u64>,
}

impl Aimd {
    pub(super) fn new(rate: f64, bounds: Bounds, increase: u64, coalesce: u64) -> Self {
        Aimd { rate, bounds, increase, coalesce, increased: None, backed_off: None }
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    pub(super) fn succeeded(&mut self, now: u64) {
        if passed(self.increased, now, self.increase) {
            self.rate = self.bounds.clamp(self.rate + 1.0);
            self.increased = Some(now);
        }
    }

    pub(super) fn throttled(&mut self, now: u64) {
        if passed(self.backed_off, now, self.coalesce) {
            self.rate = self.bounds.clamp(self.rate * 0.5);
            self.increased = None;
            self.backed_off = Some(now);
        }
    }

    pub(super) fn restore(&mut self, rate: f64) {
        if rate.is_finite() {
            self.rate = self.bounds.clamp(rate);
        }
    }
}

/// A clock that was set back must not hold anything up for longer than the interval.
fn passed(since: Option<u64>, now: u64, interval: u64) -> bool {
    since.is_none_or(|since| now.abs_diff(since) >= interval)
}
