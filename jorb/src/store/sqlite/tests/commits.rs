//! What was committed is there; what was not is not.
use super::fixture::*;
use crate::{
    JobId, Saved, Status, Timestamp,
    store::{Access, Header, Seeding, Store},
};

#[test]
fn a_run_is_the_same_after_opening_again() {
    let mut bench = Bench::new();
    let mut batch = bench.batch();
    batch.seeding = Some(Seeding::Begun);
    batch.overall = Some(Saved::Json("\"all\"".into()));
    batch.added = (0..5).map(|_| bench.new_job(FETCH)).collect();
    bench.commit(batch);
    let mut batch = bench.batch();
    batch.seeding = Some(Seeding::Done);
    batch.admitted = vec![(JobId(0), crate::StateId::at(FETCH)), (JobId(1), crate::StateId::at(FETCH))];
    let job = bench.job(0).unwrap();
    let mut change = bench.step(&job, DONE, Status::Ended);
    change.now.job.kicked = 2;
    change.kicks = (0..2).map(|_| bench.new_job(PARSE)).collect();
    for (nth, kick) in (0..).zip(&mut change.kicks) {
        kick.record.job.parent = Some((JobId(0), nth));
    }
    batch.changes = vec![change];
    batch.held = Some(vec![crate::StateId::at(PARSE)]);
    let held = [("app::Host[a]b[c]".into(), Timestamp(76)), ("app::Tenant[a]".into(), Timestamp(79))];
    batch.held_keys = Some(held.clone().into());
    batch.limiters = vec![("Fetch".into(), Timestamp(77)), ("app::GitHub".into(), Timestamp(78))];
    bench.commit(batch);

    let before: Vec<_> = bench.store.page(JobId(0), 100).unwrap().iter().map(text::<Flow>).collect();
    assert_eq!(before.len(), 7);
    Store::<Flow>::close(&mut bench.store).unwrap();
    let header: Header<Flow> = bench.store.open(Access::Drive).unwrap();
    let after: Vec<_> = bench.store.page(JobId(0), 100).unwrap().iter().map(text::<Flow>).collect();
    assert_eq!(before, after);
    assert_eq!(header.next, bench.next);
    assert_eq!(header.seeding, Seeding::Done);
    assert_eq!((header.fresh.next, header.fresh.end, header.fresh.by_state), (2, 5, vec![3, 0, 0]));
    assert_eq!(header.counts.get(crate::StateId::<Flow>::at(FETCH), Status::Ready), 4);
    assert_eq!(header.counts.total(), 7);
    assert_eq!(header.held, [crate::StateId::at(PARSE)]);
    assert_eq!(header.held_keys, held.into());
    let limiters = [("Fetch".into(), Timestamp(77)), ("app::GitHub".into(), Timestamp(78))];
    assert_eq!(header.limiters, limiters.into());
    assert!(matches!(header.overall, Some(Saved::Json(text)) if &*text == "\"all\""));
    let moving: Vec<_> =
        Store::<Flow>::moving(&mut bench.store).unwrap().iter().map(|r| r.job.id.0).collect();
    assert_eq!(moving, [1, 5, 6]);
    assert_eq!(Store::<Flow>::child(&mut bench.store, JobId(0), 1).unwrap(), Some(JobId(6)));
    assert_eq!(Store::<Flow>::child(&mut bench.store, JobId(0), 2).unwrap(), None);
    let story = Store::<Flow>::story(&mut bench.store, JobId(0)).unwrap();
    assert_eq!((&*story.lines[0].from, &*story.lines[0].to), ("Fetch", "Done"));
    let ended = bench
        .store
        .line(crate::StateId::<Flow>::at(DONE), Status::Ended, &crate::store::Lane::FIRST, None, 10)
        .unwrap();
    assert_eq!(ended.iter().map(|r| r.job.id.0).collect::<Vec<_>>(), [0]);
}

#[test]
fn the_past_may_name_states_that_are_gone() {
    let mut bench = Bench::new();
    let mut batch = bench.batch();
    batch.added = vec![bench.new_job(FETCH)];
    bench.commit(batch);
    for _ in 0..2 {
        let before = bench.job(0).unwrap();
        let mut change = bench.step(&before, PARSE, Status::Ready);
        change.line.as_mut().unwrap().from = "Gone".into();
        let mut batch = bench.batch();
        batch.changes = vec![change];
        bench.commit(batch);
        // Opening again is no reason to refuse the run: no job is in this state.
        let _: Header<Flow> = bench.store.open(Access::Drive).unwrap();
    }
    let story = Store::<Flow>::story(&mut bench.store, JobId(0)).unwrap();
    assert!(story.lines.iter().all(|line| line.from == "Gone" && line.to == "Parse"));
    assert_eq!(bench.number("SELECT count(*) FROM moves WHERE from_state = 'Gone'"), 2);
}

#[test]
fn a_job_that_ended_elsewhere_is_not_fresh() {
    let mut bench = Bench::new();
    let mut batch = bench.batch();
    batch.seeding = Some(Seeding::Begun);
    batch.added = vec![bench.new_job(FETCH), bench.new_job(DONE), bench.new_job(FETCH)];
    batch.added[1].record.job.status = Status::Ended;
    batch.added[1].record.placed = true;
    bench.commit(batch);
    let header: Header<Flow> = bench.store.open(Access::Drive).unwrap();
    assert_eq!((header.fresh.next, header.fresh.end, header.fresh.by_state), (0, 3, vec![2, 0, 0]));
    let ended = bench
        .store
        .line(crate::StateId::<Flow>::at(DONE), Status::Ended, &crate::store::Lane::FIRST, None, 10)
        .unwrap();
    assert_eq!(ended.len(), 1);
    assert_eq!(Store::<Flow>::moving(&mut bench.store).unwrap().len(), 0);
}

#[test]
fn the_views_say_it_in_words() {
    let mut bench = Bench::new();
    let mut batch = bench.batch();
    batch.added = vec![bench.new_job(FETCH)];
    bench.commit(batch);
    let before = bench.job(0).unwrap();
    let mut batch = bench.batch();
    let mut change = bench.step(&before, PARSE, Status::Parked);
    change.now.job.ready_at = Timestamp(1_767_225_600_250);
    batch.changes = vec![change];
    bench.commit(batch);
    let job = "SELECT state || ' ' || status || ' ' || ready_at || ' ' || (context ->> '$') FROM jobs";
    let job: String = bench.look().query_row(job, [], |row| row.get(0)).unwrap();
    assert_eq!(job, "Parse parked 2026-01-01T00:00:00.250Z context 0");
    let line =
        "SELECT from_state || ' ' || to_state || ' ' || waited_seconds || ' ' || ran_seconds FROM moves";
    let line: String = bench.look().query_row(line, [], |row| row.get(0)).unwrap();
    assert_eq!(line, "Fetch Parse 0.001 2.0e-06");
}
