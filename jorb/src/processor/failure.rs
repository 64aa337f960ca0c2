//! What the author of a state says of its failures.
use std::error::Error;

use super::panic::caught;
use crate::{Fault, Form, Policy, Reaction, RetryIf, Snapshot, Workflow, codec::load_state, reduce::Target};

/// A fault that leaves it to the policy is fatal if the policy's `retry_if` says so of its error.
pub(super) fn judge<T>(policy: &Policy, outcome: &mut Result<T, Fault>) {
    let (Some(RetryIf(worth)), Err(fault)) = (policy.retry_if, outcome) else { return };
    if fault.reaction != Reaction::Retry(None) {
        return;
    }
    let error: &(dyn Error + 'static) = &*fault.error;
    match caught(|| worth(error)) {
        Ok(true) => {}
        Ok(false) => fault.reaction = Reaction::Park,
        Err(panic) => {
            let error = caught(|| fault.text()).unwrap_or_else(|panic| panic);
            let judged =
                std::mem::replace(&mut fault.error, format!("{error}; and `retry_if` {panic}").into());
            let _ = caught(|| drop(judged));
        }
    }
}

/// Where `on_failure` leads a job whose step failed for good, if its state says so; or why it cannot go there.
pub(super) fn hand_over<W: Workflow>(
    form: Form,
    job: &Snapshot<W>,
    error: &str,
) -> Option<Result<Target<W>, String>> {
    job.state.spec().on_failure?;
    let target = caught(|| {
        let state = load_state::<W>(job.state.name(), &job.data).map_err(|e| e.to_string())?;
        let Some(next) = state.fail(error.to_owned(), job.attempt) else { return Ok(None) };
        Target::save(form, next).map(|(_, target)| Some(target)).map_err(|e| e.to_string())
    });
    target.and_then(|target| target).transpose()
}
