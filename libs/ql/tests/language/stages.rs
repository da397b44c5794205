//! How a query is parted into stages, and how stages read their arguments.

use std::time::Duration;

use ql::{Arguments, Diagnostic, Field, GroupBy, Read, Signal, StageCall, Token};

fn calls(query: &str) -> Vec<(String, String)> {
    let parsed = ql::parse(query).unwrap_or_else(|wrong| panic!("{}", wrong.render(query)));
    for call in &parsed.stages {
        let written = |span: ql::Span| &query[span.start..span.end];
        assert_eq!(written(call.name.span), call.name.node);
        assert_eq!(written(call.args.span), call.args.node);
    }
    parsed.stages.into_iter().map(|call| (call.name.node, call.args.node)).collect()
}

fn stage(query: &str) -> StageCall {
    ql::parse(query).unwrap_or_else(|wrong| panic!("{}", wrong.render(query))).stages.remove(0)
}

fn fault<T: std::fmt::Debug>(
    query: &str,
    read: impl FnOnce(&mut Arguments<'_>) -> Read<T>,
) -> String {
    let call = stage(query);
    let wrong: Box<Diagnostic> = read(&mut Arguments::new(&call)).expect_err("a fault is told");
    wrong.render(query)
}

#[test]
fn a_bar_parts_stages_outside_of_quotes_regexes_and_parentheses() {
    for (query, expected) in [
        ("a", vec![]),
        ("a|head 5", vec![("head", "5")]),
        ("| head | tail  3 ", vec![("head", ""), ("tail", "3")]),
        ("\"a|b\" | where msg == \"x|y\" | head", vec![("where", "msg == \"x|y\""), ("head", "")]),
        ("msg:/a|b/ | extract /(?<x>a|b)/ | head", vec![("extract", "/(?<x>a|b)/"), ("head", "")]),
        ("url.path:/api | eval x = a / b | head", vec![("eval", "x = a / b"), ("head", "")]),
        (
            "url.path:/ | eval x = a/b | eval y = c/d",
            vec![("eval", "x = a/b"), ("eval", "y = c/d")],
        ),
        (
            "a | eval x = if(a || b, 1, 2)|head",
            vec![("eval", "x = if(a || b, 1, 2)"), ("head", "")],
        ),
        (r#"a | eval x = "\"|" | head"#, vec![("eval", r#"x = "\"|""#), ("head", "")]),
    ] {
        let found = calls(query);
        let found: Vec<_> =
            found.iter().map(|(name, args)| (name.as_str(), args.as_str())).collect();
        assert_eq!(found, expected, "{query}");
    }
}

#[test]
fn the_signal_stands_at_the_beginning() {
    for (query, signal, filter) in [
        ("from spans service:orders", Signal::Spans, "service:=orders"),
        ("from spans | head", Signal::Spans, "*"),
        (" from logs", Signal::Logs, "*"),
        ("from somewhere", Signal::Logs, "\"from\" somewhere"),
        ("x from spans", Signal::Logs, "x \"from\" spans"),
        ("\"from\" spans", Signal::Logs, "\"from\" spans"),
        ("from:spans", Signal::Logs, "\"from\":=spans"),
    ] {
        let parsed = ql::parse(query).unwrap();
        assert_eq!((parsed.signal, &*parsed.filter.to_string()), (signal, filter), "{query}");
    }
}

#[test]
fn aggregates_and_keys_are_read() {
    let call = stage(
        "| stats count() as errors, p95(duration_ms), count, quantile(x, 0.9) by level, bin(5m), bin(size_ms, 100) as b",
    );
    let mut args = Arguments::new(&call);
    let columns: Vec<_> = args.aggregates().unwrap().iter().map(|one| one.column()).collect();
    assert_eq!(columns, ["errors", "p95(duration_ms)", "count", "quantile(x, 0.9)"]);
    let keys = args.group_keys().unwrap();
    args.finish("the end").unwrap();
    assert_eq!(
        keys.iter().map(|key| key.column()).collect::<Vec<_>>(),
        ["severity", "bin(5m)", "b"]
    );
    assert_eq!(keys[0].by, GroupBy::Field(Field::Severity));
    let width = Duration::from_secs(300);
    assert_eq!(keys[1].by, GroupBy::TimeBin { field: Field::Timestamp, width });
    let field = Field::Attribute("size_ms".into());
    assert_eq!(keys[2].by, GroupBy::NumberBin { field, width: 100.0 });
}

#[test]
fn lists_of_fields_and_sort_keys_take_commas_or_blanks() {
    for text in ["| fields level, user \"odd name\"", "| fields level user,\"odd name\""] {
        let call = stage(text);
        let fields = Arguments::new(&call).fields().unwrap();
        let names: Vec<_> = fields.iter().map(|field| field.node.name()).collect();
        assert_eq!(names, ["severity", "user", "odd name"]);
    }
    let call = stage("| sort -p95( duration_ms ), +time count()");
    let keys = Arguments::new(&call).sort_keys().unwrap();
    let keys: Vec<_> = keys.iter().map(|key| (key.field.node.name(), key.descending)).collect();
    assert_eq!(keys, [("p95(duration_ms)", true), ("timestamp", false), ("count", false)]);
}

#[test]
fn single_arguments_are_read() {
    let call = stage("| x 5 5m \"a b\" 1.5 as n");
    let mut args = Arguments::new(&call);
    assert!(args.next_is_integer());
    assert_eq!(args.integer(1..=10).unwrap().node, 5);
    assert_eq!(args.duration().unwrap().node, Duration::from_secs(300));
    assert_eq!(args.text().unwrap().node, "a b");
    assert_eq!(args.number().unwrap().node, 1.5);
    assert_eq!(args.alias().unwrap().unwrap().node, "n");
    assert!(args.is_empty());
}

#[test]
fn expressions_come_in_tokens() {
    let call = stage("| where a.b-1>=2.5e-3 && `odd-name`==\"x\" and f(5m, 1KiB) != 10");
    let mut args = Arguments::new(&call);
    let mut tokens = Vec::new();
    while let Some(token) = args.token().unwrap() {
        assert!(args.peek_token().is_ok());
        tokens.push(token.node);
    }
    let name = |name: &str| Token::Name(name.into());
    assert_eq!(
        tokens,
        [
            name("a.b"),
            Token::Sign("-"),
            Token::Integer(1),
            Token::Sign(">="),
            Token::Number(0.0025),
            Token::Sign("&&"),
            Token::Field(Field::Attribute("odd-name".into())),
            Token::Sign("=="),
            Token::Text("x".into()),
            name("and"),
            name("f"),
            Token::Sign("("),
            Token::Duration(Duration::from_secs(300)),
            Token::Sign(","),
            Token::Number(1024.0),
            Token::Sign(")"),
            Token::Sign("!="),
            Token::Integer(10),
        ]
    );
}

#[test]
fn faults_of_arguments_show_the_whole_query() {
    insta::assert_snapshot!(
        [
            fault("error | head ten", |args| args.integer(1..=1_000_000)),
            fault("error | head", |args| args.integer(1..=u64::MAX)),
            fault("| timechart 5", |args| args.duration()),
            fault("| fields a, ", |args| args.fields()),
            fault("| stats p95(a b)", |args| args.aggregates()),
            fault("| stats count() by bin(x)", |args| {
                args.aggregates()?;
                args.group_keys()
            }),
            fault("| where 5x == 1", |args| args.token()),
            fault("| fields a as b", |args| {
                args.fields()?;
                args.finish("`,` or the end")
            }),
        ]
        .join("\n\n")
    );
}

#[test]
fn unknown_stages_and_functions_name_the_nearest() {
    let query = "error | hed 5";
    let call = stage(query);
    insta::assert_snapshot!(ql::unknown_stage(&call.name, ["head", "tail", "stats"]).render(query));
}
