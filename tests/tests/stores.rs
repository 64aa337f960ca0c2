//! What every store must do: the same tests for all of them.
use std::{collections::BTreeMap, path::Path, time::Duration};

use jorb::{
    JobId, JsonStore, MemoryStore, SqliteStore, StateId, Status, Timestamp, Workflow,
    store::{Batch, BoxStore, Change, FIRST, Failure, LAST, Line, Numbers, Seeding, Store, Story},
};
use jorb_tests::{
    bench::{Bench, Kind, Model, Random, T0, data, pages, take, tell, tell_record},
    flow::Flow,
};

/// The suite for one store.
macro_rules! suite {
    ($name:ident, lasts: $lasts:literal, $make:expr) => {
        mod $name {
            use super::*;

            fn kind() -> Kind {
                fn make(folder: &Path) -> BoxStore<Flow> {
                    let make: fn(&Path) -> _ = $make;
                    Box::new(make(folder))
                }
                Kind { make, lasts: $lasts }
            }

            suite!(@ random_batches_are_kept_as_they_are);
            suite!(@ a_run_is_equal_after_save_and_load);
            suite!(@ moving_jobs_are_found_again);
            suite!(@ a_key_is_taken_once);
            suite!(@ the_past_of_a_job_is_bounded);
            suite!(@ a_cleared_run_can_be_seeded_again);
            suite!(@ a_kick_is_found_by_its_name);
            suite!(@ what_is_not_there_is_not_found);
        }
    };
    (@ $test:ident) => {
        #[test]
        fn $test() {
            super::$test(kind());
        }
    };
}

suite!(memory, lasts: false, |_| MemoryStore::new());
suite!(json, lasts: true, |folder| JsonStore::at(folder.join("run.json")));
suite!(sqlite, lasts: true, |folder| SqliteStore::at(folder.join("run.jorb")));

/// A store and its model, seeded.
fn seeded(kind: Kind, jobs: u64, random: &mut Random) -> (Bench, Model) {
    let mut bench = Bench::new(kind);
    let mut model = Model::new(bench.store().form(), &bench.header);
    for (batch, refused) in model.seed(jobs, random) {
        assert_eq!(bench.store().commit(&batch).unwrap().refused, refused);
    }
    (bench, model)
}

fn compare(bench: &mut Bench, model: &mut Model) {
    assert_eq!(bench.tell(), model.tell());
}

fn random_batches_are_kept_as_they_are(kind: Kind) {
    for seed in 0..8 {
        let mut random = Random::new(seed);
        let (mut bench, mut model) = seeded(kind, 12, &mut random);
        for _ in 0..40 {
            let (batch, refused) = model.step(&mut random);
            assert_eq!(bench.store().commit(&batch).unwrap().refused, refused, "seed {seed}");
            match random.below(6) {
                0 => bench.reopen(),
                1 => bench.crash(),
                _ => continue,
            }
            compare(&mut bench, &mut model);
        }
        bench.reopen();
        compare(&mut bench, &mut model);
    }
}

/// Conformance: `save_load_equal`, `serialization`.
fn a_run_is_equal_after_save_and_load(kind: Kind) {
    let mut random = Random::new(7);
    let (mut bench, mut model) = seeded(kind, 10, &mut random);
    for _ in 0..20 {
        let (batch, _) = model.step(&mut random);
        bench.store().commit(&batch).unwrap();
    }
    let header = model.header();
    let before = tell(bench.store(), &header);
    let run = bench.header.run;
    bench.reopen();
    assert_eq!(bench.tell(), before);
    assert_eq!(bench.header.run, run);
    assert!(before.contains("error"), "some of the jobs have errors");
}

