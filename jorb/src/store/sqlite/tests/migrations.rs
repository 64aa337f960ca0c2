//! Files of older formats: read as they are, and made new all at once.
use std::fs;

use super::{books::questions_are_searches, crashes::cut, fixture::*};
use crate::{
    JobId, Status,
    store::{Access, Header, Record, SqliteStore, Store},
};

const JOBS: u64 = 40;
/// Formats that can be migrated.
const OLD: [u32; 2] = [1, 2];

/// A closed run of an old format, which has jobs that move and jobs that are placed.
fn old(format: u32) -> Bench {
    let mut bench = Bench::new();
    let mut batch = bench.batch();
    batch.added = (0..JOBS).map(|i| bench.new_job(if i % 4 == 0 { PARSE } else { FETCH })).collect();
    for new in batch.added.iter_mut().step_by(4) {
        (new.record.job.status, new.record.placed) = (Status::Parked, true);
    }
    bench.commit(batch);
    Store::<Flow>::close(&mut bench.store).unwrap();
    let before_3 = "DROP VIEW jobs; ALTER TABLE job DROP COLUMN priority; ALTER TABLE job DROP COLUMN key;
        ALTER TABLE job DROP COLUMN deadline; DROP TABLE keyed; ALTER TABLE job DROP COLUMN children;
        DROP TABLE joining; DROP TABLE held_key; PRAGMA user_version = 2;";
    let before_2 =
        "ALTER TABLE job DROP COLUMN began; DROP TABLE learned; DROP TABLE tuned; PRAGMA user_version = 1;";
    bench.look().execute_batch(before_3).unwrap();
    if format == 1 {
        bench.look().execute_batch(before_2).unwrap();
    }
    bench
}

fn format(bench: &Bench) -> u64 {
    bench.number("PRAGMA user_version")
}

/// All jobs, however they are asked for.
fn all(store: &mut SqliteStore) -> Vec<String> {
    let page: Vec<Record<Flow>> = store.page(JobId(0), usize::MAX).unwrap();
    let parse = crate::StateId::<Flow>::at(PARSE);
    let line = store.line(parse, Status::Parked, &crate::store::Lane::FIRST, None, usize::MAX).unwrap();
    let moving: Vec<Record<Flow>> = store.moving().unwrap();
    assert_eq!((page.len(), line.len(), moving.len()), (40, 10, 30));
    let by_id = |id| text(&Store::<Flow>::job(store, JobId(id)).unwrap().unwrap());
    let page: Vec<_> = page.iter().map(text).collect();
    assert_eq!((0..JOBS).map(by_id).collect::<Vec<_>>(), page);
    page
}

#[test]
fn looking_at_an_old_file_leaves_it_as_it_is() {
    for of in OLD {
        let mut bench = old(of);
        let before = fs::read(bench.path()).unwrap();
        let header: Header<Flow> = bench.store.open(Access::Read).unwrap();
        assert_eq!(header.counts.total(), JOBS);
        let jobs = all(&mut bench.store);
        assert!(before == fs::read(bench.path()).unwrap());
        assert_eq!(format(&bench), u64::from(of));
        // Nothing is lost, and driving it makes it new, once.
        for _ in 0..2 {
            let header: Header<Flow> = bench.store.open(Access::Drive).unwrap();
            assert_eq!((header.counts.total(), format(&bench)), (JOBS, 3));
            assert_eq!(all(&mut bench.store), jobs);
        }
        let new = "SELECT count(*) FROM pragma_table_info('job') WHERE name IN ('began', 'priority', 'key', 'deadline', 'children')";
        assert_eq!(bench.number(new), 5);
    }
}

#[test]
fn who_looks_at_an_old_file_goes_on_when_it_is_made_new() {
    for of in OLD {
        let mut bench = old(of);
        let mut reader = SqliteStore::at(bench.path());
        let _: Header<Flow> = reader.open(Access::Read).unwrap();
        all(&mut reader);
        let header: Header<Flow> = bench.store.open(Access::Drive).unwrap();
        bench.next = header.next;
        let mut batch = bench.batch();
        batch.added = vec![bench.new_job(FETCH), bench.new_job(FETCH)];
        let last = text(&batch.added[1].record);
        bench.commit(batch);
        let seen = Store::<Flow>::job(&mut reader, JobId(JOBS + 1)).unwrap();
        assert_eq!(text(&seen.unwrap()), last, "and when its attempts began");
    }
}

#[test]
fn a_power_cut_leaves_the_old_file_or_the_new_one() {
    for of in OLD {
        let mut bench = old(of);
        let _: Header<Flow> = bench.store.open(Access::Read).unwrap();
        let jobs = all(&mut bench.store);
        let _: Header<Flow> = bench.store.open(Access::Drive).unwrap();
        let log = fs::metadata(bench.path().with_extension("jorb-wal")).unwrap().len();
        let mut formats = Vec::new();
        for log in (0..=log).step_by(1_031).chain([log]) {
            let (folder, mut store) = cut(&bench, log);
            let _: Header<Flow> = store.open(Access::Read).unwrap();
            assert_eq!(all(&mut store), jobs, "after {log} bytes");
            let file = rusqlite::Connection::open(folder.path().join("run.jorb")).unwrap();
            formats.push(file.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).unwrap());
            drop(file);
            let _: Header<Flow> = store.open(Access::Drive).unwrap();
            assert_eq!(all(&mut store), jobs, "after {log} bytes");
        }
        assert!(
            formats.is_sorted() && formats.first() == Some(&i64::from(of)) && formats.last() == Some(&3),
            "{formats:?}"
        );
    }
}

#[test]
fn no_question_goes_through_all_jobs_of_an_old_file() {
    for of in OLD {
        let mut bench = old(of);
        let _: Header<Flow> = bench.store.open(Access::Read).unwrap();
        questions_are_searches(&bench);
    }
}
