//! What records real lines of each format become, as golden text, and the rules that hold for all formats.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod read;

use std::fmt::Write;

use agent::format::Format;
use agent::interpret::{Interpreted, SourceSettings};
use agent::time_format::TimeOptions;
use insta::assert_snapshot;
use proptest::prelude::*;
use read::{NOW, Reading};
use record::{Record, Severity, Timestamp, Value, keys};
use regex::Regex;

/// One field a line, absent ones left out, each record under its line.
fn shown(reading: &Reading<'_>, lines: &str) -> String {
    let mut text = String::new();
    for (record, done) in reading.read(lines.as_bytes()) {
        show(&mut text, &record, done);
    }
    text
}

fn show(text: &mut String, record: &Record, done: Interpreted) {
    let observed = if record.timestamp == NOW { " (observed)" } else { "" };
    writeln!(text, "{:?}", record.message).unwrap();
    writeln!(text, "    time {}{observed}", record.timestamp).unwrap();
    if record.severity != Severity::UNSPECIFIED || record.severity_text.is_some() {
        let word = record.severity_text.as_deref().unwrap_or("-");
        writeln!(
            text,
            "    severity {} {} from {word}",
            record.severity.number(),
            record.severity.name()
        )
        .unwrap();
    }
    let fields = [
        ("service", record.service.clone()),
        ("host", record.host.clone()),
        ("correlation_id", record.correlation_id.clone()),
        ("trace_id", record.trace_id.map(|id| id.to_string())),
        ("span_id", record.span_id.map(|id| id.to_string())),
        ("event_name", record.event_name.clone()),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            writeln!(text, "    {name} {value}").unwrap();
        }
    }
    for (name, value) in &record.attributes {
        writeln!(text, "    {name} = {value:?}").unwrap();
    }
    if done != Interpreted::default() {
        writeln!(text, "    {done:?}").unwrap();
    }
}

fn of(format: Format) -> Reading<'static> {
    Reading { format, ..Reading::default() }
}

fn in_year(format: Format, year: i16) -> Reading<'static> {
    let times = TimeOptions { year: Some(year), ..TimeOptions::default() };
    Reading { format, times, ..Reading::default() }
}

#[test]
fn openstack() {
    assert_snapshot!(shown(
        &of(Format::Openstack),
        r#"nova-api.log.1.2017-05-16_13:53:08 2017-05-16 00:00:00.008 25746 INFO nova.osapi_compute.wsgi.server [req-38101a0b-2096-447d-96ea-a692162415ae 113d3a99c3da401fbd62cc2caa5b96d2 54fadb412c4e40cdbaed9335e4c35a9e - - -] 10.11.10.1 "GET /v2/54fadb412c4e40cdbaed9335e4c35a9e/servers/detail HTTP/1.1" status: 200 len: 1893 time: 0.2477829
nova-compute.log.1.2017-05-16_13:55:31 2017-05-16 00:00:04.693 2931 INFO nova.compute.manager [req-3ea4052c-895d-4b64-9e2d-04d64c4d94ab - - - - -] [instance: b9000564-fe1a-409b-b8cc-1e88b294cd1d] VM Started (Lifecycle Event)
2017-05-16 00:00:09.000 2931 WARNING nova.virt.libvirt.imagecache [-] Unknown base file
2024-05-16 00:00:09.000 7 AUDIT cinder.volume [None req-1a2b admin demo] hello
"#
    ));
}

