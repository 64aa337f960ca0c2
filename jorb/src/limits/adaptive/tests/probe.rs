//! What the probing controller promises, against a service that tells nothing but "too many".
use std::time::Duration;

use super::{
    super::{Adaptive, Kind, Learned},
    adaptive,
    service::{Counts, MS, SECOND, Scenario, Trace},
};

const AT: u64 = 1_700_000_000 * SECOND;

/// Long enough to forget how it began.
fn warm(capacity: f64) -> f64 {
    (2000.0 / capacity).max(30.0)
}

/// How much of the capacity is used, and which share of requests is refused, after the first `warm` seconds.
#[track_caller]
fn steady(scenario: &Scenario, warm: f64, used: f64, throttled: f64) -> Trace {
    let trace = scenario.run();
    let (is, capacity) = (trace.taken(warm, scenario.seconds), scenario.capacity[0].1);
    let refused = trace.throttled(warm, scenario.seconds);
    assert!(is >= used * capacity, "uses {is}/s of {capacity}/s");
    assert!(refused <= throttled, "{refused} of {capacity}/s is throttled");
    trace
}

#[test]
fn most_of_a_hidden_capacity_is_used_and_little_is_throttled() {
    for capacity in [5.0, 50.0, 500.0, 5000.0] {
        for initial in [0.1, 10.0] {
            for seed in 1..=2 {
                let seconds = warm(capacity) * if capacity > 1000.0 { 1.5 } else { 3.0 };
                let scenario = Scenario { seed, ..Scenario::new(initial * capacity, capacity, seconds) };
                steady(&scenario, warm(capacity), 0.95, 0.01);
            }
        }
    }
}

#[test]
fn a_few_per_minute_work_too() {
    let capacity = 10.0 / 60.0;
    for initial in [0.1, 10.0] {
        let scenario = Scenario::new(initial * capacity, capacity, 40_000.0);
        let trace = steady(&scenario, 12_000.0, 0.95, 0.01);
        let settled = trace.reaches(0.0, 0.85 * capacity, 1.25 * capacity);
        assert!(settled < 1200.0, "after {settled} s");
        assert!(trace.most(120.0, 40_000.0) < 2.5 * capacity, "{}", trace.most(120.0, 40_000.0));
        steady(&Scenario { counts: Counts::Window(60 * SECOND), ..scenario }, 12_000.0, 0.93, 0.015);
    }
}

#[test]
fn a_wrong_first_rate_is_put_right_soon() {
    for capacity in [50.0, 500.0, 5000.0] {
        let low = Scenario::new(capacity / 10.0, capacity, 30.0).run();
        assert!(low.reaches(0.0, 0.85 * capacity, 1.25 * capacity) < 15.0);
        let high = Scenario::new(capacity * 10.0, capacity, 30.0).run();
        assert!(high.reaches(0.0, 0.0, 1.25 * capacity) < 1.0);
        // What starts before the first answer comes is lost; the first answer comes after 20 ms at the earliest.
        assert!((high.refused(0.0, 30.0) as f64) < 10.0 * capacity * 0.06 + 150.0);
    }
}

#[test]
fn half_the_capacity_is_found_in_three_seconds() {
    for capacity in [5.0, 50.0, 500.0, 5000.0] {
        let warm = warm(capacity);
        for seed in 1..=3 {
            let fall = vec![(0.0, capacity), (warm, capacity / 2.0)];
            let scenario = Scenario { capacity: fall, seed, ..Scenario::new(capacity, 0.0, warm + 10.0) };
            let trace = scenario.run();
            let down = trace.reaches(warm, 0.0, 1.25 * capacity / 2.0);
            assert!(down < 3.0, "{capacity}/s: after {down} s");
            let refused = trace.refused(warm, warm + 3.0);
            assert!((refused as f64) < 10.0 + 0.08 * capacity, "{capacity}/s: {refused} throttled");
            let used = trace.taken(warm, warm + 10.0) / capacity * 2.0;
            assert!(used > 0.75, "{capacity}/s: {used} of what is left is used meanwhile");
        }
    }
}

#[test]
fn twice_the_capacity_is_found_in_a_bounded_time() {
    for capacity in [5.0, 50.0, 500.0] {
        let warm = warm(capacity);
        for seed in 1..=3 {
            let rise = vec![(0.0, capacity), (warm, 2.0 * capacity)];
            let scenario = Scenario { capacity: rise, seed, ..Scenario::new(capacity, 0.0, warm + 100.0) };
            let up = scenario.run().reaches(warm, 1.7 * capacity, f64::MAX);
            // Two and a half lengths of the curve, and a doubling.
            assert!(up < f64::max(13.0, 280.0 / capacity), "{capacity}/s: after {up} s");
        }
    }
}

