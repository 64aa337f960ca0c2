//! A run as JSON Lines: out of any store, into any other.
use std::io::{BufRead, Seek, SeekFrom, Write};

use serde::Deserialize;

use super::{
    Batch, Change, Header, New, Numbers, Record, Restored, Seeding, Store,
    entry::{Entry, Head, VERSION},
    settle::Settle,
    table::{Once, Row, story},
};
use crate::{Error, Form, JobId, Saved, Timestamp, Workflow, codec};

use check::Check;

mod check;

/// Jobs that are in memory at a time.
const PAGE: usize = 1_000;

/// Writes a run, open in `store`, as JSON Lines: the run, then its jobs by id, each with its past. Gives the number of
/// jobs.
pub fn export<W: Workflow>(
    store: &mut dyn Store<W>,
    header: &Header<W>,
    mut out: impl Write,
) -> Result<u64, Error> {
    let path = store.path().to_owned();
    let overall = |source| Error::Unwritable { what: "the overall context".into(), source };
    let head = Head { jobs: Some(header.counts.total()), ..Head::of(header).map_err(overall)? };
    // Which jobs moved when is of no use elsewhere.
    let head = Head { fresh: None, ..head };
    let mut line = |text: serde_json::Result<String>| {
        let text = text.map_err(Error::disk(&path, "export it"))?;
        writeln!(out, "{text}").map_err(Error::disk(&path, "export it"))
    };
    line(serde_json::to_string(&head))?;
    let mut jobs = 0;
    let mut from = JobId(0);
    loop {
        let page = store.page(from, PAGE)?;
        let Some(last) = page.last() else { break };
        from = JobId(last.job.id.0 + 1);
        jobs += page.len() as u64;
        for record in page {
            let id = record.job.id;
            let once = store.once(id)?.as_ref().map(Once::from);
            let entry = Entry::of(&Record { placed: false, ..record }, store.story(id)?, once)
                .map_err(|source| Error::Unwritable { what: format!("job {id}"), source })?;
            line(serde_json::to_string(&entry.standing_alone::<W>()))?;
        }
    }
    out.flush().map_err(Error::disk(&path, "export it"))?;
    Ok(jobs)
}

/// Reads what [`export`] wrote into `store`, which is open and has no jobs. Gives the number of jobs.
///
/// All lines are read and checked against the types of `W` before the first job is made, so they are read twice;
/// with `check_only` just once, and nothing is made. The run goes on where it was, under the identity it had. When it
/// is cut by a crash, the store has a run whose seeding was cut.
pub fn import<W: Workflow>(
    mut lines: impl BufRead + Seek,
    store: &mut dyn Store<W>,
    header: &Header<W>,
    check_only: bool,
) -> Result<u64, Error> {
    if header.counts.total() > 0 || header.seeding != Seeding::No {
        return Err(Error::NotEmpty { path: store.path().to_owned() });
    }
    let path = store.path().to_owned();
    let form = store.form();
    let now = Timestamp::now();
    let start = lines.stream_position().map_err(Error::disk(&path, "read the import"))?;
    let mut check = Check::new();
    let imported = read(&mut lines, form, now, &mut |line, job| check.job(line, &job))?;
    check.parents()?;
    if check_only {
        return Ok(imported.jobs);
    }
    lines.seek(SeekFrom::Start(start)).map_err(Error::disk(&path, "read the import"))?;
    fill(&mut lines, store, imported, now).inspect_err(|_| {
        // It fails on a disk or a store that is full; what is there then is no run.
        let _ = store.clear();
    })
}

fn fill<W: Workflow>(
    lines: &mut impl BufRead,
    store: &mut dyn Store<W>,
    Imported { header, jobs }: Imported<W>,
    now: Timestamp,
) -> Result<u64, Error> {
    store.commit(&Batch { seeding: Some(Seeding::Begun), ..Batch::new(Numbers::FIRST) })?;
    let mut page = Vec::with_capacity(PAGE);
    read(lines, store.form(), now, &mut |_, job| {
        page.push(job);
        if page.len() < PAGE {
            return Ok(());
        }
        store.restore(std::mem::replace(&mut page, Vec::with_capacity(PAGE)))
    })?;
    store.restore(page)?;
    store.commit(&Batch {
        limiters: header.limiters.into_iter().collect(),
        learned: header.learned.into_iter().collect(),
        tuned: Some(header.tuned),
        held: Some(header.held),
        held_keys: Some(header.held_keys),
        overall: header.overall,
        seeding: Some(Seeding::Done),
        identity: Some((header.run, header.created)),
        clean: Some(header.clean),
        ..Batch::new(header.next)
    })?;
    Ok(jobs)
}

/// What [`Store::restore`] does when a store has no better way.
pub(super) fn restore<W: Workflow>(
    store: &mut (impl Store<W> + ?Sized),
    jobs: Vec<Restored<W>>,
) -> Result<(), Error> {
    let mut made = Batch::new(Numbers::FIRST);
    let mut past = Batch::new(Numbers::FIRST);
    for Restored { record, story, once } in jobs {
        // A key belongs to the state in which the job was made.
        let mut first = record.clone();
        first.job.state = once.as_ref().map_or(record.job.state, |once| once.state);
        let before = record.standing();
        let change = |line, error| {
            let now = Box::new(record.clone());
            Change { before: before.clone(), now, line, error, kicks: Vec::new() }
        };
        past.changes.push(Change { before: first.standing(), ..change(None, None) });
        past.changes.extend(story.lines.into_iter().map(|line| change(Some(line), None)));
        past.changes.extend(story.errors.into_iter().map(|error| change(None, Some(Box::new(error)))));
        made.added.push(New { record: first, once: once.map(|once| once.key) });
    }
    store.commit(&made)?;
    store.commit(&past)?;
    Ok(())
}

