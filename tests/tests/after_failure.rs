//! What an earlier process, or an earlier try in this one, left half done is relied on by nobody.
use std::{fs, time::Duration};

use jorb::{Error, Processor, Run, SqliteStore, prelude::*, store::Batch};
use jorb_tests::{
    lab::Lab,
    spy::{Spy, Watch, disk_full},
    stores::Kind,
};

#[workflow(app = Lab)]
#[derive(Debug, Clone)]
enum Two {
    #[state(initial, next(Done))]
    Quick,
    #[state(initial, next(Done))]
    Thread,
    #[state(terminal)]
    Done,
}

#[state]
async fn quick(_: two::Quick) -> Outcome<two::Quick> {
    // The other step is in flight.
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(Next::to(two::Done))
}

#[state]
fn thread(_: two::Thread, cx: &mut Cx<Two>) -> Outcome<two::Thread> {
    let _inside = cx.app.enter("Thread", cx);
    std::thread::sleep(Duration::from_millis(300));
    Ok(Next::to(two::Done))
}

/// A disk that fails once, when the first step is to be committed.
struct FailsOnce(bool);

impl Watch<Two> for FailsOnce {
    fn before(&mut self, batch: &Batch<Two>) -> Result<(), Error> {
        let fails = !self.0 && batch.changes.iter().any(|change| change.line.is_some());
        self.0 |= fails;
        if fails { Err(disk_full()) } else { Ok(()) }
    }
}

/// The step of a plain function cannot be dropped, when the disk fails; when the run is driven again at once, in the same
/// process, its job does not run twice at a time, and its state has no more steps in flight than it allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_that_outlives_a_failed_run_is_waited_for() {
    for kind in Kind::ALL {
        let (folder, lab) = (tempfile::tempdir().unwrap(), Lab::default());
        let mut run = Run::open(Spy::watched(kind.at::<Two>(folder.path()), FailsOnce(false))).unwrap();
        run.seed((), |jobs| {
            jobs.add(Kick::new(two::Quick, ()))?;
            jobs.add(Kick::new(two::Thread, ()))
        })
        .unwrap();
        Processor::new(lab.clone()).exec(&mut run).await.unwrap_err();
        let summary = Processor::new(lab.clone()).exec(&mut run).await.unwrap();
        assert_eq!(summary.jobs("Done"), 2, "{kind:?}");
        assert_eq!(lab.book().most["Thread"], 1, "{kind:?}: two steps of one job at once");
    }
}

/// A process that is killed after it wrote a commit, and before it synced it, leaves a log that the next one can read,
/// and that a power cut would still take. Steps may start on what is in it only when it is on the disk.
#[test]
fn what_was_not_synced_is_not_relied_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut run = Run::<Two>::open(SqliteStore::at(at("run"))).unwrap();
    run.seed((), |jobs| jobs.extend((0..100).map(|_| Kick::new(two::Quick, ())))).unwrap();
    // Killed.
    fs::copy(at("run"), at("next")).unwrap();
    fs::copy(at("run-wal"), at("next-wal")).unwrap();
    let next = Run::<Two>::open(SqliteStore::at(at("next"))).unwrap();
    assert!(next.is_seeded());
    // The power is cut: nothing of the first log was synced, and the second process has committed nothing since.
    fs::copy(at("next"), at("left")).unwrap();
    let mut left = Run::<Two>::read(SqliteStore::at(at("left"))).unwrap();
    assert!(left.is_seeded(), "jobs could have been started that are not there any more");
    assert_eq!(left.jobs().into_iter().count(), 100);
}

/// A process that is killed while it closes a run leaves a journal, from which the file is to be restored: `status` and its
/// like say how the run stands all the same.
#[test]
fn a_run_that_was_cut_while_it_was_closed_can_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut run = Run::<Two>::open(SqliteStore::at(at("run"))).unwrap();
    run.seed((), |jobs| jobs.extend((0..2_000).map(|_| Kick::new(two::Quick, ())))).unwrap();
    run.close().unwrap();
    let writer = rusqlite::Connection::open(at("run")).unwrap();
    // Without room in memory, pages go to the file before the end.
    writer
        .execute_batch("PRAGMA cache_size = 1; BEGIN; UPDATE job SET seq = seq + 1; UPDATE run SET clean = 0")
        .unwrap();
    fs::copy(at("run"), at("cut")).unwrap();
    fs::copy(at("run-journal"), at("cut-journal")).unwrap();
    let mut cut = Run::<Two>::read(SqliteStore::at(at("cut"))).unwrap();
    assert_eq!(cut.jobs().into_iter().count(), 2_000);
}
