//! The gates of limiters: one each, or one for each key.
use std::{collections::BTreeMap, sync::Arc};

use foldhash::{HashMap, HashMapExt};

use super::Who;
use crate::{
    LimiterSpec, Timestamp, Tuning, Workflow,
    limits::{Bucket, Gate},
    processor::heap::Heap,
    store::{Header, Learned, LimiterName, key_name, named_key},
};

/// What adaptive rates learned of a key is kept for so long after it was used last: 10 minutes.
const MEMORY: u64 = 600_000_000_000;

/// All gates.
pub(super) struct Gates {
    spots: Vec<Option<Spot>>,
    free: Vec<usize>,
    /// By limiter and key.
    by: HashMap<(usize, Option<Arc<str>>), usize>,
    /// Of keys that nobody uses, when they may be forgotten.
    idle: Heap<u64>,
    /// Those that were.
    forgotten: Vec<LimiterName>,
    /// How the run before left them.
    due: HashMap<LimiterName, Timestamp>,
    learned: HashMap<LimiterName, Learned>,
    clean: bool,
    opened: u64,
    /// Keys that an operator has stopped, and since when.
    pub(super) held: BTreeMap<LimiterName, Timestamp>,
}

/// A gate, and who stands before it.
pub(super) struct Spot {
    pub(super) limiter: usize,
    pub(super) key: Option<Arc<str>>,
    /// Of the limiter, in the store.
    of: LimiterName,
    pub(super) gate: Gate,
    /// Who waits for something else than a time, to be told when that may have come.
    pub(super) blocked: Vec<Who>,
    /// It is tuned to what the store does not know yet: until then each permit is saved, however fast it is.
    pub(super) unsettled: bool,
    /// Lanes that take of it.
    lanes: usize,
    /// It stands among the idle ones.
    idle: bool,
    /// An operator has stopped its key, since then.
    pub(super) held: Option<Timestamp>,
}

impl Spot {
    /// In the store.
    pub(super) fn name(&self) -> LimiterName {
        full_name(&self.of, self.key.as_deref())
    }

    /// Until when it is to be remembered if nobody uses it.
    fn memory(&self) -> u64 {
        let due = self.gate.bucket().and_then(|bucket| bucket.due(0));
        let due = due.map_or(0, |due| due.0.saturating_mul(1_000_000));
        if self.gate.learned().is_some() { due.saturating_add(MEMORY) } else { due }
    }
}

impl Gates {
    /// None yet.
    pub(super) fn new<W: Workflow>(header: &Header<W>, now: u64) -> Self {
        let is_past = |(name, due): &(&LimiterName, &Timestamp)| {
            let memory = if header.learned.contains_key(*name) { MEMORY } else { 0 };
            named_key(name).is_some() && due.0.saturating_mul(1_000_000).saturating_add(memory) <= now
        };
        Gates {
            spots: Vec::new(),
            free: Vec::new(),
            by: HashMap::new(),
            idle: Heap::new(),
            forgotten: header
                .limiters
                .iter()
                .filter(|of| is_past(of))
                .map(|(name, _)| name.clone())
                .collect(),
            due: (header.limiters.iter().filter(|of| !is_past(of)))
                .map(|(name, due)| (name.clone(), *due))
                .collect(),
            learned: header.learned.iter().map(|(name, learned)| (name.clone(), *learned)).collect(),
            clean: header.clean,
            opened: now,
            held: header.held_keys.clone(),
        }
    }

    pub(super) fn at(&self, gate: usize) -> &Spot {
        self.spots[gate].as_ref().expect("a gate in use is there")
    }

