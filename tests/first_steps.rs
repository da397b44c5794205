//! The first steps of a user, on the real binary: ship, search, account, stop and start again.
//!
//! Golden output has fixed times; what varies (ids, folders, ports) is replaced before it is compared.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use server::{Home, LOGQ, Output, Server, corpus, logq, run};
use tokio::net::TcpSocket;

/// Three services and one line that is no JSON.
const LOG: &str = r#"{"time":"2026-01-02T03:04:05.678Z","level":"info","service":"orders","correlation_id":"order-42","message":"order placed","items":3}
{"time":"2026-01-02T03:04:05.912Z","level":"warn","service":"payments","correlation_id":"order-42","message":"card declined","duration_ms":12.5}
{"time":"2026-01-02T03:04:06.1Z","level":"error","service":"payments","correlation_id":"order-42","message":"payment failed","http":{"status":502},"path":"/pay now"}
{"time":"2026-01-02T03:04:07Z","level":"info","service":"orders","correlation_id":"order-43","message":"order placed","items":1}
    at payments.charge (charge.js:12)"#;

/// Replaces what differs from run to run.
fn redacted(text: &str, replacements: &[(&str, &str)]) -> String {
    let replaced = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
    replacements.iter().fold(text.to_owned(), replaced)
}

/// Answers of every kind.
fn answers(server: &Server) -> Vec<(i32, String)> {
    let queries = [
        "*",
        "correlation:order-42",
        "\"card declined\"",
        "http.status:>=500",
        "* | stats count() as n, avg(items) by service, level",
        "level:fatal",
    ];
    let ask = |query: &str, form| server.logq(&[query, "--since", "100y", "-o", form]);
    let answer = |output: Output| (output.code, output.stdout);
    queries
        .iter()
        .flat_map(|query| [answer(ask(query, "json")), answer(ask(query, "text"))])
        .collect()
}

