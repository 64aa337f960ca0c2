//! Chance from a seed.
use std::time::Duration;

use super::walk::mix;

/// Numbers that look random and are the same for the same seed.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Dice(mix(seed))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = mix(self.0);
        self.0
    }

    /// Less than `n`; 0 if that is 0.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// Once in `n`.
    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let n = self.below(of.len() as u64);
        of[usize::try_from(n).expect("an index")]
    }

    /// Less than `most`.
    pub(super) fn time(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(most.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Of all sizes below 2^`bits`, small ones as often as large ones.
    pub(super) fn of_all_sizes(&mut self, bits: u64) -> u64 {
        let bits = self.below(bits) + 1;
        self.below(1 << bits)
    }
}
