//! Who gets the permits of limiters: all that a step needs at once, or none.
use std::sync::Arc;

use crate::{
    Demand, LimiterSpec, Policy, StateId, Timestamp, Tuning, Workflow,
    limiter::keys,
    limits::{Bucket, Shut},
    store::{Header, LimiterName},
};

use super::summary::{LimiterOverview, Wait};

use self::gates::Gates;

mod gates;
mod holding;
mod saving;

/// All limiters of a run.
pub(super) struct Permits {
    limiters: Vec<Limiter>,
    /// Of each state, and at which place in its demand they stand; its own rate stands behind the others.
    of: Vec<Vec<(usize, usize)>>,
    gates: Gates,
    /// Who waits until a job of another state, which goes first, has started or does not want it any more.
    behind: Vec<Behind>,
}

/// What people see of a state's own rate.
const OWN: &str = "rate";

struct Limiter {
    name: LimiterName,
    /// What the code says, and what an operator has changed of it.
    spec: LimiterSpec,
    tuning: Tuning,
    /// The same when the run was opened.
    opened: Tuning,
    /// States that take of it, by place.
    users: Vec<usize>,
}

/// What steps of a lane take of, in the order of the limiters; nothing if they are not limited.
pub(super) type Uses = Option<Arc<[Use]>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Use {
    limiter: usize,
    gate: usize,
    /// Where in the demand its cost stands.
    at: usize,
}

fn each(uses: &Uses) -> impl Iterator<Item = &Use> {
    uses.iter().flat_map(|uses| uses.iter())
}

/// A state; or one of its lanes, if that alone waits.
pub(super) type Who = (usize, Option<usize>);

struct Behind {
    gate: usize,
    who: Who,
    first: usize,
}

/// A job cannot start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    /// What it waits for.
    pub(super) gate: usize,
    /// When to look again; otherwise whoever is in the way says so.
    pub(super) until: Option<u64>,
    /// Jobs of other keys need not wait.
    pub(super) keyed: bool,
}

impl Permits {
    /// The limiters as `header` says that they were left.
    pub(super) fn new<W: Workflow>(policies: &[Option<Policy>], header: &Header<W>, now: u64) -> Self {
        let gates = Gates::new(header, now);
        let mut permits = Permits { limiters: Vec::new(), of: Vec::new(), gates, behind: Vec::new() };
        for (state, policy) in StateId::<W>::all().zip(policies) {
            permits.of.push(Vec::new());
            let Some(policy) = policy else { continue };
            if policy.rate.is_some() {
                permits.use_by(state.index(), &own(state, policy), state.spec().limits.len());
            }
            for (at, spec) in state.spec().limits.iter().enumerate() {
                permits.use_by(state.index(), spec, at);
            }
        }
        // At today's rate, before what was taken at it.
        for (name, tuning) in &header.tuned {
            permits.tune::<W>(policies, name, *tuning, now);
        }
        for (n, limiter) in permits.limiters.iter_mut().enumerate() {
            limiter.opened = limiter.tuning;
            // What is known of it is to be there at the end, whether or not a step took of it.
            if !limiter.spec.keyed {
                let Limiter { name, spec, tuning, .. } = &*limiter;
                permits.gates.join(n, name, spec, (*tuning, *tuning), None, now);
            }
        }
        permits
    }

    /// What an operator changes of a limiter, or of a state's own rate. Says whether states take of other limiters now.
    pub(super) fn tune<W: Workflow>(
        &mut self,
        policies: &[Option<Policy>],
        name: &str,
        tuning: Tuning,
        now: u64,
    ) -> bool {
        let state = StateId::<W>::named(name).filter(|state| state.name() == name);
        // The concurrency of a state is not that of its rate.
        let tuning = Tuning { concurrency: tuning.concurrency.filter(|_| state.is_none()), ..tuning };
        let known = self.limiters.iter().position(|limiter| limiter.name == name);
        let limiter = match (known, state) {
            (Some(known), _) => known,
            (None, Some(state)) if tuning.rate.is_some() => {
                let Some(policy) = &policies[state.index()] else { return false };
                self.use_by(state.index(), &own(state, policy), state.spec().limits.len())
            }
            _ => return false,
        };
        self.limiters[limiter].tuning = tuning;
        let spec = self.limiters[limiter].spec;
        for spot in self.gates.of(limiter) {
            spot.gate.tune(&spec, tuning, now);
            spot.unsettled = true;
        }
        known.is_none()
    }

