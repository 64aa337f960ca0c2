//! A store on the bench: what every store must do, whatever it is made of.
use std::{
    fmt::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jorb::{
    Form, JobId, Saved, Snapshot, StateId, Status, Timestamp, Workflow,
    store::{Access, Batch, BoxStore, Header, Record, Seeding, Store},
};
use tempfile::TempDir;

use crate::flow::{Flow, Note};

pub use model::{Model, T0, after_seeds, take};
pub use random::Random;

mod model;
mod naive;
pub mod random;

/// A kind of store.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Makes one in a folder.
    pub make: fn(&Path) -> BoxStore<Flow>,
    /// It outlives the process.
    pub lasts: bool,
}

/// An open store.
pub struct Bench {
    kind: Kind,
    folder: TempDir,
    store: Option<BoxStore<Flow>>,
    /// What it said when it was opened.
    pub header: Header<Flow>,
}

impl Bench {
    /// A new run.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = (kind.make)(folder.path());
        let header = store.open(Access::Drive).unwrap();
        Bench { kind, folder, store: Some(store), header }
    }

    /// The store.
    pub fn store(&mut self) -> &mut dyn Store<Flow> {
        &mut **self.store.as_mut().unwrap()
    }

    /// The folder with its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file in the folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Commits, and expects that nothing was refused.
    pub fn commit(&mut self, batch: &Batch<Flow>) {
        assert_eq!(self.store().commit(batch).unwrap().refused, []);
    }

    /// Closes it, and opens it again.
    pub fn reopen(&mut self) {
        self.store().close().unwrap();
        self.crash();
    }

    /// Drops it as it is, and opens it again; a store that does not last stays.
    pub fn crash(&mut self) {
        if self.kind.lasts {
            self.store = None;
            self.store = Some((self.kind.make)(self.folder.path()));
        }
        self.header = self.store().open(Access::Drive).unwrap();
    }

    /// All that can be seen of the run from outside.
    pub fn tell(&mut self) -> String {
        let header = self.header.clone();
        tell(self.store(), &header)
    }
}

/// A new job that waits in a state.
#[must_use]
pub fn job(form: Form, id: JobId, parent: Option<(JobId, u64)>, state: &Flow) -> Snapshot<Flow> {
    Snapshot {
        id,
        parent,
        step: 0,
        attempt: 1,
        began: None,
        errors: 0,
        kicked: 0,
        state: StateId::of(state),
        data: data(form, state),
        context: context(form, &Note { text: String::new(), n: id.0 }),
        priority: 0,
        status: Status::Ready,
        ready_at: Timestamp(T0),
        delay: Duration::ZERO,
        deadline: None,
        join: None,
    }
}

/// A context as a store wants it.
#[must_use]
pub fn context(form: Form, note: &Note) -> Saved<Note> {
    match form {
        Form::Json => Saved::Json(serde_json::to_string(note).unwrap().into()),
        Form::Value => Saved::Value(Arc::new(note.clone())),
    }
}

/// A state as a store wants it.
#[must_use]
pub fn data(form: Form, state: &Flow) -> Saved<Flow> {
    match form {
        Form::Json => {
            let text = state.clone().save().1.unwrap();
            text.map_or(Saved::Nothing, |text| Saved::Json(text.into()))
        }
        Form::Value => Saved::Value(Arc::new(state.clone())),
    }
}

/// The overall context as a store wants it.
#[must_use]
pub fn overall(form: Form, text: &str) -> Saved<String> {
    match form {
        Form::Json => Saved::Json(serde_json::to_string(text).unwrap().into()),
        Form::Value => Saved::Value(Arc::new(text.to_owned())),
    }
}

/// What a record says, the same for all stores.
#[must_use]
pub fn tell_record(record: &Record<Flow>) -> String {
    let Record { job, seq, placed, key, last_line, last_error } = record;
    let state = match &job.data {
        Saved::Value(state) => (**state).clone(),
        Saved::Json(text) => Flow::load(job.state.name(), Some(text)).unwrap().unwrap(),
        Saved::Nothing => Flow::load(job.state.name(), None).unwrap().unwrap(),
    };
    let note = match &job.context {
        Saved::Value(note) => (**note).clone(),
        Saved::Json(text) => serde_json::from_str(text).unwrap(),
        Saved::Nothing => panic!("a context is a struct"),
    };
    assert_eq!(state.name(), job.state.name());
    format!(
        "{} {:?} {state:?} {} step {} attempt {} since {:?} errors {} kicked {} {note:?} at {}+{:?} until {:?} seq {seq} \
         placed {placed} {key:?} {last_line:?} {last_error:?}",
        job.id,
        job.parent,
        job.status,
        job.step,
        job.attempt,
        job.began,
        job.errors,
        job.kicked,
        job.ready_at.0,
        job.delay,
        job.deadline
    )
}

