//! Who cancels jobs is told the truth.
use jorb::{JobId, Status};
use tokio::time::Instant;

use super::Account;

/// Which jobs somebody cancels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancels {
    Job(JobId),
    State(&'static str),
}

impl Cancels {
    pub(super) fn means(&self, id: JobId, state: &str) -> bool {
        match self {
            Cancels::Job(job) => *job == id,
            Cancels::State(meant) => *meant == state,
        }
    }
}

/// Now, or later.
fn has_a_step_to_make(status: Status) -> bool {
    matches!(status, Status::Ready | Status::Joining)
}

impl Account {
    /// Numbers of jobs are less than this.
    pub fn jobs_so_far(&self) -> u64 {
        self.jobs.keys().map(|id| id.0 + 1).max().unwrap_or(1)
    }

    /// Jobs that are meant as things are, and their steps.
    pub fn meant(&mut self, which: Cancels) -> Vec<(JobId, u64)> {
        self.asked.push(which);
        let meant = self.jobs.iter().filter(|(id, known)| match which {
            Cancels::Job(job) => **id == job && known.status != Status::Ended,
            Cancels::State(state) => known.state == state && has_a_step_to_make(known.status),
        });
        meant.map(|(id, known)| (*id, known.step)).collect()
    }

    /// So many are said to have been cancelled.
    pub fn heard(&mut self, which: Cancels, meant: Vec<(JobId, u64)>, jobs: u64) {
        self.told += jobs;
        self.asked.retain(|asked| *asked != which);
        self.unused = Some(Instant::now());
        self.meant.push((which, meant));
    }

    /// When a process has ended: all who asked have heard how many there were, and those that were meant are cancelled, unless they
    /// moved on before. Whoever died, or had a disk that failed, told nobody.
    pub fn check_cancelled(&mut self, ended: bool) {
        let (done, told) = (std::mem::take(&mut self.cancelled), std::mem::take(&mut self.told));
        let meant = std::mem::take(&mut self.meant);
        if !ended {
            return;
        }
        if done != told {
            self.wrong.push(format!("{done} were cancelled, and {told} told of"));
        }
        for (which, (id, step)) in
            meant.iter().flat_map(|(which, jobs)| jobs.iter().map(move |job| (which, job)))
        {
            let known = &self.jobs[id];
            let left = match which {
                Cancels::Job(_) => !matches!(known.status, Status::Ended | Status::Cancelled),
                Cancels::State(_) => has_a_step_to_make(known.status) && known.step == *step,
            };
            if left {
                self.wrong.push(format!("{id} is {} though {which:?} was cancelled", known.status));
            }
        }
    }
}
