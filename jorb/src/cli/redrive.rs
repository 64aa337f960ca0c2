//! `redrive`
use std::io::Write;

use super::{args::RedriveArgs, named::Asked};
use crate::{BoxError, Redrive, Run, Shown, StateId, Workflow};

pub(super) fn redrive<W: Workflow>(
    mut run: Run<W>,
    args: &RedriveArgs,
    err: &mut dyn Write,
) -> Result<(), BoxError> {
    let from = args.from.as_deref().and_then(StateId::<W>::named);
    if let (Some(state), None) = (from.filter(|state| state.spec().terminal()), &args.to) {
        let state = state.name();
        return Err(format!("jobs in `{state}` have ended; say where they go with `--to`").into());
    }
    let jobs = chosen(&mut run, args)?;
    let n = match &args.to {
        Some(to) => jobs.to_state(to, args.data.as_deref())?,
        None => jobs.retry()?,
    };
    if let (Some(job), 0) = (&args.job, n) {
        let job = run.job(job)?;
        let why = match job.status() {
            Shown::Ended if args.to.is_none() => "; say where it goes with `--to`",
            _ => ", as it was seeded; drive the run first",
        };
        let state = args.from.as_deref().map(|state| ("--from", state));
        let error = args.error.as_deref();
        let asked = Asked { state, status: args.status, error, key: None, limit: args.limit };
        return Err(asked.nothing(&job, why));
    }
    let s = if n == 1 { "" } else { "s" };
    match (args.to.as_deref().and_then(StateId::<W>::named).map(StateId::name), args.dry_run) {
        (Some(to), false) => writeln!(err, "{n} job{s} moved to `{to}`")?,
        (Some(to), true) => writeln!(err, "{n} job{s} would move to `{to}`")?,
        (None, false) => writeln!(err, "{n} job{s} will run again")?,
        (None, true) => writeln!(err, "{n} job{s} would run again")?,
    }
    Ok(run.close()?)
}

fn chosen<'r, W: Workflow>(run: &'r mut Run<W>, args: &RedriveArgs) -> Result<Redrive<'r, W>, BoxError> {
    let mut jobs = run.redrive().dry_run(args.dry_run);
    if let Some(state) = &args.from {
        jobs = jobs.state(state)?;
    }
    if let Some(status) = args.status {
        jobs = jobs.status(status);
    }
    if let Some(text) = &args.error {
        jobs = jobs.error_contains(text);
    }
    if let Some(job) = &args.job {
        jobs = jobs.job(job)?;
    }
    Ok(jobs.limit(args.limit.unwrap_or(u64::MAX)))
}
