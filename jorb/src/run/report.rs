//! How a run stands, what failed and why, and what to do about it.
use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use self::groups::Groups;
use super::walk::{Filter, Walk};
use crate::{
    Error, HeldKey, JobId, Run, Shown, StateId, StateSummary, Status, Timestamp, Workflow,
    store::{Seeding, Turn},
};

mod groups;

/// Lines of a state in which it is looked for when its next job is due.
const LANES: usize = 1000;
/// Texts that are printed for each state.
const PRINTED: usize = 5;

/// How a run stands, what failed and why, and what to do about it: [`Run::report`].
///
/// Printed, it is for people; serialized, for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The workflow's name.
    pub workflow: &'static str,
    /// The run's identity.
    pub run: Uuid,
    /// When it was made.
    pub created: Timestamp,
    /// When it last changed.
    pub changed: Timestamp,
    /// No job has anything left to do.
    pub complete: bool,
    /// Errors so far, of all jobs.
    pub errors: u64,
    /// How many jobs ran when the process died, and run alone before others do: [`Run::suspects`].
    pub suspects: u64,
    /// Every state, in declaration order.
    pub states: Vec<StateReport>,
    /// Keys of limiters that an operator has stopped: their jobs are among the ready ones.
    pub held_keys: Vec<HeldKey>,
    /// What to do next.
    pub next: Vec<Advice>,
}

/// How one state stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateReport {
    /// Its jobs.
    #[serde(flatten)]
    pub jobs: StateSummary,
    /// An operator has stopped it.
    pub is_held: bool,
    /// When the first of its delayed jobs is due.
    pub next_due: Option<Timestamp>,
    /// Why jobs are parked, the most frequent reason first.
    pub reasons: Vec<Reason>,
    /// Parked jobs for other reasons: only so many are kept apart.
    pub others: u64,
}

/// Why jobs are parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The error. Where jobs differ in numbers only, those are `#`.
    pub error: String,
    /// How many jobs.
    pub jobs: u64,
    /// Some of them.
    pub examples: Vec<JobId>,
}

/// A command, and what it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// The arguments of the program.
    pub command: String,
    /// What it does.
    pub what: String,
}

impl<W: Workflow> Run<W> {
    /// How the run stands, what failed and why, and what to do about it.
    ///
    /// It looks at all parked jobs, and keeps the thousand reasons of each state that it met first.
    ///
    /// ```
    /// # use jorb::prelude::*;
    /// # #[workflow] #[derive(Debug, Clone)] enum Crawl {
    /// #     #[state(initial, next(Done))] Fetch,
    /// #     #[state(terminal)] Done,
    /// # }
    /// #[state]
    /// async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> {
    ///     Err(Fault::fatal("connection refused"))
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), jorb::Error> {
    /// # let mut run = jorb::Run::<Crawl>::open(jorb::MemoryStore::new())?;
    /// # run.seed((), |jobs| jobs.add(Kick::new(crawl::Fetch, ())))?;
    /// # let _ = jorb::Processor::new(()).exec(&mut run).await?;
    /// let report = run.report()?;
    /// assert_eq!(report.states[0].reasons[0].error, "connection refused");
    /// assert_eq!(report.next[0].command, "redrive --from Fetch");
    /// # Ok(())
    /// # }
    /// ```
    pub fn report(&mut self) -> Result<Report, Error> {
        let mut states = Vec::new();
        for (state, jobs) in StateId::all().zip(self.states()) {
            states.push(self.report_on(state, jobs)?);
        }
        let suspects = self.suspects()?.len() as u64;
        let held_keys = self.held_keys();
        let header = &self.header;
        Ok(Report {
            workflow: W::NAME,
            run: header.run,
            created: header.created,
            changed: header.next.time.max(header.created),
            complete: self.is_complete(),
            errors: header.next.error - 1,
            suspects,
            next: advice(header.seeding == Seeding::Done, &states, &held_keys),
            states,
            held_keys,
        })
    }

    fn report_on(&mut self, state: StateId<W>, jobs: StateSummary) -> Result<StateReport, Error> {
        let (store, header) = self.opened()?;
        let mut groups = Groups::default();
        if jobs.parked > 0 {
            let filter = Filter { state: Some(state), status: Some(Shown::Parked), ..Filter::all() };
            let mut walk = Walk::new(filter, header);
            while let Some((record, _)) = walk.next(store)? {
                let error = store.last_error(record.job.id)?;
                groups.add(record.job.id, error.as_ref().map_or("(no error is kept)", |e| &e.error));
            }
        }
        let now = Turn { ready_at: header.now(), seq: u64::MAX };
        let mut delayed = Vec::new();
        for lane in store.lanes(state, Status::Ready, None, LANES)? {
            delayed.extend(store.line(state, Status::Ready, &lane, Some(now), 1)?);
        }
        let (reasons, others) = groups.into_reasons();
        Ok(StateReport {
            is_held: header.held.contains(&state),
            next_due: delayed.iter().map(|record| record.job.ready_at).min(),
            jobs,
            reasons,
            others,
        })
    }
}

