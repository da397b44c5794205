//! Debian's Prometheus and promtool, run for a test.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::server::{Http, eventually, skipped};

/// Whether a program is there; `false`, loudly, where it is not. In CI that is a failure.
pub(crate) fn is_installed(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    if asked.is_ok_and(|asked| asked.status.success()) {
        return true;
    }
    skipped(&format!("{program} is not installed"));
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI may skip nothing");
    false
}

/// Runs promtool with some input; gives how it ended and all that it said.
pub(crate) fn promtool(arguments: &[&str], input: &str) -> (i32, String) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

/// A Prometheus with a folder of its own, which is gone with it.
#[derive(Debug)]
pub(crate) struct Prometheus {
    child: Child,
    http: Http,
    url: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// One that scrapes the jobs of a configuration where they really are, every second. Files of rules are taken from
    /// beside it.
    pub(crate) fn start(config: &Path, jobs: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = at_addresses(&std::fs::read_to_string(config).unwrap(), jobs);
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, text).unwrap();
        let rules = config.with_file_name("rules.yaml");
        if rules.exists() {
            std::fs::copy(rules, folder.path().join("rules.yaml")).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let mut started = Self { child, http: Http::new(), url, _folder: folder };
        eventually("Prometheus", || {
            assert_eq!(started.child.try_wait().unwrap(), None, "Prometheus has ended");
            TcpStream::connect(("127.0.0.1", port)).ok()?;
            let ready = started.http.get(&format!("{}/-/ready", started.url));
            (ready.status == 200).then_some(())
        });
        started
    }

    /// `data` of an answer of its API.
    ///
    /// # Errors
    /// What it says is wrong.
    pub(crate) fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        data(&self.http, &format!("{}{path}", self.url), parameters)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `data` of an answer in the shape that Prometheus and Loki share.
///
/// # Errors
/// What is wrong, as it is told.
pub(crate) fn data(http: &Http, url: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
    let parameters = parameters.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
    let parameters: Vec<String> = parameters.collect();
    let answer = http.get(&format!("{url}?{}", parameters.join("&")));
    if answer.status != 200 {
        return Err(format!("{}: {}", answer.status, answer.text().trim()));
    }
    Ok(answer.json()["data"].take())
}

/// As a value in a URL's query.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => char::from(byte).into(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// The configuration with other addresses and a second between scrapes; nothing else is changed.
fn at_addresses(config: &str, jobs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let mut address = None;
    let mut placed = 0;
    for line in config.lines() {
        if let Some(name) = line.trim().strip_prefix("- job_name: ") {
            let job = jobs.iter().find(|(job, _)| *job == name);
            let (_, url) = job.unwrap_or_else(|| panic!("nothing runs for the job {name}"));
            address = url.strip_prefix("http://");
        }
        let indent = line.len() - line.trim_start().len();
        let line = match (line.trim().split_once(": "), address) {
            (Some(("- targets", _)), Some(address)) => {
                placed += 1;
                format!("{:indent$}- targets: ['{address}']", "")
            }
            (Some((key @ ("scrape_interval" | "evaluation_interval"), _)), _) => {
                format!("{:indent$}{key}: 1s", "")
            }
            _ => line.to_owned(),
        };
        text.push_str(&line);
        text.push('\n');
    }
    assert_eq!(placed, jobs.len(), "each job has one address\n{text}");
    text
}

#[test]
fn only_addresses_and_intervals_of_a_configuration_are_changed() {
    let config = "global:\n  scrape_interval: 15s\nrule_files: [rules.yaml]\nscrape_configs:\n  - job_name: a\n    static_configs:\n      - targets: ['127.0.0.1:1']\n";
    let expected = config.replace("15s", "1s").replace("127.0.0.1:1'", "127.0.0.1:77'");
    assert_eq!(at_addresses(config, &[("a", "http://127.0.0.1:77")]), expected);
}
