//! What is said of failures: functions and closures that judge errors, budgets, and where a job goes.
use std::{error::Error, io, time::Duration};

use jorb::{Failed, Policy, RetryIf, prelude::*};

#[workflow]
#[derive(Debug, Clone, PartialEq)]
enum Crawl {
    #[state(initial, next(Parse), on_failure(Mirror))]
    Fetch { url: String },
    #[state(next(Parse), on_failure(Gone))]
    Mirror { url: String },
    #[state(next(Done), on_failure(Gone))]
    Parse { html: String },
    #[cfg(any())]
    #[state(initial, next(Done), on_failure(Gone))]
    Never { missing: DoesNotExist },
    #[state(next(Done), on_failure(Nowhere))]
    #[state(initial)]
    Again,
    #[cfg(any())]
    #[state(terminal)]
    Nowhere,
    #[state(terminal)]
    Done,
    #[state(terminal)]
    Gone(String, u32),
}

impl From<Failed<crawl::Fetch>> for crawl::Mirror {
    fn from(failed: Failed<crawl::Fetch>) -> Self {
        crawl::Mirror { url: failed.state.url }
    }
}

impl From<Failed<crawl::Mirror>> for crawl::Gone {
    fn from(failed: Failed<crawl::Mirror>) -> Self {
        crawl::Gone(failed.state.url, failed.attempts)
    }
}

impl From<Failed<crawl::Parse>> for crawl::Gone {
    fn from(failed: Failed<crawl::Parse>) -> Self {
        crawl::Gone(failed.error, failed.attempts)
    }
}

fn is_io(error: &(dyn Error + 'static)) -> bool {
    error.is::<io::Error>()
}

const BUDGET: Duration = Duration::from_secs(90);

#[state(retries = 3, retry_if = is_io, give_up_after = "1h")]
async fn fetch(state: crawl::Fetch) -> Outcome<crawl::Fetch> {
    Ok(Next::to(crawl::Parse { html: state.url }))
}

#[state(give_up_after = BUDGET, backoff = "1s..2s", retry_if = |error| error.is::<io::Error>())]
async fn mirror(state: crawl::Mirror) -> Outcome<crawl::Mirror> {
    Ok(Next::to(crawl::Parse { html: state.url }))
}

#[state(retries = 0, give_up_after = "1d")]
fn parse(_: crawl::Parse) -> Outcome<crawl::Parse> {
    Ok(Next::to(crawl::Done))
}

#[state]
fn again(_: crawl::Again) -> Outcome<crawl::Again> {
    Ok(Next::to(crawl::Done))
}

fn main() {
    let policies: Vec<Policy> = Crawl::STATES.iter().filter_map(|state| state.policy).collect();
    let hour = Some(Duration::from_secs(3600));
    assert_eq!((policies[0].retries, policies[0].give_up_after), (3, hour));
    assert_eq!((policies[1].retries, policies[1].give_up_after), (u32::MAX, Some(BUDGET)));
    assert_eq!((policies[2].retries, policies[2].retry_if), (0, None));
    for policy in &policies[..2] {
        let Some(RetryIf(worth)) = policy.retry_if else { panic!("{policy:?}") };
        assert!(worth(&io::Error::other("reset")) && !worth(&std::fmt::Error));
    }
    assert_ne!(policies[0].retry_if, Some(RetryIf(|_| false)));

    let edges: Vec<_> = Crawl::STATES.iter().map(|state| state.on_failure).collect();
    assert_eq!(edges, [Some("Mirror"), Some("Gone"), Some("Gone"), None, None, None]);
    let fail = |state: Crawl| state.fail("no".into(), 4);
    assert_eq!(fail(Crawl::Fetch { url: "/".into() }), Some(Crawl::Mirror { url: "/".into() }));
    assert_eq!(fail(Crawl::Mirror { url: "/".into() }), Some(Crawl::Gone("/".into(), 4)));
    assert_eq!(fail(Crawl::Parse { html: "x".into() }), Some(Crawl::Gone("no".into(), 4)));
    assert_eq!((fail(Crawl::Again), fail(Crawl::Done)), (None, None));
    let text = Crawl::GRAPH.to_string();
    assert_eq!(text.lines().next(), Some(">  Fetch   -> Parse  on failure Mirror"), "{text}");
    let mermaid = Crawl::GRAPH.mermaid().to_string();
    assert!(mermaid.contains("\n    Parse --> Gone: on failure\n"), "{mermaid}");
    assert!(!mermaid.contains("Nowhere"), "{mermaid}");
}
