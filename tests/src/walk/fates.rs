//! What must become of each job of a walk.
use std::collections::{BTreeMap, HashSet};

use jorb::{Status, store::Record};

use super::{Act, Child, Plan, STATES, Seen, Walk, Walker, decide, mix, seeds, tally, walker};

/// Panics unless of each job has become what must. Where keys make it depend on the order who kicks whom, of a job that was
/// cancelled nothing need become, nor of its children.
pub fn check_fates(jobs: &[Record<Walk>], plan: Plan, n: u64) {
    let fate = |record: &Record<Walk>| {
        let (job, walker) = (&record.job, walker(record));
        let fate = Fate {
            state: job.state.name(),
            status: job.status,
            step: job.step,
            attempt: job.attempt,
            errors: job.errors,
            kicked: job.kicked,
            tries: walker.tries,
            seen: walker.seen,
        };
        (walker.me, fate)
    };
    let found: BTreeMap<_, _> = jobs.iter().map(fate).collect();
    assert_eq!(jobs.len(), found.len(), "a job was doubled");
    let cancelled: BTreeMap<_, _> =
        found.iter().filter(|(_, fate)| fate.status == Status::Cancelled).collect();
    if plan.joins || cancelled.is_empty() {
        let expected =
            fates_but(plan, n, cancelled.into_iter().map(|(me, fate)| (*me, fate.clone())).collect());
        for (me, fate) in &expected {
            assert_eq!(found.get(me), Some(fate), "{me}");
        }
        assert_eq!(found.len(), expected.len());
        return;
    }
    let expected = fates(plan, n);
    for (me, fate) in &expected {
        match found.get(me) {
            Some(found) if found.status == Status::Cancelled => assert!(found.step <= fate.step, "{me}"),
            None => {}
            found => assert_eq!(found, Some(fate), "{me}"),
        }
    }
    assert!(found.keys().all(|me| expected.contains_key(me)));
}

/// What must have become of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    pub state: &'static str,
    pub status: Status,
    pub step: u64,
    pub attempt: u32,
    pub errors: u64,
    pub kicked: u64,
    pub tries: u64,
    pub seen: u64,
}

/// What must become of all jobs, by their own numbers.
pub fn fates(plan: Plan, n: u64) -> BTreeMap<u64, Fate> {
    fates_but(plan, n, BTreeMap::new())
}

/// The same when these were cancelled before they made another step.
fn fates_but(plan: Plan, n: u64, cancelled: BTreeMap<u64, Fate>) -> BTreeMap<u64, Fate> {
    let mut lives = Lives { plan, cancelled, fates: BTreeMap::new(), keys: HashSet::new() };
    seeds(n).enumerate().for_each(|(i, walker)| lives.live(i % 2, walker));
    lives.fates
}

struct Lives {
    plan: Plan,
    cancelled: BTreeMap<u64, Fate>,
    fates: BTreeMap<u64, Fate>,
    keys: HashSet<(usize, String)>,
}

impl Lives {
    fn live(&mut self, start: usize, mut walker: Walker) {
        let me = walker.me;
        let (mut at, mut step, mut attempt, mut errors, mut kicked) = (start, 0, 1, 0, 0);
        let mut children = Vec::new();
        let mut seen = [0; 6];
        let cancelled = self.cancelled.get(&me).cloned();
        let ends_here = |step| cancelled.as_ref().is_some_and(|found| found.step == step);
        let mut status = match at {
            4 => Status::Ended,
            _ if ends_here(0) => Status::Cancelled,
            _ => Status::Ready,
        };
        while status == Status::Ready {
            let act = decide(self.plan, &walker, step, attempt);
            if !matches!(act, Act::Panic) {
                walker.tries += 1;
                walker.seen = mix(walker.seen ^ tally(&seen));
            }
            match act {
                Act::Move { to, kicks, join, .. } => {
                    (at, step, attempt) = (to, step + 1, 1);
                    kicked += kicks.len() as u64;
                    children.extend(kicks.into_iter().filter_map(|child| self.kick(child)));
                    let joined = join.map_or(Some([0; 6]), |or_parked| self.join(&children, or_parked));
                    status = match joined {
                        _ if ends_here(step) && (at < 4 || join.is_some()) => Status::Cancelled,
                        None => Status::Joining,
                        Some(_) if at == 4 => Status::Ended,
                        Some(_) => Status::Ready,
                    };
                    seen = joined.unwrap_or_default();
                }
                Act::Throttle(_) => {}
                Act::Retry(_) | Act::Panic | Act::Fatal => {
                    if matches!(act, Act::Fatal) || attempt > STATES[at].1 {
                        status = Status::Parked;
                    }
                    errors += 1;
                    attempt += 1;
                }
            }
        }
        let state = STATES.get(at).map_or("Done", |state| state.0);
        let Walker { tries, seen, .. } = walker;
        let fate = match cancelled {
            // Its attempts may have been any.
            Some(found) if status == Status::Cancelled => Fate { state, status, step, kicked, ..found },
            _ => Fate { state, status, step, attempt, errors, kicked, tries, seen },
        };
        assert!(self.fates.insert(me, fate).is_none(), "two jobs have the same number");
    }

    /// Gives the number of a new job, which has lived.
    fn kick(&mut self, Child { to, walker, once }: Child) -> Option<u64> {
        let me = walker.me;
        if once.is_some_and(|key| !self.keys.insert((to, key))) {
            return None;
        }
        self.live(to, walker);
        Some(me)
    }

    /// How they stand once all are done, if that comes.
    fn join(&self, children: &[u64], or_parked: bool) -> Option<Seen> {
        let mut seen = [0; 6];
        for Fate { state, status, .. } in children.iter().map(|child| &self.fates[child]) {
            match status {
                Status::Ended => seen[4] += 1,
                Status::Cancelled if state == &"Done" => seen[5] += 1,
                Status::Parked | Status::Cancelled if or_parked || *status == Status::Cancelled => {
                    seen[STATES.iter().position(|of| of.0 == *state).expect("a state")] += 1;
                }
                _ => return None,
            }
        }
        Some(seen)
    }
}
