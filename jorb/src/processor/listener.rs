//! Who is told how a run goes.
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{JobId, Overview, Timestamp};

/// Is told how a run goes. [`Progress`](crate::Progress) is one.
///
/// ```
/// use jorb::{Event, Listener};
///
/// struct Errors;
///
/// impl Listener for Errors {
///     fn wants_events(&self) -> bool {
///         true
///     }
///     fn event(&mut self, event: &Event) {
///         if let Event::Failed { job, error, .. } = event {
///             eprintln!("job {job}: {error}");
///         }
///     }
/// }
/// ```
pub trait Listener: Send + 'static {
    /// How the run stands: at the start, and whenever that has changed, at most ten times a second.
    fn overview(&mut self, overview: &Overview) {
        let _ = overview;
    }

    /// The processor is about to return: what the last overview said is final. It may drive a run again.
    fn ended(&mut self) {}

    /// Something that is durable now. Only when [`Listener::wants_events`]; it is called on the way of every commit,
    /// so it should be quick.
    fn event(&mut self, event: &Event) {
        let _ = event;
    }

    /// [`Listener::event`] is to be called. Asked once, at the start.
    fn wants_events(&self) -> bool {
        false
    }
}

/// What happened to a job, told when it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It moved on.
    Moved {
        /// The job.
        job: JobId,
        /// The state it ran in.
        from: &'static str,
        /// The state it is in now.
        to: &'static str,
        /// When.
        at: Timestamp,
        /// The jobs that it kicked.
        kicked: Vec<JobId>,
    },
    /// A step of it failed.
    Failed {
        /// The job.
        job: JobId,
        /// The state it is in.
        state: &'static str,
        /// Which attempt it was, from 1.
        attempt: u32,
        /// When.
        at: Timestamp,
        /// What went wrong.
        error: String,
        /// There will be no further attempt.
        parked: bool,
    },
    /// It was cancelled: by somebody, or, told behind a failure that says so, because its deadline passed.
    Cancelled {
        /// The job.
        job: JobId,
        /// The state it is in.
        state: &'static str,
        /// When.
        at: Timestamp,
    },
}

/// The listeners of a processor, and what they were told last.
#[derive(Default)]
pub(super) struct Audience {
    listeners: Vec<Box<dyn Listener>>,
    /// Which of them want events.
    eager: Vec<bool>,
    last: Option<Overview>,
}

pub(super) fn lock(audience: &Mutex<Audience>) -> MutexGuard<'_, Audience> {
    audience.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Audience {
    pub(super) fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    pub(super) fn add(&mut self, listener: impl Listener) {
        self.listeners.push(Box::new(listener));
    }

    /// A run begins. Says whether anybody wants events.
    pub(super) fn begin(&mut self) -> bool {
        self.last = None;
        self.eager = self.listeners.iter().map(|listener| listener.wants_events()).collect();
        self.eager.contains(&true)
    }

    /// Says how the run stands, unless that is known.
    pub(super) fn overview(&mut self, now: Overview) {
        if self.last.as_ref() != Some(&now) {
            self.listeners.iter_mut().for_each(|listener| listener.overview(&now));
            self.last = Some(now);
        }
    }

    pub(super) fn events(&mut self, events: &[Event]) {
        let eager = self.listeners.iter_mut().zip(&self.eager).filter(|(_, eager)| **eager);
        for (listener, _) in eager {
            for event in events {
                listener.event(event);
            }
        }
    }

    pub(super) fn ended(&mut self) {
        self.listeners.iter_mut().for_each(|listener| listener.ended());
    }
}