    pub(super) fn at_mut(&mut self, gate: usize) -> &mut Spot {
        self.spots[gate].as_mut().expect("a gate in use is there")
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Spot> {
        self.spots.iter().flatten()
    }

    /// Those of a limiter.
    pub(super) fn of(&mut self, limiter: usize) -> impl Iterator<Item = &mut Spot> {
        self.spots.iter_mut().flatten().filter(move |spot| spot.limiter == limiter)
    }

    /// An operator stops a key, from then on, or lets it go on.
    pub(super) fn hold(&mut self, name: &LimiterName, since: Option<Timestamp>) {
        match since {
            Some(since) => _ = self.held.entry(name.clone()).or_insert(since),
            None => _ = self.held.remove(name),
        }
        let held = self.held.get(name).copied();
        let is_it = |spot: &&mut Spot| named_key(name) == spot.key.as_deref().map(|key| (&*spot.of, key));
        self.spots.iter_mut().flatten().filter(is_it).for_each(|spot| spot.held = held);
    }

    /// One more lane takes of a limiter, for this key; it is tuned so, after it was so when the run was opened.
    pub(super) fn join(
        &mut self,
        limiter: usize,
        name: &LimiterName,
        spec: &LimiterSpec,
        (opened, tuning): (Tuning, Tuning),
        key: Option<Arc<str>>,
        now: u64,
    ) -> usize {
        let gate = *self.by.entry((limiter, key.clone())).or_insert_with(|| {
            let mut gate = Gate::new(spec);
            // What was taken before the run was opened was taken at the rate of then.
            if opened != Tuning::new() {
                gate.tune(spec, opened, self.opened);
            }
            let (mut due, mut learned, mut held) = (None, None, None);
            if !self.due.is_empty() || !self.learned.is_empty() || !self.held.is_empty() {
                let name = full_name(name, key.as_deref());
                (due, learned) = (self.due.remove(&name), self.learned.remove(&name));
                held = self.held.get(&name).copied();
            }
            gate.restore(due, learned, self.clean, self.opened);
            if tuning != opened {
                gate.tune(spec, tuning, now);
            }
            let of = name.clone();
            let spot = Spot {
                limiter,
                key,
                of,
                gate,
                blocked: Vec::new(),
                unsettled: false,
                lanes: 0,
                idle: false,
                held,
            };
            let free = self.free.pop().unwrap_or_else(|| {
                self.spots.push(None);
                self.spots.len() - 1
            });
            self.spots[free] = Some(spot);
            free
        });
        let spot = self.spots[gate].as_mut().expect("it is there");
        spot.lanes += 1;
        if std::mem::take(&mut spot.idle) {
            self.idle.remove(gate);
        }
        gate
    }

    /// One lane less does.
    pub(super) fn leave(&mut self, gate: usize, now: u64) {
        self.at_mut(gate).lanes -= 1;
        self.rest(gate, now);
    }

    /// A step ended.
    pub(super) fn give_back(&mut self, gate: usize, now: u64) {
        self.at_mut(gate).gate.leave();
        self.rest(gate, now);
        self.forget(now);
    }

    /// A key that nobody uses may be forgotten once all that was taken has come back.
    fn rest(&mut self, gate: usize, now: u64) {
        let spot = self.spots[gate].as_mut().expect("it is there");
        if spot.key.is_none() || spot.lanes > 0 || spot.gate.in_use() > 0 || spot.idle {
            return;
        }
        let at = spot.memory();
        if at <= now {
            return self.remove(gate);
        }
        spot.idle = true;
        self.idle.insert(at, gate);
    }

    fn remove(&mut self, gate: usize) {
        let Some(spot) = self.spots[gate].take() else { return };
        // Only what was saved is to be forgotten by the store.
        if spot.gate.learned().is_some() || spot.gate.bucket().is_some_and(Bucket::is_slow) {
            self.forgotten.push(spot.name());
        }
        self.by.remove(&(spot.limiter, spot.key));
        self.free.push(gate);
    }

    /// Forgets keys whose time has come.
    pub(super) fn forget(&mut self, now: u64) {
        while let Some((at, gate)) = self.idle.first() {
            if at > now {
                return;
            }
            self.idle.remove(gate);
            // It may have been tuned since then.
            let later = self.at(gate).memory();
            if later > now {
                self.idle.insert(later, gate);
                continue;
            }
            self.remove(gate);
        }
    }

    /// The store knows to what they are tuned.
    pub(super) fn settle(&mut self) {
        for spot in self.spots.iter_mut().flatten() {
            spot.unsettled = false;
        }
    }

    /// For how long the run has been open, if what was saved before may lack something.
    pub(super) fn known_since(&self, now: u64) -> Option<u64> {
        (!self.clean).then(|| now.saturating_sub(self.opened))
    }

    pub(super) fn take_forgotten(&mut self) -> Vec<(LimiterName, Timestamp)> {
        self.forgotten.drain(..).map(|name| (name, Timestamp(0))).collect()
    }
}

fn full_name(limiter: &LimiterName, key: Option<&str>) -> LimiterName {
    key.map_or_else(|| limiter.clone(), |key| key_name(limiter, key))
}