fn advice(seeded: bool, states: &[StateReport], held_keys: &[HeldKey]) -> Vec<Advice> {
    let mut next = Vec::new();
    let mut say = |command: String, what: String| next.push(Advice { command, what });
    if !seeded {
        say("run".into(), "seeds the run and drives it".into());
    }
    for StateReport { jobs, .. } in states.iter().filter(|s| s.jobs.parked > 0) {
        say(
            format!("redrive --from {}", jobs.name),
            format!("tries {} again", count(jobs.parked, "parked job")),
        );
    }
    for StateReport { jobs, .. } in states.iter().filter(|s| s.jobs.held > 0) {
        say(format!("release {}", jobs.name), format!("lets {} go on", count(jobs.held, "held job")));
    }
    for HeldKey { limiter, key, .. } in held_keys {
        let command = format!("release --limiter {limiter} --key {}", in_shell(key));
        say(command, "lets the jobs of that key go on".into());
    }
    let ready: u64 = states.iter().map(|s| s.jobs.ready - s.jobs.held).sum();
    if ready > 0 {
        let but = if held_keys.is_empty() { "" } else { ", but for those of held keys" };
        say("run".into(), format!("goes on with {}{but}", count(ready, "job")));
    }
    next
}

/// As a shell takes it.
fn in_shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@%+=".contains(c);
    if text.chars().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// What is said of them, wherever the run is looked at.
pub(crate) fn suspected(n: u64) -> String {
    let they_run = if n == 1 { "it runs" } else { "they run" };
    format!("{} ran when the process died: {they_run} first, and alone", count(n, "job"))
}

fn count(n: u64, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {what}{s}")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { workflow, run, created, changed, errors, .. } = self;
        writeln!(f, "{workflow} {run}")?;
        writeln!(f, "created {created}, last change {changed}, {}", count(*errors, "error"))?;
        writeln!(f)?;
        let width = self.states.iter().map(|s| s.jobs.name.len()).max().unwrap_or(0);
        let digits = self.states.iter().map(|s| s.jobs.total().to_string().len()).max().unwrap_or(0);
        for StateReport { jobs, is_held, next_due, .. } in &self.states {
            write!(f, "  {:width$}  {:>digits$}", jobs.name, jobs.total())?;
            let ready = jobs.ready - jobs.held;
            let parts = [
                (ready, "ready"),
                (jobs.held, "held"),
                (jobs.joining, "joining"),
                (jobs.parked, "parked"),
                (jobs.cancelled, "cancelled"),
                (jobs.ended, "ended"),
            ];
            for (n, what) in parts.into_iter().filter(|(n, _)| *n > 0) {
                write!(f, "  {n} {what}")?;
            }
            if *is_held && jobs.held == 0 {
                write!(f, "  held")?;
            }
            if let Some(at) = next_due {
                write!(f, "  first delayed one due {at}")?;
            }
            writeln!(f)?;
        }
        if !self.held_keys.is_empty() {
            writeln!(f)?;
        }
        for HeldKey { limiter, key, since } in &self.held_keys {
            writeln!(f, "held: {limiter}[{key}], since {since}")?;
        }
        if self.suspects > 0 {
            writeln!(f, "\n{}", suspected(self.suspects))?;
        }
        for state in self.states.iter().filter(|s| s.jobs.parked > 0) {
            writeln!(f, "\nparked in {}:", state.jobs.name)?;
            write_reasons(f, state)?;
        }
        if self.complete && self.next.is_empty() {
            writeln!(f, "\ncomplete")?;
        } else {
            writeln!(f, "\nnext:")?;
        }
        let width = self.next.iter().map(|advice| advice.command.len()).max().unwrap_or(0);
        self.next.iter().try_for_each(|Advice { command, what }| writeln!(f, "  {command:width$}  {what}"))
    }
}

fn write_reasons(f: &mut fmt::Formatter<'_>, state: &StateReport) -> fmt::Result {
    let digits = state.reasons.first().map_or(0, |reason| reason.jobs.to_string().len());
    let printed = state.reasons.iter().take(PRINTED);
    for Reason { error, jobs, examples } in printed {
        let ids: Vec<String> = examples.iter().map(JobId::to_string).collect();
        let more = if *jobs > examples.len() as u64 { ", .." } else { "" };
        let s = if examples.len() == 1 { "" } else { "s" };
        writeln!(f, "  {jobs:>digits$}  {}  (job{s} {}{more})", error.replace('\n', " "), ids.join(", "))?;
    }
    let rest = &state.reasons[state.reasons.len().min(PRINTED)..];
    let jobs = state.others + rest.iter().map(|reason| reason.jobs).sum::<u64>();
    if jobs > 0 {
        writeln!(f, "  {jobs:>digits$}  for other reasons")?;
    }
    Ok(())
}
