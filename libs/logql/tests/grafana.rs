//! Every query that Grafana, Logs Drilldown and logcli write is taken, and means the same when it is printed.

mod queries;

use logql::ast::{Expr, Metric};
use logql::{parse, parse_selector};

#[test]
fn every_query_of_grafana_is_taken_and_printed_for_itself() {
    for queries::Query { text: query, .. } in queries::of_grafana() {
        let parsed = parse(&query).unwrap_or_else(|fault| panic!("{query}\n{fault}"));
        let printed = parsed.to_string();
        let again = parse(&printed).unwrap_or_else(|fault| panic!("{query}\n{printed}\n{fault}"));
        assert_eq!(again, parsed, "{printed}");
        assert_eq!(again.to_string(), printed);
    }
}

#[test]
fn operators_bind_as_in_prometheus() {
    for (query, expected) in [
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("2 ^ 3 ^ 2", "2 ^ (3 ^ 2)"),
        ("1 - 2 - 3", "(1 - 2) - 3"),
        ("1 > 2 + 3", "1 > (2 + 3)"),
        ("vector(1) or vector(2) and vector(3)", "vector(1) or (vector(2) and vector(3))"),
        ("vector(1) > 2 or vector(3)", "(vector(1) > 2) or vector(3)"),
        ("vector(1) unless vector(2) and vector(3)", "(vector(1) unless vector(2)) and vector(3)"),
        ("1 % 2 ^ 3", "1 % (2 ^ 3)"),
        ("-1 - -2", "(-1) - (-2)"),
        ("-2 ^ 2", "(-2) ^ 2"),
    ] {
        assert_eq!(parse(query).unwrap(), parse(expected).unwrap(), "{query}");
    }
    for (query, other) in
        [("(1 - 2) * 3", "1 - 2 * 3"), ("1 - (2 - 3)", "1 - 2 - 3"), ("(2 ^ 3) ^ 2", "2 ^ 3 ^ 2")]
    {
        assert_ne!(parse(query).unwrap(), parse(other).unwrap(), "{query}");
    }
}

#[test]
fn printing_adds_no_parentheses() {
    for query in [
        "1 + 2 * 3 - 4",
        "(1 - 2) * 3 ^ 2 ^ 1",
        "1 - (2 - 3)",
        "(2 ^ 3) ^ 2",
        "{a=\"b\"} | x=\"1\" or y=\"2\" and (z=\"3\" or w > 4)",
    ] {
        assert_eq!(parse(query).unwrap().to_string(), query);
    }
    let long = format!("1{}", " * 3".repeat(150));
    assert_eq!(parse(&long).unwrap().to_string(), long);
    let deep =
        format!("{{a=\"b\"}} | {}x=\"1\"{}", "x=\"1\" or y=\"1\" and (".repeat(60), ")".repeat(60));
    let deep = parse(&deep).unwrap();
    assert_eq!(parse(&deep.to_string()).unwrap(), deep);
}

#[test]
fn the_place_of_a_range_makes_no_difference() {
    let expected = parse("sum_over_time({a=\"b\"} | json | unwrap x [5m] offset 1h)").unwrap();
    for query in [
        "sum_over_time({a=\"b\"}[5m] offset 1h | json | unwrap x)",
        "sum_over_time(({a=\"b\"} | json | unwrap x)[5m] offset 1h)",
        "sum_over_time(({a=\"b\"} | json | unwrap x [5m] offset 1h))",
        "sum_over_time(({a=\"b\"} | json)[5m] offset 1h | unwrap x)",
    ] {
        assert_eq!(parse(query).unwrap(), expected, "{query}");
    }
}

#[test]
fn spans_say_where_a_part_is_written() {
    let text = "sum(rate({app=\"a\"} |= \"x\" | json [5m]))";
    let Expr::Metric(metric) = parse(text).unwrap() else { panic!("no metric") };
    assert_eq!((metric.span.start, metric.span.end), (0, text.len()));
    let Metric::Aggregate(sum) = metric.node else { panic!("no aggregation") };
    let Metric::Range(rate) = sum.of.node else { panic!("no range") };
    let written = |span: logql::Span| &text[span.start..span.end];
    let query = &rate.range.query;
    assert_eq!(written(query.node.matchers[0].span), "app=\"a\"");
    assert_eq!(written(query.node.stages[0].span), "|= \"x\"");
    assert_eq!(written(query.node.stages[1].span), "| json");
    assert_eq!(written(query.span), "{app=\"a\"} |= \"x\" | json [5m]");
}

