//! Property tests that are the same each time.
use proptest::test_runner::{Config, RngAlgorithm, RngSeed};

/// So many cases, from one seed; a case that fails is made small, and kept nowhere: it comes again.
pub(crate) fn cases(cases: u32) -> Config {
    Config {
        cases,
        rng_algorithm: RngAlgorithm::XorShift,
        rng_seed: RngSeed::Fixed(0),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    }
}
