//! An engine of a few lines, whose every step can be forged.
use std::collections::{BTreeMap, HashMap};

use jorb::JobId;

use crate::torture::{
    account::{Account, Wrong},
    fate::{Fate, Fates},
    marks::{Mark, Name, Step, What},
    stored::{Stored, StoredJob, StoredStory},
    walk::Plan,
};

pub(super) const PLAN: Plan = Plan { seed: 5, jobs: 150, load: 3 };
pub(super) const MS: u64 = 1_000_000;

/// An engine of a few lines, and the account that watches it.
pub(super) struct Forge {
    pub(super) account: Account,
    pub(super) fates: Fates,
    /// Where each job is, by its own number.
    pub(super) jobs: HashMap<u64, (StoredJob, usize)>,
    pub(super) next: u64,
    pub(super) session: Name,
    pub(super) time: u64,
}

impl Forge {
    /// A run with its seeds, and a process that drives it.
    pub(super) fn new() -> Self {
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

    pub(super) fn make(&mut self, me: u64, parent: Option<(JobId, u64)>) {
        let id = JobId(self.next);
        self.next += 1;
        if !self.jobs.contains_key(&me) {
            let row = row(id, me, parent, self.fates.get(me).unwrap(), 0);
            self.jobs.insert(me, (row, 0));
        }
    }

    pub(super) fn mark(&mut self, what: What) {
        let line = Mark { session: self.session, time: self.time, what }.line();
        self.account.read(&line);
    }

    /// The process is killed, and another one goes on.
    pub(super) fn kill(&mut self) {
        self.look();
        self.session.pid += 1;
        self.open();
    }

    pub(super) fn open(&mut self) {
        self.mark(What::Opened);
    }

    pub(super) fn step(&self, me: u64) -> Step {
        let (job, place) = &self.jobs[&me];
        let stand = &self.fates.get(me).unwrap().stands[*place];
        Step { job: job.id, me, at: stand.at, state: stand.state }
    }

    pub(super) fn start(&mut self, me: u64) {
        // Late enough for any delay and any rate.
        self.time += 1_000 * MS;
        self.mark(What::Started(self.step(me)));
    }

    pub(super) fn end(&mut self, me: u64) {
        self.mark(What::Ended(self.step(me)));
    }

    pub(super) fn commit(&mut self, me: u64) {
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
    pub(super) fn run(&mut self, me: u64) {
        self.start(me);
        self.end(me);
        self.commit(me);
    }

    pub(super) fn stored(&self) -> Stored {
        let rows: BTreeMap<JobId, StoredJob> =
            self.jobs.values().map(|(job, _)| (job.id, job.clone())).collect();
        Stored { seeded: true, jobs: rows.into_values().collect(), broken: Vec::new() }
    }

    pub(super) fn look(&mut self) {
        let stored = self.stored();
        self.account.look(Some(&stored));
    }

    /// Looks at a file that is not as it should be.
    pub(super) fn look_at(&mut self, lie: impl FnOnce(&mut Vec<StoredJob>)) {
        let mut stored = self.stored();
        lie(&mut stored.jobs);
        self.account.look(Some(&stored));
    }

    /// A job of which that is true at a place from which it goes on.
    pub(super) fn find(&self, wanted: impl Fn(&Fate, usize) -> bool) -> u64 {
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
    pub(super) fn run_until(&mut self, wanted: impl Fn(&Fate, usize) -> bool) -> u64 {
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

    pub(super) fn found(&self) -> Vec<Wrong> {
        self.account.tally.wrong.keys().copied().collect()
    }

    #[track_caller]
    pub(super) fn finds(&self, wrong: Wrong) {
        assert!(self.found().contains(&wrong), "{:?}", self.account.tally);
    }

    #[track_caller]
    pub(super) fn finds_only(&self, wrong: Wrong) {
        assert_eq!(self.found(), [wrong], "{:?}", self.account.tally.texts);
    }

    #[track_caller]
    pub(super) fn finds_nothing(&self) {
        assert_eq!(self.found(), [], "{:?}", self.account.tally.texts);
    }
}

pub(super) fn row(id: JobId, me: u64, parent: Option<(JobId, u64)>, fate: &Fate, place: usize) -> StoredJob {
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
        story: Some(StoredStory { lines, errors: stand.errors }),
    }
}

pub(super) fn any(_: &Fate, _: usize) -> bool {
    true
}

/// The next commit makes new jobs.
pub(super) fn kicks(fate: &Fate, place: usize) -> bool {
    fate.stands[place + 1].kicked > fate.stands[place].kicked
}

/// It has two steps to make at least.
pub(super) fn long(fate: &Fate, place: usize) -> bool {
    place + 2 < fate.stands.len()
}
