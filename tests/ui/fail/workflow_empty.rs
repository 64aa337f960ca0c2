use jorb::prelude::*;

#[workflow]
#[derive(Clone)]
enum Crawl {}

fn main() {}
