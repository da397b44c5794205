//! What Zipkin's spans mean.
// The lint knows test functions only, not what they share.
#![allow(clippy::unwrap_used)]

mod support;

use support::{records, show};
use wire::{Format, RejectReason};

fn one(span: &str) -> String {
    show(&records(Format::ZipkinJson, format!("[{span}]").as_bytes()).unwrap().0[0])
}

#[test]
fn every_field_of_a_span_is_kept() {
    assert_eq!(
        one(
            r#"{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","id":"00f067aa0ba902b7","parentId":"00f067aa0ba902b6",
            "name":"get /items","kind":"SERVER","timestamp":1700000000000000,"duration":250,
            "localEndpoint":{"serviceName":"shop","ipv4":"10.0.0.1","port":8080},
            "remoteEndpoint":{"serviceName":"web","ipv4":"10.0.0.2","ipv6":"::1","port":443},
            "annotations":[{"timestamp":1700000000000100,"value":"wire \"send\""}],
            "tags":{"http.path":"/items","correlation_id":"c-1","host.name":"n1","kind":"mine"},"debug":true,"shared":true,"new":[1]}"#
        ),
        concat!(
            r#"time=2023-11-14T22:13:20Z service="shop" host="n1" correlation="c-1" "#,
            r#"trace=4bf92f3577b34da6a3ce929d0e0e4736 span=00f067aa0ba902b7 message="get /items" "#,
            r#"[attribute.kind]="mine" [duration]=250000 "#,
            r#"[events]="[{\"time\":1700000000000100000,\"name\":\"wire \\\"send\\\"\",\"attributes\":{}}]" "#,
            r#"[http.path]="/items" [kind]="server" [network.local.address]="10.0.0.1" [network.local.port]=8080 "#,
            r#"[network.peer.address]="10.0.0.2" [network.peer.port]=443 [parent_span_id]="00f067aa0ba902b6" "#,
            r#"[peer.service]="web" [status]="unset" [zipkin.debug]=true [zipkin.ipv6]="::1" [zipkin.shared]=true"#,
        )
    );
}

#[test]
fn short_ids_are_filled_up_and_odd_ones_are_kept() {
    assert_eq!(
        one(r#"{"traceId":"A3CE929D0E0E4736","id":"b7","parentId":"0"}"#),
        "trace=0000000000000000a3ce929d0e0e4736 span=00000000000000b7 [status]=\"unset\""
    );
    assert_eq!(
        one(r#"{"traceId":"xyz","id":"4bf92f3577b34da6a3ce929d0e0e4736","parentId":""}"#),
        "[span_id]=\"4bf92f3577b34da6a3ce929d0e0e4736\" [status]=\"unset\" [trace_id]=\"xyz\""
    );
}

#[test]
fn the_tag_error_is_the_status() {
    for (tag, expected) in [
        (r#""timeout""#, r#"[status]="error" [status_message]="timeout""#),
        (r#""""#, r#"[status]="error""#),
        (r#""true""#, r#"[status]="error""#),
        ("true", r#"[status]="error""#),
        ("null", r#"[status]="unset""#),
    ] {
        assert_eq!(one(&format!("{{\"tags\":{{\"error\":{tag}}}}}")), expected);
    }
}

#[test]
fn what_zipkin_has_not_is_kept_all_the_same() {
    for (span, expected) in [
        (
            r#"{"timestamp":"1700000000000000","duration":-5}"#,
            "time=2023-11-14T22:13:20Z [duration]=-5000 ",
        ),
        (r#"{"duration":9223372036854775807}"#, "[attribute.duration]=9223372036854775807 "),
        (r#"{"timestamp":"soon"}"#, "[logq.timestamp_text]=\"soon\" "),
        (r#"{"timestamp":-1}"#, "[logq.timestamp_text]=\"-1\" "),
        (
            r#"{"kind":"LOCAL","annotations":[],"tags":null,"localEndpoint":null}"#,
            "[attribute.kind]=\"LOCAL\" ",
        ),
        (r#"{"kind":"internal","annotations":[5,null]}"#, "[kind]=\"internal\" "),
    ] {
        assert_eq!(one(span), format!("{expected}[status]=\"unset\""), "{span}");
    }
    assert_eq!(
        one(r#"{"tags":{"n":1,"t":[1,{"a":null}],"":"e"}}"#),
        r#"[_]="e" [n]=1 [status]="unset" [t]="[1,{\"a\":null}]""#
    );
}

#[test]
fn a_bad_span_is_rejected_alone_and_no_array_is_400() {
    let body = format!(
        r#"[7,{{"name":"a"}},{{"tags":{{"deep":{}{}}}}}]"#,
        "[".repeat(100),
        "]".repeat(100)
    );
    let (all, decoded) = records(Format::ZipkinJson, body.as_bytes()).unwrap();
    let reasons: Vec<_> = decoded.rejected.iter().map(|rejected| rejected.reason).collect();
    assert_eq!((all.len(), reasons), (1, vec![RejectReason::NotAnObject, RejectReason::TooDeep]));
    assert!(records(Format::ZipkinJson, b"[]").unwrap().0.is_empty());
    for body in ["", "{}", "7", "[{}", "\"secret\""] {
        let error = records(Format::ZipkinJson, body.as_bytes()).unwrap_err();
        assert_eq!(error.status(), 400, "{body}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
