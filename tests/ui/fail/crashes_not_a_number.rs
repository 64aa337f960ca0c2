#![allow(unused)]
use jorb::prelude::*;

#[workflow]
#[derive(Clone)]
enum Crawl {
    #[state(initial, next(Parse))]
    Fetch { url: String },
    #[state(next(Done), kick(Fetch))]
    Parse { html: String },
    #[state(terminal)]
    Done,
}

#[state(concurrency = 4, crashes = "3")]
async fn fetch(state: crawl::Fetch) -> Outcome<crawl::Fetch> {
    Ok(Next::to(crawl::Parse { html: state.url }))
}

#[state]
fn parse(_: crawl::Parse, _: &mut Cx<Crawl>) -> Outcome<crawl::Parse> {
    Ok(Next::to(crawl::Done))
}

fn main() {}
