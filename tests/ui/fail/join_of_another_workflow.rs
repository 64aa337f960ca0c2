//! Children are jobs of the same workflow.
use jorb::prelude::*;

#[workflow]
#[derive(Debug, Clone)]
enum Book {
    #[state(initial, next(Bound))]
    Bind,
    #[state(terminal)]
    Bound,
}

#[workflow]
#[derive(Debug, Clone)]
enum Page {
    #[state(initial, next(Printed))]
    Print,
    #[state(terminal)]
    Printed,
}

#[state]
async fn bind(_: book::Bind, cx: &mut Cx<Book>) -> Outcome<book::Bind> {
    assert!(cx.children().ended_in::<page::Printed>() > 0);
    Ok(Next::to(book::Bound))
}

#[state]
async fn print(_: page::Print) -> Outcome<page::Print> {
    Ok(Next::to(page::Printed))
}

fn main() {}
