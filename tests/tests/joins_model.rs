//! What a store makes of joins, beside a model that looks at all jobs each time: random trees, in which children end, park, are
//! redriven and are kept from being made, and parents join, join again, and are moved elsewhere; many things in one batch.
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io::Cursor,
    sync::Arc,
    time::Duration,
};

use jorb::{
    Form, JobId, Join, JsonStore, MemoryStore, Run, Snapshot, SqliteStore, StateId, Status, Timestamp,
    store::{Batch, Change, Lane, New, Numbers, Record, Seeding, Store},
};
use jorb_tests::{
    bench::{Bench, Kind, Random, T0, data, job, overall, pages, take},
    flow::Flow,
    spy::Spy,
    stores,
};

const KINDS: [Kind; 3] = [
    Kind { make: |_| Box::new(MemoryStore::new()), lasts: false },
    Kind { make: |folder| Box::new(SqliteStore::at(folder.join("run.jorb"))), lasts: true },
    Kind { make: |folder| Box::new(JsonStore::at(folder.join("run.json"))), lasts: true },
];

struct World {
    form: Form,
    next: Numbers,
    jobs: BTreeMap<JobId, Record<Flow>>,
    keys: HashSet<(usize, String)>,
    refused: Vec<JobId>,
}

impl World {
    fn new(form: Form) -> Self {
        let (jobs, keys) = (BTreeMap::new(), HashSet::new());
        World { form, next: Numbers::FIRST, jobs, keys, refused: Vec::new() }
    }

    /// Some things that happen at once.
    fn batch(&mut self, random: &mut Random) -> Batch<Flow> {
        let mut changes = Vec::new();
        for _ in 0..if self.jobs.is_empty() { 0 } else { random.below(6) } {
            let of = random.below(self.jobs.len() as u64);
            let id = *self.jobs.keys().nth(usize::try_from(of).unwrap()).unwrap();
            changes.push(self.change(id, random));
        }
        let mut added = Vec::new();
        if random.once_in(8) || self.jobs.is_empty() {
            let new = self.new_job(None, false, random);
            self.make(&new);
            added.push(new);
        }
        Batch { changes, added, ..Batch::new(self.next) }
    }

    fn change(&mut self, id: JobId, random: &mut Random) -> Change<Flow> {
        let before = self.jobs[&id].standing();
        let mut now = self.jobs[&id].clone();
        let mut kicks = Vec::new();
        now.seq = take(&mut self.next.seq);
        now.placed = true;
        now.key = key(random);
        let job = &mut now.job;
        job.ready_at = Timestamp(T0 + now.seq / 3);
        match (job.status, random.below(10)) {
            // Somebody does not want it any more, or wants it to wait again.
            (Status::Ready | Status::Parked | Status::Joining, 9) => job.status = Status::Cancelled,
            (Status::Cancelled, 0..5) if job.join.is_some() => job.status = Status::Joining,
            (Status::Ready, 0..2) => job.status = Status::Parked,
            (Status::Ready, 2) => job.attempt += 1,
            (Status::Ready, n) => {
                let ends = n >= 6;
                self.go(job, &if ends { Flow::Done } else { Flow::Build { tree: "t".into() } });
                let first = job.kicked;
                job.kicked += if ends { 0 } else { random.below(4) };
                kicks = (first..job.kicked).map(|n| self.new_job(Some((id, n)), true, random)).collect();
                if random.once_in(if ends { 4 } else { 2 }) {
                    job.status = Status::Joining;
                    job.join = Some(Arc::new(Join::new(random.once_in(2))));
                    job.delay = Duration::from_millis(random.below(2) * 50);
                }
            }
            // An operator comes by.
            (Status::Joining, 0) => self.go(job, &Flow::BuildFailed { code: 7 }),
            _ => self.go(job, &Flow::Edit),
        }
        self.jobs.insert(id, now.clone());
        for kick in &kicks {
            self.make(kick);
        }
        Change { before, now: Box::new(now), line: None, error: None, kicks }
    }

    fn go(&self, job: &mut Snapshot<Flow>, to: &Flow) {
        job.state = StateId::of(to);
        job.data = data(self.form, to);
        job.status = if job.state.spec().terminal() { Status::Ended } else { Status::Ready };
        (job.step, job.attempt, job.delay, job.join) = (job.step + 1, 1, Duration::ZERO, None);
    }

