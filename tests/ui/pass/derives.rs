//! The structs derive what the enum derives; a derive that needs one written by hand is left out.
use std::{cmp::Ordering, collections::BTreeSet, fmt::Debug, hash::Hash};

use jorb::prelude::*;

#[workflow]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Crawl {
    #[default]
    #[state(initial, next(Done))]
    Fetch,
    #[state(terminal)]
    Done { links: u8 },
}

#[workflow]
#[derive(Eq, PartialOrd, Copy)]
pub enum ByHand {
    #[state(initial, next(Done))]
    Fetch { depth: u8 },
    #[state(terminal)]
    Done,
}

impl Clone for ByHand {
    fn clone(&self) -> Self {
        *self
    }
}

impl PartialEq for ByHand {
    fn eq(&self, other: &Self) -> bool {
        self.index() == other.index()
    }
}

#[state]
fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> {
    Ok(Next::to(crawl::Done { links: 0 }))
}

#[state]
fn by_hand(_: by_hand::Fetch) -> Outcome<by_hand::Fetch> {
    Ok(Next::to(by_hand::Done))
}

fn has_all<T: Debug + Copy + Ord + Hash>(_: T) {}

fn main() {
    has_all(crawl::Done { links: 1 });
    has_all(<crawl::Fetch as Default>::default());
    let links: BTreeSet<_> = [2, 1].map(|links| crawl::Done { links }).into();
    assert_eq!(links.first(), Some(&crawl::Done { links: 1 }));
    assert!(ByHand::Fetch { depth: 1 } == ByHand::Fetch { depth: 2 });
    assert_eq!(ByHand::Fetch { depth: 1 }.partial_cmp(&ByHand::Fetch { depth: 1 }), Some(Ordering::Equal));
}
