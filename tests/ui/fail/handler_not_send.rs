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

#[state(concurrency = 4, rate = "10/s")]
async fn fetch(state: crawl::Fetch) -> Outcome<crawl::Fetch> {
    Ok(Next::to(crawl::Parse { html: state.url }))
}

#[state]
async fn parse(state: crawl::Parse) -> Outcome<crawl::Parse> {
    let rc = std::rc::Rc::new(state.html);
    std::future::ready(()).await;
    drop(rc);
    Ok(Next::to(crawl::Done))
}

fn main() {}
