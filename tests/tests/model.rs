//! Random workflows under random operators, against an interpreter that does one job after the other.
use std::time::Duration;

use jorb::store::BoxStore;
use jorb::{Clock, Ending, Listener, MemoryStore, Overview, Processor, Run, Summary};
use jorb_tests::{
    START,
    audit::Audit,
    spy::Spy,
    stores::Kind,
    walk::{Plan, STATES, Walk, check_fates, mix, seed},
};
use tokio::time::sleep;

type Store = Spy<Walk, Audit>;

fn open(plan: Plan, n: u64) -> (Run<Walk>, Store, Audit) {
    open_in(Box::new(MemoryStore::new()), plan, n)
}

fn open_in(store: BoxStore<Walk>, plan: Plan, n: u64) -> (Run<Walk>, Store, Audit) {
    let audit = Audit::default();
    let spy = Spy::watched(store, audit.clone());
    let mut run = Run::open(spy.clone()).unwrap();
    seed(&mut run, plan, n).unwrap();
    (run, spy, audit)
}

struct Told(Audit);

impl Listener for Told {
    fn overview(&mut self, overview: &Overview) {
        self.0.lock().check_overview(overview);
    }
}

fn processor(audit: &Audit, spy: &Store, clock: Clock) -> Processor<Walk> {
    audit.opened(clock, &spy.jobs());
    Processor::new(audit.clone()).clock(clock).seed(7)
}

/// Drives the run while somebody looks whether all go on that could.
async fn exec(
    audit: &Audit,
    mut processor: Processor<Walk>,
    run: &mut Run<Walk>,
) -> Result<Summary, jorb::Error> {
    let look = async {
        loop {
            sleep(Duration::from_micros(1_371_300)).await;
            audit.lock().check_nobody_waits();
        }
    };
    tokio::select! {
        summary = tokio::time::timeout(Duration::from_secs(5 * 24 * 3600), processor.exec(run)) =>
            summary.expect("it hangs"),
        () = look => unreachable!(),
    }
}

const PLAN: Plan = Plan { seed: 1, depth: 1, steps: 4, delay: 60_000, slow: true, joins: true };

#[tokio::test(start_paused = true)]
async fn an_undisturbed_run() {
    for (seed, n) in [(1, 5), (2, 300), (3, 1_500)] {
        let plan = Plan { seed, ..PLAN };
        let (mut run, spy, audit) = open(plan, n);
        let processor = processor(&audit, &spy, Clock::starting_at(START)).listener(Told(audit.clone()));
        let summary = exec(&audit, processor, &mut run).await.unwrap();
        audit.check();
        assert_eq!(summary.ending, Ending::Complete);
        check_fates(&spy.jobs(), plan, n);
    }
}

/// Long delays: thousands of jobs wait for their times in one state, while others come and go.
#[tokio::test(start_paused = true)]
async fn lines_longer_than_memory() {
    for (seed, kind, n) in [(0, Kind::Memory, 4_000), (1, Kind::Memory, 4_000), (2, Kind::Sqlite, 3_000)] {
        let plan = Plan { seed, depth: 0, steps: 4, delay: 3_600_000, slow: true, joins: false };
        let folder = tempfile::tempdir().unwrap();
        let (mut run, spy, audit) = open_in(kind.at(folder.path()), plan, n);
        if kind == Kind::Sqlite {
            audit.lock().loose = true;
            drop(run);
        }
        let processor = processor(&audit, &spy, Clock::starting_at(START));
        run = Run::open(spy.clone()).unwrap();
        let summary = exec(&audit, processor, &mut run).await.unwrap();
        audit.check();
        assert_eq!(summary.ending, Ending::Complete);
        check_fates(&spy.jobs(), plan, n);
    }
}

/// Stops, holds, releases and restarts at random moments.
#[tokio::test(start_paused = true)]
async fn a_restless_operator() {
    for seed in 0..6 {
        let plan = Plan { seed, ..PLAN };
        let n = [10, 200, 1_500][usize::try_from(seed % 3).unwrap()];
        let (mut run, spy, audit) = open(plan, n);
        let mut dice = mix(seed + 99);
        let at = Clock::starting_at(START); // goes on while no process runs
        for _ in 0..25 {
            let processor = processor(&audit, &spy, at).grace(Duration::from_millis(dice % 3 * 10));
            let handle = processor.handle();
            let operator = async {
                loop {
                    dice = mix(dice);
                    sleep(Duration::from_millis(dice % 2_000)).await;
                    let state = STATES[usize::try_from(dice / 7 % 4).unwrap()].0;
                    match dice % 5 {
                        0 => handle.stop(),
                        1 => handle.stop_now(),
                        2 | 3 => {
                            handle.set_held_named(state, true).unwrap();
                            audit.lock().held.insert(state);
                        }
                        _ => {
                            audit.lock().held.remove(state);
                            handle.set_held_named(state, false).unwrap();
                        }
                    }
                    if dice % 5 < 2 {
                        sleep(Duration::from_secs(1_000_000)).await;
                    }
                }
            };
            tokio::select! {
                summary = exec(&audit, processor, &mut run) => { let _ = summary.unwrap(); }
                () = operator => unreachable!(),
            }
            audit.check();
        }
        audit.lock().held.clear();
        for (state, ..) in STATES {
            run.set_held(state, false).unwrap();
        }
        let processor = processor(&audit, &spy, at);
        let summary = exec(&audit, processor, &mut run).await.unwrap();
        audit.check();
        assert_eq!(summary.ending, Ending::Complete, "{summary}");
        check_fates(&spy.jobs(), plan, n);
    }
}

