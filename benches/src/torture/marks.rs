//! The handlers' own log: a line when a step starts, one when it is about to return, one when it is dropped. Each is
//! with the operating system before the handler goes on, so it outlives the process.
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use jorb::JobId;
use rustix::time::{ClockId, clock_gettime};

use super::walk::{PROMISES, Position};

/// One process, and in it one of those times that it drove the run: the app of the workflow.
#[derive(Clone)]
pub(super) struct Session {
    log: Arc<File>,
    name: Name,
}

/// Of a session: the process, and how often it has driven the run before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name {
    /// The process.
    pub(super) pid: u32,
    /// From 0.
    pub(super) again: u32,
}

/// A line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Who wrote it.
    pub(super) session: Name,
    /// By the monotonic clock, which all processes share, in nanoseconds.
    pub(super) time: u64,
    /// What happened.
    pub(super) what: What,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A session begins: the process has the run.
    Opened,
    /// A step begins.
    Started(Step),
    /// A step is about to return, or to panic.
    Ended(Step),
    /// A step is dropped.
    Dropped(Step),
}

/// A step of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// The job's number in the run.
    pub(super) job: JobId,
    /// Its own number.
    pub(super) me: u64,
    /// Where it is.
    pub(super) at: Position,
    /// The state's name.
    pub(super) state: &'static str,
}

/// A step in flight.
pub(super) struct Inside {
    session: Session,
    step: Step,
    ended: bool,
}

impl Session {
    pub(super) fn new(log: &Path, again: u32) -> io::Result<Self> {
        let log = Arc::new(OpenOptions::new().append(true).create(true).open(log)?);
        let session = Session { log, name: Name { pid: std::process::id(), again } };
        session.write(What::Opened);
        Ok(session)
    }

    pub(super) fn start(&self, job: JobId, me: u64, at: Position, state: &'static str) -> Inside {
        let step = Step { job, me, at, state };
        self.write(What::Started(step));
        Inside { session: self.clone(), step, ended: false }
    }

    fn write(&self, what: What) {
        let line = Mark { session: self.name, time: monotonic(), what }.line();
        (&*self.log).write_all(line.as_bytes()).expect("the log can be written");
    }
}

impl Inside {
    /// To be called last.
    pub(super) fn end(mut self) {
        self.ended = true;
        self.session.write(What::Ended(self.step));
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if !self.ended {
            self.session.write(What::Dropped(self.step));
        }
    }
}

impl Mark {
    /// As it is written. The end says that all of it is there; what a kill cut ends at the next line's beginning.
    #[must_use]
    pub(super) fn line(&self) -> String {
        let Mark { session: Name { pid, again }, time, what } = self;
        let (word, step) = match what {
            What::Opened => return format!("\nopened {pid}.{again} {time} .\n"),
            What::Started(step) => ("started", step),
            What::Ended(step) => ("ended", step),
            What::Dropped(step) => ("dropped", step),
        };
        let Step { job, me, at: Position { step, attempt, tries }, state } = step;
        format!("{word} {pid}.{again} {time} {state} {job} {me} {step} {attempt} {tries} .\n")
    }

    /// Nothing when the line was cut.
    #[must_use]
    pub(super) fn read(line: &str) -> Option<Mark> {
        let mut words = line.strip_suffix(" .")?.split(' ');
        let word = words.next()?;
        let (pid, again) = words.next()?.split_once('.')?;
        let session = Name { pid: pid.parse().ok()?, again: again.parse().ok()? };
        let time = words.next()?.parse().ok()?;
        let what = if word == "opened" {
            What::Opened
        } else {
            let name = words.next()?;
            let state = PROMISES.iter().find(|promise| promise.state == name)?.state;
            let mut number = || words.next()?.parse::<u64>().ok();
            let (job, me) = (JobId(number()?), number()?);
            let at = Position { step: number()?, attempt: number()?.try_into().ok()?, tries: number()? };
            let step = Step { job, me, at, state };
            match word {
                "started" => What::Started(step),
                "ended" => What::Ended(step),
                "dropped" => What::Dropped(step),
                _ => return None,
            }
        };
        words.next().is_none().then_some(Mark { session, time, what })
    }
}

/// The time of the monotonic clock, in nanoseconds.
pub(super) fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
