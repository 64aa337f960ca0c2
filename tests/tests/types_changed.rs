//! A run that an older program wrote, and what becomes of it when the types have changed.
use std::path::Path;

use jorb::{Error, JobId, Processor, Run, SqliteStore, prelude::*};

/// As it was: a depth only where somebody gave one.
mod before {
    use jorb::prelude::*;

    #[derive(Debug, Clone, Serialize, Deserialize)]
    pub(crate) struct Page {
        pub(crate) url: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) depth: Option<u32>,
    }

    #[workflow(name = "Crawl", job = Page, overall = String)]
    #[derive(Debug, Clone)]
    pub(crate) enum Crawl {
        #[state(initial, next(Done))]
        Get,
        #[state(terminal)]
        Done,
    }

    #[state(concurrency = 2)]
    async fn get(_: crawl::Get) -> Outcome<crawl::Get> {
        Ok(Next::to(crawl::Done))
    }
}

/// As it is: every page has a depth, and the state has another name.
mod after {
    use jorb::prelude::*;

    #[derive(Debug, Clone, Serialize, Deserialize)]
    pub(crate) struct Page {
        pub(crate) url: String,
        pub(crate) depth: u32,
    }

    #[workflow(name = "Crawl", job = Page, overall = String)]
    #[derive(Debug, Clone)]
    pub(crate) enum Crawl {
        #[state(initial, next(Done), alias = "Get")]
        Fetch,
        #[state(terminal)]
        Done,
    }

    #[state(concurrency = 2)]
    async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> {
        Ok(Next::to(crawl::Done))
    }
}

/// Without the alias, and with another overall context.
mod too_far {
    use jorb::prelude::*;

    #[workflow(name = "Crawl", job = super::before::Page, overall = String)]
    #[derive(Debug, Clone)]
    pub(crate) enum Crawl {
        #[state(initial, next(Done))]
        Gett,
        #[state(terminal)]
        Done,
    }

    #[state]
    async fn gett(_: crawl::Gett) -> Outcome<crawl::Gett> {
        Ok(Next::to(crawl::Done))
    }

    #[workflow(name = "Crawl", job = super::before::Page, overall = u32, states = other)]
    #[derive(Debug, Clone)]
    pub(crate) enum Other {
        #[state(initial, next(Done))]
        Get,
        #[state(terminal)]
        Done,
    }

    #[state]
    async fn get(_: other::Get) -> Outcome<other::Get> {
        Ok(Next::to(other::Done))
    }
}

fn seed(path: &Path, depths: &[Option<u32>]) {
    let mut run = Run::<before::Crawl>::open(SqliteStore::at(path)).unwrap();
    let page = |depth: &Option<u32>| before::Page { url: "/".into(), depth: *depth };
    let jobs = depths.iter().map(|depth| Kick::new(before::crawl::Get, page(depth)));
    run.seed("example.org".into(), |seeds| seeds.extend(jobs)).unwrap();
}

#[tokio::test]
async fn jobs_of_which_none_fits_are_refused_by_number_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jorb");
    seed(&path, &[None, None, None]);
    let error = Run::<after::Crawl>::open(SqliteStore::at(&path)).err().expect("none of them fits");
    let Error::UnreadableJobs { jobs, .. } = &error else { panic!("{error}") };
    assert_eq!(jobs[..], [JobId(0), JobId(1), JobId(2)]);
    let text = error.to_string();
    assert!(text.contains("missing field `depth`") && text.contains("jobs 0, 1, 2"), "{text}");

    let mut run = Run::<before::Crawl>::read(SqliteStore::at(&path)).unwrap();
    assert_eq!(run.jobs().into_iter().count(), 3, "nothing has changed");
}

/// Only what one state needs has changed, and jobs of others fit.
#[tokio::test]
async fn jobs_of_one_state_of_which_none_fits_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jorb");
    let mut run = Run::<polls::Before>::open(SqliteStore::at(&path)).unwrap();
    let polls = (0..3).map(|ticket| Kick::new(polls::before::Poll { ticket }, ()));
    run.seed((), |seeds| {
        seeds.extend((0..3).map(|_| Kick::new(polls::before::Fetch, ())))?;
        seeds.extend(polls)
    })
    .unwrap();
    run.set_held("Poll", true).unwrap();
    let summary = Processor::new(()).exec(&mut run).await.unwrap();
    assert_eq!((summary.ended(), summary.states[1].held), (3, 3));
    drop(run);
    let error = Run::<polls::After>::open(SqliteStore::at(&path)).err().expect("no `Poll` fits");
    assert!(error.to_string().contains("missing field `since`"), "{error}");
}

mod polls {
    use jorb::prelude::*;

    #[workflow(name = "Polls")]
    #[derive(Debug, Clone)]
    pub(crate) enum Before {
        #[state(initial, next(Done))]
        Fetch,
        #[state(initial, next(Done))]
        Poll { ticket: u32 },
        #[state(terminal)]
        Done,
    }

    #[workflow(name = "Polls")]
    #[derive(Debug, Clone)]
    pub(crate) enum After {
        #[state(initial, next(Done))]
        Fetch,
        #[state(initial, next(Done))]
        Poll { ticket: u32, since: u64 },
        #[state(terminal)]
        Done,
    }

    #[state]
    async fn fetch(_: before::Fetch) -> Outcome<before::Fetch> {
        Ok(Next::to(before::Done))
    }

    #[state]
    async fn poll(_: before::Poll) -> Outcome<before::Poll> {
        Ok(Next::to(before::Done))
    }

    #[state]
    async fn fetch_after(_: after::Fetch) -> Outcome<after::Fetch> {
        Ok(Next::to(after::Done))
    }

    #[state]
    async fn poll_after(_: after::Poll) -> Outcome<after::Poll> {
        Ok(Next::to(after::Done))
    }
}

#[tokio::test]
async fn a_job_that_does_not_fit_is_parked_with_the_reason_and_the_others_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jorb");
    seed(&path, &[Some(1), None, Some(2)]);
    let mut run = Run::<after::Crawl>::open(SqliteStore::at(&path)).unwrap();
    let misfits = run.check().unwrap();
    assert_eq!(misfits.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [JobId(1)]);

    let summary = Processor::new(()).exec(&mut run).await.unwrap();
    assert_eq!((summary.ended(), summary.parked()), (2, 1));
    let job = run.job(1).unwrap();
    let error = &job.story.errors[0];
    assert_eq!(&*error.state, "Fetch");
    assert!(error.error.contains("missing field `depth`"), "{}", error.error);
}

#[tokio::test]
async fn a_state_without_a_successor_is_refused_with_the_nearest_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jorb");
    seed(&path, &[None, None]);
    let error = Run::<too_far::Crawl>::open(SqliteStore::at(&path)).err().expect("`Get` is unknown");
    assert!(error.to_string().contains("`Get` (2 jobs; did you mean `Gett`?)"), "{error}");
}

#[tokio::test]
async fn an_overall_context_that_does_not_fit_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jorb");
    seed(&path, &[None]);
    let mut run = Run::<too_far::Other>::open(SqliteStore::at(&path)).unwrap();
    let error = Processor::new(()).exec(&mut run).await.expect_err("a text is no number");
    assert!(error.to_string().starts_with("the overall context: "), "{error}");
    assert_eq!(run.jobs().into_iter().count(), 1);
}
