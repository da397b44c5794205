//! Mutated queries and lines: no panic, no hang, bounded memory; what is parsed prints as a query for itself.

use logql::ast::{Expr, LogQuery};
use logql::metric::{Collected, Limits, MetricFault, Source, Steps, Wanted, evaluate};
use logql::pipeline::{Entry, Outcome, Pipeline};
use logql::{Labels, parse};
use proptest::prelude::*;

/// Queries that use all of the language.
const SEEDS: [&str; 16] = [
    "{app=\"a\", pod=~\"p.*\", x!=\"\", y!~`z`} |= `foo` or \"bar\" != \"\\x41\\u00e9\" |~ `(?i)f.o` !~ \"b\" |> \"a <_> b\" !> \"c<_>\"",
    "{app=\"a\"} | json f=\"a.b[0]\", g | logfmt --strict --keep-empty h, i=\"j\" | unpack | pattern \"<a> - <_> <b>\" | regexp `(?P<x>\\w+)`",
    "{app=\"a\"} | json | status >= 400 and (method=\"GET\" or took > 10ms), size < 1KB x=\"y\" | a == -5 | b != 0x1F",
    "{app=\"a\"} | line_format \"{{.a | upper | trunc 5}} {{if contains `x` .b}}y{{else}}z{{end}}\" | label_format b=c, d=\"{{ printf `%-5s|%05d` .e 42 }}\"",
    "{app=\"a\"} | drop a, b=\"c\" | keep d, e=~\"f\" | decolorize",
    "sum by (level, detected_level) (count_over_time({app=\"a\"} |= `x` | json | drop __error__[1m]))",
    "quantile_over_time(0.95, {a=\"b\"} | unwrap duration_seconds(f) | __error__=`` [1h30m] offset -5m) by (c)",
    "topk(3, rate({a=\"b\"}[5m] | json | unwrap bytes(x))) by (d) > bool 5",
    "sum(rate({a=\"b\"}[5m])) without (c) / on (d) group_left (e) avg by () (rate_counter(({a=\"c\"} | unwrap x)[5m]))",
    "label_replace(absent_over_time({a=\"b\"}[1w]), \"to\", \"$1\", \"from\", \"(.*)\") or vector(-1.5e3) unless ignoring () vector(2)",
    "1 + 2 * 3 ^ 2 % 4 - .5 >= 1",
    "# comment\n{a=`b`} # more\n | json # end",
    "{a=\"b",
    "sum(rate({a=\"b\"}[5x]))",
    "((((({a=\"b\"})))))",
    "{a=\"b\"} | line_format `{{ (default \"d\" .x) | replace \"a\" \"b\" | regexReplaceAll \"x\" .y }}`",
];

const TOKENS: [&[u8]; 54] = [
    b"{",
    b"}",
    b"(",
    b")",
    b"[5m]",
    b"[",
    b"]",
    b",",
    b"=",
    b"!=",
    b"=~",
    b"!~",
    b"|=",
    b"|~",
    b"|>",
    b"!>",
    b" | ",
    b"\"",
    b"`",
    b"\\",
    b"#",
    b"\n",
    b" and ",
    b" or ",
    b" unless ",
    b" by ",
    b" without (",
    b" on (",
    b" ignoring (",
    b" group_left ",
    b" offset ",
    b" bool ",
    b"json ",
    b"logfmt ",
    b"--strict ",
    b"unwrap ",
    b"duration(",
    b"line_format ",
    b"label_format ",
    b"drop ",
    b"keep ",
    b"sum(",
    b"topk(",
    b"rate(",
    b"count_over_time(",
    b"vector(",
    b"label_replace(",
    b"+",
    b"-",
    b"^",
    b"1e9",
    b"5KB",
    b"{{",
    b"}}",
];

fn query_of(stages: &str) -> LogQuery {
    match parse(&format!("{{app=\"a\"}} {stages}")) {
        Ok(Expr::Log(query)) => query.node,
        other => panic!("{stages}: {other:?}"),
    }
}

fn prints_for_itself(text: &str) -> bool {
    match parse(text) {
        Ok(expr) => {
            run(&expr);
            let printed = expr.to_string();
            match parse(&printed) {
                Ok(again) => assert_eq!(again, expr, "printed as {printed}"),
                // Quoting makes it longer; what is refused then is its length alone.
                Err(fault) => assert!(printed.len() > logql::QUERY_BYTES_MAX, "{fault}: {printed}"),
            }
            true
        }
        Err(fault) => {
            assert!(!fault.to_string().is_empty());
            if let Some(place) = fault.place {
                let span = place.span;
                assert!(
                    span.start <= span.end && text.get(span.start..span.end).is_some(),
                    "{place:?}"
                );
                assert!(place.line > 0 && place.column > 0);
            }
            false
        }
    }
}

