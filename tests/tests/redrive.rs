//! Redrive: what moves, what stays, and that it is all or nothing.
use std::{cell::Cell, collections::BTreeSet};

use jorb::{Error, JobId, MemoryStore, Shown, store::Batch};
use jorb_tests::{
    spy::{Spy, Watch},
    stores::Kind,
    web::{Pages, drive, pages, run, seed},
};

/// Counts commits.
#[derive(Default)]
struct Commits(usize);

impl Watch<Pages> for Commits {
    fn before(&mut self, _: &Batch<Pages>) -> Result<(), Error> {
        self.0 += 1;
        Ok(())
    }
}

#[tokio::test]
async fn in_place_keeps_step_and_errors_and_resets_the_attempts() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let mut run = run(Spy::watched(kind.at(folder.path()), ()), &["bad", "good"]);
        let _ = drive(&mut run, true).await;
        let before = run.job(0).unwrap();
        assert_eq!(run.redrive().retry().unwrap(), 1);
        let after = run.job(0).unwrap();
        assert_eq!((after.status(), after.attempt(), after.step()), (Shown::Ready, 1, before.step()));
        assert_eq!((after.errors(), after.story.errors.len(), after.story.lines.len()), (1, 1, 0));
        assert_eq!((run.states()[0].ready, run.states()[0].parked), (1, 0));
        assert_eq!(drive(&mut run, false).await.jobs("Done"), 2, "{kind:?}");
        assert_eq!(run.job(0).unwrap().errors_by_state()[0].1.len(), 1, "errors stay");
    }
}

#[tokio::test]
async fn a_move_counts_as_a_step_and_stands_in_the_history() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let mut run = run(Spy::watched(kind.at(folder.path()), ()), &["gone"]);
        let _ = drive(&mut run, true).await;
        let moved = run.redrive().in_state::<pages::Gone>().to(|gone, page| {
            assert_eq!(gone.status, 404);
            page.url = "here".into();
            pages::Fetch
        });
        assert_eq!(moved.unwrap(), 1);
        let job = run.job(0).unwrap();
        assert_eq!(
            (job.step(), job.state_name(), job.load_context().unwrap().url.as_str()),
            (2, "Fetch", "here")
        );
        let line = job.story.lines.last().unwrap();
        assert_eq!((line.attempt, line.step, &*line.from, &*line.to), (0, 1, "Gone", "Fetch"));
        assert_eq!(drive(&mut run, true).await.jobs("Done"), 1, "{kind:?}");
        assert_eq!(run.job(0).unwrap().story.lines.len(), 4);
    }
}

#[tokio::test]
async fn one_misfit_at_the_end_keeps_all_from_going() {
    let spy = Spy::watched(Box::new(MemoryStore::new()), Commits::default());
    let mut run = run(spy.clone(), &vec!["good"; 2500]);
    run.set_held("Parse", true).unwrap();
    let _ = drive(&mut run, true).await;
    run.set_held("Parse", false).unwrap();
    run.add(seed("good")).unwrap();
    // All have HTML but the last one.
    let (commits, states) = (spy.watch().0, run.states());
    let error = run.redrive().status(Shown::Ready).to_state("Parse", None).unwrap_err();
    assert!(matches!(error, Error::StateData { job: JobId(2500), state: "Parse", .. }), "{error}");
    assert_eq!((spy.watch().0, run.states()), (commits, states), "nothing was committed");
    assert_eq!(run.redrive().status(Shown::Ready).limit(2500).to_state("Parse", None).unwrap(), 2500);
    assert_eq!(spy.watch().0 - commits, 3, "in batches");
    assert_eq!(drive(&mut run, true).await.jobs("Done"), 2501);
}

