//! The agent and the store together, as processes: what is redacted is nowhere, and a store that lost what it
//! acknowledged is found out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use server::{Home, LOGQ, Server, eventually};
use tempfile::TempDir;

/// How zstd frames begin.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Longest content of one frame that is looked at.
const FRAME_BYTES_MAX: u64 = 64 << 20;

/// `logq run agent` with a folder of its own; killed when dropped.
struct Agent {
    folder: TempDir,
    child: Option<Child>,
}

impl Agent {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), child: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, collector: &str, keys: &str, sources: &str) {
        let text = format!(
            "[agent]\nstate = {:?}\ncollector = [\"{collector}\"]\nhttp = \"127.0.0.1:0\"\nbatch_age = \"20ms\"\n\
             heartbeat_interval = \"1s\"\n{keys}\n{sources}",
            self.path("state")
        );
        std::fs::write(self.path("agent.toml"), text).unwrap();
    }

    /// A source for one file.
    fn source(&self, name: &str, format: &str) -> String {
        format!(
            "[[agent.sources]]\nkind = \"file\"\nname = \"{name}\"\ninclude = [{:?}]\nformat = \"{format}\"\nstart_at = \"beginning\"\nservice = \"{name}\"\n",
            self.path(&format!("{name}.log"))
        )
    }

    fn log(&self, name: &str, text: &str) {
        let path = self.path(&format!("{name}.log"));
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Starts it and waits until it is ready.
    fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("agent-log")).unwrap();
        let mut child = Command::new(LOGQ)
            .args(["run", "agent", "--config"])
            .arg(self.path("agent.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let ready = lines.any(|line| line.trim_start().starts_with("status "));
        assert!(ready, "{}", std::fs::read_to_string(self.path("agent-log")).unwrap());
        self.child = Some(child);
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Goes over to another address while it runs.
    fn ship_to(&self, server: &Server) {
        let text = std::fs::read_to_string(self.path("agent.toml")).unwrap();
        let lines = text.lines().map(|line| match line.starts_with("collector = ") {
            true => format!("collector = [\"{}\"]\n", server.ingest),
            false => format!("{line}\n"),
        });
        std::fs::write(self.path("agent.toml"), lines.collect::<String>()).unwrap();
        self.signal("-HUP");
    }

    /// SIGTERM; it has to end by itself and well.
    fn stop(mut self) -> TempDir {
        self.signal("-TERM");
        let mut child = self.child.take().unwrap();
        let status = eventually("the agent ends", || child.try_wait().unwrap());
        assert!(status.success(), "{status}");
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path("agent-log")).unwrap_or_default();
            eprintln!("log of the agent:\n{log}");
        }
    }
}

/// The audit, its verdict aside.
fn audit(server: &Server) -> Value {
    server.logq(&["audit", "-o", "json"]).json_lines().swap_remove(0)
}

/// Every file below `folder` with its bytes, and with what every zstd frame in it unpacks to, however much of it is
/// whole.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
            continue;
        }
        let mut content = std::fs::read(&path).unwrap();
        // The rest of a preallocated file.
        content.truncate(content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        let starts: Vec<usize> = (0..content.len().saturating_sub(4))
            .filter(|at| content[*at..*at + 4] == ZSTD_MAGIC)
            .collect();
        for start in starts {
            let frame = content[start..].to_vec();
            let mut unpacked = Vec::new();
            if let Ok(decoder) = zstd::Decoder::new(&*frame) {
                let _ = decoder.single_frame().take(FRAME_BYTES_MAX).read_to_end(&mut unpacked);
            }
            content.push(0);
            content.extend(unpacked);
        }
        found.push((path, content));
    }
    found
}

