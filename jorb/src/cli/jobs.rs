//! `jobs`
use std::io::Write;

use super::{args::JobsArgs, json, one_line};
use crate::{BoxError, Job, Run, Shown, StateId, Workflow};

/// Longer texts of errors are cut in lists, ..
const LONGEST: usize = 100;
/// .. and longer contexts and fields.
const CONTEXT: usize = 40;

pub(super) fn jobs<W: Workflow>(
    run: &mut Run<W>,
    args: &JobsArgs,
    out: &mut dyn Write,
) -> Result<(), BoxError> {
    if let Some(name) = &args.job {
        let job = run.job(name)?;
        return if args.json { json::write(out, &json::story(&job)?) } else { super::job::show(&job, out) };
    }
    let digits = run.newest().map_or(0, |id| id.to_string().len()).max("JOB".len());
    let mut jobs = run.jobs();
    if let Some(state) = &args.state {
        jobs = jobs.state(state)?;
    }
    if let Some(status) = args.status {
        jobs = jobs.status(status);
    }
    if let Some(text) = &args.error {
        jobs = jobs.error_contains(text);
    }
    if let Some((limiter, key)) = args.of.named() {
        jobs = jobs.key(limiter, key)?;
    }
    let mut jobs = jobs.limit(args.limit.unwrap_or(u64::MAX)).into_iter();
    let states = StateId::<W>::all().map(|state| state.name().len()).max().unwrap_or(0).max("STATE".len());
    // Most states have none, so they are shown where they are asked for.
    let fields = args.state.as_deref().and_then(StateId::<W>::named).is_some_and(|state| state.spec().fields);
    let mut first = true;
    while let Some(job) = jobs.next() {
        let job = job?;
        let error = if job.errors() > 0 { jobs.last_error(job.id())? } else { None };
        let error = error.map_or(String::new(), |error| error.error);
        if args.json {
            json::write(out, &json::job(&job, Some(&error))?)?;
            continue;
        }
        if first {
            let (job, state) = ("JOB", "STATE");
            let data = if fields { column("DATA") } else { String::new() };
            let (since, context) = ("SINCE OR DUE", column("CONTEXT"));
            writeln!(
                out,
                "{job:>digits$}  {state:states$}  STATUS     TRY  {since:24}  {data}{context}ERROR"
            )?;
            first = false;
        }
        let Row { id, status, attempt, at } = row(&job);
        let (state, error) = (job.state_name(), one_line(&error, LONGEST));
        let context = column(&job.context_json()?);
        let data =
            if fields { column(job.state_json()?.as_deref().unwrap_or_default()) } else { String::new() };
        let line = format!(
            "{id:>digits$}  {state:states$}  {status:9}  {attempt:>3}  {at:24}  {data}{context}{error}"
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// JSON, as wide as all of its column, and a gap behind it.
fn column(text: &str) -> String {
    format!("{:1$}", one_line(text, CONTEXT), CONTEXT + 4)
}

struct Row {
    id: String,
    status: &'static str,
    attempt: u32,
    at: String,
}

fn row<W: Workflow>(job: &Job<W>) -> Row {
    Row {
        id: job.id().to_string(),
        status: job.status().name(),
        attempt: attempt(job),
        at: job.ready_at().to_string(),
    }
}

/// Of a parked job, those that were made; of others, the one that is next.
pub(super) fn attempt<W: Workflow>(job: &Job<W>) -> u32 {
    job.attempt() - u32::from(job.status() == Shown::Parked)
}
