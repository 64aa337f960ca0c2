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

#[limiter(rate = "10/s")]
enum GitHub { Rest }

#[state(concurrency = 2)]
async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> {
    Ok(Next::to(crawl::Done))
}

fn main() {}
