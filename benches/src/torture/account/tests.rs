//! The account finds each lie, and believes the truth.
use std::collections::{BTreeMap, HashMap};

use jorb::{JobId, Status};

use super::{
    super::{
        fate::{Fate, Fates},
        marks::{Mark, Name, Step, What},
        stored::{Stored, StoredJob},
        walk::Plan,
    },
    Account, Wrong,
};

const PLAN: Plan = Plan { seed: 5, jobs: 150, load: 3 };
const MS: u64 = 1_000_000;

/// An engine of a few lines, and the account that watches it.
struct Forge {
    account: Account,
    fates: Fates,
    /// Where each job is, by its own number.
    jobs: HashMap<u64, (StoredJob, usize)>,
    next: u64,
    session: Name,
    time: u64,
}

impl Forge {
    /// A run with its seeds, and a process that drives it.
    fn new() -> Self {
        let (account, fates) = (Account::new(PLAN), Fates::of(PLAN));
        let session = Name { pid: 1, again: 0 };
        let mut forge = Forge { account, fates, jobs: HashMap::new(), next: 0, session, time: 1_000 * MS };
        for me in forge.fates.seeds.clone() {
            forge.make(me, None);
        }
        forge.look();
        forge.open();
        forge
    }

    fn make(&mut self, me: u64, parent: Option<(JobId, u64)>) {
        let id = JobId(self.next);
        self.next += 1;
        if !self.jobs.contains_key(&me) {
            let row = row(id, me, parent, self.fates.get(me).unwrap(), 0);
            self.jobs.insert(me, (row, 0));
        }
    }

    fn mark(&mut self, what: What) {
        let line = Mark { session: self.session, time: self.time, what }.line();
        self.account.read(&line);
    }

    /// The process is killed, and another one goes on.
    fn kill(&mut self) {
        self.look();
        self.session.pid += 1;
        self.open();
    }

    fn open(&mut self) {
        self.mark(What::Opened);
    }

    fn step(&self, me: u64) -> Step {
        let (job, place) = &self.jobs[&me];
        let stand = &self.fates.get(me).unwrap().stands[*place];
        Step { job: job.id, me, at: stand.at, state: stand.state }
    }

    fn start(&mut self, me: u64) {
        // Late enough for any delay and any rate.
        self.time += 1_000 * MS;
        self.mark(What::Started(self.step(me)));
    }

    fn end(&mut self, me: u64) {
        self.mark(What::Ended(self.step(me)));
    }

    fn commit(&mut self, me: u64) {
        let (StoredJob { id, parent, .. }, place) = self.jobs[&me].clone();
        let fate = self.fates.get(me).unwrap();
        let (before, after) = (fate.stands[place].kicked, fate.stands[place + 1].kicked);
        let kicks: Vec<_> = (before..after).map(|n| (n, fate.kicks[n].me)).collect();
        self.jobs.insert(me, (row(id, me, parent, fate, place + 1), place + 1));
        for (n, me) in kicks {
            self.make(me, Some((id, n as u64)));
        }
    }

    /// A whole step.
    fn run(&mut self, me: u64) {
        self.start(me);
        self.end(me);
        self.commit(me);
    }

    fn stored(&self) -> Stored {
        let rows: BTreeMap<JobId, StoredJob> =
            self.jobs.values().map(|(job, _)| (job.id, job.clone())).collect();
        Stored { seeded: true, jobs: rows.into_values().collect(), broken: Vec::new() }
    }

    fn look(&mut self) {
        let stored = self.stored();
        self.account.look(Some(&stored));
    }

    /// Looks at a file that is not as it should be.
    fn look_at(&mut self, lie: impl FnOnce(&mut Vec<StoredJob>)) {
        let mut stored = self.stored();
        lie(&mut stored.jobs);
        self.account.look(Some(&stored));
    }

    /// A job of which that is true at a place from which it goes on.
    fn find(&self, wanted: impl Fn(&Fate, usize) -> bool) -> u64 {
        let goes_on = |fate: &Fate, place: usize| place < fate.last() && wanted(fate, place);
        let mut found: Vec<u64> = self
            .jobs
            .iter()
            .filter(|(me, (_, place))| goes_on(self.fates.get(**me).unwrap(), *place))
            .map(|(me, _)| *me)
            .collect();
        found.sort_unstable();
        *found.first().expect("there is one")
    }

