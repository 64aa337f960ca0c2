//! Numbers that are too large to count on from.
use super::{Entry, Head};
use crate::{Join, store::Numbers};

/// 2⁵³: all readers of JSON agree on a number up to it, and nobody who counts on from it comes to an end.
const LARGEST: u64 = 1 << 53;

impl Entry {
    /// Says which number of a job is too large, if one is.
    pub(crate) fn check_numbers(&self) -> Result<(), String> {
        let id = self.id.map_or(0, |id| id.0);
        let (parent, n) = self.parent.map_or((0, 0), |parent| (parent.job.0, parent.n));
        check([("id", id), ("parent", parent.max(n)), ("step", self.step), ("kicked", self.kicked)])?;
        check([("seq", self.seq.unwrap_or(0))])?;
        if let Some(Join { left, ended, parked, cancelled, .. }) = &self.children {
            let most = ended.values().chain(parked.values()).chain(cancelled.values()).chain([left]).max();
            check([("children", most.copied().unwrap_or(0))])?;
        }
        for line in &self.history {
            let kicked = line.kicked.map_or(0, |kicked| kicked.count.max(kicked.first.map_or(0, |id| id.0)));
            check([("id", line.id.unwrap_or(0)), ("step", line.step), ("kicked", kicked)])?;
        }
        for error in self.errors.values().flatten() {
            check([("id", error.id.unwrap_or(0)), ("step", error.step)])?;
        }
        self.dropped.values().try_for_each(|dropped| check([("dropped", dropped.lines.max(dropped.errors))]))
    }
}

impl<J> Head<J> {
    /// Says which number of a run is too large, if one is.
    pub(crate) fn check_numbers(&self) -> Result<(), String> {
        let Numbers { job, seq, line, error, .. } = self.next.unwrap_or(Numbers::FIRST);
        let fresh = self.fresh.map_or(0, |fresh| fresh.next.max(fresh.end));
        check([("next", job.max(seq).max(line).max(error)), ("fresh", fresh)])?;
        check([("generation", self.generation.unwrap_or(0))])
    }
}

fn check<const N: usize>(numbers: [(&str, u64); N]) -> Result<(), String> {
    match numbers.into_iter().find(|(_, number)| *number > LARGEST) {
        Some((name, number)) => {
            Err(format!("`{name}` is {number}, and no number of a run is above {LARGEST}"))
        }
        None => Ok(()),
    }
}
