//! `or_parked` is no word of its own.
use jorb::prelude::*;

#[workflow]
#[derive(Debug, Clone)]
enum Book {
    #[state(initial, next(Bind), kick(Print))]
    Split,
    #[state(next(Printed))]
    Print,
    #[state(next(Printed))]
    Bind,
    #[state(terminal)]
    Printed,
}

#[state]
async fn split(_: book::Split) -> Outcome<book::Split> {
    Ok(Next::to(book::Bind).kick([Kick::new(book::Print, ())]).or_parked())
}

#[state]
async fn print(_: book::Print) -> Outcome<book::Print> {
    Ok(Next::to(book::Printed))
}

#[state]
async fn bind(_: book::Bind) -> Outcome<book::Bind> {
    Ok(Next::to(book::Printed))
}

fn main() {}
