//! Rates that move with what a service answers.
//!
//! A controller hears of each step that starts, ends, or is told "too many", and says how many steps may start per
//! second. It has no clock: callers pass nanoseconds on whatever clock they like.
//!
//! [`Probe`] is for services with a limit that nobody told us. [`Aimd`] is the plain rule of additive increase and
//! multiplicative decrease, for those who want its numbers in their own hands.
use std::time::Duration;

use self::{aimd::Aimd, probe::Probe};
use crate::store::Learned;

mod aimd;
mod noise;
mod probe;
#[cfg(test)]
mod tests;

/// What 5 ms of a rate are may start at once, besides the one that is due: timers are coarse and late, and a start that
/// comes late must not be lost, or the rate looks unused and does not grow. From 100/s on, it is one more.
const TICK: f64 = 0.005;

/// What a controller is told by the policy of a state. Rates are starts per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AdaptiveSpec {
    pub(crate) kind: Kind,
    pub(crate) initial: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// Which controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Remembers where it was throttled, and looks beyond that now and then.
    Probe,
    /// One more per `increase`, half after a throttle; more throttles within `coalesce` are the same one.
    Aimd { increase: Duration, coalesce: Duration },
}

impl Kind {
    /// One more per second, and one halving per half second at most.
    pub(crate) const AIMD: Kind =
        Kind::Aimd { increase: Duration::from_secs(1), coalesce: Duration::from_millis(500) };
}

/// A rate that is no number of starts per second.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("the {which} rate of an adaptive limit is {rate}: expected a finite number of starts per second")]
pub(crate) struct NotFinite {
    which: &'static str,
    rate: f64,
}

/// The rate of one limiter. `started_at` tells a controller which of its rates an answer is about.
#[derive(Debug)]
pub(crate) enum Adaptive {
    Probe(Probe),
    Aimd(Aimd),
}

impl Adaptive {
    pub(crate) fn new(spec: &AdaptiveSpec) -> Result<Self, NotFinite> {
        let (initial, bounds) = Bounds::of(spec)?;
        Ok(match spec.kind {
            Kind::Probe => Adaptive::Probe(Probe::new(initial, bounds)),
            Kind::Aimd { increase, coalesce } => {
                Adaptive::Aimd(Aimd::new(initial, bounds, nanos(increase), nanos(coalesce)))
            }
        })
    }

    /// Starts per second, now.
    pub(crate) fn rate(&self) -> f64 {
        match self {
            Adaptive::Probe(probe) => probe.rate(),
            Adaptive::Aimd(aimd) => aimd.rate(),
        }
    }

    /// Starts that may follow each other at once, now.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a float to int cast saturates
    pub(crate) fn burst(&self) -> u32 {
        match self {
            Adaptive::Probe(probe) => {
                let late = probe.rate() * TICK;
                (1.0 + late + (2.0 * late).min(1.0)) as u32
            }
            Adaptive::Aimd(aimd) => aimd.rate().ceil().max(1.0) as u32,
        }
    }

    /// A step started.
    pub(crate) fn started(&mut self, now: u64) {
        if let Adaptive::Probe(probe) = self {
            probe.started(now);
        }
    }

    /// The service took a step on. Any answer counts that is not "too many"; an error that says nothing about the
    /// service's limit is not told at all.
    pub(crate) fn succeeded(&mut self, now: u64, started_at: u64) {
        match self {
            Adaptive::Probe(probe) => probe.succeeded(now, started_at),
            Adaptive::Aimd(aimd) => aimd.succeeded(now),
        }
    }

    /// The service said "too many" to a step.
    pub(crate) fn throttled(&mut self, now: u64, started_at: u64) {
        match self {
            Adaptive::Probe(probe) => probe.throttled(now, started_at),
            Adaptive::Aimd(aimd) => aimd.throttled(now),
        }
    }

    /// What to save.
    pub(crate) fn learned(&self) -> Learned {
        match self {
            Adaptive::Probe(probe) => probe.learned(),
            Adaptive::Aimd(aimd) => Learned { rate: aimd.rate(), ceiling: None },
        }
    }

    /// Goes on from what was saved, inside today's bounds.
    pub(crate) fn restore(&mut self, learned: Learned) {
        match self {
            Adaptive::Probe(probe) => probe.restore(learned),
            Adaptive::Aimd(aimd) => aimd.restore(learned.rate),
        }
    }
}

/// Least and most starts per second.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    min: f64,
    max: f64,
}

impl Bounds {
    /// The initial rate and the bounds of a spec, put right.
    fn of(spec: &AdaptiveSpec) -> Result<(f64, Self), NotFinite> {
        for (which, rate) in [("initial", spec.initial), ("least", spec.min), ("greatest", spec.max)] {
            if !rate.is_finite() {
                return Err(NotFinite { which, rate });
            }
        }
        let min = spec.min.min(spec.max).max(1e-9);
        let bounds = Bounds { min, max: spec.max.max(spec.min).max(min) };
        Ok((bounds.clamp(spec.initial), bounds))
    }

    fn clamp(&self, rate: f64) -> f64 {
        rate.clamp(self.min, self.max)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
