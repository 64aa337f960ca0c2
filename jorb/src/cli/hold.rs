//! `hold`, `release`
use std::io::Write;

use super::args::HoldArgs;
use crate::{BoxError, Run, StateId, Workflow};

pub(super) fn set<W: Workflow>(
    mut run: Run<W>,
    args: &HoldArgs,
    held: bool,
    err: &mut dyn Write,
) -> Result<(), BoxError> {
    let HoldArgs { state, limiter, key } = args;
    let name = match (limiter, key, state) {
        (Some(limiter), Some(key), _) => {
            run.set_key_held(limiter, key, held)?;
            format!("{limiter}[{key}]")
        }
        (.., state) => set_state(&mut run, state.as_deref().unwrap_or_default(), held)?,
    };
    let what = if held { "is held: jobs arrive and wait" } else { "goes on when the run is driven" };
    writeln!(err, "`{name}` {what}")?;
    Ok(run.close()?)
}

/// Gives its name of today.
fn set_state<W: Workflow>(run: &mut Run<W>, state: &str, held: bool) -> Result<String, BoxError> {
    if held && StateId::<W>::named(state).is_some_and(|id| id.spec().terminal()) {
        return Err(format!("`{state}` is terminal: no step runs there, so there is nothing to hold").into());
    }
    run.set_held(state, held)?;
    Ok(StateId::<W>::named(state).map_or(state, |id| id.name()).into())
}
