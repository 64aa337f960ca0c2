//! What is said of several samples.

/// The one in the middle; of an even number, the mean of the two in the middle.
pub(super) fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (below, above) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some(f64::midpoint(sorted[below], sorted[above]))
}

/// The median of the ratios round by round: what slows a whole round down does not count.
pub(super) fn ratio(of: &[f64], to: &[f64]) -> Option<f64> {
    let ratios: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
    median(&ratios)
}

/// So many of them are no greater: 0.99 for the 99th percentile.
pub(super) fn share(samples: &[f64], share: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // at most their number
    let n = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(n.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(median(&[3.0, 100.0, 1.0]), Some(3.0));
        assert_eq!(median(&[4.0, 100.0, 1.0, 2.0]), Some(3.0));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn of_a_hundred_the_99th_is_the_last_but_one() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(share(&hundred, 0.99), Some(99.0));
        assert_eq!(share(&hundred[..1], 0.99), Some(100.0));
        assert_eq!(share(&[], 0.99), None);
    }

    #[test]
    fn a_slow_round_does_not_change_a_ratio() {
        // Twice as fast in each round, on a machine that is ten times slower in the second.
        assert_eq!(ratio(&[200.0, 20.0, 220.0], &[100.0, 10.0, 110.0]), Some(2.0));
        // A contender that gave up has fewer rounds.
        assert_eq!(ratio(&[8.0, 9.0], &[4.0]), Some(2.0));
        assert_eq!(ratio(&[8.0], &[]), None);
    }
}
