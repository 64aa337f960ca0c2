//! Jobs as JSON, for other programs.
use std::io::Write;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    BoxError, Cancelled, Job, JobId, JobStory, Shown, Timestamp, Workflow,
    store::{Failure, Line},
};

pub(super) fn write(out: &mut dyn Write, value: &impl Serialize) -> Result<(), BoxError> {
    writeln!(out, "{}", serde_json::to_string(value)?)?;
    Ok(())
}

#[derive(Serialize)]
pub(super) struct JobLine<'a> {
    job: JobId,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<JobId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kick: Option<u64>,
    state: &'static str,
    status: Shown,
    step: u64,
    attempt: u32,
    kicked: u64,
    #[serde(serialize_with = "as_text")]
    ready_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text_if")]
    deadline: Option<Timestamp>,
    data: Option<Box<RawValue>>,
    context: Box<RawValue>,
    errors: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

pub(super) fn job<'a, W: Workflow>(job: &Job<W>, error: Option<&'a str>) -> Result<JobLine<'a>, BoxError> {
    let raw = |text: &str| RawValue::from_string(text.to_owned());
    Ok(JobLine {
        job: job.id(),
        parent: job.parent().map(|(parent, _)| parent),
        kick: job.parent().map(|(_, n)| n),
        state: job.state_name(),
        status: job.status(),
        step: job.step(),
        attempt: job.attempt(),
        kicked: job.kicked(),
        ready_at: job.ready_at(),
        deadline: job.deadline(),
        data: job.state_json()?.map(|text| raw(&text)).transpose()?,
        context: raw(&job.context_json()?)?,
        errors: job.errors(),
        error: error.filter(|error| !error.is_empty()),
    })
}

#[derive(Serialize)]
pub(super) struct StoryLine<'a> {
    #[serde(flatten)]
    job: JobLine<'a>,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    once: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled: Option<Cancelled>,
    history: Vec<MoveLine<'a>>,
    failures: Vec<FailureLine<'a>>,
    dropped: Vec<DroppedLine<'a>>,
}

#[derive(Serialize)]
struct MoveLine<'a> {
    #[serde(serialize_with = "as_text")]
    at: Timestamp,
    step: u64,
    attempt: u32,
    from: &'a str,
    to: &'a str,
    waited_ms: u128,
    ran_ms: f64,
    first_child: Option<JobId>,
    children: u64,
}

#[derive(Serialize)]
struct FailureLine<'a> {
    #[serde(serialize_with = "as_text")]
    at: Timestamp,
    state: &'a str,
    step: u64,
    attempt: u32,
    error: &'a str,
}

#[derive(Serialize)]
struct DroppedLine<'a> {
    state: &'a str,
    moves: u64,
    errors: u64,
}

pub(super) fn story<W: Workflow>(all: &JobStory<W>) -> Result<StoryLine<'_>, BoxError> {
    let newest = all.story.errors.last().map(|error| error.error.as_str());
    Ok(StoryLine {
        job: job(all, newest)?,
        path: &all.path,
        once: all.once.as_ref().map(|once| once.key.as_str()),
        cancelled: all.cancelled(),
        history: all.story.lines.iter().map(MoveLine::from).collect(),
        failures: all.story.errors.iter().map(FailureLine::from).collect(),
        dropped: all
            .story
            .dropped
            .iter()
            .map(|d| DroppedLine { state: &d.state, moves: d.lines, errors: d.errors })
            .collect(),
    })
}

impl<'a> From<&'a Line> for MoveLine<'a> {
    fn from(line: &'a Line) -> Self {
        MoveLine {
            at: line.at,
            step: line.step,
            attempt: line.attempt,
            from: &line.from,
            to: &line.to,
            waited_ms: line.waited.as_millis(),
            ran_ms: line.ran.as_secs_f64() * 1000.0,
            first_child: line.first_child,
            children: line.children,
        }
    }
}

impl<'a> From<&'a Failure> for FailureLine<'a> {
    fn from(Failure { state, step, attempt, at, error, .. }: &'a Failure) -> Self {
        FailureLine { at: *at, state, step: *step, attempt: *attempt, error }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
pub(super) fn as_text<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

#[allow(clippy::ref_option)] // serde's signature
fn as_text_if<S: serde::Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.as_ref().map(Timestamp::to_string).serialize(serializer)
}
