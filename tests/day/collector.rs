//! The real collector behind the proxy, and questions to its store.

use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

use super::proxy::Proxy;
use super::server::{Home, LOGQ, Output, Server, run, without_settings};
use super::timeline::Timeline;

/// Small flushes, so that kills meet flushes and merges too.
const CONFIG: &str = "[collector]\nflush_size = \"2 MiB\"\nflush_age = \"2s\"\n";
/// Ids of one page of a listing.
const PAGE: u64 = 50_000;

#[derive(Debug)]
pub(crate) struct Collector<'a> {
    home: Home,
    proxy: &'a Proxy,
    server: Mutex<Option<Server>>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(proxy: &'a Proxy) -> Self {
        Self { home: Home::with_config(CONFIG), proxy, server: Mutex::default() }
    }

    pub(crate) fn start(&self, timeline: &Timeline) {
        let server = self.home.start();
        let addr = server.ingest.trim_start_matches("http://").parse().unwrap();
        self.proxy.lead_to(Some(addr));
        *self.server.lock().unwrap() = Some(server);
        timeline.note("collector", "is ready");
    }

    /// kill -9.
    pub(crate) fn kill(&self, timeline: &Timeline) {
        let Some(server) = self.server.lock().unwrap().take() else { return };
        timeline.note("collector", "kill -9");
        self.proxy.lead_to(None);
        server.kill();
    }

    /// How many records match; `None` while it does not answer.
    pub(crate) fn count(&self, query: &str) -> Option<u64> {
        let rows = self.rows(&format!("{query} | stats count() as found"))?;
        Some(rows.first().map_or(0, |row| row["found"].as_u64().unwrap()))
    }

    /// What a query finds, `None` while it does not answer.
    pub(crate) fn rows(&self, query: &str) -> Option<Vec<Value>> {
        let addr = self.server.lock().unwrap().as_ref()?.query.clone();
        let mut command = Command::new(LOGQ);
        without_settings(&mut command).env("LOGQ_ADDR", addr).args(["search", "--since", "1d"]);
        command.args(["--until", "2262-01-01", "-n", "1000000", "-o", "json", "--", query]);
        let output = run(&mut command, b"");
        assert_ne!(output.code, 2, "{output:?}");
        (output.code <= 1).then(|| output.json_lines())
    }

    /// Records that are no line of a log, nor the agent's own; `None` while it does not answer.
    pub(crate) fn fragments(&self) -> Option<Vec<String>> {
        let rows = self.rows("NOT id:* NOT service:logq-agent | fields message")?;
        let text = |row: &Value| row["message"].as_str().unwrap_or_default().to_owned();
        Some(rows.iter().map(text).collect())
    }

    /// All ids below `end`, as often as they are there.
    pub(crate) fn ids(&self, end: u64) -> Vec<u64> {
        let mut ids = Vec::new();
        for from in (0..end).step_by(PAGE as usize) {
            let query = format!("id:[{from} TO {}] | fields id", from + PAGE - 1);
            let rows = self.rows(&query).expect("the collector answers");
            ids.extend(rows.iter().map(|row| {
                let id = row["id"].as_u64().or_else(|| row["attributes"]["id"].as_u64());
                id.unwrap_or_else(|| panic!("{row}"))
            }));
        }
        ids
    }

    /// `logq audit`.
    pub(crate) fn audit(&self) -> Output {
        let server = self.server.lock().unwrap();
        server.as_ref().unwrap().logq(&["audit", "-o", "json"])
    }
}