/// What an import says.
struct Imported<W: Workflow> {
    header: Header<W>,
    jobs: u64,
}

/// Reads all lines, and hands over the jobs with the lines they are on.
fn read<W: Workflow>(
    lines: &mut impl BufRead,
    form: Form,
    now: Timestamp,
    each: &mut dyn FnMut(u64, Restored<W>) -> Result<(), Error>,
) -> Result<Imported<W>, Error> {
    let mut text = String::new();
    let mut line = 0;
    let mut next = |text: &mut String, line: &mut u64| {
        text.clear();
        *line += 1;
        lines.read_line(text).map_err(|e| wrong(*line, format!("cannot be read: {e}")))
    };
    next(&mut text, &mut line)?;
    let head = head::<W>(&text).map_err(|reason| wrong(line, reason))?;
    let mut header = head.header::<W>();
    header.overall =
        header.overall.map(|overall| in_form::<W>(form, overall)).transpose().map_err(|e| wrong(line, e))?;
    let mut settle = Settle::new(Numbers { line: 1, error: 1, ..header.next }, now);
    let mut jobs = 0;
    while next(&mut text, &mut line)? > 0 {
        if text.trim_ascii().is_empty() {
            continue;
        }
        let job = job(&text, form, &mut settle).map_err(|reason| wrong(line, reason))?;
        each(line, job)?;
        jobs += 1;
    }
    if let Some(said) = head.jobs.filter(|said| *said != jobs) {
        return Err(wrong(line, format!("the file ends after {jobs} of {said} jobs")));
    }
    header.next = settle.next;
    Ok(Imported { header, jobs })
}

/// The first line.
fn head<W: Workflow>(text: &str) -> Result<Head<u64>, String> {
    #[derive(Deserialize)]
    struct Probe {
        jorb: u32,
    }
    let no_start = |e: serde_json::Error| format!("is not the start of an export: {e}");
    // A newer format may have fields of which nothing is known here.
    let probe: Probe = serde_json::from_str(text).map_err(no_start)?;
    check_format(probe.jorb)?;
    let head: Head<u64> = serde_json::from_str(text).map_err(no_start)?;
    head.check_numbers()?;
    let workflow = head.workflow.as_deref().unwrap_or(W::NAME);
    if workflow != W::NAME {
        return Err(format!("is a run of workflow `{workflow}`, not of `{}`", W::NAME));
    }
    if head.seeding.is_some_and(|seeding| seeding != Seeding::Done) {
        return Err("is a run that was not seeded to its end".into());
    }
    Ok(head)
}

fn check_format(found: u32) -> Result<(), String> {
    match found {
        0 => Err("has format 0, which no version of jorb has written".into()),
        1..=VERSION => Ok(()),
        _ => Err(format!(
            "has format {found}, this version of jorb knows formats up to {VERSION}; upgrade jorb"
        )),
    }
}

/// One job.
fn job<W: Workflow>(text: &str, form: Form, settle: &mut Settle) -> Result<Restored<W>, String> {
    let mut entry: Entry = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let id = entry.id.ok_or("the job has no id")?;
    check_format(entry.version.unwrap_or(VERSION)).map_err(|reason| format!("job {id}: {reason}"))?;
    if let Some(workflow) = entry.workflow.as_deref().filter(|name| *name != W::NAME) {
        return Err(format!("job {id} is of workflow `{workflow}`, not of `{}`", W::NAME));
    }
    entry.check_numbers().map_err(|reason| format!("job {id}: {reason}"))?;
    settle.renumber(&mut entry);
    settle.note(&entry);
    let Row { mut record, once, lines, errors } = settle.job::<W>(entry).map_err(|state| {
        let nearest = crate::nearest::nearest(&state, W::STATES.iter().map(|state| state.name));
        let hint = nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        format!("job {id}: there is no state `{state}`{hint}")
    })?;
    record.placed = true;
    let job = &mut record.job;
    let state = codec::load_state::<W>(job.state.name(), &job.data).map_err(|e| format!("job {id}: {e}"))?;
    let context = W::CODEC.job.load(&job.context).map_err(|e| format!("job {id}: {e}"))?;
    if form == Form::Value {
        job.data = codec::save_state(form, state).1.map_err(|e| format!("job {id}: {e}"))?;
        job.context = W::CODEC.job.save(form, &context).map_err(|e| format!("job {id}: {e}"))?;
    }
    let once =
        once.map(|once| once.known().ok_or_else(|| format!("job {id}: there is no state `{}`", once.state)));
    Ok(Restored { once: once.transpose()?, story: story(&lines, &errors), record })
}

/// The overall context, as the store keeps values.
fn in_form<W: Workflow>(form: Form, overall: Saved<W::Overall>) -> Result<Saved<W::Overall>, String> {
    let value = W::CODEC.overall.load(&overall).map_err(|e| format!("the overall context: {e}"))?;
    match form {
        Form::Json => Ok(overall),
        Form::Value => W::CODEC.overall.save(form, &value).map_err(|e| format!("the overall context: {e}")),
    }
}

fn wrong(line: u64, reason: impl Into<String>) -> Error {
    Error::Import { line, reason: reason.into() }
}
