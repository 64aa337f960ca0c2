//! What an operator changes of limits and retries while a run goes on.
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Backoff, Error, LimiterSpec, Policy, Rate, StateId, Workflow,
    nearest::{no_such_limiter, no_such_target},
    store::{LimiterName, key_name},
};

/// What an operator changes of a state, or of a limiter that states share: in the place of what the code says, until it is
/// reset. The run remembers it.
///
/// ```
/// use jorb::Tuning;
///
/// let slower = Tuning::new().rate("5/s".parse().unwrap()).concurrency(2);
/// assert_eq!(slower.to_string(), "rate 5/s, concurrency 2");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
pub struct Tuning {
    /// Starts per period. An adaptive rate follows nothing while it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Starts that may follow each other at once after a quiet time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Steps in flight at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<usize>,
    /// Attempts after the first one; of a state only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Waits between attempts; of a state only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
}

impl Tuning {
    /// Changes nothing.
    pub const fn new() -> Self {
        Tuning { rate: None, burst: None, concurrency: None, retries: None, backoff: None }
    }
    /// Start no more than this.
    pub const fn rate(self, rate: Rate) -> Self {
        Tuning { rate: Some(rate), ..self }
    }
    /// Let `n` starts catch up at once; at least 1.
    pub const fn burst(self, n: u32) -> Self {
        Tuning { burst: Some(n), ..self }
    }
    /// Allow `n` steps at once; at least 1. To stop a state, hold it.
    pub const fn concurrency(self, n: usize) -> Self {
        Tuning { concurrency: Some(n), ..self }
    }
    /// Try `n` more times; of a state only. It holds for attempts that fail from now on.
    pub const fn retries(self, n: u32) -> Self {
        Tuning { retries: Some(n), ..self }
    }
    /// Wait so long between attempts; of a state only.
    pub const fn backoff(self, backoff: Backoff) -> Self {
        Tuning { backoff: Some(backoff), ..self }
    }

    /// Nothing is changed.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Tuning::new()
    }

    /// This, and of `other` what this does not say.
    pub(crate) fn or(self, other: Tuning) -> Self {
        Tuning {
            rate: self.rate.or(other.rate),
            burst: self.burst.or(other.burst),
            concurrency: self.concurrency.or(other.concurrency),
            retries: self.retries.or(other.retries),
            backoff: self.backoff.or(other.backoff),
        }
    }

    /// With nothing below 1.
    pub(crate) fn sound(self) -> Self {
        Tuning {
            burst: self.burst.map(|n| n.max(1)),
            concurrency: self.concurrency.map(|n| n.max(1)),
            ..self
        }
    }
}

impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tuning { rate, burst, concurrency, retries, backoff } = self;
        let all = [
            rate.map(|rate| format!("rate {rate}")),
            burst.map(|burst| format!("burst {burst}")),
            concurrency.map(|concurrency| format!("concurrency {concurrency}")),
            retries.map(|retries| format!("retries {retries}")),
            backoff.map(|backoff| format!("backoff {backoff}")),
        ];
        let all: Vec<String> = all.into_iter().flatten().collect();
        f.write_str(if all.is_empty() { "as in the code" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}

/// What is changed of one of them.
pub(crate) fn tuning_of(all: &[(LimiterName, Tuning)], name: &str) -> Tuning {
    all.iter().find(|(known, _)| known == name).map_or(Tuning::new(), |(_, tuning)| *tuning)
}

/// How each state runs, with what is changed of it. Rates are the limiters' business.
pub(crate) fn tuned<W: Workflow>(
    all: &[(LimiterName, Tuning)],
    policies: &[Option<Policy>],
) -> Vec<Option<Policy>> {
    let tuned = |(state, policy): (StateId<W>, &Option<Policy>)| {
        let tuning = tuning_of(all, state.name());
        policy.map(|policy| Policy {
            concurrency: tuning.concurrency.unwrap_or(policy.concurrency),
            retries: tuning.retries.unwrap_or(policy.retries),
            backoff: tuning.backoff.unwrap_or(policy.backoff),
            ..policy
        })
    };
    StateId::all().zip(policies).map(tuned).collect()
}

/// The tuning of `name` in `all` becomes this on top of what is there, or nothing if it is none.
pub(crate) fn tune(all: &mut Vec<(LimiterName, Tuning)>, name: &LimiterName, tuning: Tuning) {
    let before = tuning_of(all, name);
    all.retain(|(known, _)| known != name);
    if !tuning.is_none() {
        all.push((name.clone(), tuning.sound().or(before)));
    }
}

/// A limiter of the program, by its name in the store.
pub(crate) fn limiter<W: Workflow>(path: &str) -> Option<&'static LimiterSpec> {
    W::STATES.iter().flat_map(|state| state.limits).find(|limiter| limiter.path == path)
}

/// The state or the limiter of this name, as the store knows it, if it can be tuned so.
pub(crate) fn target<W: Workflow>(name: &str, tuning: Tuning) -> Result<LimiterName, Error> {
    if let Some(state) = StateId::<W>::named(name).filter(|state| !state.spec().terminal()) {
        return Ok(state.name().into());
    }
    let mut limiters = W::STATES.iter().flat_map(|state| state.limits);
    let found = limiters.find(|limiter| limiter.name == name || limiter.path == name);
    let limiter = found.ok_or_else(|| no_such_target::<W>(name))?;
    if tuning.retries.is_some() || tuning.backoff.is_some() {
        let users = W::STATES.iter().filter(|state| state.limits.iter().any(|of| of.path == limiter.path));
        return Err(Error::NotOfLimiters {
            limiter: limiter.name,
            states: users.map(|state| state.name).collect(),
        });
    }
    Ok(limiter.path.into())
}

/// A key of the limiter of this name, as the store knows it, if it can have one.
pub(crate) fn key_of<W: Workflow>(limiter: &str, key: &str) -> Result<LimiterName, Error> {
    let mut limiters = W::STATES.iter().flat_map(|state| state.limits);
    let found = limiters.find(|known| known.name == limiter || known.path == limiter);
    let spec = found.ok_or_else(|| no_such_limiter::<W>(limiter))?;
    if !spec.keyed {
        return Err(Error::NotKeyed { limiter: spec.name });
    }
    if key.is_empty() {
        return Err(Error::EmptyKey { limiter: spec.name });
    }
    Ok(key_name(spec.path, key))
}
