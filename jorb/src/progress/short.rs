//! Numbers and times in at most six characters.
use std::time::Duration;

pub(super) fn number(n: u64) -> String {
    match n {
        0..100_000 => n.to_string(),
        100_000..10_000_000 => format!("{}k", n / 1_000),
        10_000_000..100_000_000_000 => format!("{}M", n / 1_000_000),
        _ => format!("{}G", n / 1_000_000_000),
    }
}

pub(super) fn rate(per_second: f64) -> String {
    if per_second < 0.005 {
        return String::new();
    }
    if per_second < 9.95 {
        return format!("{per_second:.1}");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // it saturates
    number(per_second.round() as u64)
}

pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match hours {
        0 => format!("{minutes}:{:02}", seconds % 60),
        1..48 => format!("{hours}h{:02}", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// With commas, for where there is room.
pub(super) fn long(n: u64) -> String {
    let digits = n.to_string();
    let mut long = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            long.push(',');
        }
        long.push(digit);
    }
    long
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_fit() {
        let numbers = [0, 99_999, 100_000, 9_999_999, 10_000_000, 99_999_999_999];
        assert_eq!(numbers.map(number), ["0", "99999", "100k", "9999k", "10M", "99999M"]);
        assert_eq!([0.0, 0.04, 9.94, 9.96, 1e6].map(rate), ["", "0.0", "9.9", "10", "1000k"]);
        let times = [0, 59, 3_599, 3_600, 172_799, 172_800, 8_640_000];
        let times = times.map(|seconds| time(Duration::from_secs(seconds)));
        assert_eq!(times, ["0:00", "0:59", "59:59", "1h00", "47h59", "2d00h", "100d00h"]);
        assert_eq!([7, 1_000, 1_234_567].map(long), ["7", "1,000", "1,234,567"]);
    }
}