fn moving_jobs_are_found_again(kind: Kind) {
    for seed in 0..3 {
        let mut random = Random::new(seed);
        // More than one block of ids.
        let (mut bench, mut model) = seeded(kind, 600, &mut random);
        for _ in 0..60 {
            let (batch, _) = model.step(&mut random);
            bench.store().commit(&batch).unwrap();
        }
        bench.crash();
        let mut moving: Vec<_> = bench.store().moving().unwrap().iter().map(tell_record).collect();
        moving.sort();
        let ids = model.moving();
        let expected = |id: &JobId| tell_record(&model.job(*id).unwrap().unwrap());
        let mut expected: Vec<_> = ids.iter().map(expected).collect();
        expected.sort();
        assert!(!moving.is_empty());
        assert_eq!(moving, expected);
    }
}

fn a_key_is_taken_once(kind: Kind) {
    let mut random = Random::new(3);
    let (mut bench, mut model) = seeded(kind, 1, &mut random);
    let mut new = |state: &Flow, key: &str, next: &mut Numbers| {
        let (mut batch, _) = model.step(&mut random);
        while batch.added.is_empty() {
            (batch, _) = model.step(&mut random);
        }
        let mut new = batch.added.remove(0);
        let job = &mut new.record.job;
        job.id = JobId(take(&mut next.job));
        new.record.seq = take(&mut next.seq);
        job.state = StateId::of(state);
        job.data = data(model.form, state);
        new.once = Some(key.into());
        new
    };
    let build = Flow::Build { tree: String::new() };
    let mut next = Numbers { job: 100, seq: 100, ..Numbers::FIRST };
    let mut batch = Batch::new(next);
    batch.added.push(new(&Flow::Edit, "same", &mut next));
    batch.added.push(new(&build, "same", &mut next));
    batch.added.push(new(&Flow::Edit, "same", &mut next));
    batch.next = next;
    assert_eq!(bench.store().commit(&batch).unwrap().refused, [JobId(102)], "twice in one batch");
    bench.crash();
    let mut batch = Batch::new(next);
    batch.added.push(new(&build, "same", &mut next));
    batch.added.push(new(&build, "other", &mut next));
    batch.next = next;
    assert_eq!(bench.store().commit(&batch).unwrap().refused, [JobId(103)], "in another batch and process");
    let key = bench.store().once(JobId(101)).unwrap().unwrap();
    assert_eq!((key.state.name(), &*key.key), ("Build", "same"));
    assert!(bench.store().job(JobId(102)).unwrap().is_none());
}

fn the_past_of_a_job_is_bounded(kind: Kind) {
    let mut random = Random::new(1);
    let (mut bench, mut model) = seeded(kind, 1, &mut random);
    let mut next = Numbers { job: 1, seq: 10, ..Numbers::FIRST };
    let mut record = model.page(JobId(0), 1).unwrap().remove(0);
    bench.commit(&Batch { admitted: vec![(JobId(0), record.job.state)], ..Batch::new(next) });
    let (moves, errors) = (500, 300);
    let mut changes = Vec::new();
    for i in 0..moves + errors {
        let before = record.standing();
        record.seq = take(&mut next.seq);
        let (mut line, mut error) = (None, None);
        let state = || record.job.state.name().into();
        let at = Timestamp(T0 + i);
        if i < moves {
            let (id, step) = (take(&mut next.line), record.job.step);
            let previous = record.last_line.replace(id);
            let (waited, ran, from, to) = (Duration::ZERO, Duration::ZERO, state(), state());
            line = Some(Line {
                id,
                previous,
                step,
                attempt: 1,
                from,
                to,
                at,
                waited,
                ran,
                first_child: None,
                children: 0,
            });
            record.job.step += 1;
        } else {
            let (id, step) = (take(&mut next.error), record.job.step);
            let previous = record.last_error.replace(id);
            error =
                Some(Failure { id, previous, state: state(), step, attempt: 1, at, error: format!("{i}") });
            record.job.errors += 1;
        }
        let now = record.clone();
        changes.push(Change {
            before,
            now: Box::new(now),
            line,
            error: error.map(Box::new),
            kicks: Vec::new(),
        });
        if i % 20 == 19 {
            bench.commit(&Batch { changes: std::mem::take(&mut changes), ..Batch::new(next) });
        }
        if i % 100 == 99 {
            bench.crash();
        }
    }
    for reopened in [false, true] {
        let Story { lines, errors: failures, dropped } = bench.store().story(JobId(0)).unwrap();
        let lines: Vec<u64> = lines.iter().map(|line| line.id).collect();
        let failures: Vec<u64> = failures.iter().map(|error| error.id).collect();
        assert_eq!(dropped.len(), 1);
        for (kept, all, dropped) in [(lines, moves, dropped[0].lines), (failures, errors, dropped[0].errors)]
        {
            assert_eq!(kept.len() as u64 + dropped, all, "reopened: {reopened}");
            assert!(kept.len() >= FIRST + LAST && kept.len() <= FIRST + 2 * LAST);
            assert!(kept.iter().copied().take(FIRST).eq(1..=FIRST as u64));
            assert!(kept.iter().copied().rev().take(LAST).eq((all - LAST as u64 + 1..=all).rev()));
        }
        assert_eq!(bench.store().job(JobId(0)).unwrap().unwrap().job.errors, errors);
        bench.reopen();
    }
}

