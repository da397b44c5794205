//! Golden table: which filters find a record, by the naive evaluator; and what they print as.

use record::{Record, Severity, Source, SpanId, Timestamp, TraceId, Value};

pub(crate) fn order() -> Record {
    let attributes = [
        ("http.status", Value::I64(500)),
        ("duration_ms", Value::F64(250.5)),
        ("elapsed", Value::I64(2_000_000_000)),
        ("took", Value::String("1.5s".into())),
        ("size", Value::I64(2_097_152)),
        ("body_size", Value::String("10kB".into())),
        ("retry", Value::Bool(true)),
        ("code", Value::String("500".into())),
        ("big", Value::I64(9_007_199_254_740_993)),
        ("half", Value::F64(0.5)),
        ("url.path", Value::String("/api/orders/7".into())),
        ("client.ip", Value::String("10.1.2.3".into())),
        ("client.ip6", Value::String("2001:db8::7".into())),
        ("user", Value::String("u-42".into())),
        ("Größe", Value::String("ÄRGER".into())),
        ("odd name", Value::String("a\"b\\c".into())),
        ("span", Value::String("inner".into())),
        ("at", Value::String("2026-01-01T10:00:00Z".into())),
        ("empty", Value::String(String::new())),
    ];
    Record {
        timestamp: Timestamp::parse_rfc3339("2026-01-01T10:30:00.500Z").expect("a time"),
        observed_timestamp: Timestamp::parse_rfc3339("2026-01-01T10:30:01Z").expect("a time"),
        severity: Severity::from_number(17).expect("below 25"),
        severity_text: Some("ERR".into()),
        service: Some("orders".into()),
        host: Some("nova-1".into()),
        correlation_id: Some("abc-123".into()),
        trace_id: TraceId::from_hex("4bf92f3577b34da6a3ce929d0e0e4736"),
        span_id: SpanId::from_hex("00f067aa0ba902b7"),
        message: "Card declined: nova-compute FAILED after timeout {x=1}".into(),
        event_name: Some("order.failed".into()),
        attributes: attributes.map(|(name, value)| (name.to_owned(), value)).into(),
        source: Source {
            agent: Some("agent-1".into()),
            path: Some("/var/log/app.log".into()),
            offset: Some(4_096),
        },
    }
}

/// Each query finds (or not) the order with record_seq 7, and so does what its filter prints as.
fn check(expected: bool, queries: &[&str]) {
    let record = order();
    for query in queries {
        let parsed = ql::parse(query).unwrap_or_else(|wrong| panic!("{}", wrong.render(query)));
        assert_eq!(ql::matches(&parsed.filter, &record, Some(7)), expected, "{query}");
        let borrowed = record.with_ref(|record| parsed.filter.matches_ref(record, Some(7)));
        assert_eq!(borrowed, expected, "{query} of the borrowed record");
        let printed = parsed.filter.to_string();
        let again =
            ql::parse(&printed).unwrap_or_else(|wrong| panic!("{}", wrong.render(&printed)));
        assert_eq!(again.filter, parsed.filter, "{query} printed as {printed}");
        let negated = format!("-({query})");
        if !query.is_empty() && !query.contains('|') {
            let filter = ql::parse(&negated).expect("it parsed without the `-`").filter;
            assert_eq!(ql::matches(&filter, &record, Some(7)), !expected, "{negated}");
        }
    }
}

#[test]
fn words_are_of_the_message_or_whole_ids() {
    check(
        true,
        &[
            "",
            "*",
            "  * ",
            "declined",
            "DECLINED",
            "nova-compute",
            "\"card declined\"",
            "\"nova compute failed\"",
            "abc-123",
            "\"abc-123\"",
            "4BF92F3577B34DA6A3CE929D0E0E4736",
            "fail*",
            "*out",
            "f?iled",
            "d*d",
            "x=1",
            "\"fail-\" OR card",
            "\"card declined nova\"",
        ],
    );
    check(
        false,
        &[
            "decline",
            "\"declined card\"",
            "abc",
            "orders",
            "nova-failed",
            "fail",
            "f?led",
            "-*",
            "\"abc 123\"",
            "ABC-123",
            "500",
        ],
    );
}

#[test]
fn the_message_can_be_asked_as_a_whole() {
    check(
        true,
        &[
            "msg:declined",
            "message:\"card declined\"",
            "body:nova-compute",
            "msg:fail*",
            "msg:*",
            r"msg:/nova-\w+ FAILED/",
            r"msg:/\{x=1\}$/",
            "msg:~\"card declined: NOVA-compute failed after timeout {x=1}\"",
            "msg:=\"Card declined: nova-compute FAILED after timeout {x=1}\"",
            "msg:~card*1\\}",
            "msg:(card OR nothing)",
            "msg:(card declined -nothing)",
        ],
    );
    check(
        false,
        &["msg:abc-123", "msg:/card/", "msg:=declined", "msg:~card", "msg:(card nothing)"],
    );
}

