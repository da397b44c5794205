//! The agent as a process with a folder of its own, and what a collector got from it.
//!
//! Nothing here sleeps to synchronise: the ready block is read line by line and conditions are polled up to a deadline.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use record::{Record, Signal, Timestamp};
use serde_json::Value;
use tempfile::TempDir;
use wire::{Format, Limits};

use crate::server::{Server, decoded};

/// Longer than anything takes on a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Where nobody listens.
pub(crate) const NOWHERE: &str = "http://127.0.0.1:1";

/// For plain HTTP.
pub(crate) fn http() -> reqwest::Client {
    let client = reqwest::Client::builder().tls_backend_preconfigured(service::tls::no_trust());
    client.build().unwrap()
}

/// Waits until the condition gives something.
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < DEADLINE, "{what}: not within {} s", DEADLINE.as_secs());
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Configuration, state and log of one agent.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration: small batches, the keys of the table, and sources.
    pub(crate) fn configure(&self, collector: &str, keys: &str, sources: &str) {
        let state = self.path("state");
        let text = format!(
            "[agent]\nstate = {state:?}\ncollector = [{collector:?}]\nhttp = \"127.0.0.1:0\"\nbatch_age = \"10ms\"\n\
             drain = \"0s\"\n{keys}\n{sources}\n"
        );
        std::fs::write(self.path("agent.toml"), text).unwrap();
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logq-agent"));
        command.arg("--config").arg(self.path("agent.toml")).stdin(Stdio::null());
        command
    }

    pub(crate) fn start(&self) -> Agent {
        self.start_as(&mut self.command())
    }

    /// Starts the agent and waits until it is ready.
    pub(crate) fn start_as(&self, command: &mut Command) -> Agent {
        let log = self.path("agent.log");
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let http = lines.find_map(|line| {
            let line = line.unwrap();
            Some(line.trim().strip_prefix("status")?.trim().to_owned())
        });
        let log = || std::fs::read_to_string(&log).unwrap_or_default();
        let status = http.unwrap_or_else(|| panic!("the agent is not ready\n{}", log()));
        Agent { child, status }
    }
}

/// A running agent; killed when dropped.
pub(crate) struct Agent {
    child: Child,
    status: String,
}

impl Agent {
    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; it has to end well.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    /// SIGHUP.
    pub(crate) fn reload(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }

    pub(crate) async fn status(&self) -> Value {
        let answer = http().get(&self.status).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// Asks for the status until it gives something.
    pub(crate) async fn shows<T>(&self, what: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            let status = self.status().await;
            if let Some(found) = find(&status) {
                return found;
            }
            assert!(started.elapsed() < DEADLINE, "{what}: {status:#}");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail only for a child that has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything that a store would have, without what the agent says of itself.
pub(crate) fn records(server: &Server) -> Vec<Record> {
    let all = all_records(server, Signal::Logs);
    all.into_iter().filter(|record| record.service.as_deref() != Some("logq-agent")).collect()
}

/// Every span that a store would have.
pub(crate) fn spans(server: &Server) -> Vec<Record> {
    all_records(server, Signal::Spans)
}

/// What the agent said of itself, by event.
pub(crate) fn reports(server: &Server, event: &str) -> usize {
    let all = all_records(server, Signal::Logs);
    all.iter().filter(|record| record.event_name.as_deref() == Some(event)).count()
}

fn all_records(server: &Server, signal: Signal) -> Vec<Record> {
    let mut stored = BTreeMap::new();
    for request in server.requests() {
        stored.entry(request.name.sequence).or_insert((request.path, request.body));
    }
    let mut records = Vec::new();
    for (path, body) in stored.values() {
        let sent = if path == "/v1/traces" { Signal::Spans } else { Signal::Logs };
        if sent == signal {
            let format = Format::otlp_protobuf(signal);
            let take = &mut |record: &record::RecordRef<'_>| records.push(record.to_record());
            wire::decode(format, &decoded(body), Timestamp(0), &Limits::default(), take).unwrap();
        }
    }
    records
}

/// How often each message arrived.
pub(crate) fn messages(server: &Server) -> BTreeMap<String, usize> {
    let mut messages = BTreeMap::new();
    for record in records(server) {
        *messages.entry(record.message).or_default() += 1;
    }
    messages
}
