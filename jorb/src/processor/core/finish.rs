//! A step ended: what it left gets its numbers and its place.
use std::time::Duration;

use super::{
    Core, Inner,
    cancel::Step,
    commit::{Followers, Then},
    nanos,
};
use crate::{
    Demand, JobId, Saved, Snapshot, StateId, Status, Timestamp, Workflow,
    cx::Settled,
    processor::{
        line::{AtHand, Waiting},
        permits::Uses,
        summary::Ending,
    },
    reduce::{Action, Effects, Failing, Kicked, Moving, Reduced, Throttle, cancelled},
    store::{Change, Failure, Line as HistoryLine, New, Record, Standing},
};

/// A step that ended.
pub(in crate::processor) struct Done<W: Workflow> {
    /// Where the job stood.
    pub(in crate::processor) before: Standing<W>,
    /// The job now, but for its numbers.
    pub(in crate::processor) record: Box<Record<W>>,
    pub(in crate::processor) effects: Effects<W>,
    pub(in crate::processor) kicks: Vec<(u64, Kicked<W>)>,
    pub(in crate::processor) action: Action,
    /// Of the job, and of each kick.
    pub(in crate::processor) at_hand: AtHand<W>,
    pub(in crate::processor) of_kicks: Vec<AtHand<W>>,
    /// What it took of limiters when it started, and what it said that it took in the end.
    pub(in crate::processor) demand: Demand,
    pub(in crate::processor) settled: Settled,
    pub(in crate::processor) waited: Duration,
    pub(in crate::processor) ran: Duration,
    /// When, in nanoseconds.
    pub(in crate::processor) ended: u64,
    pub(in crate::processor) uses: Uses,
    /// In which line it was.
    pub(in crate::processor) line: usize,
}

impl<W: Workflow> Done<W> {
    pub(super) fn throttled(&self) -> bool {
        self.effects.throttle.is_some()
    }

    /// Without an error.
    pub(super) fn moved(&self) -> bool {
        self.effects.moved.is_some() && self.effects.error.is_none()
    }

    /// Of a job that was not started before its deadline.
    pub(super) fn expired(Waiting { mut record, at_hand, uses, line, .. }: Waiting<W>, now: u64) -> Self {
        let before = record.standing();
        let Reduced { job, effects, action, .. } =
            cancelled(record.job.take(), true, Timestamp(now / 1_000_000));
        record.job = job;
        Done {
            before,
            record,
            effects,
            kicks: Vec::new(),
            action,
            at_hand: AtHand::NOTHING,
            of_kicks: Vec::new(),
            demand: at_hand.demand,
            settled: None,
            waited: Duration::ZERO,
            ran: Duration::ZERO,
            ended: now,
            uses,
            line,
        }
    }
}

/// What a step took of limiters, and what came of that.
pub(super) struct Used<'a> {
    pub(super) uses: &'a Uses,
    pub(super) demand: &'a Demand,
    /// What it said that it took in the end.
    pub(super) settled: &'a [(&'static str, u32)],
    /// The service let it pass, or throttled it.
    pub(super) answered: Option<bool>,
    /// In nanoseconds.
    pub(super) started: u64,
    pub(super) ended: u64,
}

impl<W: Workflow> Core<W> {
    /// A step ended: what it left goes to the writer.
    pub(in crate::processor) fn finish(&self, done: Done<W>) {
        self.lock().finish(done, self);
    }
}

impl<W: Workflow> Inner<W> {
    pub(super) fn finish(&mut self, done: Done<W>, core: &Core<W>) {
        let state = done.before.state;
        self.step_ended(state, done.action != Action::Stay, core);
        if self.permits.limits(state.index()) {
            let (throttled, moved) = (done.throttled(), done.moved());
            let ran = u64::try_from(done.ran.as_nanos()).unwrap_or(u64::MAX);
            let answered = (throttled || moved).then_some(throttled);
            let (started, ended) = (done.ended.saturating_sub(ran), done.ended);
            let settled = done.settled.as_deref().map_or(&[][..], |settled| settled);
            let used = Used { uses: &done.uses, demand: &done.demand, settled, answered, started, ended };
            self.give_back(state, &used, core);
        }
        if !self.land(done, core) {
            self.settle(core);
        }
    }

    /// A step of this state is over; its job has not ended it if it was not `tried`.
    pub(super) fn step_ended(&mut self, state: StateId<W>, tried: bool, core: &Core<W>) {
        self.executing -= 1;
        self.queues[state.index()].executing -= 1;
        self.step_is_over(tried, core);
    }

    /// What a step left of a job goes to the writer. False if that is nothing.
    pub(super) fn land(&mut self, done: Done<W>, core: &Core<W>) -> bool {
        let cancelled = matches!(self.running.remove(&done.record.job.id), Some(Step::Cancelled { .. }));
        if cancelled {
            self.let_go(done.before.state, done.line, done.ended);
        }
        if cancelled || done.action == Action::Stay || self.failure.is_some() {
            return false;
        }
        if done.action == Action::Park {
            // Counted before it is durable: by then, many more could have failed.
            self.parked += 1;
            if self.parked > self.most_parked {
                self.end(Ending::TooManyParked, core);
            }
        }
        self.queue(done);
        self.wake_writer(core);
        true
    }

