//! States that got another name.
use super::fixture::*;
use crate::{
    JobId, StateId, Status,
    store::{Access, Header, Record, Seeding, SqliteStore, Store},
};

/// Two jobs each in `Fetch` and `Parse`: one of them fresh or moving, one ended in `Parse`, one parked in `Fetch`.
fn old() -> Bench {
    let mut bench = Bench::new();
    let mut batch = bench.batch();
    batch.seeding = Some(Seeding::Begun);
    batch.added = [FETCH, PARSE, FETCH, PARSE].map(|state| bench.new_job(state)).into();
    for new in &mut batch.added {
        new.once = Some("the same".into()).filter(|_| new.record.job.id.0 < 2);
    }
    bench.commit(batch);
    let mut batch = bench.batch();
    batch.seeding = Some(Seeding::Done);
    batch.admitted =
        vec![(JobId(0), StateId::at(FETCH)), (JobId(1), StateId::at(PARSE)), (JobId(2), StateId::at(FETCH))];
    for (id, state) in [(0, PARSE), (2, FETCH)] {
        let before = bench.job(id).unwrap();
        let change = bench.step(&before, state, Status::Parked);
        batch.changes.push(change);
    }
    batch.held = Some(vec![StateId::at(FETCH), StateId::at(PARSE)]);
    bench.commit(batch);
    Store::<Flow>::close(&mut bench.store).unwrap();
    bench
}

fn check(store: &mut SqliteStore, header: &Header<Later>) {
    let get = StateId::<Later>::at(0);
    assert_eq!(get.name(), "Get");
    assert_eq!(header.counts.get(get, Status::Ready), 2);
    assert_eq!(header.counts.get(get, Status::Parked), 2);
    assert_eq!((header.fresh.next, header.fresh.end, &*header.fresh.by_state), (3, 4, &[1, 0, 0][..]));
    let ids = |records: Vec<Record<Later>>| records.iter().map(|r| r.job.id.0).collect::<Vec<_>>();
    assert_eq!(ids(store.moving().unwrap()), [1]);
    let line = store.line(get, Status::Parked, &crate::store::Lane::FIRST, None, 10).unwrap();
    let first = line[0].turn();
    assert_eq!(ids(line), [0, 2], "one line, in order");
    assert_eq!(
        ids(store.line(get, Status::Parked, &crate::store::Lane::FIRST, Some(first), 10).unwrap()),
        [2]
    );
    assert_eq!(ids(store.line(get, Status::Parked, &crate::store::Lane::FIRST, None, 1).unwrap()), [0]);
    assert!(store.page(JobId(0), 10).unwrap().iter().all(|r: &Record<Later>| r.job.state == get));
}

#[test]
fn looking_reads_old_names_and_leaves_them() {
    let bench = old();
    let before = std::fs::read(bench.path()).unwrap();
    let mut store = SqliteStore::at(bench.path());
    let header = store.open(Access::Read).unwrap();
    check(&mut store, &header);
    let lines = Store::<Later>::story(&mut store, JobId(0)).unwrap().lines;
    assert_eq!((&*lines[0].from, &*lines[0].to), ("Fetch", "Parse"));
    Store::<Later>::close(&mut store).unwrap();
    assert!(before == std::fs::read(bench.path()).unwrap());
}

#[test]
fn driving_writes_new_names() {
    let bench = old();
    let mut store = SqliteStore::at(bench.path());
    let header = store.open(Access::Drive).unwrap();
    check(&mut store, &header);
    let get = StateId::<Later>::at(0);
    assert_eq!(header.held, [get]);
    let lines = Store::<Later>::story(&mut store, JobId(0)).unwrap().lines;
    assert_eq!((&*lines[0].from, &*lines[0].to), ("Get", "Get"));
    assert_eq!(bench.number("SELECT count(*) FROM once WHERE key = 'the same'"), 1);
    let names = "SELECT group_concat(name) FROM (SELECT name FROM state ORDER BY name)";
    let names: String = bench.look().query_row(names, [], |row| row.get(0)).unwrap();
    assert_eq!(names, "Done,Get,New");
    Store::<Later>::close(&mut store).unwrap();
    let header = store.open(Access::Drive).unwrap();
    check(&mut store, &header);
}
