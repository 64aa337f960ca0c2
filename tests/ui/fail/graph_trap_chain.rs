#![allow(unused)]
use jorb::prelude::*;

// `Poll` and `Wait` lack their way to `Done`: one error, not four.
#[workflow]
#[derive(Clone)]
enum Crawl {
    #[state(initial, next(Upload, Done))]
    Fetch { url: String },
    #[state(next(Submit))]
    Upload,
    #[state(next(Poll))]
    Submit,
    #[state(next(Wait))]
    Poll,
    #[state(next(Poll), kick(Fetch))]
    Wait,
    #[state(terminal)]
    Done,
}

fn main() {}
