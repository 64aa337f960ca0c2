#![allow(unused)]
use jorb::{Batch, BatchCx, BatchOutcome, prelude::*};

#[workflow]
#[derive(Clone)]
enum Sync {
    #[state(initial, next(Check))]
    Upload { row: String },
    #[state(next(Done))]
    Check,
    #[state(terminal)]
    Done,
}

#[state(batch(max = 100))]
async fn upload(state: sync::Upload) -> Outcome<sync::Upload> {
    Ok(Next::to(sync::Check))
}

#[state]
async fn check(_: sync::Check) -> Outcome<sync::Check> {
    Ok(Next::to(sync::Done))
}

fn main() {}
