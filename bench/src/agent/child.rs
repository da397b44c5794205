//! The programs that are measured, as child processes: `logq-agent`, and rsyslog.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::process::Usage;

const STOP_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How often an agent is asked how far it is; each question costs it some CPU, which is counted.
const STATUS_INTERVAL: Duration = Duration::from_millis(20);

/// A process that is measured. Killed when it is dropped.
#[derive(Debug)]
pub(super) struct Measured {
    child: Child,
    pub(super) spawned: Instant,
}

impl Measured {
    fn spawn(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let spawned = Instant::now();
        let child = command.stdin(Stdio::null()).stderr(log).spawn();
        let child = child
            .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        Ok(Self { child, spawned })
    }

    /// CPU time and memory up to now.
    ///
    /// # Errors
    /// When it is gone.
    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.child.id())
    }

    /// SIGTERM, and waits for the exit.
    ///
    /// # Errors
    /// When it exits with a failure, or not at all.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .context("it was gone before it was told to stop")?;
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    bail!("it ended with {status} after SIGTERM");
                }
                return Ok(());
            }
            if begun.elapsed() > STOP_TIMEOUT {
                bail!("it still runs {} s after SIGTERM", STOP_TIMEOUT.as_secs());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        // Both fail only for a child that has been waited for, which is then gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running `logq-agent`.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) process: Measured,
    status: String,
    client: reqwest::Client,
}

/// The part of `/status` that is judged.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Status {
    pub(super) ledger: Ledger,
    pub(super) sources: Vec<Source>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Ledger {
    pub(super) read: u64,
    pub(super) reported: u64,
    pub(super) acknowledged: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Source {
    pub(super) unparsed: u64,
    pub(super) files_known: usize,
}

impl Agent {
    /// Starts `program` in the new folder `home` on one file source with these keys.
    ///
    /// # Errors
    /// When it does not start; the message names its log.
    pub(super) fn start(
        program: &Path,
        home: &Path,
        collector: &str,
        source: &str,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(home)?;
        let (config, log) = (home.join("agent.toml"), home.join("agent.log"));
        // Every other key is at its default: what is measured is what users get.
        let text = format!(
            "[agent]\nstate = {:?}\ncollector = [{collector:?}]\nhttp = \"127.0.0.1:0\"\n\n\
             [[agent.sources]]\nkind = \"file\"\nstart_at = \"beginning\"\n{source}",
            home.join("state"),
        );
        fs::write(&config, text)?;
        let mut command = Command::new(program);
        command.arg("--config").arg(&config).arg("run").stdout(Stdio::piped());
        let mut process = Measured::spawn(&mut command, &log)?;
        let stdout = process.child.stdout.take().expect("stdout was asked for");
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let status = lines.find_map(|line| {
            let (name, address) = line.trim().split_once(char::is_whitespace)?;
            (name == "status").then(|| address.trim().to_owned())
        });
        let status = status
            .with_context(|| format!("the agent did not become ready, see {}", log.display()))?;
        Ok(Self { process, status, client: crate::http::client() })
    }

    /// Waits until everything that was read, `records` or more, is acknowledged.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub(super) async fn until_acknowledged(
        &self,
        records: u64,
        timeout: Duration,
    ) -> anyhow::Result<Status> {
        loop {
            let text =
                self.client.get(&self.status).send().await?.error_for_status()?.text().await?;
            let status: Status =
                serde_json::from_str(&text).context("the status has an unknown form")?;
            let ledger = &status.ledger;
            if ledger.read >= records && ledger.acknowledged == ledger.read + ledger.reported {
                return Ok(status);
            }
            if self.process.spawned.elapsed() > timeout {
                bail!("{records} records are not acknowledged in time: {text}");
            }
            tokio::time::sleep(STATUS_INTERVAL).await;
        }
    }
}

/// How rsyslog keeps what it has read and not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// Its default: gone with the process.
    Memory,
    /// In files that are not synced; the position in the log is kept every 1,000 lines.
    Disk,
}

/// Starts rsyslog on one file, to be sent over TCP, a line a line.
///
/// # Errors
/// When it does not start.
pub(super) fn rsyslog(
    program: &Path,
    home: &Path,
    file: &Path,
    to: SocketAddr,
    queue: Queue,
) -> anyhow::Result<Measured> {
    let state = home.join("state");
    fs::create_dir_all(&state)?;
    let (of_ruleset, of_input) = match queue {
        Queue::Memory => ("", ""),
        Queue::Disk => (
            " queue.type=\"Disk\" queue.filename=\"ship\" queue.maxDiskSpace=\"1g\" queue.checkpointInterval=\"1000\"",
            " persistStateInterval=\"1000\"",
        ),
    };
    let config = home.join("rsyslog.conf");
    let text = format!(
        "global(workDirectory={state:?})\nmodule(load=\"imfile\")\n\
         template(name=\"line\" type=\"string\" string=\"%msg%\\n\")\n\
         ruleset(name=\"ship\"{of_ruleset}) {{\n  action(type=\"omfwd\" target=\"{}\" port=\"{}\" protocol=\"tcp\" template=\"line\")\n}}\n\
         input(type=\"imfile\" file={file:?} tag=\"app:\" ruleset=\"ship\"{of_input})\n",
        to.ip(),
        to.port(),
    );
    fs::write(&config, text)?;
    let mut command = Command::new(program);
    command.arg("-n").arg("-f").arg(&config).arg("-i").arg(home.join("pid")).stdout(Stdio::null());
    Measured::spawn(&mut command, &home.join("rsyslog.log"))
}

/// Where a program is, if it is installed.
pub(super) fn installed(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file())
}
