#![allow(unused)]
use jorb::prelude::*;

#[workflow]
#[derive(Clone)]
enum Crawl<'a> {
    #[state(initial, next(Parse))]
    Fetch { url: &'a str },
    #[state(next(Done), kick(Fetch))]
    Parse { html: String },
    #[state(terminal)]
    Done,
}

#[state(concurrency = 4, rate = "10/s")]
async fn fetch(state: crawl::Fetch) -> Outcome<crawl::Fetch> {
    Ok(Next::to(crawl::Parse { html: state.url.to_owned() }))
}

#[state]
fn parse(_: crawl::Parse) -> Outcome<crawl::Parse> {
    Ok(Next::to(crawl::Done))
}

fn main() {}
