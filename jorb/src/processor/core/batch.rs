//! Jobs that start together, and end together.
use super::{
    Core, Inner,
    cancel::Step,
    finish::{Done, Used},
    nanos,
    start::{Chosen, Permit, Pull},
};
use crate::{
    Batching, Demand, JobId, StateId, Timestamp, Workflow,
    cx::Settled,
    processor::{line::Waiting, permits::Uses},
    reduce::Action,
};

/// Those at the head of a line that would start together.
pub(super) struct Group {
    jobs: Vec<JobId>,
    /// What they take of limiters together.
    pub(super) demand: Demand,
    /// When they start, as far as their limiters go.
    pub(super) due: u64,
}

/// A batch that starts; if there is a permit, once that is saved.
pub(in crate::processor) struct StartBatch<W: Workflow> {
    pub(in crate::processor) jobs: Vec<Waiting<W>>,
    pub(in crate::processor) uses: Uses,
    pub(in crate::processor) demand: Demand,
    pub(in crate::processor) at: u64,
    pub(in crate::processor) permit: Option<Permit>,
}

/// A batch that ended.
pub(in crate::processor) struct DoneBatch<W: Workflow> {
    pub(in crate::processor) jobs: Vec<Done<W>>,
    pub(in crate::processor) uses: Uses,
    pub(in crate::processor) demand: Demand,
    /// What it said that it took in the end.
    pub(in crate::processor) settled: Settled,
    /// In nanoseconds.
    pub(in crate::processor) started: u64,
    pub(in crate::processor) ended: u64,
}

impl<W: Workflow> Core<W> {
    /// As [`Core::next`], of several jobs at once.
    pub(in crate::processor) fn next_batch(
        &self,
        state: StateId<W>,
        batching: Batching,
        done: Option<DoneBatch<W>>,
    ) -> Pull<StartBatch<W>> {
        let ended = done.as_ref().map(|done| done.ended);
        let mut inner = self.lock();
        let inner = &mut *inner;
        if let Some(done) = done {
            inner.finish_batch(state, done, self);
        }
        let next = |inner: &mut Inner<W>, now| inner.next_batch(state, batching, now, self);
        self.pull(inner, state, ended, next).map(|((jobs, demand), at)| {
            inner.queues[state.index()].in_batches += jobs.len();
            for job in &jobs {
                inner.running.insert(job.record.job.id, Step::Goes);
                inner.suspects.starts(job);
            }
            let uses = jobs[0].uses.clone();
            let permit = self.permit(inner, &uses, &demand, at);
            StartBatch { jobs, uses, demand, at, permit }
        })
    }

    /// A batch ended: what it left goes to the writer.
    pub(in crate::processor) fn finish_batch(&self, state: StateId<W>, done: DoneBatch<W>) {
        self.lock().finish_batch(state, done, self);
    }

    /// Jobs that were cancelled since steps had been cancelled so often are no part of a batch that was to start.
    pub(in crate::processor) fn leave_out_cancelled(
        &self,
        state: StateId<W>,
        batch: &mut StartBatch<W>,
        known: u64,
    ) {
        if self.cancels() == known {
            return;
        }
        let now = self.clock.nanos();
        let mut inner = self.lock();
        batch.jobs.retain(|job| {
            let goes = matches!(inner.running.get(&job.record.job.id), Some(Step::Goes));
            if !goes {
                inner.leave_out(state, job, now);
            }
            goes
        });
    }

    /// As [`Core::not_started`].
    pub(in crate::processor) fn batch_not_started(&self, state: StateId<W>, batch: &StartBatch<W>) {
        let now = self.clock.nanos();
        let mut inner = self.lock();
        for job in &batch.jobs {
            inner.leave_out(state, job, now);
        }
        inner.executing -= 1;
        inner.queues[state.index()].executing -= 1;
        inner.permits.give_back(&batch.uses, now);
        inner.permits_changed(state, &batch.uses, self);
        inner.step_is_over(false, self);
        inner.settle(self);
    }
}

