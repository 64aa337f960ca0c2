//! Tests of jorb that need more than one crate: what the compiler says, programs as users write them, and the engine.
#![allow(missing_docs, clippy::missing_panics_doc, clippy::must_use_candidate)] // nobody else reads it

pub mod audit;
pub mod bench;
pub mod flow;
pub mod fuzz;
pub mod hosts;
pub mod lab;
pub mod parcels;
pub mod poison;
pub mod schedule;
pub mod spy;
pub mod stores;
pub mod walk;
pub mod web;

use jorb::Timestamp;

/// Where the engine's clock starts in tests: behind the seeding, which reads the system's clock.
pub const START: Timestamp = Timestamp(4_000_000_000_000);
