//! What ends or holds a run early: a canary, too many parked jobs, holds; and what is asked for between two runs.
use std::time::Duration;

use jorb::{Clock, Ending, Exit, Initial, MemoryStore, Processor, Run, prelude::*};
use jorb_tests::{START, lab::Lab, spy::Spy};
use tokio::time::sleep;

#[workflow(app = Lab, job = u32)]
#[derive(Debug, Clone)]
enum Life {
    /// A step at once, then a long queue.
    #[state(initial, next(Queue))]
    Born,
    #[state(initial, next(Limited))]
    Queue,
    #[state(initial, next(Done))]
    Limited,
    /// Parks at once.
    #[state(initial, next(Done))]
    Bad,
    #[state(terminal)]
    Done,
}

#[state(concurrency = 5)]
async fn born(_: life::Born, cx: &mut Cx<Life>) -> Outcome<life::Born> {
    let _inside = cx.app.enter("Born", cx);
    Ok(Next::to(life::Queue).after(Duration::from_secs(cx.id().0 % 3)))
}

#[state(concurrency = 5, retries = 1)]
async fn queue(_: life::Queue, cx: &mut Cx<Life>) -> Outcome<life::Queue> {
    let _inside = cx.app.enter("Queue", cx);
    sleep(Duration::from_millis(10)).await;
    if cx.attempt() == 1 {
        return Err(Fault::retry("again"));
    }
    Ok(Next::to(life::Limited))
}

#[state(concurrency = 5, rate = "10/s")]
async fn limited(_: life::Limited, cx: &mut Cx<Life>) -> Outcome<life::Limited> {
    let _inside = cx.app.enter("Limited", cx);
    Ok(Next::to(life::Done))
}

#[state(concurrency = 2)]
async fn bad(_: life::Bad) -> Outcome<life::Bad> {
    Err(Fault::fatal("bad"))
}

fn seeded<S: Initial<Workflow = Life>, T: Initial<Workflow = Life>>(
    first: impl IntoIterator<Item = Kick<S>>,
    then: impl IntoIterator<Item = Kick<T>>,
) -> (Run<Life>, Lab, Processor<Life>) {
    let mut run = Run::open(Spy::new(MemoryStore::new())).unwrap();
    run.seed((), |jobs| jobs.extend(first).and_then(|()| jobs.extend(then))).unwrap();
    let lab = Lab::default();
    let processor = Processor::new(lab.clone()).clock(Clock::starting_at(START));
    (run, lab, processor)
}

async fn exec(processor: &mut Processor<Life>, run: &mut Run<Life>) -> jorb::Summary {
    let hour = Duration::from_secs(3600);
    tokio::time::timeout(hour, processor.exec(run)).await.expect("it hangs").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_canary_goes_all_the_way_through_longer_lines_and_slow_limiters() {
    // The canary's jobs must pass 5,000 that stand in the next state already.
    let (mut run, lab, processor) =
        seeded((0..10).map(|n| Kick::new(life::Born, n)), (0..5_000).map(|n| Kick::new(life::Queue, n)));
    let mut processor = processor.first(20);
    let summary = exec(&mut processor, &mut run).await;
    assert_eq!((summary.ending, summary.exit()), (Ending::Canary, Exit::Stopped));
    assert_eq!(summary.ended(), 20, "{summary}");
    let mut jobs = lab.book().jobs("Limited");
    jobs.sort_unstable();
    assert_eq!(jobs.len(), 20);
    lab.book().check_rate("Limited", 1, Duration::from_millis(100));
    // The rest is not lost.
    let summary = exec(&mut Processor::new(lab.clone()).clock(Clock::starting_at(START)), &mut run).await;
    assert_eq!((summary.ending, summary.ended()), (Ending::Complete, 5_010));
}

#[tokio::test(start_paused = true)]
async fn a_canary_does_not_wait_for_a_held_state() {
    let (mut run, _, processor) =
        seeded((0..10).map(|n| Kick::new(life::Born, n)), (0..10).map(|n| Kick::new(life::Limited, n)));
    let mut processor = processor.first(3);
    processor.handle().hold::<life::Queue>();
    let summary = exec(&mut processor, &mut run).await;
    assert_eq!(summary.ending, Ending::Canary, "{summary}");
}

#[tokio::test(start_paused = true)]
async fn too_many_parked_jobs_stop_the_run() {
    let (mut run, _, processor) =
        seeded((0..1_000).map(|n| Kick::new(life::Bad, n)), (0..10).map(|n| Kick::new(life::Limited, n)));
    let mut processor = processor.max_parked(5);
    let summary = exec(&mut processor, &mut run).await;
    assert_eq!((summary.ending, summary.exit()), (Ending::TooManyParked, Exit::Stopped));
    assert!((6..500).contains(&summary.parked()), "{summary}"); // all of a batch count
    let said = format!("stopped: too many jobs failed; {} jobs are parked; see `report`", summary.parked());
    assert!(summary.to_string().starts_with(&said), "{summary}");
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_between_two_runs_is_done_in_the_next() {
    let (mut run, lab, mut processor) =
        seeded((0..10).map(|n| Kick::new(life::Born, n)), (0..10).map(|n| Kick::new(life::Limited, n)));
    let handle = processor.handle();
    handle.stop();
    let summary = exec(&mut processor, &mut run).await;
    assert_eq!((summary.ending, summary.moves), (Ending::Stopped, 0), "asked before the first");
    assert!(handle.overview().is_none(), "no run is driven");
    handle.hold::<life::Limited>();
    let summary = exec(&mut processor, &mut run).await;
    assert_eq!((summary.ending, summary.exit()), (Ending::Complete, Exit::Stopped));
    assert_eq!((summary.states[2].held, lab.book().jobs("Limited").len()), (20, 0));
    let summary = exec(&mut Processor::new(lab.clone()), &mut run).await;
    assert_eq!(summary.states[2].held, 20, "the run remembers it");
    handle.release::<life::Limited>();
    let summary = exec(&mut processor, &mut run).await;
    assert_eq!((summary.exit(), summary.ended()), (Exit::Complete, 20));
}
