//! The client of an API that speaks as `OpenAI`'s does.
use std::time::Duration;

use jorb::{BoxError, Fault};
use reqwest::{
    Client, RequestBuilder, Response, Url,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use serde::Deserialize;
use serde_json::json;

use crate::{Prompt, chat};

pub(crate) struct Api {
    http: Client,
    url: Url,
    key: Option<String>,
    model: String,
}

/// What of an answer is of interest here.
#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Usage,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

#[derive(Deserialize)]
struct Usage {
    total_tokens: u32,
}

impl Api {
    /// At an endpoint such as `http://localhost:8080/v1`.
    pub(crate) fn at(endpoint: &str, key: Option<String>, model: &str) -> Result<Self, BoxError> {
        let url = Url::parse(&format!("{}/chat/completions", endpoint.trim_end_matches('/')))?;
        // What is on this machine needs no proxy.
        let is_near = matches!(url.host_str(), Some("127.0.0.1" | "localhost"));
        let http = if is_near { Client::builder().no_proxy() } else { Client::builder() };
        Ok(Api { http: http.build()?, url, key, model: model.to_owned() })
    }

    /// Asks for the answer to a prompt. When the API refuses, what it says decides whether and when it is asked again.
    pub(crate) async fn complete(&self, prompt: &Prompt) -> Result<Result<chat::Answered, Fault>, BoxError> {
        let body = json!({
            "model": self.model,
            "messages": [{ "role": "user", "content": prompt.text }],
            "max_tokens": prompt.max_tokens,
        });
        let request = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        let request = self.key.iter().fold(request, RequestBuilder::bearer_auth);
        let reply = request.body(body.to_string()).send().await?;
        let fault = match reply.status().as_u16() {
            200 => {
                let Completion { choices, usage } = serde_json::from_slice(&reply.bytes().await?)?;
                let choice = choices.into_iter().next().ok_or("there is no choice in the answer")?;
                return Ok(Ok(chat::Answered { text: choice.message.content, tokens: usage.total_tokens }));
            }
            429 => Fault::throttled(retry_after(&reply)),
            // A wrong key or model, or a prompt that it does not like: the same again would not help.
            status @ 400..500 => Fault::fatal(format!("{status}: {}", reply.text().await?)),
            status => Fault::retry(format!("the API says {status}")),
        };
        Ok(Err(fault))
    }
}

fn retry_after(reply: &Response) -> Option<Duration> {
    let seconds = reply.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
