//! `logq alerts`: what is pending or firing, what fired, and what begins and ends while one watches.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use reqwest::Client;
use serde_json::Value;

use crate::arguments::{Alerts, OutputForm};
use crate::exit::Exit;
use crate::look;
use crate::output::{print_lines, row};

/// How often a watcher looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Incidents that a watcher looks at; more do not begin and end within a second.
const WATCHED_MAX: usize = 1_000;

pub(crate) async fn run(alerts: &Alerts) -> Result<Exit> {
    let client = match alerts.server.client() {
        Ok(client) => client,
        Err(exit) => return Ok(exit),
    };
    let told = match (alerts.watch, alerts.history) {
        (true, _) => return watch(alerts, &client).await,
        (_, true) => incidents(alerts, &client, alerts.limit).await,
        _ => get(alerts, &client, "alerts", "alerts").await,
    };
    let told = match told {
        Ok(told) => told,
        Err(exit) => return Ok(exit),
    };
    if alerts.output == OutputForm::Json {
        told.iter().for_each(|alert| println!("{alert}"));
        return Ok(Exit::Success);
    }
    let rows: Vec<String> = told.iter().map(shown).collect();
    print_lines(&rows, alerts.output)?;
    if told.is_empty() {
        let none = if alerts.history { "no alert fired" } else { "no alert is pending or firing" };
        eprintln!("{none}");
    }
    Ok(Exit::Success)
}

async fn incidents(alerts: &Alerts, client: &Client, limit: usize) -> Result<Vec<Value>, Exit> {
    get(alerts, client, &format!("incidents?limit={limit}"), "incidents").await
}

async fn get(
    alerts: &Alerts,
    client: &Client,
    route: &str,
    member: &str,
) -> Result<Vec<Value>, Exit> {
    let url = alerts.server.url(&format!("v1/{route}"));
    let mut answer = look::read(&alerts.server.addr, client.get(url)).await?;
    match answer[member].take() {
        Value::Array(told) => Ok(told),
        _ => {
            eprintln!("logq: {} is no alerting of logq", alerts.server.addr);
            Err(Exit::Failure)
        }
    }
}

/// One row of the list.
fn shown(alert: &Value) -> String {
    let fired = alert["fired_at"].as_str();
    let since = fired.or(alert["active_at"].as_str()).unwrap_or_default().to_owned();
    let mut columns = vec![
        ("state", Value::from(state(alert))),
        ("alert", alert["labels"]["alertname"].clone()),
        ("since", since.into()),
    ];
    if let Some(over) = alert["resolved_at"].as_str() {
        columns.push(("until", over.into()));
    }
    columns.push(("labels", pairs(&alert["labels"]).into()));
    columns.push(("values", pairs(&alert["values"]).into()));
    if let Some(summary) = alert["annotations"]["summary"].as_str() {
        columns.push(("summary", summary.into()));
    }
    row(&columns)
}

/// An incident has no state of its own.
fn state(alert: &Value) -> &str {
    match alert["state"].as_str() {
        Some(state) => state,
        None if alert["resolved_at"].is_string() => "resolved",
        None => "firing",
    }
}

fn pairs(of: &Value) -> String {
    let pairs = of.as_object().into_iter().flatten().filter(|(name, _)| *name != "alertname");
    let texts = pairs.map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    });
    texts.collect::<Vec<_>>().join(" ")
}

/// Prints each incident when it begins and when it is over, those that fire now first; ends with Ctrl-C.
async fn watch(alerts: &Alerts, client: &Client) -> Result<Exit> {
    let mut known: BTreeMap<(String, String), bool> = BTreeMap::new();
    let mut is_first = true;
    loop {
        let told = match incidents(alerts, client, WATCHED_MAX).await {
            Ok(told) => told,
            Err(exit) => return Ok(exit),
        };
        let mut still = BTreeMap::new();
        for incident in told.iter().rev() {
            let text = |name: &str| incident[name].as_str().unwrap_or_default().to_owned();
            let key = (text("fingerprint"), text("fired_at"));
            let is_over = incident["resolved_at"].is_string();
            let before = known.get(&key).copied();
            still.insert(key, is_over);
            if before == Some(is_over) || is_first && is_over {
                continue;
            }
            if alerts.output == OutputForm::Json {
                println!("{incident}");
                continue;
            }
            let at = if is_over { text("resolved_at") } else { text("fired_at") };
            println!(
                "{at} {:<8} {} {} {} {}",
                state(incident),
                incident["labels"]["alertname"].as_str().unwrap_or_default(),
                pairs(&incident["labels"]),
                pairs(&incident["values"]),
                incident["annotations"]["summary"].as_str().unwrap_or_default(),
            );
        }
        (known, is_first) = (still, false);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
