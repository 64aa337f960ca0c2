//! How the engine may run one state. Plain data, built while compiling.
use std::{error::Error, fmt, ptr, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::{self, BadUnit};

/// How the engine may run one state: printed by `#[state(..)]`, or written beside a hand-written
/// [`Handler`](crate::Handler).
///
/// ```
/// use jorb::{Policy, Rate};
///
/// const POLICY: Policy = Policy::DEFAULT.concurrency(4).rate(Rate::literal("10/s")).retries(5);
/// assert_eq!(POLICY.concurrency, 4);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Steps in flight at once.
    pub concurrency: usize,
    /// Starts per period; no limit without.
    pub rate: Option<Rate>,
    /// Starts that may follow each other at once after a quiet time; by default what 5 ms of the rate are, and at
    /// least 1.
    pub burst: Option<u32>,
    /// The rate follows what the service answers; `rate` is where it starts.
    pub adaptive: Option<Adaptive>,
    /// Attempts after the first one.
    pub retries: u32,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Which errors are worth another attempt; all of them without.
    pub retry_if: Option<RetryIf>,
    /// No attempt starts later than this after the first one did, whatever is left of `retries`. Being throttled costs
    /// no attempt, so nothing else ends it.
    pub give_up_after: Option<Duration>,
    /// Longest time that one step may take.
    pub timeout: Option<Duration>,
    /// Runs on the blocking pool: the handler is a plain `fn`.
    pub blocking: bool,
}

impl Policy {
    /// One at a time, unlimited rate, no retry, backoff from 1 s to 60 s, no time budget, no timeout, in place.
    pub const DEFAULT: Policy = Policy {
        concurrency: 1,
        rate: None,
        burst: None,
        adaptive: None,
        retries: 0,
        backoff: Backoff { min: Duration::from_secs(1), max: Duration::from_secs(60) },
        retry_if: None,
        give_up_after: None,
        timeout: None,
        blocking: false,
    };

    /// Allow `n` steps at once.
    #[must_use]
    pub const fn concurrency(self, n: usize) -> Self {
        Policy { concurrency: n, ..self }
    }
    /// Start no more than this.
    #[must_use]
    pub const fn rate(self, rate: Rate) -> Self {
        Policy { rate: Some(rate), ..self }
    }
    /// Start no more than a service lets us.
    #[must_use]
    pub const fn adaptive(self, rate: Adaptive) -> Self {
        Policy { rate: Some(rate.initial), adaptive: Some(rate), ..self }
    }
    /// Let `n` starts catch up at once.
    #[must_use]
    pub const fn burst(self, n: u32) -> Self {
        Policy { burst: Some(n), ..self }
    }
    /// Try `n` more times.
    #[must_use]
    pub const fn retries(self, n: u32) -> Self {
        Policy { retries: n, ..self }
    }
    /// Wait so long between attempts.
    #[must_use]
    pub const fn backoff(self, backoff: Backoff) -> Self {
        Policy { backoff, ..self }
    }
    /// Try again only if `worth` says so of the error.
    #[must_use]
    pub const fn retry_if(self, worth: fn(&(dyn Error + 'static)) -> bool) -> Self {
        Policy { retry_if: Some(RetryIf(worth)), ..self }
    }
    /// Start no attempt later than `budget` after the first one. It allows no more attempts than `retries` does.
    #[must_use]
    pub const fn give_up_after(self, budget: Duration) -> Self {
        Policy { give_up_after: Some(budget), ..self }
    }
    /// Give up on a step after `limit`.
    #[must_use]
    pub const fn timeout(self, limit: Duration) -> Self {
        Policy { timeout: Some(limit), ..self }
    }
    /// Run on the blocking pool.
    #[must_use]
    pub const fn blocking(self) -> Self {
        Policy { blocking: true, ..self }
    }
}

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

/// A function that says of an error whether another attempt may help.
///
/// It is asked about what the handler gave back as `Err(..)`, or by `?`, as it was boxed: `downcast_ref` finds its type.
/// What an error wraps is behind [`source`](Error::source).
///
/// ```
/// use std::{error::Error, io, iter::successors};
///
/// use jorb::RetryIf;
///
/// /// Somewhere among its causes is an error of the network.
/// fn is_passing(error: &(dyn Error + 'static)) -> bool {
///     let mut causes = successors(Some(error), |&error| error.source());
///     causes.any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::TimedOut))
/// }
///
/// let RetryIf(worth) = RetryIf(is_passing);
/// assert!(worth(&io::Error::from(io::ErrorKind::TimedOut)));
/// assert!(!worth(&std::fmt::Error));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RetryIf(pub fn(&(dyn Error + 'static)) -> bool);

/// The same function, as far as addresses tell.
impl PartialEq for RetryIf {
    fn eq(&self, other: &Self) -> bool {
        ptr::fn_addr_eq(self.0, other.0)
    }
}

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

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
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

impl Serialize for Backoff {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Backoff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
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

/// A duration in the largest unit that holds it as a whole number.
pub(crate) struct Unit(pub(crate) Duration);

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        let fits = |(size, _): &(u128, &str)| millis > 0 && millis.is_multiple_of(*size);
        let (size, unit) = units.into_iter().find(fits).unwrap_or((1, "ms"));
        write!(f, "{}{unit}", millis / size)
    }
}

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
        for text in ["10/s", "1/250ms", "600/m", "1/15s", "7/d"] {
            assert_eq!(text.parse::<Rate>().map(|r| r.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(Backoff::literal("60s..3600s").to_string(), "1m..1h");
    }
}
