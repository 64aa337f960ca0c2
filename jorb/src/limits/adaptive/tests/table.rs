//! For people: how well it does, and what that looks like.
//!
//! ```console
//! cargo test -p jorb --lib -- --ignored --nocapture adaptive::tests::table
//! ```
use super::service::{Counts, MS, SECOND, Scenario};

const SEEDS: u64 = 5;

/// Long enough to forget how it began.
fn warm(capacity: f64) -> f64 {
    (3000.0 / capacity).clamp(40.0, 20_000.0)
}

/// The worst of some seeds, but for the first column.
fn line(name: &str, scenario: &Scenario, warm: f64) {
    let capacity = scenario.capacity[0].1;
    let (mut used, mut least, mut throttled, mut settled, mut before) = (0.0, f64::MAX, 0.0_f64, 0.0_f64, 0);
    for seed in 1..=SEEDS {
        let trace = Scenario { seed, ..scenario.clone() }.run();
        let share = trace.taken(warm, scenario.seconds) / capacity * 100.0;
        used += share / SEEDS as f64;
        least = least.min(share);
        throttled = throttled.max(trace.throttled(warm, scenario.seconds) * 100.0);
        settled = settled.max(trace.reaches(0.0, 0.85 * capacity, 1.25 * capacity));
        before = before.max(trace.refused(0.0, warm));
    }
    println!("| {name} | {used:.1} | {least:.1} | {throttled:.2} | {settled:.1} | {before} |");
}

#[test]
#[ignore = "for people"]
fn table() {
    let head = "used % | worst | throttled % | settles in s | throttled before that";
    let both = |initial: f64| if initial > 1.0 { "10 times too high" } else { "10 times too low" };
    let capacities = [10.0 / 60.0, 1.0, 5.0, 50.0, 500.0, 5000.0];
    println!("| scenario | {head} |\n| --- | --- | --- | --- | --- | --- |");
    for capacity in capacities {
        for initial in [0.1, 10.0] {
            let warm = warm(capacity);
            let strict = Scenario::new(initial * capacity, capacity, 3.0 * warm);
            line(&format!("strict, {capacity:.3}/s, {}", both(initial)), &strict, warm);
            let late = Scenario { way: 100 * MS, counts: Counts::Bucket(5.0, 0.05), ..strict };
            line(&format!("unsteady way, {capacity:.3}/s, {}", both(initial)), &late, warm);
        }
    }
    for (capacity, noise) in
        [(10.0, 0.01), (10.0, 0.05), (100.0, 0.03), (1000.0, 0.01), (1000.0, 0.03), (1000.0, 0.05)]
    {
        let warm = 10_000.0 / capacity + 100.0;
        let scenario = Scenario { noise, ..Scenario::new(0.1 * capacity, capacity, 4.0 * warm) };
        line(&format!("{} % at random, {capacity}/s", noise * 100.0), &scenario, warm);
    }
    for (seconds, capacity) in [
        (1_u32, 5.0),
        (1, 100.0),
        (1, 1000.0),
        (60, 10.0 / 60.0),
        (60, 1.0),
        (60, 10.0),
        (60, 1000.0),
        (3600, 1.0),
    ] {
        for initial in [0.1, 10.0] {
            let warm = warm(capacity).max(10.0 * f64::from(seconds));
            let counts = Counts::Window(u64::from(seconds) * SECOND);
            let scenario = Scenario { counts, ..Scenario::new(initial * capacity, capacity, 3.0 * warm) };
            line(&format!("windows of {seconds} s, {capacity:.3}/s, {}", both(initial)), &scenario, warm);
        }
    }
    for capacity in [5.0, 50.0] {
        let slow = Scenario {
            latency: (10 * SECOND, 30 * SECOND),
            refusal: (50 * MS, 200 * MS),
            ..Scenario::new(0.1 * capacity, capacity, 2400.0)
        };
        line(&format!("steps of 10 to 30 s, {capacity}/s"), &slow, 1200.0);
        let slow = Scenario { refusal: slow.latency, ..slow };
        line(&format!("refusals after 10 to 30 s too, {capacity}/s"), &slow, 1200.0);
    }

    let head = "below 1.25 of it in s | most after 3 s | throttled in 3 s, of | twice as much: 85 % in s";
    println!("\n| half as much, /s | {head} |\n| --- | --- | --- | --- | --- |");
    for capacity in capacities {
        let (half, warm) = (capacity / 2.0, warm(capacity));
        let (mut down, mut most, mut refused, mut all, mut up) = (0.0_f64, 0.0_f64, 0, 0.0, 0.0_f64);
        for seed in 1..=SEEDS {
            let capacity = vec![(0.0, capacity), (warm, half), (2.0 * warm, capacity)];
            let trace = Scenario { capacity, seed, ..Scenario::new(2.0 * half, 0.0, 4.0 * warm) }.run();
            down = down.max(trace.reaches(warm, 0.0, 1.25 * half));
            most = most.max(trace.most(warm + 3.0, warm + 33.0) / half);
            if trace.refused(warm, warm + 3.0) >= refused {
                refused = trace.refused(warm, warm + 3.0);
                all = trace.taken(warm, warm + 3.0) * 3.0 + refused as f64;
            }
            up = up.max(trace.reaches(2.0 * warm, 1.7 * half, f64::MAX));
        }
        println!("| {half:.3} | {down:.2} | {most:.2} | {refused}, {all:.0} | {up:.1} |");
    }
}

#[test]
#[ignore = "for people"]
fn curve() {
    let capacity = vec![(0.0, 100.0), (40.0, 50.0), (80.0, 100.0)];
    println!("100/s, half of that from 40 s to 80 s");
    Scenario { capacity, ..Scenario::new(10.0, 0.0, 120.0) }.run().draw(120.0, 150.0);
    println!("\n600 per minute");
    Scenario { counts: Counts::Window(60 * SECOND), ..Scenario::new(10.0, 10.0, 600.0) }
        .run()
        .draw(600.0, 20.0);
    println!("\n100/s, 3 % throttled at random");
    Scenario { noise: 0.03, ..Scenario::new(10.0, 100.0, 240.0) }.run().draw(240.0, 150.0);
}