    /// Runs a job until that is true of it.
    fn run_until(&mut self, wanted: impl Fn(&Fate, usize) -> bool) -> u64 {
        loop {
            let found = self.jobs.iter().find(|(me, (_, place))| {
                let fate = self.fates.get(**me).unwrap();
                *place < fate.last() && wanted(fate, *place)
            });
            if let Some((me, _)) = found {
                return *me;
            }
            let any = self.find(|_, _| true);
            self.run(any);
        }
    }

    fn found(&self) -> Vec<Wrong> {
        self.account.tally.wrong.keys().copied().collect()
    }

    #[track_caller]
    fn finds(&self, wrong: Wrong) {
        assert!(self.found().contains(&wrong), "{:?}", self.account.tally);
    }

    #[track_caller]
    fn finds_only(&self, wrong: Wrong) {
        assert_eq!(self.found(), [wrong], "{:?}", self.account.tally.texts);
    }

    #[track_caller]
    fn finds_nothing(&self) {
        assert_eq!(self.found(), [], "{:?}", self.account.tally.texts);
    }
}

fn row(id: JobId, me: u64, parent: Option<(JobId, u64)>, fate: &Fate, place: usize) -> StoredJob {
    let stand = &fate.stands[place];
    let moves = fate.moves.iter().take(usize::try_from(stand.at.step).unwrap());
    let lines = moves.map(|moved| (moved.attempt, moved.from.into(), moved.to.into())).collect();
    StoredJob {
        id,
        me,
        parent,
        at: stand.at,
        state: stand.state,
        status: stand.status,
        errors: stand.errors,
        kicked: stand.kicked as u64,
        load: PLAN.load,
        data: (stand.state == "Thread").then(|| format!("{{\"of\":{me}}}")),
        story: Some((lines, stand.errors)),
    }
}

fn any(_: &Fate, _: usize) -> bool {
    true
}

/// The next commit makes new jobs.
fn kicks(fate: &Fate, place: usize) -> bool {
    fate.stands[place + 1].kicked > fate.stands[place].kicked
}

/// It has two steps to make at least.
fn long(fate: &Fate, place: usize) -> bool {
    place + 2 < fate.stands.len()
}

#[test]
fn the_truth_is_believed() {
    let mut forge = Forge::new();
    for n in 0u32.. {
        let ready = forge.jobs.iter().find(|(me, (_, place))| *place < forge.fates.get(**me).unwrap().last());
        let Some(me) = ready.map(|(me, _)| *me) else { break };
        forge.start(me);
        if n % 7 > 0 {
            forge.end(me);
        }
        // Killed before the end, before the commit, after it, or not at all.
        if n % 7 > 1 {
            forge.commit(me);
        }
        if n % 7 < 3 {
            forge.kill();
        }
    }
    forge.look();
    forge.account.complete();
    forge.finds_nothing();
    assert!(forge.account.tally.steps > 300 && forge.account.tally.steps_rerun > 50);
    assert!(forge.jobs.len() > 150, "nobody kicks");
    assert!(forge.jobs.values().any(|(job, _)| job.status == Status::Parked));
}

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
    forge.look_at(|rows| lie(rows, |job| job.story.as_mut().unwrap().1 += 1));
    forge.finds_only(Wrong::NotAtomic);
    let mut forge = Forge::new();
    let me = forge.run_until(|fate, place| fate.stands[place].at.step > 0);
    forge.look_at(|rows| {
        let job = rows.iter_mut().find(|job| job.me == me).unwrap();
        drop(job.story.as_mut().unwrap().0.pop());
    });
    forge.finds_only(Wrong::NotAtomic);
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
    let of = |state| move |(me, fate): (u64, &Fate)| (fate.stands[0].state == state).then_some(me);
    let threads: Vec<u64> =
        forge.fates.iter().filter_map(of("Thread")).filter(|me| forge.jobs.contains_key(me)).collect();
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
    let mut rates = super::rate::Rates::default();
    let late = |rates: &mut super::rate::Rates| (0..4).find_map(|n| rates.started("Slow", 2_000 * MS + n));
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
        forge.finds(Wrong::WrongRow);
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
