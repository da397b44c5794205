//! Runs queries of rules on a server.

use alerting::{Answer, QueryRunner, RunError};
use record::Timestamp;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::client;

pub(super) struct OverHttp {
    client: Client,
    url: String,
    runtime: Handle,
}

impl OverHttp {
    pub(super) fn new(client: Client, addr: &str, runtime: Handle) -> Self {
        Self { client, url: format!("{}/api/v1/query", addr.trim_end_matches('/')), runtime }
    }
}

impl QueryRunner for OverHttp {
    fn run(&self, query: &str, from: i64, until: i64, limit: usize) -> Result<Answer, RunError> {
        let mut body = json!({
            "query": query, "since": Timestamp(from).to_string(), "until": Timestamp(until).to_string(),
        });
        if limit != usize::MAX {
            body["limit"] = limit.into();
        }
        let sent = self.client.post(&self.url).json(&body).send();
        let text = self.runtime.block_on(async {
            let response = sent.await.map_err(|error| client::reason(&error))?;
            let ok = response.status().is_success();
            let text = response.text().await.map_err(|error| client::reason(&error))?;
            if ok { Ok(text) } else { Err(message_of(&text)) }
        });
        answer_of(&text.map_err(RunError)?)
    }
}

/// Why a server refuses.
fn message_of(text: &str) -> String {
    let answer: Value = serde_json::from_str(text).unwrap_or_default();
    answer["error"]["message"].as_str().unwrap_or(text).to_owned()
}

/// The rows of an answer and what its last line says.
pub(super) fn answer_of(text: &str) -> Result<Answer, RunError> {
    let mut answer =
        Answer { rows: Vec::new(), partial: Some("it ended without its summary".to_owned()) };
    for line in text.lines() {
        let Ok(Value::Object(row)) = serde_json::from_str(line) else {
            return Err(RunError("the server's answer is no JSON".to_owned()));
        };
        match row.get("summary").filter(|_| row.len() == 1) {
            Some(summary) => {
                let reason =
                    || summary["reason"].as_str().unwrap_or("no reason was given").to_owned();
                answer.partial = (summary["complete"] != true).then(reason);
            }
            None => answer.rows.push(row),
        }
    }
    Ok(answer)
}
