//! Everything that has metrics, running: `logq up --demo` with receivers of each kind, and an agent of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::exposition::{self, Families};
use crate::server::{Home, LOGQ, Server, eventually, without_settings};

/// The demo's card that payments is always too slow for.
const CARD_SLOW: &str = "4000000000000259";

/// Segments soon, and somebody of each kind to tell, of whom one is there.
pub(crate) const CONFIG: &str = r#"
[collector]
flush_age = "1s"
[alerting]
group_wait = "100ms"
[[alerting.receivers]]
name = "webhook"
webhook = { url = "http://127.0.0.1:9/" }
[[alerting.receivers]]
name = "slack"
slack = { url = "http://127.0.0.1:9/" }
[[alerting.receivers]]
name = "command"
command = ["true"]
[[alerting.receivers]]
name = "alertmanager"
alertmanager = { url = "http://127.0.0.1:9" }
"#;

/// A running demo. What is in it ends with it.
#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) server: Server,
    /// `http://host:port` of the demo's agent.
    pub(crate) agent: String,
    /// `http://host:port` of the shop's gateway.
    pub(crate) shop: String,
}

impl Demo {
    pub(crate) fn start() -> Self {
        let home = Home::with_config(CONFIG);
        let mut command = home.up();
        command.args(["--demo", "--demo-http", "127.0.0.1:0"]);
        command.env("LOGQ__AGENT__HTTP", "127.0.0.1:0");
        let server = home.start_by(command, "sort timestamp'");
        let said = |name: &str| {
            let mut lines = server.ready_block.lines().map(str::split_whitespace);
            let url = lines.find_map(|mut words| (words.next()? == name).then(|| words.next()));
            let url = url.flatten().unwrap_or_else(|| panic!("{}", server.ready_block));
            url.split('/').take(3).collect::<Vec<_>>().join("/")
        };
        let (agent, shop) = (said("agent"), said("shop"));
        Self { server, agent, shop }
    }

    /// The jobs of `prometheus.yml`, each with where it is.
    pub(crate) fn jobs(&self) -> [(&'static str, &str); 5] {
        [
            ("logq-collector", &self.server.ingest),
            ("logq-query", &self.server.query),
            ("logq-alerting", &self.server.alerts),
            ("logq-agent", &self.agent),
            ("shop", &self.shop),
        ]
    }

    /// Places orders whose payments time out, as many within a minute as make an alert fire.
    pub(crate) fn fail_orders(&self) {
        let order = json!({
            "customer": "cust-001", "items": [{"sku": "teapot", "quantity": 1}], "card": CARD_SLOW,
        });
        let headers = [("content-type", "application/json".to_owned())];
        let requests = (0..4).map(|_| (headers.to_vec(), order.to_string().into_bytes()));
        let statuses = self.server.http.post_all(&format!("{}/checkout", self.shop), requests);
        assert_eq!(statuses, [504; 4]);
    }

    /// Asks as people do: searches, stories, traces.
    pub(crate) fn ask(&self) {
        for path in [
            "/api/v1/query?query=level:error&since=5m",
            "/api/v1/query?query=*%20|%20stats%20count()%20by%20service&since=5m",
            "/api/v1/stories?query=level:error&since=5m",
            "/api/traces?service=orders",
        ] {
            let answer = self.server.http.get(&format!("{}{path}", self.server.query));
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        }
    }
}

/// `logq run agent`, which reads nothing.
#[derive(Debug)]
pub(crate) struct Agent {
    child: Child,
    pub(crate) url: String,
    _folder: tempfile::TempDir,
}

impl Agent {
    /// One that ships one line to a collector.
    pub(crate) fn start(collector: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("some.log"), "a line\n").unwrap();
        let config = format!(
            "[agent]\nstate = {:?}\ncollector = {collector:?}\nhttp = \"127.0.0.1:0\"\n[[agent.sources]]\nkind = \"file\"\nname = \"some\"\ninclude = [{:?}]\nstart_at = \"beginning\"\n",
            path("state"),
            path("some.log"),
        );
        std::fs::write(path("agent.toml"), config).unwrap();
        let mut child = without_settings(&mut Command::new(LOGQ))
            .args(["run", "agent", "--config", &path("agent.toml")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut agent = Self { child, url: String::new(), _folder: folder };
        for line in lines {
            if let Some(url) = line.trim().strip_prefix("status") {
                url.trim().trim_end_matches("/status").clone_into(&mut agent.url);
                break;
            }
        }
        assert!(agent.url.starts_with("http://"), "the agent does not start");
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a port tells, once a request to it has been counted.
pub(crate) fn metrics(server: &Server, url: &str) -> String {
    let scrape = || server.http.get(&format!("{url}/metrics"));
    eventually("metrics with a request", || {
        let answer = scrape();
        assert_eq!(answer.status, 200, "{url}");
        let text = answer.text();
        text.contains("\nhttp_server_request_duration_seconds_count").then_some(text)
    })
}

/// The families of a port.
pub(crate) fn families(server: &Server, url: &str) -> Families {
    exposition::read(&metrics(server, url))
}
