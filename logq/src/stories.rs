//! `logq trace`, `story`, `stories`, `diff`: interactions as a whole.

use std::io::Write;

use anyhow::{Context, Result};
use reqwest::Url;
use serde_json::{Value, json};

use crate::arguments::{
    Diff, OutputForm, QueryServer, ReportForm, Stories, StoryOf, TraceOf, View,
};
use crate::exit::Exit;
use crate::look;
use crate::output::{self, Out, Style, row};

pub(crate) async fn trace(asked: &TraceOf) -> Result<Exit> {
    view(["traces", &asked.id], &asked.view, output::waterfall).await
}

pub(crate) async fn story(asked: &StoryOf) -> Result<Exit> {
    view(["correlations", &asked.id], &asked.view, output::tale).await
}

/// Gets one object and draws it.
async fn view(path: [&str; 2], view: &View, draw: fn(&Value, Style) -> String) -> Result<Exit> {
    let rows = view.rows.map(|rows| ("rows", rows.to_string()));
    let told = match get(&view.server, &path, rows.as_slice()).await {
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
    Ok(partial(&told).unwrap_or(Exit::Success))
}

/// Says why an answer is not whole, if it is not.
fn partial(told: &Value) -> Option<Exit> {
    if told["complete"] != false {
        return None;
    }
    let reason = told["reason"].as_str().unwrap_or("no reason was given");
    eprintln!("logq: this is not all of it: {reason}");
    Some(Exit::Partial)
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
    let exit = print(&rows.collect::<Vec<_>>(), asked.asking.output)?;
    if told["more"] == true {
        eprintln!("{}", output::dimmed_error("there are more interactions; -n lists more of them"));
    }
    Ok(partial(&told).unwrap_or(exit))
}

pub(crate) async fn diff(asked: &Diff) -> Result<Exit> {
    let parameters = [
        ("query", asked.query.clone()),
        ("other", asked.other.clone()),
        ("since", asked.time.since.clone()),
        ("until", asked.time.until.clone()),
    ];
    let told = match get(&asked.asking.server, &["diff"], &parameters).await {
        Ok(told) => told,
        Err(exit) => return Ok(exit),
    };
    if asked.asking.output == OutputForm::Json {
        println!("{told}");
        return Ok(partial(&told).unwrap_or(Exit::Success));
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
    for (count, query) in [(ours, &asked.query), (theirs, &asked.other)] {
        if *count == 0 {
            eprintln!(
                "logq: no interaction of `{query}` is there to be compared; --since looks further back"
            );
            return Ok(Exit::Failure);
        }
    }
    if rows.is_empty() {
        eprintln!("logq: nothing sets {ours} interactions apart from {theirs} others");
        return Ok(Exit::Failure);
    }
    let exit = print(&rows, asked.asking.output)?;
    if told["more"] == true {
        eprintln!(
            "{}",
            output::dimmed_error("there are more interactions; the newest of each were compared")
        );
    }
    Ok(partial(&told).unwrap_or(exit))
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
    server: &QueryServer,
    path: &[&str],
    parameters: &[(&str, String)],
) -> Result<Value, Exit> {
    let (client, addr) = (server.client()?, &server.addr);
    let wrong = |error: &dyn std::fmt::Display| {
        eprintln!("logq: {addr} is no address: {error}; write it like http://127.0.0.1:3100");
        Exit::Usage
    };
    let mut url = Url::parse(addr).map_err(|error| wrong(&error))?;
    match url.path_segments_mut() {
        Ok(mut segments) => {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        Err(()) => return Err(wrong(&"it has no path")),
    }
    if !parameters.is_empty() {
        url.query_pairs_mut().extend_pairs(parameters);
    }
    look::read(addr, client.get(url)).await
}
