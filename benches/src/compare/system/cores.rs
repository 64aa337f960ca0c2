//! What the cores allow: a thread on each, with nothing but the CPU that the steps take.
use std::{
    thread,
    time::{Duration, Instant},
};

use super::super::{
    machine::cores,
    sample::Outcome,
    work::{STATES, Step, spin},
};

pub(in crate::compare) fn run(step: Step, jobs: u64) -> Outcome {
    let Step::Spin(rounds) = step else { return Outcome::steps(0, Duration::ZERO) };
    let steps = STATES * jobs;
    let threads = cores() as u64;
    let start = Instant::now();
    thread::scope(|scope| {
        for n in 0..threads {
            scope.spawn(move || {
                for _ in (n..steps).step_by(usize::try_from(threads).unwrap_or(1)) {
                    spin(rounds);
                }
            });
        }
    });
    Outcome::steps(steps, start.elapsed())
}
