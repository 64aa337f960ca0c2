//! How fast things go, smoothed.
use std::time::Duration;

use crate::{Overview, StateOverview};

/// The past counts for less and less: after this long for a third.
const MEMORY: Duration = Duration::from_secs(10);
/// What is left is judged by a longer past.
const LONG_MEMORY: Duration = Duration::from_secs(60);
/// Shorter times say little.
const SHORTEST: Duration = Duration::from_millis(50);

/// Rates of a run.
pub(super) struct Meter {
    last: Option<(Duration, Vec<u64>, u64)>,
    states: Vec<Rate>,
    ends: Rate,
}

impl Meter {
    pub(super) fn new() -> Self {
        Meter { last: None, states: Vec::new(), ends: Rate::new(LONG_MEMORY) }
    }

    /// How the run stands, so long after the start.
    pub(super) fn update(&mut self, at: Duration, overview: &Overview) {
        let completed: Vec<u64> = overview.states.iter().map(|s| s.completed).collect();
        let done = ended(overview) + overview.sum(|s| s.parked + s.cancelled);
        self.states.resize_with(completed.len(), || Rate::new(MEMORY));
        if let Some((then, before, done_then)) = &self.last {
            let time = at.saturating_sub(*then);
            if time < SHORTEST {
                return;
            }
            for ((rate, now), before) in self.states.iter_mut().zip(&completed).zip(before) {
                rate.add(now.saturating_sub(*before), time);
            }
            self.ends.add(done.saturating_sub(*done_then), time);
        }
        self.last = Some((at, completed, done));
    }

    /// Steps of a state per second.
    pub(super) fn rate(&self, state: usize) -> f64 {
        self.states.get(state).map_or(0.0, Rate::per_second)
    }

    /// Steps per second.
    pub(super) fn steps(&self, overview: &Overview) -> f64 {
        let rates = overview.states.iter().enumerate().filter(|(_, s)| !s.terminal);
        rates.map(|(i, _)| self.rate(i)).sum()
    }

    /// Until a state has done what it has now.
    pub(super) fn left_in(&self, state: usize, overview: &StateOverview) -> Option<Duration> {
        left(to_do(overview), self.rate(state))
    }

    /// Until every job that there is has ended, if they go on ending as they do.
    pub(super) fn left(&self, overview: &Overview) -> Option<Duration> {
        left(overview.sum(|s| to_do(s) + s.joining), self.ends.per_second())
    }
}

/// Jobs that ended.
pub(super) fn ended(overview: &Overview) -> u64 {
    overview.sum(|s| if s.terminal { s.completed } else { 0 })
}

/// Jobs of a state with a step to make.
pub(super) fn to_do(state: &StateOverview) -> u64 {
    state.waiting + state.executing + state.delayed
}

/// All jobs.
pub(super) fn all(overview: &Overview) -> u64 {
    ended(overview) + overview.sum(|s| to_do(s) + s.joining + s.parked + s.cancelled)
}

fn left(to_do: u64, per_second: f64) -> Option<Duration> {
    if to_do == 0 {
        return Some(Duration::ZERO);
    }
    let seconds = to_do as f64 / per_second;
    // More than a year says nothing.
    (seconds < 3e7).then(|| Duration::from_secs_f64(seconds))
}

/// A mean whose weights fade with time.
struct Rate {
    memory: Duration,
    sum: f64,
    weight: f64,
}

impl Rate {
    fn new(memory: Duration) -> Self {
        Rate { memory, sum: 0.0, weight: 0.0 }
    }

    fn add(&mut self, n: u64, time: Duration) {
        let kept = (-time.as_secs_f64() / self.memory.as_secs_f64()).exp();
        self.sum = self.sum * kept + n as f64 / time.as_secs_f64() * (1.0 - kept);
        self.weight = self.weight * kept + (1.0 - kept);
    }

    fn per_second(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::table::tests::overview;

    #[test]
    fn a_steady_rate_is_right_from_the_start_and_a_change_is_followed() {
        let mut meter = Meter::new();
        let mut run = overview(1);
        let mut go = |seconds: u64, per_second: u64| {
            for _ in 0..seconds * 5 {
                run.states[0].completed += per_second / 5;
                let at = meter.last.as_ref().map_or(Duration::ZERO, |(at, ..)| *at);
                meter.update(at + Duration::from_millis(200), &run);
            }
            meter.rate(0)
        };
        assert!((go(1, 100) - 100.0).abs() < 1e-6);
        assert!((go(60, 10) - 10.0).abs() < 1.0);
        assert!(go(120, 0) < 0.1);
    }

    #[test]
    fn a_run_that_starts_over_has_no_negative_rate() {
        let mut meter = Meter::new();
        let mut run = overview(1);
        run.states[0].completed = 1000;
        meter.update(Duration::from_secs(1), &run);
        run.states[0].completed = 0;
        meter.update(Duration::from_secs(2), &run);
        assert!(meter.rate(0).abs() < 1e-9);
        run.states[0].waiting = 1;
        assert_eq!(meter.left_in(0, &run.states[0]), None);
    }
}
