//! `jobs ID`
use std::{io::Write, time::Duration};

use super::{jobs::attempt, one_line};
use crate::{BoxError, Cancelled, JobStory, Shown, Workflow, store::Line};

/// Longer data is cut; `--json` has all of it.
const LONGEST: usize = 2000;

pub(super) fn show<W: Workflow>(job: &JobStory<W>, out: &mut dyn Write) -> Result<(), BoxError> {
    let when = match job.status() {
        Shown::Ready | Shown::Delayed | Shown::Held => "due",
        Shown::Joining | Shown::Parked | Shown::Ended | Shown::Cancelled => "since",
    };
    writeln!(out, "job      {}", job.id())?;
    if let Some((parent, n)) = job.parent() {
        // As it can be given back without quotes.
        writeln!(out, "path     {} (kick {n} of job {parent})", job.path.replace("->", "/"))?;
    }
    let why = match job.cancelled() {
        Some(Cancelled::Asked) => ", because somebody asked",
        Some(Cancelled::Deadline) => ", because its deadline passed",
        None => "",
    };
    writeln!(out, "state    {}, {} {when} {}{why}", job.state_name(), job.status(), job.ready_at())?;
    if let Some(deadline) = job.deadline() {
        writeln!(out, "deadline {deadline}")?;
    }
    writeln!(out, "step     {}, attempt {}", job.step(), attempt(job))?;
    if job.kicked() > 0 {
        writeln!(out, "kicked   {}", job.kicked())?;
    }
    if let Some(once) = &job.once {
        writeln!(out, "once     {} (in {})", one_line(&once.key, LONGEST), once.state.name())?;
    }
    if let Some(data) = job.state_json()? {
        writeln!(out, "data     {}", one_line(&data, LONGEST))?;
    }
    writeln!(out, "context  {}", one_line(&job.context_json()?, LONGEST))?;
    history(job, out)?;
    errors(job, out)
}

fn history<W: Workflow>(job: &JobStory<W>, out: &mut dyn Write) -> Result<(), BoxError> {
    if !job.story.lines.is_empty() {
        writeln!(out, "\nhistory")?;
    }
    let width = |of: fn(&Line) -> usize| job.story.lines.iter().map(of).max().unwrap_or(0);
    let (from, to) = (width(|line| line.from.len()), width(|line| line.to.len()));
    for line in &job.story.lines {
        write!(out, "  {:24}  {:from$} -> {:to$}  ", line.at.to_string(), line.from, line.to)?;
        match line.attempt {
            0 => write!(out, "by hand")?,
            n => write!(out, "attempt {n}, waited {}, ran {}", time(line.waited), time(line.ran))?,
        }
        if let Some(child) = line.first_child.filter(|_| line.children > 0) {
            write!(out, ", kicked {} from job {child} on", line.children)?;
        }
        writeln!(out)?;
    }
    for dropped in job.story.dropped.iter().filter(|dropped| dropped.lines > 0) {
        writeln!(out, "  ({} more out of {} are no longer kept)", dropped.lines, dropped.state)?;
    }
    Ok(())
}

fn errors<W: Workflow>(job: &JobStory<W>, out: &mut dyn Write) -> Result<(), BoxError> {
    for (state, errors) in job.errors_by_state() {
        writeln!(out, "\nerrors in {state}")?;
        for error in errors {
            let (at, text) = (error.at.to_string(), one_line(&error.error, LONGEST));
            writeln!(out, "  {at:24}  step {}, attempt {}: {text}", error.step, error.attempt)?;
        }
        let dropped = job.story.dropped.iter().find(|dropped| dropped.state == *state);
        if let Some(n) = dropped.map(|dropped| dropped.errors).filter(|n| *n > 0) {
            writeln!(out, "  ({n} more are no longer kept)")?;
        }
    }
    Ok(())
}

fn time(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        1..100 => format!("{:.1} s", time.as_secs_f64()),
        100..6000 => format!("{:.1} min", time.as_secs_f64() / 60.0),
        _ => format!("{:.1} h", time.as_secs_f64() / 3600.0),
    }
}