#[test]
fn attributes_are_compared_by_the_type_of_the_record() {
    check(
        true,
        &[
            "http.status:500",
            "http.status:500.0",
            "http.status:5e2",
            "http.status:\"500\"",
            "http.status:=500",
            "code:500",
            "http.status:5*",
            "http.status:/^50/",
            "retry:true",
            "retry:~TRUE",
            "retry:t*",
            "half:0.5",
            "duration_ms:250.5",
            "elapsed:2s",
            "size:2MiB",
            "code:>\"4\"",
            "at:>=2026-01-01",
            "at:[2026-01-01 TO 2026-01-02]",
            "big:9007199254740993",
            "big:>9007199254740992",
            "empty:\"\"",
            "empty:=\"\"",
            "user:~U-42",
            "Größe:~ärger",
            "Größe:~Ä*",
            "\"odd name\":\"a\\\"b\\\\c\"",
            "\"odd name\":a\\\"b\\\\c",
            "\"span\":inner",
            "url.path:\"/api/orders/7\"",
        ],
    );
    check(
        false,
        &[
            "http.status:50",
            "http.status:\"500.0x\"",
            "code:500.0",
            "code:>4",
            "code:[1 TO 999]",
            "retry:1",
            "retry:>0",
            "big:9007199254740992",
            "big:>9007199254740993",
            "user:U-42",
            "user:>5",
            "took:>1",
            "missing:*",
            "missing:\"\"",
            "http.status:>\"4\"",
            "Größe:ärger",
            "span:0000000000000001",
        ],
    );
}

#[test]
fn comparisons_know_units() {
    check(
        true,
        &[
            "http.status:>499",
            "http.status:>=500",
            "http.status:<500.5",
            "http.status:[500 TO 599]",
            "http.status:{499 TO 500]",
            "http.status:[* TO 500]",
            "http.status:[500 TO *}",
            "duration_ms:>250",
            "duration_ms:>250ms",
            "duration_ms:<0.251s",
            "elapsed:>=2s",
            "elapsed:[1s TO 1m]",
            "took:>1s",
            "took:<=1500ms",
            "took:[1s TO 2s]",
            "size:>1MiB",
            "size:<=2097152B",
            "body_size:>=10kB",
            "body_size:{9kB TO 11kB}",
            "http.status:[* TO *]",
            "elapsed:[0 TO 1h]",
        ],
    );
    check(
        false,
        &[
            "http.status:>500",
            "http.status:{500 TO 599]",
            "http.status:[400 TO 500}",
            "duration_ms:>1s",
            "elapsed:<2s",
            "took:>2s",
            "body_size:>10000",
            "took:>1kB",
        ],
    );
}

#[test]
fn text_patterns_see_the_whole_value_and_regexes_any_part() {
    check(
        true,
        &[
            "url.path:/api/*",
            "url.path:*/orders/?",
            "url.path:/orders/",
            "url.path:/^\\/api/",
            "user:/^u-[0-9]+$/",
            "user:u?42",
            "client.ip:10.0.0.0/8",
            "client.ip:10.1.2.3/32",
            "client.ip6:2001:db8::/32",
            "client.ip6:2001:db8::7",
            "service:(orders OR payments)",
            "service:o*",
            "host:nova-1",
            "correlation:abc-123",
            "correlation:abc*",
            "source.path:/var/log/*",
            "source.agent:agent-1",
            "event:order.failed",
            "severity_text:ERR",
            "severity_text:~err",
            "service:>m",
            "service:[a TO z]",
        ],
    );
    check(
        false,
        &[
            "url.path:/api",
            "url.path:/API/*",
            "user:/^[0-9]/",
            "client.ip:11.0.0.0/8",
            "client.ip:\"10.0.0.0/8\"",
            "service:Orders",
            "service:order",
            "-service:orders",
            "service:(payments OR -orders)",
            "correlation:ABC-123",
            "service:>p",
        ],
    );
}

