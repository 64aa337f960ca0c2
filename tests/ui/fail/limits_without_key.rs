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

#[limiter(rate = "100/m", keyed)]
struct Tokens;

#[state(limits(Tokens))]
async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> {
    Ok(Next::to(crawl::Done))
}

fn main() {}
