//! Looking at a run that somebody drives, copying it, and keys that only one job gets.
use std::fs;

use super::fixture::*;
use crate::{
    Error, JobId, Status,
    store::{Access, Header, OnceKey, SqliteStore, Store},
};

fn add(bench: &mut Bench, jobs: usize) {
    let mut batch = bench.batch();
    batch.added = (0..jobs).map(|_| bench.new_job(FETCH)).collect();
    bench.commit(batch);
}

#[test]
fn a_run_can_be_looked_at_while_it_is_driven() {
    let mut bench = Bench::new();
    add(&mut bench, 10);
    let mut reader = SqliteStore::at(bench.path());
    let header: Header<Flow> = reader.open(Access::Read).unwrap();
    assert_eq!(header.counts.total(), 10);
    add(&mut bench, 10);
    assert_eq!(Store::<Flow>::page(&mut reader, JobId(0), 100).unwrap().len(), 20);
    assert_eq!(Store::<Flow>::moving(&mut reader).unwrap().len(), 20);
    // A reader changes nothing, and does not keep the other one from stopping.
    reader.commit(&bench.batch()).unwrap_err();
    Store::<Flow>::close(&mut bench.store).unwrap();
    assert_eq!(Store::<Flow>::page(&mut reader, JobId(0), 100).unwrap().len(), 20);
}

#[test]
fn looking_after_a_clean_stop_touches_nothing() {
    let mut bench = Bench::new();
    add(&mut bench, 10);
    Store::<Flow>::close(&mut bench.store).unwrap();
    fs::remove_file(bench.path().with_extension("jorb.lock")).unwrap();
    let before = fs::read(bench.path()).unwrap();
    let mut reader = SqliteStore::at(bench.path());
    let _: Header<Flow> = reader.open(Access::Read).unwrap();
    assert_eq!(Store::<Flow>::page(&mut reader, JobId(0), 100).unwrap().len(), 10);
    assert_eq!(fs::read_dir(bench.folder.path()).unwrap().count(), 1);
    drop(reader);
    assert!(before == fs::read(bench.path()).unwrap());
}

#[test]
fn a_reader_stays_while_a_run_is_driven_again() {
    let mut bench = Bench::new();
    add(&mut bench, 10);
    Store::<Flow>::close(&mut bench.store).unwrap();
    let mut reader = SqliteStore::at(bench.path());
    let _: Header<Flow> = reader.open(Access::Read).unwrap();
    let _: Header<Flow> = bench.store.open(Access::Drive).unwrap();
    add(&mut bench, 10);
    assert_eq!(Store::<Flow>::page(&mut reader, JobId(0), 100).unwrap().len(), 20);
}

#[cfg(unix)]
#[test]
fn a_run_can_be_looked_at_through_a_link() {
    let mut bench = Bench::new();
    add(&mut bench, 1_000);
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link.jorb");
    std::os::unix::fs::symlink(bench.path(), &link).unwrap();
    let mut reader = SqliteStore::at(link);
    let header: Header<Flow> = reader.open(Access::Read).unwrap();
    assert_eq!(header.counts.total(), 1_000);
}

#[test]
fn a_copy_is_a_run() {
    let mut bench = Bench::new();
    add(&mut bench, 1_000);
    let copy = bench.folder.path().join("copy.jorb");
    bench.store.backup(&copy).unwrap();
    add(&mut bench, 1);
    let mut store = SqliteStore::at(&copy);
    let header: Header<Flow> = store.open(Access::Drive).unwrap();
    assert_eq!(header.counts.total(), 1_000);
    let ours: Vec<_> =
        Store::<Flow>::page(&mut bench.store, JobId(0), 1_000).unwrap().iter().map(text).collect();
    let copied: Vec<_> = Store::<Flow>::page(&mut store, JobId(0), 2_000).unwrap().iter().map(text).collect();
    assert_eq!(ours, copied);
    Store::<Flow>::close(&mut store).unwrap();

    let before = fs::read(&copy).unwrap();
    let e = bench.store.backup(&copy).unwrap_err();
    assert!(matches!(&e, Error::Disk { path, .. } if *path == copy), "{e}");
    assert!(before == fs::read(&copy).unwrap(), "nothing is overwritten");
    let e =
        SqliteStore::at(bench.folder.path().join("none")).backup(bench.folder.path().join("to")).unwrap_err();
    assert!(matches!(e, Error::NoRun { .. }), "{e}");
}

