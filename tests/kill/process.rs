//! A real `logq up` that can be killed, and what is sent to it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) const LOGQ: &str = env!("CARGO_BIN_EXE_logq");
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A small generator, so that a seed tells the whole run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(name: &str) -> Self {
        let seed = std::env::var("LOGQ_KILL_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or_else(|| {
                let now =
                    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
                now.as_nanos() as u64 % 1_000_000_007
            });
        eprintln!("{name}: LOGQ_KILL_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

pub(crate) fn rounds(default: usize) -> usize {
    std::env::var("LOGQ_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}

/// A running `logq up`; killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) ingest: String,
    pub(crate) query: String,
}

impl Server {
    /// Starts on the data folder; on the given ingest port if it is to be found again under the same address.
    pub(crate) fn start(folder: &Path, ingest_port: u16, config: &str) -> Self {
        let started = Instant::now();
        loop {
            if let Some(server) = Self::spawn(&mut Self::command(folder, ingest_port, config)) {
                return server;
            }
            // The port of the killed process may be busy for a moment.
            assert!(started.elapsed() < DEADLINE, "the server does not start");
        }
    }

    /// What starts it.
    pub(crate) fn command(folder: &Path, ingest_port: u16, config: &str) -> Command {
        let file = folder.join("logq.toml");
        let text = format!(
            "[query]\nhttp = \"127.0.0.1:0\"\n[collector]\nhttp = \"127.0.0.1:{ingest_port}\"\ngrpc = \"127.0.0.1:0\"\n{config}\n[alerting]\nhttp = \"127.0.0.1:0\"\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(LOGQ);
        command.args(["up", "--data"]).arg(folder.join("data")).arg("--config").arg(&file);
        command.env("LOGQ_LOG", "error");
        command
    }

    /// Starts it and waits until it is ready; `None` if it ends before.
    pub(crate) fn spawn(command: &mut Command) -> Option<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut text = String::new();
        let mut buffer = [0; 512];
        let addr = |text: &str, name: &str| {
            text.lines().find_map(|line| {
                let mut words = line.split_whitespace();
                (words.next() == Some(name)).then(|| words.next().unwrap_or_default().to_owned())
            })
        };
        // The block comes at once; its last line says how to stop.
        while !text.contains("Ctrl-C") {
            match stdout.read(&mut buffer).unwrap() {
                0 => break,
                read => text.push_str(&String::from_utf8_lossy(&buffer[..read])),
            }
        }
        match (addr(&text, "ingest"), addr(&text, "query")) {
            (Some(ingest), Some(query)) => Some(Self { child, ingest, query }),
            _ => {
                let _ = child.wait();
                None
            }
        }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn terminate(&mut self) -> i32 {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    /// Ids of all records, each of which must be there once.
    pub(crate) fn ids(&self) -> BTreeSet<u64> {
        let output =
            logq(&["*", "--addr", &self.query, "--since", "100y", "-n", "1000000", "-o", "json"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let mut ids = BTreeSet::new();
        for line in text.lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let id =
                record["attributes"]["id"].as_u64().unwrap_or_else(|| panic!("no id in {line}"));
            assert!(ids.insert(id), "record {id} is there twice");
        }
        ids
    }

    pub(crate) fn accepted(&self) -> u64 {
        let output = logq(&["audit", "--addr", &self.ingest, "-o", "json"]);
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        answer["ledger"]["accepted"].as_u64().unwrap_or(0)
    }

    pub(crate) fn assert_adds_up(&self) {
        let output = logq(&["audit", "--addr", &self.ingest]);
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> std::io::Result<u16> {
        self.post_with(path, &[], body)
    }

    /// `POST` with headers; an error if nobody answers.
    pub(crate) fn post_with(
        &self,
        path: &str,
        headers: &[(&str, String)],
        body: &str,
    ) -> std::io::Result<u16> {
        let addr = self.ingest.trim_start_matches("http://");
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let headers: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: logq\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn logq(arguments: &[&str]) -> Output {
    Command::new(LOGQ).args(arguments).output().unwrap()
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// JSON lines with ids from a range, a second apart from a midnight on: small flushes are of one day, so that
/// they are merged, and large shipments spread over several.
pub(crate) fn lines(ids: std::ops::Range<u64>) -> String {
    ids.map(|id| {
        let (seconds, level) = (1_700_006_400 + id, ["info", "warn", "error"][id as usize % 3]);
        format!(
            "{{\"ts\":{seconds},\"level\":\"{level}\",\"service\":\"s{}\",\"correlation_id\":\"c{}\",\"msg\":\"record {id} of the kill test\",\"id\":{id}}}\n",
            id % 7,
            id / 5
        )
    })
    .collect()
}

/// Waits until `condition` holds; a running test never waits longer than the deadline.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "{what} does not happen");
        std::thread::yield_now();
    }
}
