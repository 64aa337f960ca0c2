//! SIGKILL at random moments: nothing is lost, nothing is doubled, and what was committed never runs again.
use std::{
    collections::HashMap,
    fs,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use jorb::{
    JobId, Status,
    store::{Access, Seeding, Store},
};
use jorb_tests::{
    spy::Spy,
    stores::Kind,
    walk::{Plan, Walk, check_fates, mix, walker},
};

const SEEDS: u64 = 1_000;

/// What the parent knows of a job: its own number, its name, and how far it was when the last child died.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    me: u64,
    parent: Option<(JobId, u64)>,
    step: u64,
    attempt: u32,
    status: Status,
}

#[derive(Default)]
struct Parent {
    known: HashMap<JobId, Known>,
    names: HashMap<(JobId, u64), u64>,
    /// Bytes of the log that were read.
    read: usize,
    steps: usize,
}

fn spawn(kind: Kind, folder: &Path, plan: Plan) -> Child {
    let plan = serde_json::to_string(&plan).unwrap();
    Command::new(env!("CARGO_BIN_EXE_crash_child"))
        .args([&format!("{kind:?}"), folder.to_str().unwrap(), &plan, &SEEDS.to_string()])
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

fn wait(child: &mut Child) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("a child hangs");
        }
        sleep(Duration::from_millis(1));
    }
}

impl Known {
    /// Nobody has to redrive it.
    fn goes_on(&self) -> bool {
        matches!(self.status, Status::Ready | Status::Joining)
    }
}

impl Parent {
    /// A child is dead.
    fn look(&mut self, kind: Kind, folder: &Path) {
        self.check_steps(folder);
        let spy = Spy::<Walk>::watched(kind.at(folder), ());
        let mut store = spy.clone();
        let Ok(header) = store.open(Access::Read) else {
            assert!(self.known.is_empty(), "{kind:?}: the run is gone");
            return; // killed before there was one
        };
        if header.seeding != Seeding::Done {
            assert!(self.known.is_empty(), "{kind:?}: the seeds are gone");
            return;
        }
        let jobs = spy.jobs();
        for state in jorb::StateId::<Walk>::all() {
            for status in Status::ALL {
                let scan = jobs.iter().filter(|r| r.job.state == state && r.job.status == status).count();
                assert_eq!(header.counts.get(state, status), scan as u64, "{kind:?}: {state:?} {status}");
            }
        }
        if kind == Kind::Sqlite {
            check_integrity(folder);
        }
        let mut found = 0;
        for record in &jobs {
            let job = &record.job;
            let me = walker(record).me;
            let now =
                Known { me, parent: job.parent, step: job.step, attempt: job.attempt, status: job.status };
            if let Some(before) = self.known.insert(job.id, now.clone()) {
                found += 1;
                assert_eq!((before.me, before.parent), (now.me, now.parent), "a number was used twice");
                let on = (now.step, now.attempt) >= (before.step, before.attempt);
                assert!(on && (before.goes_on() || now == before), "{before:?} went back to {now:?}");
            }
            if let Some(name) = job.parent {
                assert_eq!(*self.names.entry(name).or_insert(me), me, "the name {name:?} was used twice");
            }
        }
        assert_eq!(self.known.len(), jobs.len(), "jobs are gone; {found} are left");
    }

    /// What ran since the last look was not committed then.
    fn check_steps(&mut self, folder: &Path) {
        let log = fs::read(folder.join("steps")).unwrap_or_default();
        let new = std::str::from_utf8(&log[self.read..]).unwrap();
        self.read = log.len();
        for line in new.lines() {
            let words: Vec<_> = line.split(' ').collect();
            let [job, step, attempt, state] = words[..] else { panic!("{line}") };
            self.steps += 1;
            let Some(known) = self.known.get(&JobId(job.parse().unwrap())) else { continue };
            let ran: (u64, u32) = (step.parse().unwrap(), attempt.parse().unwrap());
            assert!(ran >= (known.step, known.attempt), "{line} in {state}: ran again, though {known:?}");
            assert!(known.goes_on(), "{line}: ran, though {known:?}");
        }
    }
}

fn check_integrity(folder: &Path) {
    let db = rusqlite::Connection::open(folder.join("run.jorb")).unwrap();
    let says: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(says, "ok");
}

fn kills(kind: Kind, most: u32) {
    let (mut kills, mut dice, mut runs) = (0, mix(most.into()), 0);
    while kills < most {
        let folder = tempfile::tempdir().unwrap();
        let plan =
            Plan { seed: dice, depth: 1, steps: 3, delay: 100, slow: runs % 2 == 1, joins: runs % 4 < 3 };
        let mut parent = Parent::default();
        runs += 1;
        loop {
            let mut child = spawn(kind, folder.path(), plan);
            dice = mix(dice);
            if kills < most {
                // Often at the start, where the run is opened; at times after a while.
                sleep(Duration::from_micros(dice % [20_000, 60_000, 250_000][(dice >> 32) as usize % 3]));
                child.kill().unwrap();
            }
            let status = wait(&mut child);
            parent.look(kind, folder.path());
            if status.success() {
                break;
            }
            assert_eq!(status.code(), None, "{kind:?}: a child failed");
            kills += 1;
        }
        let spy = Spy::<Walk>::watched(kind.at(folder.path()), ());
        check_fates(&spy.jobs(), plan, SEEDS);
        let needed: u64 = spy.jobs().iter().map(|r| r.job.step + r.job.errors).sum();
        eprintln!("{kind:?}: {} jobs, {} steps, {needed} needed", parent.known.len(), parent.steps);
    }
    eprintln!("{kind:?}: {kills} kills in {runs} runs");
}

#[test]
fn kill_sqlite() {
    kills(Kind::Sqlite, 120);
}

#[test]
fn kill_json() {
    kills(Kind::Json, 120);
}
