//! The JSON store: what a kill, a person and a full disk may do to it.
#[path = "json/crash.rs"]
mod crash;
#[path = "json/disk.rs"]
mod disk;
#[path = "json/edit.rs"]
mod edit;
#[path = "json/refuse.rs"]
mod refuse;
#[path = "json/run.rs"]
mod run;
