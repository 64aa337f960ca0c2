//! The macros behind `jorb`. Use them through that crate.
//!
//! One pass per file: `args` reads attribute keys, `attrs` other people's, `model` turns the enum into a checked
//! `model::Workflow`, `graph` proves things about it and draws it, `expand` prints Rust. `handler` does the same,
//! smaller, for one function.
use proc_macro::TokenStream;

mod args;
mod attrs;
mod error;
mod expand;
mod graph;
mod handler;
mod model;

/// Turns an enum of states into a workflow.
#[proc_macro_attribute]
pub fn workflow(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::workflow(args.into(), &item.into()).into()
}

/// Makes a function the handler of the state it takes: an `async fn` runs in place, a plain `fn` on the
/// blocking pool.
#[proc_macro_attribute]
pub fn state(args: TokenStream, item: TokenStream) -> TokenStream {
    handler::state(args.into(), &item.into()).into()
}