#[test]
fn faults_are_in_the_words_of_loki_at_the_right_place() {
    for (query, expected) in [
        ("", "line 1, col 1: syntax error: unexpected $end"),
        ("{app=\"a\"", "line 1, col 9: syntax error: unexpected $end, expecting } or ,"),
        ("{app=}", "line 1, col 6: syntax error: unexpected }, expecting STRING"),
        ("{app=a}", "line 1, col 6: syntax error: unexpected IDENTIFIER, expecting STRING"),
        (
            "{app \"a\"}",
            "line 1, col 6: syntax error: unexpected STRING, expecting = or != or =~ or !~",
        ),
        (
            "{\"app\"=\"a\"}",
            "line 1, col 2: syntax error: unexpected STRING, expecting IDENTIFIER or }",
        ),
        ("unk({a=\"b\"}[5m])", "line 1, col 1: syntax error: unexpected IDENTIFIER"),
        ("{a=\"b\"} |= ", "line 1, col 12: syntax error: unexpected $end, expecting STRING"),
        (
            "{a=\"b\"}\n | line_format json",
            "line 2, col 16: syntax error: unexpected json, expecting STRING",
        ),
        ("{a=\"b\"} | ", "line 1, col 11: syntax error: unexpected $end"),
        ("{a=\"b\"} [5m]", "line 1, col 9: syntax error: unexpected RANGE"),
        ("{a=\"b\"} | unwrap x", "line 1, col 11: syntax error: unexpected unwrap"),
        ("{a=\"b\"} + 1", "line 1, col 9: syntax error: unexpected +"),
        ("1 + {a=\"b\"}", "line 1, col 5: syntax error: unexpected {"),
        ("sum({a=\"b\"})", "line 1, col 5: syntax error: unexpected {"),
        ("rate({a=\"b\"})", "line 1, col 13: syntax error: unexpected )"),
        ("rate({a=\"b\"}[5m]", "line 1, col 17: syntax error: unexpected $end, expecting )"),
        ("rate({a=\"b\"}[5m] | json [1m])", "line 1, col 25: syntax error: unexpected RANGE"),
        ("rate({a=\"b\"}[5minutes])", "line 1, col 13: not a valid duration string: \"5minutes\""),
        (
            "rate({a=\"b\"}[5m] offset x)",
            "line 1, col 25: syntax error: unexpected IDENTIFIER, expecting DURATION",
        ),
        (
            "rate({a=\"b\"} | unwrap x | json [1m])",
            "line 1, col 25: syntax error: only label filters may follow unwrap",
        ),
        (
            "label_replace(rate({a=\"b\"}[5m]),\"\")",
            "line 1, col 35: syntax error: unexpected ), expecting ,",
        ),
        ("vector(1) + bool 1", "line 1, col 13: syntax error: unexpected bool"),
        (
            "{a=\"b\"} | logfmt --odd",
            "line 1, col 18: syntax error: unexpected PARSER_FLAG, expecting --strict or --keep-empty",
        ),
        (
            "{a=\"b\"} | status > `x`",
            "line 1, col 20: syntax error: unexpected STRING, expecting NUMBER or DURATION or BYTES",
        ),
        (
            "{a=\"b\"} | json f=\"a[\"",
            "line 1, col 9: cannot parse expression [a[]: unexpected path",
        ),
        ("{a=\"b\"} | regexp \"x\"", "line 1, col 9: at least one named capture must be supplied"),
        (
            "{a=\"b\"} | pattern \"<_>\"",
            "line 1, col 9: at least one capture is required: invalid pattern '<_>'",
        ),
        (
            "{a=\"b\"} | label_format x=y, x=z",
            "line 1, col 9: multiple label name 'x' not allowed in a single format operation",
        ),
    ] {
        assert_eq!(
            parse(query).unwrap_err().to_string(),
            format!("parse error at {expected}"),
            "{query}"
        );
    }
}

#[test]
fn what_does_not_fit_together_is_refused_as_a_whole() {
    let empty = "queries require at least one regexp or equality matcher that does not have an empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will";
    for (query, expected) in [
        ("{}", empty),
        ("{a=~\".*\"}", empty),
        ("{a!=\"b\"}", empty),
        ("{a=\"\"} |= `x`", empty),
        (
            "count_over_time({a=\"b\"} | unwrap x [5m])",
            "invalid aggregation count_over_time with unwrap",
        ),
        ("sum_over_time({a=\"b\"}[5m])", "invalid aggregation sum_over_time without unwrap"),
        ("rate({a=\"b\"}[5m]) by (x)", "grouping not allowed for rate aggregation"),
        (
            "quantile_over_time({a=\"b\"} | unwrap x [5m])",
            "parameter required for operation quantile_over_time",
        ),
        ("rate(5, {a=\"b\"}[5m])", "parameter 5 not supported for operation rate"),
        ("topk(rate({a=\"b\"}[5m]))", "parameter required for operation topk"),
        ("topk(0, rate({a=\"b\"}[5m]))", "invalid parameter (must be greater than 0) topk(0"),
        ("sum(3, rate({a=\"b\"}[5m]))", "unsupported parameter for operation sum(3,"),
        ("sort(rate({a=\"b\"}[5m])) by (x)", "grouping not allowed for sort aggregation"),
        (
            "1 and vector(1)",
            "unexpected literal for left leg of logical/set binary operation (and): 1.000000",
        ),
    ] {
        assert_eq!(
            parse(query).unwrap_err().to_string(),
            format!("parse error : {expected}"),
            "{query}"
        );
    }
    assert_eq!(parse_selector("{}").unwrap(), []);
    assert_eq!(parse_selector("{a=~\".*\", b!=\"c\",}").unwrap().len(), 2);
    assert!(parse_selector("{a=\"b\"} |= `x`").is_err());
}

#[test]
fn size_and_depth_are_bounded() {
    let fault = |query: String| parse(&query).unwrap_err().message;
    assert!(fault(" ".repeat(logql::QUERY_BYTES_MAX + 1)).starts_with("query too long"));
    assert!(fault("(".repeat(100_000)).starts_with("query is nested deeper"));
    assert!(
        fault(format!("{{a=\"b\"}} | {}", "(".repeat(1_000))).starts_with("query is nested deeper")
    );
    assert!(fault(format!("1{}", " + 1".repeat(5_000))).contains("more than 200 operators"));
    assert!(fault(format!("1{}", " ^ 1".repeat(5_000))).starts_with("query is nested deeper"));
    assert!(
        fault(format!("{{a=\"b\"}}{}", " | json".repeat(5_000))).contains("more than 1000 parts")
    );
    assert!(
        fault(format!("{{a=\"b\"}}{}", " |~ `x`".repeat(100))).contains("more than 50 regular")
    );
    assert!(fault("sum(".repeat(50_000)).starts_with("query too long"));
    assert!(fault("sum(".repeat(10_000)).starts_with("query is nested deeper"));
}
