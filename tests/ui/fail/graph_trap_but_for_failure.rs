#![allow(unused)]
use jorb::prelude::*;

#[workflow]
#[derive(Clone)]
enum Crawl {
    #[state(initial, next(Parse))]
    Fetch { url: String },
    #[state(next(Parse), on_failure(Done))]
    Parse { html: String },
    #[state(terminal)]
    Done,
}

impl From<jorb::Failed<crawl::Parse>> for crawl::Done {
    fn from(_: jorb::Failed<crawl::Parse>) -> Self {
        crawl::Done
    }
}

#[state]
async fn fetch(state: crawl::Fetch) -> Outcome<crawl::Fetch> {
    Ok(Next::to(crawl::Parse { html: state.url }))
}

#[state]
fn parse(_: crawl::Parse, _: &mut Cx<Crawl>) -> Outcome<crawl::Parse> {
    Ok(Next::to(crawl::Parse { html: String::new() }))
}

fn main() {}
