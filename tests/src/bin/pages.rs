//! A small workflow program, for the tests of the command line.
use std::{path::PathBuf, process::ExitCode, time::Duration};

use jorb::prelude::*;

#[workflow(app = App, job = Page)]
#[derive(Debug, Clone)]
enum Pages {
    #[state(initial, next(Parse, Gone))]
    Fetch,
    #[state(next(Done), kick(Fetch))]
    Parse { html: String },
    #[state(terminal)]
    Done,
    #[state(terminal)]
    Gone { status: u16 },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Page {
    url: String,
}

struct App {
    refuse: bool,
    slow: Duration,
}

#[state(concurrency = 4)]
async fn fetch(_: pages::Fetch, cx: &mut Cx<Pages>) -> Outcome<pages::Fetch> {
    tokio::time::sleep(cx.app.slow).await;
    if cx.job.url.starts_with("bad") && cx.app.refuse {
        return Err(Fault::fatal(format!("connection refused by host {} after 31 ms", cx.id())));
    }
    if cx.job.url.starts_with("gone") {
        return Ok(Next::to(pages::Gone { status: 404 }));
    }
    Ok(Next::to(pages::Parse { html: "<a>".into() }))
}

#[state]
async fn parse(_: pages::Parse, cx: &mut Cx<Pages>) -> Outcome<pages::Parse> {
    let links = if cx.job.url == "root" { vec!["a", "gone"] } else { vec![] };
    let kick = |url: &str| Kick::new(pages::Fetch, Page { url: url.into() });
    Ok(Next::to(pages::Done).kick(links.into_iter().map(kick)))
}

/// Fetches pages that are not there.
#[derive(clap::Args)]
struct Flags {
    #[arg(long, default_value = ".")]
    work: PathBuf,
    /// Pages that are refused.
    #[arg(long, default_value_t = 2)]
    bad: usize,
    /// Nothing is refused any more.
    #[arg(long)]
    healed: bool,
    /// Milliseconds for each page.
    #[arg(long, default_value_t = 0)]
    slow: u64,
    /// Good pages.
    #[arg(long, default_value_t = 1)]
    good: usize,
}

fn main() -> ExitCode {
    jorb::cli::Program::<Pages, Flags>::new()
        .store(|flags| flags.work.join("pages.jorb"))
        .app(|flags| Ok::<_, String>(App { refuse: !flags.healed, slow: Duration::from_millis(flags.slow) }))
        .seed(|flags, run| {
            run.seed((), |jobs| {
                jobs.add(Kick::new(pages::Fetch, Page { url: "root".into() }))?;
                jobs.extend(
                    (0..flags.good).map(|n| Kick::new(pages::Fetch, Page { url: format!("good{n}") })),
                )?;
                jobs.extend((0..flags.bad).map(|n| Kick::new(pages::Fetch, Page { url: format!("bad{n}") })))
            })
        })
        .command(clap::Command::new("where").about("Say where the run is"), |_, _, file| {
            println!("{}", file.path().display());
            Ok(ExitCode::SUCCESS)
        })
        .main()
}
