//! Lines whose key an operator has stopped.
use super::{Line, Load, Queue, Spot, Uses, Waiting};
use crate::Workflow;

impl<W: Workflow> Queue<W> {
    /// Which lines are held has changed. Says whether that of one of these has.
    pub(in crate::processor) fn hold(&mut self, held: impl Fn(&Uses) -> bool) -> bool {
        let mut changed = false;
        for at in 0..self.lines.len() {
            let Some(line) = &mut self.lines[at] else { continue };
            let now = held(&line.uses);
            if std::mem::replace(&mut line.held, now) != now {
                changed = true;
                self.touch(at);
                if self.lines[at].as_ref().is_some_and(|line| line.held && line.spot == Spot::Blocked) {
                    self.make_room(at, 0);
                }
            }
        }
        changed
    }

    /// All that wait here wait for an operator to release their keys. Of each line memory has seen a job, so that today's program
    /// has said that it is the right one.
    pub(in crate::processor) fn only_held(&self) -> bool {
        let waits = |line: &Line<W>| line.held && line.spot == Spot::Blocked && line.load == Load::No;
        let none_goes = self.ready.firsts().next().is_none() && self.later.first().is_none();
        let all_wait = || self.all().all(|line| line.is_over() || waits(line));
        none_goes && !self.fresh && all_wait() && self.all().any(|line| line.held)
    }

    /// The line that would go next if it were not held; nothing while another one may.
    pub(in crate::processor) fn next_held(&self) -> Option<&Line<W>> {
        if self.ready.firsts().next().is_some() {
            return None;
        }
        let held = self.all().filter(|line| line.held && line.head().is_some());
        held.min_by_key(|line| line.head().map(Waiting::turn))
    }
}
