//! What a state hands over when it has failed for good.
use crate::State;

/// A step of state `S` that failed for good: what `on_failure(..)` makes the next state of.
///
/// The state is as it was before the step. The job's context goes on with the job.
///
/// ```
/// use jorb::{Failed, prelude::*};
///
/// #[workflow]
/// #[derive(Debug, Clone, PartialEq)]
/// enum Crawl {
///     #[state(initial, next(Done), on_failure(Gone))]
///     Fetch { url: String },
///     #[state(terminal)]
///     Done,
///     #[state(terminal)]
///     Gone { url: String, why: String },
/// }
///
/// impl From<Failed<crawl::Fetch>> for crawl::Gone {
///     fn from(failed: Failed<crawl::Fetch>) -> Self {
///         crawl::Gone { url: failed.state.url, why: failed.error }
///     }
/// }
///
/// #[state(retries = 3)]
/// async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> {
///     Err(Fault::retry("nobody answers"))
/// }
///
/// # fn main() {
/// // Tests make their own.
/// let failed = Failed::new(crawl::Fetch { url: "/".into() }, "nobody answers", 4);
/// assert_eq!(Crawl::from(crawl::Gone::from(failed)), Crawl::Gone { url: "/".into(), why: "nobody answers".into() });
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failed<S> {
    /// The state.
    pub state: S,
    /// The last error, with its causes, as it is recorded.
    pub error: String,
    /// Attempts that were made, the last one included.
    pub attempts: u32,
}

impl<S> Failed<S> {
    /// One that never was, for tests.
    pub fn new(state: S, error: impl Into<String>, attempts: u32) -> Self {
        Failed { state, error: error.into(), attempts }
    }
}

/// A state that can be made of another one's failure, because there is a `From`.
#[diagnostic::on_unimplemented(
    message = "state `{Self}` cannot be made of a failed `{S}`",
    label = "there is no `impl From<Failed<{S}>> for {Self}`",
    note = "`on_failure(..)` moves a job that failed for good: write `impl From<jorb::Failed<{S}>> for {Self}`, which says what becomes of its fields and its error"
)]
pub trait AfterFailure<S: State>: State<Workflow = S::Workflow> {
    /// What becomes of it.
    fn after(failed: Failed<S>) -> Self;
}

#[diagnostic::do_not_recommend]
impl<S: State, T: State<Workflow = S::Workflow> + From<Failed<S>>> AfterFailure<S> for T {
    fn after(failed: Failed<S>) -> Self {
        T::from(failed)
    }
}