#[test]
fn services_that_count_in_windows_are_used_and_rarely_asked_in_vain() {
    for (window, capacity, seconds, used) in [
        (1, 5.0, 900.0, 0.95),
        (1, 100.0, 200.0, 0.95),
        (60, 1.0, 7200.0, 0.92),
        (60, 10.0, 2400.0, 0.95),
        (3600, 0.5, 100_000.0, 0.98),
    ] {
        for initial in [0.1, 10.0] {
            let counts = Counts::Window(window * SECOND);
            let scenario = Scenario { counts, ..Scenario::new(initial * capacity, capacity, seconds) };
            steady(&scenario, seconds / 3.0, used, 0.02);
        }
    }
}

/// Looking for more is as slow as the service was shut, but not for ever.
#[test]
fn an_outage_is_got_over() {
    for (outage, calm, bound) in [(60.0, 60.0, 400.0), (20.0, 1800.0, 13.0)] {
        let rise = 600.0 + outage + calm;
        let capacity =
            vec![(0.0, 50.0), (600.0, 0.0), (600.0 + outage, 50.0), (rise, 100.0), (rise + 600.0, 200.0)];
        let trace = Scenario { capacity, ..Scenario::new(50.0, 0.0, rise + 700.0) }.run();
        let back = trace.taken(600.0 + outage, rise);
        assert!(back > 0.9 * 50.0 * (1.0 - 0.35 * outage / calm), "{back}/s after an outage of {outage} s");
        assert!(trace.refused(600.0, 600.0 + outage) < 60);
        let up = trace.reaches(rise, 85.0, f64::MAX);
        assert!(up < bound, "{up} s after an outage of {outage} s");
        let up = trace.reaches(rise + 600.0, 170.0, f64::MAX);
        assert!(up < 13.0, "{up} s when the outage is forgotten");
    }
}

#[test]
fn the_longest_outage_is_half_an_hour() {
    let capacity = vec![(0.0, 1.0), (1000.0, 0.0), (19_000.0, 1.0), (30_000.0, 2.0)];
    let trace = Scenario { capacity, ..Scenario::new(1.0, 0.0, 45_000.0) }.run();
    let up = trace.reaches(30_000.0, 1.7, f64::MAX);
    assert!(up < 2.6 * 3600.0, "{up}");
}

#[test]
fn a_service_that_is_shut_at_the_start_is_waited_for() {
    let capacity = vec![(0.0, 0.0), (30.0, 50.0)];
    let trace = Scenario { capacity, ..Scenario::new(50.0, 0.0, 200.0) }.run();
    let up = trace.reaches(30.0, 42.0, f64::MAX);
    assert!(up < 20.0, "{up}");
}

/// Requests that overtake each other meet a bucket that is full for a moment.
#[test]
fn an_unsteady_way_is_not_taken_for_throttles_at_random() {
    for capacity in [20.0, 50.0, 500.0] {
        for seed in 1..=6 {
            let counts = Counts::Bucket(5.0, 0.05);
            let scenario = Scenario::new(capacity / 10.0, capacity, 9000.0 / capacity + 90.0);
            let scenario = Scenario { seed, counts, way: 100 * MS, ..scenario };
            steady(&scenario, scenario.seconds / 3.0, 0.85, 0.02);
        }
    }
}

#[test]
fn throttles_at_random_do_not_starve_it() {
    for (capacity, noise, seconds) in [(10.0, 0.03, 6000.0), (100.0, 0.03, 600.0), (1000.0, 0.05, 60.0)] {
        for seed in 1..=3 {
            let scenario = Scenario { noise, seed, ..Scenario::new(capacity, capacity, seconds) };
            let trace = steady(&scenario, seconds / 3.0, 0.6, 0.12);
            assert!(trace.least(seconds / 3.0, seconds) > 0.01 * capacity);
        }
    }
}

/// Steps of many seconds, so that all that starts in that time starts at the old rate.
#[test]
fn long_steps_are_waited_for() {
    for refusal in [(50 * MS, 200 * MS), (10 * SECOND, 30 * SECOND)] {
        let slow =
            Scenario { latency: (10 * SECOND, 30 * SECOND), refusal, ..Scenario::new(2.0, 20.0, 1800.0) };
        let trace = steady(&slow, 900.0, 0.9, 0.01);
        assert!(trace.most(0.0, 900.0) < 8.0 * 20.0, "{}", trace.most(0.0, 900.0));
    }
}

