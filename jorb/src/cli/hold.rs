//! `hold`, `release`
use std::io::Write;

use crate::{BoxError, Run, StateId, Workflow};

pub(super) fn set<W: Workflow>(
    mut run: Run<W>,
    state: &str,
    held: bool,
    err: &mut dyn Write,
) -> Result<(), BoxError> {
    if held && StateId::<W>::named(state).is_some_and(|id| id.spec().terminal()) {
        return Err(format!("`{state}` is terminal: no step runs there, so there is nothing to hold").into());
    }
    run.set_held(state, held)?;
    let state = StateId::<W>::named(state).map_or(state, |id| id.name());
    let what = if held { "is held: jobs arrive and wait" } else { "goes on when the run is driven" };
    writeln!(err, "`{state}` {what}")?;
    Ok(run.close()?)
}
