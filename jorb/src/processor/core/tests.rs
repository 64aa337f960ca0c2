//! A scheduler without slots and without a store.
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::time::advance;
use uuid::Uuid;

use super::{Bounds, Core, Pull, Start, cancel::Step};
use crate::{
    Batching, Clock, Form, Join, Policy, Rate, StateId, Status, Timestamp,
    processor::{
        line::Waiting,
        queue::tests::{Lone, record, turn},
    },
    store::{Change, Fresh, Header},
};

/// Of a state with so many jobs, so many of them fresh.
fn header(ready: u32, fresh: u32) -> Header<Lone> {
    let mut header = Header::new(Uuid::nil(), Timestamp(0));
    header.counts.add(StateId::<Lone>::at(0), Status::Ready, ready.into());
    header.fresh = Fresh { next: 0, end: fresh.into(), by_state: vec![fresh.into()] };
    header
}

#[tokio::test(start_paused = true)]
async fn who_moved_does_not_wait_for_fresh_ones_that_are_held_back() {
    let clock = Clock::starting_at(Timestamp(1_000));
    let bounds = Bounds { window: Some(1), ..Bounds::default() };
    let core = Core::new(header(9, 1), clock, Form::Value, &[Some(Policy::DEFAULT)], bounds);
    core.resume((2..10).map(|seq| Waiting::read(record(turn(1, seq), false))).collect(), Vec::new());
    assert!(matches!(core.next(StateId::at(0), None), Pull::Wait), "the fresh one is first");
    assert!(core.take_load().is_some(), "so it is read");
}

#[tokio::test(start_paused = true)]
async fn nobody_starts_while_a_permit_is_on_its_way_to_the_store() {
    let state = StateId::at(0);
    let policy = Policy::DEFAULT.concurrency(2).rate(Rate::literal("10/s"));
    let clock = Clock::starting_at(Timestamp(1_000));
    let core = Core::new(header(2, 0), clock, Form::Value, &[Some(policy)], Bounds::default());
    core.resume([1, 2].map(|seq| Waiting::read(record(turn(1, seq), false))).into(), Vec::new());

    let Pull::Run(Start { permit: Some(first), suspect: None, .. }) = core.next(state, None) else {
        panic!("the first one starts")
    };
    advance(Duration::from_millis(150)).await;
    assert!(matches!(core.next(state, None), Pull::Wait), "both would start at once when the store is done");
    let first = core.starts(state, first).expect("that took long: what was saved is not true any more");
    assert!(matches!(core.next(state, None), Pull::Wait));
    assert!(core.starts(state, first).is_none());

    core.woken(state).await;
    assert!(matches!(core.next(state, None), Pull::Wait), "100 ms from the start on");
    advance(Duration::from_millis(100)).await;
    assert!(matches!(core.next(state, None), Pull::Run(..)));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_always_slow_only_delays_a_start() {
    let state = StateId::at(0);
    let policy = Policy::DEFAULT.rate(Rate::literal("10/s"));
    let clock = Clock::starting_at(Timestamp(1_000));
    let core = Core::new(header(1, 0), clock, Form::Value, &[Some(policy)], Bounds::default());
    core.resume(vec![Waiting::read(record(turn(1, 1), false))], Vec::new());

    let Pull::Run(Start { permit: Some(permit), suspect: None, .. }) = core.next(state, None) else {
        panic!("it starts")
    };
    advance(Duration::from_millis(150)).await;
    let permit = core.starts(state, permit).expect("it was saved as of 20 ms after it was taken");
    advance(Duration::from_millis(150)).await;
    assert!(core.starts(state, permit).is_none(), "a disk that was slow once is given more time");
}

#[tokio::test(start_paused = true)]
async fn who_is_cancelled_before_a_batch_starts_is_no_part_of_it() {
    let state = StateId::at(0);
    let batching = Batching::new(3);
    let policy = Policy::DEFAULT.rate(Rate::literal("10/s")).batch(batching);
    let clock = Clock::starting_at(Timestamp(1_000));
    let core = Core::new(header(3, 0), clock, Form::Value, &[Some(policy)], Bounds::default());
    core.resume((1..=3).map(|seq| Waiting::read(record(turn(1, seq), false))).collect(), Vec::new());

    let known = core.cancels();
    let Pull::Run(mut batch) = core.next_batch(state, batching, None) else { panic!("all three start") };
    assert!(batch.permit.is_some(), "once that is saved");
    core.leave_out_cancelled(state, &mut batch, known);
    assert_eq!(batch.jobs.len(), 3);
    let second = batch.jobs[1].record.job.id;
    core.lock().running.insert(second, Step::Cancelled { _answer: None });
    core.cancels.fetch_add(1, Relaxed);
    core.leave_out_cancelled(state, &mut batch, known);
    assert!(batch.jobs.len() == 2 && batch.jobs.iter().all(|job| job.record.job.id != second));
    assert_eq!(core.overview().states[0].executing, 2);

    core.batch_not_started(state, &batch);
    let inner = core.lock();
    assert_eq!((inner.executing, inner.queues[0].executing, inner.queues[0].in_batches), (0, 0, 0));
    assert!(inner.running.is_empty());
}

#[test]
fn who_is_cancelled_before_its_children_are_counted_still_waits_for_them() {
    let mut joins = record(turn(1, 1), true);
    joins.job.status = Status::Joining;
    for (known, left) in [(0, 1), (7, 7)] {
        joins.job.join = Some(Arc::new(Join { left: known, ..Join::new(true) }));
        let now = Change::cancelling(joins.clone(), Timestamp(2), 2).now;
        assert_eq!(now.job.status, Status::Cancelled);
        assert_eq!(now.job.join.as_deref(), Some(&Join { left, ..Join::new(true) }));
    }
}
