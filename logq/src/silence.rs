//! `logq silence`: nobody is told of some alerts for a time.

use anyhow::Result;
use record::Timestamp;
use reqwest::Client;
use serde_json::{Value, json};

use crate::arguments::{
    AddSilence, AlertServer, EndSilence, ListSilences, OutputForm, SilenceCommand,
};
use crate::client;
use crate::exit::Exit;
use crate::look;
use crate::output::{print_lines, row};

pub(crate) async fn run(command: SilenceCommand) -> Result<Exit> {
    let done = match command {
        SilenceCommand::Add(silence) => add(&silence).await,
        SilenceCommand::List(asked) => return list(&asked).await,
        SilenceCommand::End(ended) => end(&ended).await,
    };
    Ok(done.err().unwrap_or(Exit::Success))
}

impl AlertServer {
    fn client(&self) -> Result<Client, Exit> {
        client::new(&self.addr, &self.access)
    }

    fn url(&self, route: &str) -> String {
        format!("{}/api/v2/{route}", self.addr.trim_end_matches('/'))
    }
}

async fn add(silence: &AddSilence) -> Result<(), Exit> {
    let mut matchers = Vec::new();
    for text in &silence.conditions {
        let Some(matcher) = matcher(text) else {
            eprintln!(
                "logq: {text} is no condition; write NAME=VALUE, NAME!=VALUE, NAME=~EXPRESSION or NAME!~EXPRESSION"
            );
            return Err(Exit::Usage);
        };
        matchers.push(matcher);
    }
    let now = Timestamp::now();
    let length = i64::try_from(silence.length.as_nanos()).unwrap_or(i64::MAX);
    let ends_at = Timestamp(now.0.saturating_add(length));
    let body = json!({
        "matchers": matchers,
        "startsAt": now.to_string(),
        "endsAt": ends_at.to_string(),
        "createdBy": silence.by,
        "comment": silence.comment,
    });
    let server = &silence.server;
    let request = server.client()?.post(server.url("silences")).json(&body);
    let made = look::read(&server.addr, request).await?;
    println!("{} until {ends_at}", made["silenceID"].as_str().unwrap_or_default());
    Ok(())
}

/// `service=~pay.*` as the API takes it.
fn matcher(text: &str) -> Option<Value> {
    let at = text.find(['=', '!'])?;
    let (name, rest) = (text[..at].trim(), &text[at..]);
    let operators =
        [("=~", true, true), ("!~", true, false), ("!=", false, false), ("=", false, true)];
    let (value, is_regex, is_equal) =
        operators.into_iter().find_map(|(operator, regex, equal)| {
            rest.strip_prefix(operator).map(|value| (value.trim(), regex, equal))
        })?;
    let matcher = json!({"name": name, "value": value, "isRegex": is_regex, "isEqual": is_equal});
    (!name.is_empty()).then_some(matcher)
}

async fn list(asked: &ListSilences) -> Result<Exit> {
    let server = &asked.server;
    let read =
        async { look::read(&server.addr, server.client()?.get(server.url("silences"))).await };
    let silences = match read.await {
        Ok(silences) => silences,
        Err(exit) => return Ok(exit),
    };
    let silences = silences.as_array().cloned().unwrap_or_default();
    if asked.output == OutputForm::Json {
        silences.iter().for_each(|silence| println!("{silence}"));
        return Ok(Exit::Success);
    }
    let rows = silences.iter().map(|silence| {
        let conditions = silence["matchers"].as_array().into_iter().flatten().map(condition);
        row(&[
            ("id", silence["id"].clone()),
            ("state", silence["status"]["state"].clone()),
            ("until", silence["endsAt"].clone()),
            ("alerts", conditions.collect::<Vec<_>>().join(" ").into()),
            ("by", silence["createdBy"].clone()),
            ("comment", silence["comment"].clone()),
        ])
    });
    print_lines(&rows.collect::<Vec<_>>(), asked.output)?;
    if silences.is_empty() {
        eprintln!("there is no silence");
    }
    Ok(Exit::Success)
}

fn condition(matcher: &Value) -> String {
    let text = |name: &str| matcher[name].as_str().unwrap_or_default();
    let operator = match (matcher["isRegex"] == true, matcher["isEqual"] != false) {
        (false, true) => "=",
        (false, false) => "!=",
        (true, true) => "=~",
        (true, false) => "!~",
    };
    format!("{}{operator}{}", text("name"), text("value"))
}

async fn end(ended: &EndSilence) -> Result<(), Exit> {
    let server = &ended.server;
    let url = server.url(&format!("silence/{}", ended.id));
    look::read(&server.addr, server.client()?.delete(url)).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_those_of_prometheus() {
        for text in ["a=b", "a!=b", "a=~b|c", "a!~.+=x", "a="] {
            assert_eq!(condition(&matcher(text).unwrap()), text);
        }
        assert!(["a", "=b", "a!b", ""].iter().all(|text| matcher(text).is_none()));
    }
}