/// A source of a few lines.
struct Lines<'l>(&'l [Entry<'l>]);

impl Source for Lines<'_> {
    fn collect(
        &mut self,
        wanted: &Wanted<'_>,
        mut collected: Collected,
    ) -> Result<Collected, MetricFault> {
        let is_wanted = |entry: &&Entry<'_>| {
            (wanted.after_ns..wanted.until_ns).contains(&(entry.timestamp_ns - 1))
        };
        self.0.iter().filter(is_wanted).try_for_each(|entry| collected.take(entry, 1))?;
        Ok(collected)
    }
}

/// Sends a few lines through whatever a query asks for.
fn run(expr: &Expr) {
    let stream: Labels = [("a", "b"), ("app", "a")].into_iter().collect();
    let metadata: Labels = [("d", "1")].into_iter().collect();
    let lines = [r#"{"a":{"b":[1]},"x":2,"f":"5ms"}"#, "x=1 f=5ms d=2 a - b c", "é"];
    let entry = |at: i64| Entry {
        timestamp_ns: at * 1_000_000_000,
        line: lines[at as usize % lines.len()],
        stream: &stream,
        metadata: &metadata,
    };
    let metric = match expr {
        Expr::Log(query) => {
            let pipeline = Pipeline::compile(&query.node).expect("it was compiled before");
            (0..3).for_each(|at| drop(pipeline.apply(&entry(at))));
            return;
        }
        Expr::Metric(metric) => &metric.node,
    };
    let entries: Vec<Entry<'_>> = (0..9).map(entry).collect();
    let several = Steps::range(0, 9_000_000_000, 2_000_000_000).expect("few steps");
    for steps in [Steps::instant(8_000_000_000), several] {
        if let Err(fault) = evaluate(metric, &steps, &Limits::default(), &mut Lines(&entries)) {
            assert!(!fault.to_string().is_empty());
        }
    }
}

#[test]
fn mutated_queries_are_parsed_or_refused() {
    let seeds = SEEDS.map(|query| query.as_bytes().to_vec());
    mutation::run("logql", &seeds, &TOKENS, |query| {
        prints_for_itself(&String::from_utf8_lossy(query))
    });
}

#[test]
fn mutated_lines_go_through_every_stage() {
    let pipelines = [
        "| json | logfmt | unpack",
        "| json a=\"b.c[1]\", d=\"[\\\"e\\\"]\" | a > 5 | d < 10ms",
        "| logfmt --strict --keep-empty a, b=\"c\" | a >= 1KB",
        "| pattern \"<a> <_>=<b> \" | regexp `(?P<x>\\S+)=(?P<y>.*)` | x=~\"a.*\"",
        "|> \"<_> <_>\" or \"<_>a<_>\" | decolorize",
        "| logfmt | line_format `{{ __line__ | title | trunc -20 }}{{ printf .a .b 5 }}{{ substr 1 4 .c }}` | json",
        "| logfmt | label_format x=`{{ trimAll .a __line__ }}{{ replace .a .b __line__ }}{{ int .c }}`, y=x",
    ];
    // What reads one format alone tells whether a line is of that format.
    let formats = ["| json", "| logfmt --strict", "| unpack"];
    let compiled = |stages| Pipeline::compile(&query_of(stages)).unwrap();
    let (pipelines, formats) = (pipelines.map(compiled), formats.map(compiled));
    let seeds = [
        br#"{"a":{"b":[1,{"c":"d\u00e9"}]},"b":{"c":[1,2.5e3]},"e":null,"_entry":"x=1"}"#.to_vec(),
        br#"a=1 b="two \"words\"" c=%5d d.e=5ms f= =g"#.to_vec(),
        b"\x1b[31mred\x1b[0m a=%s b=%-9.9v".to_vec(),
    ];
    let tokens: [&[u8]; 12] =
        [b"{", b"}", b"[", b"]", b"\"", b"\\", b"=", b":", b",", b"\x1b[", b"null", b"\\ud83d"];
    let (stream, metadata) = ([("app", "a")].into_iter().collect::<Labels>(), Labels::new());
    mutation::run("lines", &seeds, &tokens, |line| {
        let line = String::from_utf8_lossy(line);
        let entry = Entry { timestamp_ns: 5, line: &line, stream: &stream, metadata: &metadata };
        let is_without_error = |pipeline: &Pipeline| match pipeline.apply(&entry) {
            Outcome::Kept(kept) => {
                assert_eq!(kept.labels.get("app"), Some("a"));
                kept.labels.error().is_none()
            }
            Outcome::Dropped => false,
        };
        for pipeline in &pipelines {
            is_without_error(pipeline);
        }
        formats.iter().any(is_without_error)
    });
}

proptest! {
    #[test]
    fn any_text_can_be_quoted(value in any::<String>(), number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
        let mut query = query_of("|= `x` | label_format a=b");
        query.matchers[0].node.value = format!("x{value}");
        let mut filter = query_of("| a > 1");
        if let logql::ast::Stage::Filter(logql::ast::LabelFilter::Quantity(filter)) = &mut filter.stages[0].node {
            filter.quantity = logql::ast::Quantity::Number(number);
        }
        for query in [query, filter] {
            let again = match parse(&query.to_string()) {
                Ok(Expr::Log(again)) => again.node,
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(again, query);
        }
    }
}
