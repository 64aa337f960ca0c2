//! The JSON form of one job, by which it describes itself: in a JSON document, in an export, on the command line.
use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Dropped, Record, StateName, Story, table::Once};
use crate::{JobId, Join, Saved, Snapshot, StateId, Status, Timestamp, Unwritable, Workflow, codec};

pub(crate) use head::Head;
pub(crate) use raw::{compact, raw};
pub(crate) use when::{Millis, When};

mod check;
mod head;
mod past;
mod raw;
mod when;

/// The version of this form.
pub(crate) const VERSION: u32 = 3;

/// One job. What is not there has an obvious default, so that people can write one by hand.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workflow: Option<StateName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<JobId>,
    /// `0->3->1`; only for people, never read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<Parent>,
    pub(crate) state: StateName,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<Status>,
    #[serde(default)]
    pub(crate) step: u64,
    #[serde(default = "one")]
    pub(crate) attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) began: Option<When>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ready_at: Option<When>,
    #[serde(default, skip_serializing_if = "Millis::is_zero")]
    pub(crate) delay_ms: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline: Option<When>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) kicked: u64,
    /// What it waits for, or how its children stood then. What it waits for is counted anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) children: Option<Join>,
    /// The commit that made it so: its turn among jobs of the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seq: Option<u64>,
    /// It is ready, but in a line that memory did not hold.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) placed: bool,
    #[serde(default, skip_serializing_if = "is_normal")]
    pub(crate) priority: i8,
    /// Of the limiters of its state that are `keyed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) once: Option<OnceEntry>,
    /// By state, oldest first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) errors: BTreeMap<StateName, Vec<ErrorEntry>>,
    /// Oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) history: Vec<LineEntry>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) dropped: BTreeMap<StateName, DroppedEntry>,
}

/// Whose kick a job was.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parent {
    pub(crate) job: JobId,
    pub(crate) n: u64,
}

/// As [`super::OnceKey`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnceEntry {
    /// Not called `state`: whoever finds and replaces states does not mean this one.
    #[serde(rename = "in", alias = "state")]
    pub(crate) state: StateName,
    pub(crate) key: String,
}

/// As [`Failure`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    #[serde(default)]
    pub(crate) at: When,
    #[serde(default)]
    pub(crate) step: u64,
    #[serde(default = "one")]
    pub(crate) attempt: u32,
    pub(crate) error: String,
}

/// As [`Line`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LineEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    #[serde(default)]
    pub(crate) step: u64,
    #[serde(default = "one")]
    pub(crate) attempt: u32,
    pub(crate) from: StateName,
    pub(crate) to: StateName,
    #[serde(default)]
    pub(crate) at: When,
    #[serde(default)]
    pub(crate) waited_ms: Millis,
    #[serde(default)]
    pub(crate) ran_ms: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kicked: Option<Kicked>,
}

/// The jobs that a move kicked.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kicked {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first: Option<JobId>,
    pub(crate) count: u64,
}

/// As [`Dropped`].
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DroppedEntry {
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) lines: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) errors: u64,
}

impl Entry {
    /// A job and its past.
    pub(crate) fn of<W: Workflow>(
        record: &Record<W>,
        story: Story,
        once: Option<Once>,
    ) -> Result<Self, Unwritable> {
        let Record { job, seq, placed, key, .. } = record;
        let context = W::CODEC.job.text(&job.context)?;
        let mut errors = BTreeMap::<_, Vec<_>>::new();
        for failure in story.errors {
            errors.entry(failure.state.clone()).or_default().push(failure.into());
        }
        let dropped = |Dropped { state, lines, errors }| (state, DroppedEntry { lines, errors });
        Ok(Entry {
            workflow: None,
            version: None,
            id: Some(job.id),
            path: None,
            parent: job.parent.map(|(job, n)| Parent { job, n }),
            state: job.state.name().into(),
            status: Some(job.status),
            step: job.step,
            attempt: job.attempt,
            began: job.began.map(When),
            data: codec::state_text(&job.data)?.map(|text| raw::<W>(&text)).transpose()?,
            context: Some(raw::<W::Job>(&context)?).filter(|text| text.get() != "null"),
            ready_at: Some(When(job.ready_at)),
            delay_ms: Millis(job.delay),
            deadline: job.deadline.map(When),
            kicked: job.kicked,
            children: job.join.as_deref().cloned(),
            seq: Some(*seq),
            placed: *placed && job.status == Status::Ready,
            priority: job.priority,
            key: key.clone(),
            once: once.map(|Once { state, key }| OnceEntry { state, key: key.to_string() }),
            errors,
            history: story.lines.into_iter().map(Into::into).collect(),
            dropped: story.dropped.into_iter().map(dropped).collect(),
        })
    }

    /// Says of itself whose job it is, so that it can stand alone.
    pub(crate) fn standing_alone<W: Workflow>(mut self) -> Self {
        self.workflow = Some(W::NAME.into());
        self.version = Some(VERSION);
        self
    }

    /// The same job, later: all of it is replaced, but what happened is added.
    pub(crate) fn becomes(&mut self, later: Entry) {
        let before = std::mem::replace(self, later);
        let Entry { once, errors, history, dropped, .. } = self;
        *once = before.once.or(once.take());
        history.splice(..0, before.history);
        for (state, before) in before.errors {
            errors.entry(state).or_default().splice(..0, before);
        }
        for (state, before) in before.dropped {
            let DroppedEntry { lines, errors } = dropped.entry(state).or_default();
            *lines += before.lines;
            *errors += before.errors;
        }
    }

    /// The job and its past, once its state is known and nothing that has a number is without it; see
    /// [`Settle`](super::settle::Settle).
    pub(crate) fn into_parts<W: Workflow>(self, state: StateId<W>) -> (Record<W>, Story, Option<Once>) {
        let story = past::story(self.history, self.errors, self.dropped);
        let dropped: u64 = story.dropped.iter().map(|d| d.errors).sum();
        let status = self.status.unwrap_or(Status::Ready);
        let text = |text: Option<Box<RawValue>>| text.map(|text| compact(text.get()).into());
        let job = Snapshot {
            id: self.id.unwrap_or(JobId(0)),
            parent: self.parent.map(|Parent { job, n }| (job, n)),
            step: self.step,
            attempt: self.attempt,
            began: self.began.map(|When(at)| at),
            errors: story.errors.len() as u64 + dropped,
            kicked: self.kicked,
            state,
            data: text(self.data).map_or(Saved::Nothing, Saved::Json),
            context: Saved::Json(text(self.context).unwrap_or_else(|| "null".into())),
            priority: self.priority,
            status,
            ready_at: self.ready_at.map_or(Timestamp(0), |When(at)| at),
            delay: self.delay_ms.0,
            deadline: self.deadline.map(|When(at)| at),
            join: self.children.map(Arc::new),
        };
        let record = Record {
            job,
            seq: self.seq.unwrap_or(0),
            placed: self.placed || status != Status::Ready,
            key: self.key,
            last_line: story.lines.last().map(|line| line.id),
            last_error: story.errors.last().map(|error| error.id),
        };
        let once = self.once.map(|OnceEntry { state, key }| Once { state, key: key.into() });
        (record, story, once)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_normal(priority: &i8) -> bool {
    *priority == 0
}

const fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(yes: &bool) -> bool {
    !*yes
}
