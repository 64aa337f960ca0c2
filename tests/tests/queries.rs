//! What an operator sees: jobs, one job, counts, the report.
use std::time::Duration;

use jorb::{Cancel, Error, MemoryStore, Processor, Run, Shown, SqliteStore, Status, store::Batch};
use jorb_tests::{
    spy::{Spy, Watch, disk_full},
    stores::Kind,
    web::{Page, Pages, Web, drive, pages, run, seed},
};

const URLS: [&str; 6] = ["root", "good", "bad1", "bad2", "gone1", "later"];

const NONE: [u64; 0] = [];

/// In every store: root, good and root's page `a` are done; bad1 and bad2 are parked; gone1 and root's page `gone`
/// are gone; later is delayed.
async fn each(check: impl Fn(&mut Run<Pages>, Kind)) {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let mut run = run(Spy::watched(kind.at(folder.path()), ()), &URLS[..5]);
        let _ = drive(&mut run, true).await;
        run.set_held("Parse", true).unwrap();
        run.add(seed("later")).unwrap();
        let _ = drive(&mut run, true).await;
        run.set_held("Parse", false).unwrap();
        check(&mut run, kind);
    }
}

fn ids(jobs: jorb::Jobs<'_, Pages>) -> Vec<u64> {
    let mut ids: Vec<u64> = jobs.into_iter().map(|job| job.unwrap().id().0).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn filters_find_what_they_say_and_nothing_else() {
    each(|run, kind| {
        assert_eq!(ids(run.jobs()), (0..8).collect::<Vec<_>>(), "{kind:?}");
        assert_eq!(ids(run.jobs().status(Status::Parked)), [2, 3]);
        assert_eq!(ids(run.jobs().state("Fetch").unwrap()), [2, 3]);
        assert_eq!(ids(run.jobs().state("Fetch").unwrap().status(Shown::Ready)), NONE);
        assert_eq!(ids(run.jobs().status(Shown::Ended)).len(), 5);
        assert_eq!(ids(run.jobs().state("Gone").unwrap()).len(), 2);
        assert_eq!(ids(run.jobs().state("Gone").unwrap().status(Shown::Parked)), NONE);
        assert_eq!(ids(run.jobs().error_contains("host 3 after")), [3]);
        assert_eq!(ids(run.jobs().status(Shown::Parked).error_contains("refused").limit(1)), [2]);
        assert_eq!(ids(run.jobs().limit(0)), NONE);
        let error = run.jobs().state("Gnoe").err().unwrap();
        assert_eq!(error.to_string(), "there is no state `Gnoe`; did you mean `Gone`?");
    })
    .await;
}

#[tokio::test]
async fn delayed_and_held_are_told_apart_from_ready() {
    each(|run, _| {
        assert_eq!(ids(run.jobs().status(Shown::Delayed)).len(), 1);
        assert_eq!(ids(run.jobs().status(Shown::Ready)), NONE);
        run.set_held("Parse", true).unwrap();
        assert_eq!(run.held(), ["Parse"]);
        assert_eq!(ids(run.jobs().status(Shown::Held)).len(), 1);
        assert_eq!(ids(run.jobs().status(Shown::Delayed)), NONE);
        assert_eq!(run.states()[1].held, 1);
        run.set_held("Parse", false).unwrap();
    })
    .await;
}

#[tokio::test]
async fn typed_jobs_have_the_fields_of_their_state() {
    each(|run, _| {
        for job in run.jobs().in_state::<pages::Gone>() {
            let job = job.unwrap();
            assert!(job.context.url.starts_with("gone"));
            assert_eq!((job.status(), job.state), (Shown::Ended, pages::Gone { status: 404 }));
        }
        let done = run.jobs().in_state::<pages::Done>().into_iter().map(|job| job.unwrap().state);
        assert_eq!(done.collect::<Vec<_>>(), [pages::Done, pages::Done, pages::Done]);
    })
    .await;
}

#[test]
fn more_jobs_than_a_page_all_come_once() {
    let urls: Vec<String> = (0..1000).map(|n| format!("bad{n}")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let mut run = run(MemoryStore::new(), &urls);
    assert_eq!(ids(run.jobs()), (0..1000).collect::<Vec<_>>());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _ = runtime.block_on(drive(&mut run, true));
    assert_eq!(ids(run.jobs().status(Shown::Parked)), (0..1000).collect::<Vec<_>>());
    assert_eq!(ids(run.jobs().status(Shown::Parked).limit(700)).len(), 700);
}

#[tokio::test]
async fn a_path_is_accepted_wherever_an_id_is() {
    each(|run, _| {
        assert_eq!(run.find("0/0").unwrap(), run.find("0->0").unwrap());
        let a = run.job("0->0").unwrap();
        assert_eq!((a.load_context().unwrap(), a.path.as_str()), (Page { url: "a".into() }, "0->0"));
        let by_id = run.job(a.id()).unwrap();
        assert_eq!((by_id.id(), by_id.path.as_str()), (a.id(), "0->0"));
        assert_eq!(run.job(" 0 -> 1 ").unwrap().state_name(), "Gone");
        for wrong in
            ["0->2", "99", "", "->", "x", "0->x", "-1", "0->0->0", "0/2", "/", "/0", "0/", "0//0", "0/->0"]
        {
            let error = run.job(wrong).err().unwrap();
            assert!(matches!(&error, Error::NoSuchJob(name) if name == wrong), "{wrong}: {error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_job_comes_with_its_history_and_its_errors_by_state() {
    each(|run, _| {
        let moves: Vec<_> = run.job("0").unwrap().story.lines;
        let moves: Vec<_> = moves.iter().map(|line| (&*line.from, &*line.to, line.children)).collect();
        assert_eq!(moves, [("Fetch", "Parse", 0), ("Parse", "Done", 2)]);
        let bad = run.job(2).unwrap();
        let errors = bad.errors_by_state();
        assert_eq!((errors.len(), &**errors[0].0, errors[0].1.len()), (1, "Fetch", 1));
        assert_eq!((bad.status(), bad.errors(), bad.step()), (Shown::Parked, 1, 0));
    })
    .await;
}

#[tokio::test]
async fn the_report_groups_errors_and_says_what_to_do() {
    each(|run, _| {
        run.set_held("Parse", true).unwrap();
        let report = run.report().unwrap();
        let fetch = &report.states[0];
        assert_eq!((fetch.jobs.parked, fetch.reasons.len(), report.errors), (2, 1, 2));
        assert_eq!(fetch.reasons[0].error, "connection refused by host # after # ms");
        assert_eq!(fetch.reasons[0].examples.len(), 2);
        let next: Vec<&str> = report.next.iter().map(|advice| advice.command.as_str()).collect();
        assert_eq!(next, ["redrive --from Fetch", "release Parse"]);
        assert!(report.created <= report.changed && report.states[1].next_due > Some(report.changed));
        let text = report.to_string();
        assert!(text.contains("  2  connection refused by host # after # ms  (jobs "), "{text}");
        run.set_held("Parse", false).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_run_can_be_looked_at_while_it_is_driven() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jorb");
    let mut driven = run(SqliteStore::at(&path), &URLS[..5]);
    let mut looked = Run::<Pages>::read(SqliteStore::at(&path)).unwrap();
    assert_eq!(ids(looked.jobs().status(Shown::Ready)).len(), 5);
    let summary = drive(&mut driven, true).await;
    assert_eq!(summary.ended(), 5);
    assert_eq!(ids(looked.jobs().status(Shown::Ready)), NONE);
    assert_eq!(ids(looked.jobs().status(Shown::Ended)).len(), 5);
    assert_eq!(looked.states()[0].ready, 5, "counts are those of when it was opened");
    let mut looked = Run::<Pages>::read(SqliteStore::at(&path)).unwrap();
    assert!(looked.redrive().retry().is_err(), "it is open to be read");
    assert_eq!(ids(driven.jobs().status(Shown::Parked)), [2, 3]);
}

/// Fails at the commit of this number, and at all later ones.
struct FailsAt(usize);

impl Watch<Pages> for FailsAt {
    fn before(&mut self, _: &Batch<Pages>) -> Result<(), Error> {
        self.0 = self.0.checked_sub(1).ok_or_else(disk_full)?;
        Ok(())
    }
}

/// Wherever a run stopped, with jobs that are fresh, under way, in line, delayed, held, parked and ended: what a filter
/// finds in the places of a store is what looking at all jobs finds, and no job is met twice.
#[tokio::test]
async fn every_filter_agrees_with_a_look_at_all_jobs() {
    let mut seen = [0; Shown::ALL.len()];
    for kind in Kind::ALL {
        for (commits, hold) in (1..=8).flat_map(|commits| [(commits, false), (commits, true)]) {
            let folder = tempfile::tempdir().unwrap();
            let urls: Vec<String> =
                (0..9).map(|n| format!("{}{n}", ["root", "bad", "good"][n % 3])).collect();
            // A run that is not held would wait for its delayed jobs.
            let more: &[&str] = if hold { &["later", "gone1", "later"] } else { &["gone1"] };
            let urls: Vec<&str> = urls.iter().map(String::as_str).chain(more.iter().copied()).collect();
            let store = Spy::watched(kind.at(folder.path()), FailsAt(commits));
            let mut pages = Run::open(store.clone()).unwrap();
            if pages.seed((), |jobs| jobs.extend(urls.iter().map(|url| seed(url)))).is_ok() && hold {
                let _ = pages.set_held("Parse", true);
            }
            let _ = pages.add(seed("good"));
            let web = Web { refuses: true, slow: Duration::ZERO };
            let _ = Processor::new(web).exec(&mut pages).await;
            drop(pages);

            store.watch().0 = usize::MAX;
            let mut pages = Run::open(store).unwrap();
            let what = format!("{kind:?}, {commits} commits, held: {hold}");
            agree(&mut pages, &mut seen, &what);
            pages.set_held("Parse", false).unwrap();
            agree(&mut pages, &mut seen, &what);
            for job in [5, 7] {
                let _ = pages.cancel().job(job).and_then(Cancel::apply); // there may be none
            }
            agree(&mut pages, &mut seen, &what);
        }
    }
    // `joins.rs` looks for those that join.
    let there = |shown: Shown| (seen[shown as usize] > 0) == (shown != Shown::Joining);
    assert!(Shown::ALL.into_iter().all(there), "{seen:?}");
}

fn agree(pages: &mut Run<Pages>, seen: &mut [usize], what: &str) {
    let all: Vec<_> = pages.jobs().into_iter().map(|job| job.unwrap()).collect();
    for state in [None, Some("Fetch"), Some("Parse"), Some("Done"), Some("Gone")] {
        for status in [None].into_iter().chain(Shown::ALL.map(Some)) {
            let fits = |job: &&jorb::Job<Pages>| {
                state.is_none_or(|state| state == job.state_name())
                    && status.is_none_or(|status| status == job.status())
            };
            let expected: Vec<u64> = all.iter().filter(fits).map(|job| job.id().0).collect();
            let mut jobs = pages.jobs();
            if let Some(state) = state {
                jobs = jobs.state(state).unwrap();
            }
            if let Some(status) = status {
                jobs = jobs.status(status);
                seen[status as usize] += expected.len();
            }
            assert_eq!(ids(jobs), expected, "{what}, {state:?} {status:?}");
        }
    }
}
