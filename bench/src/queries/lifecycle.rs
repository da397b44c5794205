//! The two rows of the table that are about time passing: how soon a started server answers, and how soon an
//! acknowledged record is found.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jiff::{Timestamp, ToSpan};
use serde_json::json;

use super::client::{QueryClient, Request};
use super::questions::{self, RUNS, Target, WARM_UPS};
use super::truth::Truth;
use super::verify;
use crate::samples::Samples;
use crate::server::{Installation, Server};

pub(crate) const START_NAME: &str = "start after a clean stop to the first answer";
pub(crate) const START_TARGET: Target = Target { at_most_ms: 100.0, then_ms: None };
/// Fewer runs than queries have: each costs a stop and a start.
const START_RUNS: usize = 7;

pub(crate) const SEARCHABLE_NAME: &str = "acknowledged to searchable";
pub(crate) const SEARCHABLE_TARGET: Target = Target { at_most_ms: 20.0, then_ms: Some(5.0) };
const SEARCHABLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Stops the server with SIGTERM and starts it again, from the spawn to the last byte of the newest 100 of everything.
///
/// # Errors
/// When it does not stop or start, or answers wrongly.
pub(crate) async fn start_to_first_answer(
    installation: &Installation,
    mut server: Server,
    truth: &Truth,
) -> anyhow::Result<(Server, Samples)> {
    let mut samples = Vec::with_capacity(START_RUNS);
    for _ in 0..START_RUNS {
        server.stop()?;
        server = installation.start()?;
        let answer = QueryClient::new(&server.query)?.ask(&questions::newest()).await?;
        samples.push(server.started.elapsed());
        verify::newest(&answer.rows, &truth.newest)?;
    }
    Ok((server, Samples::new(samples)))
}

/// Sends single records of now, and asks for each by its correlation id as soon as it is acknowledged, again and
/// again, until an answer has it. So a sample holds at least one whole query.
///
/// # Errors
/// When a record is not acknowledged, or not found within ten seconds.
pub(crate) async fn acknowledged_to_searchable(server: &Server) -> anyhow::Result<Samples> {
    let sender = crate::http::client();
    let client = QueryClient::new(&server.query)?;
    let mut samples = Vec::with_capacity(RUNS);
    for run in 0..WARM_UPS + RUNS {
        let now = Timestamp::now();
        let correlation_id = format!("searchable-{}-{run}", now.as_nanosecond());
        let line = json!({
            "timestamp": now.to_string(),
            "level": "info",
            "service": "bench",
            "correlation_id": correlation_id,
            "message": "is this record searchable yet",
        });
        let request = Request {
            query: format!("correlation:{correlation_id}"),
            since: (now - 1.hour()).to_string(),
            until: (now + 1.hour()).to_string(),
            limit: Some(10),
        };
        let response = sender
            .post(format!("{}/ingest/jsonl", server.ingest))
            .body(format!("{line}\n"))
            .send()
            .await?;
        response.error_for_status().context("a single record was refused")?;
        let acknowledged = Instant::now();
        loop {
            let answer = client.ask(&request).await?;
            match answer.rows.len() {
                0 if acknowledged.elapsed() > SEARCHABLE_TIMEOUT => {
                    bail!("{line} was acknowledged and is not found")
                }
                0 => {}
                1 => break,
                many => bail!("{line} was sent once and is there {many} times"),
            }
        }
        if run >= WARM_UPS {
            samples.push(acknowledged.elapsed());
        }
    }
    Ok(Samples::new(samples))
}
