//! Pages to fetch, for the tests of what operators see and do.
use std::time::Duration;

use jorb::{Processor, Run, Store, Summary, prelude::*};

/// The life of a page.
#[workflow(app = Web, job = Page)]
#[derive(Debug, Clone, PartialEq)]
pub enum Pages {
    /// Fails for good on `bad..`, goes to `Gone` on `gone..`.
    #[state(initial, next(Parse, Gone))]
    Fetch,
    /// Finds the pages `a` and `gone` on `root`.
    #[state(next(Done), kick(Fetch))]
    Parse {
        /// What was fetched.
        html: String,
    },
    /// All is well.
    #[state(terminal)]
    Done,
    /// It was not there.
    #[state(terminal)]
    Gone {
        /// As HTTP has it.
        status: u16,
    },
}

/// A page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Where it is.
    pub url: String,
}

/// How the web does today.
#[derive(Debug, Clone, Copy)]
pub struct Web {
    /// It refuses bad pages.
    pub refuses: bool,
    /// It takes so long for each page.
    pub slow: Duration,
}

#[state(concurrency = 4)]
async fn fetch(_: pages::Fetch, cx: &mut Cx<Pages>) -> Outcome<pages::Fetch> {
    if !cx.app.slow.is_zero() {
        tokio::time::sleep(cx.app.slow).await;
    }
    if cx.job.url.starts_with("bad") && cx.app.refuses {
        return Err(Fault::fatal(format!("connection refused by host {} after 31 ms", cx.id())));
    }
    if cx.job.url.starts_with("gone") {
        return Ok(Next::to(pages::Gone { status: 404 }));
    }
    let html = pages::Parse { html: "<a>".into() };
    Ok(if cx.job.url == "later" { Next::to(html).after(Duration::from_secs(3600)) } else { Next::to(html) })
}

#[state]
async fn parse(_: pages::Parse, cx: &mut Cx<Pages>) -> Outcome<pages::Parse> {
    let links: &[&str] = if cx.job.url == "root" { &["a", "gone"] } else { &[] };
    Ok(Next::to(pages::Done).kick(links.iter().map(|url| seed(url))))
}

/// A page to begin with.
pub fn seed(url: &str) -> Kick<pages::Fetch> {
    Kick::new(pages::Fetch, Page { url: url.into() })
}

/// A run of these pages.
pub fn run(store: impl Store<Pages>, urls: &[&str]) -> Run<Pages> {
    let mut run = Run::open(store).expect("the store opens");
    run.seed((), |jobs| jobs.extend(urls.iter().map(|url| seed(url)))).expect("it is seeded");
    run
}

/// Drives it.
pub async fn drive(run: &mut Run<Pages>, refuses: bool) -> Summary {
    let web = Web { refuses, slow: Duration::ZERO };
    Processor::new(web).exec(run).await.expect("the store works")
}