/// The process dies at random commits, before or after the store has them.
#[tokio::test(start_paused = true)]
async fn crashes_at_commits() {
    for seed in 0..6 {
        let plan = Plan { seed, ..PLAN };
        let n = [10, 200, 1_500][usize::try_from(seed % 3).unwrap()];
        let (run, spy, audit) = open(plan, n);
        drop(run);
        let mut dice = mix(seed + 77);
        let at = Clock::starting_at(START); // goes on while no process runs
        for _ in 0..40 {
            dice = mix(dice);
            let mut run = Run::open(spy.clone()).unwrap();
            let processor = processor(&audit, &spy, at);
            let commits = audit.lock().commits;
            audit.lock().dies_at = Some((commits + 1 + dice / 2 % 60, dice.is_multiple_of(2)));
            let _ = exec(&audit, processor, &mut run).await;
            audit.lock().dies_at = None;
            audit.check();
        }
        let mut run = Run::open(spy.clone()).unwrap();
        let processor = processor(&audit, &spy, at);
        let summary = exec(&audit, processor, &mut run).await.unwrap();
        audit.check();
        assert_eq!(summary.ending, Ending::Complete);
        check_fates(&spy.jobs(), plan, n);
    }
}

/// Through the disk, and with slots on several threads: who starts before whom cannot be told from outside then, but
/// all else must hold.
#[test]
fn on_disk_and_on_several_threads() {
    // Few through a slow limiter; or many, in lines that are longer than what memory keeps.
    let few = Plan { seed: 11, depth: 1, steps: 3, delay: 20, slow: true, joins: false };
    let many = Plan { seed: 11, depth: 0, steps: 2, delay: 1_500, slow: false, joins: false };
    let cases = [
        (Kind::Memory, few, 150),
        (Kind::Json, few, 60),
        (Kind::Sqlite, few, 60),
        (Kind::Sqlite, many, 3_000),
    ];
    for (kind, plan, n) in cases {
        let folder = tempfile::tempdir().unwrap();
        let (mut run, spy, audit) = open_in(kind.at(folder.path()), plan, n);
        let spy = if kind == Kind::Memory { spy.slow(Duration::from_millis(30)) } else { spy };
        drop(run);
        audit.lock().loose = true;
        audit.lock().late = Duration::from_millis(60);
        let mut dice = 5;
        for last in [false, false, false, false, true] {
            // Each time a new process.
            run = Run::open(spy.clone()).unwrap();
            let clock = Clock::system();
            audit.opened(clock, &spy.jobs());
            drop(run);
            run = Run::open(spy.clone()).unwrap();
            let mut processor = Processor::new(audit.clone()).clock(clock).seed(7);
            let handle = processor.handle();
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
            dice = mix(dice);
            let stop = async {
                sleep(Duration::from_millis(dice % 300)).await;
                if !last {
                    handle.stop();
                }
                sleep(Duration::from_secs(60)).await;
            };
            let summary = runtime.block_on(async {
                tokio::select! {
                    summary = processor.exec(&mut run) => summary.unwrap(),
                    () = stop => panic!("it hangs"),
                }
            });
            audit.check();
            assert!(!last || summary.ending == Ending::Complete, "{summary}");
        }
        check_fates(&spy.jobs(), plan, n);
    }
}

#[tokio::test(start_paused = true)]
async fn crashes_at_commits_on_disk() {
    for (seed, n) in [(0, 10), (1, 100), (2, 300)] {
        for kind in Kind::DURABLE {
            let plan = Plan { seed, depth: 1, steps: 3, delay: 5_000, slow: true, joins: true };
            let folder = tempfile::tempdir().unwrap();
            let (mut run, mut spy, audit) = open_in(kind.at(folder.path()), plan, n);
            audit.lock().loose = true;
            let mut dice = mix(seed + 77);
            let at = Clock::starting_at(START);
            for last in [[false; 12].as_slice(), &[true]].concat() {
                // Another handle of the same file: nothing is left of the process before.
                drop((run, spy));
                spy = Spy::watched(kind.at(folder.path()), audit.clone());
                let jobs = spy.jobs();
                run = Run::open(spy.clone()).unwrap();
                audit.opened(at, &jobs);
                let processor = Processor::new(audit.clone()).clock(at).seed(7);
                dice = mix(dice);
                let commits = audit.lock().commits;
                audit.lock().dies_at =
                    (!last).then_some((commits + 1 + dice / 2 % 40, dice.is_multiple_of(2)));
                let _ = exec(&audit, processor, &mut run).await;
                audit.check();
            }
            check_fates(&spy.jobs(), plan, n);
        }
    }
}
