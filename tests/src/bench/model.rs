//! A run that does what a store must do in the simplest way: by looking at all jobs each time.
use std::{collections::HashSet, time::Duration};

use jorb::{
    Form, JobId, Snapshot, StateId, Status, Timestamp,
    store::{
        Batch, Change, Counts, Failure, Fresh, Header, LimiterName, Line, New, Numbers, OnceKey, Record,
        Restored, Seeding, Story,
    },
};

use super::{Random, context, data, job, overall};
use crate::flow::{Flow, Note};

/// A time in 2026.
pub const T0: u64 = 1_767_225_600_000;

/// A run.
pub struct Model {
    /// In which form it hands over values.
    pub form: Form,
    /// What is known of it; counts are not kept.
    pub header: Header<Flow>,
    /// Its jobs, by id.
    pub jobs: Vec<Restored<Flow>>,
}

impl Model {
    /// Without jobs.
    #[must_use]
    pub fn new(form: Form, header: &Header<Flow>) -> Self {
        Model { form, header: header.clone(), jobs: Vec::new() }
    }

    /// The header as a store must give it.
    #[must_use]
    pub fn header(&self) -> Header<Flow> {
        let states = StateId::<Flow>::all().count();
        let mut counts = Counts::none(states);
        let Fresh { next, end, .. } = self.header.fresh;
        let mut by_state = vec![0; states];
        for Record { job, placed, .. } in self.jobs.iter().map(|job| &job.record) {
            counts.add(job.state, job.status, 1);
            by_state[job.state.index()] += u64::from(!placed && (next..end).contains(&job.id.0));
        }
        Header { counts, fresh: Fresh { next, end, by_state }, ..self.header.clone() }
    }

    /// Jobs that are neither placed nor fresh.
    #[must_use]
    pub fn moving(&self) -> Vec<JobId> {
        let Fresh { next, end, .. } = self.header.fresh;
        let moves = |record: &&Record<Flow>| !record.placed && !(next..end).contains(&record.job.id.0);
        self.jobs.iter().map(|job| &job.record).filter(moves).map(|record| record.job.id).collect()
    }

    /// So many seeds, in two batches.
    pub fn seed(&mut self, jobs: u64, random: &mut Random) -> [(Batch<Flow>, Vec<JobId>); 2] {
        let mut first = Batch { seeding: Some(Seeding::Begun), ..Batch::new(self.header.next) };
        let mut refused = Vec::new();
        for _ in 0..jobs {
            let new = self.new_job(None, false, random);
            self.make(&new, &mut refused);
            self.header.fresh.end = new.record.job.id.0 + 1;
            first.added.push(new);
        }
        first.next = self.header.next;
        let saved = overall(self.form, "all of it");
        self.header.seeding = Seeding::Done;
        self.header.overall = Some(saved.clone());
        let done =
            Batch { seeding: Some(Seeding::Done), overall: Some(saved), ..Batch::new(self.header.next) };
        [(first, refused), (done, Vec::new())]
    }

    /// Something that an engine may do, and the new jobs that must be refused.
    pub fn step(&mut self, random: &mut Random) -> (Batch<Flow>, Vec<JobId>) {
        let mut batch = Batch::new(self.header.next);
        let mut refused = Vec::new();
        for _ in 0..random.below(4) {
            self.admit(&mut batch, random);
        }
        for _ in 0..random.below(5) {
            self.change(&mut batch, &mut refused, random);
        }
        if random.once_in(3) {
            self.cancel(&mut batch, random);
        }
        if random.once_in(4) {
            let new = self.new_job(None, true, random);
            self.make(&new, &mut refused);
            batch.added.push(new);
        }
        let states: Vec<StateId<Flow>> = StateId::all().collect();
        if random.once_in(5) {
            let held: Vec<_> = states.iter().copied().filter(|_| random.once_in(2)).collect();
            self.header.held.clone_from(&held);
            batch.held = Some(held);
            let keys = ["mill::Host[a]", "mill::Host[b]"].map(|key| (key.into(), batch.next.time));
            let keys = keys.into_iter().filter(|_| random.once_in(2)).collect();
            self.header.held_keys.clone_from(&keys);
            batch.held_keys = Some(keys);
        }
        if random.once_in(5) {
            let name = ["app::GitHub", random.one_of(&states).name()][usize::from(random.once_in(2))];
            let limiter: (LimiterName, Timestamp) = (name.into(), Timestamp(T0 + random.below(1000)));
            self.header.limiters.insert(limiter.0.clone(), limiter.1);
            batch.limiters.push(limiter);
        }
        if random.once_in(9) {
            let saved = overall(self.form, &format!("all {}", random.below(100)));
            self.header.overall = Some(saved.clone());
            batch.overall = Some(saved);
        }
        if random.once_in(5) {
            self.header.clean = random.once_in(2);
            batch.clean = Some(self.header.clean);
        }
        self.header.next.time = Timestamp(T0 + self.header.next.seq);
        batch.next = self.header.next;
        (batch, refused)
    }

