//! The lines of a state whose heads may start, by priority.
use crate::{processor::heap::Heap, store::Turn};

/// A heap for each priority, the highest first.
pub(super) struct Levels(Vec<(i8, Heap<Turn>)>);

/// The first line of a level.
#[derive(Clone, Copy)]
pub(super) struct First {
    pub(super) priority: i8,
    pub(super) turn: Turn,
    pub(super) line: usize,
}

impl Levels {
    pub(super) const fn new() -> Self {
        Levels(Vec::new())
    }

    pub(super) fn insert(&mut self, priority: i8, turn: Turn, line: usize) {
        let at = self.0.partition_point(|(of, _)| *of > priority);
        if self.0.get(at).is_none_or(|(of, _)| *of != priority) {
            self.0.insert(at, (priority, Heap::new()));
        }
        self.0[at].1.insert(turn, line);
    }

    pub(super) fn remove(&mut self, priority: i8, line: usize) {
        let level = self.0.iter_mut().find(|(of, _)| *of == priority);
        level.expect("a line is on the level of its priority").1.remove(line);
    }

    /// Of each priority that has one.
    pub(super) fn firsts(&self) -> impl Iterator<Item = First> {
        (0..self.0.len()).filter_map(|level| self.first_of(level))
    }

    pub(super) fn levels(&self) -> usize {
        self.0.len()
    }

    pub(super) fn first_of(&self, level: usize) -> Option<First> {
        let (priority, heap) = &self.0[level];
        heap.first().map(|(turn, line)| First { priority: *priority, turn, line })
    }

    /// In no order.
    #[cfg(test)]
    pub(super) fn lines(&self) -> impl Iterator<Item = usize> {
        self.0.iter().flat_map(|(_, heap)| heap.members())
    }
}
