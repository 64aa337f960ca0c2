//! One job, to look at.
use std::{any::type_name, ops::Deref, sync::Arc};

use serde::de::DeserializeOwned;

use crate::{
    Error, JobId, Saved, Shown, State, Timestamp, Unreadable, Workflow,
    codec::{load_state, read, state_text},
    store::Record,
};

/// A job as it is saved, to look at.
pub struct Job<W: Workflow> {
    record: Record<W>,
    status: Shown,
}

impl<W: Workflow> Job<W> {
    pub(super) fn new((record, status): (Record<W>, Shown)) -> Self {
        Job { record, status }
    }

    pub(crate) fn record(&self) -> &Record<W> {
        &self.record
    }

    /// Its number in the run.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.record.job.id
    }

    /// The job that kicked it, and which of that job's kicks it is.
    #[must_use]
    pub fn parent(&self) -> Option<(JobId, u64)> {
        self.record.job.parent
    }

    /// The name of the state that it is in.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        self.record.job.state.name()
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Shown {
        self.status
    }

    /// Moves so far.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.record.job.step
    }

    /// Attempt of the next step, from 1; of a parked job, one more than were made.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.record.job.attempt
    }

    /// When the first attempt of the next step began, once there was one: what `give_up_after` counts from.
    #[must_use]
    pub fn began(&self) -> Option<Timestamp> {
        self.record.job.began
    }

    /// Errors so far, in all states.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.record.job.errors
    }

    /// Jobs kicked so far.
    #[must_use]
    pub fn kicked(&self) -> u64 {
        self.record.job.kicked
    }

    /// When the next step may start; of a job that does not move, since when.
    #[must_use]
    pub fn ready_at(&self) -> Timestamp {
        self.record.job.ready_at
    }

    /// When it is cancelled if it has not ended by then.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.record.job.deadline
    }

    /// Its state, with the fields.
    pub fn load_state(&self) -> Result<W, Error> {
        load_state(self.state_name(), &self.record.job.data).map_err(|source| self.unreadable(source))
    }

    /// Its context.
    pub fn load_context(&self) -> Result<W::Job, Error> {
        W::CODEC.job.load(&self.record.job.context).map_err(|source| self.unreadable(source))
    }

    /// The fields of its state as JSON, nothing for a state without fields; also when they do not fit the type.
    pub fn state_json(&self) -> Result<Option<Arc<str>>, Error> {
        state_text(&self.record.job.data)
            .map_err(|source| Error::Unwritable { what: format!("job {}", self.id()), source })
    }

    /// Its context as JSON, also when it does not fit the type.
    pub fn context_json(&self) -> Result<Arc<str>, Error> {
        let text = W::CODEC.job.text(&self.record.job.context);
        text.map_err(|source| Error::Unwritable { what: format!("job {}", self.id()), source })
    }

    pub(super) fn unreadable(&self, source: Unreadable) -> Error {
        Error::Unreadable { what: format!("job {} in state `{}`", self.id(), self.state_name()), source }
    }
}

/// A job in state `S`.
pub struct JobIn<S: State> {
    /// The state, with its fields.
    pub state: S,
    /// The job context.
    pub context: <S::Workflow as Workflow>::Job,
    job: Job<S::Workflow>,
}

impl<S: State + DeserializeOwned> JobIn<S> {
    pub(super) fn new(job: Job<S::Workflow>) -> Result<Self, Error> {
        let state = typed(&job.record.job.data).map_err(|source| job.unreadable(source))?;
        Ok(JobIn { state, context: job.load_context()?, job })
    }
}

impl<S: State> Deref for JobIn<S> {
    type Target = Job<S::Workflow>;

    fn deref(&self) -> &Self::Target {
        &self.job
    }
}

/// The struct of a state. Only the enum can be read in every case: old data may be of a state that had other fields.
fn typed<S: State + DeserializeOwned>(data: &Saved<S::Workflow>) -> Result<S, Unreadable> {
    if let Saved::Json(text) = data
        && let Ok(state) = read(text)
    {
        return Ok(state);
    }
    match load_state(S::NAME, data)?.save().1 {
        Ok(Some(text)) => read(&text),
        // Of a state without fields, nothing is written. It is one of `S`, `S {}` and `S()`.
        Ok(None) => read("null").or_else(|e| read("{}").or_else(|_| read("[]")).map_err(|_: Unreadable| e)),
        Err(e) => Err(Unreadable { type_name: type_name::<S>(), reason: e.to_string() }),
    }
}