    fn admit(&mut self, batch: &mut Batch<Flow>, random: &mut Random) {
        let Fresh { next, end, .. } = self.header.fresh;
        let fresh =
            |job: &&mut Restored<Flow>| !job.record.placed && (next..end).contains(&job.record.job.id.0);
        let Some(job) = self.jobs.iter_mut().find(fresh) else { return };
        let record = &mut job.record;
        self.header.fresh.next = record.job.id.0 + 1;
        batch.admitted.push((record.job.id, record.job.state));
        if random.once_in(3) {
            let before = record.standing();
            record.placed = true;
            batch.changes.push(Change {
                before,
                now: Box::new(record.clone()),
                line: None,
                error: None,
                kicks: Vec::new(),
            });
        }
    }

    fn change(&mut self, batch: &mut Batch<Flow>, refused: &mut Vec<JobId>, random: &mut Random) {
        let fresh = self.header.fresh.next..self.header.fresh.end;
        let known: Vec<usize> =
            (0..self.jobs.len()).filter(|i| !fresh.contains(&self.jobs[*i].record.job.id.0)).collect();
        if known.is_empty() {
            return;
        }
        let i = *random.one_of(&known);
        let before = self.jobs[i].record.standing();
        let (line, error, kicks) = if random.once_in(3) {
            (None, Some(self.fails(i, random)), Vec::new())
        } else {
            let (line, kicks) = self.moves(i, random);
            (Some(line), None, kicks)
        };
        let record = &mut self.jobs[i].record;
        record.seq = take(&mut self.header.next.seq);
        record.job.ready_at = Timestamp(T0 + random.below(10));
        record.placed = record.job.status != Status::Ready || random.once_in(2);
        let now = record.clone();
        for kick in &kicks {
            self.make(kick, refused);
        }
        batch.changes.push(Change { before, now: Box::new(now), line, error: error.map(Box::new), kicks });
    }

    /// Any job, also one that is fresh.
    fn cancel(&mut self, batch: &mut Batch<Flow>, random: &mut Random) {
        let i = usize::try_from(random.below(self.jobs.len().max(1) as u64)).expect("it is small");
        let Some(Restored { record, .. }) = self.jobs.get_mut(i) else { return };
        if matches!(record.job.status, Status::Ended | Status::Cancelled) {
            return;
        }
        let before = record.standing();
        record.job.status = Status::Cancelled;
        record.job.ready_at = Timestamp(T0 + random.below(10));
        record.job.delay = Duration::ZERO;
        record.seq = take(&mut self.header.next.seq);
        record.placed = true;
        let now = Box::new(record.clone());
        batch.changes.push(Change { before, now, line: None, error: None, kicks: Vec::new() });
    }

