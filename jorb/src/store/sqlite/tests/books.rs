//! What is counted is what a scan counts, whatever was committed.
use std::collections::BTreeMap;

use super::fixture::*;
use crate::{
    JobId, StateId, Status, Timestamp,
    store::{Access, BLOCK, Header, Record, Seeding, Store, Turn},
};

/// A linear congruential generator: numbers that look random, the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    /// An index of three.
    fn of_three(&mut self) -> usize {
        self.below(3).try_into().unwrap()
    }
}

type Jobs = BTreeMap<u64, Record<Flow>>;

#[test]
fn books_equal_a_scan_after_random_batches() {
    for seed in 0..4 {
        let random = &mut Random(seed);
        let mut bench = Bench::new();
        let mut jobs = Jobs::new();
        seed_run(&mut bench, &mut jobs, random);
        check(&mut bench, &jobs);
        for round in 0..40 {
            let batch = random_batch(&mut bench, &mut jobs, random);
            bench.commit(batch);
            if round % 10 == 0 {
                check(&mut bench, &jobs);
                if random.below(2) == 0 {
                    Store::<Flow>::close(&mut bench.store).unwrap();
                }
                let _: Header<Flow> = bench.store.open(Access::Drive).unwrap();
            }
        }
        check(&mut bench, &jobs);
    }
}

fn seed_run(bench: &mut Bench, jobs: &mut Jobs, random: &mut Random) {
    for _ in 0..3 {
        let mut batch = bench.batch();
        batch.seeding = Some(Seeding::Begun);
        for _ in 0..random.below(400) {
            let state = random.of_three();
            batch.added.push(bench.new_job(state));
        }
        jobs.extend(batch.added.iter().map(|new| (new.record.job.id.0, new.record.clone())));
        bench.commit(batch);
    }
    let mut batch = bench.batch();
    batch.seeding = Some(Seeding::Done);
    bench.commit(batch);
}

fn random_batch(bench: &mut Bench, jobs: &mut Jobs, random: &mut Random) -> crate::store::Batch<Flow> {
    let mut batch = bench.batch();
    let header_fresh = fresh(bench);
    let admit = header_fresh.0..(header_fresh.0 + random.below(30)).min(header_fresh.1);
    for id in admit.clone() {
        batch.admitted.push((JobId(id), jobs[&id].job.state));
    }
    for _ in 0..random.below(60) {
        let id = random.below(bench.next.job);
        let Some(before) = jobs.get(&id).filter(|_| !(admit.end..header_fresh.1).contains(&id)) else {
            continue;
        };
        let status = Status::ALL[random.of_three()];
        let mut change = bench.step(&before.clone(), random.of_three(), status);
        change.now.placed |= random.below(3) == 0;
        change.now.job.ready_at = Timestamp(random.below(5));
        for _ in 0..random.below(10).saturating_sub(6) {
            let mut kick = bench.new_job(random.of_three());
            kick.record.job.parent = Some((JobId(id), change.now.job.kicked));
            kick.record.placed = random.below(2) == 0;
            change.now.job.kicked += 1;
            jobs.insert(kick.record.job.id.0, kick.record.clone());
            change.kicks.push(kick);
        }
        jobs.insert(id, (*change.now).clone());
        batch.changes.push(change);
    }
    batch
}

fn fresh(bench: &Bench) -> (u64, u64) {
    (bench.number("SELECT fresh_next FROM run"), bench.number("SELECT fresh_end FROM run"))
}

