//! The real binary as users run it: a data folder of its own, free ports, the commands beside it.
//!
//! A server that is dropped is killed. Nothing here sleeps to synchronise: the ready block is read line by line, ends
//! of processes are waited for, and conditions are polled up to a deadline.

#![allow(dead_code, reason = "each test binary uses its own part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod clock;
pub(crate) mod grpc;
mod http;
pub(crate) mod requests;
pub(crate) mod small_disk;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::str::FromStr;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use http::{Answer, Http};

/// The binary that was built for these tests.
pub(crate) const LOGQ: &str = env!("CARGO_BIN_EXE_logq");
/// Longer than anything takes on a machine that is busy with other things.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

const POLL_INTERVAL: Duration = Duration::from_millis(5);

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

/// A folder with a configuration and, once a server ran, its data and its log.
#[derive(Debug)]
pub(crate) struct Home {
    folder: Arc<TempDir>,
    /// Where the data is, if not in the folder.
    data: Option<PathBuf>,
    /// What the server's command line begins with, if not with the binary.
    launcher: Vec<String>,
}

impl Home {
    /// The embedded defaults, but for the ports.
    pub(crate) fn new() -> Self {
        Self::with_config("")
    }

    /// With keys of `logq.toml`.
    pub(crate) fn with_config(toml: &str) -> Self {
        let home = Self {
            folder: Arc::new(tempfile::tempdir().unwrap()),
            data: None,
            launcher: Vec::new(),
        };
        home.write("logq.toml", toml);
        home
    }

    /// Servers are started by `launcher`, and keep their data in `data`.
    pub(crate) fn launched_by(mut self, launcher: Vec<String>, data: PathBuf) -> Self {
        (self.launcher, self.data) = (launcher, Some(data));
        self
    }

    /// The server's data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| self.folder.path().join("data"))
    }

    /// Puts a file beside the data.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// `logq up` on free ports.
    pub(crate) fn up(&self) -> Command {
        let mut command = match self.launcher.split_first() {
            None => Command::new(LOGQ),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(LOGQ);
                command
            }
        };
        without_settings(&mut command)
            .args(["up", "--data"])
            .arg(self.data())
            .arg("--config")
            .arg(self.folder.path().join("logq.toml"))
            .env("LOGQ__COLLECTOR__HTTP", "127.0.0.1:0")
            .env("LOGQ__COLLECTOR__GRPC", "127.0.0.1:0")
            .env("LOGQ__QUERY__HTTP", "127.0.0.1:0")
            .env("LOGQ__ALERTING__HTTP", "127.0.0.1:0")
            .stdin(Stdio::null());
        command
    }

    /// Starts a server and waits for its ready block.
    pub(crate) fn start(&self) -> Server {
        self.start_by(self.up(), "stop ")
    }

    /// Starts a server by a command that began as [`Self::up`], and waits for the line of its ready block in which
    /// `last` is.
    pub(crate) fn start_by(&self, mut command: Command, last: &str) -> Server {
        let log = self.folder.path().join("server.log");
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut server = Server {
            child,
            log,
            _folder: Arc::clone(&self.folder),
            ready_block: String::new(),
            ingest: String::new(),
            grpc: String::new(),
            query: String::new(),
            alerts: String::new(),
            http: Http::new(),
        };
        server.ready_block = read_ready_block(stdout, last);
        let address = |name: &str| {
            let mut lines = server.ready_block.lines().map(str::split_whitespace);
            let address = lines.find_map(|mut words| (words.next()? == name).then(|| words.next()));
            let Some(Some(address)) = address else {
                panic!("no {name} address in {:?}\n{}", server.ready_block, server.log())
            };
            address.to_owned()
        };
        (server.ingest, server.grpc, server.query, server.alerts) =
            (address("ingest"), address("grpc"), address("query"), address("alerts"));
        server
    }
}

/// The lines up to the one in which `last` is. Reads on in the background, so that the server never blocks.
fn read_ready_block(stdout: ChildStdout, last: &str) -> String {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody listens any more once the block is complete.
            let _ = sender.send(line);
        }
    });
    let mut block = String::new();
    while let Ok(line) = lines.recv_timeout(DEADLINE) {
        block.push_str(&line);
        block.push('\n');
        if line.contains(last) {
            break;
        }
    }
    block
}

