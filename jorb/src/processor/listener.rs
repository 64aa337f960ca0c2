//! Who is told how a run goes.
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
    /// How the run stands: at the start, at the end, and whenever that has changed, at most ten times a second.
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
}
