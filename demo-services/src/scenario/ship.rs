//! Ships the logs of a scenario, as anybody could: lines of JSON, by POST.

use std::path::Path;

use anyhow::Context as _;

use crate::kit::client::http_client;

/// Of one request; the collector takes more.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Sends every line of the folder's logs to `INGEST/ingest/jsonl`; gives how many there were.
///
/// # Errors
/// A log cannot be read, or the collector does not take it.
pub(super) async fn ship(logs: &Path, ingest: &str) -> anyhow::Result<u64> {
    let client = http_client();
    let base = if ingest.contains("://") { ingest.to_owned() } else { format!("http://{ingest}") };
    let url = format!("{}/ingest/jsonl", base.trim_end_matches('/'));
    let mut lines = 0;
    for entry in std::fs::read_dir(logs)? {
        let text = std::fs::read_to_string(entry?.path())?;
        let mut body = String::new();
        for line in text.lines().chain([""]) {
            if body.len() + line.len() > BODY_BYTES_MAX || (line.is_empty() && !body.is_empty()) {
                let sent = client.post(&url).body(std::mem::take(&mut body)).send().await;
                let sent = sent.and_then(reqwest::Response::error_for_status);
                sent.with_context(|| format!("{url} does not take the log"))?;
            }
            if !line.is_empty() {
                body.push_str(line);
                body.push('\n');
                lines += 1;
            }
        }
    }
    Ok(lines)
}
