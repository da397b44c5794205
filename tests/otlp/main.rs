//! The exporters of OpenTelemetry's Python SDK against the real binary: log records and spans, over HTTP and gRPC.
//!
//! They are from PyPI; `LOGQ_PYTHON` names an interpreter that has them. Without one nothing is tested, which is told,
//! and in CI a failure.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../doors/certificates.rs"]
mod certificates;
#[path = "../server/mod.rs"]
mod server;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use certificates::Authority;
use server::{Home, Server, logq, skipped};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/otlp/exporters.py");
/// What the script ends with where the SDK is missing.
const MISSING: i32 = 77;
/// Records of a batch, as the script makes them.
const BATCH: usize = 10;

/// The interpreter of the environment that `.ci/run` makes, or the one on the path.
fn python() -> PathBuf {
    let of_ci = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../ci/venv/bin/python");
    match std::env::var_os("LOGQ_PYTHON") {
        Some(python) => python.into(),
        None if of_ci.exists() => of_ci,
        None => "python3".into(),
    }
}

/// The script, running.
struct Exporters {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Exporters {
    /// `None` where the SDK is missing.
    fn start(server: &Server, batches: usize, arguments: &[&str]) -> Option<Self> {
        Self::to(&server.ingest, &server.grpc, batches, arguments)
    }

    /// Sends to these two addresses, `http://host:port` each; `None` where the SDK is missing.
    fn to(http: &str, grpc: &str, batches: usize, arguments: &[&str]) -> Option<Self> {
        let there = Command::new(python())
            .args(["-c", "import opentelemetry.exporter.otlp.proto.grpc, opentelemetry.exporter.otlp.proto.http"])
            .output();
        if !there.is_ok_and(|output| output.status.success()) {
            let missing = format!(
                "{} has not opentelemetry-sdk, opentelemetry-exporter-otlp-proto-http and -grpc; name one in LOGQ_PYTHON",
                python().display()
            );
            skipped(&missing);
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "{missing}, and CI may skip nothing"
            );
            return None;
        }
        let grpc = grpc.split_once("://").unwrap().1;
        let mut child = Command::new(python())
            .arg(SCRIPT)
            .args(["--http", http, "--grpc", grpc, "--batches", &batches.to_string()])
            .args(arguments)
            // Nothing of the machine's settings may send them elsewhere, or have them trust others.
            .env("NO_PROXY", "*")
            .env("no_proxy", "*")
            .env_remove("REQUESTS_CA_BUNDLE")
            .env_remove("CURL_CA_BUNDLE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Some(Self { child, lines })
    }

    /// Waits for so many acknowledgements.
    fn acknowledged(&mut self, count: usize) {
        for line in self.lines.by_ref().take(count) {
            let line = line.unwrap();
            assert!(line.starts_with("acknowledged "), "{line}");
        }
    }

