//! How jobs come together in batches.
use std::time::Duration;

/// How jobs of a state come together in batches: printed by `#[state(batch(..))]`. [`Batch`](crate::Batch) says what that
/// means.
///
/// ```
/// use std::time::Duration;
///
/// use jorb::{Batching, Policy};
///
/// const POLICY: Policy = Policy::DEFAULT.batch(Batching::new(100).wait(Duration::from_secs(2)));
/// assert_eq!(POLICY.batch.unwrap().max, 100);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// Most jobs of one step.
    pub max: u32,
    /// How long the first one waits for others.
    pub wait: Duration,
    /// Rates count each job, and not the step.
    pub per_job: bool,
}

impl Batching {
    /// Up to `max` jobs, of those that are there; one step counts once.
    #[must_use]
    pub const fn new(max: u32) -> Self {
        Batching { max, wait: Duration::ZERO, per_job: false }
    }
    /// Let the first job wait so long for others.
    #[must_use]
    pub const fn wait(self, longest: Duration) -> Self {
        Batching { wait: longest, ..self }
    }
    /// Count each job.
    #[must_use]
    pub const fn per_job(self) -> Self {
        Batching { per_job: true, ..self }
    }
}
