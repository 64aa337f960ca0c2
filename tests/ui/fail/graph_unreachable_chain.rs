#![allow(unused)]
use jorb::prelude::*;

// `List` lacks its `kick(Fetch)`: one error, not five.
#[workflow]
#[derive(Clone)]
enum Crawl {
    #[state(initial, next(Listed))]
    List,
    #[state(terminal)]
    Listed,
    #[state(next(Store, Failed))]
    Parse { html: String },
    #[state(next(Retry, Parse))]
    Fetch { url: String },
    #[state(next(Fetch))]
    Retry { url: String },
    #[state(next(Listed, Failed))]
    Store,
    #[state(terminal)]
    Failed,
}

fn main() {}