    /// Waits for its end; everything has to have arrived.
    fn end(mut self) {
        self.acknowledged(usize::MAX);
        let status = self.child.wait().unwrap();
        assert_ne!(status.code(), Some(MISSING), "the SDK is there only in part");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Exporters {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The one number that a query gives.
fn count(server: &Server, query: &str) -> u64 {
    let rows = server.search(query);
    assert_eq!(rows.len(), 1, "{query}: {rows:?}");
    let row = rows[0].as_object().unwrap();
    row.values().next().and_then(Value::as_u64).unwrap_or_else(|| panic!("{query}: {row:?}"))
}

#[test]
fn exporters_send_logs_and_spans_over_http_and_grpc_and_all_of_it_is_found() {
    let home = Home::new();
    let server = home.start();
    let Some(exporters) = Exporters::start(&server, 2, &["--once"]) else { return };
    exporters.end();
    let each = 2 * BATCH as u64;
    for from in ["", "from spans "] {
        assert_eq!(count(&server, &format!("{from}* | stats count()")), 2 * each, "{from}");
        for protocol in ["http", "grpc"] {
            let of = |more: &str| {
                count(&server, &format!("{from}protocol:{protocol} {more} | stats count()"))
            };
            assert_eq!(of("service:python-shop host:n1"), each, "{from}{protocol}");
            assert_eq!(of("correlation:c-7"), 1, "{from}{protocol}");
            assert_eq!(of("scope.name:shop.tests"), each, "{from}{protocol}");
        }
    }
    assert_eq!(count(&server, "level:warn | stats count()"), 2 * each);
    for (query, expected) in [
        ("duration:>0", 2 * each),
        ("attribute.kind:mine", 2 * each),
        ("kind:server", 8),
        ("status:error status_message:\"declined\"", 4),
        ("status:unset", 2 * each - 4),
        ("trace_state:*", 0),
    ] {
        assert_eq!(
            count(&server, &format!("from spans {query} | stats count()")),
            expected,
            "{query}"
        );
    }
    let spans = server.search("from spans n:3 protocol:grpc");
    let events = spans[0]["attributes"]["events"].as_str().unwrap();
    let events: Value = serde_json::from_str(events).unwrap();
    assert_eq!((&events[0]["name"], &events[1]["name"]), (&"paid".into(), &"exception".into()));
    assert_eq!(events[0]["attributes"], serde_json::json!({"amount": 9.5, "items": ["a", "b"]}));
    assert_eq!(events[1]["attributes"]["exception.message"], "declined");
    assert!(events[0]["time"].as_u64().unwrap() > 1_700_000_000_000_000_000);
    server.stop();
}

#[test]
fn an_agent_takes_from_exporters_over_http_and_grpc_what_is_then_found_in_the_store() {
    let home = Home::new();
    let server = home.start();
    let config = format!(
        "[agent]\nstate = {:?}\ncollector = [{:?}]\nhttp = \"127.0.0.1:0\"\nbatch_age = \"20ms\"\n\
         [[agent.sources]]\nkind = \"otlp\"\nhttp = \"127.0.0.1:0\"\ngrpc = \"127.0.0.1:0\"\n",
        home.data().with_file_name("agent"),
        server.ingest,
    );
    let config = home.write("agent.toml", config);
    let mut agent = Agent(server.spawn(&["run", "agent", "--config", config.to_str().unwrap()]));
    let mut said = BufReader::new(agent.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut address = |protocol: &str| {
        let line = said.find(|line| line.contains(protocol) && line.contains(" addr=")).unwrap();
        format!("http://{}", line.split_once(" addr=").unwrap().1.trim())
    };
    let (http, grpc) = (address("takes OTLP"), address("takes OTLP over gRPC"));
    // What it says next has to be read by somebody.
    std::thread::spawn(move || said.for_each(drop));
    let Some(exporters) = Exporters::to(&http, &grpc, 2, &["--once"]) else { return };
    exporters.end();
    let each = 2 * BATCH as u64;
    for query in
        ["protocol:http", "protocol:grpc", "from spans protocol:http", "from spans protocol:grpc"]
    {
        let query = format!("{query} | stats count()");
        server::eventually(&query, || (count(&server, &query) == each).then_some(()));
    }
    server::eventually("the account adds up", || (server.logq(&["audit"]).code == 0).then_some(()));
}

/// Killed when dropped.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_kill_in_the_middle_loses_nothing_that_was_acknowledged() {
    let home = Home::new();
    let mut server = home.start();
    let addresses =
        [&server.ingest, &server.grpc].map(|url| url.split_once("://").unwrap().1.to_owned());
    const BATCHES: usize = 30;
    let Some(mut exporters) = Exporters::start(&server, BATCHES, &[]) else { return };
    for _ in 0..2 {
        // A quarter of all, so that the kill comes in the middle of a turn.
        exporters.acknowledged(BATCHES + 1);
        server.kill();
        let mut up = home.up();
        up.env("LOGQ__COLLECTOR__HTTP", &addresses[0]).env("LOGQ__COLLECTOR__GRPC", &addresses[1]);
        server = home.start_by(up, "stop ");
    }
    exporters.end();
    // What was written and not acknowledged when the server was killed is there twice.
    let each = (BATCHES * BATCH) as u64;
    for from in ["", "from spans "] {
        for protocol in ["http", "grpc"] {
            let query = format!("{from}protocol:{protocol} | stats count_distinct(n)");
            assert_eq!(count(&server, &query), each, "{query}");
            let query = format!("{from}protocol:{protocol} | stats count()");
            assert!((each..=each + 2 * BATCH as u64).contains(&count(&server, &query)), "{query}");
        }
    }
    assert_eq!(server.logq(&["audit"]).code, 0);
}

#[test]
fn exporters_send_over_tls_with_a_token_and_without_one_nothing() {
    let home = Home::new();
    let tokens = home.write("tokens.toml", "");
    let authority = Authority::new(&home, "ca");
    let (ca, served) = (authority.ca(), authority.issue("server"));
    let config = format!(
        "[doors]\ntokens = {tokens:?}\ntls = {{ cert = {:?}, key = {:?} }}\n",
        served.cert, served.key
    );
    home.write("logq.toml", config);
    let file = tokens.to_str().unwrap();
    let create = |rights: &str| {
        let arguments = ["token", "create", "--file", file, "--tenant", "a", "--rights", rights];
        let output = logq(&arguments);
        assert_eq!(output.code, 0, "{output:?}");
        output.stdout.trim().to_owned()
    };
    let (ingest, query) = (create("ingest"), create("query"));
    let server = home.start();
    assert!(server.grpc.starts_with("https://"), "{}", server.ready_block);
    let ca = ca.to_str().unwrap();
    let trusted = ["--once", "--ca", ca];
    let Some(exporters) =
        Exporters::start(&server, 1, &[&trusted[..], &["--token", &ingest]].concat())
    else {
        return;
    };
    exporters.end();
    for token in [&["--token", query.as_str()][..], &[]] {
        let mut refused = Exporters::start(&server, 1, &[&trusted[..], token].concat()).unwrap();
        let said = refused.lines.next().unwrap().unwrap();
        assert_eq!(said, "failed logs http 0");
        assert_eq!(refused.child.wait().unwrap().code(), Some(1));
    }
    for from in ["", "from spans "] {
        let asked = format!("{from}* | stats count()");
        let arguments = [
            "search",
            "--addr",
            &server.query,
            "--ca",
            ca,
            "--token",
            &query,
            "-o",
            "json",
            &asked,
        ];
        let output = logq(&arguments);
        assert_eq!(output.code, 0, "{output:?}");
        let row: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(row.as_object().unwrap().values().next().unwrap(), 2 * BATCH as u64, "{row}");
    }
}
