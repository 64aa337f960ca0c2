//! The workflows of these tests.
use jorb::prelude::*;
use jorb_tests::lab::Lab;
use tokio::time::sleep;

use super::SECOND;

/// One step of a second, five at a time.
#[workflow(app = Lab)]
#[derive(Debug, Clone)]
pub(crate) enum Five {
    #[state(initial, next(Done))]
    Work,
    #[state(initial, terminal)]
    Done,
}

#[state(concurrency = 5)]
async fn work(_: five::Work, cx: &mut Cx<Five>) -> Outcome<five::Work> {
    let _inside = cx.app.enter("Work", cx);
    sleep(SECOND * 103 / 100).await; // never when listeners are told
    Ok(Next::to(five::Done))
}

/// Two steps, ten at a time, and two ends.
#[workflow(app = Lab, job = u32)]
#[derive(Debug, Clone)]
pub(crate) enum Two {
    #[state(initial, next(Second))]
    First,
    #[state(next(Left, Right))]
    Second { odd: bool },
    #[state(terminal)]
    Left,
    #[state(terminal)]
    Right,
}

#[state(concurrency = 10)]
async fn first(_: two::First, cx: &mut Cx<Two>) -> Outcome<two::First> {
    let _inside = cx.app.enter("First", cx);
    sleep(SECOND).await;
    cx.job += 1;
    Ok(Next::to(two::Second { odd: cx.id().0 % 2 == 1 }))
}

#[state(concurrency = 10)]
async fn second(two::Second { odd }: two::Second, cx: &mut Cx<Two>) -> Outcome<two::Second> {
    let _inside = cx.app.enter("Second", cx);
    cx.job += 10;
    Ok(if odd { Next::to(two::Left) } else { Next::to(two::Right) })
}

/// Loops on itself, then ping-pongs.
#[workflow(app = Lab, job = u32)]
#[derive(Debug, Clone)]
pub(crate) enum Turns {
    #[state(initial, next(Turn, Done))]
    Turn { of: u32 },
    #[state(initial, next(Pong, Done))]
    Ping,
    #[state(next(Ping, Done))]
    Pong,
    #[state(terminal)]
    Done,
}

#[state]
async fn turn(state: turns::Turn, cx: &mut Cx<Turns>) -> Outcome<turns::Turn> {
    let _inside = cx.app.enter("Turn", cx);
    sleep(SECOND).await;
    cx.job += 1;
    Ok(if cx.job < state.of { Next::to(state) } else { Next::to(turns::Done) })
}

#[state]
async fn ping(_: turns::Ping, cx: &mut Cx<Turns>) -> Outcome<turns::Ping> {
    cx.job += 1;
    Ok(if cx.job < 10 { Next::to(turns::Pong) } else { Next::to(turns::Done) })
}

#[state]
async fn pong(_: turns::Pong, cx: &mut Cx<Turns>) -> Outcome<turns::Pong> {
    cx.job += 1;
    Ok(if cx.job < 10 { Next::to(turns::Ping) } else { Next::to(turns::Done) })
}

/// Fails three times, forks ten times.
#[workflow(app = Lab, job = u32)]
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    #[state(initial, next(Fork))]
    Shaky,
    #[state(initial, next(Stem), kick(Leaf))]
    Fork,
    #[state(terminal)]
    Stem,
    #[state(terminal)]
    Leaf,
}

#[state(retries = 3)]
async fn shaky(_: tree::Shaky, cx: &mut Cx<Tree>) -> Outcome<tree::Shaky> {
    let _inside = cx.app.enter("Shaky", cx);
    if cx.attempt() < 4 {
        return Err(Fault::retry(format!("no {}", cx.attempt())));
    }
    Ok(Next::to(tree::Fork))
}

#[state(concurrency = 10)]
async fn fork(_: tree::Fork) -> Outcome<tree::Fork> {
    Ok(Next::to(tree::Stem).kick((0..10).map(|n| Kick::new(tree::Leaf, n))))
}
