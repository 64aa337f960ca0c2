//! What the store knows of limiters, and is to know.
use super::{Permits, Uses, each, gates::Spot};
use crate::{
    Demand, Timestamp,
    limits::Gate,
    store::{Learned, LimiterName},
};

impl Permits {
    /// What was taken of a limiter that is tuned: at another rate, it might not be saved, or not be thought to be taken.
    pub(in crate::processor) fn taken(&mut self, limiter: &str) -> Vec<(LimiterName, Timestamp)> {
        let Some(limiter) = self.limiters.iter().position(|known| known.name == limiter) else {
            return Vec::new();
        };
        let due = |spot: &mut Spot| Some((spot.name(), spot.gate.bucket()?.due(0)?));
        self.gates.of(limiter).filter_map(due).collect()
    }

    /// The store knows to what all are tuned.
    pub(in crate::processor) fn settled(&mut self) {
        self.gates.settle();
    }

    /// What is to be saved of a limiter at once, if anything is.
    pub(in crate::processor) fn unsaved(&self, gate: usize, now: u64) -> Option<(LimiterName, Timestamp)> {
        let spot = self.gates.at(gate);
        let bucket = spot.gate.bucket().filter(|bucket| bucket.is_saved(now))?;
        Some((spot.name(), bucket.due(0)?))
    }

    /// What adaptive rates learned.
    pub(in crate::processor) fn learned(&self) -> Vec<(LimiterName, Learned)> {
        self.gates.all().filter_map(|spot| Some((spot.name(), spot.gate.learned()?))).collect()
    }

    /// Gates that are to be saved before a step starts that took this.
    pub(in crate::processor) fn to_save(&self, uses: &Uses, demand: &Demand, now: u64) -> Vec<usize> {
        let of = each(uses);
        let of = of.filter(|of| demand.cost(of.at) > 0).map(|of| of.gate);
        let saved = |gate: &usize| {
            let spot = self.gates.at(*gate);
            spot.gate.bucket().is_some_and(|bucket| spot.unsettled || bucket.is_saved(now))
        };
        of.filter(saved).collect()
    }

    /// What is to be saved of them, as if the step started `lead` from now. Until it starts they are shut.
    pub(in crate::processor) fn save(&mut self, gates: &[usize], lead: u64) -> Vec<(LimiterName, Timestamp)> {
        let mut saves = Vec::new();
        for gate in gates {
            let spot = self.gates.at_mut(*gate);
            spot.gate.saving = true;
            let due = spot.gate.bucket().and_then(|bucket| bucket.due(lead));
            saves.extend(due.map(|due| (spot.name(), due)));
        }
        saves
    }

    /// Their permits are used so much later than they were taken.
    pub(in crate::processor) fn shift(&mut self, gates: &[usize], late: u64) {
        for gate in gates {
            let bucket = self.gates.at_mut(*gate).gate.bucket_mut();
            if let Some(bucket) = bucket {
                bucket.shift(late);
            }
        }
    }

    /// They are saved.
    pub(in crate::processor) fn saved(&mut self, gates: &[usize]) {
        for gate in gates {
            self.gates.at_mut(*gate).gate.saving = false;
        }
    }

    /// Keys that need not be remembered any more, to be forgotten by the store too.
    pub(in crate::processor) fn forgotten(&mut self) -> Vec<(LimiterName, Timestamp)> {
        self.gates.take_forgotten()
    }

    /// What is saved at the end is all that there is to know: after a crash, keys that nobody used since then could have been
    /// used just before it, for as long as their bursts take to come back.
    pub(in crate::processor) fn are_known(&self, now: u64) -> bool {
        let keyed = self.limiters.iter().filter(|limiter| limiter.spec.keyed);
        let buckets = keyed.filter_map(|limiter| Gate::refill(&limiter.spec, limiter.opened));
        self.gates.known_since(now).is_none_or(|open| buckets.max().is_none_or(|refill| open >= refill))
    }

    /// Where all are, to be saved at the end.
    pub(in crate::processor) fn due(&self) -> Vec<(LimiterName, Timestamp)> {
        self.gates.all().filter_map(|spot| Some((spot.name(), spot.gate.bucket()?.due(0)?))).collect()
    }
}
