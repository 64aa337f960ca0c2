//! Finds out how many requests a service takes that does not say it, and that changes its mind.
//!
//! ```text
//! cargo run --release -p jorb-examples --features adaptive --bin adaptive -- --plot adaptive.png
//! ```
//!
//! The service is a real HTTP server that this program runs itself, on this machine only. It takes 200 requests a second,
//! then half of that, then 200 again, and answers all others with 429. The client is one state with an adaptive rate.
//! It ends after 40 s.
use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use jorb::{BoxError, MemoryStore, Processor, Progress, Run, prelude::*};
use reqwest::{Client, Response, Url, header::RETRY_AFTER};

use crate::{figures::Figures, service::Service};

mod figures;
mod plot;
mod service;

/// One request.
#[workflow(app = App)]
#[derive(Debug, Clone)]
enum Request {
    /// Ask the service, as fast as it lets us.
    #[state(initial, next(Answered))]
    Ask,
    /// It was taken.
    #[state(terminal)]
    Answered,
}

struct App {
    http: Client,
    url: Url,
}

#[state(concurrency = 64, rate = adaptive("20/s", min = "1/s", max = "1000/s"), retries = 5)]
async fn ask(_: request::Ask, cx: &mut Cx<Request>) -> Outcome<request::Ask> {
    let reply = cx.app.http.get(cx.app.url.clone()).send().await?;
    match reply.status().as_u16() {
        200 => Ok(Next::to(request::Answered)),
        // This makes the rate slower; what moves on makes it faster.
        429 => Err(Fault::throttled(retry_after(&reply))),
        status => Err(Fault::retry(format!("the service says {status}"))),
    }
}

fn retry_after(reply: &Response) -> Option<Duration> {
    let seconds = reply.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Finds the hidden capacity of a service that it runs itself
#[derive(Parser)]
struct Flags {
    /// How long
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(10..=3600))]
    seconds: u32,
    /// Draw what happened
    #[arg(long, value_name = "FILE.png")]
    plot: Option<PathBuf>,
    /// Write how much was used and throttled at steady state, and how soon the client followed
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let flags = Flags::parse();
    let service = Service::new(flags.seconds.into());
    let address = service.serve().await?;

    let mut run = Run::<Request>::open(MemoryStore::new())?;
    // More than the service can take in that time.
    run.seed((), |jobs| jobs.extend((0..500 * flags.seconds).map(|_| Kick::new(request::Ask, ()))))?;
    let app =
        App { http: Client::builder().no_proxy().build()?, url: Url::parse(&format!("http://{address}/"))? };
    let mut processor = Processor::new(app).listener(Progress::stderr()).stop_on_signals();
    let handle = processor.handle();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(flags.seconds.into())).await;
        handle.stop();
    });
    let summary = processor.exec(&mut run).await?;
    if service.seconds() < flags.seconds.into() {
        return Ok(summary.exit().into());
    }
    let log = service.log();
    let figures = Figures::of(service.phases(), &log);
    print!("{figures}");
    if let Some(path) = flags.json {
        fs::write(path, serde_json::to_string(&figures)? + "\n")?;
    }
    if let Some(path) = flags.plot {
        plot::draw(&path, service.phases(), &log)?;
    }
    Ok(ExitCode::SUCCESS)
}
