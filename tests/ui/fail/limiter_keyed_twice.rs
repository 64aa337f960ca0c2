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

#[limiter(keyed, rate = "100/m", keyed)]
struct Tokens;

impl jorb::Keyed<crawl::Fetch> for Tokens {
    fn key(_: &crawl::Fetch, _: &()) -> String {
        "one".into()
    }
}

#[state(limits(Tokens))]
async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> {
    Ok(Next::to(crawl::Done))
}

fn main() {}