    fn fails(&mut self, i: usize, random: &mut Random) -> Failure {
        let Restored { record, story, .. } = &mut self.jobs[i];
        let id = take(&mut self.header.next.error);
        let job = &mut record.job;
        let error = Failure {
            id,
            previous: record.last_error.replace(id),
            state: job.state.name().into(),
            step: job.step,
            attempt: job.attempt,
            at: Timestamp(T0 + id),
            error: format!("error \"{id}\"\n"),
        };
        job.attempt += 1;
        job.began.get_or_insert(Timestamp(T0 + id));
        job.errors += 1;
        job.delay = Duration::from_millis(random.below(3) * 1500);
        if !job.state.spec().terminal() && random.once_in(3) {
            job.status = Status::Parked;
        }
        story.errors.push(error.clone());
        error
    }

    fn moves(&mut self, i: usize, random: &mut Random) -> (Line, Vec<New<Flow>>) {
        let to = state(random);
        let parent = self.jobs[i].record.job.id;
        let first = self.jobs[i].record.job.kicked;
        let children = if random.once_in(2) { 0 } else { random.below(4) };
        let first_child = JobId(self.header.next.job);
        let kicks: Vec<_> =
            (first..first + children).map(|n| self.new_job(Some((parent, n)), true, random)).collect();
        let form = self.form;
        let Restored { record, story, .. } = &mut self.jobs[i];
        let id = take(&mut self.header.next.line);
        let job = &mut record.job;
        let line = Line {
            id,
            previous: record.last_line.replace(id),
            step: job.step,
            attempt: job.attempt,
            from: job.state.name().into(),
            to: StateId::of(&to).name().into(),
            at: Timestamp(T0 + id),
            waited: Duration::from_millis(random.below(100)),
            ran: Duration::from_micros(random.below(5000)),
            first_child: (children > 0).then_some(first_child),
            children,
        };
        job.step += 1;
        (job.attempt, job.began) = (1, None);
        job.kicked += children;
        job.state = StateId::of(&to);
        job.data = data(form, &to);
        job.context = context(form, &Note { text: "a \"b\"\n: {".into(), n: id });
        job.status = if job.state.spec().terminal() { Status::Ended } else { Status::Ready };
        job.delay = Duration::ZERO;
        story.lines.push(line.clone());
        (line, kicks)
    }

    fn new_job(&mut self, parent: Option<(JobId, u64)>, late: bool, random: &mut Random) -> New<Flow> {
        let state = if random.once_in(2) { Flow::Edit } else { Flow::Build { tree: "t".into() } };
        let id = JobId(take(&mut self.header.next.job));
        let deadline = random.once_in(3).then(|| Timestamp(T0 + random.below(1000)));
        let job = Snapshot { deadline, ..job(self.form, id, parent, &state) };
        let seq = take(&mut self.header.next.seq);
        let placed = late && (parent.is_none() || random.once_in(2));
        let once = random.once_in(2).then(|| format!("key {}", random.below(40)));
        New { record: Record { job, seq, placed, key: None, last_line: None, last_error: None }, once }
    }

    fn make(&mut self, New { record, once }: &New<Flow>, refused: &mut Vec<JobId>) {
        let state = record.job.state;
        let once = once.clone().map(|key| OnceKey { state, key });
        let keys: HashSet<_> = self.jobs.iter().filter_map(|job| job.once.as_ref()).map(key_of).collect();
        if once.as_ref().is_some_and(|once| keys.contains(&key_of(once))) {
            refused.push(record.job.id);
            return;
        }
        let story = Story { lines: Vec::new(), errors: Vec::new(), dropped: Vec::new() };
        self.jobs.push(Restored { record: record.clone(), story, once });
    }
}

fn key_of(once: &OnceKey<Flow>) -> (usize, &str) {
    (once.state.index(), &once.key)
}

fn state(random: &mut Random) -> Flow {
    match random.below(5) {
        0 => Flow::Done,
        1 => Flow::BuildFailed { code: 7 },
        2 => Flow::Build { tree: "other".into() },
        _ => Flow::Edit,
    }
}

/// The next number.
pub fn take(next: &mut u64) -> u64 {
    let n = *next;
    *next += 1;
    n
}

/// The numbers of a run with so many seeds.
#[must_use]
pub fn after_seeds(jobs: u64) -> Numbers {
    Numbers { job: jobs, seq: jobs + 1, ..Numbers::FIRST }
}
