//! Lies in the file.
use jorb::Status;

use super::forge::{Forge, PLAN, any, kicks};
use crate::torture::{
    account::{Account, Wrong},
    marks::{Mark, What},
    stored::{Stored, StoredJob},
};

#[test]
fn a_move_without_its_kicks_is_found() {
    let mut forge = Forge::new();
    let me = forge.run_until(kicks);
    forge.look();
    let before = forge.next;
    forge.run(me);
    forge.look_at(|rows| rows.retain(|job| job.id.0 < before));
    forge.finds_only(Wrong::NotAtomic);
}

#[test]
fn kicks_without_their_move_are_found() {
    let mut forge = Forge::new();
    let me = forge.run_until(kicks);
    forge.look();
    let parent = forge.jobs[&me].0.clone();
    forge.run(me);
    forge.look_at(|rows| rows.iter_mut().filter(|job| job.me == me).for_each(|job| *job = parent.clone()));
    forge.finds(Wrong::NotAtomic);
}

#[test]
fn a_history_that_says_something_else_is_found() {
    let mut forge = Forge::new();
    let me = forge.run_until(|_, place| place > 0);
    forge.look();
    forge.finds_nothing();
    let lie = |rows: &mut Vec<StoredJob>, lie: fn(&mut StoredJob)| {
        rows.iter_mut().filter(|job| job.me == me).for_each(lie);
    };
    forge.look_at(|rows| lie(rows, |job| job.story.as_mut().unwrap().errors += 1));
    forge.finds_only(Wrong::NotAtomic);
    let mut forge = Forge::new();
    let me = forge.run_until(|fate, place| fate.stands[place].at.step > 0);
    forge.look_at(|rows| {
        let job = rows.iter_mut().find(|job| job.me == me).unwrap();
        drop(job.story.as_mut().unwrap().lines.pop());
    });
    forge.finds_only(Wrong::NotAtomic);
}

#[test]
fn a_row_that_cannot_be_is_found() {
    let lies: [fn(&mut StoredJob); 6] = [
        |job| job.load = 0,
        |job| job.at.tries += 40,
        |job| job.status = Status::Parked,
        |job| job.errors += 1,
        |job| job.kicked += 1,
        |job| job.data = Some("{\"of\":1}".into()),
    ];
    for lie in lies {
        let mut forge = Forge::new();
        forge.look_at(|rows| {
            let job = &mut rows[3];
            job.story = None;
            lie(job);
        });
        forge.finds(Wrong::ImpossibleRow);
    }
}

#[test]
fn a_run_that_is_not_complete_is_found() {
    let mut forge = Forge::new();
    forge.account.complete();
    forge.finds_only(Wrong::Unfinished);
    let mut empty = Account::new(PLAN);
    empty.complete();
    assert_eq!(empty.tally.wrong.get(&Wrong::Unfinished), Some(&1));
}

#[test]
fn a_damaged_file_is_found() {
    let mut forge = Forge::new();
    let stored = Stored { broken: vec!["wrong # of entries in index".into()], ..forge.stored() };
    forge.account.look(Some(&stored));
    forge.finds_only(Wrong::Integrity);
}

#[test]
fn a_mark_that_was_cut_says_nothing() {
    let mut forge = Forge::new();
    let me = forge.find(any);
    let line = Mark { session: forge.session, time: forge.time, what: What::Started(forge.step(me)) }.line();
    for cut in 1..line.len() - 1 {
        forge.account.read(&line[..cut]);
    }
    assert_eq!(forge.account.tally.cut_marks, line.len() as u64 - 2);
    assert_eq!(forge.account.tally.steps, 0);
    forge.account.read(&line);
    assert_eq!(forge.account.tally.steps, 1);
}
