use jorb::prelude::*;

#[workflow]
struct Crawl {
    url: String,
}

fn main() {}
