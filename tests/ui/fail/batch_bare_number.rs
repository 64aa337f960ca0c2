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

#[state(batch(100))]
async fn upload(batch: Batch<sync::Upload>, cx: &mut BatchCx<Sync>) -> BatchOutcome<sync::Upload> {
    Ok(batch.finish(|_| Ok(Next::to(sync::Check))))
}

#[state]
async fn check(_: sync::Check) -> Outcome<sync::Check> {
    Ok(Next::to(sync::Done))
}

fn main() {}
