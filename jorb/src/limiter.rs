//! Limiters that states share.
use std::sync::Arc;

use crate::{Adaptive, Rate, State, Workflow};

/// A limit that states share: put [`#[limiter(..)]`](macro@crate::limiter) on a struct without fields.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a limiter",
    label = "not a limiter",
    note = "declare it: `#[limiter(rate = \"10/s\")] struct {Self};`"
)]
pub trait Limiter: 'static {
    /// What it allows.
    const SPEC: LimiterSpec;
}

/// What a step costs of a limiter that is `weighted`: tokens, bytes, rows.
///
/// It is asked before the step waits for its permits, so it must be a pure function of the state and the job context. A step
/// that turns out to have cost another amount says so: [`Cx::settle`](crate::Cx::settle).
///
/// ```
/// use jorb::{Limiter, Weighted, prelude::*};
///
/// #[workflow(job = String)]
/// #[derive(Debug, Clone)]
/// enum Chat {
///     #[state(initial, next(Done))]
///     Prompt { max_tokens: u32 },
///     #[state(terminal)]
///     Done,
/// }
///
/// /// What our contract with the provider says.
/// #[limiter(rate = "500/m")]
/// struct Requests;
///
/// #[limiter(rate = "30000/m", burst = 30_000, weighted)]
/// struct Tokens;
///
/// impl Weighted<chat::Prompt> for Tokens {
///     fn cost(state: &chat::Prompt, prompt: &String) -> u32 {
///         state.max_tokens + u32::try_from(prompt.len() / 4).unwrap_or(u32::MAX)
///     }
/// }
///
/// #[state(concurrency = 8, limits(Requests, Tokens))]
/// async fn prompt(_: chat::Prompt, cx: &mut Cx<Chat>) -> Outcome<chat::Prompt> {
///     let used = 120; // as the answer says
///     cx.settle::<Tokens>(used);
///     Ok(Next::to(chat::Done))
/// }
/// # assert_eq!(Tokens::cost(&chat::Prompt { max_tokens: 100 }, &"abcdefgh".into()), 102);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what a step of `{S}` costs",
    label = "this limiter is `weighted`",
    note = "write `impl Weighted<{S}> for {Self}`"
)]
pub trait Weighted<S: State>: Limiter {
    /// How many permits a step takes. One that costs more than the burst starts when nothing is taken, and the next one
    /// waits until that is paid off; one that costs nothing waits for nobody.
    fn cost(state: &S, job: &<S::Workflow as Workflow>::Job) -> u32;
}

/// For which host, tenant or model a step takes of a limiter that is `keyed`: each key has a rate and a pool of its own.
///
/// Jobs of one key are served first come, first served; those of other keys never wait for them. A pause
/// ([`Fault::throttled`](crate::Fault::throttled)) is one of the key alone. It is asked before the step waits, so it must be a
/// pure function of the state and the job context. An empty key stands for none: such a step takes nothing of the limiter.
///
/// ```
/// use jorb::{Keyed, Limiter, prelude::*};
///
/// #[workflow(job = String)]
/// #[derive(Debug, Clone)]
/// enum Crawl {
///     #[state(initial, next(Done))]
///     Fetch,
///     #[state(terminal)]
///     Done,
/// }
///
/// /// No host sees more than this of us.
/// #[limiter(rate = "1/s", concurrency = 2, keyed)]
/// struct Host;
///
/// impl Keyed<crawl::Fetch> for Host {
///     fn key(_: &crawl::Fetch, url: &String) -> String {
///         url.split('/').nth(2).unwrap_or_default().to_owned()
///     }
/// }
///
/// #[state(concurrency = 64, limits(Host))]
/// async fn fetch(_: crawl::Fetch, cx: &mut Cx<Crawl>) -> Outcome<crawl::Fetch> {
///     Ok(Next::to(crawl::Done))
/// }
/// # assert_eq!(Host::key(&crawl::Fetch, &"https://example.org/a".into()), "example.org");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which key a step of `{S}` has",
    label = "this limiter is `keyed`",
    note = "write `impl Keyed<{S}> for {Self}`"
)]
pub trait Keyed<S: State>: Limiter {
    /// The key. What has the same one shares the limit.
    fn key(state: &S, job: &<S::Workflow as Workflow>::Job) -> String;
}

/// A limiter of which steps of `S` can take, as `limits(..)` asks for it. Implemented by [`#[limiter]`](macro@crate::limiter).
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot limit steps of `{S}`",
    label = "no limiter, or one that is `weighted` or `keyed` and does not say how a step of `{S}` counts",
    note = "a limiter is declared: `#[limiter(rate = \"10/s\")] struct {Self};`",
    note = "of a `weighted` one, `impl Weighted<{S}> for {Self}` says what a step costs; of a `keyed` one, `impl Keyed<{S}> for {Self}` says which key it has"
)]
pub trait Takes<S: State>: Limiter {
    /// What it allows.
    const LIMITER: LimiterSpec = Self::SPEC;
    /// What a step costs, and its key.
    fn demand(state: &S, job: &<S::Workflow as Workflow>::Job) -> (u32, String);
}

