//! Handlers of batches, in all their shapes.
use std::time::Duration;

use jorb::{Batch, BatchCx, BatchOutcome, Finished, Handler, prelude::*};

const MOST: u32 = 100;
const WAIT: Duration = Duration::from_millis(50);

#[workflow(job = u32)]
#[derive(Clone)]
enum Sync {
    #[state(initial, next(Check))]
    Upload { row: String },
    #[state(next(Write))]
    Check,
    #[state(next(Done), kick(Upload))]
    Write(u8, u8),
    #[state(terminal)]
    Done,
}

#[state(batch(max = 100, wait = "2s"), concurrency = 4, rate = "10/s", retries = 3, timeout = "1m")]
async fn upload(batch: Batch<sync::Upload>, _: &mut BatchCx<Sync>) -> BatchOutcome<sync::Upload> {
    Ok(batch.finish(|item| if item.state.row.is_empty() { Err("empty")? } else { Ok(Next::to(sync::Check)) }))
}

#[state(batch(max = MOST, wait = WAIT, per_job), rate = "10/s")]
fn check(mut batch: jorb::Batch<sync::Check>) -> Result<Finished<sync::Check>, std::io::Error> {
    for item in &mut batch {
        item.job += 1;
    }
    Ok(batch.finish(|_| Ok(Next::to(sync::Write(1, 2)))))
}

#[state(batch(max = 1))]
async fn write(batch: Batch<sync::Write>) -> BatchOutcome<sync::Write> {
    assert!(batch.iter().all(|item| item.state.0 < item.state.1));
    Ok(batch.finish(|item| {
        let again = Kick::new(sync::Upload { row: item.key() }, item.job);
        Ok(Next::to(sync::Done).kick([again]))
    }))
}

fn main() {
    let check = sync::Check::POLICY;
    let batch = check.batch.unwrap();
    assert_eq!((batch.max, batch.wait, batch.per_job), (MOST, WAIT, true));
    assert_eq!((check.burst, check.blocking), (Some(MOST), true), "or no two would come together");
    let upload = sync::Upload::POLICY;
    assert_eq!((upload.batch.unwrap().per_job, upload.burst), (false, None));
    assert!(sync::Done::of(Sync::Done).is_some() && sync::Done::of(Sync::Check).is_none());
}
