use jorb::prelude::*;

#[workflow]
union Crawl {
    url: u8,
}

fn main() {}