#[test]
fn a_rate_that_nobody_uses_does_not_grow() {
    for demand in [5.0, 50.0, 500.0] {
        let seconds = 3000.0 / demand + 60.0;
        let scenario = Scenario { demand, ..Scenario::new(demand / 4.0, 1e6, seconds) };
        let trace = scenario.run();
        assert!(trace.taken(seconds / 2.0, seconds) > 0.9 * demand, "enough for all");
        assert!(trace.most(0.0, seconds) < 4.0 * demand, "{} for {demand}", trace.most(0.0, seconds));
    }
}

fn probe(rate: f64) -> Adaptive {
    adaptive(Kind::Probe, rate, 1.0, 10_000.0)
}

/// Starts `n` steps at the rate and lets each succeed after 10 ms.
fn work(probe: &mut Adaptive, mut now: u64, n: u32) -> u64 {
    for _ in 0..n {
        probe.started(now);
        probe.succeeded(now + 10 * MS, now);
        now += super::super::nanos(Duration::from_secs_f64(1.0 / probe.rate()));
    }
    now
}

#[test]
fn a_burst_of_throttles_is_one_however_late_they_come() {
    let mut probe = probe(100.0);
    let now = work(&mut probe, AT, 200);
    let before = probe.rate();
    probe.throttled(now, now - 1);
    let once = probe.rate();
    assert!((0.8..0.9).contains(&(once / before)), "{before} {once}");
    for late in 0..100 {
        probe.throttled(now + late * SECOND, now - late * MS);
        assert_eq!(probe.rate(), once, "an echo");
    }
    probe.throttled(now + 100 * SECOND, now + 1);
    assert!(probe.rate() < 0.6 * once, "a new one");
}

#[test]
fn nothing_grows_before_the_new_rate_has_had_a_success() {
    let mut probe = probe(100.0);
    let now = work(&mut probe, AT, 200);
    probe.throttled(now, now - 1);
    let rate = probe.rate();
    for ms in 1..1000 {
        probe.started(now + ms * MS);
        probe.succeeded(now + ms * MS, now - ms);
    }
    assert_eq!(probe.rate(), rate);
    probe.succeeded(now + 1001 * MS, now + MS);
    probe.started(now + 1002 * MS);
    assert!(probe.rate() > rate);
}

#[test]
fn a_clock_that_was_set_back_does_not_make_it_deaf() {
    let mut probe = probe(100.0);
    let now = work(&mut probe, AT, 200);
    probe.throttled(now, now - 1);
    let rate = probe.rate();
    let back = now - 3600 * SECOND;
    probe.throttled(back, back - 1);
    assert_eq!(probe.rate(), rate, "from before the clock was set back, for all we know");
    probe.throttled(back + 2, back + 1);
    assert!(probe.rate() < rate);
}

/// One request taken and a long night after it: that is not a limit of one request per night.
#[test]
fn a_ceiling_is_not_spread_below_the_rate_that_was_just_taken() {
    let mut probe = adaptive(Kind::Probe, 100.0, 1e-6, 1000.0);
    probe.started(AT);
    probe.succeeded(AT + 1, AT);
    probe.throttled(AT + 2, AT + 1);
    let mut now = AT + 2;
    for _ in 0..20 {
        now += SECOND;
        probe.throttled(now, now - 1);
    }
    let rate = probe.rate();
    assert!(rate < 3.0, "{rate}");
    probe.succeeded(now + 2, now + 1);
    assert!(probe.rate() > 0.8 * rate, "{} after {rate}", probe.rate());
}

/// A rate far beyond an old ceiling is not given up for it.
#[test]
fn what_was_learned_is_the_better_of_rate_and_ceiling() {
    let mut probe = probe(5.0);
    probe.restore(Learned { rate: 40.0, ceiling: Some(100.0) });
    let now = work(&mut probe, AT, 1000);
    let learned = probe.learned();
    assert!(learned.rate > 100.0 && learned.ceiling == Some(learned.rate), "{learned:?}");
    work(&mut probe, now, 2000);
    let learned = probe.learned();
    assert!(learned.rate > 200.0 && learned.ceiling.is_none(), "forgotten: {learned:?}");
}
