//! Who gets the permits of limiters: all that a step needs at once, or none.
use crate::{
    Demand, LimiterSpec, Policy, StateId, Timestamp, Tuning, Workflow,
    limits::{Bucket, Gate, Shut},
    store::{Header, Learned, LimiterName},
};

use super::summary::{LimiterOverview, Wait};

/// All limiters of a run.
pub(super) struct Permits {
    limiters: Vec<Limiter>,
    /// Of each state, and at which place in its demand they stand; its own rate stands nowhere.
    of: Vec<Vec<(usize, Option<usize>)>>,
}

/// What people see of a state's own rate.
const OWN: &str = "rate";

struct Limiter {
    name: LimiterName,
    /// What the code says.
    spec: LimiterSpec,
    gate: Gate,
    /// States that take of it, by place.
    users: Vec<usize>,
    /// States among them that wait for something else than a time, to be told when that may have come; with the state
    /// whose job goes first, if that is it.
    blocked: Vec<(usize, Option<usize>)>,
}

/// A job cannot start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    /// The limiter that it waits for.
    pub(super) limiter: usize,
    /// When to look again; otherwise whoever is in the way says so.
    pub(super) until: Option<u64>,
}

impl Permits {
    /// The limiters as `header` says that they were left.
    pub(super) fn new<W: Workflow>(policies: &[Option<Policy>], header: &Header<W>, now: u64) -> Self {
        let mut permits = Permits { limiters: Vec::new(), of: Vec::new() };
        for (state, policy) in StateId::<W>::all().zip(policies) {
            permits.of.push(Vec::new());
            let Some(policy) = policy else { continue };
            if policy.rate.is_some() {
                permits.use_by(state.index(), &own(state, policy), None);
            }
            for (at, spec) in state.spec().limits.iter().enumerate() {
                permits.use_by(state.index(), spec, Some(at));
            }
        }
        // At today's rate, before what was taken at it.
        for (name, tuning) in &header.tuned {
            permits.tune::<W>(policies, name, *tuning, now);
        }
        for limiter in &mut permits.limiters {
            let due = header.limiters.iter().find(|(name, _)| *name == limiter.name).map(|(_, due)| *due);
            let learned =
                header.learned.iter().find(|(name, _)| *name == limiter.name).map(|(_, learned)| *learned);
            limiter.gate.restore(due, learned, header.clean, now);
        }
        permits
    }

    /// What an operator changes of a limiter, or of a state's own rate.
    pub(super) fn tune<W: Workflow>(
        &mut self,
        policies: &[Option<Policy>],
        name: &str,
        tuning: Tuning,
        now: u64,
    ) {
        let state = StateId::<W>::named(name).filter(|state| state.name() == name);
        // The concurrency of a state is not that of its rate.
        let tuning = Tuning { concurrency: tuning.concurrency.filter(|_| state.is_none()), ..tuning };
        let known = self.limiters.iter().position(|limiter| limiter.name == name);
        let limiter = match (known, state) {
            (Some(known), _) => known,
            (None, Some(state)) if tuning.rate.is_some() => {
                let Some(policy) = &policies[state.index()] else { return };
                self.use_by(state.index(), &own(state, policy), None)
            }
            _ => return,
        };
        let Limiter { gate, spec, .. } = &mut self.limiters[limiter];
        gate.tune(spec, tuning, now);
    }

    /// A state takes of a limiter.
    fn use_by(&mut self, state: usize, spec: &LimiterSpec, at: Option<usize>) -> usize {
        let limiter = self.add(spec);
        self.limiters[limiter].users.push(state);
        self.of[state].push((limiter, at));
        limiter
    }

    fn add(&mut self, spec: &LimiterSpec) -> usize {
        let known = self.limiters.iter().position(|limiter| limiter.name == spec.path);
        known.unwrap_or_else(|| {
            self.limiters.push(Limiter {
                name: spec.path.into(),
                spec: *spec,
                gate: Gate::new(spec),
                users: Vec::new(),
                blocked: Vec::new(),
            });
            self.limiters.len() - 1
        })
    }

    /// Steps of this state may be kept waiting by a limiter.
    pub(super) fn limits(&self, state: usize) -> bool {
        !self.of[state].is_empty()
    }

