//! Properties of all queries: no panic, printing and parsing again, De Morgan's laws on records.

use proptest::prelude::*;
use ql::Filter;
use record::{Record, Severity, SpanId, Timestamp, TraceId, Value};

/// Texts that look like queries, for the parser to stumble over.
fn soup() -> impl Strategy<Value = String> {
    let parts = prop_oneof![
        4 => prop::sample::select(vec![
            "level:", "f:", "time:", "trace:", "msg:", "any:", "(", ")", "[", "]", "{", "}", " TO ", " OR ",
            " AND ", "NOT ", "-", "\"", "/", "\\", "*", "?", "~", ">", ">=", "<", "=", "|", " ", "\n", "error",
            "5m", "1KiB", "10.0.0.0/8", "2026-01-01", "from spans ", "stats count()", "é", "カ", "İ", "::", "'",
        ]).prop_map(str::to_owned),
        1 => ".{0,3}",
    ];
    prop::collection::vec(parts, 0..40).prop_map(|parts| parts.concat())
}

/// Single terms that parse.
fn term() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("f".to_owned()),
        Just("duration_ms".to_owned()),
        Just("service".to_owned()),
        Just("any".to_owned()),
        Just("message".to_owned()),
        "[a-z]{1,3}".prop_map(|name| format!("\"{name} x\"")),
    ];
    let text = prop_oneof![
        "[a-c0-9]{1,3}".prop_map(|text| text),
        "[aA-cé İ\"\\\\*?/|():]{0,5}".prop_map(|text| {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"x{escaped}\"")
        }),
    ];
    let value = prop_oneof![
        text.clone(),
        text.clone().prop_map(|text| format!("={text}")),
        text.clone().prop_map(|text| format!("~{text}")),
        Just("*".to_owned()),
        "[a-c]{1,2}[*?][a-c]{0,2}".prop_map(|text| text),
        "~[A-C]{1,2}[*?][a-c]{0,2}".prop_map(|text| text),
        "/[a-c|.]{1,4}/".prop_map(|text| text),
    ];
    let attribute = prop_oneof![
        (-3_i64..3, 0_i64..3).prop_map(|(low, more)| format!("f:[{low} TO {}}}", low + more)),
        (any::<f64>())
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(|number| format!("f:>={number:?}")),
        (0_u32..5000).prop_map(|number| format!("duration_ms:<{number}us")),
        (0_u32..5000).prop_map(|number| format!("f:>{number}KiB")),
        "[a-c\" ]{1,3}".prop_map(|text| format!("f:>\"{}\"", text.replace('"', "\\\""))),
        Just("f:10.1.0.0/16".to_owned()),
        (0_u8..25).prop_map(|number| format!("level:>={number}")),
        (0_u8..25, 0_u8..25).prop_map(|(a, b)| format!("level:[{} TO {}]", a.min(b), a.max(b))),
        prop::sample::select(vec![
            "level:error",
            "level:<warn",
            "level:>fatal",
            "trace:*",
            "trace:4b*",
            "time:2026",
            "time:>2026-01-01T10",
            "time:<1700000000",
            "record_seq:>3",
            "span:00f067aa0ba902b7"
        ])
        .prop_map(str::to_owned),
    ];
    prop_oneof![text, (name, value).prop_map(|(name, value)| format!("{name}:{value}")), attribute]
}

fn query() -> impl Strategy<Value = String> {
    term().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|all| format!("({})", all.join(" "))),
            prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|all| format!("({})", all.join(" OR "))),
            inner.prop_map(|one| format!("-{one}")),
        ]
    })
}

fn record() -> impl Strategy<Value = Record> {
    let text = || "[a-cA-C0-9é ]{0,6}";
    let value = prop_oneof![
        text().prop_map(Value::String),
        (-3_i64..5000).prop_map(Value::I64),
        any::<i64>().prop_map(Value::I64),
        (-3.0_f64..3.0).prop_map(Value::from_f64),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::String("10.1.2.3".into())),
    ];
    let attributes = prop::collection::btree_map(
        prop::sample::select(vec!["f", "duration_ms", "a x"]).prop_map(str::to_owned),
        value,
        0..3,
    );
    (text(), attributes, 0_i64..25, prop::option::of("[a-c]{1,3}"), any::<bool>()).prop_map(
        |(message, attributes, severity, service, ids)| Record {
            timestamp: Timestamp(1_767_263_400_000_000_000),
            severity: Severity::from_number(severity).expect("below 25"),
            correlation_id: service.clone().filter(|_| ids),
            service,
            message,
            trace_id: TraceId::from_hex("4bf92f3577b34da6a3ce929d0e0e4736").filter(|_| ids),
            span_id: SpanId::from_hex("00f067aa0ba902b7").filter(|_| !ids),
            attributes,
            ..Record::default()
        },
    )
}