#[test]
fn hdfs() {
    assert_snapshot!(shown(&of(Format::Hdfs), "081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_38865049064139660 terminating\r
081109 204005 35 WARN dfs.FSNamesystem: BLOCK* NameSystem.delete: blk_-1608999687919862906 is added to invalidSet of 10.250.14.224:50010 \r
081332 204005 35 INFO dfs.FSNamesystem: no such day\r
"));
}

#[test]
fn log4j() {
    assert_snapshot!(shown(&of(Format::Log4j), "2015-10-18 18:01:47,978 INFO [main] org.apache.hadoop.mapreduce.v2.app.MRAppMaster: Created MRAppMaster for application appattempt_1445144423722_0020_000001
2015-10-18 18:05:29,570 WARN [ResponseProcessor for block BP-1347369012-10.190.173.170-1444972147527:blk_1073743512_2731] org.apache.hadoop.hdfs.DFSClient: DFSOutputStream ResponseProcessor exception  for block
2015-07-29 17:41:44,747 - INFO  [QuorumPeer[myid=1]/0:0:0:0:0:0:0:0:2181:FastLeaderElection@774] - Notification time out: 3200
2015-07-29 19:04:12,394 - INFO  [/10.10.34.11:3888:QuorumCnxManager$Listener@493] - Received connection request /10.10.34.11:45307
17/06/09 20:10:40 INFO executor.CoarseGrainedExecutorBackend: Registered signal handlers for [TERM, HUP, INT]
\tat java.lang.Thread.run(Thread.java:745)
2024-01-02 12:00:00.123 [http-nio-8080-exec-1] ERROR com.example.Orders - failed
2024-01-02T12:00:00.123+01:00  INFO 4711 --- [           main] com.example.Orders                       : accepted
2024-01-02 12:00:00,123 DEBUG Orders:32 - picked
3000-01-01 00:00:00,000 FATAL some words without a class
"));
}

#[test]
fn apache_error() {
    assert_snapshot!(shown(&of(Format::ApacheError), "[Sun Dec 04 04:47:44 2005] [notice] workerEnv.init() ok /etc/httpd/conf/workers2.properties
[Sun Dec 04 05:15:09 2005] [error] [client 222.166.160.184] Directory index forbidden by rule: /var/www/html/
[Fri Sep 09 10:42:29.902022 2011] [core:error] [pid 35708:tid 4328636416] [client 72.15.99.187:5000] AH00128: File does not exist: /usr/local/apache2/htdocs/favicon.ico
[Fri Sep 09 10:42:29.902022 2011] [ssl:trace3] [pid 35708] [client 2001:db8::1:5000] AH1
"));
}

#[test]
fn apache_access() {
    assert_snapshot!(shown(
        &of(Format::ApacheAccess),
        r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326
192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] "GET /cart?id=7&x=\x22 HTTP/1.1" 502 157 "https://shop.example/" "a \"quoted\" agent caf\xc3\xa9"
shop.example:443 2001:db8::1 - Jane Doe [21/Nov/2026:08:00:00 +0000] "POST /order HTTP/2.0" 304 - "-" "curl/8.5.0" 1234 "more"
192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] "\x16\x03\x01" 400 226 "-" "-"
192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] "-" 408 -
192.0.2.7 - - [99/Nov/2026:08:00:00 +0000] "CONNECT a.example:443 HTTP/1.1" 405 0
192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] "GET / HTTP/1.1 200 7
192.0.2.7 - [21/Nov/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 7
"#
    ));
    let (record, done) = of(Format::ApacheAccess)
        .read(b"192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] \"GET /caf\xe9 HTTP/1.1\" 200 7")
        .remove(0);
    assert_eq!((record.message.as_str(), done.unparsed), ("GET /caf\u{fffd} 200", false));
    assert!(record.attributes.contains_key(keys::ORIGINAL_BYTES));
}

#[test]
fn nginx() {
    assert_snapshot!(shown(
        &of(Format::Nginx),
        r#"192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] "GET /cart?id=7 HTTP/2.0" 499 157 "-" "curl/8.5.0"
192.0.2.7 - jane [21/Nov/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 157 "-" "curl/8.5.0" "198.51.100.4, 192.0.2.7"
192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] "GET / HTTP/1.1" 504 157 "-" "curl/8.5.0" 81 5.002 [shop-orders-80] [] 10.0.0.5:8080, 10.0.0.6:8080 0, 157 5.000, 0.002 504, 200 0b5fd0a5c8b2c2a7d0f2a2f7a8a9b0c1
192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 157 "-" "curl/8.5.0" rt=0.1
2026/11/21 08:00:00 [error] 123#456: *78 open() "/srv/x" failed (2: No such file or directory), client: 192.0.2.7, server: _, request: "GET /x?y=1 HTTP/1.1", upstream: "http://10.0.0.5:8080/x", host: "shop.example:8443", referrer: "https://shop.example/"
2026/11/21 08:00:00 [crit] 123#456: *78 failed, client: 192.0.2.7, server: shop.example, login: "jane"
2026/11/21 08:00:00 [notice] 1#1: start worker processes
192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 157
2026/11/21 08:00:00 [loud] 1#1: words
"#
    ));
}

#[test]
fn envoy_access() {
    assert_snapshot!(shown(
        &of(Format::EnvoyAccess),
        r#"[2026-11-21T08:00:00.123Z] "GET /cart?id=7 HTTP/1.1" 200 - 0 15 5 4 "198.51.100.4" "curl "quoted" 8" "7d1c0e2a-8a5b-4f0e-9d5e-0a1b2c3d4e5f" "shop.example:8443" "10.0.0.5:8080"
[2026-11-21T08:00:00.123Z] "POST /order HTTP/2" 503 UF,URX 12 91 5000 - "-" "-" "-" "shop.example" "-"
[2026-11-21T08:00:00.123Z] "- - -" 0 DC 1 2 3 - "-" "-" "-" "-" "10.0.0.5:8080"
[2026-11-21T08:00:00.123Z] "GET /cart HTTP/1.1" 503 UC upstream_reset_before_response_started{connection_termination} - "-" 0 95 1 - "-" "curl/8.5.0" "7d1c0e2a" "cart:8080" "10.0.0.5:8080" outbound|8080||cart.shop.svc 10.0.0.1:40000 10.0.0.2:8080 10.0.0.3:50000 - default
[2026-11-21T08:00:00.123Z] "GET / HTTP/1.1" 200 - 0 15 5 4 "-" "a" "b" "c"
[2026-11-21T08:00:00.123Z] "GET / HTTP/1.1" 200 - 0 15 5 4 "-" "a" "b" "c" "d
"#
    ));
}

#[test]
fn klog() {
    assert_snapshot!(shown(
        &in_year(Format::Klog, 2025),
        r#"I1121 08:00:00.123456   12345 kubelet.go:123] "Pod \"dns\" updated" pod="kube-system/dns-0" status="ready" count=3 trace_id="4bf92f3577b34da6a3ce929d0e0e4736"
E1121 08:00:00.123456       1 main.go:45] cannot listen: address="[::]:80" in use
W1121 08:00:00.123456       1 main.go:45] "quoted" and more
F1321 08:00:00.123456       1 main.go:45] 
D1121 08:00:00.123456       1 main.go:45] no such level
I1121 08:00:00.123456 main.go:45] no number
"#
    ));
}