    /// Whether a step may start as far as its limiters go; if not, who is in its way for longest.
    pub(super) fn are_there(&self, state: usize, demand: &Demand, now: u64) -> Result<(), Refused> {
        let mut refused = None;
        for (limiter, shut) in self.shut(state, demand, now) {
            let until = match shut {
                Shut::Until(until) => Some(until),
                Shut::Full | Shut::Saving => return Err(Refused { limiter, until: None }),
            };
            if refused.is_none_or(|known: Refused| known.until < until) {
                refused = Some(Refused { limiter, until });
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// If it were not for `limiter`, a step could start as far as its limiters go.
    pub(super) fn are_there_but_of(&self, limiter: usize, state: usize, demand: &Demand, now: u64) -> bool {
        self.shut(state, demand, now).all(|(shut, _)| shut == limiter)
    }

    fn shut(&self, state: usize, demand: &Demand, now: u64) -> impl Iterator<Item = (usize, Shut)> {
        self.of[state].iter().filter_map(move |(limiter, at)| {
            let gate = &self.limiters[*limiter].gate;
            Some((*limiter, gate.is_open(now, cost(demand, *at)).err()?))
        })
    }

    /// The limiters that a state shares and of which a step takes this, each with each of the other states that take of it.
    pub(super) fn shared(&self, state: usize, demand: &Demand) -> impl Iterator<Item = (usize, usize)> {
        self.of[state].iter().flat_map(move |(limiter, at)| {
            let Limiter { gate, users, .. } = &self.limiters[*limiter];
            let takes = cost(demand, *at) > 0 || gate.size().is_some();
            users.iter().filter(move |other| takes && **other != state).map(|other| (*limiter, *other))
        })
    }

    /// This state is to be told when `limiter` may let it: when what is taken of it is given back, or, if another state's
    /// job goes first, when that has started or does not want it any more.
    pub(super) fn tell(&mut self, state: usize, limiter: usize, first: Option<usize>) {
        let blocked = &mut self.limiters[limiter].blocked;
        blocked.retain(|(known, _)| *known != state);
        blocked.push((state, first));
    }

    /// The next job of this state waits for `this` limiter, or not for one at all: those behind it at others need not
    /// wait for it.
    pub(super) fn steps_back(&mut self, state: usize, this: Option<usize>, mut wake: impl FnMut(usize)) {
        for (limiter, _) in self.of[state].iter().filter(|(limiter, _)| Some(*limiter) != this) {
            self.limiters[*limiter].blocked.retain(|(blocked, first)| {
                let behind = *first == Some(state);
                if behind {
                    wake(*blocked);
                }
                !behind
            });
        }
    }

    /// Something has changed at the limiters of this state: those who wait there are to look again, and those who stand
    /// behind a state that takes of them.
    pub(super) fn changed(&mut self, state: usize, mut wake: impl FnMut(usize)) {
        let of = &self.of[state];
        let waits = |limiter: &Limiter| !limiter.blocked.is_empty();
        if of.is_empty() || !self.limiters.iter().any(waits) {
            return;
        }
        let users = of.iter().flat_map(|(limiter, _)| &self.limiters[*limiter].users);
        let users: Vec<usize> = users.copied().collect();
        for (at, limiter) in self.limiters.iter_mut().enumerate() {
            let here = of.iter().any(|(limiter, _)| *limiter == at);
            limiter.blocked.retain(|(blocked, first)| {
                let looks = here || first.is_some_and(|first| users.contains(&first));
                if looks {
                    wake(*blocked);
                }
                !looks
            });
        }
    }

    /// A step starts that may.
    pub(super) fn take(&mut self, state: usize, demand: &Demand, now: u64) {
        for (limiter, at) in &self.of[state] {
            self.limiters[*limiter].gate.enter(now, cost(demand, *at));
        }
    }

    /// It ended.
    pub(super) fn give_back(&mut self, state: usize) {
        for (limiter, _) in &self.of[state] {
            self.limiters[*limiter].gate.leave();
        }
    }

    /// It took `actual` of one of its limiters: this one, if it has it.
    pub(super) fn settle(
        &mut self,
        state: usize,
        demand: &Demand,
        path: &str,
        actual: u32,
        now: u64,
    ) -> Option<usize> {
        let Permits { limiters, of } = self;
        let (limiter, at) = of[state].iter().find(|(limiter, _)| limiters[*limiter].name == path)?;
        limiters[*limiter].gate.settle(now, cost(demand, *at), actual);
        Some(*limiter)
    }

    /// What is to be saved of a limiter at once, if anything is.
    pub(super) fn unsaved(&self, limiter: usize, now: u64) -> Option<(LimiterName, Timestamp)> {
        let Limiter { gate, name, .. } = &self.limiters[limiter];
        let bucket = gate.bucket().filter(|bucket| bucket.is_saved(now))?;
        Some((name.clone(), bucket.due(0)?))
    }

    /// A step that started then moved on, or was throttled.
    pub(super) fn answered(&mut self, state: usize, now: u64, started_at: u64, throttled: bool) {
        for (limiter, _) in &self.of[state] {
            self.limiters[*limiter].gate.answered(now, started_at, throttled);
        }
    }

    /// What adaptive rates learned.
    pub(super) fn learned(&self) -> Vec<(LimiterName, Learned)> {
        let learned = |limiter: &Limiter| Some((limiter.name.clone(), limiter.gate.learned()?));
        self.limiters.iter().filter_map(learned).collect()
    }

    /// A service asks for a pause.
    pub(super) fn pause(&mut self, state: usize, until: u64) {
        for (limiter, _) in &self.of[state] {
            if let Some(bucket) = self.limiters[*limiter].gate.bucket_mut() {
                bucket.pause(until);
            }
        }
    }

    /// Limiters that are to be saved before a step starts that took this.
    pub(super) fn to_save(&self, state: usize, demand: &Demand, now: u64) -> Vec<usize> {
        let of = self.of[state].iter().filter(|(_, at)| cost(demand, *at) > 0).map(|(limiter, _)| *limiter);
        of.filter(|limiter| self.limiters[*limiter].gate.bucket().is_some_and(|b| b.is_saved(now))).collect()
    }

    /// What is to be saved of them, as if the step started `lead` from now. Until it starts they are shut.
    pub(super) fn save(&mut self, limiters: &[usize], lead: u64) -> Vec<(LimiterName, Timestamp)> {
        let mut saves = Vec::new();
        for limiter in limiters {
            let Limiter { gate, name, .. } = &mut self.limiters[*limiter];
            gate.saving = true;
            saves.extend(gate.bucket().and_then(|bucket| bucket.due(lead)).map(|due| (name.clone(), due)));
        }
        saves
    }

    /// Their permits are used so much later than they were taken.
    pub(super) fn shift(&mut self, limiters: &[usize], late: u64) {
        for limiter in limiters {
            self.limiters[*limiter].gate.bucket_mut().into_iter().for_each(|bucket| bucket.shift(late));
        }
    }

    /// They are saved.
    pub(super) fn saved(&mut self, limiters: &[usize]) {
        for limiter in limiters {
            self.limiters[*limiter].gate.saving = false;
        }
    }

    /// For people.
    pub(super) fn wait(&self, refused: Refused, since: u64) -> Wait {
        Wait {
            limiter: self.limiters[refused.limiter].spec.name,
            since: at(since),
            until: refused.until.map(at),
        }
    }

    /// Those that states share, for people.
    pub(super) fn overview<W: Workflow>(&self, now: u64) -> Vec<LimiterOverview> {
        let shared = self.limiters.iter().filter(|limiter| limiter.spec.name != OWN);
        let overview = |limiter: &Limiter| LimiterOverview {
            name: limiter.spec.name,
            states: limiter.users.iter().map(|user| StateId::<W>::at(*user).name()).collect(),
            executing: limiter.gate.in_use() as u64,
            concurrency: limiter.gate.size().map(|size| size as u64),
            interval: limiter.gate.bucket().map(Bucket::interval),
            next: limiter.gate.bucket().and_then(|bucket| bucket.holds(now, 1).err()).map(at),
        };
        shared.map(overview).collect()
    }

    /// Where all are, to be saved at the end.
    pub(super) fn due(&self) -> Vec<(LimiterName, Timestamp)> {
        let due = |limiter: &Limiter| Some((limiter.name.clone(), limiter.gate.bucket()?.due(0)?));
        self.limiters.iter().filter_map(due).collect()
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

fn cost(demand: &Demand, at: Option<usize>) -> u32 {
    at.map_or(1, |at| demand.cost(at))
}
