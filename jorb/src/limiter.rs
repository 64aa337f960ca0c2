//! Limiters that states share.
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
    message = "`{Self}` cannot limit steps of `{S}`",
    label = "no limiter, or one that is `weighted` and does not say what a step of `{S}` costs",
    note = "a limiter is declared: `#[limiter(rate = \"10/s\")] struct {Self};`",
    note = "of a `weighted` one, `impl Weighted<{S}> for {Self}` says what a step costs"
)]
pub trait Weighted<S: State>: Limiter {
    /// The limiter, as the macro asks for it.
    #[doc(hidden)]
    const LIMITER: LimiterSpec = Self::SPEC;
    /// How many permits a step takes. One that costs more than the burst starts when nothing is taken, and the next one
    /// waits until that is paid off; one that costs nothing waits for nobody.
    fn cost(state: &S, job: &<S::Workflow as Workflow>::Job) -> u32;
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
}

/// What a step takes of the limiters of its state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// Nothing in nearly all states: 1 of each.
    costs: Option<Box<[u32]>>,
}

impl Demand {
    /// 1 of each.
    pub const ONE: Demand = Demand { costs: None };

    /// Of each limiter, in the order in which the state names them; 1 where it ends.
    #[must_use]
    pub fn of(costs: &[u32]) -> Self {
        let ones = costs.iter().all(|cost| *cost == 1);
        Demand { costs: (!ones).then(|| costs.into()) }
    }

    /// Of the limiter at this place.
    pub(crate) fn cost(&self, at: usize) -> u32 {
        self.costs.as_ref().and_then(|costs| costs.get(at)).copied().unwrap_or(1)
    }
}
