//! Lines through whole pipelines: what is kept, and what its line and its parsed labels are.

use super::*;
use crate::ast::Expr;

const JSON: &str = r#"{"level":"error","status":500,"took":"250ms","size":"2KB","req":{"path":"/a"},"app":"inner","tags":[1]}"#;
const LOGFMT: &str = r#"level=info status=200 took=5ms msg="hello world" n=x"#;

fn compile(stages: &str) -> Pipeline {
    let text = format!("{{app=\"shop\"}} {stages}");
    // The unwrap of a range is written as in a metric query.
    let expr = match stages.contains("unwrap") {
        true => crate::parse(&format!("rate({text} [1m])")),
        false => crate::parse(&text),
    };
    let query = match expr.unwrap_or_else(|fault| panic!("{stages}: {fault}")) {
        Expr::Log(query) => query.node,
        Expr::Metric(metric) => match metric.node {
            crate::ast::Metric::Range(aggregation) => aggregation.range.query.node,
            other => panic!("{other}"),
        },
    };
    Pipeline::compile(&query).unwrap()
}

/// The line and the parsed labels; `None` if it is dropped.
fn through(stages: &str, line: &str) -> Option<(String, String)> {
    let stream = [("app", "shop"), ("env", "prod")].into_iter().collect();
    let metadata = [("trace_id", "abc")].into_iter().collect();
    let entry = Entry {
        timestamp_ns: 1_700_000_000_000_000_000,
        line,
        stream: &stream,
        metadata: &metadata,
    };
    match compile(stages).apply(&entry) {
        Outcome::Dropped => None,
        Outcome::Kept(mut kept) => {
            // Its words are not part of what is promised.
            kept.labels.remove(ERROR_DETAILS_LABEL);
            let value = kept.value.map_or(String::new(), |value| format!(" = {value}"));
            Some((kept.line.into_owned(), kept.labels.of(Origin::Parsed).to_string() + &value))
        }
    }
}

fn check_kept(line: &str, cases: &[(&str, bool)]) {
    for (stages, expected) in cases {
        assert_eq!(through(stages, line).is_some(), *expected, "{stages}");
    }
}

fn check_labels(line: &str, cases: &[(&str, &str)]) {
    for (stages, expected) in cases {
        let (_, labels) = through(stages, line).unwrap_or_else(|| panic!("{stages}: dropped"));
        assert_eq!(&labels, expected, "{stages}");
    }
}

#[test]
fn line_filters_keep_lines_that_have_a_text() {
    check_kept(
        "GET /api took 5ms",
        &[
            ("|= `GET`", true),
            ("|= `get`", false),
            ("|~ `(?i)get`", true),
            ("|~ `^/api`", false),
            ("!= `POST`", true),
            ("!= `GET`", false),
            ("!~ `to+k`", false),
            ("|= ``", true),
            ("|= `POST` or `GET`", true),
            ("!= `POST` or `GET`", false),
            ("|= `GET` != `PUT` |~ `\\d+ms`", true),
            ("|> `GET <_> took <_>`", true),
            ("|> `took <_>` or `<_> took <_>`", true),
            ("!> `<_> took <_>`", false),
        ],
    );
}

#[test]
fn label_filters_compare_texts_numbers_durations_and_sizes() {
    check_kept(
        JSON,
        &[
            ("| json | level=\"error\"", true),
            ("| json | level!=\"error\"", false),
            ("| json != \"error\"", false),
            ("| json != \"nothing\" | level=\"error\"", true),
            ("| json | level=~\"err\"", false),
            ("| json | level=~\"err.*|warn\"", true),
            ("| json | level!~\"warn\"", true),
            ("| json | missing=\"\"", true),
            ("| json | status>=500", true),
            ("| json | status==500.0", true),
            ("| json | status=500", true),
            ("| json | status!=500", false),
            ("| json | status<500", false),
            ("| json | missing>1", false),
            ("| json | missing!=1", false),
            ("| json | took>200ms", true),
            ("| json | took>=1s", false),
            ("| json | size>1KB", true),
            ("| json | size>1MiB", false),
            ("| json | status>400 and took<1s", true),
            ("| json | status>400, took<1ms", false),
            ("| json | status>400 took<1s", true),
            ("| json | status<400 or took<1s", true),
            ("| json | level=\"x\" or status>400 and took>1s", false),
            ("| json | (level=\"x\" or status>400) and took<1s", true),
            ("| env=\"prod\"", true),
            ("| trace_id=\"abc\"", true),
            ("| trace_id!=\"\" | app=\"shop\"", true),
        ],
    );
}

