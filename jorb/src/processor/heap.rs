//! Things in the order in which they are to be looked at.

/// A binary heap of numbered things: that with the least key comes first. Each is in it once at most, and is taken out wherever it
/// stands.
pub(super) struct Heap<K> {
    members: Vec<(K, usize)>,
    /// Where each stands.
    places: Vec<usize>,
}

impl<K: Ord + Copy> Heap<K> {
    pub(super) const fn new() -> Self {
        Heap { members: Vec::new(), places: Vec::new() }
    }

    pub(super) fn first(&self) -> Option<(K, usize)> {
        self.members.first().copied()
    }

    /// One that is not in it.
    pub(super) fn insert(&mut self, key: K, thing: usize) {
        if self.places.len() <= thing {
            self.places.resize(thing + 1, 0);
        }
        self.members.push((key, thing));
        self.rise(self.members.len() - 1);
    }

    /// One that is in it.
    pub(super) fn remove(&mut self, thing: usize) {
        let at = self.places[thing];
        debug_assert_eq!(self.members[at].1, thing);
        self.members.swap_remove(at);
        if at < self.members.len() {
            self.rise(at);
            self.sink(self.places[self.members[at].1]);
        }
    }

    /// In no order.
    #[cfg(test)]
    pub(super) fn members(&self) -> impl Iterator<Item = usize> {
        self.members.iter().map(|(_, thing)| *thing)
    }

    fn rise(&mut self, mut at: usize) {
        while at > 0 && self.members[at] < self.members[(at - 1) / 2] {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        self.places[self.members[at].1] = at;
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let children = 2 * at + 1..self.members.len().min(2 * at + 3);
            let Some(least) = children.min_by_key(|child| self.members[*child]) else { break };
            if self.members[at] < self.members[least] {
                break;
            }
            self.swap(at, least);
            at = least;
        }
        self.places[self.members[at].1] = at;
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.members.swap(a, b);
        self.places[self.members[a].1] = a;
        self.places[self.members[b].1] = b;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        /// It is an ordered set of keys and things, whatever is put in and taken out.
        #[test]
        fn a_heap_is_an_ordered_set(changes in vec((0_u8..20, 0_usize..40), 0..400)) {
            let (mut heap, mut set, mut keys) = (Heap::new(), BTreeSet::new(), vec![None; 40]);
            for (key, thing) in changes {
                if let Some(key) = keys[thing].take() {
                    heap.remove(thing);
                    set.remove(&(key, thing));
                } else {
                    heap.insert(key, thing);
                    set.insert((key, thing));
                    keys[thing] = Some(key);
                }
                prop_assert_eq!(heap.first(), set.first().copied());
                let members: BTreeSet<_> = heap.members().collect();
                prop_assert_eq!(members, set.iter().map(|(_, thing)| *thing).collect::<BTreeSet<_>>());
            }
        }
    }
}
