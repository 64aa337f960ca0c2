//! Where steps wait for their cue.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jorb::JobId;
use tokio::sync::oneshot;

use super::{Trace, others_go_first};

/// Steps in flight, each until it is told to end.
#[derive(Clone)]
pub struct Stage {
    cues: Arc<Mutex<BTreeMap<JobId, oneshot::Sender<u64>>>>,
    trace: Trace,
}

impl Stage {
    pub(super) fn new(trace: Trace) -> Self {
        Stage { cues: Arc::default(), trace }
    }

    /// A step begins; it ends when it is told, or at once.
    pub async fn enter(&self, state: &'static str, job: JobId, step: u64, attempt: u32, at_once: bool) {
        self.trace.add(format!("{state} {job}/{step} attempt {attempt}"));
        if !at_once {
            let (cue, told) = oneshot::channel();
            self.cues().insert(job, cue);
            let hesitates = told.await.expect("nobody throws a cue away");
            others_go_first(hesitates).await;
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        let mut cues = self.cues();
        cues.retain(|_, cue| !cue.is_closed());
        cues.len()
    }

    /// Tells one of them; so many times, others go first.
    pub(super) fn cue(&self, which: usize, hesitates: u64) {
        let mut cues = self.cues();
        let job = *cues.keys().nth(which).expect("so many wait");
        let cue = cues.remove(&job).expect("it is there");
        self.trace.add(format!("{job} goes on"));
        cue.send(hesitates).expect("it waits");
    }

    /// All of them are gone.
    pub(super) fn clear(&self) {
        self.cues().clear();
    }

    fn cues(&self) -> MutexGuard<'_, BTreeMap<JobId, oneshot::Sender<u64>>> {
        self.cues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
