//! What we print is clean under the lints that careful users turn on. `tests/lints.rs` shows it to clippy, too.
#![deny(
    clippy::all,
    clippy::pedantic,
    missing_debug_implementations,
    missing_docs,
    rust_2018_idioms,
    unreachable_pub,
    unsafe_code,
    unused,
    unused_lifetimes,
    unused_qualifications,
    variant_size_differences
)]

use jorb::prelude::*;

/// Clients.
#[derive(Debug)]
pub struct App;

/// One package.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
}

/// The life of one change.
#[workflow(app = App, job = Package)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Check the package out.
    #[state(initial, next(Edit), kick(Change, CheckOut))]
    CheckOut,
    /// Edit it.
    #[state(next(Change))]
    Edit {
        /// Where it lies.
        change_path: String,
        /// Files that changed.
        change_files: Vec<String>,
    },
    /// Change it.
    #[state(next(Done))]
    Change {
        /// Try it only.
        dry: bool,
        /// Without asking.
        force: bool,
        /// Say nothing.
        quiet: bool,
        /// Say all.
        verbose: bool,
    },
    /// Nothing is left to do.
    #[state(terminal)]
    Done,
}

#[state(concurrency = 2, rate = "10/s", retries = 3)]
async fn check_out(_: change::CheckOut, cx: &mut Cx<Change>) -> Outcome<change::CheckOut> {
    let change_path = std::future::ready(format!("/src/{}", cx.job.name)).await;
    Ok(Next::to(change::Edit { change_path, change_files: Vec::new() }))
}

#[state]
async fn edit(_: change::Edit) -> Outcome<change::Edit> {
    Ok(Next::to(change::Change { dry: true, force: false, quiet: false, verbose: false }))
}

#[state(timeout = "1m")]
fn change(state: change::Change) -> Outcome<change::Change> {
    if state.force {
        return Err(Fault::fatal("refused"));
    }
    Ok(Next::to(change::Done))
}

/// States that are allowed to be ugly, and to hold what is no longer to be used.
#[allow(non_camel_case_types, non_snake_case, clippy::enum_variant_names, clippy::upper_case_acronyms)]
#[allow(deprecated, missing_debug_implementations, missing_docs)]
#[workflow]
#[derive(Clone)]
pub enum Ugly {
    #[state(initial, next(state_HTTP, state_two))]
    state_one { Url: String },
    #[deprecated]
    #[state(next(state_two))]
    state_HTTP,
    #[state(terminal)]
    state_two,
}

#[state]
async fn one(state: ugly::state_one) -> Outcome<ugly::state_one> {
    if state.Url.is_empty() { Ok(Next::to(ugly::state_two)) } else { Ok(Next::to(ugly::state_HTTP)) }
}

#[state]
async fn http(_: ugly::state_HTTP) -> Outcome<ugly::state_HTTP> {
    Ok(Next::to(ugly::state_two))
}

/// A case is a program.
///
/// # Panics
/// When the states differ from the ones above.
pub fn main() {
    assert_eq!((Change::STATES.len(), Ugly::STATES.len()), (4, 3));
}
