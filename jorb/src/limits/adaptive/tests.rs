//! What holds for each controller.
#![allow(clippy::float_cmp)] // halves and sums of small numbers are exact

use super::{Adaptive, AdaptiveSpec, Kind, Learned, NotFinite};
use service::Dice;

mod aimd;
mod noise;
mod probe;
mod service;
mod table;

const KINDS: [Kind; 2] = [Kind::Probe, Kind::AIMD];

fn adaptive(kind: Kind, initial: f64, min: f64, max: f64) -> Adaptive {
    Adaptive::new(&AdaptiveSpec { kind, initial, min, max }).unwrap()
}

#[test]
fn bounds() {
    for kind in KINDS {
        let rate = |initial, min, max| adaptive(kind, initial, min, max).rate();
        assert_eq!(rate(0.0, 5.0, 10.0), 5.0, "zero is the minimum");
        assert_eq!(rate(-1.0, 5.0, 10.0), 5.0);
        assert_eq!(rate(4.0, 5.0, 10.0), 5.0);
        assert_eq!(rate(11.0, 5.0, 10.0), 10.0);
        assert_eq!(rate(7.0, 5.0, 5.0), 5.0);
        assert_eq!(rate(7.0, 10.0, 5.0), 7.0, "swapped");
        assert_eq!(rate(20.0, 10.0, 5.0), 10.0);
        assert_eq!(rate(0.0, 0.0, 0.0), 1e-9);
        assert_eq!(rate(-5.0, -9.0, -7.0), 1e-9);
        assert_eq!(rate(1e300, 1.0, f64::MAX), 1e300);
    }
}

#[test]
fn what_is_no_number_is_refused() {
    for kind in KINDS {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let refused = |initial, min, max| {
                let error: NotFinite = Adaptive::new(&AdaptiveSpec { kind, initial, min, max }).unwrap_err();
                error.to_string()
            };
            assert!(refused(bad, 1.0, 2.0).starts_with("the initial rate of an adaptive limit is "));
            assert!(refused(1.0, bad, 2.0).starts_with("the least rate"));
            assert!(refused(1.0, 1.0, bad).starts_with("the greatest rate"));
        }
    }
}

#[test]
fn bursts_follow_the_rate() {
    let burst = |kind, rate| adaptive(kind, rate, 0.0, f64::MAX).burst();
    assert_eq!([0.1, 1.0, 1.5, 100.0].map(|rate| burst(Kind::AIMD, rate)), [1, 1, 2, 100]);
    assert_eq!([0.1, 50.0, 100.0, 399.0, 1000.0].map(|rate| burst(Kind::Probe, rate)), [1, 1, 2, 3, 7]);
    assert_eq!(KINDS.map(|kind| burst(kind, 1e300)), [u32::MAX; 2]);
}

/// Rates, shares and times as nobody would send them, and then also those.
fn odd(dice: &mut Dice) -> f64 {
    let odd = [0.0, -1.0, 1e-300, 1e-9, f64::MIN_POSITIVE, 1e300, f64::MAX, 1.0];
    match usize::try_from(dice.next() % 16).unwrap() {
        n if n < odd.len() => odd[n],
        _ => 10_f64.powf(dice.share() * 8.0 - 3.0),
    }
}

fn some_time(dice: &mut Dice, now: u64) -> u64 {
    match dice.next() % 32 {
        0 => 0,
        1 => u64::MAX,
        2 => now.saturating_sub(dice.next() << (dice.next() % 32)),
        3 => now.saturating_add(dice.next() << (dice.next() % 32)),
        _ => now.saturating_add(dice.next() % 1_000_000_000),
    }
}

/// Any bounds, any order of events, any times: the rate is a number inside the bounds.
#[test]
fn the_rate_is_always_inside_its_bounds() {
    for seed in 0..2000_u32 {
        let mut dice = Dice::new(seed.into());
        let (initial, min, max) = (odd(&mut dice), odd(&mut dice), odd(&mut dice));
        let mut adaptive = adaptive(KINDS[usize::from(seed.is_multiple_of(2))], initial, min, max);
        let (min, max) = (min.min(max).max(1e-9), max.max(min).max(1e-9));
        let mut now = 1_700_000_000_000_000_000;
        let throttles = dice.share();
        for step in 0..300 {
            now = some_time(&mut dice, now);
            let started_at = some_time(&mut dice, now.saturating_sub(1_000_000_000));
            match dice.next() % 100 {
                0 => {
                    let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0];
                    let rate = if dice.share() < 0.5 { bad[step % 5] } else { odd(&mut dice) };
                    let ceiling = Some(odd(&mut dice)).filter(|_| dice.share() < 0.5);
                    adaptive.restore(Learned { rate, ceiling });
                }
                1 => adaptive.restore(adaptive.learned()),
                2..50 => adaptive.started(now),
                _ if dice.share() < throttles => adaptive.throttled(now, started_at),
                _ => adaptive.succeeded(now, started_at),
            }
            let rate = adaptive.rate();
            assert!((min..=max).contains(&rate), "seed {seed} step {step}: {rate} not in {min}..={max}");
            assert!(adaptive.burst() >= 1);
            let learned = adaptive.learned();
            assert!(
                learned.rate == rate && learned.ceiling.is_none_or(f64::is_finite),
                "{seed}: {learned:?}"
            );
        }
    }
}

#[test]
fn what_was_learned_is_used_at_the_next_start() {
    let saved = r#"{"rate":3.0,"ceiling":80.0}"#;
    let mut probe = adaptive(Kind::Probe, 5.0, 1.0, 1000.0);
    probe.restore(serde_json::from_str(saved).unwrap());
    assert_eq!(probe.rate(), 68.0, "just below the ceiling, wherever it was when it stopped");
    assert_eq!(probe.learned(), Learned { rate: 68.0, ceiling: Some(80.0) });

    let mut aimd = adaptive(Kind::AIMD, 5.0, 1.0, 1000.0);
    aimd.restore(Learned { rate: 80.0, ceiling: None });
    assert_eq!(serde_json::to_string(&aimd.learned()).unwrap(), r#"{"rate":80.0}"#);

    for kind in KINDS {
        let mut adaptive = adaptive(kind, 5.0, 1.0, 50.0);
        adaptive.restore(Learned { rate: 80.0, ceiling: None });
        assert_eq!(adaptive.rate(), 50.0, "today's bounds hold");
        adaptive.restore(Learned { rate: f64::NAN, ceiling: Some(f64::NAN) });
        assert_eq!(adaptive.rate(), 50.0);
    }
}
