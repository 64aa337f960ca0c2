//! Crawls a tree of documentation: fetches each page, kicks a job for each link, and ends with every page seen once.
//!
//! ```text
//! cargo run --release -p jorb-examples --features crawl --bin crawl
//! ```
//!
//! The pages come over HTTP from a server that this program runs itself, on this machine only. They are those of the
//! Rust book, if the toolchain has it, or made up; `--docs DIR` takes others. Stop it and start it again as you like.
//!
//! It uses the library alone; `code_change` shows a program with the library's command line.
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use jorb::{BoxError, Processor, Progress, Run, SqliteStore, prelude::*};
use reqwest::{Client, Response, Url, header::RETRY_AFTER};

use crate::site::Docs;

mod site;

/// The life of one page.
#[workflow(app = App, job = Page)]
#[derive(Debug, Clone)]
enum Crawl {
    /// Download the page.
    #[state(initial, next(Parse, Gone))]
    Fetch,
    /// Find its title and links.
    #[state(next(Store), kick(Fetch))]
    Parse { html: String },
    /// Write its title to a file.
    #[state(next(Done))]
    Store { title: String },
    /// It was seen.
    #[state(terminal)]
    Done,
    /// The server does not have it.
    #[state(terminal)]
    Gone { status: u16 },
}

struct App {
    http: Client,
    /// The server's port is another one in each process, so it is nothing to save with a run.
    base: Url,
    /// Where the titles go.
    titles: PathBuf,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Page {
    /// From the root of the site, without what follows a `#`: one page, one path.
    path: String,
    links: usize,
}

impl Page {
    fn new(path: &str) -> Self {
        Page { path: path.to_owned(), links: 0 }
    }
}

/// To be throttled costs no attempt: a server that says nothing but `429` is left alone after ten minutes.
#[state(concurrency = 4, rate = "40/s", burst = 4, retries = 5, give_up_after = "10m", timeout = "30s")]
async fn fetch(_: crawl::Fetch, cx: &mut Cx<Crawl>) -> Outcome<crawl::Fetch> {
    let reply = cx.app.http.get(cx.app.base.join(&cx.job.path)?).send().await?;
    match reply.status().as_u16() {
        200 => Ok(Next::to(crawl::Parse { html: reply.text().await? })),
        429 => Err(Fault::throttled(retry_after(&reply))),
        status @ 400..500 => Ok(Next::to(crawl::Gone { status })),
        status => Err(Fault::retry(format!("the server says {status}"))),
    }
}

fn retry_after(reply: &Response) -> Option<Duration> {
    let seconds = reply.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[state(concurrency = 2)]
fn parse(crawl::Parse { html }: crawl::Parse, cx: &mut Cx<Crawl>) -> Outcome<crawl::Parse> {
    let here = cx.app.base.join(&cx.job.path)?;
    let paths = links(&html, &here);
    cx.job.links = paths.len();
    // Many pages link to one. `once` makes one job of it, whoever comes first.
    let kicks = paths.into_iter().map(|path| Kick::new(crawl::Fetch, Page::new(&path)).once(path));
    Ok(Next::to(crawl::Store { title: title(&html).to_owned() }).kick(kicks))
}

/// The file is named like the page: to write it twice is to write it once.
#[state(concurrency = 2, retries = 2)]
fn store(crawl::Store { title }: crawl::Store, cx: &mut Cx<Crawl>) -> Outcome<crawl::Store> {
    let file = cx.app.titles.join(format!("{}.txt", cx.job.path.trim_matches('/')));
    fs::create_dir_all(file.parent().unwrap_or(&cx.app.titles))?;
    fs::write(file, title + "\n")?;
    Ok(Next::to(crawl::Done))
}

fn title(html: &str) -> &str {
    let title = html.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    title.map_or("", |(title, _)| title.trim())
}

/// The pages of this site that `html` links to, as paths, each once.
fn links(html: &str, here: &Url) -> Vec<String> {
    let targets = html.split("href=\"").skip(1).filter_map(|rest| here.join(rest.split_once('"')?.0).ok());
    let is_page = |url: &Url| Path::new(url.path()).extension().is_some_and(|end| end == "html");
    let pages = targets.filter(|url| url.origin() == here.origin() && is_page(url));
    let mut paths: Vec<_> = pages.map(|url| url.path().to_owned()).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Crawls a tree of documentation that it serves itself
#[derive(Parser)]
struct Flags {
    /// A folder with an `index.html` [default: the Rust book of this toolchain; if it has none, 400 pages are made up]
    #[arg(long, value_name = "DIR")]
    docs: Option<PathBuf>,
    /// Make up so many pages
    #[arg(long, value_name = "N", conflicts_with = "docs")]
    pages: Option<usize>,
    /// Where the run and the titles are
    #[arg(long, value_name = "DIR", default_value = "crawl-work")]
    work: PathBuf,
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let flags = Flags::parse();
    fs::create_dir_all(&flags.work)?;
    fs::write(flags.work.join(".gitignore"), "*\n")?;
    let docs = Docs::find(flags.docs, flags.pages);
    eprintln!("crawls {docs}; works in {}", flags.work.display());
    let base = Url::parse(&format!("http://{}/", site::serve(docs).await?))?;

    let mut run = Run::<Crawl>::open(SqliteStore::at(flags.work.join("run.jorb")))?;
    let start = Kick::new(crawl::Fetch, Page::new("/index.html")).once("/index.html");
    run.seed((), |jobs| jobs.add(start))?;

    let http = Client::builder().no_proxy().build()?;
    let app = App { http, base, titles: flags.work.join("titles") };
    let mut processor = Processor::new(app).listener(Progress::stderr()).stop_on_signals();
    let summary = processor.exec(&mut run).await?;
    eprint!("{summary}");
    if summary.is_complete() {
        println!("{} pages, each seen once", seen_once(&mut run)?);
    }
    // It was opened again to be looked at: leave one file that can be read anywhere.
    run.close()?;
    Ok(summary.exit().into())
}

/// The number of pages, of which none may have two jobs.
fn seen_once(run: &mut Run<Crawl>) -> Result<usize, BoxError> {
    let mut seen = BTreeMap::<_, u32>::new();
    for page in run.jobs().in_state::<crawl::Done>() {
        *seen.entry(page?.context.path).or_default() += 1;
    }
    match seen.iter().find(|(_, times)| **times != 1) {
        Some((path, times)) => Err(io::Error::other(format!("{path} was seen {times} times")).into()),
        None => Ok(seen.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_paths_of_this_site() {
        let here = Url::parse("http://127.0.0.1:1/book/a.html").unwrap();
        let html = r##"<a href="b.html#x"> <a href="../c/d.html?q"> <a href="http://elsewhere/e.html">
            <a href="b.html"> <a href="style.css"> <a href="#here"> <a href="mailto:x"> <a href="f.html"##;
        assert_eq!(links(html, &here), ["/book/a.html", "/book/b.html", "/c/d.html"]);
    }
}