#[test]
fn a_once_key_is_for_one_job_of_a_state() {
    let mut bench = Bench::new();
    let mut batch = bench.batch();
    batch.added = [FETCH, FETCH, PARSE, FETCH].map(|state| bench.new_job(state)).into();
    for new in &mut batch.added {
        new.once = Some("key".into());
    }
    batch.added[3].once = Some("another".into());
    assert_eq!(bench.commit(batch), [JobId(1)]);
    // A kick finds the key taken too, also after opening again; its number is not used again.
    let _: Header<Flow> = bench.store.open(Access::Drive).unwrap();
    let before = bench.job(0).unwrap();
    let mut change = bench.step(&before, DONE, Status::Ended);
    change.kicks = [FETCH, PARSE, DONE].map(|state| bench.new_job(state)).into();
    for (nth, kick) in (0..).zip(&mut change.kicks) {
        kick.record.job.parent = Some((JobId(0), nth));
        kick.once = Some("key".into());
    }
    let mut batch = bench.batch();
    batch.changes = vec![change];
    assert_eq!(bench.commit(batch), [JobId(4), JobId(5)]);
    let ids: Vec<_> =
        Store::<Flow>::page(&mut bench.store, JobId(0), 9).unwrap().iter().map(|r| r.job.id.0).collect();
    assert_eq!(ids, [0, 2, 3, 6]);
    let child = |bench: &mut Bench, n| Store::<Flow>::child(&mut bench.store, JobId(0), n).unwrap();
    assert_eq!([0, 1, 2].map(|n| child(&mut bench, n)), [None, None, Some(JobId(6))]);
    assert_eq!(bench.number("SELECT sum(jobs) FROM count"), 4);

    let once = |bench: &mut Bench, id| {
        let key: Option<OnceKey<Flow>> = bench.store.once(JobId(id)).unwrap();
        key.map(|key| (key.state.index(), key.key))
    };
    assert_eq!(once(&mut bench, 2), Some((PARSE, "key".into())));
    assert_eq!(once(&mut bench, 3), Some((FETCH, "another".into())));
    assert_eq!(once(&mut bench, 1), None);
    // A key that came after the first question.
    let mut batch = bench.batch();
    batch.added = vec![bench.new_job(PARSE)];
    batch.added[0].once = Some("late".into());
    bench.commit(batch);
    assert_eq!(once(&mut bench, 7), Some((PARSE, "late".into())));
    let mut reader = SqliteStore::at(bench.path());
    let _: Header<Flow> = reader.open(Access::Read).unwrap();
    let key: Option<OnceKey<Flow>> = reader.once(JobId(2)).unwrap();
    assert_eq!(key.map(|key| key.key).as_deref(), Some("key"));
}

#[test]
fn the_log_does_not_grow_without_end() {
    let mut bench = Bench::new();
    let open = bench.store.open.as_mut().unwrap();
    let most = 4 << 20;
    open.driven.as_mut().unwrap().checkpoints.limit(most);
    let context: std::sync::Arc<str> = format!("\"{}\"", "x".repeat(1 << 20)).into();
    let mut longest = 0;
    for _ in 0..40 {
        let mut batch = bench.batch();
        batch.added = vec![bench.new_job(FETCH)];
        batch.added[0].record.job.context = crate::Saved::Json(context.clone());
        bench.commit(batch);
        longest = longest.max(fs::metadata(bench.path().with_extension("jorb-wal")).unwrap().len());
    }
    assert!(longest <= most, "{longest}");
    // Somebody who reads keeps it from being emptied, but not from being written.
    let reader = bench.look();
    reader.execute_batch("BEGIN; SELECT count(*) FROM job").unwrap();
    let until = |bench: &mut Bench, jobs| {
        add(bench, jobs);
        fs::metadata(bench.path().with_extension("jorb-wal")).unwrap().len()
    };
    while until(&mut bench, 10_000) < most {}
    until(&mut bench, 10_000);
    reader.execute_batch("COMMIT").unwrap();
    while until(&mut bench, 10_000) >= most {}
}

#[test]
fn views_of_an_older_version_give_way_to_todays() {
    let mut bench = Bench::new();
    add(&mut bench, 10);
    let views = |bench: &Bench| -> Vec<String> {
        let conn = bench.look();
        let mut read =
            conn.prepare("SELECT sql FROM sqlite_schema WHERE type = 'view' ORDER BY name").unwrap();
        read.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let before = views(&bench);
    Store::<Flow>::close(&mut bench.store).unwrap();
    bench.look().execute_batch("DROP VIEW moves; DROP VIEW errors; CREATE VIEW errors AS SELECT 1").unwrap();
    let _: Header<Flow> = SqliteStore::at(bench.path()).open(Access::Read).unwrap();
    assert_eq!(views(&bench).len(), before.len() - 1, "who looks changes nothing");
    let _: Header<Flow> = bench.store.open(Access::Drive).unwrap();
    assert_eq!(views(&bench), before);
    // DuckDB parses them too, and takes a bare `at` for a keyword.
    let bare = |sql: &str| sql.replace("AS at", "").split_whitespace().any(|word| word == "at");
    assert!(!before.iter().any(|sql| bare(sql)));
}
