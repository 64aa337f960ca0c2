//! `tune`
use std::io::Write;

use super::args::TuneArgs;
use crate::{BoxError, Run, Tuning, Workflow};

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
    writeln!(err, "`{name}`: {now}, from when the run is driven")?;
    Ok(run.close()?)
}
