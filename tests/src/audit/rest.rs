//! What must hold when everybody waits for something: no time has passed since anything happened.
use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use jorb::{
    Event, Snapshot, StateId, Status, Timestamp,
    store::{Counts, Header, Record, Story},
};

use tokio::time::Instant;

use super::{Account, Unheard};
use crate::walk::{STATES, Walk};

/// So long, jobs that have just come to memory may hold back those that were seeded and never ran.
const FLOWS: Duration = Duration::from_millis(100);
/// A slow permit is saved as if its step started so much later, and a crash makes that so. A disk that is slow makes it
/// more.
const LEAD: Duration = Duration::from_secs(10);
/// Timers count milliseconds, and what is saved of a limiter is rounded up to one.
const TICKS: Duration = Duration::from_millis(2);

impl Account {
    /// The next time at which a job is due that is not yet.
    pub fn next_due(&self) -> Option<Timestamp> {
        let now = self.now();
        let heads = self
            .waiting()
            .filter_map(|(_, line)| line.iter().map(|(turn, _)| turn.ready_at).find(|at| *at > now));
        heads.min()
    }

    /// Some job will start when time goes on.
    pub fn waits_for_time(&self) -> bool {
        self.waiting().next().is_some()
    }

    /// Whoever is due has started, if there is a slot and a permit.
    pub fn check_nobody_waits_at_rest(&mut self) {
        let now = self.now();
        let mut wrong = Vec::new();
        for (name, _, slots, interval) in STATES {
            let running = self.steps_in(name);
            let first = self.lines_of.get(name).and_then(BTreeSet::first);
            let Some((turn, job)) = first.filter(|_| !self.held.contains(name)) else { continue };
            if self.stirred.is_some_and(|last| last.elapsed() <= FLOWS + TICKS) && self.jobs[job].is_new() {
                continue;
            }
            let limited = !interval.is_zero() && now < self.limited_until(name, interval);
            if turn.ready_at <= now && running < slots && !limited {
                let since = now.since(turn.ready_at);
                wrong.push(format!("{job} waits in {name} since {since:?}, {running} run"));
            }
        }
        self.wrong.extend(wrong);
    }

    /// The process was told to stop, and has waited for its steps for longer than it may.
    pub fn is_out_of_grace(&self, grace: Duration) -> bool {
        self.stopped
            .is_some_and(|stopped| stopped.max(self.opened.unwrap_or(stopped)).elapsed() > grace + TICKS)
    }

    /// The next permit is there at last when this has passed.
    fn limited_until(&self, state: &'static str, interval: Duration) -> Timestamp {
        let clock = self.clock.expect("a process has opened the run");
        let last = self.starts.get(state).and_then(|starts| starts.last()).copied().max(self.unused);
        let left = |from: Option<Instant>, most: Duration| {
            from.map_or(Duration::ZERO, |from| most.saturating_sub(from.elapsed()))
        };
        let left = left(last, interval + TICKS).max(left(self.opened, interval + LEAD));
        let paused = self.pauses.get(state).copied().unwrap_or_default();
        (clock.now() + left).max(paused + TICKS)
    }

    /// The process is still about to open the run: its limiters begin no earlier.
    pub fn opens(&mut self) {
        self.opened = Some(Instant::now());
    }

    /// A service asks a state to pause.
    pub fn pause(&mut self, state: &'static str, wait: Duration) {
        let until = self.pauses.entry(state).or_default();
        *until = (*until).max(self.clock.expect("a process has opened the run").now() + wait);
    }

    /// Jobs may have come to memory.
    pub fn stirs(&mut self) {
        self.stirred = Some(Instant::now());
    }

    /// Commits from now on may be news to the engine for a while.
    pub fn is_slow_to_hear(&mut self) {
        self.unheard.any = true;
    }

    /// The engine knows all of them.
    pub fn has_heard(&mut self) {
        self.unheard = Unheard::default();
    }

    /// The engine may know less than the store.
    pub fn may_not_have_heard(&self) -> bool {
        self.unheard.any
    }

    /// What an operator says of a state.
    pub fn hold(&mut self, state: &'static str, held: bool) {
        if held {
            self.held.insert(state);
        } else {
            self.held.remove(state);
        }
    }

    /// A process said that the run is complete, and stopped cleanly.
    pub fn check_complete(&mut self, header: &Header<Walk>) {
        for state in StateId::<Walk>::all().filter(|state| !header.held.contains(state)) {
            let ready = header.counts.get(state, Status::Ready);
            if ready > 0 {
                self.wrong.push(format!("complete, though {ready} are ready in {state:?}"));
            }
        }
    }

    /// What an operator said before a process stopped cleanly.
    pub fn check_held(&mut self, header: &Header<Walk>) {
        let held: HashSet<_> = header.held.iter().map(|state| state.name()).collect();
        if held != self.held {
            self.wrong.push(format!("held are {held:?}, not {:?}", self.held));
        }
    }

    /// The counts of a store, beside those of its jobs and ours.
    pub fn check_counts(&mut self, counts: &Counts, jobs: &[Record<Walk>]) {
        for state in StateId::<Walk>::all() {
            for status in Status::ALL {
                let found =
                    jobs.iter().map(|r| &r.job).filter(|j| j.state == state && j.status == status).count();
                let ours = self.counts.get(&(state.name(), status)).copied().unwrap_or(0);
                let told = counts.get(state, status);
                if (told, ours) != (found as u64, found as u64) {
                    self.wrong.push(format!("{found} in {state:?} are {status}, not {told}, nor {ours}"));
                }
            }
        }
    }

    /// What listeners are told has just become so.
    pub fn check_event(&mut self, event: &Event) {
        let (Event::Moved { job, to: state, .. }
        | Event::Failed { job, state, .. }
        | Event::Cancelled { job, state, .. }) = event
        else {
            return;
        };
        if self.jobs.get(job).is_none_or(|known| known.state != *state) {
            self.wrong.push(format!("told {event:?}"));
        }
    }

    /// A job's history, its errors and its kicks are there as often as it says.
    pub fn check_story(&mut self, job: &Snapshot<Walk>, story: &Story) {
        let kicks = self.names.iter().filter(|name| name.0 == job.id).count();
        let told = (job.step, job.errors, job.kicked);
        let found = (story.lines.len() as u64, story.errors.len() as u64, kicks as u64);
        if told != found {
            self.wrong.push(format!("{}: {told:?} steps, errors and kicks, but {found:?}", job.id));
        }
    }

    /// Lines of states that are not held, if there is anybody in them.
    fn waiting(&self) -> impl Iterator<Item = (&'static str, &BTreeSet<(jorb::store::Turn, jorb::JobId)>)> {
        let there =
            |(state, line): &(&&'static str, &BTreeSet<_>)| !line.is_empty() && !self.held.contains(*state);
        self.lines_of.iter().filter(there).map(|(state, line)| (*state, line))
    }

    fn now(&self) -> Timestamp {
        self.clock.expect("a process has opened the run").now()
    }
}
