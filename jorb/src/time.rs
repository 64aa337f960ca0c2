//! Time: what is stored, and how the engine reads it.
use std::{
    fmt,
    ops::Add,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// A point in time as it is stored: milliseconds since 1970, UTC. Prints as RFC 3339.
///
/// ```
/// assert_eq!(jorb::Timestamp(1_767_225_600_000).to_string(), "2026-01-01T00:00:00Z");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// What the system's clock says.
    #[must_use]
    pub fn now() -> Self {
        Timestamp(0) + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// Time from `earlier` to this; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;
    /// Rounds up to a millisecond, so that nothing starts early. Saturates.
    fn add(self, wait: Duration) -> Timestamp {
        let millis = wait.as_nanos().div_ceil(1_000_000);
        Timestamp(self.0.saturating_add(u64::try_from(millis).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(at) => at.fmt(f),
            Err(_) => write!(f, "{millis} ms"),
        }
    }
}

/// The engine's clock: reads the system's time once, and goes on monotonically from there.
///
/// So a system clock that jumps while a run is driven neither releases a delayed job early nor makes it wait for
/// ever. One that was set back between two processes is not believed: a run's time never goes back. It follows Tokio's time, which tests pause.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use jorb::{Clock, Timestamp};
///
/// let clock = Clock::starting_at(Timestamp(1_000));
/// tokio::time::advance(std::time::Duration::from_secs(2)).await;
/// assert_eq!(clock.now(), Timestamp(3_000));
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
    at_origin: Timestamp,
}

/// Instants further away than this are of no use to a timer.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

impl Clock {
    /// Starts at what the system's clock says now.
    #[must_use]
    pub fn system() -> Self {
        Clock::starting_at(Timestamp::now())
    }

    /// Starts at a time of your choice.
    #[must_use]
    pub fn starting_at(at_origin: Timestamp) -> Self {
        Clock { origin: Instant::now(), at_origin }
    }

    /// The same, but no earlier than `at`.
    #[must_use]
    pub fn no_earlier_than(self, at: Timestamp) -> Self {
        Clock { at_origin: self.at_origin + at.since(self.now()), ..self }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        // Rounds down: a job is due once the full millisecond has passed.
        let millis = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.at_origin.0.saturating_add(millis))
    }

    /// The time now, in nanoseconds since 1970.
    pub(crate) fn nanos(&self) -> u64 {
        let elapsed = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.at_origin.0.saturating_mul(1_000_000).saturating_add(elapsed)
    }

    /// The instant at which [`Clock::nanos`] becomes `at`.
    pub(crate) fn instant_of_nanos(&self, at: u64) -> Instant {
        let since = at.saturating_sub(self.at_origin.0.saturating_mul(1_000_000));
        self.origin + Duration::from_nanos(since).min(self.origin.elapsed() + FAR)
    }

    /// The instant at which [`Clock::now`] becomes `at`.
    #[must_use]
    pub fn instant(&self, at: Timestamp) -> Instant {
        self.origin + at.since(self.at_origin).min(self.origin.elapsed() + FAR)
    }
}