/// Everything that the store says against `jobs`.
fn check(bench: &mut Bench, jobs: &Jobs) {
    let stored: Vec<String> =
        bench.store.page(JobId(0), usize::MAX).unwrap().iter().map(text::<Flow>).collect();
    assert_eq!(stored, jobs.values().map(text).collect::<Vec<_>>());

    let (next, end) = fresh(bench);
    let fresh = |r: &Record<Flow>| (next..end).contains(&r.job.id.0) && r.seq <= end;
    let moves = |r: &&Record<Flow>| r.job.status == Status::Ready && !r.placed && !fresh(r);
    let moving = bench.store.moving().unwrap();
    let ids = |records: &[&Record<Flow>]| records.iter().map(|r| r.job.id.0).collect::<Vec<_>>();
    let expected: Vec<_> = jobs.values().filter(moves).collect();
    assert_eq!(ids(&moving.iter().collect::<Vec<_>>()), ids(&expected));
    assert_eq!(bench.number("SELECT coalesce(sum(jobs), 0) FROM moving"), expected.len() as u64);
    let blocks: std::collections::BTreeSet<_> = expected.iter().map(|r| r.job.id.0 / BLOCK).collect();
    assert_eq!(
        bench.number("SELECT count(*) FROM moving"),
        blocks.len() as u64,
        "blocks without jobs are gone"
    );

    let placed = jobs.values().filter(|r| r.placed).count();
    assert_eq!(bench.number("SELECT count(*) FROM place"), placed as u64);
    for state in StateId::<Flow>::all() {
        let fresh =
            jobs.values().filter(|r| r.job.state == state && (next..end).contains(&r.job.id.0)).count();
        let sql = format!(
            "SELECT coalesce(sum(fresh.jobs), 0) FROM fresh JOIN state ON id = state WHERE name = '{}'",
            state.name()
        );
        assert_eq!(bench.number(&sql), fresh as u64);
        for status in Status::ALL {
            let here = |r: &&Record<Flow>| r.job.state == state && r.job.status == status;
            let sql = format!("WHERE state = '{}' AND status = '{status}'", state.name());
            let count = jobs.values().filter(here).count() as u64;
            assert_eq!(bench.number(&format!("SELECT coalesce(sum(jobs), 0) FROM counts {sql}")), count);
            assert_eq!(bench.number(&format!("SELECT count(*) FROM jobs {sql}")), count);
            let mut expected: Vec<_> = jobs.values().filter(here).filter(|r| r.placed).collect();
            expected.sort_by_key(|r| r.turn());
            assert_eq!(line(bench, state, status), ids(&expected));
        }
    }
    for (id, record) in jobs {
        let Some((parent, nth)) = record.job.parent else { continue };
        let child = Store::<Flow>::child(&mut bench.store, parent, nth).unwrap();
        assert_eq!(child, Some(JobId(*id)));
    }
}

/// A line, read in pages of seven.
fn line(bench: &mut Bench, state: StateId<Flow>, status: Status) -> Vec<u64> {
    let mut ids = Vec::new();
    let mut after: Option<Turn> = None;
    loop {
        let page = bench.store.line(state, status, &crate::store::Lane::FIRST, after, 7).unwrap();
        let Some(last) = page.last() else { return ids };
        after = Some(last.turn());
        ids.extend(page.iter().map(|r| r.job.id.0));
    }
}

#[test]
fn no_question_goes_through_all_jobs() {
    questions_are_searches(&Bench::new());
}

pub(super) fn questions_are_searches(bench: &Bench) {
    use super::super::read::{CHILD, JOB, LINE, MOVING, PAGE};
    for sql in [CHILD, JOB, LINE, MOVING, PAGE] {
        let conn = &bench.store.open.as_ref().unwrap().conn;
        let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut steps = plan.raw_query();
        let mut of_jobs = 0;
        while let Some(row) = steps.next().unwrap() {
            // A view of an old file leads there.
            let step = row.get::<_, String>(3).unwrap().replace("main.job", "job");
            of_jobs += usize::from(step.starts_with("SEARCH job USING INTEGER PRIMARY KEY (rowid"));
            assert!(!step.contains("SCAN job") && !step.contains("AUTOMATIC"), "{step}: {sql}");
        }
        assert_eq!(of_jobs, 1, "{sql}");
    }
}
