//! `logq silence`: nobody is told of some alerts for a time.

use alerting::Matcher;
use anyhow::Result;
use record::Timestamp;
use serde_json::json;

use crate::arguments::{AddSilence, EndSilence, ListSilences, OutputForm, SilenceCommand};
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

async fn add(silence: &AddSilence) -> Result<(), Exit> {
    let now = Timestamp::now();
    let length = i64::try_from(silence.length.as_nanos()).unwrap_or(i64::MAX);
    let ends_at = Timestamp(now.0.saturating_add(length));
    let body = json!({
        "matchers": silence.conditions,
        "startsAt": now.to_string(),
        "endsAt": ends_at.to_string(),
        "createdBy": silence.by,
        "comment": silence.comment,
    });
    let server = &silence.server;
    let request = server.client()?.post(server.url("v2/silences")).json(&body);
    let made = look::read(&server.addr, request).await?;
    println!("{} until {ends_at}", made["silenceID"].as_str().unwrap_or_default());
    Ok(())
}

async fn list(asked: &ListSilences) -> Result<Exit> {
    let server = &asked.server;
    let read =
        async { look::read(&server.addr, server.client()?.get(server.url("v2/silences"))).await };
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
        let matchers: Vec<Matcher> =
            serde_json::from_value(silence["matchers"].clone()).unwrap_or_default();
        let conditions = matchers.iter().map(Matcher::to_string);
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

async fn end(ended: &EndSilence) -> Result<(), Exit> {
    let server = &ended.server;
    let url = server.url(&format!("v2/silence/{}", ended.id));
    look::read(&server.addr, server.client()?.delete(url)).await.map(|_| ())
}
