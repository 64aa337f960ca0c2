#![allow(unused)]
use jorb::prelude::*;

#[workflow]
#[derive(Clone)]
enum Crawl {
    #[state(initial, next(Done))]
    Fetch { url: String },
    #[state(terminal)]
    Done,
}

#[state(rate = adaptive("10/s", most = "100/s"))]
async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> {
    Ok(Next::to(crawl::Done))
}

fn main() {}
