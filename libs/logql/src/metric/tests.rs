//! Whole metric queries over a few lines.

use super::*;
use crate::ast::{Expr, Metric};
use crate::pipeline::{Entry, TextTest};

const SECOND: i64 = 1_000_000_000;

/// Seconds, app, line.
const LINES: [(i64, &str, &str); 8] = [
    (10, "a", "level=info n=1 took=100ms"),
    (20, "a", "level=warn n=2 took=200ms"),
    (30, "b", "level=info n=10 took=1s"),
    (40, "a", "level=info n=4 took=300ms"),
    (50, "b", "level=warn n=20 took=2s"),
    (60, "a", "level=info n=3 took=400ms"),
    (70, "b", "level=info n=5 took=3s"),
    (80, "a", "level=warn n=x"),
];

/// Hands out those of the lines that are asked for, the last first, to two twins in turn.
struct Lines;

impl Source for Lines {
    fn collect(
        &mut self,
        wanted: &Wanted<'_>,
        mut collected: Collected,
    ) -> Result<Collected, MetricFault> {
        let mut twins = [collected.fork(), collected.fork()];
        for (number, entry) in asked_for(wanted).into_iter().rev().enumerate() {
            let (timestamp_ns, line, stream) = &entry;
            let metadata = Labels::new();
            let entry = Entry { timestamp_ns: *timestamp_ns, line, stream, metadata: &metadata };
            twins[number % 2].take(&entry, 1)?;
        }
        for twin in twins {
            collected.absorb(twin)?;
        }
        Ok(collected)
    }
}

fn asked_for(wanted: &Wanted<'_>) -> Vec<(i64, &'static str, Labels)> {
    let matchers = wanted.query.matchers.iter().map(|one| TextTest::compile(&one.node).unwrap());
    let matchers: Vec<TextTest> = matchers.collect();
    let mut asked_for = Vec::new();
    for (time, app, line) in LINES {
        let timestamp_ns = time * SECOND;
        let stream: Labels = [("app", app), ("env", "e")].into_iter().collect();
        let matches =
            matchers.iter().all(|one| one.matches(stream.get(one.name()).unwrap_or_default()));
        if matches && timestamp_ns > wanted.after_ns && timestamp_ns <= wanted.until_ns {
            asked_for.push((timestamp_ns, line, stream));
        }
    }
    asked_for
}

fn metric(query: &str) -> Metric {
    match crate::parse(query) {
        Ok(Expr::Metric(metric)) => metric.node,
        other => panic!("{query}: {other:?}"),
    }
}

fn at(query: &str, steps: &Steps) -> Result<Answer, MetricFault> {
    evaluate(&metric(query), steps, &Limits::default(), &mut Lines)
}

/// `{labels} value value …; …`, each value with its second where there are several steps.
fn shown(answer: &Answer, with_times: bool) -> String {
    let point = |point: &Point| {
        let value = (point.value * 1e6).round() / 1e6;
        if with_times { format!("{value}@{}", point.time_ns / SECOND) } else { value.to_string() }
    };
    let points = |all: &[Point]| all.iter().map(point).collect::<Vec<_>>().join(" ");
    match answer {
        Answer::Scalar(all) => points(all),
        Answer::Series(series) => {
            let all = series.iter().map(|one| format!("{} {}", one.labels, points(&one.points)));
            all.collect::<Vec<_>>().join("; ")
        }
    }
}

fn check(cases: &[(&str, &str)]) {
    for (query, expected) in cases {
        let answer = at(query, &Steps::instant(60 * SECOND));
        let answer = answer.unwrap_or_else(|fault| panic!("{query}: {fault}"));
        assert_eq!(&shown(&answer, false), expected, "{query}");
    }
}

