//! What JSON lines mean, line by line.
// The lint knows test functions only, not what they share.
#![allow(clippy::unwrap_used)]

mod support;

use support::{records, records_within, show};
use wire::{DecodeError, Format, Limits, RejectReason};

/// Decodes, and shows what came out: records, then rejections.
fn outcome(body: &[u8]) -> Vec<String> {
    match records(Format::JsonLines, body) {
        Ok((records, decoded)) => {
            let rejected = decoded.rejected.iter().map(|rejected| {
                let line = rejected.line.map_or("-".to_owned(), |line| line.to_string());
                format!("! #{} line {line} {}", rejected.ordinal, rejected.reason.name())
            });
            records.iter().map(show).chain(rejected).collect()
        }
        Err(error) => vec![format!("{} {}: {error}", error.status(), error.code())],
    }
}

fn check(cases: &[(&str, &[&str])]) {
    for (body, expected) in cases {
        assert_eq!(outcome(body.as_bytes()), *expected, "{body}");
    }
}

#[test]
fn keys_with_a_meaning_become_fields() {
    check(&[
        (
            r#"{"@timestamp":"2026-01-02T03:04:05.678Z","level":"WARN","service":"orders","host":"n1","correlation_id":"abc","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","message":"card declined","event_name":"declined","amount":12.5,"retry":true,"n":-3}"#,
            &[
                r#"time=2026-01-02T03:04:05.678Z severity=13 severity_text="WARN" service="orders" host="n1" correlation="abc" trace=4bf92f3577b34da6a3ce929d0e0e4736 span=00f067aa0ba902b7 event="declined" message="card declined" [amount]=12.5 [n]=-3 [retry]=true"#,
            ],
        ),
        // The lowest rank wins wherever it stands; the others stay attributes.
        (
            r#"{"msg":"second","request_id":"r","message":"first","correlation_id":"c"}"#,
            &[r#"correlation="c" message="first" [msg]="second" [request_id]="r""#],
        ),
        (r#"{"correlation_id":"c","request_id":"r"}"#, &[r#"correlation="c" [request_id]="r""#]),
        // Maps flatten to keys that may have a meaning (Elastic's schema).
        (
            r#"{"log":{"level":"error"},"service":{"name":"s"},"host":{"name":"h"},"trace":{"id":"4bf92f3577b34da6a3ce929d0e0e4736"}}"#,
            &[
                r#"severity=17 severity_text="error" service="s" host="h" trace=4bf92f3577b34da6a3ce929d0e0e4736"#,
            ],
        ),
        (
            r#"{"logq.source.agent":"a","logq.source.path":"/x","logq.source.offset":7}"#,
            &[r#"agent="a" path="/x" offset=7"#],
        ),
        (
            r#"{"baggage":"a=1,correlation_id=x%20y;p"}"#,
            &[r#"correlation="x y" [baggage]="a=1,correlation_id=x%20y;p""#],
        ),
        (
            r#"{"baggage":"correlation_id=x","x-request-id":"r"}"#,
            &[r#"correlation="r" [baggage]="correlation_id=x""#],
        ),
    ]);
}

#[test]
fn a_value_that_does_not_fit_its_field_stays_an_attribute() {
    check(&[
        (
            r#"{"trace_id":"abc","span_id":7,"service":3,"host":"","level":35,"correlation_id":true,"severity_number":99}"#,
            &[
                r#"[correlation_id]=true [host]="" [level]=35 [service]=3 [severity_number]=99 [span_id]=7 [trace_id]="abc""#,
            ],
        ),
        // The next rank gets its turn.
        (r#"{"service":3,"app":"shop"}"#, &[r#"service="shop" [service]=3"#]),
        (r#"{"correlation_id":"","request_id":42}"#, &[r#"correlation="42" [correlation_id]="""#]),
        (r#"{"service":["a"],"level":["b"]}"#, &[r#"[level]="[\"b\"]" [service]="[\"a\"]""#]),
    ]);
    let long = "x".repeat(257);
    let body = format!(r#"{{"correlation_id":"{long}"}}"#);
    assert_eq!(outcome(body.as_bytes()), [format!("[correlation_id]={long:?}")]);
}

#[test]
fn severities_are_words_or_pinos_numbers() {
    check(&[
        (r#"{"level":30}"#, &["severity=9"]),
        (r#"{"level":"loud"}"#, &[r#"severity_text="loud""#]),
        (
            r#"{"severity_text":"INFO","severity_number":11}"#,
            &[r#"severity=11 severity_text="INFO""#],
        ),
        (
            r#"{"severity_text":"INFO","severity_number":0}"#,
            &[r#"severity=9 severity_text="INFO""#],
        ),
    ]);
}

#[test]
fn times_are_texts_or_epoch_numbers_and_else_are_kept_as_text() {
    let time = "time=2023-11-14T22:13:20Z";
    check(&[
        (r#"{"time":1700000000}"#, &[time]),
        (r#"{"ts":1700000000000}"#, &[time]),
        (r#"{"ts":"1700000000000000000"}"#, &[time]),
        (r#"{"date":1700000000.25}"#, &["time=2023-11-14T22:13:20.250Z"]),
        (r#"{"timestamp":"2023-11-14 22:13:20"}"#, &[time]),
        (r#"{"timestamp":"yesterday"}"#, &[r#"[logq.timestamp_text]="yesterday""#]),
        (
            r#"{"timestamp":18446744073709551615}"#,
            &[r#"[logq.timestamp_text]="18446744073709551615""#],
        ),
        // A time of another key is better than none.
        (
            r#"{"date":"yesterday","@timestamp":1700000000}"#,
            &[&*format!(r#"{time} [date]="yesterday""#)],
        ),
        (
            r#"{"@timestamp":"yesterday","date":1700000000}"#,
            &[&*format!(r#"{time} [@timestamp]="yesterday""#)],
        ),
        (r#"{"@timestamp":"x","date":"y"}"#, &[r#"[date]="y" [logq.timestamp_text]="x""#]),
        (r#"{"date":"y","@timestamp":"x"}"#, &[r#"[date]="y" [logq.timestamp_text]="x""#]),
        (r#"{"time":true}"#, &["[time]=true"]),
        (
            r#"{"observed_timestamp":1700000000}"#,
            &[&*format!("{time} observed=2023-11-14T22:13:20Z")],
        ),
    ]);
    let (_, decoded) =
        records(Format::JsonLines, b"{\"time\":\"x\"}\n{\"time\":1}\n{\"time\":\"y\"}").unwrap();
    assert_eq!(decoded.timestamps_replaced, 2);
}

#[test]
fn messages_are_text() {
    check(&[
        (r#"{"a":1}"#, &["[a]=1"]),
        (
            r#"{"message":{"a":[1,"x\n",null,{"b":1.5}]}}"#,
            &[r#"message="{\"a\":[1,\"x\\n\",null,{\"b\":1.5}]}""#],
        ),
        (r#"{"msg":42}"#, &[r#"message="42""#]),
        (r#"{"body":{"a":1},"log":"text"}"#, &[r#"message="text" [body.a]=1"#]),
        (r#"{"body":5}"#, &["[body]=5"]),
        (r#"{"message":"tab\tquote\"é\u00e9\ud83d\ude00"}"#, &["message=\"tab\\tquote\\\"éé😀\""]),
        (r#"{"message":""}"#, &[""]),
    ]);
}

#[test]
fn attributes_are_flat_and_unique() {
    check(&[
        (
            r#"{"a":{"b":{"c":1}},"l":[1,{"x":[]},"t",-0.5,1e300,18446744073709551615],"z":null,"e":{}}"#,
            &[r#"[a.b.c]=1 [l]="[1,{\"x\":[]},\"t\",-0.5,1e300,18446744073709551615]""#],
        ),
        (r#"{"a":1,"a":2,"a#2":3,"a":4}"#, &["[a]=1 [a#2]=3 [a#3]=2 [a#4]=4"]),
        (r#"{"a.b":1,"a":{"b":2}}"#, &["[a.b]=1 [a.b#2]=2"]),
        (r#"{"":1,"_":2,"a":{"":3}}"#, &["[_]=1 [_#2]=2 [a._]=3"]),
        (r#"{"k\u00e9y":"v\n"}"#, &[r#"[kéy]="v\n""#]),
        (
            r#"{"big":18446744073709551615,"small":-9223372036854775808}"#,
            &[r#"[big]="18446744073709551615" [small]=-9223372036854775808"#],
        ),
    ]);
    // Enough names for the sorted path.
    let many: Vec<String> = (0..200).map(|n| format!("\"k{}\":{n}", n % 100)).collect();
    let (all, _) =
        records(Format::JsonLines, format!("{{{}}}", many.join(",")).as_bytes()).unwrap();
    assert_eq!(all[0].attributes.len(), 200);
    assert!(all[0].attributes.contains_key("k7#2"));
}

#[test]
fn lines_arrays_and_single_objects_are_told_apart() {
    let two: &[&str] = &["[a]=1", "[a]=2"];
    check(&[
        ("", &[]),
        ("\u{feff} \r\n\n", &[]),
        ("{\"a\":1}\n{\"a\":2}", two),
        ("\u{feff}{\"a\":1}\r\n\r\n  {\"a\":2}  \r\n", two),
        ("[{\"a\":1},{\"a\":2}]", two),
        (" [\n {\n  \"a\": 1\n },\n {\"a\":2}\n]\n", two),
        ("[]", &[]),
        ("[{\"a\":1}]\n[{\"a\":2}]\n", two),
        ("[{\"a\":1}]\n{\"a\":2}\n", two),
        ("{\"a\":1}\n[{\"a\":2}]\n", two),
        ("{\n  \"a\": 1,\n  \"b\": {\n    \"c\": 2\n  }\n}\n", &["[a]=1 [b.c]=2"]),
    ]);
}

#[test]
fn bad_lines_are_rejected_and_good_ones_taken() {
    check(&[
        (
            "{\"a\":1}\n\nnot json\n5\n{\"a\":2}\n{\"a\":\n{\"a\":3} x",
            &[
                "[a]=1",
                "[a]=2",
                "! #1 line 3 malformed",
                "! #2 line 4 not_an_object",
                "! #4 line 6 malformed",
                "! #5 line 7 malformed",
            ],
        ),
        (
            "[1,{\"a\":1},[{\"a\":2}],null,\"x\",{\"a\":3}]",
            &[
                "[a]=1",
                "[a]=3",
                "! #0 line - not_an_object",
                "! #2 line - not_an_object",
                "! #3 line - not_an_object",
                "! #4 line - not_an_object",
            ],
        ),
        ("[2026-01-01] INFO text\n{\"a\":1}\n", &["[a]=1", "! #0 line 1 malformed"]),
    ]);
}

#[test]
fn a_body_without_anything_readable_is_400() {
    for body in
        ["garbage", "{\"a\":", "[{\"a\":1", "[{\"a\":1},{\"a\":2", "5", "[1]", "{}x", "\u{0}"]
    {
        let error = records(Format::JsonLines, body.as_bytes()).unwrap_err();
        assert_eq!((error.status(), error.code()), (400, "malformed_body"), "{body}");
        assert!(error.to_string().contains("line 1"), "{error}");
    }
    assert_eq!(
        outcome(b"{\"secret\": nope}"),
        [
            "400 malformed_body: the body is not valid JSON lines: line 1: expected ident at column 13"
        ]
    );
}

#[test]
fn a_long_line_is_413_and_named() {
    let limits = Limits { record_bytes_max: 20, ..Limits::default() };
    let body = b"{\"a\":1}\n{\"a\":\"aaaaaaaaaaaaaaaaaaaaaaa\"}\n";
    match records_within(Format::JsonLines, body, &limits) {
        Err(error @ DecodeError::LineTooLong { line: 2, bytes: 31, limit_bytes: 20 }) => {
            assert_eq!(error.status(), 413);
        }
        other => panic!("{other:?}"),
    }
    // An element of an array is rejected alone.
    let body = b"[{\"a\":1},\n{\"a\":\"aaaaaaaaaaaaaaaaaaaaaaa\"}]";
    let (all, decoded) = records_within(Format::JsonLines, body, &limits).unwrap();
    assert_eq!((all.len(), decoded.rejected[0].reason), (1, RejectReason::TooLarge));
}

#[test]
fn deep_lines_are_rejected_without_a_stack_overflow() {
    for (open, inner, close) in [
        ("[", "", "]"),
        ("{\"a\":", "1", "}"),
        ("{\"message\":", "1", "}"),
        ("[{\"a\":", "1", "}]"),
    ] {
        let nested = format!("{}{inner}{}", open.repeat(50_000), close.repeat(50_000));
        for body in [format!("{{\"x\":{nested}}}\n{{\"a\":1}}"), format!("{{\"a\":1}}\n{nested}\n")]
        {
            let (all, decoded) = records(Format::JsonLines, body.as_bytes()).unwrap();
            assert_eq!((all.len(), decoded.rejected_total), (1, 1), "{open}");
        }
    }
    let just = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(records(Format::JsonLines, just(64).as_bytes()).is_ok());
    let body = format!("{}\n{{}}", just(65));
    let (_, decoded) = records(Format::JsonLines, body.as_bytes()).unwrap();
    assert_eq!(decoded.rejected[0].reason, RejectReason::TooDeep);
}

#[test]
fn a_long_key_with_many_children_does_not_multiply_without_bound() {
    let children: Vec<String> = (0..2_000).map(|n| format!("\"{n}\":1")).collect();
    let body = format!("{{\"{}\":{{{}}}}}\n{{}}", "k".repeat(50_000), children.join(","));
    let (all, decoded) = records(Format::JsonLines, body.as_bytes()).unwrap();
    assert_eq!((all.len(), decoded.rejected[0].reason), (1, RejectReason::TooLarge));
}

#[test]
fn a_line_that_is_not_utf8_keeps_its_bytes() {
    assert_eq!(
        outcome(b"{\"a\":\"x\xff\"}\n{\"a\":\"\xc3\xa9\"}\n"),
        ["[a]=\"x\u{fffd}\" [logq.original_bytes]=\"eyJhIjoieP8ifQ==\"", "[a]=\"é\""]
    );
}

#[test]
fn only_so_many_rejections_are_described_and_all_are_counted() {
    let body = format!("{{}}\n{}", "x\n".repeat(500));
    let (_, decoded) = records(Format::JsonLines, body.as_bytes()).unwrap();
    assert_eq!((decoded.rejected.len(), decoded.rejected_total), (100, 500));
}
