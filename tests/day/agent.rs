//! The real agent: started, killed, stopped, told to read its configuration anew.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::server::{DEADLINE, LOGQ, without_settings};
use super::timeline::Timeline;

/// A start that fails, as on a full disk, is tried again, as an init system does.
const RESTART_PAUSE: Duration = Duration::from_millis(200);
/// Longer than a stop in order may take.
const STOP_DEADLINE: Duration = Duration::from_secs(45);

#[derive(Debug)]
pub(crate) struct Agent {
    folder: PathBuf,
    collector: SocketAddr,
    /// What its command line begins with.
    launcher: Vec<String>,
    process: Mutex<Process>,
}

#[derive(Debug, Default)]
struct Process {
    child: Option<Child>,
    status: Option<SocketAddr>,
    /// How long the log was when it started.
    log_bytes: usize,
    /// How often it was told to read its configuration.
    reloads: usize,
}

/// While it is held, the agent is neither killed nor stopped.
#[derive(Debug)]
pub(crate) struct Spared<'a> {
    _process: MutexGuard<'a, Process>,
}

impl Agent {
    /// `folder` is for its configuration, log and state; the logs are in `all/` and `live/` below it.
    pub(crate) fn new(folder: PathBuf, collector: SocketAddr, launcher: Vec<String>) -> Self {
        let agent = Self { folder, collector, launcher, process: Mutex::default() };
        agent.configure(200);
        agent
    }

    /// Writes the configuration; what changes is how long a batch is filled.
    fn configure(&self, batch_age_ms: u64) {
        let folder = self.folder.display();
        let text = format!(
            r#"
[agent]
state = "{folder}/disk/state"
collector = "http://{collector}"
http = "127.0.0.1:0"
request_timeout = "2s"
heartbeat_interval = "1s"
batch_age = "{batch_age_ms}ms"
batch_size = "1 MiB"
spool_max = "32 MiB"
drain = "1s"
[[agent.sources]]
kind = "file"
name = "all"
include = ["{folder}/all/*"]
start_at = "beginning"
scan_interval = "2s"
format = "json"
[[agent.sources]]
kind = "file"
name = "live"
include = ["{folder}/live/*.log"]
start_at = "beginning"
scan_interval = "2s"
format = "json"
"#,
            collector = self.collector
        );
        std::fs::write(self.folder.join("agent.toml"), text).unwrap();
    }

    /// Starts it, again and again until it runs.
    pub(crate) fn start(&self, timeline: &Timeline) {
        let mut process = self.process();
        let started = Instant::now();
        loop {
            match self.try_start() {
                Ok(now) => *process = now,
                Err(status) => {
                    timeline.note("agent", format!("does not start: {status}"));
                    assert!(
                        started.elapsed() < DEADLINE,
                        "the agent does not start: {status}\n{}",
                        self.log()
                    );
                    std::thread::sleep(RESTART_PAUSE);
                    continue;
                }
            }
            return timeline.note("agent", "is ready");
        }
    }

    fn try_start(&self) -> Result<Process, ExitStatus> {
        let (program, arguments) = self.command_line();
        let log_bytes = self.log().len();
        let log = self.folder.join("agent.log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut child = without_settings(&mut Command::new(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut status = None;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let mut words = line.split_whitespace();
            if words.next() == Some("status") {
                let addr = words.next().and_then(|addr| addr.strip_prefix("http://"));
                status = addr.and_then(|addr| addr.strip_suffix("/status")?.parse().ok());
                break;
            }
        }
        match status {
            Some(_) => Ok(Process { child: Some(child), status, log_bytes, reloads: 0 }),
            None => Err(child.wait().unwrap()),
        }
    }

    fn command_line(&self) -> (String, Vec<String>) {
        let config = self.folder.join("agent.toml").display().to_string();
        let ours = [LOGQ, "run", "agent", "--config", &config].map(str::to_owned);
        let mut words = self.launcher.iter().cloned().chain(ours);
        (words.next().unwrap(), words.collect())
    }

    /// kill -9.
    pub(crate) fn kill(&self, timeline: &Timeline) {
        let mut process = self.process();
        let Some(mut child) = process.child.take() else { return };
        timeline.note("agent", "kill -9");
        child.kill().unwrap();
        child.wait().unwrap();
        process.status = None;
    }

    /// SIGTERM; it has to end by itself and well.
    pub(crate) fn stop(&self, timeline: &Timeline) {
        let mut process = self.process();
        let Some(mut child) = process.child.take() else { return };
        timeline.note("agent", "SIGTERM");
        signal("-TERM", child.id());
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < STOP_DEADLINE, "the agent does not stop\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "{status}\n{}", self.log());
        process.status = None;
        timeline.note("agent", "stopped");
    }

    /// SIGHUP, with a configuration that is a little different.
    pub(crate) fn reload(&self, batch_age_ms: u64, timeline: &Timeline) {
        let mut process = self.process();
        let Some(child) = &process.child else { return };
        self.configure(batch_age_ms);
        timeline.note("agent", format!("SIGHUP, batch_age {batch_age_ms} ms"));
        signal("-HUP", child.id());
        process.reloads += 1;
    }

    /// Lets nobody kill the agent if it has the file open and is about to close none.
    pub(crate) fn spare_while_open(&self, path: &Path) -> Option<Spared<'_>> {
        let process = self.process();
        let reloads = self.log().get(process.log_bytes..)?.matches("taken over").count();
        if reloads < process.reloads {
            return None;
        }
        let child = process.child.as_ref()?;
        let mut open = std::fs::read_dir(format!("/proc/{}/fd", child.id())).ok()?.flatten();
        let has_it = open.any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == path));
        has_it.then_some(Spared { _process: process })
    }

    /// What it says of itself; `None` while it does not answer.
    pub(crate) fn status(&self) -> Option<Value> {
        let addr = self.process().status?;
        let mut stream = TcpStream::connect(addr).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        stream
            .write_all(b"GET /status HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default()
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(child) = &mut process.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}
