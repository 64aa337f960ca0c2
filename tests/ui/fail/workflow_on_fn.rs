use jorb::prelude::*;

#[workflow]
pub async fn crawl() {}

fn main() {}