#[test]
fn python() {
    assert_snapshot!(shown(
        &of(Format::Python),
        r#"WARNING:root:disk is: nearly full
INFO:     127.0.0.1:40000 - "GET / HTTP/1.1" 200 OK
CRITICAL: stopping
2024-11-21 08:00:00,123 - shop.orders - WARNING - late - again
2024-11-21 08:00:00,123 - ERROR - no name
2024-11-21 08:00:00,123 INFO shop.orders: accepted
2024-11-21 08:00:00,123 [DEBUG] shop.orders: accepted
2024-11-21 08:00:00,123:INFO:shop.orders:accepted
[2024-11-21 08:00:00,123] ERROR in app: Exception on / [GET]
[2024-11-21 08:00:00 +0100] [12] [INFO] Listening at: http://0.0.0.0:8000 (12)
[2024-11-21 08:00:00,123: INFO/ForkPoolWorker-1] Task done
Traceback (most recent call last):
INFO: two spaces would be missing
2024-11-21 08:00:00,123 - shop.orders - LOUD - no such level
"#
    ));
}

#[test]
fn syslog() {
    assert_snapshot!(shown(
        &in_year(Format::Syslog, 2005),
        r#"Jun 14 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=218.188.2.4 
Jun 19 04:09:11 combo syslogd 1.4.1: restart.
Jul  7 08:06:15 combo  -- root[2421]: ROOT LOGIN ON tty2
Dec 10 06:55:46 LabSZ sshd[24200]: pam_unix(sshd:auth): check pass; user unknown
<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8
<13>Oct 11 22:14:15 cron[77]: without a host
<86>2024-01-02T03:04:05.123456+01:00 web-1 sudo: pam_unix(sudo:session): session opened
<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="App\]lication"][logq correlation_id="abc-1"] An application event
<0>1 - - - 4711 - -
"#
    ));
}

