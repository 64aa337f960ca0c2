//! The document: one run, for people to read and edit.
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use super::{commit::Commit, layout::lay_out};
use crate::{
    Error, JobId, StateId, Status, Timestamp, Unwritable, Workflow,
    store::{
        Fresh, Header, Seeding, StateName,
        entry::{Entry, Head, VERSION},
        settle::{Settle, kicks_are_counted, twice, unknown},
        table::{Row, Table},
    },
};

/// What a document says.
pub(super) type Document = Head<Vec<Entry>>;

/// What makes a document of bytes, or says why they are none.
pub(super) fn parse<W: Workflow>(path: &Path, bytes: &[u8]) -> Result<Document, Error> {
    #[derive(Deserialize)]
    struct Probe {
        jorb: Option<Value>,
        workflow: Option<String>,
    }
    let not_a_run = |reason: String| Error::NotARun { path: path.to_owned(), reason };
    let damaged = |e: serde_json::Error| Error::Damaged { path: path.to_owned(), reason: e.to_string() };
    if bytes.is_empty() {
        return Err(not_a_run("it is empty".into()));
    }
    let probe: Probe = serde_json::from_slice(bytes).map_err(|e| match e.is_data() {
        true => not_a_run(format!("it is JSON, but {e}")),
        // What begins as one was one.
        false if memchr::memmem::find(&bytes[..bytes.len().min(100)], b"\"jorb\"").is_some() => damaged(e),
        false => not_a_run(format!("it is not JSON: {e}")),
    })?;
    let Some(version) = probe.jorb else {
        return Err(not_a_run("it is JSON, but has no field `jorb`".into()));
    };
    let number = version.as_u64().and_then(|version| u32::try_from(version).ok());
    let Some(found) = number.filter(|number| *number > 0) else {
        return Err(not_a_run(format!("its format is {version}, which is no number of a format")));
    };
    if found > VERSION {
        return Err(Error::Format { path: path.to_owned(), found, known: VERSION });
    }
    if let Some(found) = probe.workflow.filter(|name| name != W::NAME) {
        return Err(Error::OtherWorkflow { path: path.to_owned(), found, expected: W::NAME });
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

/// The run that a document and the commits since then make, and whether the document says the same.
pub(super) fn run<W: Workflow>(
    path: &Path,
    mut document: Document,
    commits: Vec<Commit>,
) -> Result<(Table<W>, bool), Error> {
    let damaged = |reason: String| Error::Damaged { path: path.to_owned(), reason };
    // Today's log goes with today's document only.
    let mut changed = document.run.is_none() || !commits.is_empty() || document.jorb < VERSION;
    let mut entries = document.jobs.take().unwrap_or_default();
    document.check_numbers().map_err(damaged)?;
    entries.iter().try_for_each(|entry| checked(entry).map_err(damaged))?;
    for commit in &commits {
        commit.head.check_numbers().map_err(damaged)?;
        commit.jobs.iter().try_for_each(|entry| checked(entry).map_err(damaged))?;
    }
    document.seeding.get_or_insert(if entries.is_empty() { Seeding::No } else { Seeding::Done });
    if let Some(id) = twice(&entries) {
        return Err(damaged(format!("two jobs have the id {id}")));
    }
    let mut numbered = BTreeMap::new();
    let mut others = Vec::new();
    for entry in entries.drain(..) {
        match entry.id {
            Some(id) => drop(numbered.insert(id, entry)),
            None => others.push(entry),
        }
    }
    for commit in commits {
        commit.fold_into(&mut document, &mut numbered);
    }
    let mut header = document.header::<W>();
    let mut settle = Settle::new(header.next, Timestamp::now());
    let entries = || numbered.values().chain(&others);
    entries().for_each(|entry| settle.note(entry));
    let mut names = BTreeMap::new();
    for entry in entries().filter(|entry| StateId::<W>::named(&entry.state).is_none()) {
        *names.entry(entry.state.clone()).or_default() += 1;
    }
    if !names.is_empty() {
        let states = unknown::<W>(names);
        return Err(Error::UnknownStates { path: path.to_owned(), workflow: W::NAME, states });
    }
    let mut rows = BTreeMap::new();
    for entry in numbered.into_values().chain(others) {
        let row: Row<W> = settle.job(entry).map_err(|state: StateName| damaged(state.into_owned()))?;
        rows.insert(row.record.job.id, row);
    }
    if rows.len() as u64 > super::MOST {
        return Err(Error::TooLarge { path: path.to_owned(), most: super::MOST });
    }
    changed |= kicks_are_counted(&mut rows) | settle.changed | all_fresh_or_none(&mut header, &mut rows);
    header.next = settle.next;
    let mut table = Table::from_rows(header, rows.into_values());
    changed |= table.count_joins();
    Ok((table, changed))
}

fn checked(entry: &Entry) -> Result<(), String> {
    let id = entry.id.map_or_else(|| "without an id".into(), |id| id.to_string());
    entry.check_numbers().map_err(|reason| format!("job {id}: {reason}"))
}

/// A person may have changed the states of jobs that nobody had looked at yet. Then the others wait like any job.
fn all_fresh_or_none<W: Workflow>(header: &mut Header<W>, rows: &mut BTreeMap<JobId, Row<W>>) -> bool {
    let range = JobId(header.fresh.next)..JobId(header.fresh.end.max(header.fresh.next));
    let cancelled = |row: &Row<W>| row.record.job.status == Status::Cancelled;
    if rows.range(range.clone()).all(|(_, row)| !row.record.placed || cancelled(row)) {
        return false;
    }
    for (_, row) in rows.range_mut(range) {
        row.record.placed = true;
    }
    header.fresh = Fresh { next: 0, end: 0, by_state: Vec::new() };
    true
}

/// The document of a run.
pub(super) fn text<W: Workflow>(table: &Table<W>, generation: u64) -> Result<String, (JobId, Unwritable)> {
    let of_run = |unwritable| (JobId(0), unwritable);
    let json =
        |value: serde_json::Result<String>| value.expect("names, numbers and JSON are written without fail");
    let head = Head::<()> { generation: Some(generation), ..Head::of(&table.header()).map_err(of_run)? };
    let mut out = String::new();
    lay_out(&mut out, &json(serde_json::to_string(&head)), 0, 1);
    out.truncate(out.len() - "\n}".len());
    out.push_str(",\n  \"jobs\": [");
    for (i, row) in table.rows().enumerate() {
        let id = row.record.job.id;
        let entry = Entry::of(&row.record, row.story(), row.once.clone()).map_err(|e| (id, e))?;
        out.push_str(if i == 0 { "\n    " } else { ",\n    " });
        lay_out(&mut out, &json(serde_json::to_string(&entry)), 4, 1);
    }
    out.push_str(if table.len() == 0 { "]\n}\n" } else { "\n  ]\n}\n" });
    Ok(out)
}

/// Puts the text where the document was: all of it, or nothing of it, whatever happens in between.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), Error> {
    let new = beside(path, ".tmp");
    let write = || {
        let mut file = File::create(&new)?;
        match fs::metadata(path) {
            Ok(old) => file.set_permissions(old.permissions())?,
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|e| {
        // It holds nothing that is not in the document and the log.
        let _ = fs::remove_file(&new);
        Error::disk(path, "write it")(e)
    })?;
    fs::rename(&new, path).map_err(Error::disk(path, "replace it"))
}

/// Makes what was done to names in the folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// A file beside the document.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