/// Jobs page by page, in pages of three.
pub fn pages(store: &mut dyn Store<Flow>) -> Vec<Record<Flow>> {
    let mut jobs: Vec<Record<Flow>> = Vec::new();
    loop {
        let from = JobId(jobs.last().map_or(0, |last| last.job.id.0 + 1));
        let page = store.page(from, 3).unwrap();
        if page.is_empty() {
            return jobs;
        }
        assert!(page.len() <= 3);
        jobs.extend(page);
    }
}

/// A line, in pages of two.
pub fn line(store: &mut dyn Store<Flow>, state: StateId<Flow>, status: Status) -> Vec<Record<Flow>> {
    let mut jobs: Vec<Record<Flow>> = Vec::new();
    loop {
        let after = jobs.last().map(Record::turn);
        let page = store.line(state, status, &jorb::store::Lane::FIRST, after, 2).unwrap();
        if page.is_empty() {
            return jobs;
        }
        assert!(page.len() <= 2);
        jobs.extend(page);
    }
}

/// All that can be seen of a run from outside, but for its identity.
pub fn tell(store: &mut dyn Store<Flow>, header: &Header<Flow>) -> String {
    let mut out = String::new();
    let fresh = |n: &u64| *n > 0;
    let overall =
        header.overall.as_ref().filter(|_| header.seeding == Seeding::Done).map(|saved| match saved {
            Saved::Value(value) => format!("{value:?}"),
            Saved::Json(text) => text.to_string(),
            Saved::Nothing => String::new(),
        });
    let mut limiters: Vec<_> = header.limiters.iter().map(|(s, at)| (s.clone(), at.0)).collect();
    limiters.sort_unstable();
    let mut held: Vec<_> = header.held.iter().map(|s| s.name()).collect();
    held.sort_unstable();
    writeln!(out, "{overall:?} {:?} {:?} clean {}", header.seeding, header.next, header.clean).unwrap();
    writeln!(out, "held {held:?} {:?} limiters {limiters:?}", header.held_keys).unwrap();
    writeln!(out, "{:?}", header.counts).unwrap();
    if header.fresh.by_state.iter().any(fresh) {
        writeln!(out, "fresh from {} {:?}", header.fresh.next, header.fresh.by_state).unwrap();
    }
    for record in pages(store) {
        let id = record.job.id;
        writeln!(out, "{}", tell_record(&record)).unwrap();
        assert_eq!(tell_record(&store.job(id).unwrap().unwrap()), tell_record(&record));
        if let Some((parent, n)) = record.job.parent {
            assert_eq!(store.child(parent, n).unwrap(), Some(id));
        }
        if let Some(once) = store.once(id).unwrap() {
            writeln!(out, "  once {} {}", once.state.name(), once.key).unwrap();
        }
        let past = store.story(id).unwrap();
        for line in past.lines {
            let kicked = (line.first_child, line.children);
            writeln!(
                out,
                "  {} step {} attempt {} {} -> {} at {} {:?} {:?} {kicked:?}",
                line.id, line.step, line.attempt, line.from, line.to, line.at.0, line.waited, line.ran
            )
            .unwrap();
        }
        for error in past.errors {
            let jorb::store::Failure { id, state, step, attempt, at, error, .. } = error;
            writeln!(out, "  {id} {state} step {step} attempt {attempt} at {} {error}", at.0).unwrap();
        }
    }
    for state in StateId::<Flow>::all() {
        for status in Status::ALL {
            let ids: Vec<_> = line(store, state, status).iter().map(|record| record.job.id.0).collect();
            writeln!(out, "{} {status}: {ids:?}", state.name()).unwrap();
        }
    }
    out
}