    fn new_job(&mut self, parent: Option<(JobId, u64)>, kicked: bool, random: &mut Random) -> New<Flow> {
        let ended = kicked && random.once_in(4);
        let state = if ended { Flow::Done } else { Flow::Edit };
        let id = JobId(take(&mut self.next.job));
        let job = Snapshot {
            priority: i8::from(random.once_in(4)),
            status: if ended { Status::Ended } else { Status::Ready },
            deadline: random.once_in(3).then(|| Timestamp(T0 + random.below(200))),
            ..job(self.form, id, parent, &state)
        };
        let seq = take(&mut self.next.seq);
        let once = random.once_in(3).then(|| format!("key {}", random.below(30)));
        let key = key(random);
        New { record: Record { job, seq, placed: true, key, last_line: None, last_error: None }, once }
    }

    fn make(&mut self, New { record, once }: &New<Flow>) {
        let key = once.clone().map(|key| (record.job.state.index(), key));
        if key.is_some_and(|key| !self.keys.insert(key)) {
            self.refused.push(record.job.id);
        } else {
            self.jobs.insert(record.job.id, record.clone());
        }
    }

    /// Looks at all jobs until nobody waits for nothing. Gives those who did.
    fn joins(&mut self) -> BTreeSet<JobId> {
        let mut fired = BTreeSet::new();
        loop {
            let joining = self.jobs.values().filter(|record| record.job.status == Status::Joining);
            let joins: Vec<_> = joining.map(|record| (record.job.id, self.join(&record.job))).collect();
            let before = fired.len();
            for (id, join) in joins {
                let over = join.left == 0;
                let job = &mut self.jobs.get_mut(&id).unwrap().job;
                job.join = Some(Arc::new(join));
                if over {
                    job.status = if job.state.spec().terminal() { Status::Ended } else { Status::Ready };
                    fired.insert(id);
                }
            }
            if before == fired.len() {
                return fired;
            }
        }
    }

    fn join(&self, parent: &Snapshot<Flow>) -> Join {
        let mut join = Join::new(parent.join.as_ref().unwrap().or_parked);
        let children = self.jobs.values().map(|record| &record.job);
        for child in children.filter(|job| job.parent.is_some_and(|(of, _)| of == parent.id)) {
            let name = child.state.name().into();
            match child.status {
                Status::Ended => *join.ended.entry(name).or_default() += 1,
                Status::Cancelled => *join.cancelled.entry(name).or_default() += 1,
                Status::Parked if join.or_parked => *join.parked.entry(name).or_default() += 1,
                _ => join.left += 1,
            }
        }
        join
    }

    /// The store says the same of all jobs, and of their number.
    fn check(&self, bench: &mut Bench, what: &str) {
        let found = pages(bench.store());
        let tell = |record: &Record<Flow>| {
            let Snapshot { id, state, status, ready_at, delay, join, .. } = &record.job;
            let Record { seq, placed, key, .. } = record;
            format!("{id} {state:?} {status} {ready_at} {delay:?} {seq} {placed} {key:?} {join:?}")
        };
        let found: Vec<_> = found.iter().map(tell).collect();
        assert_eq!(found, self.jobs.values().map(tell).collect::<Vec<_>>(), "{what}");
        let ready = self.jobs.values().filter(|record| record.job.status == Status::Ready);
        let ready: BTreeSet<_> = ready.map(|r| (r.job.state.index(), r.lane(), r.job.id)).collect();
        assert_eq!(in_lanes(bench.store()), ready, "{what}");
    }
}

fn key(random: &mut Random) -> Option<Arc<str>> {
    let key = *random.one_of(&[None, Some("a"), Some("b")]);
    key.map(Into::into)
}

/// Ready jobs, by state and lane.
fn in_lanes(store: &mut dyn Store<Flow>) -> BTreeSet<(usize, Lane, JobId)> {
    let mut found = BTreeSet::new();
    for state in StateId::all() {
        for lane in store.lanes(state, Status::Ready, None, usize::MAX).unwrap() {
            let line = store.line(state, Status::Ready, &lane, None, usize::MAX).unwrap();
            found.extend(line.iter().map(|record| (state.index(), lane.clone(), record.job.id)));
        }
    }
    found
}