fn parse(query: &str) -> Filter {
    ql::parse(query).unwrap_or_else(|wrong| panic!("{}", wrong.render(query))).filter
}

fn check_soup(text: &str) -> Result<(), TestCaseError> {
    match ql::parse(text) {
        Ok(parsed) => {
            let printed = parsed.filter.to_string();
            prop_assert_eq!(parse(&printed), parsed.filter, "printed as {}", printed);
            for call in &parsed.stages {
                prop_assert_eq!(&text[call.args.span.start..call.args.span.end], &call.args.node);
                read_in_every_way(call);
            }
        }
        Err(wrong) => {
            prop_assert!(!wrong.render(text).is_empty());
            for one in &wrong.0 {
                prop_assert!(one.span.end <= text.len() && one.span.start <= one.span.end);
                prop_assert!(
                    text.is_char_boundary(one.span.start) && text.is_char_boundary(one.span.end)
                );
            }
        }
    }
    Ok(())
}

fn read_in_every_way(call: &ql::StageCall) {
    let args = ql::Arguments::new(call);
    let _ = args.clone().fields();
    let _ = args.clone().sort_keys();
    let _ = args.clone().duration();
    let _ = args.clone().regex();
    let mut all = args.clone();
    if all.aggregates().is_ok() {
        let _ = all.group_keys();
    }
    let mut tokens = args;
    while let Ok(Some(_)) = tokens.token() {}
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_panics(text in ".{0,60}") {
        check_soup(&text)?;
    }

    #[test]
    fn no_soup_of_the_language_panics(text in soup()) {
        check_soup(&text)?;
    }

    #[test]
    fn a_filter_prints_as_a_query_for_itself(query in query()) {
        let filter = parse(&query);
        let printed = filter.to_string();
        prop_assert_eq!(parse(&printed), filter, "printed as {}", printed);
    }

    #[test]
    fn the_operators_are_those_of_logic(a in query(), b in query(), record in record()) {
        let holds = |query: &str| ql::matches(&parse(query), &record, Some(5));
        let (left, right) = (holds(&a), holds(&b));
        prop_assert_eq!(holds(&format!("-({a})")), !left);
        prop_assert_eq!(holds(&format!("({a}) ({b})")), left && right);
        prop_assert_eq!(holds(&format!("({a}) OR ({b})")), left || right);
        prop_assert_eq!(holds(&format!("-(({a}) ({b}))")), holds(&format!("-({a}) OR -({b})")));
        prop_assert_eq!(holds(&format!("-(({a}) OR ({b}))")), holds(&format!("-({a}) -({b})")));
    }

    #[test]
    fn the_printed_filter_finds_the_same(query in query(), record in record()) {
        let filter = parse(&query);
        let printed = parse(&filter.to_string());
        prop_assert_eq!(filter.matches(&record, None), printed.matches(&record, None));
    }

    #[test]
    fn a_borrowed_record_is_found_as_the_owned_one(query in query(), record in record()) {
        let filter = parse(&query);
        let borrowed = record.with_ref(|record| ql::matches_ref(&filter, record, Some(5)));
        prop_assert_eq!(borrowed, ql::matches(&filter, &record, Some(5)));
    }
}

/// Escapes once counted towards the bound on patterns, and the printed filter was refused.
#[test]
fn a_long_pattern_of_signs_prints_as_a_query_for_itself() {
    let query = format!("f:{}*", "-".repeat(1_000));
    let filter = parse(&query);
    assert_eq!(parse(&filter.to_string()), filter);
    assert!(ql::parse(&format!("f:{}*", "-".repeat(1_024))).is_err());
}

/// As with patterns.
#[test]
fn a_long_name_of_ends_of_lines_prints_as_a_query_for_itself() {
    let filter = parse(&format!("\"a{}\":1", "\n".repeat(1_000)));
    assert_eq!(parse(&filter.to_string()), filter);
    assert!(ql::parse(&format!("\"{}\":1", "a".repeat(1_025))).is_err());
}
