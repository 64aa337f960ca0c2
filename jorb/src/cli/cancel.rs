//! `cancel`
use std::io::Write;

use super::{args::CancelArgs, named::Asked};
use crate::{BoxError, Run, Shown, Workflow};

pub(super) fn cancel<W: Workflow>(
    mut run: Run<W>,
    args: &CancelArgs,
    err: &mut dyn Write,
) -> Result<(), BoxError> {
    let mut jobs = run.cancel().dry_run(args.dry_run).limit(args.limit.unwrap_or(u64::MAX));
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
    if let Some(job) = &args.job {
        jobs = jobs.job(job)?;
    }
    let n = jobs.apply()?;
    if let (Some(job), 0) = (&args.job, n) {
        let job = run.job(job)?;
        let why = match job.status() {
            Shown::Cancelled => " before; `redrive --job` has it go on",
            _ => ", where nothing is left to cancel",
        };
        let state = args.state.as_deref().map(|state| ("--state", state));
        let (error, key) = (args.error.as_deref(), args.of.named());
        let asked = Asked { state, status: args.status, error, key, limit: args.limit };
        return Err(asked.nothing(&job, why));
    }
    let s = if n == 1 { "" } else { "s" };
    let are = if args.dry_run { "would be cancelled" } else { "cancelled" };
    writeln!(err, "{n} job{s} {are}")?;
    Ok(run.close()?)
}
