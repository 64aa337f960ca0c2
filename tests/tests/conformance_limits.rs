//! The rows of the Go original about limiters. Those of its adaptive limiter are told here with the pushback of a
//! service alone: `Fault::throttled`.
use std::time::Duration;

use jorb::{Clock, MemoryStore, Processor, Run, Summary, prelude::*};
use jorb_tests::{START, lab::Lab, spy::Spy};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

#[workflow(app = Lab, job = u32)]
#[derive(Debug, Clone)]
enum Api {
    /// 10/s, one step a second each, twice.
    #[state(initial, next(Again))]
    Ten,
    #[state(next(Done))]
    Again,
    /// 1/s.
    #[state(initial, next(Done))]
    One,
    /// Pushes back three times.
    #[state(initial, next(Done))]
    Busy,
    /// The same without a limiter.
    #[state(initial, next(Done))]
    Free,
    #[state(terminal)]
    Done,
}

#[state(concurrency = 10, rate = "10/s", burst = 1)]
async fn ten(_: api::Ten, cx: &mut Cx<Api>) -> Outcome<api::Ten> {
    let _inside = cx.app.enter("Ten", cx);
    sleep(SECOND).await;
    Ok(Next::to(api::Again))
}

#[state(concurrency = 10, rate = "10/s", burst = 1)]
async fn again(_: api::Again, cx: &mut Cx<Api>) -> Outcome<api::Again> {
    let _inside = cx.app.enter("Again", cx);
    sleep(SECOND).await;
    Ok(Next::to(api::Done))
}

#[state(concurrency = 2, rate = "1/s")]
async fn one(_: api::One, cx: &mut Cx<Api>) -> Outcome<api::One> {
    let _inside = cx.app.enter("One", cx);
    Ok(Next::to(api::Done))
}

fn push_back<S: State>(cx: &mut Cx<Api>, to: Next<S>) -> Outcome<S> {
    cx.job += 1;
    if cx.job <= 3 { Err(Fault::throttled(Duration::from_millis(300))) } else { Ok(to) }
}

#[state(concurrency = 10, rate = "10/s")]
async fn busy(_: api::Busy, cx: &mut Cx<Api>) -> Outcome<api::Busy> {
    let _inside = cx.app.enter("Busy", cx);
    push_back(cx, Next::to(api::Done))
}

#[state(concurrency = 10)]
async fn free(_: api::Free, cx: &mut Cx<Api>) -> Outcome<api::Free> {
    let _inside = cx.app.enter("Free", cx);
    push_back(cx, Next::to(api::Done))
}

async fn exec<S: jorb::Initial<Workflow = Api>>(
    jobs: impl IntoIterator<Item = Kick<S>>,
) -> (Summary, Lab, Spy<Api>) {
    let spy = Spy::new(MemoryStore::new());
    let mut run = Run::open(spy.clone()).unwrap();
    run.seed((), |seeds| seeds.extend(jobs)).unwrap();
    let lab = Lab::default();
    let summary = Processor::new(lab.clone()).clock(Clock::starting_at(START)).exec(&mut run).await.unwrap();
    (summary, lab, spy)
}

#[tokio::test(start_paused = true)]
async fn rate_limiter() {
    let (summary, lab, _) = exec((0..10).map(|_| Kick::new(api::Ten, 0))).await;
    assert!(summary.elapsed < 4 * SECOND, "{:?}", summary.elapsed);
    assert!(summary.elapsed >= 2 * SECOND + SECOND * 9 / 10, "{:?}", summary.elapsed);
    lab.book().check_rate("Ten", 1, SECOND / 10);
    lab.book().check_rate("Again", 1, SECOND / 10);
}

#[tokio::test(start_paused = true)]
async fn rate_limiter_slows() {
    let (summary, lab, _) = exec((0..3).map(|_| Kick::new(api::One, 0))).await;
    assert!(summary.elapsed >= 2 * SECOND, "{:?}", summary.elapsed);
    lab.book().check_rate("One", 1, SECOND);
}

#[tokio::test(start_paused = true)]
async fn adaptive_backoff() {
    let (summary, lab, spy) = exec([Kick::new(api::Busy, 0)]).await;
    assert_eq!((summary.jobs("Done"), summary.errors), (1, 0));
    assert_eq!(lab.book().attempts("Busy"), [1, 1, 1, 1], "a throttle costs no attempt");
    assert!(summary.elapsed >= Duration::from_millis(900), "each pause was obeyed: {:?}", summary.elapsed);
    assert_eq!(spy.jobs()[0].job.errors, 0);
}

#[tokio::test(start_paused = true)]
async fn adaptive_many() {
    let (summary, lab, _) = exec((0..10).map(|n| Kick::new(api::Busy, n))).await;
    assert_eq!(summary.jobs("Done"), 10);
    let book = lab.book();
    book.check_rate("Busy", 1, SECOND / 10);
    // A pause stops the whole state, not only the job that was told.
    let (jobs, starts) = (book.jobs("Busy"), book.starts("Busy"));
    let pushed = jobs.iter().position(|job| *job == 0).unwrap();
    let pause = starts[pushed + 1].duration_since(starts[pushed]);
    assert!(pause >= Duration::from_millis(300), "{pause:?}");
}

#[tokio::test(start_paused = true)]
async fn fixed_or_no_limiter() {
    let (limited, ..) = exec((0..10).map(|_| Kick::new(api::Busy, 3))).await;
    let (free, lab, _) = exec((0..10).map(|_| Kick::new(api::Free, 0))).await;
    assert_eq!((limited.jobs("Done"), free.jobs("Done")), (10, 10));
    assert_eq!(lab.book().steps.len(), 40);
}
