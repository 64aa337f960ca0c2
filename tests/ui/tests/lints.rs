//! What we print is clean under clippy: the case is a module here, so that clippy sees it.
#[path = "../pass/lints.rs"]
pub mod lints;

#[test]
fn the_case_is_a_program() {
    lints::main();
}
