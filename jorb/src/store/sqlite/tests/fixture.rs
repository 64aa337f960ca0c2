//! A small workflow, and what is needed to write rows of it.
use std::{path::PathBuf, time::Duration};

use rusqlite::Connection;
use tempfile::TempDir;

use crate::{
    Codec, Cx, JobId, Saved, Snapshot, StateId, StateSpec, Status, Task, Timestamp, Unreadable, Unwritable,
    Workflow,
    store::{Access, Batch, Change, Header, Line, New, Numbers, Record, SqliteStore, Standing, Store},
};

const fn spec(name: &'static str, aliases: &'static [&'static str]) -> StateSpec {
    StateSpec {
        name,
        aliases,
        policy: None,
        limits: &[],
        fields: false,
        initial: true,
        next: &[],
        kick: &[],
        on_failure: None,
    }
}

/// A workflow with a text for a job context.
macro_rules! workflow {
    ($ty:ident = $name:literal: $($state:ident $aliases:expr),+) => {
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub(super) enum $ty { $($state),+ }

        impl Workflow for $ty {
            type App = ();
            type Overall = String;
            type Job = String;
            const NAME: &'static str = $name;
            const STATES: &'static [StateSpec] = &[$(spec(stringify!($state), &$aliases)),+];
            const CODEC: Codec<Self> =
                crate::__private::codec(crate::__private::context(), crate::__private::context());

            fn index(&self) -> usize {
                *self as usize
            }
            fn save(self) -> (Self, Result<Option<String>, Unwritable>) {
                (self, Ok(None))
            }
            fn load(state: &str, _: Option<&str>) -> Option<Result<Self, Unreadable>> {
                [$($ty::$state),+].into_iter().find(|s| s.name() == state).map(Ok)
            }
            fn dispatch(self, _: &mut Cx<Self>) -> Option<Task<'_, Self>> {
                None
            }
        }
    };
}

workflow!(Flow = "flow": Fetch [], Parse [], Done []);
// `Flow`, later: `Fetch` and `Parse` have become one state.
workflow!(Later = "flow": Get ["Fetch", "Parse"], Done [], New []);
workflow!(Fewer = "flow": Done [], Parsed []);
workflow!(Other = "other": Fetch [], Parse [], Done []);

pub(super) const FETCH: usize = 0;
pub(super) const PARSE: usize = 1;
pub(super) const DONE: usize = 2;

/// A folder with a run in it, opened.
pub(super) struct Bench {
    pub(super) folder: TempDir,
    pub(super) store: SqliteStore,
    pub(super) next: Numbers,
}

impl Bench {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::at(folder.path().join("run.jorb"));
        let header: Header<Flow> = store.open(Access::Drive).unwrap();
        Bench { folder, store, next: header.next }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("run.jorb")
    }

    /// Not the store's own connection.
    pub(super) fn look(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    pub(super) fn number(&self, sql: &str) -> u64 {
        self.look().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
    }

    pub(super) fn batch(&self) -> Batch<Flow> {
        Batch::new(self.next)
    }

    pub(super) fn commit(&mut self, mut batch: Batch<Flow>) -> Vec<JobId> {
        batch.next = self.next;
        Store::<Flow>::commit(&mut self.store, &batch).unwrap().refused
    }

    /// The next job, in a state, to be committed.
    pub(super) fn new_job(&mut self, state: usize) -> New<Flow> {
        let id = JobId(self.next.job);
        let seq = self.next.seq;
        self.next.job += 1;
        self.next.seq += 1;
        let job = Snapshot {
            id,
            parent: None,
            step: 0,
            attempt: 1,
            began: (id.0 % 2 == 1).then_some(Timestamp(id.0)),
            errors: 0,
            kicked: 0,
            state: StateId::at(state),
            data: Saved::Nothing,
            context: Saved::Json(format!("\"context {id}\"").into()),
            priority: 0,
            status: Status::Ready,
            ready_at: Timestamp(1_000 + id.0),
            delay: Duration::ZERO,
            deadline: None,
            join: None,
        };
        let record = Record { job, seq, placed: false, key: None, last_line: None, last_error: None };
        New { record, once: None }
    }

    /// A step of a job that leads to a state, and to a status there; it stands still unless it is ready.
    pub(super) fn step(&mut self, before: &Record<Flow>, state: usize, status: Status) -> Change<Flow> {
        let mut now = before.clone();
        let line = Line {
            id: self.next.line,
            previous: before.last_line,
            step: before.job.step,
            attempt: 1,
            from: before.job.state.name().into(),
            to: StateId::<Flow>::at(state).name().into(),
            at: Timestamp(self.next.seq),
            waited: Duration::from_millis(1),
            ran: Duration::from_micros(2),
            first_child: None,
            children: 0,
        };
        self.next.line += 1;
        now.seq = self.next.seq;
        self.next.seq += 1;
        now.last_line = Some(line.id);
        now.job.step += 1;
        now.job.state = StateId::at(state);
        now.job.status = status;
        now.placed = status != Status::Ready;
        Change {
            before: before.standing(),
            now: Box::new(now),
            line: Some(line),
            error: None,
            kicks: Vec::new(),
        }
    }

    pub(super) fn job(&mut self, id: u64) -> Option<Record<Flow>> {
        self.store.job(JobId(id)).unwrap()
    }
}

/// All that a record says.
pub(super) fn text<W: Workflow>(record: &Record<W>) -> String {
    let Record { job, seq, placed, key, last_line, last_error } = record;
    let Standing { state, status, turn, .. } = record.standing();
    format!(
        "{:?} {:?} {} {} {:?} {} {} {state:?} {:?} {:?} {status} {turn:?} {:?} {seq} {placed} {key:?} {} {last_line:?} {last_error:?}",
        job.id,
        job.parent,
        job.step,
        job.attempt,
        job.began,
        job.errors,
        job.kicked,
        job.data,
        job.context,
        job.delay,
        job.priority
    )
}
