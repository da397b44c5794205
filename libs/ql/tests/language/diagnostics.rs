//! Golden diagnostics, with their carets.

/// What is said about each query, errors and warnings.
fn report(queries: &[&str]) -> String {
    let reports = queries.iter().map(|query| match ql::parse(query) {
        Ok(parsed) if parsed.warnings.is_empty() => panic!("nothing is said about {query}"),
        Ok(parsed) => ql::Diagnostics(parsed.warnings).render(query),
        Err(wrong) => wrong.render(query),
    });
    reports.collect::<Vec<_>>().join("\n\n")
}

#[test]
fn unclosed_and_empty_things() {
    insta::assert_snapshot!(report(&[
        "level:error \"card declined",
        "service:\"a",
        "(a OR b",
        "(level:error | head 5",
        "a) b",
        "()",
        "\"\"",
        "msg:\" \"",
        "a | stats count( | head",
    ]));
}

#[test]
fn dangling_operators() {
    insta::assert_snapshot!(report(&[
        "a OR",
        "OR a",
        "a OR OR b",
        "a AND",
        "AND a",
        "a AND OR b",
        "NOT",
        "a (NOT)",
        "f:(a OR)",
        "a || head",
    ]));
}

#[test]
fn missing_and_unsuitable_values() {
    insta::assert_snapshot!(report(&[
        "service:",
        "service: orders",
        "(service:)",
        "duration_ms:>",
        "f:~",
        "msg:>5",
        "any:>5",
        "trace:[1 TO 2]",
        "level:err*",
        "time:2026-*",
        "record_seq:abc",
        "f:>a*",
        "---",
        "&&",
        "msg:---",
        "nova-*",
        "?",
    ]));
}

#[test]
fn levels_times_ids_and_networks() {
    insta::assert_snapshot!(report(&[
        "level:eror timeout",
        "level:(warn OR loud)",
        "level:>=25",
        "time:yesterday",
        "time:>now-15m",
        "trace:abc",
        "span:0000000000000000",
        "client.ip:10.0.0.0/33",
        "client.ip:::/129",
    ]));
}

#[test]
fn ranges() {
    insta::assert_snapshot!(report(&[
        "f:[1 TO",
        "f:[1 2]",
        "f:[abc",
        "f:[5 TO 1]",
        "f:[1 TO b]",
        "f:[a* TO b]",
        "time:[2026-02 TO 2026-01]",
        "level:[error TO warn]",
        "level:>fatal",
        "f:[1 TO 2) x",
    ]));
}

#[test]
fn regexes_and_escapes() {
    insta::assert_snapshot!(report(&[
        "msg:/(a/",
        "msg://",
        "f:~/a/",
        r"path:C:\temp",
        r#"path:"C:\dir" x"#,
        r"user:/\d{1000}{1000}/",
    ]));
}

#[test]
fn several_faults_at_once() {
    insta::assert_snapshot!(report(&[
        "level:eror service: x\nOR time:noon (a OR) client.ip:1.1.1.1/99"
    ]));
}

#[test]
fn stages_that_cannot_be_told() {
    insta::assert_snapshot!(report(&["a |", "a | | head", "a | 5", "a | where x == \"y"]));
}

#[test]
fn warnings() {
    insta::assert_snapshot!(report(&[
        "level=error",
        "x duration_ms>=500",
        "levle:error",
        "request_id:abc",
        "http://example.com/x",
        "timeout or refused",
        "user:'two",
        "from span service:x",
    ]));
}

#[test]
fn bounds() {
    let deep = "(".repeat(100_000);
    let many = "a ".repeat(1_025);
    let codes = |query: &str| {
        let wrong = ql::parse(query).unwrap_err();
        wrong.0.iter().map(|one| one.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(&deep), ["query_too_long"]);
    assert_eq!(codes(&deep[..60_000]), ["too_deep"]);
    assert_eq!(codes(&"f:(".repeat(10_000)), ["too_deep"]);
    assert_eq!(codes(&many), ["too_many_terms"]);
    assert!(ql::parse(&"a ".repeat(1_024)).is_ok());
    assert!(ql::parse(&format!("{}a", "-".repeat(60_000))).is_ok());
    assert!(ql::parse(&format!("{}a{}", "(".repeat(64), ")".repeat(64))).is_ok());
    assert_eq!(codes(&"|x".repeat(65)), ["too_many_stages"]);
    assert_eq!(codes(&"f:/a/ ".repeat(65)), ["too_many_regexes"]);
    assert_eq!(codes(&format!("f:{}*", "a".repeat(2_000))), ["wildcard_too_long"]);
    assert_eq!(codes(&format!("\"{}\"", "a ".repeat(257))), ["phrase_too_long"]);
    assert_eq!(codes(&format!("{}:x", "a".repeat(1_025))), ["name_too_long"]);
    assert_eq!(codes(&") ".repeat(30_000)).len(), ql::DIAGNOSTICS_MAX);
    assert_eq!(codes(&"level:x ".repeat(100)).len(), ql::DIAGNOSTICS_MAX);
}

/// Warnings once counted towards the bound at which the parser stops: the rest of the query was not read.
#[test]
fn many_warnings_do_not_shorten_the_query() {
    let parsed = ql::parse(&format!("{} last | head 5", "a=b ".repeat(100))).unwrap();
    assert_eq!(parsed.warnings.len(), ql::DIAGNOSTICS_MAX);
    assert!(parsed.filter.to_string().ends_with(" last"));
    assert_eq!(parsed.stages.len(), 1);
}