impl<W: Workflow> Inner<W> {
    /// Takes jobs of `state` that are to start now, together, with their permits; or says when to look again, if that is
    /// known.
    fn next_batch(
        &mut self,
        state: StateId<W>,
        batching: Batching,
        now: u64,
        core: &Core<W>,
    ) -> Result<(Vec<Waiting<W>>, Demand), Option<u64>> {
        let at = state.index();
        let Chosen { line, group, .. } = self.choose(state, Some(batching), now, core)?;
        let Group { jobs: ids, demand, .. } = group.ok_or(None)?;
        let jobs: Vec<_> = ids.into_iter().map_while(|id| self.take_job(at, line, id)).collect();
        let uses = jobs.first().ok_or(None)?.uses.clone();
        if self.permits.limits(at) {
            self.permits.take(&uses, &demand, now);
            // Who stood behind these jobs may be next.
            self.permits_changed(state, &uses, core);
        }
        Ok((jobs, demand))
    }

    /// Those that would start with this job of a line, from it on: as many as may, and as the burst of their limiters lets
    /// start at once. They wait for others until they are so many, or the first of them has waited for long enough.
    pub(super) fn gather(
        &self,
        state: usize,
        (line, first): (usize, JobId),
        Batching { max, wait, per_job }: Batching,
        now: u64,
    ) -> Group {
        let line = self.queues[state].at(line);
        let (alone, full) = (self.only_suspects(), self.canary.as_ref().filter(|canary| canary.is_full()));
        let picks = alone || full.is_some();
        let most = match &self.canary {
            _ if alone => 1,
            Some(canary) if full.is_some() => canary.most.min(max as usize),
            Some(canary) => (canary.most - canary.jobs.len()).min(max as usize),
            None => max as usize,
        };
        let is_one = |job: &&Waiting<W>| match full {
            _ if alone => job.record.job.id == first,
            Some(canary) => canary.has(job),
            None => true,
        };
        let limits = StateId::<W>::at(state).spec().limits;
        let limited = self.permits.limits(state);
        let mut group = Group { jobs: Vec::new(), demand: Demand::ONE, due: u64::MAX };
        let mut costs = vec![0_u32; limits.len()];
        for job in line.known(picks).filter(is_one).take(most) {
            if group.jobs.is_empty() {
                let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
                let deadline = job.record.job.deadline.map_or(u64::MAX, nanos);
                group.due = job.starts_at().saturating_add(wait).min(deadline);
            }
            if job.starts_at() > now || job.record.job.is_expired(Timestamp(now / 1_000_000)) {
                break;
            }
            if limited {
                let demand = &job.at_hand.demand;
                let sum = |(at, cost): (usize, &u32)| cost.saturating_add(demand.cost(at));
                let sums: Vec<_> = costs.iter().enumerate().map(sum).collect();
                let n = u32::try_from(group.jobs.len()).unwrap_or(u32::MAX).saturating_add(1);
                let demand = demand.of_batch(limits, &sums, n, per_job);
                if n > 1 && !self.permits.fit(&line.uses, &demand) {
                    group.due = 0;
                    return group;
                }
                (costs, group.demand) = (sums, demand);
            }
            group.jobs.push(job.record.job.id);
        }
        // With the last one that is waited for, it starts earlier.
        if let Some(last) = line.known(picks).filter(is_one).nth(most.saturating_sub(1)) {
            group.due = group.due.min(last.starts_at());
        }
        group
    }

    fn finish_batch(&mut self, state: StateId<W>, done: DoneBatch<W>, core: &Core<W>) {
        let DoneBatch { jobs, uses, demand, settled, started, ended } = done;
        self.step_ended(state, jobs.iter().any(|done| done.action != Action::Stay), core);
        if self.permits.limits(state.index()) {
            let throttled = jobs.iter().any(Done::throttled);
            let answered = (throttled || jobs.iter().any(Done::moved)).then_some(throttled);
            let settled = settled.as_deref().map_or(&[][..], |settled| settled);
            let used = Used { uses: &uses, demand: &demand, settled, answered, started, ended };
            self.give_back(state, &used, core);
        }
        self.queues[state.index()].in_batches -= jobs.len();
        let mut landed = false;
        for done in jobs {
            landed |= self.land(done, core);
        }
        if !landed {
            self.settle(core);
        }
    }

    /// A job is no part of a batch that was to start.
    fn leave_out(&mut self, state: StateId<W>, job: &Waiting<W>, now: u64) {
        self.queues[state.index()].in_batches -= 1;
        if let Some(Step::Cancelled { .. }) = self.running.remove(&job.record.job.id) {
            self.let_go(state, job.line, now);
        }
    }
}
