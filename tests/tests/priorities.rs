//! Seeds of several priorities.
use std::time::Duration;

use jorb::{Ending, Processor, Run, Status, prelude::*};
use jorb_tests::{spy::Spy, stores::Kind};
use tokio::time::{sleep, timeout};

#[workflow(job = u32)]
#[derive(Debug, Clone)]
enum Post {
    #[state(initial, next(Stamp))]
    Weigh,
    #[state(next(Sent))]
    Stamp,
    #[state(terminal)]
    Sent,
}

#[state(concurrency = 2)]
async fn weigh(_: post::Weigh) -> Outcome<post::Weigh> {
    sleep(Duration::from_millis(1)).await;
    Ok(Next::to(post::Stamp))
}

#[state(concurrency = 2)]
async fn stamp(_: post::Stamp) -> Outcome<post::Stamp> {
    sleep(Duration::from_millis(1)).await;
    Ok(Next::to(post::Sent))
}

/// Those with a priority move while the others, on both sides of them, are still where they were seeded.
#[tokio::test(start_paused = true)]
async fn urgent_seeds_move_among_many_that_nobody_has_looked_at() {
    for kind in Kind::ALL {
        for stops in [0, 1, 2, 5, 9] {
            let folder = tempfile::tempdir().unwrap();
            let store = Spy::watched(kind.at::<Post>(folder.path()), ());
            let mut run = Run::open(store.clone()).unwrap();
            run.seed((), |seeds| {
                seeds.extend((0..60).map(|n| Kick::new(post::Weigh, n)))?;
                seeds.extend((60..66).map(|n| Kick::new(post::Weigh, n).priority(3)))?;
                seeds.extend((66..120).map(|n| Kick::new(post::Weigh, n)))
            })
            .unwrap();
            for n in 0..stops {
                // The process dies.
                let mut processor = Processor::new(()).window(1);
                let cut = timeout(Duration::from_millis(2 + n), processor.exec(&mut run)).await;
                assert!(cut.is_err());
                drop(processor);
                drop(run);
                run = Run::open(store.clone()).unwrap();
                assert_eq!(
                    run.jobs().status(Status::Ready).into_iter().count() + ended(&mut run),
                    120,
                    "{kind:?}, {n}"
                );
            }
            let summary = Processor::new(()).window(1).exec(&mut run).await.unwrap();
            assert_eq!((summary.ending, summary.jobs("Sent")), (Ending::Complete, 120), "{kind:?}");
            let header = store.header();
            assert_eq!(header.counts.of(Status::Ready), 0);
            assert_eq!(header.fresh.by_state.iter().sum::<u64>(), 0);
        }
    }
}

fn ended(run: &mut Run<Post>) -> usize {
    run.jobs().in_state::<post::Sent>().into_iter().count()
}
