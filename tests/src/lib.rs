//! Tests of jorb that need more than one crate: what the compiler says, and programs as users write them.

#[path = "../ui/pass/lints.rs"]
pub mod lints;
