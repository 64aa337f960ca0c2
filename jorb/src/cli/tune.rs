//! `tune`
use std::io::Write;

use super::args::TuneArgs;
use crate::{BoxError, Run, StateId, Tuning, Workflow};

pub(super) fn tune<W: Workflow>(
    mut run: Run<W>,
    args: &TuneArgs,
    err: &mut dyn Write,
) -> Result<(), BoxError> {
    let TuneArgs { ref name, rate, burst, concurrency, retries, backoff, reset } = *args;
    let tuning = Tuning { rate, burst, concurrency: concurrency.map(|n| n as usize), retries, backoff };
    if tuning.is_none() && !reset {
        return Err(
            "nothing is to be changed: give --rate, --burst, --concurrency, --retries, --backoff or --reset"
                .into(),
        );
    }
    let now = run.tune(name, tuning)?;
    let each = each_key::<W>(name);
    writeln!(err, "`{name}`{each}: {now}, from when the run is driven")?;
    Ok(run.close()?)
}

/// What is said behind the name of what is tuned, if it is a limiter with keys: each of them has all of that.
pub(super) fn each_key<W: Workflow>(name: &str) -> &'static str {
    let state = StateId::<W>::named(name).is_some();
    let mut limiters = W::STATES.iter().flat_map(|state| state.limits);
    let limiter = limiters.find(|limiter| limiter.name == name || limiter.path == name);
    if !state && limiter.is_some_and(|limiter| limiter.keyed) { ", each key" } else { "" }
}
