//! What one schedule is like. Some have a slow disk, some long steps, some a nervous operator.
use crate::{bench::Random, walk::Plan};

/// How likely things are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taste {
    /// Seeds of the run.
    pub(super) jobs: u64,
    /// Jobs of a line that memory keeps: fewer than there are, though runs are short.
    pub(super) window: usize,
    /// Processes that may end early; one more completes the run.
    pub(super) processes: usize,
    /// Against each other: a step ends,
    pub(super) steps: u64,
    /// the disk is done,
    pub(super) disk: u64,
    /// time goes on,
    pub(super) time: u64,
    /// an operator comes,
    pub(super) operator: u64,
    /// the process dies.
    pub(super) death: u64,
    /// Of a hundred things that happen, after so many the next one happens at once.
    pub(super) haste: u64,
    /// Of a thousand operations of the disk, so many fail.
    pub(super) failure: u64,
    /// A little time is at most so many milliseconds.
    pub(super) little: u64,
    /// Of a hundred timers, so many go off late.
    pub(super) late: u64,
    /// How long a stop waits for steps, in milliseconds.
    pub(super) grace: u64,
    delay: u64,
    steps_per_job: u64,
    depth: u32,
    slow: bool,
    joins: bool,
}

impl Taste {
    /// Of some schedule; nobody disturbs a calm one.
    pub(super) fn new(dice: &mut Random, calm: bool) -> Self {
        let disturbed = !dice.once_in(4) && !calm;
        let mut sometimes = |n: &[u64]| if disturbed { *dice.one_of(n) } else { 0 };
        let (operator, death, failure) =
            (sometimes(&[0, 1, 4]), sometimes(&[0, 1, 1]), sometimes(&[0, 0, 5, 30]));
        Taste {
            jobs: *dice.one_of(if calm { &[1, 2, 4] } else { &[1, 2, 5, 12, 30] }),
            window: *dice.one_of(&[1, 1, 3, 20]),
            processes: if disturbed { 4 } else { 0 },
            steps: *dice.one_of(&[10, 30, 100]),
            disk: *dice.one_of(&[5, 30, 100]),
            time: *dice.one_of(&[1, 5, 30]),
            operator,
            death,
            haste: *dice.one_of(&[0, 20, 60]),
            failure,
            little: *dice.one_of(&[1, 8, 60]),
            late: *dice.one_of(&[0, 20, 100]),
            grace: *dice.one_of(&[0, 20, 10_000]),
            delay: *dice.one_of(&[5, 200, 60_000]),
            steps_per_job: *dice.one_of(&[2, 4]),
            depth: *dice.one_of(&[0, 1, 1, 2]),
            slow: !dice.once_in(4),
            joins: dice.once_in(2),
        }
    }

    pub(super) fn plan(&self, seed: u64) -> Plan {
        let Taste { depth, steps_per_job: steps, delay, slow, joins, .. } = *self;
        Plan { seed, depth, steps, delay, slow, joins }
    }
}