#[test]
fn fixed_fields_have_their_own_kinds() {
    check(
        true,
        &[
            "level:error",
            "level:ERR",
            "severity:>=warn",
            "level:>warn",
            "level:<fatal",
            "level:17",
            "level:[warn TO error]",
            "level:{warn TO fatal}",
            "level:(error OR fatal)",
            "level:*",
            "level:<=error",
            "level:>16",
            "level:~Error",
            "level:\"error\"",
            "time:2026",
            "time:2026-01",
            "time:2026-01-01",
            "time:2026-01-01T10",
            "time:2026-01-01T10:30Z",
            "time:>=2026-01-01T10:30:00Z",
            "time:<2026-01-01T10:31",
            "time:>2026-01-01T09",
            "time:[2026-01-01 TO 2026-01-01]",
            "time:>=1767263400",
            "time:*",
            "observed:2026-01-01T10:30:01Z",
            "trace:4BF92f3577b34da6a3ce929d0e0e4736",
            "trace:4bf9*",
            "trace:4BF9*",
            "trace:/^4bf9/",
            "trace:*",
            "span:00f067aa0ba902b7",
            "record_seq:7",
            "record_seq:[1 TO 7]",
            "record_seq:>6",
            "source.offset:4096",
            "source.offset:>4000",
        ],
    );
    check(
        false,
        &[
            "level:warn",
            "level:>error",
            "level:{error TO fatal}",
            "level:18",
            "level:<error",
            "level:0",
            "time:2026-01-02",
            "time:>2026-01-01",
            "time:2026-01-01T10:30:00Z",
            "time:<2026-01-01T10",
            "trace:4bf92f3577b34da6a3ce929d0e0e4737",
            "trace:5*",
            "record_seq:8",
            "source.offset:<4096",
        ],
    );
}

#[test]
fn any_searches_everywhere_but_in_names_and_numbers_of_fixed_fields() {
    check(
        true,
        &[
            "any:declined",
            "any:\"card declined\"",
            "any:u-42",
            "any:500",
            "any:orders",
            "any:abc-123",
            "any:4bf92f3577b34da6a3ce929d0e0e4736",
            "any:00F067AA0BA902B7",
            "any:true",
            "any:fail*",
            "any:/api/*",
            "any:/^u-/",
            "any:~ÄRGER",
            "any:10.0.0.0/8",
            "any:*",
            "any:(zzz OR u-42)",
            "any:order.failed",
            "any:agent-1",
            "any:ERR",
            "any:\"1.5s\"",
        ],
    );
    check(false, &["any:zzz", "any:http.status", "any:4096", "any:ORDERS", "any:11.0.0.0/8"]);
}

#[test]
fn operators_bind_as_documented() {
    check(
        true,
        &[
            "declined level:error",
            "declined AND level:error",
            "zzz yyy OR declined",
            "declined OR zzz yyy",
            "(declined OR zzz) level:error",
            "-zzz",
            "NOT zzz",
            "NOT NOT declined",
            "--declined",
            "-missing:x",
            "-(zzz OR yyy)",
            "((declined))",
            "card -(zzz)",
            "* declined",
            "AND:x OR declined",
            "declined(card)",
            "\"card\"\"declined\"",
        ],
    );
    check(
        false,
        &[
            "zzz OR yyy",
            "declined zzz",
            "-declined",
            "NOT declined OR zzz",
            "declined -card",
            "-(zzz OR card)",
        ],
    );
}

#[test]
fn a_record_without_the_fields_matches_only_their_negation() {
    let record = Record::default();
    for (query, expected) in [
        ("*", true),
        ("msg:*", false),
        ("level:*", false),
        ("level:0", true),
        ("level:<error", false),
        ("level:<=24", false),
        ("-level:error", true),
        ("service:*", false),
        ("-service:x", true),
        ("trace:*", false),
        ("record_seq:*", false),
        ("record_seq:[0 TO *]", false),
        ("time:*", true),
        ("any:x", false),
        ("msg:=\"\"", true),
    ] {
        let filter = ql::parse(query).unwrap().filter;
        assert_eq!(filter.matches(&record, None), expected, "{query}");
    }
}

#[test]
fn filters_print_in_their_canonical_form() {
    for (query, printed) in [
        ("a b OR c", "(a b) OR c"),
        ("level:>=warn service:(a OR b) -x", "severity:>=13 (service:=a OR service:=b) -x"),
        ("level:error", "severity:error"),
        ("\"Two words\" fail*", "message:\"Two words\" message:fail*"),
        ("url.path:/api/* f:/a\\/b/", r"url.path:\/api\/* f:/a\/b/"),
        ("duration_ms:>1500us x:[1KiB TO *]", "duration_ms:>1500us x:>=1KiB"),
        ("\"span\":x \"odd name\":y", "\"span\":=x \"odd name\":=y"),
        ("time:2026-01-01", "timestamp:[2026-01-01T00:00:00Z TO 2026-01-01T23:59:59.999999999Z]"),
        ("* -*", "-*"),
        ("a (b (c))", "a b c"),
    ] {
        assert_eq!(ql::parse(query).unwrap().filter.to_string(), printed);
    }
}
