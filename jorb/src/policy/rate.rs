//! How fast steps start.
use std::{fmt, str::FromStr, time::Duration};

use crate::units::{self, BadUnit, Unit, text_in_json};

/// So many starts in so long: `"10/s"`, `"5000/h"`, `"1/250ms"`.
///
/// ```
/// use jorb::Rate;
///
/// const SERVICE: Rate = Rate::literal("5000/h");
/// assert_eq!("5000 / h".parse(), Ok(SERVICE));
/// assert_eq!(SERVICE.interval().as_millis(), 720);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    permits: u32,
    per: Duration,
}

impl Rate {
    /// `permits` starts in every `per`.
    ///
    /// # Panics
    /// When there are no permits, or more than one per nanosecond, the limiter's tick. In a constant: while
    /// compiling.
    #[must_use]
    #[track_caller]
    pub const fn new(permits: u32, per: Duration) -> Self {
        assert!(permits > 0, "invalid rate: at least one permit");
        assert!(permits as u128 <= per.as_nanos(), "invalid rate: at most one permit per nanosecond");
        Rate { permits, per }
    }

    /// The rate that `text` names, for constants.
    ///
    /// # Panics
    /// When `text` is no rate. In a constant: while compiling. To read a text while running, use [`str::parse`].
    #[must_use]
    #[track_caller]
    pub const fn literal(text: &str) -> Self {
        match units::rate(text) {
            Ok((permits, per)) => Rate { permits, per },
            Err(e) => panic!("{}", e.message()),
        }
    }

    /// Time between two starts, rounded up to a nanosecond.
    #[must_use]
    pub fn interval(self) -> Duration {
        let nanos = self.per.as_nanos().div_ceil(u128::from(self.permits));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Starts per second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        f64::from(self.permits) / self.per.as_secs_f64()
    }
}

impl FromStr for Rate {
    type Err = BadUnit;
    fn from_str(text: &str) -> Result<Self, BadUnit> {
        units::rate(text).map(|(permits, per)| Rate { permits, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = Unit(self.per).to_string();
        write!(
            f,
            "{}/{}",
            self.permits,
            per.strip_prefix('1').filter(|u| !u.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(&per)
        )
    }
}

text_in_json!(Rate);

/// A rate that follows what a service answers: [`Fault::throttled`](crate::Fault::throttled) makes it slower, steps that
/// move on make it faster.
///
/// ```
/// use jorb::{Adaptive, Policy, Rate};
///
/// const GITHUB: Adaptive = Adaptive::new(Rate::literal("10/s")).max(Rate::literal("80/s"));
/// const POLICY: Policy = Policy::DEFAULT.adaptive(GITHUB);
/// assert_eq!(POLICY.rate, Some(Rate::literal("10/s")));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adaptive {
    pub(crate) kind: Controller,
    pub(crate) initial: Rate,
    pub(crate) min: Option<Rate>,
    pub(crate) max: Option<Rate>,
}

/// How an adaptive rate is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Controller {
    Probe,
    Aimd,
}

impl Adaptive {
    /// Remembers where it was throttled, stays just below that, and probes beyond it now and then. It starts at
    /// `initial`, and stays between a hundredth and the hundredfold of that unless it is told otherwise.
    #[must_use]
    pub const fn new(initial: Rate) -> Self {
        Adaptive { kind: Controller::Probe, initial, min: None, max: None }
    }
    /// Additive increase, multiplicative decrease: one start per second more with each second that is not throttled, half
    /// of it with each throttle. It saws between half of what the service allows and all of it.
    #[must_use]
    pub const fn aimd(initial: Rate) -> Self {
        Adaptive { kind: Controller::Aimd, ..Adaptive::new(initial) }
    }
    /// Never slower.
    #[must_use]
    pub const fn min(self, min: Rate) -> Self {
        Adaptive { min: Some(min), ..self }
    }
    /// Never faster.
    #[must_use]
    pub const fn max(self, max: Rate) -> Self {
        Adaptive { max: Some(max), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back() {
        for text in ["10/s", "1/250ms", "600/m", "1/15s", "7/d"] {
            assert_eq!(text.parse::<Rate>().map(|r| r.to_string()), Ok(text.to_owned()));
        }
    }
}
