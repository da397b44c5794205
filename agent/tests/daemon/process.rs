//! The real binary as users run it: a folder with configuration, logs and state, the agent as a process, the
//! commands beside it.
//!
//! An agent that is dropped is killed. Nothing here sleeps to synchronise: the ready block is read line by line,
//! ends of processes are waited for, and conditions are polled up to a deadline.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_logq-agent");
/// Longer than anything takes on a machine that is busy with other things.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

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

/// A folder with everything that belongs to an agent.
#[derive(Debug)]
pub(crate) struct Home {
    folder: TempDir,
    /// What the agent's command line begins with, if not with the binary.
    pub(crate) launcher: Vec<String>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        Self { folder, launcher: Vec::new() }
    }

    /// One whose agent reads every file of `logs` from its beginning, line by line.
    pub(crate) fn reading_logs(collector: &str, keys: &str) -> Self {
        let home = Self::new();
        home.configure(&[collector], keys, &home.logs_source(""));
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Writes `agent.toml`: small batches that do not wait long, `keys` of the table, and sources.
    pub(crate) fn configure(&self, collectors: &[&str], keys: &str, sources: &str) {
        let mut text = "[agent]\n".to_owned();
        let state = format!("{:?}", self.state());
        let collectors = format!("{collectors:?}");
        for (key, value) in [
            ("state", state.as_str()),
            ("collector", &collectors),
            ("http", "\"127.0.0.1:0\""),
            ("batch_age", "\"20ms\""),
            ("batch_records", "100"),
            ("heartbeat_interval", "\"1s\""),
            ("drain", "\"2s\""),
        ] {
            if !keys.lines().any(|line| line.starts_with(&format!("{key} "))) {
                text.push_str(&format!("{key} = {value}\n"));
            }
        }
        std::fs::write(self.path("agent.toml"), format!("{text}{keys}\n{sources}\n")).unwrap();
    }

    /// A source for `logs/*.log`, with other keys of it.
    pub(crate) fn logs_source(&self, keys: &str) -> String {
        let format = if keys.contains("format ") { "" } else { "format = \"raw\"\n" };
        format!(
            "[[agent.sources]]\nkind = \"file\"\nname = \"logs\"\ninclude = [\"{}/logs/*.log\"]\nstart_at = \"beginning\"\nscan_interval = \"1s\"\n{format}{keys}\n",
            self.folder.path().display()
        )
    }

    /// Appends to a file of `logs`.
    pub(crate) fn log(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path("logs").join(name);
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    /// The binary with this configuration.
    pub(crate) fn command(&self) -> Command {
        let mut command = match self.launcher.split_first() {
            None => Command::new(BINARY),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(BINARY);
                command
            }
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LOGQ_") {
                command.env_remove(name);
            }
        }
        command.arg("--config").arg(self.path("agent.toml")).stdin(Stdio::null());
        command
    }

    /// Runs a command of the binary to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command().args(arguments).output().unwrap();
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The lines of `dead-letters list`.
    pub(crate) fn dead_letters(&self) -> Vec<String> {
        let output = self.run(&["dead-letters", "list"]);
        assert_eq!(output.code, 0, "{output:?}");
        output.stdout.lines().map(str::to_owned).collect()
    }

    /// Starts the agent and waits until it is ready.
    pub(crate) fn start(&self) -> Agent {
        self.start_as(&mut self.command())
    }

    pub(crate) fn start_as(&self, command: &mut Command) -> Agent {
        let log = self.path("agent-log");
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut agent = Agent { child: Some(child), log, id: String::new(), http: String::new() };
        let block = read_ready_block(stdout);
        let said = |name: &str| {
            let mut lines = block.lines().map(str::split_whitespace);
            let word = lines.find_map(|mut words| (words.next()? == name).then(|| words.next()));
            word.flatten().unwrap_or_else(|| panic!("no {name} in {block:?}\n{}", agent.log()))
        };
        let (id, status) = (said("agent").to_owned(), said("status").to_owned());
        agent.http = status.trim_start_matches("http://").trim_end_matches("/status").to_owned();
        agent.id = id;
        agent
    }
}

/// Numbered lines.
pub(crate) fn lines(range: impl IntoIterator<Item = usize>) -> String {
    range.into_iter().map(|number| format!("line {number}\n")).collect()
}

/// What these lines say.
pub(crate) fn messages(range: impl IntoIterator<Item = usize>) -> impl Iterator<Item = String> {
    range.into_iter().map(|number| format!("line {number}"))
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The lines up to the one with the status page. Reads on in the background, so that the agent never blocks.
fn read_ready_block(stdout: ChildStdout) -> String {
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
        if line.trim_start().starts_with("status ") {
            break;
        }
    }
    block
}

/// A running agent.
#[derive(Debug)]
pub(crate) struct Agent {
    child: Option<Child>,
    log: PathBuf,
    /// As it names itself.
    pub(crate) id: String,
    http: String,
}

impl Agent {
    fn child(&mut self) -> &mut Child {
        self.child.as_mut().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn stdin(&mut self) -> std::process::ChildStdin {
        self.child().stdin.take().unwrap()
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child().kill().unwrap();
        self.child().wait().unwrap();
        self.child = None;
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let status = eventually("the agent ends", || self.child().try_wait().unwrap());
        self.child = None;
        status
    }

    /// SIGTERM; it has to end by itself and well.
    pub(crate) fn stop(mut self) {
        self.signal("-TERM");
        let status = self.ended();
        assert!(status.success(), "{status}\n{}", self.log());
    }

    /// What it logged, in all its lives.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn get(&self, path: &str) -> String {
        get(&self.http, path)
    }

    /// `/status`.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.get("/status")).unwrap()
    }

    /// Waits until everything that was read is settled, and the account of it adds up.
    pub(crate) fn settled(&self, read: u64) -> Value {
        let started = Instant::now();
        loop {
            let status = self.status();
            let ledger = &status["ledger"];
            assert_adds_up(ledger);
            let open = ledger["spooled"].as_u64().unwrap() + ledger["held"].as_u64().unwrap();
            let read_now = ledger["read"].as_u64().unwrap();
            assert!(read_now <= read, "more than {read} are read: {ledger}");
            if read_now == read && open == 0 {
                return status;
            }
            assert!(started.elapsed() < DEADLINE, "{read} records are not settled: {status:#}");
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// The most memory that it ever had resident, in bytes.
    pub(crate) fn memory_peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Both fail only for a child that has been waited for, which is then gone.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("log of the agent:\n{}", self.log());
        }
    }
}

/// The account of an agent has to add up at every moment.
pub(crate) fn assert_adds_up(ledger: &Value) {
    let number = |name: &str| ledger[name].as_u64().unwrap();
    let dropped: u64 =
        ledger["dropped"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    let there = ["filtered", "dead_lettered", "held", "spooled", "acknowledged"];
    let there: u64 = there.into_iter().map(number).sum::<u64>() + dropped;
    assert_eq!(number("read") + number("reported"), there, "{ledger}");
}

fn get(addr: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Copies a folder with everything that belongs to its files.
pub(crate) fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// Says that something is not tested. Goes around the test runner, which shows nothing of a test that passes. In CI
/// nothing may be skipped.
pub(crate) fn skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}, and CI may skip nothing");
}
