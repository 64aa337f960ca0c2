//! A line of jobs whose commits come late, or never.
use std::time::Duration;

use super::{Line, Waiting};
use crate::{
    Codec, Cx, JobId, Policy, Saved, Snapshot, StateId, StateSpec, Status, Task, Timestamp, Unreadable,
    Unwritable, Workflow,
    store::{Record, Turn},
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
        status: Status::Ready,
        ready_at: turn.ready_at,
        delay: Duration::ZERO,
    };
    Record { job, seq: turn.seq, placed, last_line: None, last_error: None }
}

pub(in crate::processor) const fn turn(ready_at: u64, seq: u64) -> Turn {
    Turn { ready_at: Timestamp(ready_at), seq }
}

/// Delayed jobs are in memory and in the store.
fn arrive(line: &mut Line<Lone>, turn: Turn) {
    line.arrive(Waiting::read(record(turn, true)));
}

#[test]
fn what_was_asked_for_and_not_made_is_not_read() {
    let mut line = Line::new(0, 1, 1, false);
    let (here, away) = (turn(1, 1), turn(2, 2));
    assert!(line.expect(here, BYTES, 0) && !line.expect(away, BYTES, 0));
    arrive(&mut line, here);
    assert_eq!(line.pop().map(|job| job.turn()), Some(here));
    assert!(line.is_short(0));
    line.ask();
    line.cancel(false, away);
    assert_eq!(line.next_page(0), None, "the store may still have the one that has started");
}

#[test]
fn who_has_started_is_not_read_again() {
    let mut line = Line::new(0, 1, 1, false);
    let (late, early) = (turn(9, 1), [turn(6, 2), turn(7, 3), turn(8, 4)]);
    assert!(line.expect(late, BYTES, 0));
    arrive(&mut line, late);
    assert_eq!(line.pop().map(|job| job.turn()), Some(late));
    // Their commits took longer than the delay of the one that has started.
    for turn in early {
        assert!(line.expect(turn, BYTES, 0));
    }
    for turn in early {
        arrive(&mut line, turn);
    }
    let after = line.next_page(0).map(|(after, _)| after);
    assert!(after.is_none_or(|after| after >= Some(late)), "reads on after {after:?}");
    assert_eq!(early.map(|_| line.pop().map(|job| job.turn())), early.map(Some));
}
