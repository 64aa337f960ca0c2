//! Whatever happens, the last good commit is there.
use std::{fs, path::Path};

use rusqlite::Connection;

use super::fixture::*;
use crate::{
    Error, JobId, StateId, Status,
    store::{Access, Header, Seeding, SqliteStore, Store},
};

/// Commits batches of two jobs, one of them ended, and says how long the log is after each.
fn batches(bench: &mut Bench, n: u64) -> Vec<u64> {
    let log = bench.path().with_extension("jorb-wal");
    let commit = |_| {
        let mut batch = bench.batch();
        batch.added = vec![bench.new_job(FETCH), bench.new_job(DONE)];
        batch.added[1].record.job.status = Status::Ended;
        batch.added[1].record.placed = true;
        bench.commit(batch);
        fs::metadata(&log).unwrap().len()
    };
    (0..n).map(commit).collect()
}

/// As after a power cut in this moment, at which so much of the log was on the disk.
pub(super) fn cut(bench: &Bench, log: u64) -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jorb");
    fs::copy(bench.path(), &path).unwrap();
    let bytes = fs::read(bench.path().with_extension("jorb-wal")).unwrap();
    fs::write(path.with_extension("jorb-wal"), &bytes[..usize::try_from(log).unwrap()]).unwrap();
    (folder, SqliteStore::at(path))
}

fn jobs(header: &Header<Flow>, store: &mut SqliteStore) -> u64 {
    let jobs = Store::<Flow>::page(store, JobId(0), usize::MAX).unwrap().len() as u64;
    let moving = Store::<Flow>::moving(store).unwrap().len() as u64;
    let ended = store
        .line(StateId::<Flow>::at(DONE), Status::Ended, &crate::store::Lane::FIRST, None, usize::MAX)
        .unwrap()
        .len() as u64;
    assert_eq!((jobs, moving, ended), (header.next.job, jobs / 2, jobs / 2));
    assert_eq!(header.counts.total(), jobs);
    jobs
}

#[test]
fn a_power_cut_leaves_what_was_committed() {
    let mut bench = Bench::new();
    let lengths = batches(&mut bench, 12);
    let end = *lengths.last().unwrap();
    for log in (0..=end).step_by(9_973).chain(lengths.iter().copied()) {
        let committed = lengths.iter().filter(|length| **length <= log).count() as u64;
        for access in [Access::Read, Access::Drive] {
            let (_folder, mut store) = cut(&bench, log);
            let header: Header<Flow> = store.open(access).unwrap();
            assert_eq!(jobs(&header, &mut store), 2 * committed, "after {log} of {end} bytes");
        }
    }
}

#[test]
fn a_run_that_was_cut_while_it_was_made_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let conn = Connection::open(folder.path().join("half")).unwrap();
    // Without room in memory, pages go to the file before the end.
    conn.execute_batch("PRAGMA cache_size = 1; BEGIN").unwrap();
    conn.execute_batch(super::super::schema::CREATE).unwrap();
    let path = folder.path().join("run.jorb");
    fs::copy(folder.path().join("half"), &path).unwrap();
    fs::copy(folder.path().join("half-journal"), folder.path().join("run.jorb-journal")).unwrap();
    assert!(fs::metadata(&path).unwrap().len() > 0);
    let header: Header<Flow> = SqliteStore::at(&path).open(Access::Drive).unwrap();
    assert_eq!(header.seeding, Seeding::No);
}

#[test]
fn dropping_loses_nothing() {
    let mut bench = Bench::new();
    batches(&mut bench, 3);
    bench.store = SqliteStore::at(bench.path());
    let header: Header<Flow> = bench.store.open(Access::Drive).unwrap();
    assert_eq!(jobs(&header, &mut bench.store), 6);
}

#[test]
fn a_full_disk_leaves_the_last_good_commit() {
    let mut bench = Bench::new();
    batches(&mut bench, 3);
    let limit = |bench: &mut Bench, pages: i64| {
        let open = bench.store.open.as_ref().unwrap();
        open.conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    };
    limit(&mut bench, 1);
    let mut batch = bench.batch();
    batch.added = (0..1_000).map(|_| bench.new_job(FETCH)).collect();
    batch.seeding = Some(Seeding::Done);
    batch.next = bench.next;
    let e = bench.store.commit(&batch).unwrap_err();
    assert!(matches!(&e, Error::Disk { path, doing: "commit a batch", .. } if *path == bench.path()), "{e}");
    assert_eq!(bench.number("SELECT count(*) FROM job"), 6);
    // The same batch fits once there is room: what memory counts has not changed either.
    limit(&mut bench, 1_000_000);
    bench.store.commit(&batch).unwrap();
    Store::<Flow>::close(&mut bench.store).unwrap();
    let header: Header<Flow> = bench.store.open(Access::Drive).unwrap();
    assert_eq!(header.counts.get(StateId::<Flow>::at(FETCH), Status::Ready), 1_003);
    assert_eq!(header.counts.total(), 1_006);
}

#[test]
fn a_failed_commit_can_be_closed() {
    let mut bench = Bench::new();
    batches(&mut bench, 3);
    let open = bench.store.open.as_ref().unwrap();
    open.conn.query_row("PRAGMA max_page_count = 1", [], |_| Ok(())).unwrap();
    let mut batch = bench.batch();
    batch.added = (0..1_000).map(|_| bench.new_job(FETCH)).collect();
    bench.store.commit(&batch).unwrap_err();
    Store::<Flow>::close(&mut bench.store).unwrap();
    let header: Header<Flow> = bench.store.open(Access::Drive).unwrap();
    assert_eq!(jobs(&header, &mut bench.store), 6);
}

#[test]
fn a_clean_stop_leaves_one_file() {
    let mut bench = Bench::new();
    batches(&mut bench, 3);
    Store::<Flow>::close(&mut bench.store).unwrap();
    assert_eq!(files(bench.folder.path()), ["run.jorb", "run.jorb.lock"]);
}

#[test]
fn a_seeding_that_was_cut_starts_over() {
    let mut bench = Bench::new();
    let run: Header<Flow> = bench.store.open(Access::Drive).unwrap();
    let mut batch = bench.batch();
    batch.seeding = Some(Seeding::Begun);
    batch.added = (0..500).map(|_| bench.new_job(FETCH)).collect();
    batch.added[3].once = Some("key".into());
    bench.commit(batch);
    Store::<Flow>::clear(&mut bench.store).unwrap();
    for _ in 0..2 {
        let header: Header<Flow> = bench.store.open(Access::Drive).unwrap();
        assert_eq!(header.run, run.run);
        assert_eq!((header.seeding, header.counts.total(), header.fresh.end), (Seeding::No, 0, 0));
        assert_eq!(header.next, crate::store::Numbers::FIRST);
        bench.next = header.next;
    }
    let mut batch = bench.batch();
    batch.seeding = Some(Seeding::Begun);
    batch.added = (0..5).map(|_| bench.new_job(FETCH)).collect();
    batch.added[3].once = Some("key".into());
    assert_eq!(bench.commit(batch), [], "the key is free again");
    assert_eq!(bench.number("SELECT count(*) FROM job"), 5);
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