/// The turn of a job whose children are done is one of this batch; the model takes it from the store.
fn take_turn(world: &mut World, fired: &Record<Flow>, batch: &Batch<Flow>, what: &str) {
    let ours = world.jobs.get_mut(&fired.job.id).unwrap();
    let change = batch.changes.iter().find(|change| change.now.seq == fired.seq);
    let change = change.unwrap_or_else(|| panic!("{what}: {} has the turn of nobody", fired.job.id));
    let terminal = ours.job.state.spec().terminal();
    let delay = if terminal { Duration::ZERO } else { ours.job.delay };
    let done_at = change.now.job.ready_at;
    let until = ours.job.deadline.map_or(done_at + delay, |deadline| deadline.max(done_at));
    assert_eq!(fired.job.ready_at, until.min(done_at + delay), "{what}");
    ours.job.delay = delay.min(until.since(done_at));
    (ours.seq, ours.job.ready_at, ours.placed) = (fired.seq, fired.job.ready_at, true);
}

fn check(kind: Kind, seed: u64) -> usize {
    let mut random = Random::new(seed);
    let mut bench = Bench::new(kind);
    let mut world = World::new(bench.store().form());
    let all = overall(world.form, "all");
    let seeded = Batch { overall: Some(all), seeding: Some(Seeding::Done), ..Batch::new(world.next) };
    bench.commit(&seeded);
    let mut joined = 0;
    for round in 0..60 {
        let what = format!("seed {seed}, round {round}");
        let batch = world.batch(&mut random);
        let committed = bench.store().commit(&batch).unwrap();
        assert_eq!(committed.refused, std::mem::take(&mut world.refused), "{what}");
        let fired: BTreeSet<_> = committed.fired.iter().map(|record| record.job.id).collect();
        assert_eq!(fired, world.joins(), "{what}");
        assert_eq!(fired.len(), committed.fired.len(), "{what}: once each");
        joined += fired.len();
        for record in &committed.fired {
            take_turn(&mut world, record, &batch, &what);
        }
        world.check(&mut bench, &what);
        match random.below(12) {
            0 => bench.reopen(),
            1 => bench.crash(),
            _ => continue,
        }
        world.check(&mut bench, &what);
        for state in StateId::<Flow>::all() {
            for status in Status::ALL {
                let jobs = world.jobs.values().filter(|r| r.job.state == state && r.job.status == status);
                assert_eq!(bench.header.counts.get(state, status), jobs.count() as u64, "{what}");
            }
        }
    }
    joined
}

#[test]
fn every_store_counts_as_a_look_at_all_jobs_does() {
    for kind in KINDS {
        let joined: usize = (0..if kind.lasts { 30 } else { 200 }).map(|seed| check(kind, seed)).sum();
        assert!(joined > 200, "{joined} joins are few");
    }
}

/// A run with many joins, out of one store and into another one, in the middle of it.
#[test]
fn an_import_counts_the_same() {
    for (seed, to) in (0..12).zip(stores::Kind::ALL.into_iter().cycle()) {
        let mut random = Random::new(seed);
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut store = Spy::watched(stores::Kind::Sqlite.at(folder.path()), ());
        let mut run = Run::<Flow>::open(store.clone()).unwrap();
        run.seed("all".into(), |_| Ok(())).unwrap();
        let mut world = World::new(Form::Json);
        for _ in 0..60 {
            let batch = world.batch(&mut random);
            store.commit(&batch).unwrap();
            world.joins();
        }
        let mut text = Vec::new();
        drop(run);
        Run::<Flow>::open(store.clone()).unwrap().export(&mut text).unwrap();
        let there = Spy::watched(to.at(other.path()), ());
        Run::<Flow>::import(there.clone(), Cursor::new(text)).unwrap();
        let tell = |record: &Record<Flow>| (record.job.id, record.job.status, record.job.join.clone());
        let expected: Vec<_> = world.jobs.values().map(tell).collect();
        assert_eq!(there.jobs().iter().map(tell).collect::<Vec<_>>(), expected, "seed {seed} to {to:?}");
    }
}
