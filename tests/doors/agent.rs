//! The agent's own listeners have the same doors: its page, its metrics, and a source that takes OTLP.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::server::{LOGQ, eventually, run, without_settings};
use crate::{Doors, ask};

/// `logq run agent`, killed when dropped.
pub(crate) struct Agent {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Agent {
    pub(crate) fn start(config: &Path) -> Self {
        let mut command = Command::new(LOGQ);
        let child = without_settings(&mut command)
            .args(["run", "agent", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// Where its page is, as its ready block says.
    fn status(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.out.read_line(&mut line).unwrap(), 0, "it ended before it was ready");
            if let Some(url) = line.trim().strip_prefix("status") {
                return url.trim().to_owned();
            }
        }
    }
}

const OTLP: &str =
    r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"sent"}}]}]}]}"#;

#[test]
fn each_listener_of_the_agent_takes_only_tokens_of_its_tenant_that_have_the_right() {
    let doors = Doors::new("");
    let server = doors.home.start();
    let (ingest, query) = (doors.create("a", "ingest"), doors.create("a", "query"));
    let of_b = doors.create("b", "ingest,query,admin");
    let operator = doors.create("*", "query,admin");
    let token = doors.home.write("token", &ingest);
    let text = format!(
        "[agent]\nstate = {:?}\ncollector = \"{}\"\nhttp = \"127.0.0.1:0\"\nbatch_age = \"20ms\"\ntenant = \"a\"\n\
         token_file = {token:?}\n[[agent.sources]]\nkind = \"otlp\"\nhttp = \"127.0.0.1:0\"\n[doors]\ntokens = {:?}\n",
        doors.home.data().join("agent"),
        server.ingest,
        doors.file
    );
    let mut agent = Agent::start(&doors.home.write("agent.toml", text));
    let status = agent.status();
    let base = status.strip_suffix("/status").unwrap();
    let asked = |path: &str, token: Option<&str>| {
        ask(&server, ("GET", &format!("{base}{path}")), token, None, "")
    };
    for (path, token, expected) in [
        ("/status", None, 401),
        ("/status", Some(&ingest), 403),
        ("/status", Some(&of_b), 403),
        ("/status", Some(&query), 200),
        ("/status", Some(&operator), 200),
        ("/metrics", None, 401),
        ("/metrics", Some(&query), 403),
        ("/metrics", Some(&operator), 200),
        ("/health/live", None, 200),
        ("/health/ready", None, 200),
    ] {
        let answer = asked(path, token.map(String::as_str));
        assert_eq!(answer.status, expected, "{path}: {}", answer.text());
    }
    let receiver = eventually("the source listens", || {
        let listens = asked("/status", Some(&query)).json()["sources"][0]["http"].take();
        Some(format!("http://{}", listens.as_str()?))
    });
    for path in ["/v1/logs", "/otlp/v1/logs"] {
        let url = format!("{receiver}{path}");
        let sent = |token, tenant| ask(&server, ("POST", &url), token, tenant, OTLP);
        for (token, tenant, expected) in [
            (None, None, 401),
            (Some(&*query), None, 403),
            (Some(&*of_b), None, 403),
            (Some(&*ingest), Some("b"), 403),
            (Some(&*ingest), None, 200),
        ] {
            let answer = sent(token, tenant);
            assert_eq!(answer.status, expected, "{path}: {}", answer.text());
            if expected != 200 {
                assert!(answer.json()["message"].is_string(), "in the form of OTLP");
            }
        }
    }
    // The command has its token as the others have, and says what is wrong without one.
    let command = |token: Option<&str>| {
        let mut command = Command::new(LOGQ);
        without_settings(&mut command).args(["run", "agent", "status", "--addr", base]);
        run(command.args(token.map(|token| format!("--token={token}"))), b"")
    };
    assert_eq!(command(Some(&query)).code, 0);
    let without = command(None);
    assert_eq!(without.code, 3);
    assert!(without.stderr.contains("401"), "{without:?}");
    let found = || {
        let url = format!("{}/api/v1/query?query=sent", server.query);
        ask(&server, ("GET", &url), Some(&query), None, "").text().matches("sent").count()
    };
    eventually("both records are found", || (found() == 2).then_some(()));
}
