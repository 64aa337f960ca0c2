//! A stand-in for a provider of language models: HTTP for this machine only, with limits like those of the real ones.
use std::{
    fmt, io, net,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::post,
};
use jorb::Rate;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{net::TcpListener, time::sleep};

/// One request in so many fails.
const FAIL_EVERY: u64 = 50;

/// What is counted is left alone for so long at the start, when the buckets are empty.
const STEADY: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub(crate) struct StandIn(Arc<Mutex<Inside>>);

struct Inside {
    requests: Bucket,
    tokens: Bucket,
    asked: u64,
    refused: u64,
    failed: u64,
    /// When each request came that was answered, and what it used.
    answered: Vec<(Instant, u32)>,
}

/// Leaks at a rate, and holds two seconds of that.
struct Bucket {
    per_second: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    fn new(rate: Rate) -> Self {
        Bucket { per_second: rate.per_second(), level: 0.0, at: Instant::now() }
    }

    /// How long to wait until so much fits.
    fn wait(&mut self, cost: f64) -> Duration {
        let now = Instant::now();
        self.add(-self.per_second * now.duration_since(self.at).as_secs_f64());
        self.at = now;
        let over = self.level + cost - 2.0 * self.per_second;
        Duration::from_secs_f64(over.max(0.0) / self.per_second)
    }

    fn add(&mut self, cost: f64) {
        self.level = (self.level + cost).max(0.0);
    }
}

#[derive(Deserialize)]
struct Ask {
    messages: Vec<Message>,
    max_tokens: u32,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

impl StandIn {
    pub(crate) fn new(requests: Rate, tokens: Rate) -> Self {
        StandIn(Arc::new(Mutex::new(Inside {
            requests: Bucket::new(requests),
            tokens: Bucket::new(tokens),
            asked: 0,
            refused: 0,
            failed: 0,
            answered: Vec::new(),
        })))
    }

    /// Serves from now on, on this runtime, at the endpoint that it gives.
    pub(crate) fn serve(&self) -> io::Result<String> {
        let listener = net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let endpoint = format!("http://{}/v1", listener.local_addr()?);
        let routes = Router::new().route("/v1/chat/completions", post(answer)).with_state(self.clone());
        tokio::spawn(axum::serve(TcpListener::from_std(listener)?, routes).into_future());
        Ok(endpoint)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what a request may use at most, if there is room for that; otherwise says when there will be.
    fn enter(&self, estimate: u32) -> Result<u64, Duration> {
        let mut inside = self.lock();
        inside.asked += 1;
        let wait = inside.requests.wait(1.0).max(inside.tokens.wait(estimate.into()));
        if !wait.is_zero() {
            inside.refused += 1;
            return Err(wait);
        }
        inside.requests.add(1.0);
        inside.tokens.add(estimate.into());
        Ok(inside.asked)
    }

    /// It used another amount; nothing if it failed.
    fn leave(&self, came: Instant, estimate: u32, used: Option<u32>) {
        let mut inside = self.lock();
        inside.tokens.add(f64::from(used.unwrap_or(0)) - f64::from(estimate));
        match used {
            Some(used) => inside.answered.push((came, used)),
            None => inside.failed += 1,
        }
    }

    /// What it has counted until now.
    pub(crate) fn figures(&self) -> Figures {
        let inside = self.lock();
        let came = || inside.answered.iter().map(|(came, _)| *came);
        let seconds = |from: Option<Instant>, to: Option<Instant>| {
            from.zip(to).map_or(0.0, |(from, to)| to.saturating_duration_since(from).as_secs_f64())
        };
        let (from, to) = (came().min().map(|first| first + STEADY), came().max());
        let steady = inside.answered.iter().filter(|(came, _)| Some(*came) >= from && Some(*came) < to);
        let used = steady.map(|(_, used)| f64::from(*used)).sum::<f64>();
        Figures {
            requests: inside.asked,
            answered: inside.answered.len(),
            tokens: inside.answered.iter().map(|(_, used)| u64::from(*used)).sum(),
            throttled: inside.refused,
            failed: inside.failed,
            seconds: seconds(came().min(), to),
            tokens_used: used / (inside.tokens.per_second * seconds(from, to)).max(1.0),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// All that came.
    pub(crate) requests: u64,
    answered: usize,
    /// Used by all that were answered.
    tokens: u64,
    /// Refused, because they were more than a limit allows.
    throttled: u64,
    failed: u64,
    /// From the first request to the last.
    seconds: f64,
    /// Share of the limit of tokens that was used when the start was over.
    tokens_used: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { requests, answered, tokens, throttled, failed, seconds, tokens_used } = self;
        writeln!(
            f,
            "the stand-in saw {requests} requests in {seconds:.1} s: {answered} answered, {failed} failed (503), {throttled} over a limit (429)"
        )?;
        writeln!(
            f,
            "{tokens} tokens; {:.1} % of what the limit allows were used when the start was over",
            100.0 * tokens_used
        )
    }
}

async fn answer(State(stand_in): State<StandIn>, body: Bytes) -> Response {
    let Ok(Ask { messages, max_tokens }) = serde_json::from_slice(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let came = Instant::now();
    let content: String = messages.into_iter().map(|message| message.content).collect();
    let estimate = u32::try_from(content.len() / 4).unwrap_or(u32::MAX).saturating_add(max_tokens);
    let nth = match stand_in.enter(estimate) {
        Ok(nth) => nth,
        Err(wait) => {
            let seconds = wait.as_secs_f64().ceil().to_string();
            return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds)]).into_response();
        }
    };
    if nth % FAIL_EVERY == 0 {
        stand_in.leave(came, estimate, None);
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    // The same prompt gets the same answer, between a tenth of what it may be and all of it.
    let dice = content.bytes().fold(7_u32, |dice, byte| dice.wrapping_mul(31).wrapping_add(byte.into()));
    let completion = max_tokens / 10 + dice % (max_tokens - max_tokens / 10 + 1);
    let prompt = u32::try_from(content.split_whitespace().count() * 4 / 3).unwrap_or(u32::MAX);
    sleep(Duration::from_millis(100) + completion * Duration::from_millis(2)).await;
    let used = prompt.saturating_add(completion);
    stand_in.leave(came, estimate, Some(used));
    let text = format!("This is an answer of {completion} tokens.");
    json!({
        "choices": [{ "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": used },
    })
    .to_string()
    .into_response()
}
