//! `redrive`
use std::io::Write;

use super::args::RedriveArgs;
use crate::{BoxError, Run, StateId, Workflow};

pub(super) fn redrive<W: Workflow>(
    mut run: Run<W>,
    args: &RedriveArgs,
    err: &mut dyn Write,
) -> Result<(), BoxError> {
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
    if let Some(most) = args.limit {
        jobs = jobs.limit(most);
    }
    let Some(to) = &args.to else {
        if let Some(state) = args.from.as_deref().and_then(StateId::<W>::named)
            && state.spec().terminal()
        {
            return Err(
                format!("jobs in `{}` have ended; say where they go with `--to`", state.name()).into()
            );
        }
        let (n, would) = (jobs.retry()?, if args.dry_run { "would" } else { "will" });
        let s = if n == 1 { "" } else { "s" };
        writeln!(err, "{n} job{s} {would} run again")?;
        return Ok(run.close()?);
    };
    let (n, moved) =
        (jobs.to_state(to, args.data.as_deref())?, if args.dry_run { "would move" } else { "moved" });
    let s = if n == 1 { "" } else { "s" };
    let to = StateId::<W>::named(to).map_or_else(|| to.as_str(), |state| state.name());
    writeln!(err, "{n} job{s} {moved} to `{to}`")?;
    Ok(run.close()?)
}