#[tokio::test]
async fn data_that_does_not_fit_is_refused() {
    let spy = Spy::watched(Box::new(MemoryStore::new()), Commits::default());
    let mut run = run(spy.clone(), &["good", "gone"]);
    let _ = drive(&mut run, true).await;
    let commits = spy.watch().0;
    for data in [None, Some(r#"{"html":7}"#), Some("{"), Some("{}"), Some("null")] {
        let error = run.redrive().state("Done").unwrap().to_state("Parse", data).unwrap_err();
        assert!(matches!(error, Error::StateData { state: "Parse", .. }), "{error}");
    }
    let error = run.redrive().state("Done").unwrap().to_state("Fetch", Some("{}")).unwrap_err();
    assert!(error.to_string().contains("it has no fields"), "{error}");
    assert!(matches!(run.redrive().to_state("Prase", None), Err(Error::NoSuchState(_))));
    assert_eq!(spy.watch().0, commits);
    let good = Some(r#"{"html":"<p>"}"#);
    assert_eq!(run.redrive().state("Done").unwrap().to_state("Parse", good).unwrap(), 1);
    let job = run.jobs().in_state::<pages::Parse>().into_iter().next().unwrap().unwrap();
    assert_eq!((job.id(), job.state.html.as_str()), (JobId(0), "<p>"));
}

#[tokio::test]
async fn a_typed_move_is_tried_on_all_before_the_first_one_moves() {
    let mut run = run(MemoryStore::new(), &["bad"; 5]);
    let _ = drive(&mut run, true).await;
    let seen = Cell::new(0);
    let result = run.redrive().in_state::<pages::Fetch>().to(|_, _| {
        seen.set(seen.get() + 1);
        pages::Parse { html: String::new() }
    });
    assert_eq!((result.unwrap(), seen.get()), (5, 10));
    assert_eq!(drive(&mut run, true).await.jobs("Done"), 5);
}

#[tokio::test]
async fn filters_choose_what_moves() {
    let mut run = run(MemoryStore::new(), &["bad0", "bad1", "bad2", "bad3", "gone", "good"]);
    let _ = drive(&mut run, true).await;
    assert_eq!(run.redrive().error_contains("host 1 ").retry().unwrap(), 1);
    assert_eq!(run.job(1).unwrap().status(), Shown::Ready);
    assert_eq!(run.redrive().job("2").unwrap().retry().unwrap(), 1);
    assert_eq!(run.redrive().limit(1).retry().unwrap(), 1);
    assert_eq!(run.redrive().dry_run(true).retry().unwrap(), 1);
    assert_eq!((run.states()[0].ready, run.states()[0].parked), (3, 1));
    assert_eq!(
        run.redrive().state("Gone").unwrap().retry().unwrap(),
        0,
        "those that ended have nothing to run"
    );
    assert_eq!(run.redrive().status(Shown::Ended).retry().unwrap(), 0);
    // A ready job goes when it is asked for.
    assert_eq!(run.redrive().job(1).unwrap().to_state("Done", None).unwrap(), 1);
    assert_eq!(run.job(1).unwrap().status(), Shown::Ended);
    assert!(matches!(run.redrive().job("7->1").err(), Some(Error::NoSuchJob(_))));
    let summary = drive(&mut run, false).await;
    assert_eq!((summary.jobs("Done"), summary.jobs("Gone"), summary.parked()), (4, 1, 1));
}

#[tokio::test]
async fn a_state_onto_itself_ends() {
    let mut run = run(MemoryStore::new(), &["gone1", "gone2", "gone3"]);
    let _ = drive(&mut run, true).await;
    assert_eq!(run.redrive().state("Gone").unwrap().to_state("Gone", None).unwrap(), 3);
    assert_eq!(run.job(0).unwrap().story.lines.len(), 2);
}

#[tokio::test]
async fn seeds_that_were_never_started_are_left_alone() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let mut run = run(Spy::watched(kind.at(folder.path()), ()), &["good", "bad"]);
        assert_eq!(run.redrive().status(Shown::Ready).to_state("Done", None).unwrap(), 0);
        assert_eq!(run.redrive().job(0).unwrap().to_state("Done", None).unwrap(), 0);
        let summary = drive(&mut run, true).await;
        assert_eq!((summary.jobs("Done"), summary.parked()), (1, 1));
    }
}

#[tokio::test]
async fn what_is_redriven_survives_and_runs_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = run(Spy::watched(Kind::Sqlite.at(folder.path()), ()), &["bad0", "bad1", "good"]);
    let _ = drive(&mut first, true).await;
    assert_eq!(first.redrive().retry().unwrap(), 2);
    first.add(seed("more")).unwrap();
    drop(first);
    let mut again = run(Spy::watched(Kind::Sqlite.at(folder.path()), ()), &[]);
    assert_eq!(again.states()[0].ready, 3);
    let summary = drive(&mut again, false).await;
    assert_eq!((summary.jobs("Done"), summary.moves), (4, 6));
    let ids: BTreeSet<u64> = again.jobs().into_iter().map(|job| job.unwrap().id().0).collect();
    assert_eq!(ids, (0..4).collect());
}

#[tokio::test]
async fn jobs_that_the_engine_had_in_memory_move_too() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let mut run = run(Spy::watched(kind.at(folder.path()), ()), &["good"; 20]);
        run.set_held("Parse", true).unwrap();
        let _ = drive(&mut run, true).await;
        assert_eq!(run.redrive().status(Shown::Held).limit(15).to_state("Done", None).unwrap(), 15);
        assert_eq!(run.redrive().status(Shown::Held).retry().unwrap(), 5);
        run.set_held("Parse", false).unwrap();
        let summary = drive(&mut run, true).await;
        assert_eq!((summary.jobs("Done"), summary.moves), (20, 5), "{kind:?}");
    }
}
