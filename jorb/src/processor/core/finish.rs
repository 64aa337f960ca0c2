//! A step ended: what it left gets its numbers and its place.
use std::time::Duration;

use super::{Core, Inner};
use crate::{
    Clock, JobId, Saved, Snapshot, Status, Timestamp, Workflow,
    processor::{line::Waiting, summary::Ending},
    reduce::{Action, Effect, Kicked},
    store::{Change, Failure, Line as HistoryLine, New, Record},
};

/// A step that ended.
pub(in crate::processor) struct Done<W: Workflow> {
    pub(in crate::processor) before: Record<W>,
    pub(in crate::processor) now: Snapshot<W>,
    pub(in crate::processor) effects: Vec<Effect<W>>,
    pub(in crate::processor) action: Action,
    /// The values of `now`, and of each kick, if they are at hand.
    pub(in crate::processor) values: Option<(W, W::Job)>,
    pub(in crate::processor) kicked: Vec<(W, W::Job)>,
    pub(in crate::processor) waited: Duration,
    pub(in crate::processor) ran: Duration,
}

/// A change on its way to the store, and who goes on when it is there.
pub(super) struct Pending<W: Workflow> {
    pub(super) change: Change<W>,
    pub(super) then: Option<Box<Waiting<W>>>,
    pub(super) children: Vec<Option<Box<Waiting<W>>>>,
    pub(super) bytes: usize,
}

impl<W: Workflow> Core<W> {
    /// A step ended: what it left goes to the writer.
    pub(in crate::processor) fn finish(&self, done: Done<W>) {
        let mut inner = self.lock();
        let from = done.before.job.state;
        inner.executing -= 1;
        inner.lines[from.index()].executing -= 1;
        if done.action == Action::Stay || inner.failure.is_some() {
            inner.settle(self);
            return;
        }
        if done.action == Action::Park {
            // Counted before it is durable: by then, many more could have failed.
            inner.parked += 1;
            if inner.parked > inner.most_parked {
                inner.end(Ending::TooManyParked, self);
            }
        }
        let pending = inner.pending_of(done, &self.clock);
        inner.uncommitted += 1;
        inner.uncommitted_bytes += pending.bytes;
        inner.pending.push(pending);
        drop(inner);
        self.work.notify_one();
    }
}

impl<W: Workflow> Inner<W> {
    /// Numbers and places for what a step left.
    fn pending_of(&mut self, done: Done<W>, clock: &Clock) -> Pending<W> {
        let Done { before, now: job, effects, action, values, kicked, waited, ran } = done;
        let from = before.job.state;
        let standing = before.standing();
        let seq = take(&mut self.next.seq);
        let mut record =
            Record { job, seq, placed: true, last_line: before.last_line, last_error: before.last_error };
        let (mut line, mut error) = (None, None);
        let (mut kicks, mut children) = (Vec::new(), Vec::new());
        let mut values_of_kicks = kicked.into_iter();
        let mut bytes = size(&record.job);
        for effect in effects {
            match effect {
                Effect::Move { step, from, to, at, attempt } => {
                    let id = take(&mut self.next.line);
                    let previous = record.last_line.replace(id);
                    let (from, to) = (from.name().into(), to.name().into());
                    line = Some(HistoryLine {
                        id,
                        previous,
                        step,
                        attempt,
                        from,
                        to,
                        at,
                        waited,
                        ran,
                        first_child: None,
                        children: 0,
                    });
                }
                Effect::Error { state, step, attempt, at, error: text } => {
                    let id = take(&mut self.next.error);
                    let previous = record.last_error.replace(id);
                    bytes += text.len();
                    self.tally.errors[state.index()] += 1;
                    error = Some(Failure {
                        id,
                        previous,
                        state: state.name().into(),
                        step,
                        attempt,
                        at,
                        error: text,
                    });
                }
                Effect::Kick { n, kick } => {
                    let id = JobId(take(&mut self.next.job));
                    if let Some(line) = &mut line {
                        line.first_child.get_or_insert(id);
                        line.children += 1;
                    }
                    let (new, waiting) =
                        self.child(record.job.id, n, id, kick, values_of_kicks.next(), clock.now());
                    bytes += size(&new.record.job);
                    kicks.push(new);
                    children.push(waiting);
                }
                Effect::Throttle { after } => {
                    self.tally.throttles += 1;
                    if let (Some(limiter), Some(after)) = (&mut self.lines[from.index()].limiter, after) {
                        let pause = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
                        limiter.pause(clock.nanos().saturating_add(pause));
                    }
                }
            }
        }
        let then = if action == Action::Run { self.follower(&mut record, values, clock.now()) } else { None };
        let change = Change { before: standing, now: record, line, error, kicks };
        Pending { change, then, children, bytes }
    }

    /// Decides where a job waits that has a step to make: in memory, in the store, or (delayed) in both.
    fn follower(
        &mut self,
        record: &mut Record<W>,
        values: Option<(W, W::Job)>,
        now: Timestamp,
    ) -> Option<Box<Waiting<W>>> {
        let line = &mut self.lines[record.job.state.index()];
        if self.canary.as_ref().is_some_and(|canary| canary.jobs.contains(&record.job.id)) {
            // Whoever stands before it may never start.
            line.keep();
            record.placed = false;
            return Some(Waiting::new(record.clone(), values));
        }
        let here = line.expect(record.turn());
        record.placed = !here || record.job.ready_at > now;
        here.then(|| Waiting::new(record.clone(), values))
    }

    fn child(
        &mut self,
        parent: JobId,
        n: u64,
        id: JobId,
        kick: Kicked<W>,
        values: Option<(W, W::Job)>,
        now: Timestamp,
    ) -> (New<W>, Option<Box<Waiting<W>>>) {
        let terminal = kick.to.state.spec().terminal();
        let job = Snapshot {
            id,
            parent: Some((parent, n)),
            step: 0,
            attempt: 1,
            errors: 0,
            kicked: 0,
            state: kick.to.state,
            data: kick.to.data,
            context: kick.context,
            status: if terminal { Status::Ended } else { Status::Ready },
            ready_at: now,
            delay: Duration::ZERO,
        };
        let seq = take(&mut self.next.seq);
        let mut record = Record { job, seq, placed: true, last_line: None, last_error: None };
        let waiting = if terminal { None } else { self.follower(&mut record, values, now) };
        (New { record, once: kick.once }, waiting)
    }
}

fn take(number: &mut u64) -> u64 {
    let n = *number;
    *number += 1;
    n
}

/// About how many bytes a job takes until it is committed.
pub(super) fn size<W: Workflow>(job: &Snapshot<W>) -> usize {
    fn text<T>(saved: &Saved<T>) -> usize {
        match saved {
            Saved::Json(text) => text.len(),
            Saved::Value(_) | Saved::Nothing => 0,
        }
    }
    256 + text(&job.data) + text(&job.context)
}
