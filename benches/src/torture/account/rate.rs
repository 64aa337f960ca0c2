//! No window of time sees more starts than burst and rate allow, whatever process they are in.
use std::{collections::VecDeque, time::Duration};

use super::super::walk::PROMISES;

/// How much later than it was allowed to a step may start, on a machine that has other things to do.
const LATE: u64 = 100_000_000;

/// The starts in each state.
pub(super) struct Rates {
    states: [Starts; PROMISES.len()],
    still: VecDeque<(u64, u64)>,
    /// Starts before this time say nothing.
    quiet: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Starts {
    n: u64,
    /// The most that a start was behind the pace, in nanoseconds; none of a new window.
    behind: Option<i128>,
}

impl Default for Rates {
    fn default() -> Self {
        Rates { states: [Starts::default(); PROMISES.len()], still: VecDeque::new(), quiet: 0 }
    }
}

impl Rates {
    /// Steps that were to start meanwhile start at once then. So windows end before, and begin a little after it.
    pub(super) fn stood_still(&mut self, from: u64, to: u64) {
        self.still.push_back((from, to));
    }

    /// A start, in order. Says what is wrong with it.
    pub(super) fn started(&mut self, state: &str, time: u64) -> Option<String> {
        while let Some((_, to)) = self.still.front().copied().filter(|(from, _)| *from <= time) {
            self.still.pop_front();
            self.quiet = to + LATE;
            self.states = [Starts::default(); PROMISES.len()];
        }
        let state = PROMISES.iter().position(|promise| promise.state == state)?;
        let (burst, interval) = PROMISES[state].rate?;
        if time < self.quiet {
            return None;
        }
        let starts = &mut self.states[state];
        let pace = interval.as_nanos().cast_signed();
        // n starts in a window of length T, n <= burst + T / pace: said of all windows that end here at once.
        let behind = i128::from(time) - i128::from(starts.n) * pace;
        let most = starts.behind.map_or(behind, |most| most.max(behind));
        starts.behind = Some(most);
        starts.n += 1;
        let ahead = most - behind - i128::from(burst - 1) * pace;
        if ahead <= i128::from(LATE) {
            return None;
        }
        // Once is enough.
        *starts = Starts::default();
        let ahead = Duration::from_nanos(u64::try_from(ahead).unwrap_or(u64::MAX));
        Some(format!("{} starts {ahead:?} ahead of its rate", PROMISES[state].state))
    }
}