fn a_cleared_run_can_be_seeded_again(kind: Kind) {
    let mut random = Random::new(5);
    let mut bench = Bench::new(kind);
    let mut model = Model::new(bench.store().form(), &bench.header);
    let [(begun, refused), _] = model.seed(30, &mut random);
    assert_eq!(bench.store().commit(&begun).unwrap().refused, refused);
    bench.crash();
    assert_eq!(bench.header.seeding, Seeding::Begun);
    assert_eq!(bench.header.counts.total(), (30 - refused.len()) as u64);
    bench.store().clear().unwrap();
    bench.crash();
    assert_eq!(bench.header.seeding, Seeding::No);
    assert_eq!(bench.header.counts.total(), 0);
    assert_eq!(bench.header.next.job, 0);
    let mut model = Model::new(bench.store().form(), &bench.header);
    for (batch, refused) in model.seed(30, &mut Random::new(6)) {
        assert_eq!(bench.store().commit(&batch).unwrap().refused, refused);
    }
    bench.reopen();
    compare(&mut bench, &mut model);
}

fn a_kick_is_found_by_its_name(kind: Kind) {
    let mut random = Random::new(9);
    let (mut bench, mut model) = seeded(kind, 3, &mut random);
    for _ in 0..60 {
        let (batch, _) = model.step(&mut random);
        bench.store().commit(&batch).unwrap();
    }
    bench.crash();
    let kicked: BTreeMap<_, _> = pages(&mut model).iter().map(|r| (r.job.id, r.job.kicked)).collect();
    assert!(kicked.values().sum::<u64>() > 5);
    for (parent, kicked) in kicked {
        for n in 0..=kicked {
            assert_eq!(
                bench.store().child(parent, n).unwrap(),
                model.child(parent, n).unwrap(),
                "{parent}->{n}"
            );
        }
    }
}

fn what_is_not_there_is_not_found(kind: Kind) {
    let mut bench = Bench::new(kind);
    assert_eq!(bench.header.counts.total(), 0);
    assert_eq!(bench.header.seeding, Seeding::No);
    let store = bench.store();
    assert!(store.job(JobId(3)).unwrap().is_none());
    assert!(store.child(JobId(3), 0).unwrap().is_none());
    assert!(store.once(JobId(3)).unwrap().is_none());
    assert!(store.moving().unwrap().is_empty());
    assert!(store.page(JobId(0), 10).unwrap().is_empty());
    for state in StateId::all() {
        assert!(store.line(state, Status::Ready, &jorb::store::Lane::FIRST, None, 10).unwrap().is_empty());
    }
    assert_eq!(Flow::STATES.len(), 4);
}