/// A running `logq up`.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    _folder: Arc<TempDir>,
    /// What it printed when it was ready.
    pub(crate) ready_block: String,
    /// `http://host:port` that takes records.
    pub(crate) ingest: String,
    /// `http://host:port` that takes records over gRPC.
    pub(crate) grpc: String,
    /// `http://host:port` that answers queries.
    pub(crate) query: String,
    /// `http://host:port` of alerting.
    pub(crate) alerts: String,
    pub(crate) http: Http,
}

impl Server {
    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the server has to end by itself and well.
    pub(crate) fn stop(mut self) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = eventually("the server ends after SIGTERM", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}\n{}", self.log());
    }

    /// Waits until it ends, however it does.
    pub(crate) fn wait_for_end(&mut self) {
        eventually("the server ends", || self.child.try_wait().unwrap());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The most memory that it ever had resident, in bytes.
    pub(crate) fn memory_peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }

    /// Runs a command of the binary against this server.
    pub(crate) fn logq(&self, arguments: &[&str]) -> Output {
        self.logq_with_input(arguments, b"")
    }

    /// The same, with something on its standard input.
    pub(crate) fn logq_with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new(LOGQ);
        without_settings(&mut command)
            .args(arguments)
            .env("LOGQ_ADDR", &self.query)
            .env("LOGQ_INGEST_ADDR", &self.ingest);
        run(&mut command, input)
    }

    /// Starts a command of the binary against this server, its lines to be read as they come.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(LOGQ);
        without_settings(&mut command)
            .args(arguments)
            .env("LOGQ_ADDR", &self.query)
            .env("LOGQ_INGEST_ADDR", &self.ingest)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// All records or rows that a query finds, whenever they are, by `logq -o json`.
    pub(crate) fn search(&self, query: &str) -> Vec<Value> {
        let output = self.logq(&[
            "search",
            "--since",
            "400y",
            "--until",
            "2262-01-01",
            "-n",
            "100000",
            "-o",
            "json",
            "--",
            query,
        ]);
        assert!(output.code <= 1, "{output:?}");
        output.json_lines()
    }

    /// The ledger, which has to add up.
    pub(crate) fn ledger(&self) -> Value {
        let output = self.logq(&["audit", "-o", "json"]);
        assert_eq!(output.code, 0, "{output:?}");
        output.json_lines().swap_remove(0)["ledger"].take()
    }

    /// `POST /ingest/jsonl`.
    pub(crate) fn jsonl(&self, body: impl Into<Vec<u8>>) -> Answer {
        self.http.post(&format!("{}/ingest/jsonl", self.ingest), &[], body)
    }

    /// `POST` to the ingest port.
    pub(crate) fn ingest(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        self.http.post(&format!("{}{path}", self.ingest), headers, body)
    }

    /// Everything into segments.
    pub(crate) fn flush(&self) -> Answer {
        self.ingest("/api/v1/flush", &[], "")
    }

    /// Requests from another thread.
    pub(crate) fn another_client(&self) -> Http {
        Http::new()
    }

    /// The helper for other requests.
    pub(crate) fn http(&self) -> &Http {
        &self.http
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only for a child that has been waited for, which is then gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the server:\n{}", self.log());
        }
    }
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let lines = self.stdout.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs a command of the binary without a server.
pub(crate) fn logq(arguments: &[&str]) -> Output {
    run(without_settings(Command::new(LOGQ).args(arguments)), b"")
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A command that ends early does not read all of it.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Takes away what the environment of the tests says to `logq`.
pub(crate) fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LOGQ_") {
            command.env_remove(name);
        }
    }
    // Nor is it meant for servers that the user has named.
    command.env("LOGQ_CONTEXTS", "/dev/null")
}

/// Logs of real systems; `None`, loudly, where they or Python are missing. In CI that is a failure.
pub(crate) fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let corpus = std::env::var_os("LOGQ_CORPUS").map_or(beside, PathBuf::from);
    let python = Command::new("python3").arg("--version").output();
    if corpus.is_dir() && python.is_ok_and(|python| python.status.success()) {
        return Some(corpus);
    }
    let missing = format!("the corpus at {} or python3 is missing", corpus.display());
    skipped(&missing);
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}, and CI may skip nothing");
    None
}

/// Says that something is not tested.
pub(crate) fn skipped(reason: &str) {
    tell(&format!("SKIPPED: {reason}"));
}

/// A number of a test that the environment may set.
pub(crate) fn setting<T: FromStr>(name: &str, default: T) -> T {
    let set = std::env::var(name).ok();
    set.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// Goes around the test runner, which shows nothing of a test that passes.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
