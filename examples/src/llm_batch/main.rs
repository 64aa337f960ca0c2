//! Sends a batch of prompts to a language model, as fast as the contract lets it: so many requests and so many tokens a
//! minute.
//!
//! ```text
//! cargo run --release -p jorb-examples --features llm_batch --bin llm_batch
//! cargo run --release -p jorb-examples --features llm_batch --bin llm_batch -- answers
//! ```
//!
//! Without `--endpoint`, a stand-in answers that this program runs itself, on this machine only. It enforces both limits
//! as a provider does, so the batch can be tried offline. Stop it and start it again as you like: what was answered is not
//! asked again.
use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, OnceLock},
};

use clap::Command;
use jorb::{
    BoxError, Rate, Weighted,
    cli::{OF_RUN, Program},
    prelude::*,
};

use crate::{api::Api, stand_in::StandIn};

mod api;
mod stand_in;

/// What the contract says. The stand-in enforces it; for another endpoint, write here what yours allows.
const REQUESTS: Rate = Rate::literal("600/m");
const TOKENS: Rate = Rate::literal("120000/m");

/// Providers count in times shorter than a minute, and do not say in which. So no more than what one second of the
/// contract is starts at once; who starts more sooner is not done sooner.
#[limiter(rate = REQUESTS, burst = 10)]
struct Requests;

/// More than any prompt costs: a dearer one would wait until nothing is taken.
#[limiter(rate = TOKENS, burst = 2_000, weighted)]
struct Tokens;

/// A provider counts what a request may cost at most, until it knows better; so do we.
impl Weighted<chat::Ask> for Tokens {
    fn cost(_: &chat::Ask, prompt: &Prompt) -> u32 {
        u32::try_from(prompt.text.len() / 4).unwrap_or(u32::MAX).saturating_add(prompt.max_tokens)
    }
}

/// The life of one prompt.
#[workflow(app = Api, job = Prompt)]
#[derive(Debug, Clone)]
enum Chat {
    /// Ask the model.
    #[state(initial, next(Answered))]
    Ask,
    /// It answered.
    #[state(terminal)]
    Answered { text: String, tokens: u32 },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Prompt {
    text: String,
    /// Longest answer.
    max_tokens: u32,
}

#[state(concurrency = 64, limits(Requests, Tokens), retries = 5, backoff = "500ms..30s", timeout = "2m")]
async fn ask(_: chat::Ask, cx: &mut Cx<Chat>) -> Outcome<chat::Ask> {
    // When the connection is lost, nobody knows what was used: it stays what it was thought to be.
    let reply = cx.app.complete(&cx.job).await?;
    // A refusal uses nothing. What was taken for more than it used is given back.
    cx.settle::<Tokens>(reply.as_ref().map_or(0, |answer| answer.tokens));
    Ok(Next::to(reply?))
}

/// Sends prompts to a language model within limits of requests and tokens
#[derive(clap::Args)]
struct Flags {
    /// A file with a prompt in each line [default: some that are made up]
    #[arg(long, value_name = "FILE", help_heading = OF_RUN)]
    prompts: Option<PathBuf>,
    /// Make up so many prompts
    #[arg(long, value_name = "N", default_value_t = 200, conflicts_with = "prompts", help_heading = OF_RUN)]
    count: u32,
    /// Longest answer, in tokens
    #[arg(long, value_name = "N", default_value_t = 400, help_heading = OF_RUN)]
    max_tokens: u32,
    /// Where to ask, up to the version: `http://localhost:8080/v1` [default: a stand-in in this process]
    #[arg(long, value_name = "URL", help_heading = OF_RUN)]
    endpoint: Option<String>,
    /// The environment variable that holds the key for the endpoint
    #[arg(long, value_name = "NAME", default_value = "OPENAI_API_KEY", help_heading = OF_RUN)]
    key_from: String,
    /// The model
    #[arg(long, value_name = "NAME", default_value = "stand-in", help_heading = OF_RUN)]
    model: String,
    /// Where the run is
    #[arg(long, value_name = "DIR", default_value = "llm-batch-work")]
    work: PathBuf,
    /// Write what the stand-in counted
    #[arg(long, value_name = "FILE", conflicts_with = "endpoint", help_heading = OF_RUN)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let counted = Arc::new(OnceLock::new());
    let counts = Arc::clone(&counted);
    let code = Program::<Chat, Flags>::new()
        .store(|flags| {
            // An error shows when the run cannot be made there.
            let _ = fs::create_dir_all(&flags.work);
            let _ = fs::write(flags.work.join(".gitignore"), "*\n");
            flags.work.join("run.jorb")
        })
        .app(move |flags| {
            if let Some(endpoint) = &flags.endpoint {
                return Api::at(endpoint, std::env::var(&flags.key_from).ok(), &flags.model);
            }
            let stand_in = StandIn::new(REQUESTS, TOKENS);
            let api = Api::at(&stand_in.serve()?, None, &flags.model);
            let _ = counts.set((stand_in, flags.json.clone()));
            api
        })
        .seed(|flags, run| {
            let prompts = flags.prompts()?;
            let asks = prompts.into_iter().map(|text| Prompt { text, max_tokens: flags.max_tokens });
            Ok::<_, BoxError>(
                run.seed((), |jobs| jobs.extend(asks.map(|prompt| Kick::new(chat::Ask, prompt))))?,
            )
        })
        .command(
            Command::new("answers").about("Print each prompt with its answer, as JSON Lines"),
            |_, _, run, out| {
                for job in run.read()?.jobs().in_state::<chat::Answered>() {
                    let job = job?;
                    let line = serde_json::json!({ "prompt": job.context.text, "answer": job.state.text });
                    writeln!(out, "{line}")?;
                }
                Ok(ExitCode::SUCCESS)
            },
        )
        .main();
    match counted.get().map(|(stand_in, json)| report(stand_in, json.as_ref())) {
        Some(Err(e)) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
        Some(Ok(())) | None => code,
    }
}

/// What the other side has seen.
fn report(stand_in: &StandIn, json: Option<&PathBuf>) -> Result<(), BoxError> {
    let figures = stand_in.figures();
    if figures.requests == 0 {
        return Ok(());
    }
    print!("{figures}");
    if let Some(path) = json {
        fs::write(path, serde_json::to_string(&figures)? + "\n")?;
    }
    Ok(())
}

impl Flags {
    fn prompts(&self) -> Result<Vec<String>, BoxError> {
        let Some(path) = &self.prompts else {
            return Ok((0..self.count).map(made_up).collect());
        };
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect())
    }
}

/// Prompts of different lengths.
fn made_up(n: u32) -> String {
    let topic = ["limits", "queues", "retries", "clocks", "batches"][n as usize % 5];
    let story = "Mention what can go wrong, and what somebody who has never seen it should do. ";
    format!("Case {n}: explain {topic} in your own words. {}", story.repeat(n as usize % 7))
}
