//! `logq trace`, `story`, `stories`, `diff`: interactions as a whole.

use std::io::Write;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::arguments::{Diff, OutputForm, ReportForm, Stories, StoryOf, TraceOf};
use crate::client;
use crate::exit::Exit;
use crate::look;
use crate::output::{self, Out, Style, row};

pub(crate) async fn trace(asked: &TraceOf) -> Result<Exit> {
    let path = format!("/api/v1/traces/{}", asked.id);
    view(&path, &asked.view, output::waterfall).await
}

pub(crate) async fn story(asked: &StoryOf) -> Result<Exit> {
    let path = format!("/api/v1/correlations/{}", encoded(&asked.id));
    view(&path, &asked.view, output::tale).await
}

/// Gets one object and draws it.
async fn view(
    path: &str,
    view: &crate::arguments::View,
    draw: fn(&Value, Style) -> String,
) -> Result<Exit> {
    let mut url = format!("{}{path}", view.addr.trim_end_matches('/'));
    if let Some(rows) = view.rows {
        url.push_str(&format!("?rows={rows}"));
    }
    let told = match get(&view.addr, &view.access, &url).await {
        Ok(told) => told,
        Err(exit) => return Ok(exit),
    };
    let text = match view.output {
        ReportForm::Json => format!("{told}\n"),
        ReportForm::Text => draw(&told, Style::of_stdout(view.color)),
    };
    let mut out = Out::new(view.output == ReportForm::Text && !view.no_pager);
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(error).context("cannot print");
        }
        _ => {}
    }
    out.close();
    if told["complete"] == false {
        let reason = told["reason"].as_str().unwrap_or("no reason was given");
        eprintln!("logq: this is not all of it: {reason}");
        return Ok(Exit::Partial);
    }
    Ok(Exit::Success)
}

pub(crate) async fn stories(asked: &Stories) -> Result<Exit> {
    let body = json!({
        "query": asked.query, "since": asked.time.since, "until": asked.time.until, "limit": asked.limit,
    });
    let told = match look::post(&asked.asking, "stories", &body).await {
        Ok(told) => told,
        Err(exit) => return Ok(exit),
    };
    let rows = told["stories"].as_array().cloned().unwrap_or_default();
    let rows = rows.into_iter().map(|story| match asked.asking.output {
        OutputForm::Json => story.to_string(),
        _ => {
            let services: Vec<&str> = story["services"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let first = &story["first_error"];
            let first = match first.is_object() {
                true => json!(format!(
                    "{}: {}",
                    first["service"].as_str().unwrap_or_default(),
                    first["message"].as_str().unwrap_or_default()
                )),
                false => Value::Null,
            };
            let took = output::milliseconds(story["duration_ms"].as_f64().unwrap_or_default());
            row(&[
                ("correlation_id", story["correlation_id"].clone()),
                ("outcome", story["outcome"]["state"].clone()),
                ("started", story["started"].clone()),
                ("took", took.into()),
                ("records", story["records"].clone()),
                ("spans", story["spans"].clone()),
                ("missing", story["holes"].clone()),
                ("services", services.join(", ").into()),
                ("first error", first),
            ])
        }
    });
    print(&rows.collect::<Vec<_>>(), asked.asking.output)
}

pub(crate) async fn diff(asked: &Diff) -> Result<Exit> {
    let mut url = format!("{}/api/v1/diff", asked.asking.addr.trim_end_matches('/'));
    let parameters = [
        ("query", &asked.query),
        ("other", &asked.other),
        ("since", &asked.time.since),
        ("until", &asked.time.until),
    ];
    for (index, (name, value)) in parameters.into_iter().enumerate() {
        let sign = if index == 0 { '?' } else { '&' };
        url.push_str(&format!("{sign}{name}={}", encoded(value)));
    }
    let told = match get(&asked.asking.addr, &asked.asking.access, &url).await {
        Ok(told) => told,
        Err(exit) => return Ok(exit),
    };
    if asked.asking.output == OutputForm::Json {
        println!("{told}");
        return Ok(Exit::Success);
    }
    let (ours, theirs) = (&told["interactions"], &told["others"]);
    let rows = told["traits"].as_array().cloned().unwrap_or_default();
    let rows: Vec<String> = rows
        .into_iter()
        .map(|one| {
            let points = one["difference"].as_f64().unwrap_or_default() * 100.0;
            row(&[
                ("difference", format!("{points:+.0} %").into()),
                ("first", format!("{} of {ours}", one["having"]).into()),
                ("second", format!("{} of {theirs}", one["others_having"]).into()),
                ("kind", one["kind"].clone()),
                ("what", one["what"].clone()),
            ])
        })
        .collect();
    if rows.is_empty() {
        eprintln!("logq: nothing sets {ours} interactions apart from {theirs} others");
        return Ok(Exit::Failure);
    }
    print(&rows, asked.asking.output)
}

fn print(rows: &[String], form: OutputForm) -> Result<Exit> {
    output::print_lines(rows, form).context("cannot print")?;
    if rows.is_empty() {
        eprintln!("logq: no interaction was found; --since looks further back");
        return Ok(Exit::Failure);
    }
    Ok(Exit::Success)
}

async fn get(
    addr: &str,
    access: &agent::access::AccessArguments,
    url: &str,
) -> Result<Value, Exit> {
    let client = client::new(addr, access)?;
    look::read(addr, client.get(url)).await
}

/// A text as a part of a URL.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}
