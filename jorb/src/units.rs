//! Texts of rates and durations: `"10/s"`, `"30s"`, `"200ms..30s"`.
//!
//! One grammar, in `const fn`s: `#[state]` evaluates them while compiling, the command line and a live change
//! while running.
//!
//! ```text
//! duration = number unit              30s
//! rate     = count "/" [number] unit  10/s, 5000/h, 1/250ms
//! backoff  = duration ".." duration   200ms..30s
//! unit     = "ms" | "s" | "m" | "h" | "d"
//! ```
//!
//! Numbers are whole; spaces around a number, a unit, `/` and `..` are ignored.
use std::{fmt, time::Duration};

/// Why a text is no rate, duration or backoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadUnit(&'static str);

impl BadUnit {
    /// What is wrong, and what to write.
    #[must_use]
    pub const fn message(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for BadUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadUnit {}

const DURATION: BadUnit =
    BadUnit("invalid duration: expected a whole number and `ms`, `s`, `m`, `h` or `d`, like `30s`");
const RATE: BadUnit = BadUnit("invalid rate: expected a count and a unit of time, like `10/s` or `1/250ms`");
const RATE_UNIT: BadUnit =
    BadUnit("invalid rate: unknown unit of time, expected `ms`, `s`, `m`, `h` or `d`, like `10/s`");
const RATE_ZERO: BadUnit = BadUnit("invalid rate: the count must be at least 1; to stop a state, hold it");
const RATE_HIGH: BadUnit = BadUnit("invalid rate: the limiter counts nanoseconds: at most `1000000000/s`");
const BACKOFF: BadUnit = BadUnit("invalid backoff: expected two durations, like `200ms..30s`");
const BACKOFF_ORDER: BadUnit = BadUnit("invalid backoff: the lower bound comes first, like `200ms..30s`");
const ZERO: BadUnit = BadUnit("invalid duration: must be more than zero");
const LONG: BadUnit = BadUnit("invalid duration: must be less than 1000 years");

/// Longest duration, in milliseconds: 1000 years. Sums of it and a time stay inside 64 bits.
const LONGEST: u64 = 1000 * 365 * 24 * 3_600_000;

/// A duration longer than zero.
pub(crate) const fn duration(text: &str) -> Result<Duration, BadUnit> {
    match millis(text.as_bytes().trim_ascii()) {
        Ok(millis) => Ok(Duration::from_millis(millis)),
        Err(e) => Err(e),
    }
}

/// Count, and the time in which that many may start.
pub(crate) const fn rate(text: &str) -> Result<(u32, Duration), BadUnit> {
    let text = text.as_bytes();
    let Some(slash) = find(text, b"/") else { return Err(RATE) };
    let (count, per) = (text.split_at(slash).0.trim_ascii(), text.split_at(slash + 1).1.trim_ascii());
    let Some((permits, b"")) = number(count) else { return Err(RATE) };
    let per = match number(per) {
        Some((n, unit)) => scaled(n, unit, RATE_UNIT),
        None => scaled(1, per, RATE_UNIT),
    };
    let per = match per {
        Ok(per) => per,
        Err(e) => return Err(e),
    };
    if permits == 0 {
        return Err(RATE_ZERO);
    }
    // At most one permit per nanosecond, the limiter's tick.
    if permits > u32::MAX as u64 || permits > per.saturating_mul(1_000_000) {
        return Err(RATE_HIGH);
    }
    #[allow(clippy::cast_possible_truncation)] // just compared
    Ok((permits as u32, Duration::from_millis(per)))
}

/// Lower and upper bound.
pub(crate) const fn backoff(text: &str) -> Result<(Duration, Duration), BadUnit> {
    let text = text.as_bytes();
    let Some(dots) = find(text, b"..") else { return Err(BACKOFF) };
    let (min, max) = (text.split_at(dots).0.trim_ascii(), text.split_at(dots + 2).1.trim_ascii());
    match (millis(min), millis(max)) {
        (Ok(min), Ok(max)) if min > max => Err(BACKOFF_ORDER),
        (Ok(min), Ok(max)) => Ok((Duration::from_millis(min), Duration::from_millis(max))),
        (Err(e), _) | (_, Err(e)) => Err(e),
    }
}

const fn millis(text: &[u8]) -> Result<u64, BadUnit> {
    match number(text) {
        Some((n, unit)) => scaled(n, unit, DURATION),
        None => Err(DURATION),
    }
}

const fn scaled(n: u64, unit: &[u8], unknown: BadUnit) -> Result<u64, BadUnit> {
    let scale = match unit {
        b"ms" => 1,
        b"s" => 1_000,
        b"m" => 60_000,
        b"h" => 3_600_000,
        b"d" => 24 * 3_600_000,
        _ => return Err(unknown),
    };
    match n.checked_mul(scale) {
        Some(0) => Err(ZERO),
        Some(millis) if millis < LONGEST => Ok(millis),
        _ => Err(LONG),
    }
}

/// A leading number and what follows it; nothing when there are no digits. Saturates.
const fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut n, mut at) = (0_u64, 0);
    while at < text.len() && text[at].is_ascii_digit() {
        n = n.saturating_mul(10).saturating_add((text[at] - b'0') as u64);
        at += 1;
    }
    if at == 0 { None } else { Some((n, text.split_at(at).1.trim_ascii())) }
}

const fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at + part.len() <= text.len() {
        let mut same = 0;
        while same < part.len() && text[at + same] == part[same] {
            same += 1;
        }
        if same == part.len() {
            return Some(at);
        }
        at += 1;
    }
    None
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

/// In JSON, a type is the text that it prints and is read from.
macro_rules! text_in_json {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_in_json;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let read = |text| rate(text).map(|(n, per)| (n, per.as_millis()));
        for (text, expected) in [
            ("10/s", (10, 1_000)),
            (" 600 / m ", (600, 60_000)),
            ("5000/h", (5000, 3_600_000)),
            ("1/250ms", (1, 250)),
            ("3 / 2 d", (3, 172_800_000)),
            ("1000000000/s", (1_000_000_000, 1_000)),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
        for (text, why) in [
            ("10", RATE),
            ("", RATE),
            ("/s", RATE),
            ("-1/s", RATE),
            ("1.5/s", RATE),
            ("10 per s", RATE),
            ("10/x", RATE_UNIT),
            ("10/", RATE_UNIT),
            ("10/s/s", RATE_UNIT),
            ("10/5", RATE_UNIT),
            ("0/s", RATE_ZERO),
            ("1/0s", ZERO),
            ("1000000001/s", RATE_HIGH),
            ("99999999999999999999/s", RATE_HIGH),
            ("1/99999999999h", LONG),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration(" 2 h "), Ok(Duration::from_secs(7200)));
        for (text, why) in [
            ("30", DURATION),
            ("s", DURATION),
            ("1w", DURATION),
            ("\u{b2}s", DURATION),
            ("0s", ZERO),
            ("99999999999999999h", LONG),
        ] {
            assert_eq!(duration(text), Err(why), "{text}");
        }
    }

    #[test]
    fn backoffs() {
        assert_eq!(backoff("200ms .. 30s"), Ok((Duration::from_millis(200), Duration::from_secs(30))));
        for (text, why) in [("1s", BACKOFF), ("30s..1s", BACKOFF_ORDER), ("..1s", DURATION), ("0s..1s", ZERO)]
        {
            assert_eq!(backoff(text), Err(why), "{text}");
        }
    }
}
