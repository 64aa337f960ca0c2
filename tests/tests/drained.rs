//! After a crash, nobody knows what fast limiters had given away: they open drained, also when a process went by meanwhile
//! that used none of them.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jorb::{Clock, Keyed, MemoryStore, Processor, Run, Timestamp, prelude::*};
use jorb_tests::{START, lab::check_rate, spy::Spy};
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);

type Log = Arc<Mutex<Vec<Instant>>>;

#[workflow(app = Log)]
#[derive(Debug, Clone)]
enum Two {
    #[state(initial, next(Call, Ask))]
    Begin { late: bool, keyed: bool },
    /// Has a rate of its own.
    #[state(next(Done))]
    Call,
    /// Takes of a key.
    #[state(next(Done))]
    Ask,
    #[state(terminal)]
    Done,
}

#[limiter(rate = "50/s", burst = 5, keyed)]
struct Host;

impl Keyed<two::Ask> for Host {
    fn key(_: &two::Ask, (): &()) -> String {
        "host".into()
    }
}

#[state(concurrency = 10)]
async fn begin(begin: two::Begin) -> Outcome<two::Begin> {
    if begin.late {
        sleep(3 * MS).await;
    }
    Ok(if begin.keyed { Next::to(two::Ask) } else { Next::to(two::Call) })
}

#[state(rate = "50/s", burst = 5)]
async fn call(_: two::Call, cx: &mut Cx<Two>) -> Outcome<two::Call> {
    cx.app.lock().unwrap().push(Instant::now());
    Ok(Next::to(two::Done))
}

#[state(limits(Host))]
async fn ask(_: two::Ask, cx: &mut Cx<Two>) -> Outcome<two::Ask> {
    cx.app.lock().unwrap().push(Instant::now());
    Ok(Next::to(two::Done))
}

#[tokio::test(start_paused = true)]
async fn a_process_in_between_does_not_fill_them() {
    for keyed in [false, true] {
        let store = Spy::new(MemoryStore::new());
        let mut run = Run::<Two>::open(store.clone()).unwrap();
        run.seed((), |jobs| jobs.extend((0..10).map(|n| Kick::new(two::Begin { late: n >= 5, keyed }, ()))))
            .unwrap();
        let log = Log::default();
        let processor = |ms| Processor::new(log.clone()).clock(Clock::starting_at(Timestamp(START.0 + ms)));
        let mut first = processor(0);
        tokio::select! {
            _ = first.exec(&mut run) => panic!("it dies"),
            () = sleep(MS) => {}
        }
        assert_eq!(log.lock().unwrap().len(), 5, "the burst");
        drop(run);
        let mut run = Run::<Two>::open(store).unwrap();
        run.set_held("Begin", true).unwrap();
        let _ = processor(2).exec(&mut run).await.unwrap();
        run.set_held("Begin", false).unwrap();
        let _ = processor(3).exec(&mut run).await.unwrap();
        assert_eq!(log.lock().unwrap().len(), 10);
        check_rate(&log.lock().unwrap(), 5, 20 * MS, Duration::ZERO);
    }
}
