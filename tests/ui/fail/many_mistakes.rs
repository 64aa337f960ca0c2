#![allow(unused)]
use jorb::prelude::*;

#[workflow]
#[derive(Clone)]
enum Crawl {
    #[state(initial, next(Parsse), cap = 3)]
    Fetch { url: String },
    #[state(next(Done), kick(Fetsh))]
    Parse { html: String },
    #[state(terminal)]
    Done,
}

#[state(concurrency = 0, rate = 10, retry = 3)]
async fn fetch(state: crawl::Fetch) -> Outcome<crawl::Fetch> {
    Ok(Next::to(crawl::Parse { html: state.url }))
}

#[state]
fn parse(_: crawl::Parse, _: Cx<Crawl>) -> Outcome<crawl::Parse> {
    Ok(Next::to(crawl::Done))
}

fn main() {}