/// What a [`Limiter`] allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimiterSpec {
    /// The name of its type.
    pub name: &'static str,
    /// The same with its module: what tells it from others, also in the store.
    pub path: &'static str,
    /// Starts per period; no limit without.
    pub rate: Option<Rate>,
    /// Starts that may follow each other at once after a quiet time; by default what 5 ms of the rate are, and at
    /// least 1.
    pub burst: Option<u32>,
    /// The rate follows what the service answers; `rate` is where it starts.
    pub adaptive: Option<Adaptive>,
    /// Steps in flight at once; no limit without.
    pub concurrency: Option<usize>,
    /// Steps cost what [`Weighted`] says, and not 1.
    pub weighted: bool,
    /// All of it holds for each key that [`Keyed`] gives.
    pub keyed: bool,
}

impl LimiterSpec {
    /// Limits nothing yet.
    #[must_use]
    pub const fn new(name: &'static str, path: &'static str) -> Self {
        LimiterSpec {
            name,
            path,
            rate: None,
            burst: None,
            adaptive: None,
            concurrency: None,
            weighted: false,
            keyed: false,
        }
    }
    /// Start no more than this.
    #[must_use]
    pub const fn rate(self, rate: Rate) -> Self {
        LimiterSpec { rate: Some(rate), ..self }
    }
    /// Start no more than a service lets us.
    #[must_use]
    pub const fn adaptive(self, rate: Adaptive) -> Self {
        LimiterSpec { rate: Some(rate.initial), adaptive: Some(rate), ..self }
    }
    /// Let `n` starts catch up at once.
    #[must_use]
    pub const fn burst(self, n: u32) -> Self {
        LimiterSpec { burst: Some(n), ..self }
    }
    /// Allow `n` steps at once.
    #[must_use]
    pub const fn concurrency(self, n: usize) -> Self {
        LimiterSpec { concurrency: Some(n), ..self }
    }
    /// Ask what a step costs.
    #[must_use]
    pub const fn weighted(self) -> Self {
        LimiterSpec { weighted: true, ..self }
    }
    /// Ask which key a step has.
    #[must_use]
    pub const fn keyed(self) -> Self {
        LimiterSpec { keyed: true, ..self }
    }
}

/// What a step takes of the limiters of its state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// Nothing in nearly all states: 1 of each.
    costs: Option<Box<[u32]>>,
    /// Of the limiters that are keyed, as it is stored: the key if there is one such limiter, or a JSON list of all.
    pub(crate) key: Option<Arc<str>>,
}

impl Demand {
    /// 1 of each.
    pub const ONE: Demand = Demand { costs: None, key: None };

    /// Of each limiter, in the order in which the state names them, and of its own rate; 1 where it ends.
    #[must_use]
    pub fn of(costs: &[u32]) -> Self {
        let ones = costs.iter().all(|cost| *cost == 1);
        Demand { costs: (!ones).then(|| costs.into()), key: None }
    }

    /// For these keys; empty ones stand for none, also of limiters that have none.
    #[must_use]
    pub fn with_keys(self, limiters: &[LimiterSpec], keys: &[String]) -> Self {
        let mut keyed = limiters.iter().zip(keys).filter(|(limiter, _)| limiter.keyed).map(|(_, key)| key);
        let key = match (keyed.next(), keyed.next()) {
            (Some(key), None) => Some(key.as_str().into()).filter(|_| !key.is_empty()),
            (Some(_), Some(_)) if keys.iter().any(|key| !key.is_empty()) => {
                serde_json::to_string(keys).ok().map(Into::into) // texts are JSON
            }
            _ => None,
        };
        Demand { key, ..self }
    }

    /// What so many jobs take together that take `all` of limiters that are weighted.
    pub(crate) fn of_batch(&self, limits: &[LimiterSpec], all: &[u32], jobs: u32, per_job: bool) -> Self {
        let each = if per_job { jobs } else { 1 };
        let of = |(limiter, all): (&LimiterSpec, &u32)| if limiter.weighted { *all } else { each };
        let costs: Vec<_> = limits.iter().zip(all).map(of).chain([each]).collect();
        Demand { key: self.key.clone(), ..Demand::of(&costs) }
    }

    /// The key of the limiter at this place, which is keyed, if it has one.
    pub(crate) fn key_at(&self, limiters: &[LimiterSpec], at: usize) -> Option<Arc<str>> {
        let several = limiters.iter().filter(|limiter| limiter.keyed).nth(1).is_some();
        let key = if several {
            keys(self.key.as_deref()).get(at).map(|key| key.as_str().into())
        } else {
            self.key.clone()
        };
        key.filter(|key: &Arc<str>| !key.is_empty())
    }

    /// Of the limiter at this place.
    pub(crate) fn cost(&self, at: usize) -> u32 {
        self.costs.as_ref().and_then(|costs| costs.get(at)).copied().unwrap_or(1)
    }
}

/// The keys of a state's limiters, of which several are keyed, out of what is stored. What was stored when only one was is
/// none of them: such a job gets another one when it is read.
pub(crate) fn keys(stored: Option<&str>) -> Vec<String> {
    stored.and_then(|keys| serde_json::from_str(keys).ok()).unwrap_or_default()
}