    /// Numbers and places for what a step left.
    pub(super) fn queue(&mut self, done: Done<W>) {
        let Done {
            before,
            mut record,
            effects,
            kicks,
            action,
            at_hand,
            of_kicks,
            waited,
            ran,
            ended,
            uses,
            line: left,
            ..
        } = done;
        record.seq = take(&mut self.next.seq);
        record.placed = true;
        let mut bytes = size(&record.job);
        let (mut line, mut error) = (None, None);
        if let Some(Throttle { after }) = effects.throttle {
            self.throttle(&uses, after, ended);
        }
        if let Some(Failing { state, step, attempt, at, error: text }) = effects.error {
            let id = take(&mut self.next.error);
            let previous = record.last_error.replace(id);
            bytes += text.len();
            self.tally.errors[state.index()] += 1;
            let state = state.name().into();
            error = Some(Box::new(Failure { id, previous, state, step, attempt, at, error: text }));
        }
        if let Some(Moving { step, from, to, at, attempt }) = effects.moved {
            let id = take(&mut self.next.line);
            line = Some(HistoryLine {
                id,
                previous: record.last_line.replace(id),
                step,
                attempt,
                from: from.name().into(),
                to: to.name().into(),
                at,
                waited,
                ran,
                first_child: (!kicks.is_empty()).then_some(JobId(self.next.job)),
                children: kicks.len() as u64,
            });
        }
        let mut children = Vec::with_capacity(kicks.len());
        let parent = record.job.id;
        let priority = record.job.priority;
        let kick = |((n, mut kick), at_hand): ((u64, Kicked<W>), AtHand<W>)| {
            kick.priority = kick.priority.or(Some(priority));
            let (new, then) = self.child((parent, n), kick, at_hand, ended);
            bytes += size(&new.record.job);
            children.push(then);
            new
        };
        let kicks = kicks.into_iter().zip(of_kicks).map(kick).collect();
        let then = match action {
            Action::Run => self.follower(&mut record, at_hand, ended),
            Action::Join => {
                // The store puts it in the line of its key when its children are done.
                record.key = at_hand.demand.key;
                Then::Away
            }
            Action::Park | Action::End | Action::Cancel | Action::Stay => Then::Away,
        };
        self.queues[before.state.index()].uncommitted += 1;
        self.changes.push(Change { before, now: record, line, error, kicks });
        self.followers.push(Followers { then, children, bytes, left: Some(left) });
        self.uncommitted += 1;
        self.uncommitted_bytes += bytes;
    }

    fn throttle(&mut self, uses: &Uses, after: Option<Duration>, now: u64) {
        self.tally.throttles += 1;
        if let Some(after) = after {
            let pause = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
            self.permits.pause(uses, now.saturating_add(pause));
        }
    }

    /// What a step held of limiters is there for others.
    pub(super) fn give_back(&mut self, state: StateId<W>, used: &Used<'_>, core: &Core<W>) {
        let Used { uses, demand, settled, answered, started, ended } = *used;
        // An error says nothing about what the service allows.
        if let Some(throttled) = answered {
            self.permits.answered(uses, ended, started, throttled);
        }
        for (limiter, actual) in settled {
            let settled = self.permits.settle(state.index(), uses, demand, limiter, *actual, ended);
            let Ok(settled) = settled else {
                let state = state.name();
                tracing::warn!(state, limiter, "settled a limiter that its state does not name");
                continue;
            };
            let due = settled.and_then(|gate| self.permits.unsaved(gate, ended));
            self.saves.extend(due.map(|due| (vec![due], None)));
        }
        self.permits_changed(state, uses, core);
        self.permits.give_back(uses, ended);
    }

    /// Decides where a job waits that has a step to make: in memory, in the store, or (delayed) in both.
    pub(super) fn follower(&mut self, record: &mut Record<W>, at_hand: AtHand<W>, now: u64) -> Then<W> {
        record.key.clone_from(&at_hand.demand.key);
        let (turn, state) = (record.turn(), record.job.state);
        let line = self.line(state, &record.lane(), false, now);
        let queue = &mut self.queues[state.index()];
        if self.canary.as_ref().is_some_and(|canary| canary.jobs.contains(&record.job.id)) {
            // Whoever stands before it may never start.
            queue.keep(line);
            record.placed = false;
            return Then::Here(line, at_hand);
        }
        let here = queue.expect(line, turn, size(&record.job), now);
        record.placed = !here || nanos(record.job.ready_at) > now;
        if here { Then::Here(line, at_hand) } else { Then::Stored(line) }
    }

    fn child(
        &mut self,
        parent: (JobId, u64),
        kick: Kicked<W>,
        at_hand: AtHand<W>,
        now: u64,
    ) -> (New<W>, Then<W>) {
        let terminal = kick.to.state.spec().terminal();
        let job = Snapshot {
            id: JobId(take(&mut self.next.job)),
            parent: Some(parent),
            step: 0,
            attempt: 1,
            began: None,
            errors: 0,
            kicked: 0,
            priority: kick.priority.unwrap_or(0),
            state: kick.to.state,
            data: kick.to.data,
            context: kick.context,
            status: if terminal { Status::Ended } else { Status::Ready },
            ready_at: Timestamp(now / 1_000_000),
            delay: Duration::ZERO,
            deadline: kick.deadline.map(|deadline| Timestamp(now / 1_000_000) + deadline),
            join: None,
        };
        let seq = take(&mut self.next.seq);
        let mut record = Record { job, seq, placed: true, key: None, last_line: None, last_error: None };
        let then = if terminal { Then::Away } else { self.follower(&mut record, at_hand, now) };
        (New { record, once: kick.once }, then)
    }
}

pub(super) fn take(number: &mut u64) -> u64 {
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
