//! Lies about where jobs are, and how many.
use jorb::JobId;

use super::forge::{Forge, any, kicks, long, row};
use crate::torture::{
    account::Wrong,
    fate::Fate,
    marks::What,
    stored::{Stored, StoredJob},
};

#[test]
fn a_committed_step_that_runs_again_is_found() {
    let mut forge = Forge::new();
    let me = forge.find(any);
    let step = forge.step(me);
    forge.run(me);
    forge.kill();
    forge.mark(What::Started(step));
    forge.finds_only(Wrong::CommittedStepRerun);
}

#[test]
fn a_step_that_runs_twice_in_one_process_is_found() {
    let mut forge = Forge::new();
    let me = forge.find(any);
    forge.start(me);
    forge.end(me);
    forge.start(me);
    forge.finds_only(Wrong::StartedTwice);
}

#[test]
fn a_step_that_starts_before_the_commit_is_found() {
    // The file does not have what led to it.
    let mut forge = Forge::new();
    let me = forge.find(long);
    let before = forge.stored();
    forge.run(me);
    forge.start(me);
    forge.account.look(Some(&before));
    forge.finds(Wrong::StartedBeforeCommit);
    // What led to it had not even returned.
    let mut forge = Forge::new();
    forge.start(me);
    forge.commit(me);
    forge.start(me);
    forge.finds(Wrong::StartedBeforeCommit);
}

#[test]
fn a_job_that_goes_back_is_found() {
    let mut forge = Forge::new();
    let me = forge.find(|fate, place| !kicks(fate, place));
    let before = forge.stored();
    forge.run(me);
    forge.kill();
    forge.account.look(Some(&before));
    forge.finds_only(Wrong::WentBack);
}

#[test]
fn what_was_not_synced_may_go_back_unless_a_step_relies_on_it() {
    let cut = |relied_on: bool, since: u64| {
        let mut forge = Forge::new();
        let me = forge.run_until(|fate, place| kicks(fate, place) && long(fate, place));
        forge.look();
        let before = forge.stored();
        forge.run(me);
        forge.kill();
        if relied_on {
            forge.start(me);
        }
        let since = forge.account.looks() + since;
        forge.account.power_cut(since, Some(&before));
        forge.account.look(Some(&before));
        forge
    };
    cut(false, 0).finds_nothing();
    cut(true, 0).finds(Wrong::StartedBeforeCommit);
    cut(false, 1).finds(Wrong::WentBack);
    cut(false, 1).finds(Wrong::JobLost);
    // A new run may go as a whole.
    let mut forge = Forge::new();
    forge.account.power_cut(1, None);
    forge.account.look(None);
    forge.finds_nothing();
    let mut forge = Forge::new();
    let me = forge.find(any);
    forge.start(me);
    forge.account.power_cut(1, None);
    forge.account.look(None);
    forge.finds_only(Wrong::JobLost);
}

#[test]
fn a_job_that_moves_without_a_step_is_found() {
    let mut forge = Forge::new();
    let me = forge.find(any);
    forge.start(me);
    forge.commit(me); // it has not returned
    forge.look();
    forge.finds_only(Wrong::MovedWithoutStep);
    let mut forge = Forge::new();
    let me = forge.find(long);
    forge.run(me);
    forge.commit(me); // a second time
    forge.look();
    forge.finds_only(Wrong::MovedWithoutStep);
}

#[test]
fn a_lost_job_is_found() {
    let mut forge = Forge::new();
    forge.look_at(|rows| drop(rows.remove(7)));
    forge.finds_only(Wrong::JobLost);
    let mut forge = Forge::new();
    forge.account.look(None);
    forge.finds_only(Wrong::JobLost);
    let mut forge = Forge::new();
    forge.account.look(Some(&Stored::default()));
    forge.finds_only(Wrong::JobLost);
}

#[test]
fn a_doubled_job_is_found() {
    let mut forge = Forge::new();
    forge.look_at(|rows| rows.push(StoredJob { id: JobId(1_000), ..rows[7].clone() }));
    forge.finds_only(Wrong::JobDoubled);
    // Also when there is one of it at a time.
    let mut forge = Forge::new();
    forge.look_at(|rows| rows[7].id = JobId(1_000));
    forge.finds_only(Wrong::JobDoubled);
}

#[test]
fn a_once_key_that_makes_two_jobs_is_found() {
    let mut forge = Forge::new();
    let taken = |forge: &Forge, fate: &Fate, place: usize| {
        let kicks = &fate.kicks[fate.stands[place].kicked..fate.stands[place + 1].kicked];
        kicks.iter().position(|kick| kick.once && forge.jobs.contains_key(&kick.me))
    };
    let (me, n) = loop {
        let found = forge.jobs.iter().find_map(|(me, (_, place))| {
            let fate = forge.fates.get(*me).unwrap();
            let nth = (*place < fate.last()).then(|| taken(&forge, fate, *place))??;
            Some((*me, fate.stands[*place].kicked + nth))
        });
        if let Some(found) = found {
            break found;
        }
        let any = forge.find(any);
        forge.run(any);
    };
    let parent = forge.jobs[&me].0.id;
    let again = forge.fates.get(me).unwrap().kicks[n].me;
    forge.run(me);
    forge.look();
    forge.finds_nothing();
    let first = forge.jobs[&again].0.clone();
    let fate = row(JobId(5_000), again, Some((parent, n as u64)), forge.fates.get(again).unwrap(), 0);
    assert_ne!(first.parent, fate.parent);
    forge.look_at(|rows| rows.push(fate));
    forge.finds(Wrong::JobDoubled);
}

#[test]
fn a_number_that_is_used_twice_is_found() {
    let mut forge = Forge::new();
    forge.look_at(|rows| {
        let (first, second) = (rows[0].id, rows[1].id);
        (rows[0].id, rows[1].id) = (second, first);
    });
    forge.finds(Wrong::NumberReused);
    // A kick gets the number of another one.
    let mut forge = Forge::new();
    let me = forge.run_until(kicks);
    forge.run(me);
    forge.look();
    forge.finds_nothing();
    forge.look_at(|rows| {
        let job = rows.iter_mut().find(|job| job.parent.is_some()).unwrap();
        job.parent.as_mut().unwrap().1 += 1;
    });
    forge.finds_only(Wrong::NumberReused);
}
