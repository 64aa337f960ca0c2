//! Texts of rates and backoffs, whose bounds are durations.
use std::time::Duration;

use jorb::{Backoff, Rate};

const DAY: u128 = 24 * 3_600_000;
const LONGEST: u128 = 1000 * 365 * DAY;

/// Any text is what the grammar says, or is refused; what is read can be written and read again.
pub fn units(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let rate = text.parse::<Rate>();
    assert_eq!(rate.as_ref().ok().copied(), self::rate(text), "{rate:?}");
    if let Ok(rate) = rate {
        assert_eq!(Rate::literal(text), rate, "the compiler reads it otherwise");
        assert_eq!(rate.to_string().parse(), Ok(rate), "{rate}");
        assert!(rate.interval() >= Duration::from_nanos(1) && rate.per_second() > 0.0, "{rate}");
    }
    let backoff = text.parse::<Backoff>();
    assert_eq!(backoff.as_ref().ok().copied(), self::backoff(text), "{backoff:?}");
    if let Ok(backoff) = backoff {
        assert_eq!(Backoff::literal(text), backoff, "the compiler reads it otherwise");
        assert_eq!(backoff.to_string().parse(), Ok(backoff), "{backoff}");
        for (attempt, random) in [(1, 0.0), (1, 0.999), (7, 0.5), (u32::MAX, 0.999)] {
            let wait = backoff.wait(attempt, random);
            assert!((backoff.min()..=backoff.max()).contains(&wait), "{backoff}: {wait:?}");
        }
    }
}

/// The grammar once more, with numbers that do not end at 64 bits.
fn rate(text: &str) -> Option<Rate> {
    let (count, per) = text.split_once('/')?;
    let per = trim(per);
    let per = if per.starts_with(|c: char| c.is_ascii_digit()) { millis(per)? } else { scaled(1, per)? };
    let count = whole(trim(count))?;
    let fits = (1..=u128::from(u32::MAX)).contains(&count) && count <= per.as_nanos();
    fits.then(|| Rate::new(u32::try_from(count).unwrap(), per))
}

fn backoff(text: &str) -> Option<Backoff> {
    let (min, max) = text.split_once("..")?;
    let (min, max) = (millis(trim(min))?, millis(trim(max))?);
    (min <= max).then(|| Backoff::new(min, max))
}

fn millis(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    scaled(whole(&text[..digits])?, trim(&text[digits..]))
}

fn scaled(n: u128, unit: &str) -> Option<Duration> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", DAY)];
    let (_, size) = units.into_iter().find(|(name, _)| *name == unit)?;
    let millis = n.checked_mul(size).filter(|millis| (1..LONGEST).contains(millis))?;
    Some(Duration::from_millis(u64::try_from(millis).ok()?))
}

/// Too large to be of use is as good as none.
fn whole(digits: &str) -> Option<u128> {
    let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    all.then(|| digits.parse().ok()).flatten()
}

fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii_whitespace())
}
