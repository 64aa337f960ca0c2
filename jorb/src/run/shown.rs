//! How a job stands, in the words that people see.
use std::{fmt, str::FromStr};

use serde::Serialize;

use crate::{StateId, Status, Timestamp, Workflow, nearest::nearest, store::Record};

/// How a job stands, as it is shown: a [`Status`], in which what holds a ready job up is told apart.
///
/// ```
/// use jorb::Shown;
///
/// assert_eq!("parked".parse(), Ok(Shown::Parked));
/// let unknown = "partked".parse::<Shown>().unwrap_err();
/// assert_eq!(unknown.to_string(), "there is no status `partked`; did you mean `parked`?");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shown {
    /// Could start.
    Ready,
    /// Its time has not come.
    Delayed,
    /// Has a step to make, in a state that an operator has stopped. (Jobs of a key that is held are ready or delayed.)
    Held,
    /// Failed for good; stays in its state until somebody redrives it.
    Parked,
    /// In a terminal state.
    Ended,
    /// Nobody wants it any more; stays in its state unless somebody redrives it.
    Cancelled,
    /// Waits for its children.
    Joining,
}

impl Shown {
    /// All of them.
    pub const ALL: [Shown; 7] = [
        Shown::Ready,
        Shown::Delayed,
        Shown::Held,
        Shown::Parked,
        Shown::Ended,
        Shown::Cancelled,
        Shown::Joining,
    ];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Shown::Ready => "ready",
            Shown::Delayed => "delayed",
            Shown::Held => "held",
            Shown::Parked => "parked",
            Shown::Ended => "ended",
            Shown::Cancelled => "cancelled",
            Shown::Joining => "joining",
        }
    }

    pub(crate) fn of<W: Workflow>(record: &Record<W>, held: &[StateId<W>], now: Timestamp) -> Self {
        match record.job.status {
            Status::Parked => Shown::Parked,
            Status::Ended => Shown::Ended,
            Status::Cancelled => Shown::Cancelled,
            Status::Joining => Shown::Joining,
            Status::Ready if held.contains(&record.job.state) => Shown::Held,
            Status::Ready if record.job.ready_at > now => Shown::Delayed,
            Status::Ready => Shown::Ready,
        }
    }
}

impl From<Status> for Shown {
    fn from(status: Status) -> Self {
        match status {
            Status::Ready => Shown::Ready,
            Status::Parked => Shown::Parked,
            Status::Ended => Shown::Ended,
            Status::Cancelled => Shown::Cancelled,
            Status::Joining => Shown::Joining,
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that is none of [`Shown::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no status `{word}`; {hint}")]
pub struct UnknownStatus {
    word: String,
    hint: String,
}

impl FromStr for Shown {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        Shown::ALL.into_iter().find(|shown| shown.name() == word).ok_or_else(|| {
            let names = Shown::ALL.map(Shown::name);
            let hint = match nearest(word, names) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("use one of: {}", names.join(", ")),
            };
            UnknownStatus { word: word.into(), hint }
        })
    }
}
