//! A job that goes round without end does not grow without end.
use super::fixture::*;
use crate::{
    JobId, Status, Timestamp,
    store::{FIRST, Failure, LAST, Store, Story},
};

/// Steps of one job between `Fetch` and `Parse`, an error with each, in batches of odd sizes.
fn go_round(bench: &mut Bench, steps: u64, mut after: impl FnMut(&mut Bench, u64)) {
    let mut batch = bench.batch();
    batch.added = vec![bench.new_job(FETCH)];
    let mut job = batch.added[0].record.clone();
    bench.commit(batch);
    let mut done = 0;
    while done < steps {
        let mut batch = bench.batch();
        for _ in 0..(done % 37 + 1).min(steps - done) {
            let mut change = bench.step(&job, usize::from(job.job.state.index() == FETCH), Status::Ready);
            change.error = Some(Box::new(Failure {
                id: bench.next.error,
                previous: job.last_error,
                state: job.job.state.name().into(),
                step: job.job.step,
                attempt: 1,
                at: Timestamp(1),
                error: format!("error {}", job.job.step),
            }));
            bench.next.error += 1;
            change.now.last_error = change.error.as_ref().map(|e| e.id);
            change.now.job.errors += 1;
            job = (*change.now).clone();
            batch.changes.push(change);
            done += 1;
        }
        bench.commit(batch);
        after(bench, done);
    }
}

fn check(story: &Story, steps: u64) {
    let kept = (FIRST + LAST) as u64;
    let expected: Vec<u64> = if steps <= kept {
        (0..steps).collect()
    } else {
        (0..FIRST as u64).chain(steps - LAST as u64..steps).collect()
    };
    assert_eq!(story.lines.iter().map(|l| l.step).collect::<Vec<_>>(), expected);
    assert_eq!(story.errors.iter().map(|e| e.step).collect::<Vec<_>>(), expected);
    assert!(story.errors.iter().all(|e| e.error == format!("error {}", e.step)));
    // Even steps are made in `Fetch`, odd ones in `Parse`, and every one that is not kept is counted.
    for (state, rest) in [("Fetch", 0), ("Parse", 1)] {
        let all = (0..steps).filter(|step| step % 2 == rest).count() as u64;
        let kept = expected.iter().filter(|step| *step % 2 == rest).count() as u64;
        let dropped = story.dropped.iter().find(|d| d.state == state).map_or((0, 0), |d| (d.lines, d.errors));
        assert_eq!(dropped, (all - kept, all - kept), "{state} after {steps} steps");
    }
}

#[test]
fn the_first_and_the_last_are_kept_and_the_rest_is_counted() {
    let mut bench = Bench::new();
    go_round(&mut bench, 3_000, |bench, steps| {
        check(&Store::<Flow>::story(&mut bench.store, JobId(0)).unwrap(), steps);
        let most = (FIRST + 2 * LAST) as u64;
        if steps % 5 == 0 {
            assert!(bench.number("SELECT count(*) FROM line") <= most, "after {steps} steps");
            assert!(bench.number("SELECT count(*) FROM error") <= most);
        }
    });
}

#[test]
fn a_job_that_is_not_there_has_no_story() {
    let mut bench = Bench::new();
    let story = Store::<Flow>::story(&mut bench.store, JobId(7)).unwrap();
    assert!(story.lines.is_empty() && story.errors.is_empty() && story.dropped.is_empty());
}

#[test]
fn a_chain_that_bites_its_tail_is_damage() {
    let mut bench = Bench::new();
    go_round(&mut bench, 5, |_, _| ());
    bench.look().execute("UPDATE line SET previous = 5 WHERE id = 2", []).unwrap();
    let e = Store::<Flow>::story(&mut bench.store, JobId(0)).unwrap_err();
    assert!(matches!(e, crate::Error::Damaged { .. }), "{e}");
}

#[test]
fn old_kicks_are_found_when_their_line_is_gone() {
    let mut bench = Bench::new();
    let mut batch = bench.batch();
    batch.added = vec![bench.new_job(FETCH)];
    let mut job = batch.added[0].record.clone();
    bench.commit(batch);
    for _ in 0..300 {
        let mut batch = bench.batch();
        let mut change = bench.step(&job, FETCH, Status::Ready);
        for _ in 0..2 {
            let mut kick = bench.new_job(DONE);
            kick.record.job.parent = Some((JobId(0), change.now.job.kicked));
            change.now.job.kicked += 1;
            change.kicks.push(kick);
        }
        job = (*change.now).clone();
        batch.changes.push(change);
        bench.commit(batch);
    }
    for n in 0..600 {
        assert_eq!(Store::<Flow>::child(&mut bench.store, JobId(0), n).unwrap(), Some(JobId(n + 1)));
    }
    assert_eq!(Store::<Flow>::child(&mut bench.store, JobId(0), 600).unwrap(), None);
    assert_eq!(Store::<Flow>::child(&mut bench.store, JobId(1), 0).unwrap(), None);
}