#[test]
fn a_file_is_shipped_found_counted_and_there_after_kill_and_stop() {
    let home = Home::new();
    let server = home.start();
    let log = home.write("shop.log", LOG);

    let shipped = server.logq(&["ship", "--host", "web1", log.to_str().unwrap()]);
    assert_eq!((shipped.code, shipped.stderr.as_str()), (0, ""));
    insta::assert_snapshot!(
        redacted(&shipped.stdout, &[(log.to_str().unwrap(), "shop.log")]),
        @r"shop.log: 5 lines read, 5 records accepted, 1 lines did not parse (json)"
    );

    let found = server.logq(&["correlation:order-42", "--since", "100y"]);
    assert_eq!((found.code, found.stderr.as_str()), (0, ""));
    insta::assert_snapshot!(found.stdout, @r#"
    2026-01-02T03:04:06.100Z ERROR payments order-42 payment failed http.status=502 path="/pay now"
    2026-01-02T03:04:05.912Z WARN  payments order-42 card declined duration_ms=12.5
    2026-01-02T03:04:05.678Z INFO  orders order-42 order placed items=3
    "#);

    let found = server.logq(&["search", "level:error", "--since", "100y", "-o", "json"]);
    assert_eq!(found.code, 0);
    let [record] = found.json_lines().try_into().unwrap();
    let varying = ["observed_timestamp", "source.agent", "source.path"];
    let varying = varying.map(|name| (record[name].as_str().unwrap(), name));
    insta::assert_snapshot!(redacted(&found.stdout, &varying), @r#"{"timestamp":"2026-01-02T03:04:06.100Z","observed_timestamp":"observed_timestamp","severity":"error","severity_number":17,"severity_text":"error","service":"payments","host":"web1","correlation_id":"order-42","message":"payment failed","source.agent":"source.agent","source.path":"source.path","source.offset":278,"record_seq":2,"attributes":{"http.status":502,"path":"/pay now"}}"#);

    let table = server.logq(&["* | stats count() as n by service, level", "--since", "100y"]);
    assert_eq!(table.code, 0);
    insta::assert_snapshot!(table.stdout, @r"
    service   severity  n
                        1
    orders    info      2
    payments  error     1
    payments  warn      1
    ");

    let audit = server.logq(&["audit"]);
    assert_eq!(audit.code, 0);
    let store_id = audit.stdout.split(' ').nth(1).unwrap();
    insta::assert_snapshot!(redacted(&audit.stdout, &[(store_id, "ID")]), @r"
    store ID generation 1
    received                               5
      duplicate                            0
      rejected                             0
      accepted                             5
    accepted                               5
      in parts                             5
      indexed                              0
      expired                              0
      quarantined                          0
    batches given up                       0
    times replaced                         0
    senders                                1
    adds up
    ");

    let before = answers(&server);
    server.kill();
    let server = home.start();
    assert_eq!(answers(&server), before, "after kill -9");
    assert_eq!(server.ledger()["in_parts"], 5, "from the journal");
    server.stop();
    let server = home.start();
    assert_eq!(answers(&server), before, "after SIGTERM");
    assert_eq!(server.ledger()["indexed"], 5, "a clean stop leaves segments");
    server.kill();
    assert_eq!(answers(&home.start()), before, "after kill -9 of a server without news");
}

#[test]
fn the_audit_holds_what_agents_say_against_what_the_store_has() {
    let server = Home::new().start();
    let headers = [("logq-agent", "web1"), ("logq-epoch", "e1"), ("logq-sequence", "0")];
    assert_eq!(server.ingest("/ingest/jsonl", &headers, LOG.lines().next().unwrap()).status, 200);
    let audit_after = |acknowledged: u64| {
        let heartbeat = json!({
            "agent": "web1", "epoch": "e1", "host": "host1", "sent_at": "2026-01-02T03:04:05Z",
            "ledger": {
                "read": acknowledged, "filtered": 0, "dropped": {}, "dead_lettered": 0, "spooled": 0,
                "acknowledged": acknowledged, "held": 0, "reported": 0,
            },
            "acknowledged_in_epoch": {"records": acknowledged, "batches": 1},
        });
        let answer = server.ingest("/api/v1/agents/heartbeat", &[], heartbeat.to_string());
        assert_eq!(answer.status, 204, "{}", answer.text());
        (server.logq(&["audit"]), server.logq(&["audit", "-o", "json"]))
    };
    let (text, json) = audit_after(1);
    assert_eq!((text.code, json.code), (0, 0), "{text:?}");
    assert!(text.stdout.contains("\nweb1   host1  ") && text.stdout.ends_with("\nadds up\n"));
    let (text, json) = audit_after(3);
    assert_eq!((text.code, json.code), (1, 1), "{text:?}");
    let lost =
        "agent web1: 3 records of epoch e1 were acknowledged, the store has 1: 2 records are LOST";
    assert!(text.stdout.ends_with(&format!("\nDOES NOT ADD UP: {lost}\n")), "{text:?}");
    let json = json.json_lines().swap_remove(0);
    assert_eq!((&json["adds_up"], &json["faults"]), (&json!(false), &json!([lost])));
    assert_eq!(json["agents"][0]["store"]["records_accepted"], 1);
}

#[test]
fn the_exit_code_says_how_a_search_went() {
    let home = Home::new();
    let server = home.start();
    server.jsonl(LOG.lines().next().unwrap());
    let code = |arguments: &[&str]| server.logq(arguments).code;
    assert_eq!(code(&["orders", "--since", "100y"]), 1, "services are no words of the message");
    assert_eq!(code(&["placed", "--since", "100y"]), 0);
    assert_eq!(code(&["search", "placed", "--since", "100y"]), 0);
    assert_eq!(code(&["--since", "100y", "--", "-declined"]), 0);
    assert_eq!(code(&["placed", "--since", "100y", "--tenant", "other"]), 1);

    let nothing = server.logq(&["placed"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (1, ""));
    let said = &nothing.stderr;
    assert!(said.starts_with("logq: nothing found in this time range; newest match "), "{said}");
    assert!(said.contains(" days ago: --since "), "{said}");

    for usage in [
        &["level:("][..],
        &["placed", "--since", "yesterday at noon"],
        &["placed", "--since", "1h", "--until", "2h"],
        &["placed", "--limit", "many"],
        &["placed", "--no-such-flag"],
        &[],
        &["ship"],
        &["ship", "--format", "cobol", "-"],
        &["ship", "/no/such/file.log"],
    ] {
        let output = server.logq(usage);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{usage:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{usage:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_named_with_exit_code_3() {
    // Taken by us, so that no other test gets it, and not listened on.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = socket.local_addr().unwrap();
    let addr = format!("http://{nobody}");
    for arguments in [
        &["placed", "--addr", &addr][..],
        &["audit", "--addr", &addr],
        &["ship", "--give-up-after", "0", "--addr", &addr, LOGQ_MANIFEST],
    ] {
        let output = logq(arguments);
        assert_eq!(output.code, 3, "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(&nobody.to_string()), "{output:?}");
    }
}

/// Any small file of text.
const LOGQ_MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

#[test]
fn standard_input_and_flags_make_a_record() {
    let home = Home::new();
    let server = home.start();
    let input = b"2026-01-02 03:04:05 ERROR job=17 disk is full\n2026-01-02 03:04:06 INFO job=17 disk has room";
    let shipped = server.logq_with_input(
        &[
            "ship",
            "--service=backup",
            "--host=nas",
            "--format=regex",
            r"--pattern=(?<time>\S+ \S+) (?<level>\w+) (?<message>.*)",
            "--time-format=%Y-%m-%d %H:%M:%S",
            "--timezone=Europe/Berlin",
            r"--correlation=job=(\d+)",
            "-",
        ],
        input,
    );
    insta::assert_snapshot!(shipped.stdout, @r"-: 2 lines read, 2 records accepted, 0 lines did not parse (regex)");
    let found = server.logq(&["correlation:17 service:backup host:nas", "--since", "100y"]);
    insta::assert_snapshot!(found.stdout, @r"
    2026-01-02T02:04:06Z INFO  backup 17 job=17 disk has room
    2026-01-02T02:04:05Z ERROR backup 17 job=17 disk is full
    ");
}

/// What the script counts, by log.
fn counts_of_the_script(corpus: &Path) -> BTreeMap<String, Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus_counts.py");
    let output = run(Command::new("python3").arg(script).arg(corpus), b"");
    assert_eq!(output.code, 0, "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap()
}

/// What the server says about one service, in the form of the script.
fn counts_of_the_server(server: &Server, service: &str) -> Value {
    let [total] = server
        .search(&format!(
            "service:{service} | stats count() as n, min(timestamp) as first, max(timestamp) as last"
        ))
        .try_into()
        .unwrap();
    let by_level = server.search(&format!("service:{service} | stats count() as n by level"));
    let severities: BTreeMap<&str, &Value> = by_level
        .iter()
        .map(|row| (row["severity"].as_str().unwrap_or_default(), &row["n"]))
        .collect();
    let milliseconds = |time: &Value| {
        let time = time.as_str().unwrap();
        if time.contains('.') { time.to_owned() } else { time.replace('Z', ".000Z") }
    };
    json!({
        "lines": total["n"],
        "severities": severities,
        "first": milliseconds(&total["first"]),
        "last": milliseconds(&total["last"]),
    })
}

#[test]
fn logs_of_eight_systems_are_counted_as_the_script_counts_them() {
    let Some(corpus) = corpus() else { return };
    let home = Home::new();
    let server = home.start();
    let counts = counts_of_the_script(&corpus);
    assert_eq!(counts.len(), 8);
    for (path, expected) in &counts {
        let (log, year) = (corpus.join(path), expected["year"].to_string());
        let service = path.split('/').next().unwrap();
        let mut arguments = vec!["ship", "--service", service, log.to_str().unwrap()];
        if expected["year"].is_number() {
            arguments.extend(["--year", &year]);
        }
        let shipped = server.logq(&arguments);
        let said = format!(
            "{}: {lines} lines read, {lines} records accepted, 0 lines did not parse ({})\n",
            log.display(),
            expected["preset"].as_str().unwrap(),
            lines = expected["lines"],
        );
        assert_eq!((shipped.code, shipped.stdout), (0, said), "{}", shipped.stderr);
    }
    let check = |server: &Server, when: &str| {
        for (path, expected) in &counts {
            let mut expected = expected.clone();
            expected.as_object_mut().unwrap().retain(|name, _| name != "preset" && name != "year");
            let service = path.split('/').next().unwrap();
            assert_eq!(counts_of_the_server(server, service), expected, "{path} {when}");
        }
        let lines: u64 = counts.values().map(|log| log["lines"].as_u64().unwrap()).sum();
        assert_eq!(server.ledger()["accepted"], lines, "{when}");
    };
    check(&server, "from parts");
    server.stop();
    check(&home.start(), "from segments");
}

#[test]
fn interactions_of_openstack_and_hdfs_are_found_by_their_ids() {
    let Some(corpus) = corpus() else { return };
    let home = Home::new();
    let server = home.start();
    for (format, service, log) in
        [("openstack", "nova", "OpenStack/OpenStack_2k.log"), ("hdfs", "hdfs", "HDFS/HDFS_2k.log")]
    {
        let log = corpus.join(log);
        let output =
            server.logq(&["ship", "--format", format, "--service", service, log.to_str().unwrap()]);
        assert!(output.stdout.contains(" 2000 records accepted"), "{output:?}");
    }
    let lines = |query: &str| {
        let output = server.logq(&[query, "--since", "100y", "-n", "1000", "-o", "json"]);
        assert_eq!(output.code, 0, "{output:?}");
        output.stdout.lines().count()
    };
    assert_eq!(lines("correlation:req-addc1839-2ed5-4778-b57e-5854eb7b8b09"), 398);
    assert_eq!(lines("correlation:req-3ea4052c-895d-4b64-9e2d-04d64c4d94ab"), 130);
    assert_eq!(lines("service:nova level:warn"), 31);

    // The first block of each line, by hand.
    let text = std::fs::read_to_string(corpus.join("HDFS/HDFS_2k.log")).unwrap();
    let mut blocks = BTreeMap::<&str, u64>::new();
    for line in text.lines() {
        let Some(start) = line.find("blk_") else { continue };
        let block = &line[start..];
        let end = block[4..].find(|c: char| !c.is_ascii_digit() && c != '-').map(|end| end + 4);
        *blocks.entry(&block[..end.unwrap_or(block.len())]).or_default() += 1;
    }
    let rows = server.search("service:hdfs correlation:* | stats count() as n by correlation_id");
    let counted: BTreeMap<&str, u64> = rows
        .iter()
        .map(|row| (row["correlation_id"].as_str().unwrap(), row["n"].as_u64().unwrap()))
        .collect();
    assert_eq!(counted, blocks);
    let (most, count) = blocks.iter().max_by_key(|(_, count)| **count).unwrap();
    assert_eq!(lines(&format!("correlation:{most}")) as u64, *count);
    // A whole id is a word of the query too.
    assert_eq!(lines(most) as u64, *count);
}

#[test]
fn a_configuration_is_checked_with_all_its_faults_at_once() {
    let home = Home::new();
    let good = home.write(
        "good.toml",
        "[collector]\nflush_age = \"5s\"\n[agent]\nbatch_age = \"2s\"\n[alerting]\nmax_delay = \"5s\"\n",
    );
    let bad = home.write(
        "bad.toml",
        "[collector]\nflush_agee = \"5s\"\nmemory_max = \"1 KiB\"\n[quary]\nhttp = 1\n[agent]\nbach_age = 7\n",
    );
    let ugly = home.write("ugly.toml", "[collector\n");
    let check = |file: &Path| {
        let output = logq(&["check-config", file.to_str().unwrap()]);
        let replacements = [(file.to_str().unwrap(), "FILE")];
        let [out, err] = [output.stdout, output.stderr].map(|text| redacted(&text, &replacements));
        (output.code, out, err)
    };
    assert_eq!(check(&good), (0, "FILE is fine\n".into(), "".into()));
    let (code, out, err) = check(&bad);
    assert_eq!((code, out.as_str()), (2, ""));
    insta::assert_snapshot!(err, @r"
    FILE:2:1: collector.flush_agee: unknown key; did you mean `flush_age`?
    FILE:3:14: collector.memory_max: 1 KiB is out of bounds, 16 MiB to 1 TiB
    FILE:4:2: quary: unknown table; did you mean `query`?
    FILE:7:1: agent.bach_age: unknown key; did you mean `batch_age`?
    ");
    let (code, out, err) = check(&ugly);
    assert_eq!((code, out.as_str()), (2, ""));
    insta::assert_snapshot!(err, @r"FILE:1:11: not valid TOML: unclosed table, expected `]`");
    let (code, _, err) = check(Path::new("/no/such.toml"));
    assert_eq!(code, 2, "{err}");

    // A server does not start with it either, and touches nothing.
    let mut up = Command::new(LOGQ);
    up.args(["up", "--data"]).arg(home.data()).arg("--config").arg(&bad);
    let output = run(&mut up, b"");
    assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output:?}");
    assert!(output.stderr.contains("did you mean `flush_age`?"), "{output:?}");
    assert!(!home.data().exists());

    let reference = logq(&["check-config", "--reference"]);
    let reference = home.write("reference.toml", reference.stdout);
    assert_eq!(check(&reference), (0, "FILE is fine\n".into(), "".into()));
}

#[test]
fn a_second_process_on_the_same_data_is_told_who_owns_it() {
    let home = Home::new();
    let server = home.start();
    let output = run(&mut home.up(), b"");
    assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output:?}");
    let owner = format!("is in use by logq (process {})", server.pid());
    assert!(output.stderr.contains(&owner), "{output:?}");
    // The owner took no harm, and leaves nothing behind that locks.
    assert_eq!(server.jsonl(LOG.lines().next().unwrap()).accepted(), 1);
    server.kill();
    assert_eq!(home.start().search("*").len(), 1);
}

#[test]
fn data_of_a_newer_version_is_refused_and_left_alone() {
    let home = Home::new();
    let server = home.start();
    assert_eq!(server.jsonl(LOG.lines().next().unwrap()).accepted(), 1);
    server.stop();
    let version = home.data().join("VERSION");
    let known = std::fs::read_to_string(&version).unwrap();
    std::fs::write(&version, "999\n").unwrap();
    let output = run(&mut home.up(), b"");
    assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output:?}");
    assert!(output.stderr.contains("version 999"), "{output:?}");
    assert_eq!(std::fs::read_to_string(&version).unwrap(), "999\n");
    std::fs::write(&version, known).unwrap();
    assert_eq!(home.start().search("*").len(), 1);
}

#[test]
fn the_ready_block_has_commands_that_work() {
    let home = Home::new();
    let server = home.start();
    let replacements = [
        (home.data().to_str().unwrap().to_owned(), "DATA"),
        (server.ingest.clone(), "INGEST"),
        (server.grpc.clone(), "GRPC"),
        (server.query.clone(), "QUERY"),
        (server.alerts.clone(), "ALERTS"),
        (env!("CARGO_PKG_VERSION").to_owned(), "VERSION"),
        (LOGQ.to_owned(), "LOGQ"),
    ];
    let replacements: Vec<_> = replacements.iter().map(|(from, to)| (from.as_str(), *to)).collect();
    insta::assert_snapshot!(redacted(&server.ready_block, &replacements), @r"
    logq VERSION is ready
      data     DATA
      ingest   INGEST
      grpc     GRPC
      query    QUERY
      alerts   ALERTS

      send a file   LOGQ ship --addr INGEST --service NAME FILE
      search        LOGQ --addr QUERY 'level:>=warn'
      stop          Ctrl-C
    ");
    assert!(!server.ingest.ends_with(":0") && !server.query.ends_with(":0"));
}

#[test]
fn health_and_metrics_are_on_every_port() {
    let home = Home::new();
    let server = home.start();
    server.jsonl(LOG);
    assert_eq!(server.search("placed").len(), 2);
    let mut names = Vec::new();
    for port in [&server.ingest, &server.query, &server.alerts] {
        let get = |path: &str| server.http().get(&format!("{port}{path}"));
        for path in ["/health/live", "/health/ready"] {
            let answer = get(path);
            assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("ok")), "{path}");
        }
        let metrics = get("/metrics");
        assert_eq!(metrics.status, 200);
        assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
        names.push(families(&metrics.text()));
        assert_eq!(get("/no/such/path").status, 404);
    }
    assert!(names.iter().all(|it| *it == names[0]), "one process has one set of metrics");
    for name in ["logq_ingest_records_total", "logq_queries_total", "process_resident_memory_bytes"]
    {
        assert!(names[0].contains(name), "{name} is not in {:?}", names[0]);
    }
}

/// The families of an exposition, each of which has to have its help, its type and at least one sample.
fn families(text: &str) -> BTreeSet<String> {
    let (mut helped, mut typed) = (BTreeSet::new(), BTreeMap::new());
    let mut sampled = BTreeSet::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let [kind, name, rest] = comment.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
            assert!(!rest.is_empty(), "{line}");
            let new = match kind {
                "HELP" => helped.insert(name.to_owned()),
                "TYPE" => typed.insert(name.to_owned(), rest).is_none(),
                other => panic!("{other}: {line}"),
            };
            assert!(new, "twice: {line}");
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = sample.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|end| name.strip_suffix(end))
            .find(|family| typed.get(*family) == Some(&"histogram"))
            .unwrap_or(name);
        assert!(typed.contains_key(family), "no TYPE before: {line}");
        let prefixes = ["logq_", "process_", "http_server_"];
        assert!(prefixes.iter().any(|prefix| name.starts_with(prefix)), "{line}");
        sampled.insert(family.to_owned());
    }
    assert_eq!(helped, typed.keys().cloned().collect());
    assert_eq!(helped, sampled);
    sampled
}
