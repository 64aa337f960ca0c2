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
    fn a_slow_round_does_not_change_a_ratio() {
        // Twice as fast in each round, on a machine that is ten times slower in the second.
        assert_eq!(ratio(&[200.0, 20.0, 220.0], &[100.0, 10.0, 110.0]), Some(2.0));
        // A contender that gave up has fewer rounds.
        assert_eq!(ratio(&[8.0, 9.0], &[4.0]), Some(2.0));
        assert_eq!(ratio(&[8.0], &[]), None);
    }
}