#[test]
fn errors_keep_the_line_and_can_be_filtered_by() {
    check_labels("text", &[("| json", r#"{__error__="JSONParserErr"}"#)]);
    check_labels(
        "a=1 =",
        &[
            ("| logfmt --strict", r#"{__error__="LogfmtParserErr", a="1"}"#),
            ("| logfmt", r#"{a="1"}"#),
        ],
    );
    check_labels(
        LOGFMT,
        &[
            ("| logfmt n | n > 5", r#"{__error__="LabelFilterErr", n="x"}"#),
            ("| logfmt n | n > 5 | drop __error__", r#"{n="x"}"#),
            ("| logfmt n | n > 5 | keep n", r#"{__error__="LabelFilterErr", n="x"}"#),
            ("| label_format x=`{{ div 1 0 }}`", r#"{__error__="TemplateFormatErr"}"#),
        ],
    );
    check_kept(
        "text",
        &[
            ("| json | __error__=\"\"", false),
            ("| json | __error__=``", false),
            ("| json | __error__=\"JSONParserErr\"", true),
            ("| json | drop __error__ | __error__=\"\"", true),
            ("| json | status > 5", true),
            ("| json | status = \"5\"", false),
        ],
    );
}

#[test]
fn parsers_make_labels() {
    check_labels(
        JSON,
        &[
            (
                "| json",
                r#"{app_extracted="inner", level="error", req_path="/a", size="2KB", status="500", took="250ms"}"#,
            ),
            ("| json p=\"req.path\", level, t=\"tags[0]\"", r#"{level="error", p="/a", t="1"}"#),
            ("| json | keep level", r#"{level="error"}"#),
            ("| json | keep level=\"x\", status=~\"5..\"", r#"{status="500"}"#),
            ("| json level, size | drop level=\"error\", size=\"x\"", r#"{size="2KB"}"#),
            (
                "| regexp `\"status\":(?P<code>\\d+)` | pattern `<_>\"took\":\"<t>\"<_>`",
                r#"{code="500", t="250ms"}"#,
            ),
            ("| regexp `(?P<x>nothing)`", "{}"),
        ],
    );
    check_labels(
        LOGFMT,
        &[
            ("| logfmt", r#"{level="info", msg="hello world", n="x", status="200", took="5ms"}"#),
            ("| logfmt l=\"level\", msg", r#"{l="info", msg="hello world"}"#),
            ("| json | logfmt level | drop __error__, __error_details__", r#"{level="info"}"#),
        ],
    );
    let packed = r#"{"pod":"p","_entry":"level=warn"}"#;
    let expected = ("level=warn".to_owned(), r#"{level="warn", pod="p"}"#.to_owned());
    assert_eq!(through("| unpack | logfmt", packed), Some(expected));
}

#[test]
fn formats_make_lines_and_labels() {
    let line = |stages: &str, line: &str| through(stages, line).unwrap().0;
    assert_eq!(
        line("| logfmt | line_format `{{.level}} {{.app}}: {{__line__ | trunc 5}}`", LOGFMT),
        "info shop: level"
    );
    assert_eq!(line("| decolorize", "\u{1b}[31mred\u{1b}[0m"), "red");
    assert_eq!(line("| line_format `x` |= `x`", "a"), "x");
    check_labels(
        LOGFMT,
        &[
            ("| logfmt level | label_format lvl=level", r#"{lvl="info"}"#),
            ("| logfmt level | label_format lvl=missing", r#"{level="info"}"#),
            ("| label_format env=`{{.env | upper}}`, x=`{{.app}}`", r#"{env="PROD", x="shop"}"#),
            ("| label_format a=`{{.env}}` | label_format b=a", r#"{b="prod"}"#),
        ],
    );
    let trace = "| label_format log_line_contains_trace_id=`{{ contains \"ID1\" __line__ }}` \
        | log_line_contains_trace_id=\"true\" or trace_id=\"ID1\"";
    check_kept("the ID1 of it", &[(trace, true)]);
    check_kept("another", &[(trace, false)]);
}

#[test]
fn unwrapped_labels_are_numbers() {
    check_labels(
        LOGFMT,
        &[
            ("| logfmt status | unwrap status", r#"{status="200"} = 200"#),
            ("| logfmt took | unwrap duration(took)", r#"{took="5ms"} = 0.005"#),
            ("| logfmt took | unwrap duration_seconds(took)", r#"{took="5ms"} = 0.005"#),
            ("| logfmt n | unwrap n", r#"{__error__="SampleExtractionErr", n="x"} = 0"#),
        ],
    );
    check_labels(JSON, &[("| json size | unwrap bytes(size)", r#"{size="2KB"} = 2000"#)]);
    check_kept(
        LOGFMT,
        &[
            ("| logfmt | unwrap missing", false),
            ("| logfmt | unwrap n | __error__=``", false),
            ("| logfmt | unwrap status | __error__=``", true),
            ("| logfmt | unwrap status | level=\"warn\"", false),
        ],
    );
}
