//! Limiters, declared elsewhere and here, by every key.
mod limits {
    use jorb::prelude::*;

    const POOL: usize = 8;

    /// Docs and visibility stay.
    #[limiter(concurrency = POOL)]
    pub struct Pool;

    #[limiter(rate = "1/250ms", burst = 4, concurrency = 2, weighted)]
    #[derive(Debug)]
    pub struct Bytes {}

    /// A pool for each user, and a rate; those who are weighted as well have a key, too.
    #[limiter(keyed, rate = "5/s", concurrency = POOL, weighted)]
    pub struct User;

    #[cfg(any())]
    #[limiter(rate = "1/s")]
    pub struct Nowhere;
}

use jorb::{Keyed, Weighted, prelude::*};

#[workflow(job = String)]
#[derive(Clone)]
enum Crawl {
    #[state(initial, next(Done))]
    Fetch { url: String },
    #[state(initial, next(Done))]
    Upload(u32),
    #[state(terminal)]
    Done,
}

impl Weighted<crawl::Upload> for limits::Bytes {
    fn cost(state: &crawl::Upload, job: &String) -> u32 {
        state.0 + job.len() as u32
    }
}

impl Weighted<crawl::Upload> for limits::User {
    fn cost(_: &crawl::Upload, _: &String) -> u32 {
        2
    }
}

impl Keyed<crawl::Upload> for limits::User {
    fn key(_: &crawl::Upload, job: &String) -> String {
        job.clone()
    }
}

#[state(limits(self::limits::Pool,))]
async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> {
    Ok(Next::to(crawl::Done))
}

#[state(concurrency = 2, limits(limits::Pool, limits::Bytes, limits::User))]
fn upload(_: crawl::Upload, cx: &mut Cx<Crawl>) -> Outcome<crawl::Upload> {
    cx.settle::<limits::Bytes>(7);
    Ok(Next::to(crawl::Done))
}

fn main() {
    let names: Vec<_> = Crawl::STATES[1].limits.iter().map(|limiter| limiter.name).collect();
    assert_eq!(names, ["Pool", "Bytes", "User"]);
    let (_, demand) = Crawl::from(crawl::Upload(3)).demand(&"four".to_owned());
    assert_eq!(demand, jorb::Demand::of(&[1, 7, 2]).with_keys(Crawl::STATES[1].limits, &["", "", "four"].map(Into::into)));
}