#[test]
fn json() {
    assert_snapshot!(shown(
        &of(Format::Json),
        r#"{"time":"2024-01-02T03:04:05.5Z","level":"WARN","msg":"card \"declined\"","service":"payments","correlation_id":"abc","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","amount":12.5,"n":3,"ok":true,"gone":null,"tags":["a", "b"],"http":{"status":502,"url":{"path":"/x"}}}
{"ts":1700000000.25,"log":{"level":"error"},"message":"m","msg":"second","request_id":"r","requestId":"q","big":18446744073709551615,"huge":1e999}
{"time":"3000-01-01T00:00:00Z","level":30,"msg":"","app":"shop","hostname":"h","baggage":"a=1,correlation_id=x%2Fy"}
{"level":"loud","severity_number":17,"trace_id":"nothex","a.b":1,"a":{"b":2}}
{"time":"soon","ts":1700000000,"severity_number":0,"msg":{"a": "b \" [ c", "d":[1, 2]},"service":["x"],"":1,"k":1,"k":2,"k#2":3,"k":4}
{"msg":"cut
not json
"#
    ));
}

#[test]
fn logfmt() {
    assert_snapshot!(shown(
        &of(Format::Logfmt),
        r#"ts=2024-01-02T03:04:05Z level=info msg="hello \"you\"" status=200 took=0.25 zip=007 ok=true flag x-request-id=12 empty=
level=error msg=short caller=main.go:1
just words
"#
    ));
}

#[test]
fn regex() {
    let pattern = r#"^(?<client>\S+) \S+ (?<user>\S+) \[(?<time>[^\]]+)\] "(?<message>[^"]*)" (?<status>\d+) (?<bytes>\S+)"#;
    let times =
        TimeOptions { format: Some("%d/%b/%Y:%H:%M:%S %z".into()), ..TimeOptions::default() };
    let reading =
        Reading { format: Format::Regex, pattern: Some(pattern), times, ..Reading::default() };
    assert_snapshot!(shown(
        &reading,
        r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326
127.0.0.1 - - [99/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 304 -
something else
"#
    ));
}

#[test]
fn an_unparsed_line_has_the_time_of_the_record_before_it() {
    let records = of(Format::Log4j).read(b"lost\n17/06/09 20:10:40 INFO a.B: c\n\tat x\n");
    assert_eq!(records[0].0.timestamp, NOW);
    assert_eq!(records[2].0.timestamp, records[1].0.timestamp);
    assert_eq!(records[2].0.message, "\tat x");
    assert_eq!(records[2].0.attributes[keys::UNPARSED], Value::Bool(true));
    assert!(records[2].1.unparsed && !records[1].1.unparsed);
}

#[test]
fn raw_lines_are_messages_and_parsed() {
    let records = of(Format::Raw).read(b"one\r\n\r\n two ");
    let messages: Vec<_> = records.iter().map(|(record, _)| record.message.as_str()).collect();
    assert_eq!(messages, ["one", "", " two "]);
    assert!(records.iter().all(|(record, done)| record.timestamp == NOW && !done.unparsed));
    assert_eq!(records[1].0.source.offset, Some(5));
}

#[test]
fn bytes_that_are_no_text_are_kept_beside_it() {
    let (record, _) = of(Format::Raw).read(b"caf\xe9 \xff").remove(0);
    assert_eq!(record.message, "caf\u{fffd} \u{fffd}");
    assert_eq!(record.attributes[keys::ORIGINAL_BYTES], Value::String("Y2Fm6SD/".into()));
}

#[test]
fn parts_of_a_long_line_are_marked_and_share_its_fields() {
    let line = format!(
        "2015-10-18 18:01:47,978 WARN [main] a.B: {}\n17/06/09 20:10:40 INFO a.B: c\n",
        "x".repeat(100)
    );
    let reading = Reading { line_bytes_max: Some(64), ..of(Format::Log4j) };
    let records = reading.read(line.as_bytes());
    let marks: Vec<_> =
        records.iter().map(|(record, _)| record.attributes.get(keys::LINE_PART)).collect();
    let mark = |text: &str| Value::String(text.to_owned());
    assert_eq!(marks, [Some(&mark("1/?")), Some(&mark("2/?")), Some(&mark("3/3")), None]);
    for (record, done) in &records[1..3] {
        assert_eq!(record.timestamp, records[0].0.timestamp);
        assert_eq!(record.severity.name(), "warn");
        assert_eq!(*done, Interpreted::default());
    }
    let message: String = records[..3].iter().map(|(record, _)| record.message.as_str()).collect();
    assert_eq!(message, "x".repeat(100));
    assert_eq!(records[2].0.source.offset, Some(128));
}

#[test]
fn the_users_service_and_host_win_and_the_lines_own_stay() {
    let settings = SourceSettings {
        service: Some("nova".into()),
        host: Some("here".into()),
        ..SourceSettings::default()
    };
    let reading = Reading { settings, ..of(Format::Json) };
    let records = reading.read(
        b"{\"service.name\":\"api\",\"hostname\":\"there\"}\n{\"service\":\"nova\"}\nnot json\n",
    );
    for (record, _) in &records {
        assert_eq!(
            (record.service.as_deref(), record.host.as_deref()),
            (Some("nova"), Some("here"))
        );
    }
    assert_eq!(records[0].0.attributes["service.name"], Value::String("api".into()));
    assert_eq!(records[0].0.attributes["hostname"], Value::String("there".into()));
    assert!(records[1].0.attributes.is_empty());
    let syslog = Reading { settings: reading.settings.clone(), ..of(Format::Syslog) };
    let (record, _) = syslog.read(b"Jun 14 15:16:01 combo kernel: x").remove(0);
    assert_eq!(record.attributes["host"], Value::String("combo".into()));
}

#[test]
fn the_correlation_pattern_is_asked_only_where_the_line_has_none() {
    let cases = [
        (r"order=(?<other>\w+) (?<correlation>\w+)", "b"),
        (r"order=(\w+) (\w+)", "a"),
        (r"\bb\b", "b"),
    ];
    for (pattern, expected) in cases {
        let correlation = Some(Regex::new(pattern).unwrap());
        let settings = SourceSettings { correlation, ..SourceSettings::default() };
        let reading = Reading { settings, ..of(Format::Json) };
        let records =
            reading.read(b"{\"msg\":\"order=a b\"}\n{\"msg\":\"order=a b\",\"request_id\":\"own\"}\n{\"msg\":\"\"}");
        let ids: Vec<_> =
            records.iter().map(|(record, _)| record.correlation_id.as_deref()).collect();
        assert_eq!(ids, [Some(expected), Some("own"), None], "{pattern}");
    }
}

#[test]
fn a_correlation_id_that_is_too_long_stays_an_attribute() {
    let long = "x".repeat(257);
    let line = format!("{{\"correlation_id\":\"{long}\",\"request_id\":\"short\"}}");
    let (record, _) = of(Format::Json).read(line.as_bytes()).remove(0);
    assert_eq!(record.correlation_id.as_deref(), Some("short"));
    assert_eq!(record.attributes["correlation_id"], Value::String(long));
}

#[test]
fn a_zone_moves_the_times_of_a_layout() {
    let times = TimeOptions { timezone: Some("America/New_York".into()), ..TimeOptions::default() };
    let reading = Reading { times, ..of(Format::Log4j) };
    let (record, _) = reading.read(b"2015-10-18 18:01:47,978 INFO [main] a.B: c").remove(0);
    assert_eq!(record.timestamp, Timestamp::parse_rfc3339("2015-10-18T22:01:47.978Z").unwrap());
}

#[test]
fn five_thousand_names_and_a_multiplying_key_are_bounded() {
    let members: Vec<_> = (0..5_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let line = format!("{{{},\"k7\":\"again\"}}", members.join(","));
    let (record, done) = of(Format::Json).read(line.as_bytes()).remove(0);
    assert_eq!((record.attributes.len(), done.unparsed), (5_001, false));
    assert_eq!(record.attributes["k7"], Value::I64(7));
    assert_eq!(record.attributes["k7#2"], Value::String("again".into()));

    let line = format!("{{\"{}\":{{{}}}}}", "long".repeat(10_000), members.join(","));
    let (record, done) = of(Format::Json).read(line.as_bytes()).remove(0);
    assert!(done.unparsed && record.message == line);

    let deep = format!("{}1{}", "{\"a\":".repeat(500), "}".repeat(500));
    let (_, done) = of(Format::Json).read(deep.as_bytes()).remove(0);
    assert!(!done.unparsed);
}

/// Pieces that headers are made of, so that arbitrary input gets far into the parsers.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "2015-10-18 18:01:47,978",
        "Jun 14 15:16:01",
        "[Sun Dec 04 04:47:44 2005]",
        "081109 203615",
        "17/06/09 20:10:40",
        " ",
        "  ",
        "INFO",
        "[",
        "]",
        "[main]",
        "a.B",
        ":",
        ": ",
        " - ",
        "-",
        "<13>",
        "1 ",
        "2003-10-11T22:14:15Z",
        "[a b=\"",
        "\\",
        "\"",
        "=",
        "key=",
        "{",
        "}",
        "{\"time\":",
        ",",
        "123",
        "[req-1 ",
        "[pid 1:tid 2]",
        "[client ::1:5]",
        "\n",
        "\r",
        "é",
        "\0",
        "%",
        "\u{feff}",
        "blk_-",
        "192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] \"GET /",
        "?x HTTP/1.1\" 200 7",
        " \"-\"",
        "\\x22",
        "[2026-11-21T08:00:00.123Z] \"GET / HTTP/1.1\" 200 - 0 15 5 4",
        "2026/11/21 08:00:00 [error] 1#1: *7 ",
        ", client: ",
        ", request: \"",
        "I1121 08:00:00.123456   1 a.go:1] ",
        "\"m\" k=\"v\"",
        "INFO:",
        "a.B:",
    ];
    prop_oneof![
        8 => proptest::sample::select(words.to_vec()).prop_map(|word: &str| word.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #[test]
    fn no_bytes_make_any_format_panic_and_every_line_gives_a_record(
        pieces in proptest::collection::vec(piece(), 0..30),
        line_bytes_max in 4_usize..200,
    ) {
        let input = pieces.concat();
        let correlation = Some(Regex::new("[0-9]+").unwrap());
        for format in Format::ALL {
            let reading = Reading {
                format,
                pattern: Some(r"(?<time>\d+)?(?<message>.*)"),
                settings: SourceSettings { correlation: correlation.clone(), ..SourceSettings::default() },
                line_bytes_max: Some(line_bytes_max),
                ..Reading::default()
            };
            for (record, _) in reading.read(&input) {
                prop_assert!(record.service.as_deref() != Some("") && record.host.as_deref() != Some(""));
                prop_assert!(record.correlation_id.is_none_or(|id| (1..=256).contains(&id.len())));
            }
        }
    }
}
