//! How the engine may run one state. Plain data, built while compiling.
use std::{error::Error, ptr, time::Duration};

mod backoff;
mod batching;
mod rate;

pub use backoff::Backoff;
pub use batching::Batching;
pub(crate) use rate::Controller;
pub use rate::{Adaptive, Rate};

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
    /// A job is parked whose step killed the process so many times while it ran alone; without, nobody looks at who ran
    /// when the process died.
    pub crashes: Option<u32>,
    /// Runs on the blocking pool: the handler is a plain `fn`.
    pub blocking: bool,
    /// A step takes several jobs.
    pub batch: Option<Batching>,
}

impl Policy {
    /// One at a time, unlimited rate, no retry, backoff from 1 s to 60 s, no time budget, no timeout, crashes not counted, in
    /// place, one job per step.
    pub const DEFAULT: Policy = Policy {
        concurrency: 1,
        rate: None,
        burst: None,
        adaptive: None,
        retries: 0,
        backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
        retry_if: None,
        give_up_after: None,
        timeout: None,
        crashes: None,
        blocking: false,
        batch: None,
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
    /// Park a job whose step killed the process `n` times while nothing else ran.
    #[must_use]
    pub const fn crashes(self, n: u32) -> Self {
        Policy { crashes: Some(n), ..self }
    }
    /// Run on the blocking pool.
    #[must_use]
    pub const fn blocking(self) -> Self {
        Policy { blocking: true, ..self }
    }
    /// Take several jobs in one step: [`Handler::run_batch`](crate::Handler::run_batch) runs it.
    #[must_use]
    pub const fn batch(self, batch: Batching) -> Self {
        Policy { batch: Some(batch), ..self }
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
