//! The real `logq` binary as a child process: started on free ports, watched, stopped.
//!
//! The addresses come from the ready block on its stdout, whose lines are `ingest   http://…` and `query    http://…`.
//! Its log goes to a file beside the data. A server that is dropped without `stop` is killed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::Usage;

/// Every key that differs from the embedded defaults: what is measured is what users get.
const CONFIG: &str = "\
[collector]
http = \"127.0.0.1:0\"
grpc = \"127.0.0.1:0\"

[query]
http = \"127.0.0.1:0\"

[alerting]
http = \"127.0.0.1:0\"
";

const FIXED_PORTS: std::ops::Range<u16> = 21_000..32_000;
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Where a binary and a data folder are.
#[derive(Clone, Debug)]
pub(crate) struct Installation {
    logq: PathBuf,
    home: PathBuf,
}

impl Installation {
    /// `logq` is the binary, by default the one beside this program; `home` gets the config, the log and `data/`.
    ///
    /// # Errors
    /// When the binary is not there, or the folder cannot be made.
    pub(crate) fn new(logq: Option<&Path>, home: &Path) -> anyhow::Result<Self> {
        let logq = match logq {
            Some(path) => path.to_owned(),
            None => std::env::current_exe()
                .context("cannot tell where this program is")?
                .with_file_name("logq"),
        };
        if !logq.is_file() {
            bail!(
                "no server at {}: build it with `cargo build --release`, or name it with --logq",
                logq.display()
            );
        }
        fs::create_dir_all(home).with_context(|| format!("cannot create {}", home.display()))?;
        fs::write(home.join("logq.toml"), CONFIG).context("cannot write the server's config")?;
        Ok(Self { logq, home: home.to_owned() })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// The server's binary.
    pub(crate) fn binary(&self) -> &Path {
        &self.logq
    }

    /// Where the server's log goes, that of all its lives.
    pub(crate) fn log(&self) -> PathBuf {
        self.home.join("server.log")
    }

    /// From the next start on the server has the same two ports in every life. They are taken from below the range
    /// that connections get theirs from, so that none is in the way of a new start.
    ///
    /// # Errors
    /// When no ports are free, or the config cannot be written.
    pub(crate) fn fix_ports(&self) -> anyhow::Result<()> {
        let mut free = FIXED_PORTS.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let mut config = CONFIG.to_owned();
        for _ in 0..3 {
            let port = free.next().context("no port is free")?;
            config = config.replacen("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1);
        }
        fs::write(self.home.join("logq.toml"), config).context("cannot write the server's config")
    }

    /// Starts the server and waits for its ready block.
    ///
    /// # Errors
    /// When it does not start, ends, or says nothing for a minute; the message names its log.
    pub(crate) fn start(&self) -> anyhow::Result<Server> {
        // From here on the child is killed when something fails.
        let (mut server, stdout) = self.spawn()?;
        let addresses = read_ready_block(stdout).with_context(|| {
            format!("the server did not become ready, see {}", self.log().display())
        })?;
        (server.ingest, server.query) = addresses;
        Ok(server)
    }

    /// Starts the server and kills it after that time, ready or not.
    ///
    /// # Errors
    /// When it does not start, or has ended by itself.
    pub(crate) fn start_and_kill(&self, after: Duration) -> anyhow::Result<()> {
        let (mut server, _stdout) = self.spawn()?;
        std::thread::sleep(after);
        if let Some(status) = server.child.try_wait()? {
            bail!("the server ended with {status}, see {}", self.log().display());
        }
        server.kill();
        Ok(())
    }

    fn spawn(&self) -> anyhow::Result<(Server, ChildStdout)> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .context("cannot write the server's log")?;
        let started = Instant::now();
        let mut child = Command::new(&self.logq)
            .arg("up")
            .arg("--data")
            .arg(self.data())
            .arg("--config")
            .arg(self.home.join("logq.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.logq.display()))?;
        let stdout = child.stdout.take().expect("stdout was asked for");
        Ok((Server { child, started, ingest: String::new(), query: String::new() }, stdout))
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// When it was spawned.
    pub(crate) started: Instant,
    /// `http://host:port` that takes batches.
    pub(crate) ingest: String,
    /// `http://host:port` that answers queries.
    pub(crate) query: String,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// CPU time and memory up to now.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.child.id())
    }

    /// SIGTERM, and waits for the exit.
    ///
    /// # Errors
    /// When it exits with a failure, or not at all.
    pub(crate) fn stop(mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .context("cannot signal the server")?;
        loop {
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    bail!("the server ended with {status} after SIGTERM");
                }
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > STOP_TIMEOUT {
                bail!("the server still runs {} s after SIGTERM", STOP_TIMEOUT.as_secs());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only for a child that has been waited for, which is then gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The addresses for ingest and query. Reads on in the background, so that the server never blocks on its stdout.
fn read_ready_block(stdout: ChildStdout) -> anyhow::Result<(String, String)> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody listens any more once the block is complete.
            let _ = sender.send(line);
        }
    });
    let deadline = Instant::now() + READY_TIMEOUT;
    let mut block = ReadyBlock::default();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = receiver
            .recv_timeout(left)
            .context("its stdout ended, or was silent, before both addresses")?;
        if let Some(addresses) = block.add(&line) {
            return Ok(addresses);
        }
    }
}

#[derive(Debug, Default)]
struct ReadyBlock {
    ingest: Option<String>,
    query: Option<String>,
}

impl ReadyBlock {
    fn add(&mut self, line: &str) -> Option<(String, String)> {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(address)) = (words.next(), words.next()) {
            match name {
                "ingest" => self.ingest = Some(address.to_owned()),
                "query" => self.query = Some(address.to_owned()),
                _ => {}
            }
        }
        self.ingest.clone().zip(self.query.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_by_their_first_two_words() {
        let mut block = ReadyBlock::default();
        assert_eq!(block.add("logq is ready"), None);
        assert_eq!(block.add("  ingest   http://127.0.0.1:1  (OTLP, JSON lines)"), None);
        assert_eq!(block.add(""), None);
        let both = block.add("  query    http://127.0.0.1:2");
        assert_eq!(both, Some(("http://127.0.0.1:1".to_owned(), "http://127.0.0.1:2".to_owned())));
    }

    #[test]
    fn a_missing_binary_is_named() {
        let home = tempfile::tempdir().unwrap();
        let error =
            Installation::new(Some(Path::new("/nonexistent/logq")), home.path()).unwrap_err();
        assert!(error.to_string().contains("cargo build --release"), "{error}");
    }
}
