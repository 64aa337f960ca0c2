//! A slot that runs several jobs in one step.
use std::{pin::pin, sync::Arc};

use tokio::task::coop;
use tracing::Instrument;

use super::{
    Begun, Bench, Encoded, Gave, Shared, Whom, encode, judge, may_start, nothing, shortened, unusable,
};
use crate::{
    BatchCx, Batching, Ended, Fault, JobId, Loose, Policy, Reaction, StateId, Workflow,
    cx::Settled,
    processor::{
        core::{DoneBatch, Pull, StartBatch},
        line::values,
        panic::caught,
    },
    reduce::Returned,
};

/// Runs batches of `state` until the run ends.
pub(in crate::processor) async fn batches<W: Workflow>(
    shared: Arc<Shared<W>>,
    state: StateId<W>,
    policy: Policy,
    batching: Batching,
) {
    let core = &shared.core;
    let mut bench = Bench::new(&shared, &policy);
    let mut done = None;
    loop {
        bench.cancels = core.cancels();
        match core.next_batch(state, batching, done.take()) {
            Pull::Run(mut batch) => {
                let starts = may_start(core, state, batch.permit.take()).await;
                core.leave_out_cancelled(state, &mut batch, bench.cancels);
                if !starts || batch.jobs.is_empty() {
                    core.batch_not_started(state, &batch);
                    continue;
                }
                done = Some(bench.batch(state, batch).await);
                if !coop::has_budget_remaining()
                    && let Some(done) = done.take()
                {
                    core.finish_batch(state, done);
                }
                coop::consume_budget().await;
            }
            Pull::Wait => core.woken(state).await,
            Pull::Retire => return,
        }
    }
}

/// What a handler of batches gave, and what it settled.
type Given<W> = (Result<Vec<Ended<W>>, Fault>, Settled);

impl<W: Workflow> Bench<'_, W> {
    async fn batch(&mut self, state: StateId<W>, batch: StartBatch<W>) -> DoneBatch<W> {
        let StartBatch { jobs, uses, demand, at: started, .. } = batch;
        let jobs = jobs.into_iter().map(|job| Begun::new(job, started));
        // Those that cannot be read are no part of it.
        let (mut batch, mut handed, mut unread) = (Vec::new(), Vec::new(), Vec::new());
        for (begun, known) in jobs {
            match known.map_or_else(|| caught(|| values(&begun.record)), |known| Ok(Ok(known))) {
                Ok(Ok((state, job))) => {
                    handed.push(Loose { state, job, at: self.at(&begun.record.job) });
                    batch.push(begun);
                }
                Ok(Err(e)) => unread.push((begun, unusable(&e))),
                Err(error) => unread.push((begun, Returned::Broke { error })),
            }
        }
        let span = tracing::debug_span!("batch", state = state.name(), jobs = batch.len());
        let (encoded, settled) = self.run_batch(state, &batch, handed).instrument(span).await;
        let ended = self.shared.core.clock.nanos();
        let unread = unread.into_iter().map(|(begun, returned)| (begun, nothing(returned)));
        let all = batch.into_iter().zip(encoded).chain(unread);
        let jobs = all.map(|(begun, encoded)| self.done(begun, encoded, None, (started, ended))).collect();
        DoneBatch { jobs, uses, demand, settled, started, ended }
    }

    /// Runs one step of all these jobs; gives what it gave of each.
    async fn run_batch(
        &mut self,
        state: StateId<W>,
        jobs: &[Begun<W>],
        handed: Vec<Loose<W>>,
    ) -> (Vec<Encoded<W>>, Settled) {
        let ids: Vec<JobId> = jobs.iter().map(|begun| begun.record.job.id).collect();
        if ids.is_empty() {
            return (Vec::new(), None);
        }
        let (app, overall) = self.common();
        let cx = BatchCx { app, overall, cancelled: self.cancelled.clone(), settled: None };
        let whom = Whom { state, jobs: &ids, deadline: None };
        let gave = if self.policy.blocking {
            self.run_on_thread(&whom, run_to_end(handed, cx)).await
        } else {
            self.run_batch_in_place(&whom, handed, cx).await
        };
        self.cancel();
        let (outcome, settled) = match gave {
            Gave::Outcome((outcome, settled)) => (Gave::Outcome(outcome), settled),
            Gave::Broke(error) => (Gave::Broke(error), None),
            Gave::Expired | Gave::Stopped => (Gave::Stopped, None),
        };
        (self.encode_batch(jobs, outcome), settled)
    }

    async fn run_batch_in_place(
        &mut self,
        whom: &Whom<'_, W>,
        handed: Vec<Loose<W>>,
        mut cx: BatchCx<W>,
    ) -> Gave<Given<W>> {
        let outcome = self.drive(whom, pin!(run(handed, &mut cx))).await;
        let BatchCx { app, overall, settled, .. } = cx;
        self.give_back(app, overall);
        outcome.map_or_else(|gave| gave, |outcome| Gave::Outcome((outcome, settled)))
    }

    /// What a batch gave of each of its jobs, as the store keeps it.
    fn encode_batch(&self, jobs: &[Begun<W>], gave: Gave<Result<Vec<Ended<W>>, Fault>>) -> Vec<Encoded<W>> {
        let form = self.shared.core.form;
        let all = |of: &dyn Fn(&Begun<W>) -> Returned<W>| jobs.iter().map(|job| nothing(of(job))).collect();
        match gave {
            Gave::Outcome(Ok(ended)) if is_of(&ended, jobs) => {
                let encode = |Ended { mut outcome, job, .. }: Ended<W>| {
                    judge(self.policy, &mut outcome);
                    caught(|| encode(Gave::Outcome((outcome, job, None)), form))
                        .unwrap_or_else(|error| nothing(Returned::Broke { error }))
                };
                ended.into_iter().map(encode).collect()
            }
            Gave::Outcome(Ok(_)) => {
                let error = "the handler finished another batch than the one that it was given";
                all(&|_| Returned::Unusable { error: error.into() })
            }
            Gave::Outcome(Err(fault)) => {
                let mut outcome = Err::<(), _>(fault);
                judge(self.policy, &mut outcome);
                let fault = outcome.err().map(|fault| {
                    let error = caught(|| shortened(fault.text())).unwrap_or_else(|panic| panic);
                    (fault.reaction(), error)
                });
                let (reaction, error) = fault.unwrap_or((Reaction::Retry(None), String::new()));
                all(&|begun| {
                    let (error, context) = (error.clone(), begun.record.job.context.clone());
                    Returned::Failed { reaction, error, context }
                })
            }
            Gave::Broke(error) => all(&|_| Returned::Broke { error: error.clone() }),
            Gave::Expired | Gave::Stopped => all(&|_| Returned::Stopped),
        }
    }
}

/// A handler can make batches of its own, and finish those.
fn is_of<W: Workflow>(ended: &[Ended<W>], jobs: &[Begun<W>]) -> bool {
    ended.iter().map(|ended| ended.id).eq(jobs.iter().map(|begun| begun.record.job.id))
}

async fn run<W: Workflow>(jobs: Vec<Loose<W>>, cx: &mut BatchCx<W>) -> Result<Vec<Ended<W>>, Fault> {
    W::dispatch_batch(jobs, cx).expect("only states with a handler have slots").await
}

/// The same, with what it settled.
async fn run_to_end<W: Workflow>(jobs: Vec<Loose<W>>, mut cx: BatchCx<W>) -> Gave<Given<W>> {
    let outcome = run(jobs, &mut cx).await;
    Gave::Outcome((outcome, cx.settled))
}
