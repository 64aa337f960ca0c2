//! How long a failed step waits.
use std::{fmt, str::FromStr, time::Duration};

use crate::units::{self, BadUnit, Unit, text_in_json};

/// Waits between attempts: exponential with full jitter, between two bounds: `"200ms..30s"`.
///
/// The wait after failed attempt `n` is `min + random × (min(max, min × 2ⁿ) − min)`. (M. Brooker, "Exponential
/// Backoff and Jitter", AWS Architecture Blog, 2015; the lower bound is ours.)
///
/// ```
/// use jorb::Backoff;
///
/// let backoff: Backoff = "1s..60s".parse().unwrap();
/// assert_eq!(backoff.wait(3, 0.0).as_secs(), 1);
/// assert_eq!(backoff.wait(3, 0.5).as_millis(), 4_500); // between 1 s and 8 s
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
}

impl Backoff {
    /// Waits between `min` and `max`.
    ///
    /// # Panics
    /// When `max` is below `min`. In a constant: while compiling.
    #[must_use]
    #[track_caller]
    pub const fn new(min: Duration, max: Duration) -> Self {
        assert!(min.as_nanos() <= max.as_nanos(), "invalid backoff: the lower bound comes first");
        Backoff { min, max }
    }

    /// The backoff that `text` names, for constants.
    ///
    /// # Panics
    /// When `text` is no backoff. In a constant: while compiling. To read a text while running, use
    /// [`str::parse`].
    #[must_use]
    #[track_caller]
    pub const fn literal(text: &str) -> Self {
        match units::backoff(text) {
            Ok((min, max)) => Backoff { min, max },
            Err(e) => panic!("{}", e.message()),
        }
    }

    /// The shortest wait.
    #[must_use]
    pub fn min(self) -> Duration {
        self.min
    }

    /// The longest wait.
    #[must_use]
    pub fn max(self) -> Duration {
        self.max
    }

    /// The wait after failed attempt `attempt` (from 1); `random` is in `0.0..1.0`.
    #[must_use]
    pub fn wait(self, attempt: u32, random: f64) -> Duration {
        let ceiling = self.min.saturating_mul(1 << attempt.min(31)).min(self.max);
        self.min + ceiling.saturating_sub(self.min).mul_f64(random)
    }
}

impl FromStr for Backoff {
    type Err = BadUnit;
    fn from_str(text: &str) -> Result<Self, BadUnit> {
        units::backoff(text).map(|(min, max)| Backoff { min, max })
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", Unit(self.min), Unit(self.max))
    }
}

text_in_json!(Backoff);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_stays_within_its_bounds() {
        let backoff = Backoff::literal("1s..3s");
        let wait = |attempt, random| backoff.wait(attempt, random).as_millis();
        assert_eq!([wait(1, 0.0), wait(1, 0.5), wait(2, 0.5), wait(40, 0.5)], [1_000, 1_500, 2_000, 2_000]);
        let widest = Backoff::new(Duration::from_secs(1), Duration::MAX);
        assert!(widest.wait(u32::MAX, 0.999) <= Duration::MAX);
    }

    #[test]
    fn texts_are_read_back() {
        assert_eq!(Backoff::literal("60s..3600s").to_string(), "1m..1h");
    }
}
