//! Lines of jobs whose commits come late, or never.
use std::time::Duration;

use super::{Queue, Waiting};
use crate::{
    Codec, Cx, JobId, Policy, Saved, Snapshot, StateId, StateSpec, Status, Task, Timestamp, Unreadable,
    Unwritable, Workflow,
    store::{Lane, Record, Turn},
};

mod events;
mod model;

const MS: u64 = 1_000_000;
/// Of a job.
const BYTES: usize = 300;

#[derive(Debug, Clone)]
pub(in crate::processor) struct Lone;

impl Workflow for Lone {
    type App = ();
    type Overall = ();
    type Job = ();
    const NAME: &'static str = "lone";
    const STATES: &'static [StateSpec] = &[StateSpec {
        name: "Lone",
        aliases: &[],
        policy: Some(Policy::DEFAULT),
        initial: true,
        next: &[],
        kick: &[],
        on_failure: None,
        limits: &[],
        fields: false,
    }];
    const CODEC: Codec<Self> =
        crate::__private::codec(crate::__private::context(), crate::__private::context());

    fn index(&self) -> usize {
        0
    }
    fn save(self) -> (Self, Result<Option<String>, Unwritable>) {
        (self, Ok(None))
    }
    fn load(_: &str, _: Option<&str>) -> Option<Result<Self, Unreadable>> {
        Some(Ok(Lone))
    }
    fn dispatch(self, _: &mut Cx<Self>) -> Option<Task<'_, Self>> {
        None
    }
}

pub(in crate::processor) fn record(turn: Turn, placed: bool) -> Record<Lone> {
    let job = Snapshot {
        id: JobId(turn.seq - 1),
        parent: None,
        step: 0,
        attempt: 1,
        began: None,
        errors: 0,
        kicked: 0,
        state: StateId::at(0),
        data: Saved::Nothing,
        context: Saved::Nothing,
        priority: 0,
        status: Status::Ready,
        ready_at: turn.ready_at,
        delay: Duration::ZERO,
        deadline: None,
        join: None,
    };
    Record { job, seq: turn.seq, placed, key: None, last_line: None, last_error: None }
}

pub(in crate::processor) const fn turn(ready_at: u64, seq: u64) -> Turn {
    Turn { ready_at: Timestamp(ready_at), seq }
}

/// Of a state without jobs.
fn queue(window: usize) -> (Queue<Lone>, usize) {
    let mut queue = Queue::new(window, window, 1, false, false);
    let line = queue.line(&Lane::FIRST, false, || (None, false));
    (queue, line)
}

/// Delayed jobs are in memory and in the store.
fn arrive(queue: &mut Queue<Lone>, line: usize, turn: Turn) {
    queue.arrive(line, Waiting::read(record(turn, true)));
}

fn pop(queue: &mut Queue<Lone>) -> Option<Turn> {
    let line = queue.peek()?;
    queue.pop(line).map(|job| job.turn())
}

#[test]
fn what_was_asked_for_and_not_made_is_not_read() {
    let (mut queue, line) = queue(1);
    let (here, away) = (turn(1, 1), turn(2, 2));
    assert!(queue.expect(line, here, BYTES, 0) && !queue.expect(line, away, BYTES, 0));
    arrive(&mut queue, line, here);
    assert_eq!(pop(&mut queue), Some(here));
    assert!(queue.is_short(0));
    queue.cancel(line, false, away);
    let after = queue.pages(0).pop().map(|page| page.after);
    assert!(
        after.is_none_or(|after| after >= Some(here)),
        "the store may still have the one that has started"
    );
}

#[test]
fn who_has_started_is_not_read_again() {
    let (mut queue, line) = queue(1);
    let (late, early) = (turn(9, 1), [turn(6, 2), turn(7, 3), turn(8, 4)]);
    assert!(queue.expect(line, late, BYTES, 0));
    arrive(&mut queue, line, late);
    assert_eq!(pop(&mut queue), Some(late));
    // Their commits took longer than the delay of the one that has started.
    for turn in early {
        assert!(queue.expect(line, turn, BYTES, 0));
    }
    for turn in early {
        arrive(&mut queue, line, turn);
    }
    let after = queue.pages(0).pop().map(|page| page.after);
    assert!(after.is_none_or(|after| after >= Some(late)), "reads on after {after:?}");
    assert_eq!(early.map(|_| pop(&mut queue)), early.map(Some));
}

/// Jobs of these priorities wait, in this order.
fn with_priorities(priorities: &[i8]) -> Queue<Lone> {
    let mut queue = Queue::new(1000, 1000, 1, false, false);
    for (n, priority) in priorities.iter().enumerate() {
        let line = queue.line(&Lane { priority: *priority, key: None }, false, || (None, false));
        let turn = turn(1, n as u64 + 1);
        assert!(queue.expect(line, turn, BYTES, 0));
        let mut record = record(turn, false);
        record.job.priority = *priority;
        queue.arrive(line, Waiting::read(record));
    }
    queue
}

#[test]
fn higher_priorities_start_first() {
    let mut queue = with_priorities(&[0, -3, 7, 0, 7, -3, 127, -128]);
    let order: Vec<_> = std::iter::from_fn(|| pop(&mut queue)).map(|turn| turn.seq).collect();
    assert_eq!(order, [7, 3, 5, 1, 4, 2, 6, 8]);
}

#[test]
fn nobody_is_overtaken_for_ever() {
    let mut low_first = vec![1; 10];
    low_first.extend([-1, 0]);
    low_first.extend([1; 200]);
    let mut queue = with_priorities(&low_first);
    let order: Vec<_> = std::iter::from_fn(|| pop(&mut queue)).map(|turn| turn.seq).collect();
    // Those that came before it do not overtake it.
    let (low, lowest) = (order.iter().position(|n| *n == 12), order.iter().position(|n| *n == 11));
    assert_eq!((low, lowest), (Some(74), Some(75)));
}

#[test]
fn a_state_without_jobs_waits_for_those_who_are_on_their_way() {
    // Else it would read ahead of them, and they would find no room in the states behind it.
    let (mut queue, line) = queue(1);
    assert!(!queue.is_blind());
    // It has one, of which the store may have an earlier one.
    let (early, late) = (turn(1, 1), turn(2, 2));
    assert!(queue.expect(line, early, BYTES, 0) && !queue.expect(line, late, BYTES, 0));
    arrive(&mut queue, line, early);
    assert_eq!(pop(&mut queue), Some(early));
    queue.resume(line, Waiting::read(record(turn(3, 3), false)));
    assert!(queue.is_blind());
}
