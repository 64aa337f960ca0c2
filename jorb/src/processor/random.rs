//! Randomness without a generator: a hash of what it is for, so that a schedule can be replayed from its seed.
use crate::JobId;

/// A number in `0.0..1.0` for one attempt of one step.
pub(super) fn uniform(seed: u64, job: JobId, step: u64, attempt: u32) -> f64 {
    let hash = [job.0, step, attempt.into()].into_iter().fold(mix(seed), |hash, part| mix(hash ^ part));
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// The output function of `SplitMix64` (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_even_and_depends_on_everything() {
        let mean = (0..10_000).map(|job| uniform(1, JobId(job), 0, 1)).sum::<f64>() / 10_000.0;
        assert!((0.49..0.51).contains(&mean), "{mean}");
        let one = uniform(1, JobId(1), 1, 1);
        for other in [
            uniform(2, JobId(1), 1, 1),
            uniform(1, JobId(2), 1, 1),
            uniform(1, JobId(1), 2, 1),
            uniform(1, JobId(1), 1, 2),
        ] {
            assert!((one - other).abs() > 1e-9);
        }
    }
}