#[test]
fn range_functions_look_at_the_lines_of_a_window() {
    check(&[
        ("count_over_time({app=\"a\"}[1m])", r#"{app="a", env="e"} 4"#),
        ("count_over_time({app=\"a\"}[50s])", r#"{app="a", env="e"} 3"#),
        ("count_over_time({app=\"a\"}[30s] offset 30s)", r#"{app="a", env="e"} 2"#),
        ("count_over_time({app=\"a\"}[20s] offset -20s)", r#"{app="a", env="e"} 1"#),
        ("rate({app=\"a\"}[40s])", r#"{app="a", env="e"} 0.05"#),
        ("bytes_over_time({app=\"a\"} |= `n=1` [1m])", r#"{app="a", env="e"} 25"#),
        ("bytes_rate({app=\"a\"} |= `n=1` [50s] offset 1s)", r#"{app="a", env="e"} 0.5"#),
        ("absent_over_time({app=\"c\", env=~\".+\"}[1m])", r#"{app="c"} 1"#),
        ("absent_over_time({app=\"a\"}[1m])", ""),
        ("count_over_time({app=\"c\"}[1m])", ""),
    ]);
}

#[test]
fn unwrapped_values_are_calculated_with() {
    let of = |function: &str, unwrap: &str| {
        format!("{function}({{app=\"a\"}} | logfmt | unwrap {unwrap} [1m]) by ()")
    };
    for (function, unwrap, expected) in [
        ("avg_over_time", "n", "{} 2.5"),
        ("min_over_time", "n", "{} 1"),
        ("max_over_time", "n", "{} 4"),
        ("stdvar_over_time", "n", "{} 1.25"),
        ("stddev_over_time", "n", "{} 1.118034"),
        ("first_over_time", "n", "{} 1"),
        ("last_over_time", "n", "{} 3"),
        ("avg_over_time", "duration(took)", "{} 0.25"),
        ("max_over_time", "duration_seconds(took)", "{} 0.4"),
    ] {
        check(&[(&of(function, unwrap), expected)]);
    }
    check(&[
        ("quantile_over_time(0.5, {app=\"a\"} | logfmt | unwrap n [1m]) by ()", "{} 2.5"),
        (
            "quantile_over_time(1, {app=\"a\"} | logfmt | unwrap n [1m]) by (level)",
            r#"{level="info"} 4; {level="warn"} 2"#,
        ),
        ("quantile_over_time(-1, {app=\"a\"} | logfmt | unwrap n [1m]) by ()", "{} -inf"),
        (
            "sum_over_time({app=\"a\"} | logfmt | drop took | unwrap n [1m])",
            r#"{app="a", env="e", level="info"} 8; {app="a", env="e", level="warn"} 2"#,
        ),
        ("sum(rate({app=\"a\"} | logfmt | unwrap n [50s]))", "{} 0.18"),
        (
            "max_over_time({app=\"a\"} | logfmt | unwrap n [1m]) without (level, took, app)",
            r#"{env="e"} 4"#,
        ),
        // It grows by 1, by 2, and by 3 after a restart, in 50 s; from 0 on it would have grown by 7.
        ("sum(rate_counter({app=\"a\"} | logfmt | keep n | unwrap n [1m]))", "{} 0.116667"),
        ("rate_counter({app=\"a\"} | logfmt | keep n | unwrap n [10s])", ""),
    ]);
}

#[test]
fn aggregations_group_series() {
    let by_level = "sum by (level) (count_over_time({env=\"e\"} | logfmt [1m]))";
    check(&[
        (by_level, r#"{level="info"} 4; {level="warn"} 2"#),
        (
            "sum by (level, missing) (count_over_time({env=\"e\"} | logfmt [1m]))",
            r#"{level="info"} 4; {level="warn"} 2"#,
        ),
        ("sum(count_over_time({env=\"e\"}[1m]))", "{} 6"),
        ("sum without (env) (count_over_time({env=\"e\"}[1m]))", r#"{app="a"} 4; {app="b"} 2"#),
        ("avg(count_over_time({env=\"e\"}[1m]))", "{} 3"),
        ("min(count_over_time({env=\"e\"}[1m]))", "{} 2"),
        ("max(count_over_time({env=\"e\"}[1m]))", "{} 4"),
        ("count(count_over_time({env=\"e\"}[1m]))", "{} 2"),
        ("stddev(count_over_time({env=\"e\"}[1m]))", "{} 1"),
        ("stdvar(count_over_time({env=\"e\"}[1m]))", "{} 1"),
        ("topk(1, sum by (app) (count_over_time({env=\"e\"}[1m])))", r#"{app="a"} 4"#),
        ("bottomk(1, sum by (app) (count_over_time({env=\"e\"}[1m])))", r#"{app="b"} 2"#),
        ("topk(5, sum by (app) (count_over_time({env=\"e\"}[1m])))", r#"{app="a"} 4; {app="b"} 2"#),
        ("sort(sum by (app) (count_over_time({env=\"e\"}[1m])))", r#"{app="b"} 2; {app="a"} 4"#),
        (
            "sort_desc(sum by (app) (count_over_time({env=\"e\"}[1m])))",
            r#"{app="a"} 4; {app="b"} 2"#,
        ),
        (
            "topk by (level) (1, sum by (level, app) (count_over_time({env=\"e\"} | logfmt [1m])))",
            r#"{app="a", level="info"} 3; {app="a", level="warn"} 1"#,
        ),
    ]);
}

#[test]
fn operators_combine_numbers_and_series() {
    let apps = "sum by (app) (count_over_time({env=\"e\"}[1m]))";
    let of = |query: &str| query.replace("APPS", apps);
    for (query, expected) in [
        ("vector(1)+vector(1)", "{} 2"),
        ("1 + 2 * 3", "7"),
        ("1 > 2", "0"),
        ("1 / 0", "NaN"),
        ("7 % 4 - 2 ^ 3", "-5"),
        ("APPS * 2 + 1", r#"{app="a"} 9; {app="b"} 5"#),
        ("1 - APPS", r#"{app="a"} -3; {app="b"} -1"#),
        ("APPS > 3", r#"{app="a"} 4"#),
        ("3 < APPS", r#"{app="a"} 4"#),
        ("APPS > bool 3", r#"{app="a"} 1; {app="b"} 0"#),
        ("APPS / APPS", r#"{app="a"} 1; {app="b"} 1"#),
        ("APPS > APPS - 1", r#"{app="a"} 4; {app="b"} 2"#),
        ("APPS == bool APPS", r#"{app="a"} 1; {app="b"} 1"#),
        ("APPS and (APPS > 3)", r#"{app="a"} 4"#),
        ("APPS unless (APPS > 3)", r#"{app="b"} 2"#),
        ("(APPS > 3) or APPS * 10", r#"{app="a"} 4; {app="b"} 20"#),
        ("(APPS > 100) or vector(0)", "{} 0"),
        ("APPS or on () vector(0)", r#"{app="a"} 4; {app="b"} 2"#),
        ("APPS / on () group_left sum(APPS)", r#"{app="a"} 0.666667; {app="b"} 0.333333"#),
        ("sum(APPS) / on () group_right APPS", r#"{app="a"} 1.5; {app="b"} 3"#),
        (
            "sum by (app, level) (count_over_time({env=\"e\"} | logfmt [1m])) / ignoring (level) group_left () APPS",
            r#"{app="a", level="info"} 0.75; {app="a", level="warn"} 0.25; {app="b", level="info"} 0.5; {app="b", level="warn"} 0.5"#,
        ),
        (
            "label_replace(APPS, \"x\", \"$1-y\", \"app\", \"(.*)\")",
            r#"{app="a", x="a-y"} 4; {app="b", x="b-y"} 2"#,
        ),
        ("label_replace(APPS, \"app\", \"c\", \"app\", \"a\")", r#"{app="b"} 2; {app="c"} 4"#),
    ] {
        let answer = at(&of(query), &Steps::instant(60 * SECOND));
        let mut shown = shown(&answer.unwrap_or_else(|fault| panic!("{query}: {fault}")), false);
        // The order of a set of series is not part of what a replacement promises.
        if query.starts_with("label_replace") {
            let mut parts: Vec<&str> = shown.split("; ").collect();
            parts.sort_unstable();
            shown = parts.join("; ");
        }
        assert_eq!(shown, expected, "{query}");
    }
}

#[test]
fn series_that_cannot_be_told_apart_are_refused() {
    let apps = "sum by (app) (count_over_time({env=\"e\"}[1m]))";
    for (query, expected) in [
        (format!("{apps} / on () {apps}"), "found duplicate series"),
        (format!("{apps} / on () sum({apps})"), "multiple matches for labels: many-to-one"),
        (
            format!("label_replace({apps}, \"app\", \"x\", \"app\", \".*\")"),
            "vector cannot contain",
        ),
    ] {
        let fault = at(&query, &Steps::instant(60 * SECOND)).unwrap_err().to_string();
        assert!(fault.starts_with(expected), "{query}: {fault}");
    }
}

#[test]
fn each_step_has_its_own_window() {
    let steps = Steps::range(20 * SECOND, 90 * SECOND, 20 * SECOND).unwrap();
    for (query, expected) in [
        ("count_over_time({app=\"a\"}[20s])", r#"{app="a", env="e"} 2@20 1@40 1@60 1@80"#),
        ("count_over_time({app=\"b\"}[30s])", r#"{app="b", env="e"} 1@40 1@60 1@80"#),
        ("absent_over_time({app=\"b\"}[20s])", r#"{app="b"} 1@20"#),
        ("vector(3)", "{} 3@20 3@40 3@60 3@80"),
        ("5", "5@20 5@40 5@60 5@80"),
        (
            "topk(1, sum by (app) (count_over_time({env=\"e\"} |= `warn` [30s])))",
            r#"{app="a"} 1@20 1@40 1@80; {app="b"} 1@60"#,
        ),
        ("max_over_time({app=\"b\"} | logfmt | unwrap n [1m]) by ()", "{} 10@40 20@60 20@80"),
        ("sum(count_over_time({env=\"e\"}[20s])) > 2", ""),
    ] {
        let answer = at(query, &steps).unwrap_or_else(|fault| panic!("{query}: {fault}"));
        assert_eq!(shown(&answer, true), expected, "{query}");
    }
}

#[test]
fn a_line_with_an_error_fails_the_query_unless_it_is_filtered_or_dropped() {
    let steps = Steps::instant(80 * SECOND);
    let unwrap = |rest: &str| {
        format!("sum_over_time({{app=\"a\"}} | logfmt | keep n | unwrap n {rest} [30s])")
    };
    let fault = at(&unwrap(""), &steps).unwrap_err().to_string();
    assert!(
        fault.starts_with("pipeline error: 'SampleExtractionErr' for series: '{n=\"x\"}'"),
        "{fault}"
    );
    assert_eq!(shown(&at(&unwrap("| __error__=``"), &steps).unwrap(), false), "{} 3");
    let histogram = "sum by (level) (count_over_time({app=\"a\"} | json REST [30s]))";
    let fault = at(&histogram.replace("REST", ""), &steps).unwrap_err().to_string();
    assert!(
        fault.starts_with("pipeline error: 'JSONParserErr' for series: '{app=\"a\", env=\"e\"}'"),
        "{fault}"
    );
    let dropped = at(&histogram.replace("REST", "| drop __error__, __error_details__"), &steps);
    assert_eq!(shown(&dropped.unwrap(), false), "{} 2");
}

#[test]
fn what_a_query_holds_is_bounded() {
    let limits = Limits { series_max: 3, parts_max: 3, values_max: 300 };
    let steps = Steps::instant(60 * SECOND);
    let run = |query: &str| evaluate(&metric(query), &steps, &limits, &mut Lines);
    let fault = run("count_over_time({env=\"e\"} | logfmt [1m])").unwrap_err().to_string();
    assert!(fault.starts_with("maximum of series (3) reached for a single query"), "{fault}");
    // Each line is a series of its own, but the sum has one.
    assert_eq!(
        shown(&run("sum(count_over_time({env=\"e\"} | logfmt [1m]))").unwrap(), false),
        "{} 6"
    );
    let wide = Steps::range(0, 100 * SECOND, SECOND / 4).unwrap();
    for query in [
        "quantile_over_time(0.5, {app=\"a\"} | logfmt | keep n | unwrap n | __error__=`` [1m])",
        "rate({app=\"a\"}[1m])",
    ] {
        let fault = evaluate(&metric(query), &wide, &limits, &mut Lines);
        assert!(matches!(fault, Err(MetricFault::TooManyValues(300))), "{fault:?}");
    }
    assert!(matches!(Steps::range(0, 11_001, 1), Err(MetricFault::TooManySteps)));
    assert_eq!(Steps::range(0, 11_000, 1).unwrap().count(), 11_001);
    assert!(matches!(Steps::range(0, 1, 0), Err(MetricFault::Steps)));
    assert!(matches!(Steps::range(1, 0, 1), Err(MetricFault::Steps)));
}

#[test]
fn times_far_away_do_no_harm() {
    for time_ns in [i64::MIN, i64::MAX, 4_000_000_000 * SECOND] {
        let answer = at("vector(1)+vector(1)", &Steps::instant(time_ns)).unwrap();
        assert_eq!(shown(&answer, false), "{} 2");
        assert!(
            at("count_over_time({app=\"a\"}[290y] offset 290y)", &Steps::instant(time_ns)).is_ok()
        );
        assert!(
            at(
                "rate_counter({app=\"a\"} | logfmt | unwrap n [1y] offset -290y)",
                &Steps::instant(time_ns)
            )
            .is_ok()
        );
    }
    let steps = Steps::range(i64::MIN, i64::MAX, i64::MAX).unwrap();
    assert!(at("sum(rate({app=\"a\"}[290y])) + 1", &steps).is_ok());
}

#[test]
fn a_long_sum_does_not_run_out_of_stack() {
    let query = format!("1{}", " + 1".repeat(200));
    assert_eq!(shown(&at(&query, &Steps::instant(0)).unwrap(), false), "201");
    let query = format!("{}vector(1){}", "sum(".repeat(60), ")".repeat(60));
    assert_eq!(shown(&at(&query, &Steps::instant(0)).unwrap(), false), "{} 1");
}

#[test]
fn what_the_source_says_ends_the_query() {
    struct Broken;
    impl Source for Broken {
        fn collect(&mut self, _: &Wanted<'_>, _: Collected) -> Result<Collected, MetricFault> {
            Err(MetricFault::Source("gone".into()))
        }
    }
    let query = metric("sum(rate({app=\"a\"}[1m]))");
    let fault = evaluate(&query, &Steps::instant(0), &Limits::default(), &mut Broken).unwrap_err();
    assert_eq!(fault.to_string(), "gone");
}
