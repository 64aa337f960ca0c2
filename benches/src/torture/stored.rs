//! What is in the file of a run that nobody uses.
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use jorb::{
    Error, JobId, Saved, SqliteStore, StateId, Status,
    store::{Access, Header, Lane, Record, Seeding, Store, Story},
};

use super::walk::{Position, Walk, Walker};

/// All that the account wants to know of a run file.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    /// All seeds are in.
    pub(super) seeded: bool,
    /// The jobs, by number.
    pub(super) jobs: Vec<StoredJob>,
    /// What does not fit together.
    pub(super) broken: Vec<String>,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredJob {
    /// Its number in the run.
    pub(super) id: JobId,
    /// Its own number.
    pub(super) me: u64,
    /// Whose kick it is, and which.
    pub(super) parent: Option<(JobId, u64)>,
    /// How far it is.
    pub(super) at: Position,
    /// The state's name.
    pub(super) state: &'static str,
    /// How it stands.
    pub(super) status: Status,
    /// Errors so far.
    pub(super) errors: u64,
    /// Kicks so far.
    pub(super) kicked: u64,
    /// Bytes that it has with it.
    pub(super) load: usize,
    /// The state's fields.
    pub(super) data: Option<String>,
    /// Only if it was asked for.
    pub(super) story: Option<StoredStory>,
}

/// A history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredStory {
    /// Attempt, from and to of each move.
    pub(super) lines: Vec<(u32, String, String)>,
    /// How many errors are told.
    pub(super) errors: u64,
}

