//! Thousands of orders in which things may happen. `JORB_SEED=7` goes through one of them, and says what happened;
//! `JORB_SEEDS=100000` goes through so many.
use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

use jorb_tests::{
    schedule::{Death, Disturbed, play},
    stores::Kind,
};

/// So many by themselves.
const SEEDS: u64 = 1_500;

/// A number that somebody gives.
fn given(name: &str) -> Option<u64> {
    env::var(name).ok().map(|n| n.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Goes through the schedules of one in so many seeds, on all cores; or through the one that is given.
fn each(test: &str, one_in: u64, check: impl Fn(u64, bool) + Sync) {
    if let Some(seed) = given("JORB_SEED") {
        return check(seed, true);
    }
    let (next, wrong) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let end = given("JORB_SEEDS").unwrap_or(SEEDS) / one_in;
    let work = || {
        while wrong.load(Relaxed) == u64::MAX {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= end {
                break;
            }
            if catch_unwind(AssertUnwindSafe(|| check(seed, false))).is_err() {
                wrong.fetch_min(seed, Relaxed);
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner();
    assert!(
        wrong == u64::MAX,
        "seed {wrong} fails; to see what happens there:\n\
         JORB_SEED={wrong} cargo test -p jorb-tests --test schedules {test} -- --nocapture"
    );
}

#[test]
fn whatever_happens_when() {
    each("whatever_happens_when", 1, |seed, aloud| {
        play(Kind::Memory, seed, Disturbed::Often, aloud);
    });
}

#[test]
fn the_same_seed_is_the_same_schedule() {
    each("the_same_seed_is_the_same_schedule", 20, |seed, aloud| {
        let first = play(Kind::Memory, seed, Disturbed::Often, aloud).0.lines();
        let second = play(Kind::Memory, seed, Disturbed::Often, false).0.lines();
        for (n, (first, second)) in first.iter().zip(&second).enumerate() {
            assert_eq!(first, second, "line {n}");
        }
        assert_eq!(first.len(), second.len());
    });
}

#[test]
fn a_process_dies_at_each_commit() {
    each("a_process_dies_at_each_commit", 100, |seed, aloud| {
        let commits = play(Kind::Memory, seed, Disturbed::By(&[]), aloud).1;
        for commit in 1..=commits {
            for after in [false, true] {
                let next = commit + 1 + (seed ^ commit) % 5;
                let deaths = [Death { commit, after }, Death { commit: next, after: next % 2 == 0 }];
                play(Kind::Memory, seed, Disturbed::By(&deaths), aloud);
            }
        }
    });
}

#[test]
fn a_job_is_cancelled_at_each_commit() {
    each("a_job_is_cancelled_at_each_commit", 100, |seed, aloud| {
        let commits = play(Kind::Memory, seed, Disturbed::By(&[]), aloud).1;
        for commit in 1..=commits {
            play(Kind::Memory, seed, Disturbed::ByCancelling(commit), aloud);
            if commit % 8 == seed % 8 {
                play(Kind::Json, seed, Disturbed::ByCancelling(commit), aloud);
                play(Kind::Sqlite, seed, Disturbed::ByCancelling(commit), aloud);
            }
        }
    });
}
