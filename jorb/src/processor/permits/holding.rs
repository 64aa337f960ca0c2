//! Keys that an operator has stopped.
use std::collections::BTreeMap;

use super::{Permits, Uses, each, gates::Spot};
use crate::{
    Timestamp, Workflow,
    processor::summary::{HeldKey, Wait},
    store::{LimiterName, named_key},
};

impl Permits {
    /// Stops a key, by its name in the store, from then on; or lets it go on. What its gate remembers stays.
    pub(in crate::processor) fn hold(&mut self, name: &LimiterName, since: Option<Timestamp>) {
        self.gates.hold(name, since);
    }

    /// All of them, by their names in the store, and since when.
    pub(in crate::processor) fn held_keys(&self) -> &BTreeMap<LimiterName, Timestamp> {
        &self.gates.held
    }

    /// Steps with these do not start before a key is let go on.
    pub(in crate::processor) fn is_held(&self, uses: &Uses) -> bool {
        self.held(uses).is_some()
    }

    /// The same, for people.
    pub(in crate::processor) fn held_by(&self, uses: &Uses) -> Option<Wait> {
        let (spot, since) = self.held(uses)?;
        let limiter = self.limiters[spot.limiter].spec.name;
        let key = spot.key.as_deref().map(Into::into);
        Some(Wait { limiter, key, held: true, since, until: None, by: Vec::new() })
    }

    /// Those of a limiter, for people.
    pub(super) fn held_of<W: Workflow>(&self, limiter: &str) -> Vec<HeldKey> {
        let its = |(name, _): &(&LimiterName, _)| named_key(name).is_some_and(|(of, _)| of == limiter);
        let held = self.gates.held.iter().filter(its);
        held.filter_map(|(name, since)| HeldKey::of::<W>(name, *since)).collect()
    }

    fn held(&self, uses: &Uses) -> Option<(&Spot, Timestamp)> {
        each(uses).map(|of| self.gates.at(of.gate)).find_map(|spot| Some((spot, spot.held?)))
    }
}