/// Reads the run at `file` by way of a copy at `copy`: opening it would change it. Nothing when there is no run yet.
pub(super) fn read(
    file: &Path,
    copy: &Path,
    with_story: impl Fn(JobId) -> bool,
) -> Result<Option<Stored>, String> {
    if !copy_run(file, copy).map_err(|e| format!("{}: cannot copy it: {e}", file.display()))? {
        return Ok(None);
    }
    // This one may write, and so undoes a transaction that was cut.
    let mut broken = integrity(copy);
    let mut store = SqliteStore::at(copy);
    let header: Header<Walk> = match store.open(Access::Read) {
        Ok(header) => header,
        Err(Error::NoRun { .. }) => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    if header.seeding != Seeding::Done {
        return Ok(Some(Stored { broken, ..Stored::default() }));
    }
    let all = (|| {
        let records = Store::<Walk>::page(&mut store, JobId(0), usize::MAX)?;
        books(&mut store, &header, &records, &mut broken)?;
        let mut story = |id| Store::<Walk>::story(&mut store, id);
        let stories = |record: &Record<Walk>| {
            let id = record.job.id;
            with_story(id).then(|| story(id)).transpose()
        };
        let stories: Vec<_> = records.iter().map(stories).collect::<Result<_, Error>>()?;
        Ok::<_, Error>((records, stories))
    })();
    let (records, stories) = all.map_err(|e| e.to_string())?;
    let jobs =
        records.iter().zip(stories).map(|(record, story)| job(record, story)).collect::<Result<_, _>>()?;
    Ok(Some(Stored { seeded: true, jobs, broken }))
}

/// The files of a run that outlive a process, and of which a copy is one too.
pub(super) fn files(run: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-journal"].map(|end| beside(run, end))
}

/// `run` with `end` behind its name.
pub(super) fn beside(run: &Path, end: &str) -> PathBuf {
    let mut name = run.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Makes `copy` as `run` is. False when there is none.
pub(super) fn copy_run(run: &Path, copy: &Path) -> io::Result<bool> {
    let mut found = false;
    let _ = fs::remove_file(beside(copy, "-shm"));
    for (from, to) in files(run).iter().zip(files(copy)) {
        match fs::copy(from, &to) {
            Ok(_) => found |= from == run,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                if to.exists() {
                    fs::remove_file(to)?;
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

fn integrity(copy: &Path) -> Vec<String> {
    let ask = || {
        let db = rusqlite::Connection::open(copy)?;
        let mut check = db.prepare("PRAGMA integrity_check")?;
        check.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()
    };
    match ask() {
        Ok(says) if says == ["ok"] => Vec::new(),
        Ok(says) => says,
        Err(e) => vec![format!("integrity check: {e}")],
    }
}

/// Counts and side tables say the same as the rows.
fn books(
    store: &mut SqliteStore,
    header: &Header<Walk>,
    records: &[Record<Walk>],
    broken: &mut Vec<String>,
) -> Result<(), Error> {
    let mut expect = |what: &str, is: u64, should: u64| {
        if is != should {
            broken.push(format!("{what}: {is} are told, {should} are there"));
        }
    };
    for state in StateId::<Walk>::all() {
        for status in Status::ALL {
            let of = |record: &&Record<Walk>| record.job.state == state && record.job.status == status;
            let there = records.iter().filter(of).count() as u64;
            expect(&format!("{status} in {state:?}"), header.counts.get(state, status), there);
            let placed: BTreeSet<JobId> =
                records.iter().filter(of).filter(|r| r.placed).map(|r| r.job.id).collect();
            let line = store.line(state, status, &Lane::FIRST, None, usize::MAX)?;
            let line: BTreeSet<JobId> = line.iter().map(|record| record.job.id).collect();
            expect(&format!("{status}, placed in {state:?}"), line.len() as u64, placed.len() as u64);
            expect("placed ones that differ", 0, line.symmetric_difference(&placed).count() as u64);
        }
    }
    let fresh = header.fresh.next..header.fresh.end;
    let of = |r: &&Record<Walk>| r.job.status == Status::Ready && !r.placed;
    let (still, moving): (Vec<_>, Vec<_>) =
        records.iter().filter(of).partition(|r| fresh.contains(&r.job.id.0));
    expect("fresh", header.fresh.by_state.iter().sum(), still.len() as u64);
    let told: BTreeSet<JobId> = Store::<Walk>::moving(store)?.iter().map(|record| record.job.id).collect();
    let there: BTreeSet<JobId> = moving.iter().map(|record| record.job.id).collect();
    expect("moving", told.len() as u64, there.len() as u64);
    expect("moving ones that differ", 0, told.symmetric_difference(&there).count() as u64);
    let after = |is: u64, last: Option<u64>| u64::from(last.is_some_and(|last| is <= last));
    expect(
        "numbers of jobs to be given out again",
        after(header.next.job, records.last().map(|r| r.job.id.0)),
        0,
    );
    expect(
        "commit numbers to be given out again",
        after(header.next.seq, records.iter().map(|r| r.seq).max()),
        0,
    );
    let lines = records.iter().filter_map(|r| r.last_line).max();
    expect("history numbers to be given out again", after(header.next.line, lines), 0);
    let errors = records.iter().filter_map(|r| r.last_error).max();
    expect("error numbers to be given out again", after(header.next.error, errors), 0);
    Ok(())
}

fn job(record: &Record<Walk>, story: Option<Story>) -> Result<StoredJob, String> {
    let job = &record.job;
    let walker: Walker = match &job.context {
        Saved::Json(text) => {
            serde_json::from_str(text).map_err(|e| format!("job {}: its context: {e}", job.id))?
        }
        Saved::Value(walker) => walker.as_ref().clone(),
        Saved::Nothing => return Err(format!("job {} has no context", job.id)),
    };
    let data = match &job.data {
        Saved::Json(text) => Some(text.to_string()),
        Saved::Value(_) | Saved::Nothing => None,
    };
    let told = |story: Story| {
        let line = |line: &jorb::store::Line| (line.attempt, line.from.to_string(), line.to.to_string());
        StoredStory { lines: story.lines.iter().map(line).collect(), errors: story.errors.len() as u64 }
    };
    Ok(StoredJob {
        id: job.id,
        me: walker.me,
        parent: job.parent,
        at: Position { step: job.step, attempt: job.attempt, tries: walker.tries },
        state: job.state.name(),
        status: job.status,
        errors: job.errors,
        kicked: job.kicked,
        load: walker.load.len(),
        data,
        story: story.map(told),
    })
}