    /// A state takes of a limiter.
    fn use_by(&mut self, state: usize, spec: &LimiterSpec, at: usize) -> usize {
        let known = self.limiters.iter().position(|limiter| limiter.name == spec.path);
        let limiter = known.unwrap_or_else(|| {
            let (name, tuning) = (spec.path.into(), Tuning::new());
            self.limiters.push(Limiter { name, spec: *spec, tuning, opened: tuning, users: Vec::new() });
            self.limiters.len() - 1
        });
        self.limiters[limiter].users.push(state);
        self.of[state].push((limiter, at));
        limiter
    }

    /// What steps of a state take of that have this key. To be [left](Permits::leave) when none of them waits.
    pub(super) fn join<W: Workflow>(&mut self, state: StateId<W>, key: Option<&Arc<str>>, now: u64) -> Uses {
        let of = &self.of[state.index()];
        if of.is_empty() {
            return None;
        }
        let limits = state.spec().limits;
        let mut keyed = limits.iter().filter(|spec| spec.keyed);
        let several = keyed.next().is_some() && keyed.next().is_some();
        let keys = if several { keys(key.map(|key| &**key)) } else { Vec::new() };
        let mut uses = Vec::with_capacity(of.len());
        for (limiter, at) in of {
            let Limiter { spec, tuning, opened, name, .. } = &self.limiters[*limiter];
            let key = if spec.keyed && several {
                keys.get(*at).map(|key| key.as_str().into())
            } else {
                key.filter(|_| spec.keyed).cloned()
            };
            let key = key.filter(|key: &Arc<str>| !key.is_empty());
            if spec.keyed && key.is_none() {
                continue; // this step has none
            }
            let gate = self.gates.join(*limiter, name, spec, (*opened, *tuning), key, now);
            uses.push(Use { limiter: *limiter, gate, at: *at });
        }
        Some(uses.into())
    }

    /// Nobody waits with these any more.
    pub(super) fn leave(&mut self, uses: &Uses, now: u64) {
        each(uses).for_each(|of| self.gates.leave(of.gate, now));
        self.gates.forget(now);
    }

    /// Steps of this state may be kept waiting by a limiter.
    pub(super) fn limits(&self, state: usize) -> bool {
        !self.of[state].is_empty()
    }