fn holds(content: &[u8], text: &str) -> bool {
    content.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn secrets_are_in_no_byte_that_the_agent_or_the_store_keeps() {
    const SECRETS: [&str; 9] = [
        "eyJhbGciOiJIUzI1NiJ9.c3VwZXJzZWNyZXQ.c2lnbmF0dXJl",
        "hunter2secret",
        "correct-horse-battery",
        "4111111111111111",
        "4111 1111 1111 1111",
        "jane.doe@example.com",
        "internal-0123456789abcdef",
        "s3cr3tInAField",
        "tok_51H8xQ2eZvKYlo2C",
    ];
    const MARK: &str = "markthatisnosecret";
    let [token, url, password, card, grouped, mail, own, field, api_key] = SECRETS;
    let mut agent = Agent::new();
    let keys = "[agent.redact]\ndetectors = [\"bearer\", \"password\", \"card\", \"email\"]\n\
                [[agent.redact.rules]]\nname = \"internal\"\npattern = \"internal-[0-9a-f]{16}\"\n";
    let sources = agent.source("json", "json")
        + &agent.source("raw", "raw")
        + &agent.source("logfmt", "logfmt")
        + &agent.source("auto", "auto");
    agent.configure("http://127.0.0.1:1", keys, &sources);
    let json = [
        serde_json::json!({"msg": format!("{MARK} sent Authorization: Bearer {token}"), "level": "info"}),
        serde_json::json!({"msg": MARK, "password": field, "user": {"api_key": api_key, "mail": mail}}),
        serde_json::json!({"msg": MARK, "card": 4_111_111_111_111_111_u64, "cards": [card, grouped]}),
        serde_json::json!({"msg": MARK, "body": format!("{{\"password\":\"{password}\"}}"), "key": own}),
        serde_json::json!({"msg": MARK, "url": format!("postgres://shop:{url}@db:5432/shop")}),
    ];
    agent.log("json", &json.map(|line| format!("{line}\n")).concat());
    let text = format!(
        "{MARK} login password={password} from {mail}\n\
         {MARK} connecting to postgres://shop:{url}@db:5432/shop with {own}\n\
         {MARK} Authorization: Bearer {token}\n\
         {MARK} paid with {grouped}, that is {card}\n\
         {MARK} {{\"msg\":\"broken json with \\\"token\\\": \\\"{api_key}\\\"\n\
         \u{fffd}{MARK} --password {field}\n"
    );
    agent.log("raw", &text);
    agent.log("auto", &text);
    // Not text: the line is kept beside its readable form, but not with a secret in it.
    OpenOptions::new()
        .append(true)
        .open(agent.path("raw.log"))
        .unwrap()
        .write_all(
            &[b"\xff\xfe ".as_slice(), MARK.as_bytes(), b" password=", password.as_bytes(), b"\n"]
                .concat(),
        )
        .unwrap();
    agent.log(
        "logfmt",
        &format!("level=info msg=\"{MARK}\" password={password} mail={mail} key={own} url=https://u:{url}@host/\n"),
    );
    let records = 5 + 6 + 6 + 1 + 1;
    agent.start();
    let no_secrets = |folder: &Path, what: &str| {
        let contents = contents(folder);
        for (path, content) in &contents {
            for secret in SECRETS {
                assert!(!holds(content, secret), "{secret} is in {} ({what})", path.display());
            }
        }
        contents.iter().filter(|(_, content)| holds(content, MARK)).count()
    };
    // Nobody takes it yet.
    eventually("all is in the spool", || {
        (no_secrets(&agent.path("state"), "spooled") > 0).then_some(())
    });

    let home = Home::new();
    let server = home.start();
    agent.ship_to(&server);
    let stored = eventually("all is stored", || {
        let stored = server.search(&format!("any:{MARK} OR msg:{MARK}"));
        (stored.len() >= records).then_some(stored)
    });
    assert_eq!(stored.len(), records);
    let answers = serde_json::to_string(&stored).unwrap();
    for secret in SECRETS {
        assert!(!answers.contains(secret), "{secret} is in an answer");
    }
    assert!(answers.contains("[REDACTED:"), "{answers}");
    assert!(
        no_secrets(&home.data(), "journal") > 0,
        "the mark is found in the journal, so the search works"
    );
    assert_eq!(server.flush().status, 200);
    let segments = home.data().join("segments");
    assert!(no_secrets(&segments, "segments") > 0, "and in segments");
    no_secrets(&home.data(), "after the flush");
    let folder = agent.stop();
    no_secrets(&folder.path().join("state"), "after the end");
    server.stop();
    no_secrets(&home.data(), "after the end");
}

#[test]
fn a_store_that_was_restored_from_yesterdays_backup_is_found_out_and_the_loss_is_counted() {
    let lines = |from: usize, to: usize| -> String {
        (from..to).map(|number| format!("line {number}\n")).collect()
    };
    let home = Home::new();
    let server = home.start();
    let mut agent = Agent::new();
    agent.configure(&server.ingest, "batch_records = 10", &agent.source("app", "raw"));
    agent.log("app", &lines(0, 100));
    agent.start();
    let stored = |server: &Server| server.search("service:app").len();
    eventually("yesterday's lines are stored", || (stored(&server) == 100).then_some(()));
    let shelf = tempfile::tempdir().unwrap();
    let backup = shelf.path().join("backup");
    let taken = server.logq(&["backup", backup.to_str().unwrap()]);
    assert_eq!(taken.code, 0, "{taken:?}");

    agent.log("app", &lines(100, 200));
    eventually("today's lines are stored", || (stored(&server) == 200).then_some(()));
    eventually("the audit adds up", || {
        let audit = audit(&server);
        let acknowledged = audit["agents_sum"]["acknowledged"].as_u64()?;
        (acknowledged >= 200 && audit["adds_up"] == true).then_some(())
    });
    server.stop();

    std::fs::remove_dir_all(home.data()).unwrap();
    let data = home.data();
    let restored =
        server::logq(&["restore", backup.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    assert_eq!(restored.code, 0, "{restored:?}");
    let server = home.start();
    agent.ship_to(&server);
    agent.log("app", &lines(200, 300));
    eventually("tomorrow's lines are stored", || (stored(&server) == 200).then_some(()));
    let reports = eventually("the agent says that the store lost batches", || {
        let reports = server.search("event_name:logq.agent.store_lost_batches");
        (!reports.is_empty()).then_some(reports)
    });
    let lost: u64 = reports
        .iter()
        .map(|report| report["attributes"]["logq.lost_batches"].as_u64().unwrap())
        .sum();
    assert!(lost >= 10, "100 lines in batches of 10, said {lost}");
    let noticed = eventually("the agent says that the store was restored", || {
        let noticed = server.search("event_name:logq.agent.store_restored");
        (!noticed.is_empty()).then_some(noticed)
    });
    let attributes = &noticed[0]["attributes"];
    assert_eq!(
        (noticed.len(), &attributes["logq.former_generation"]),
        (1, &1.into()),
        "{noticed:?}"
    );
    assert_eq!(attributes["logq.generation"], audit(&server)["generation"]);
    let audit = eventually("the audit says so", || {
        let audit = audit(&server);
        (audit["adds_up"] == false).then_some(audit)
    });
    let ledger = &audit["ledger"];
    assert_eq!(ledger["lost_batches"], lost, "{ledger}");
    let faults = audit["faults"].to_string();
    assert!(faults.contains("agent ") && faults.contains("100"), "{faults}");
    agent.stop();
    server.stop();
}

#[test]
fn another_store_is_told_and_gets_everything_from_then_on() {
    let first = Home::new();
    let server = first.start();
    let mut agent = Agent::new();
    agent.configure(&server.ingest, "batch_records = 10", &agent.source("app", "raw"));
    agent.log("app", &(0..100).map(|number| format!("line {number}\n")).collect::<String>());
    agent.start();
    let stored = |server: &Server| server.search("service:app").len();
    eventually("the first store has it", || (stored(&server) == 100).then_some(()));
    server.stop();
    let second = Home::new();
    let server = second.start();
    agent.ship_to(&server);
    agent.log("app", &(100..200).map(|number| format!("line {number}\n")).collect::<String>());
    eventually("the second store has the rest", || (stored(&server) == 100).then_some(()));
    let reports = eventually("the agent says so", || {
        let reports = server.search("event_name:logq.agent.store_changed");
        (!reports.is_empty()).then_some(reports)
    });
    assert_eq!(reports.len(), 1);
    eventually("both halves of the account agree", || {
        let audit = audit(&server);
        (audit["agents_sum"]["read"].as_u64()? == 200 && audit["adds_up"] == true).then_some(())
    });
    agent.stop();
    server.stop();
}

#[test]
fn spans_through_the_agent_are_stored_as_spans_and_the_account_adds_up() {
    const SPANS: usize = 50;
    let (home, mut agent) = (Home::new(), Agent::new());
    let server = home.start();
    let source = "[[agent.sources]]\nkind = \"otlp\"\nhttp = \"127.0.0.1:0\"\n";
    agent.configure(&server.ingest, "", source);
    agent.start();
    let address = eventually("the agent takes OTLP", || {
        let log = std::fs::read_to_string(agent.path("agent-log")).unwrap();
        let line = log.lines().find(|line| line.contains("takes OTLP"))?;
        Some(line.split_once(" addr=")?.1.trim().to_owned())
    });
    let service = serde_json::json!({"key": "service.name", "value": {"stringValue": "orders"}});
    for number in 0..SPANS {
        let span = serde_json::json!({
            "name": format!("span {number}"), "traceId": format!("{:032x}", number / 10 + 1),
            "spanId": format!("{:016x}", number + 1), "parentSpanId": format!("{:016x}", number + 2),
            "kind": 2, "startTimeUnixNano": "1760000000000000000", "endTimeUnixNano": "1760000000000001000",
            "events": [{"timeUnixNano": "7", "name": "paid"}],
        });
        let body = serde_json::json!({"resourceSpans": [
            {"resource": {"attributes": [service]}, "scopeSpans": [{"spans": [span]}]}]});
        let url = format!("http://{address}/v1/traces");
        let json = [("content-type", "application/json")];
        let answer = server.http().post(&url, &json, body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let query = "from spans service:orders kind:server duration:1000 status:unset events:*";
    eventually("all arrive", || (server.search(query).len() == SPANS).then_some(()));
    assert_eq!(server.search("from spans trace_id:00000000000000000000000000000002").len(), 10);
    assert!(server.search("service:orders").is_empty(), "no span is a log record");
    eventually("the account adds up", || (server.logq(&["audit"]).code == 0).then_some(()));
    agent.stop();
}
