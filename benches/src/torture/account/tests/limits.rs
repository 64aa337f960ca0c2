//! Lies about when steps start, and how many.
use super::forge::{Forge, MS, any, long};
use crate::torture::{
    account::{Wrong, rate::Rates},
    fate::Fate,
    marks::What,
};

#[test]
fn two_steps_of_one_job_at_once_are_found() {
    let mut forge = Forge::new();
    let me = forge.find(any);
    forge.start(me);
    forge.session.again += 1;
    forge.open();
    forge.start(me);
    forge.finds_only(Wrong::Overlap);
    // What was dropped is over.
    let mut forge = Forge::new();
    forge.start(me);
    forge.mark(What::Dropped(forge.step(me)));
    forge.session.again += 1;
    forge.open();
    forge.start(me);
    forge.finds_nothing();
}

#[test]
fn too_many_steps_at_once_are_found() {
    let mut forge = Forge::new();
    let threads: Vec<u64> =
        forge.jobs.keys().copied().filter(|me| forge.step(*me).state == "Thread").collect();
    for me in &threads[..3] {
        forge.start(*me);
    }
    forge.finds_nothing();
    forge.start(threads[3]);
    forge.finds_only(Wrong::Concurrency);
}

/// Starts of a job in `state`, so far apart; where they are believed, time stands still after the fifth.
fn starts(state: &'static str, apart: u64, still: bool) -> Forge {
    let mut forge = Forge::new();
    let me = forge.run_until(|fate, place| fate.stands[place].state == state);
    forge.look();
    let step = forge.step(me);
    for n in 0..30 {
        // Each in a process of its own, which is killed: windows go on.
        forge.session.pid += 1;
        forge.open();
        forge.time += if still && n == 5 { 1_000 * MS } else { apart };
        if still && n == 5 {
            forge.account.stood_still(forge.time - 900 * MS, forge.time);
        }
        forge.mark(What::Started(step));
    }
    forge
}

#[test]
fn starts_that_are_too_fast_are_found() {
    starts("Slow", 101 * MS, false).finds_nothing();
    starts("Slow", 90 * MS, false).finds_only(Wrong::Rate);
    starts("Fast", 21 * MS, false).finds_nothing();
    starts("Fast", 12 * MS, false).finds_only(Wrong::Rate);
}

#[test]
fn starts_that_were_held_up_are_no_fault() {
    let mut rates = Rates::default();
    let late = |rates: &mut Rates| (0..4).find_map(|n| rates.started("Slow", 2_000 * MS + n));
    assert!(late(&mut rates).is_some(), "four at once");
    rates.stood_still(1_500 * MS, 2_000 * MS);
    assert_eq!(late(&mut rates), None, "all that were due while the process stood still");
    starts("Slow", 101 * MS, true).finds_nothing();
    starts("Slow", 90 * MS, true).finds_only(Wrong::Rate);
}

#[test]
fn a_start_before_its_time_is_found() {
    let waits = |fate: &Fate, place: usize| long(fate, place) && fate.stands[place + 1].wait > 20;
    for (wait, killed) in [(15, false), (15, true)] {
        let mut forge = Forge::new();
        let me = forge.run_until(waits);
        forge.run(me);
        if killed {
            forge.kill();
        }
        forge.time += wait * MS;
        forge.mark(What::Started(forge.step(me)));
        forge.finds_only(Wrong::Early);
    }
}
