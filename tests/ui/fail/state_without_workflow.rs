#![allow(unused)]
use jorb::prelude::*;

#[derive(Clone)]
enum Crawl {
    #[state(initial, next(Done))]
    Fetch { url: String },
    #[state(terminal)]
    Done,
}

fn main() {}
