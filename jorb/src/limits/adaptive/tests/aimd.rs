//! The rows of the Go original about its adaptive limiter.
use std::time::Duration;

use super::{
    super::{Adaptive, AdaptiveSpec, Kind},
    service::{MS, SECOND},
};

const AT: u64 = 1_700_000_000 * SECOND;

fn aimd(kind: Kind, initial: f64, min: f64, max: f64) -> Adaptive {
    Adaptive::new(&AdaptiveSpec { kind, initial, min, max }).unwrap()
}

/// Coalesces for half a second.
fn every(increase: u64) -> Kind {
    Kind::Aimd { increase: Duration::from_nanos(increase), coalesce: Duration::from_millis(500) }
}

fn success(adaptive: &mut Adaptive, now: u64) -> f64 {
    adaptive.succeeded(now, now);
    adaptive.rate()
}

fn throttle(adaptive: &mut Adaptive, now: u64) -> f64 {
    adaptive.throttled(now, now);
    adaptive.rate()
}

#[test]
fn backoff() {
    let mut aimd = aimd(Kind::AIMD, 100.0, 10.0, 200.0);
    let rates = [0, 500, 1000, 1500, 2000].map(|ms| throttle(&mut aimd, AT + ms * MS));
    assert_eq!(rates, [50.0, 25.0, 12.5, 10.0, 10.0]);
}

#[test]
fn on_success() {
    let mut aimd = aimd(Kind::AIMD, 100.0, 10.0, 200.0);
    for tick in 0..100 {
        assert_eq!(success(&mut aimd, AT + tick * SECOND), 101.0 + tick as f64);
    }
    assert_eq!(success(&mut aimd, AT + 100 * SECOND), 200.0, "the maximum");
}

#[test]
fn the_last_increase_ends_at_the_maximum() {
    let mut aimd = aimd(Kind::AIMD, 199.5, 10.0, 200.0);
    assert_eq!(success(&mut aimd, AT), 200.0);
}

#[test]
fn sawtooth() {
    let mut aimd = aimd(Kind::AIMD, 100.0, 10.0, 200.0);
    for tick in 1..=50 {
        success(&mut aimd, AT + tick * SECOND);
    }
    assert_eq!(aimd.rate(), 150.0);
    assert_eq!(throttle(&mut aimd, AT + 51 * SECOND), 75.0);
    for tick in 52..77 {
        success(&mut aimd, AT + tick * SECOND);
    }
    assert_eq!(aimd.rate(), 100.0);
}

#[test]
fn increase_debounce() {
    let mut aimd = aimd(every(500 * MS), 100.0, 10.0, 200.0);
    for _ in 0..50 {
        assert_eq!(success(&mut aimd, AT), 101.0);
    }
    assert_eq!(success(&mut aimd, AT + 499 * MS), 101.0);
    assert_eq!(success(&mut aimd, AT + 600 * MS), 102.0);
    assert_eq!(success(&mut aimd, AT + 1000 * MS), 102.0, "since the last increase, not the first");
}

#[test]
fn backoff_coalescing() {
    let mut aimd = aimd(Kind::AIMD, 100.0, 10.0, 200.0);
    for nanos in 0..20 {
        assert_eq!(throttle(&mut aimd, AT + nanos), 50.0);
    }
    assert_eq!(throttle(&mut aimd, AT + 499 * MS), 50.0);
    assert_eq!(throttle(&mut aimd, AT + 500 * MS), 25.0, "since the backoff, not the last echo");
}

#[test]
fn coalescing_can_be_turned_off() {
    let kind = Kind::Aimd { increase: Duration::from_secs(1), coalesce: Duration::ZERO };
    let mut aimd = aimd(kind, 100.0, 10.0, 200.0);
    assert_eq!([throttle(&mut aimd, AT), throttle(&mut aimd, AT)], [50.0, 25.0]);
}

#[test]
fn at_max_does_not_block_recovery() {
    let mut aimd = aimd(every(3600 * SECOND), 200.0, 10.0, 200.0);
    assert_eq!(success(&mut aimd, AT), 200.0);
    assert_eq!(throttle(&mut aimd, AT + 1), 100.0);
    assert_eq!(success(&mut aimd, AT + 2), 101.0);
    assert_eq!(success(&mut aimd, AT + 3), 101.0);
}

#[test]
fn a_backoff_lets_the_next_success_add_at_once() {
    let mut aimd = aimd(every(3600 * SECOND), 100.0, 10.0, 200.0);
    assert_eq!(success(&mut aimd, AT), 101.0);
    assert_eq!(throttle(&mut aimd, AT + 1), 50.5);
    assert_eq!(success(&mut aimd, AT + 2), 51.5);
}

#[test]
fn a_clock_that_was_set_back_holds_nothing_up() {
    let mut aimd = aimd(Kind::AIMD, 100.0, 10.0, 200.0);
    throttle(&mut aimd, AT);
    success(&mut aimd, AT);
    let back = AT - 3600 * SECOND;
    assert_eq!([success(&mut aimd, back), throttle(&mut aimd, back)], [52.0, 26.0]);
}

/// What a service with a hidden capacity makes of it: the last rate, and the mean of the last `tail` steps.
fn hidden(initial: f64, max: f64, capacity: f64, steps: u32, tail: u32) -> (f64, f64) {
    let kind = Kind::Aimd { increase: Duration::from_millis(1), coalesce: Duration::ZERO };
    let mut aimd = aimd(kind, initial, 1.0, max);
    let (mut now, mut sum) = (AT, 0.0);
    for step in 0..steps {
        if aimd.rate() > capacity {
            throttle(&mut aimd, now);
        } else {
            now += MS;
            success(&mut aimd, now);
        }
        if step >= steps - tail {
            sum += aimd.rate();
        }
    }
    (aimd.rate(), sum / f64::from(tail))
}

#[test]
fn high_quota() {
    let (last, mean) = hidden(50.0, 15_000.0, 10_000.0, 30_000, 2000);
    assert!(last > 5000.0 && last <= 15_001.0 && mean > 4000.0, "{last} {mean}");
}

#[test]
fn low_quota() {
    let (last, mean) = hidden(8000.0, 20_000.0, 10.0, 25_000, 2000);
    assert!((0.99..50.0).contains(&last) && mean < 100.0, "{last} {mean}");
}

#[test]
fn scaled_high() {
    let (last, mean) = hidden(20.0, 500.0, 100.0, 5000, 500);
    assert!(last > 65.0 && mean > 65.0, "{last} {mean}");
}

#[test]
fn scaled_low() {
    let (last, mean) = hidden(200.0, 500.0, 10.0, 5000, 500);
    assert!(last < 50.0 && mean < 40.0, "{last} {mean}");
}
