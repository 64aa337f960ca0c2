//! What the Go original pins down of processor, run and job, row by row. (Its adaptive limiter is not here.)
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jorb::{
    Clock, Ending, Exit, Listener, MemoryStore, Overview, Processor, Run, Seeds, StateOverview, Status,
    Summary, prelude::*,
};
use jorb_tests::{START, lab::Lab, spy::Spy, stores::Kind};
use tokio::time::sleep;

#[path = "conformance/flows.rs"]
mod flows;

use flows::{Tree, Two, five, tree, turns, two};

const SECOND: Duration = Duration::from_secs(1);

/// Every overview that a listener was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Overview>>>);

impl Listener for Told {
    fn overview(&mut self, overview: &Overview) {
        self.0.lock().unwrap().push(overview.clone());
    }
}

impl Told {
    fn all(&self) -> Vec<Overview> {
        self.0.lock().unwrap().clone()
    }
}

fn run<W: Workflow<Overall = ()>>(seeds: impl FnOnce(&mut Seeds<'_, W>)) -> (Run<W>, Spy<W>) {
    let spy = Spy::new(MemoryStore::new());
    let mut run = Run::open(spy.clone()).unwrap();
    run.seed((), |jobs| {
        seeds(jobs);
        Ok(())
    })
    .unwrap();
    (run, spy)
}

fn processor<W: Workflow<App = Lab>>(lab: &Lab) -> Processor<W> {
    Processor::new(lab.clone()).clock(Clock::starting_at(START)).seed(1)
}

async fn exec<W: Workflow<App = Lab>>(lab: &Lab, run: &mut Run<W>) -> Summary {
    processor(lab).exec(run).await.unwrap()
}

fn counts(state: &StateOverview) -> (u64, u64, u64) {
    (state.executing, state.waiting, state.completed)
}

#[tokio::test(start_paused = true)]
async fn state_counts() {
    let (mut run, _) = run(|jobs| jobs.extend((0..10).map(|_| Kick::new(five::Work, ()))).unwrap());
    let (lab, told) = (Lab::default(), Told::default());
    let summary = processor(&lab).listener(told.clone()).exec(&mut run).await.unwrap();
    let told = told.all();
    let names: Vec<_> = told[0].states.iter().map(|s| s.name).collect();
    assert_eq!(names, ["Work", "Done"], "the declared order");
    let seen: Vec<_> = told.iter().map(|t| (counts(&t.states[0]), t.states[1].completed)).collect();
    let expected = [((0, 10, 0), 0), ((5, 5, 0), 0), ((5, 0, 5), 5), ((0, 0, 10), 10)];
    assert_eq!(seen, expected);
    assert_eq!((lab.book().most["Work"], summary.jobs("Done")), (5, 10));
}

#[tokio::test(start_paused = true)]
async fn one_step() {
    let (mut run, _) = run(|jobs| jobs.extend((0..10).map(|_| Kick::new(two::First, 0))).unwrap());
    let lab = Lab::default();
    let summary = exec(&lab, &mut run).await;
    assert!(summary.elapsed < 2 * SECOND, "{:?}", summary.elapsed);
    assert_eq!(lab.book().jobs("First"), (0..10).collect::<Vec<_>>(), "each ran once, in order");
}

#[tokio::test(start_paused = true)]
async fn all_terminal() {
    let (mut run, _) = run(|jobs| jobs.extend((0..10).map(|_| Kick::new(five::Done, ()))).unwrap());
    let (lab, told) = (Lab::default(), Told::default());
    let summary = processor(&lab).listener(told.clone()).exec(&mut run).await.unwrap();
    assert_eq!((summary.ending, summary.exit(), summary.moves), (Ending::Complete, Exit::Complete, 0));
    let completed: Vec<_> = told.all().iter().map(|t| t.states[1].completed).collect();
    assert_eq!(completed, [10], "one update, with the right counts");
    assert_eq!(lab.book().steps.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn two_sequential() {
    let (mut run, spy) = run(|jobs| jobs.extend((0..10).map(|_| Kick::new(two::First, 0))).unwrap());
    let lab = Lab::default();
    let summary = exec(&lab, &mut run).await;
    assert_eq!((summary.moves, summary.ended()), (20, 10));
    let told = lab.book();
    assert_eq!((told.jobs("First").len(), told.jobs("Second").len()), (10, 10));
    assert!(spy.jobs().iter().all(|r| r.job.step == 2), "two moves each");
}

#[tokio::test(start_paused = true)]
async fn two_terminal() {
    let (mut run, _) = run(|jobs| jobs.extend((0..10).map(|_| Kick::new(two::First, 0))).unwrap());
    let summary = exec(&Lab::default(), &mut run).await;
    assert_eq!((summary.jobs("Left"), summary.jobs("Right"), summary.ended()), (5, 5, 10));
}

#[tokio::test(start_paused = true)]
async fn fairness() {
    let (mut run, _) =
        run(|jobs| jobs.extend((0..5).map(|_| Kick::new(turns::Turn { of: 100 }, 0))).unwrap());
    let lab = Lab::default();
    let mut processor = processor(&lab);
    let handle = processor.handle();
    let stop = async {
        sleep(SECOND * 19 / 2).await;
        handle.stop();
    };
    let (summary, ()) = tokio::join!(processor.exec(&mut run), stop);
    assert_eq!(summary.unwrap().ending, Ending::Stopped);
    assert_eq!(lab.book().jobs("Turn"), [0, 1, 2, 3, 4, 0, 1, 2, 3, 4], "first come, first served");
}

#[tokio::test(start_paused = true)]
async fn stop_mid_run() {
    let (mut run, spy) = run(|jobs| jobs.extend((0..20).map(|_| Kick::new(five::Work, ()))).unwrap());
    let lab = Lab::default();
    let mut processor = processor(&lab);
    let handle = processor.handle();
    let stop = async {
        sleep(SECOND * 3 / 2).await;
        handle.stop();
    };
    let (summary, ()) = tokio::join!(processor.exec(&mut run), stop);
    let summary = summary.unwrap();
    assert_eq!((summary.ending, summary.exit()), (Ending::Stopped, Exit::Stopped));
    assert_eq!(summary.jobs("Done"), 10, "the five in flight were let finish");
    let saved = spy.jobs().iter().filter(|r| r.job.status == Status::Ended).count();
    assert_eq!(saved, 10, "and were saved");
    assert!(spy.header().clean);
    let summary = exec(&lab, &mut run).await;
    assert_eq!((summary.ending, summary.jobs("Done")), (Ending::Complete, 20), "goes on");
    assert_eq!(lab.book().steps.len(), 20, "nothing ran twice");
}

#[tokio::test(start_paused = true)]
async fn stop_after_done() {
    let (mut run, _) = run(|jobs| jobs.extend((0..5).map(|_| Kick::new(five::Work, ()))).unwrap());
    let lab = Lab::default();
    let mut processor = processor(&lab);
    let handle = processor.handle();
    let summary = processor.exec(&mut run).await.unwrap();
    handle.stop();
    assert_eq!((summary.ending, summary.exit()), (Ending::Complete, Exit::Complete));
}

#[tokio::test(start_paused = true)]
async fn status_dedup() {
    let (mut run, _) = run(|jobs| jobs.add(Kick::new(turns::Ping, 0)).unwrap());
    let told = Told::default();
    let _ = processor(&Lab::default()).listener(told.clone()).exec(&mut run).await.unwrap();
    assert_eq!(told.all().len(), 2, "first and last: {:?}", told.all());
    // A job in flight all the time: every state of affairs is told once, however often it is looked at.
    let (mut run, _) = self::run(|jobs| jobs.add(Kick::new(turns::Turn { of: 9 }, 0)).unwrap());
    let told = Told::default();
    let _ = processor(&Lab::default()).listener(told.clone()).exec(&mut run).await.unwrap();
    let told = told.all();
    assert!(told.windows(2).all(|two| two[0] != two[1]), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn retry_same_state() {
    let (mut run, spy) = run(|jobs| jobs.add(Kick::new(tree::Shaky, 0)).unwrap());
    let lab = Lab::default();
    let summary = exec(&lab, &mut run).await;
    assert_eq!((summary.errors, summary.jobs("Stem")), (3, 1));
    assert_eq!(lab.book().attempts("Shaky"), [1, 2, 3, 4]);
    let errors: Vec<_> = spy.story(0).errors.iter().map(|e| (e.state.to_string(), e.error.clone())).collect();
    assert_eq!(errors, [1, 2, 3].map(|n| ("Shaky".into(), format!("no {n}"))));
}

#[tokio::test(start_paused = true)]
async fn loop_with_exit() {
    let (mut run, _) = run(|jobs| jobs.extend((0..3).map(|_| Kick::new(turns::Ping, 0))).unwrap());
    let summary = exec(&Lab::default(), &mut run).await;
    assert_eq!((summary.moves, summary.jobs("Done")), (30, 3));
}

#[tokio::test(start_paused = true)]
async fn fan_out() {
    let (mut run, spy) = run(|jobs| jobs.extend((0..10).map(|_| Kick::new(tree::Fork, 0))).unwrap());
    let summary = exec(&Lab::default(), &mut run).await;
    assert_eq!((summary.jobs("Stem"), summary.jobs("Leaf")), (10, 100));
    let mut names: Vec<_> = spy.jobs().iter().filter_map(|r| r.job.parent).map(|(p, n)| (p.0, n)).collect();
    names.sort_unstable();
    assert_eq!(names, (0..100).map(|i| (i / 10, i % 10)).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn serialization() {
    for kind in Kind::DURABLE {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run::<Tree>::open(Spy::watched(kind.at(folder.path()), ())).unwrap();
        run.seed((), |jobs| jobs.add(Kick::new(tree::Shaky, 0))).unwrap();
        let _ = exec(&Lab::default(), &mut run).await;
        drop(run);
        let spy = Spy::<Tree>::watched(kind.at(folder.path()), ());
        let errors: Vec<_> = spy.story(0).errors.iter().map(|e| (e.attempt, e.error.clone())).collect();
        assert_eq!(errors, [1, 2, 3].map(|n| (n, format!("no {n}"))), "{kind:?}");
        let moves: Vec<_> = spy.story(0).lines.iter().map(|l| (l.from.to_string(), l.attempt)).collect();
        assert_eq!(moves, [("Shaky".into(), 4), ("Fork".into(), 1)], "{kind:?}");
    }
}

#[test]
fn add_and_update() {
    let (mut run, spy) = run(|jobs| jobs.extend((0..3).map(|_| Kick::new(two::First, 0))).unwrap());
    let added = [5, 6].map(|n| run.add(Kick::new(two::First, n)).unwrap().unwrap().0);
    assert_eq!(added, [3, 4], "in order");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let lab = Lab::default();
    let summary = runtime.unwrap().block_on(exec(&lab, &mut run));
    assert_eq!(summary.ended(), 5);
    let jobs = spy.jobs();
    assert_eq!(jobs.len(), 5, "replaced in place");
    assert!(jobs.iter().all(|r| r.job.ready_at >= START), "each has the time of its last commit");
}

#[tokio::test(start_paused = true)]
async fn save_load_equal() {
    for kind in Kind::DURABLE {
        let folder = tempfile::tempdir().unwrap();
        let spy = Spy::<Two>::watched(kind.at(folder.path()), ());
        let mut run = Run::open(spy.clone()).unwrap();
        run.seed((), |jobs| jobs.extend((0..10).map(|_| Kick::new(two::First, 7)))).unwrap();
        let lab = Lab::default();
        let mut processor = processor(&lab);
        let handle = processor.handle();
        let stop = async {
            sleep(SECOND / 2).await;
            handle.stop();
        };
        let (summary, ()) = tokio::join!(processor.exec(&mut run), stop);
        assert_eq!(summary.unwrap().jobs("Second"), 10);
        let show =
            |spy: &Spy<Two>| format!("{:?}", spy.jobs().iter().map(|r| show(&r.job)).collect::<Vec<_>>());
        let before = show(&spy);
        drop((run, spy));
        let spy = Spy::watched(kind.at(folder.path()), ());
        assert_eq!(show(&spy), before, "{kind:?}");
    }
}

fn show<W: Workflow>(job: &jorb::Snapshot<W>) -> String {
    let jorb::Snapshot {
        id,
        parent,
        step,
        attempt,
        began,
        state,
        data,
        context,
        status,
        ready_at,
        delay,
        deadline,
        join,
        ..
    } = job;
    format!(
        "{id} {parent:?} {step} {attempt} {began:?} {state:?} {data:?} {context:?} {status} {ready_at} {delay:?} {deadline:?} {join:?}"
    )
}
