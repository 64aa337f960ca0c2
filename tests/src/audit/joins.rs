//! Who waits for children, and for how many.
use jorb::{JobId, Join, Status, store::Record};

use super::Account;
use crate::walk::Walk;

impl Account {
    /// A job is said to have no child left to wait for.
    pub(super) fn fires(&mut self, record: &Record<Walk>) {
        let id = record.job.id;
        if self.jobs.get(&id).is_none_or(|known| known.status != Status::Joining) {
            self.wrong.push(format!("{id} fires and did not join"));
        }
        self.know(record);
        let join = record.job.join.as_deref().cloned().unwrap_or_default();
        let found = self.join(id, join.or_parked);
        if join != found || found.left > 0 {
            self.wrong.push(format!("{id} fires with {join:?}, not {found:?}"));
        }
    }

    /// Every job that joins waits for some child, and knows how all of them stand.
    pub fn check_joins(&mut self, jobs: &[Record<Walk>]) {
        for job in jobs.iter().map(|record| &record.job).filter(|job| job.status == Status::Joining) {
            let join = job.join.as_deref().cloned().unwrap_or_default();
            let found = self.join(job.id, join.or_parked);
            if join != found || found.left == 0 {
                self.wrong.push(format!("{} joins {join:?}, not {found:?}", job.id));
            }
        }
    }

    fn join(&self, parent: JobId, or_parked: bool) -> Join {
        let mut join = Join::new(or_parked);
        for child in self.children.get(&parent).into_iter().flatten().map(|id| &self.jobs[id]) {
            let done = match child.status {
                Status::Ended => &mut join.ended,
                Status::Parked if or_parked => &mut join.parked,
                Status::Cancelled => &mut join.cancelled,
                _ => {
                    join.left += 1;
                    continue;
                }
            };
            *done.entry(child.state.into()).or_default() += 1;
        }
        join
    }
}