    /// Whether a step may start as far as its limiters go; if not, who is in its way for longest. One with a key, if there
    /// is one: those who have other keys need not wait.
    pub(super) fn are_there(&self, uses: &Uses, demand: &Demand, now: u64) -> Result<(), Refused> {
        let mut refused: Option<Refused> = None;
        for (gate, shut) in self.shut(uses, demand, now) {
            let keyed = self.gates.at(gate).key.is_some();
            let until = match shut {
                Shut::Until(until) => Some(until),
                Shut::Full | Shut::Saving => None,
            };
            let longer = |known: Refused| {
                let rank = |keyed: bool, until: Option<u64>| (keyed, until.is_none(), until);
                rank(known.keyed, known.until) < rank(keyed, until)
            };
            if refused.is_none_or(longer) {
                refused = Some(Refused { gate, until, keyed });
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// No more than what may be taken at once.
    pub(super) fn fit(&self, uses: &Uses, demand: &Demand) -> bool {
        let fits = |of: &Use| {
            let bucket = self.gates.at(of.gate).gate.bucket();
            bucket.is_none_or(|bucket| demand.cost(of.at) <= bucket.burst())
        };
        each(uses).all(fits)
    }

    /// If it were not for `gate`, a step could start as far as its limiters go.
    pub(super) fn are_there_but_of(&self, gate: usize, uses: &Uses, demand: &Demand, now: u64) -> bool {
        self.shut(uses, demand, now).all(|(shut, _)| shut == gate)
    }

    fn shut(&self, uses: &Uses, demand: &Demand, now: u64) -> impl Iterator<Item = (usize, Shut)> {
        each(uses).filter_map(move |of| {
            Some((of.gate, self.gates.at(of.gate).gate.is_open(now, demand.cost(of.at)).err()?))
        })
    }

    /// The gates of limiters that a state shares and of which a step takes this, each with each of the other states that
    /// take of the limiter.
    pub(super) fn shared(
        &self,
        state: usize,
        uses: &Uses,
        demand: &Demand,
    ) -> impl Iterator<Item = (usize, usize)> {
        each(uses).flat_map(move |of| {
            let takes = demand.cost(of.at) > 0 || self.gates.at(of.gate).gate.size().is_some();
            let users = &self.limiters[of.limiter].users;
            users.iter().filter(move |other| takes && **other != state).map(|other| (of.gate, *other))
        })
    }

    /// Those who have other keys need not wait at it.
    pub(super) fn is_keyed(&self, gate: usize) -> bool {
        self.gates.at(gate).key.is_some()
    }

    /// It takes of this gate.
    pub(super) fn takes_of(uses: &Uses, gate: usize) -> bool {
        each(uses).any(|of| of.gate == gate)
    }

    /// It is to be told when the gate may let it: when what is taken of it is given back, or, if another state's job goes
    /// first, when that has started or does not want it any more.
    pub(super) fn tell(&mut self, who: Who, gate: usize, first: Option<usize>) {
        match first {
            None => {
                let blocked = &mut self.gates.at_mut(gate).blocked;
                blocked.retain(|known| *known != who);
                blocked.push(who);
            }
            Some(first) => {
                self.behind.retain(|behind| (behind.who, behind.gate) != (who, gate));
                self.behind.push(Behind { gate, who, first });
            }
        }
    }

    /// The next job of this state waits for `this` gate, or not for one at all: those behind it at others need not wait for
    /// it.
    pub(super) fn steps_back(&mut self, state: usize, this: Option<usize>, wake: impl FnMut(Who)) {
        self.pass(|behind| behind.first == state && Some(behind.gate) != this, wake);
    }

    /// Something has changed at the limiters of this state: those who wait at these gates are to look again, and those who
    /// stand behind a state that takes of them.
    pub(super) fn changed(&mut self, state: usize, uses: &Uses, mut wake: impl FnMut(Who)) {
        for of in each(uses) {
            self.gates.at_mut(of.gate).blocked.drain(..).for_each(&mut wake);
        }
        if self.behind.is_empty() {
            return;
        }
        let of = &self.of[state];
        let users: Vec<usize> =
            of.iter().flat_map(|(limiter, _)| &self.limiters[*limiter].users).copied().collect();
        self.pass(|behind| users.contains(&behind.first), wake);
    }

    fn pass(&mut self, mut passes: impl FnMut(&Behind) -> bool, mut wake: impl FnMut(Who)) {
        self.behind.retain(|behind| {
            let passes = passes(behind);
            if passes {
                wake(behind.who);
            }
            !passes
        });
    }

    /// A step starts that may.
    pub(super) fn take(&mut self, uses: &Uses, demand: &Demand, now: u64) {
        for of in each(uses) {
            self.gates.at_mut(of.gate).gate.enter(now, demand.cost(of.at));
        }
    }

    /// It ended.
    pub(super) fn give_back(&mut self, uses: &Uses, now: u64) {
        for of in each(uses) {
            self.gates.give_back(of.gate, now);
        }
    }

    /// It took `actual` of one of its limiters: this one, if it has it. Gives the gate, if it takes of one; an error, if its
    /// state does not name the limiter.
    pub(super) fn settle(
        &mut self,
        state: usize,
        uses: &Uses,
        demand: &Demand,
        path: &str,
        actual: u32,
        now: u64,
    ) -> Result<Option<usize>, ()> {
        let named = |(limiter, _): &&(usize, _)| self.limiters[*limiter].name == path;
        let (limiter, _) = *self.of[state].iter().find(named).ok_or(())?;
        let of = each(uses).find(|of| of.limiter == limiter);
        Ok(of.map(|of| {
            self.gates.at_mut(of.gate).gate.settle(now, demand.cost(of.at), actual);
            of.gate
        }))
    }

    /// A step that started then moved on, or was throttled: of keys, if it has one, and else of all.
    pub(super) fn answered(&mut self, uses: &Uses, now: u64, started_at: u64, throttled: bool) {
        let keyed = throttled && self.has_key(uses);
        for of in each(uses) {
            let spot = self.gates.at_mut(of.gate);
            if spot.key.is_some() || !keyed {
                spot.gate.answered(now, started_at, throttled);
            }
        }
    }

    fn has_key(&self, uses: &Uses) -> bool {
        each(uses).any(|of| self.gates.at(of.gate).key.is_some())
    }

    /// A service asks for a pause: of a key, if the step has one.
    pub(super) fn pause(&mut self, uses: &Uses, until: u64) {
        let keyed = self.has_key(uses);
        for of in each(uses) {
            let spot = self.gates.at_mut(of.gate);
            if let (Some(bucket), true) = (spot.gate.bucket_mut(), spot.key.is_some() || !keyed) {
                bucket.pause(until);
            }
        }
    }

    /// What a state waits for, for people; `runs` says of each state whether it has steps in flight.
    pub(super) fn wait<W: Workflow>(
        &self,
        state: StateId<W>,
        (refused, since): (Refused, u64),
        runs: impl Fn(usize) -> bool,
    ) -> Wait {
        let spot = self.gates.at(refused.gate);
        let limiter = &self.limiters[spot.limiter];
        let is_it = |behind: &&Behind| behind.gate == refused.gate && behind.who.0 == state.index();
        let by: Vec<usize> = match self.behind.iter().find(is_it) {
            _ if refused.until.is_some() => Vec::new(),
            Some(behind) => vec![behind.first],
            None => limiter.users.iter().copied().filter(|user| runs(*user)).collect(),
        };
        Wait {
            limiter: limiter.spec.name,
            key: spot.key.as_deref().map(Into::into),
            held: false,
            since: at(since),
            until: refused.until.map(at),
            by: by.into_iter().map(|state| StateId::<W>::at(state).name()).collect(),
        }
    }

    /// Those that states share, for people.
    pub(super) fn overview<W: Workflow>(&self, now: u64) -> Vec<LimiterOverview> {
        let overview = |(n, limiter): (usize, &Limiter)| {
            let gates = || self.gates.all().filter(move |spot| spot.limiter == n);
            let bucket = gates().find_map(|spot| spot.gate.bucket());
            let next = gates().map(|spot| spot.gate.bucket().and_then(|bucket| bucket.holds(now, 1).err()));
            let concurrency = limiter.tuning.concurrency.or(limiter.spec.concurrency).map(|size| size as u64);
            let keyed = limiter.spec.keyed;
            LimiterOverview {
                name: limiter.spec.name,
                states: limiter.users.iter().map(|user| StateId::<W>::at(*user).name()).collect(),
                keys: keyed.then(|| gates().count() as u64),
                held: self.held_of::<W>(&limiter.name),
                executing: gates().map(|spot| spot.gate.in_use() as u64).sum(),
                concurrency: concurrency.filter(|_| !keyed),
                concurrency_per_key: concurrency.filter(|_| keyed),
                interval: bucket.map(Bucket::interval),
                next: next.min().flatten().map(at),
            }
        };
        let shared = self.limiters.iter().enumerate().filter(|(_, limiter)| limiter.spec.name != OWN);
        shared.map(overview).collect()
    }
}

/// A state's own rate.
fn own<W: Workflow>(state: StateId<W>, policy: &Policy) -> LimiterSpec {
    let Policy { rate, burst, adaptive, .. } = *policy;
    LimiterSpec { rate, burst, adaptive, ..LimiterSpec::new(OWN, state.name()) }
}

/// Rounded up.
fn at(nanos: u64) -> Timestamp {
    Timestamp(nanos.div_ceil(1_000_000))
}
