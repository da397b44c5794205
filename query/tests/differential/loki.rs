//! Loki's API answers as its queries mean it: the same from everywhere that records can be as from a walk over all of
//! them, for which nothing is pushed down to the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request as HttpRequest, StatusCode};
use logql::ast::{Expr, LogQuery};
use logql::metric::{Answer, Collected, Limits, MetricFault, Source, Steps, Wanted, evaluate};
use logql::pipeline::{Entry, Outcome, TextTest};
use logql::{Labels, Pipeline};
use query::{Queries, QueryApi, QueryLimits, QueueLimits};
use record::{Record, Value as Attribute};
use serde_json::Value;
use service::doors::Doors;
use service::metrics::Metrics;
use store::Store;
use tower::ServiceExt;

use crate::records::*;

/// Log queries: every kind of matcher and stage, what can be pushed down and what cannot.
const LOG_QUERIES: &[&str] = &[
    "{service_name=~\".+\"}",
    "{service_name=\"orders\"}",
    "{service_name!=\"orders\", level=\"error\"}",
    "{service_name=\"unknown_service\"}",
    "{service_name=~\"orders|unknown_.*\", host!=\"\"}",
    "{service_name!~\"orders|unknown_.*\", host=\"\", level=~\".+\"} | json",
    "{service_name=~\".+s\", host=~\"web-.|\", level=~\"warn|error|\"}",
    "{level!=\"info\", service_name=~\".+\"}",
    "{level=~\".+\"} | detected_level=\"error\"",
    "{service_name=~\".+\"} | detected_level=\"unknown\"",
    "{service_name=~\".+\"} |= \"card\"",
    "{service_name=~\".+\"} |= \"card declined\"",
    "{service_name=~\".+\"} |= \"ard was decl\"",
    "{service_name=~\".+\"} |= \"ayment\" != \"refused\"",
    "{service_name=~\".+\"} |= \" GRÖSSE \"",
    "{service_name=~\".+\"} |= \"\"",
    "{service_name=~\".+\"} |= \"payment\" or \"日本\"",
    "{service_name=~\".+\"} != \"payment\" or \"c-\"",
    "{service_name=~\".+\"} |~ \"(?i)PAYMENT|card\" !~ \"[0-9]+\"",
    "{service_name=~\".+\"} |> \"request <_> completed in <_> ms\"",
    "{service_name=~\".+\"} !> \"request <_>\" |= \"e\"",
    "{service_name=~\".+\"} | correlation_id=\"c-300\"",
    "{service_name=~\".+\"} | correlation_id!=\"\" | trace_id=\"\"",
    "{service_name=~\".+\"} | trace_id=\"4bf92f3577b34da6a3ce929d0e0e00e1\"",
    "{service_name=~\".+\"} | trace_id=\"nonsense\"",
    "{service_name=~\".+\"} | span_id=\"00f067aa0ba90007\" or user=\"u-42\"",
    "{service_name=~\".+\"} | http_status=\"500\"",
    "{service_name=~\".+\"} | http_status>=500 | user=~\"u.*\"",
    "{service_name=~\".+\"} | mixed=\"5\"",
    "{service_name=~\".+\"} | mixed>=5",
    "{service_name=~\".+\"} | mixed=\"true\" or mixed=\"5.5\"",
    "{service_name=~\".+\"} | odd_name=\"x\", event_name=\"order.created\"",
    "{service_name=~\".+\"} | name2917=\"17\" or name2999!=\"\"",
    "{service_name=~\".+\"} | rare=\"yes\" | level=\"error\" or host=\"web-1\"",
    "{service_name=~\".+\"} | size > 1MB and duration_ms < 500",
    "{service_name=~\".+\"} | nobody=\"x\"",
    "{service_name=~\".+\"} | mixed > 5 | nobody > 5",
    "{service_name=~\".+\"} | mixed > 5 and nobody > 5",
    "{service_name=~\".+\"} | mixed > 5 | __error__!=\"\"",
    "{service_name=~\".+\"} | mixed > 5 | __error__=\"LabelFilterErr\"",
    "{service_name=~\".+\"} | line_format \"{{div 1 0}}\" | __error__!=\"\"",
    "{service_name=~\".+\"} |= \" İstanbul \"",
    "{service_name=~\".+\"} | share=\"5\"",
    "{service_name=~\".+\"} | json | level_extracted=\"high\" | user_extracted=\"u-json\"",
    "{service_name=~\".+\"} | nobody=\"\" | tag!=\"\"",
    "{service_name=~\".+\"} | pattern \"request <n> completed in <took> ms\" | took>900",
    "{service_name=~\".+\"} | regexp `after (?P<after>[0-9]+)` | after!=\"\"",
    "{service_name=~\".+\"} | json | __error__=\"\"",
    "{service_name=~\".+\"} | logfmt | drop __error__, __error_details__ | user=\"admin\"",
    "{service_name=~\".+\"} | drop host | host=\"web-1\"",
    "{service_name=~\".+\"} | drop __error__ | host=\"web-1\"",
    "{service_name=~\".+\"} | keep user, host | user=\"u-7\"",
    "{service_name=~\".+\"} | line_format \"{{.user}} {{__line__}}\" |= \"u-42 pay\"",
    "{service_name=~\".+\"} | label_format who=user, up=`{{.host | upper}}` | who=\"u-43\"",
    "{service_name=~\".+\"} | label_format found=`{{ contains \"card\" __line__ }}` | found=\"true\" or trace_id=\"4bf92f3577b34da6a3ce929d0e0e00e1\"",
    "{app=\"x\"}",
    "{app=\"\", service_name=\"users\"}",
];

/// Metric queries: every function, each kind of grouping, with and without what has to be read of lines.
const METRIC_QUERIES: &[&str] = &[
    "count_over_time({service_name=~\".+\"}[2h])",
    "sum by (level, detected_level) (count_over_time({service_name=~\".+\"} |= `e` | json | drop __error__, __error_details__ [1h]))",
    "sum by (service_name) (rate({level=\"error\"}[3h]))",
    "sum by (user) (count_over_time({service_name=~\".+\"} | user!=\"\" [2h]))",
    "sum without (host) (count_over_time({service_name=~\".+\"}[2h]))",
    "sum(bytes_over_time({service_name=\"orders\"}[2h] offset 30m))",
    "bytes_rate({service_name=\"orders\"} |= \"card\" [2h])",
    "avg_over_time({service_name=~\".+\"} | unwrap duration_ms [2h]) by (service_name)",
    "quantile_over_time(0.9, {service_name=~\".+\"} | unwrap duration_ms | host=\"web-1\" [2h]) by (host)",
    "max_over_time({service_name=~\".+\"} | unwrap size [2h]) by ()",
    "min_over_time({service_name=~\".+\"} | unwrap bytes(size) [2h]) by (level)",
    "stddev_over_time({service_name=~\".+\"} | unwrap size [2h]) by (level)",
    "first_over_time({service_name=~\".+\"} | unwrap n [2h]) by (service_name)",
    "last_over_time({service_name=~\".+\"} | unwrap n [2h]) by (host)",
    "sum by (service_name) (rate_counter({service_name=~\".+\"} | unwrap n [2h]))",
    "sum by (level) (sum_over_time({service_name=~\".+\"} | pattern \"request <n> completed in <took> ms\" | unwrap took | __error__=\"\" [2h]))",
    "sum by (user_extracted) (count_over_time({service_name=~\".+\"} | json | __error__=\"\" [2h]))",
    "max_over_time({level=\"error\"} | label_format t=`{{__timestamp__ | unixEpoch}}` | unwrap t [2h]) by ()",
    "last_over_time({service_name=~\".+\"} | label_format v=`{{if eq .level \"error\"}}1{{else}}0{{end}}` | unwrap v [2h]) by (service_name)",
    "sum by (t) (count_over_time({level=\"fatal\"} | label_format t=`{{__timestamp__ | unixEpoch}}` [1h]))",
    "absent_over_time({service_name=\"nobody\", level=\"error\"}[1h])",
    "absent_over_time({service_name=\"orders\"} |= \"日本\" [10m])",
    "topk(2, sum by (http_status) (count_over_time({service_name=~\".+\"}[2h])))",
    "count(sum by (name2917) (count_over_time({service_name=~\".+\"}[1d])))",
    "sum by (host) (count_over_time({level=\"error\"}[2h])) / sum by (host) (count_over_time({service_name=~\".+\"}[2h])) > 0.1",
    "sum by (pattern) (count_over_time({service_name=~\".+\"} | label_format pattern=`{{ regexReplaceAll \"[0-9]+\" __line__ \"_\" }}` [1d]))",
    "vector(1)+vector(1)",
    "1 + 1",
    "sum by (nobody) (count_over_time({service_name=\"users\"}[2h])) or vector(0)",
];

/// Of the records, the last.
const SOME: usize = 400;

/// The records, a few of them changed: what is told apart by its spelling, JSON with names that are taken, and floats that
/// are whole.
fn some_lines() -> Vec<String> {
    let lines = lines().split_off(RECORDS - SOME);
    let changed = lines.iter().enumerate().map(|(number, line)| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        match number % 40 {
            7 => record["msg"] = "nach İstanbul heute".into(),
            8 => record["msg"] = r#"{"level":"high","user":"u-json","n":1}"#.into(),
            _ => {}
        }
        // Behind many other names, so that it does not get a column everywhere.
        record["share"] = ((number % 9) as f64 + if number % 2 == 0 { 0.0 } else { 0.5 }).into();
        record.to_string()
    });
    changed.collect()
}

/// A record as a line, written down once more.
struct Naive {
    time: i64,
    line: String,
    stream: Labels,
    metadata: Labels,
}

impl Naive {
    fn new(record: &Record) -> Self {
        let mut stream = Labels::new();
        stream.set("service_name", record.service.as_deref().unwrap_or("unknown_service"));
        let level = record.severity.level().map(|level| level.name());
        for (name, value) in [("level", level), ("host", record.host.as_deref())] {
            if let Some(value) = value {
                stream.set(name, value);
            }
        }
        let mut metadata = Labels::new();
        metadata.set("detected_level", level.unwrap_or("unknown"));
        let texts = [
            ("correlation_id", record.correlation_id.clone()),
            ("trace_id", record.trace_id.map(|id| id.to_string())),
            ("span_id", record.span_id.map(|id| id.to_string())),
            ("event_name", record.event_name.clone()),
            ("severity_text", record.severity_text.clone()),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                metadata.set(name, value);
            }
        }
        for (name, value) in &record.attributes {
            let label: String = name
                .chars()
                .map(|sign| if sign.is_ascii_alphanumeric() { sign } else { '_' })
                .collect();
            let value = match value {
                Attribute::String(text) => text.clone(),
                Attribute::I64(number) => number.to_string(),
                Attribute::F64(number) => number.to_string(),
                Attribute::Bool(flag) => flag.to_string(),
            };
            metadata.set(label, value);
        }
        Self { time: record.timestamp.0, line: record.message.clone(), stream, metadata }
    }

    fn is_of(&self, query: &LogQuery) -> bool {
        query.matchers.iter().all(|matcher| {
            let test = TextTest::compile(&matcher.node).unwrap();
            test.matches(self.stream.get(test.name()).unwrap_or_default())
        })
    }

    fn entry(&self) -> Entry<'_> {
        let Self { time, line, stream, metadata } = self;
        Entry { timestamp_ns: *time, line, stream, metadata }
    }
}

/// All records, in the order of time.
struct NaiveSource<'r>(&'r [Naive]);

impl Source for NaiveSource<'_> {
    fn collect(
        &mut self,
        wanted: &Wanted<'_>,
        mut collected: Collected,
    ) -> Result<Collected, MetricFault> {
        for one in self.0.iter().filter(|one| one.is_of(wanted.query)) {
            if one.time > wanted.after_ns && one.time <= wanted.until_ns {
                collected.take(&one.entry(), 1)?;
            }
        }
        Ok(collected)
    }
}

/// Asks a route; the status and the body.
async fn ask(api: &Arc<QueryApi>, path: &str, parameters: &[(&str, &str)]) -> (StatusCode, String) {
    let query = serde_urlencoded::to_string(parameters).unwrap();
    let request = HttpRequest::get(format!("/loki/api/v1/{path}?{query}"));
    let request = request.body(Body::empty()).unwrap();
    let answer = api.routes().behind(&Doors::open()).oneshot(request).await.unwrap();
    let status = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn api_of(store: &Arc<Store>) -> Arc<QueryApi> {
    let queries = Queries::new(Arc::clone(store), QueryLimits::default());
    QueryApi::new(queries, QueueLimits::default(), &Metrics::new())
}

/// Time, labels, text of each line of an answer, stream by stream, and whether each stream is in order.
fn lines_of(answer: &Value, backward: bool) -> Vec<(i64, String, String)> {
    let mut lines = Vec::new();
    for stream in answer["data"]["result"].as_array().unwrap() {
        let labels = stream["stream"].to_string();
        let of_stream: Vec<(i64, String, String)> = stream["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|value| {
                let time = value[0].as_str().unwrap().parse().unwrap();
                (time, labels.clone(), value[1].as_str().unwrap().to_owned())
            })
            .collect();
        let in_order = |pair: &[(i64, String, String)]| match backward {
            true => pair[0].0 >= pair[1].0,
            false => pair[0].0 <= pair[1].0,
        };
        assert!(of_stream.windows(2).all(in_order), "{labels}");
        lines.extend(of_stream);
    }
    lines.sort();
    lines
}

fn labels_json(labels: &Labels) -> String {
    let object: BTreeMap<&str, &str> = labels.iter().collect();
    serde_json::to_string(&object).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn log_queries_of_loki_find_what_a_walk_over_all_records_finds() {
    let folder = tempfile::tempdir().unwrap();
    let lines = some_lines();
    let records: Vec<Naive> = naive_records(&lines).iter().map(Naive::new).collect();
    let mut expected: Vec<Vec<(i64, String, String)>> = Vec::new();
    for query in LOG_QUERIES {
        let Ok(Expr::Log(parsed)) = logql::parse(query) else { panic!("{query}") };
        let pipeline = Pipeline::compile(&parsed.node).unwrap();
        let mut found = Vec::new();
        for record in records.iter().filter(|record| record.is_of(&parsed.node)) {
            if let Outcome::Kept(kept) = pipeline.apply(&record.entry()) {
                found.push((record.time, labels_json(&kept.labels.all()), kept.line.to_string()));
            }
        }
        found.sort();
        expected.push(found);
    }
    let found_nothing = expected.iter().filter(|found| found.is_empty()).count();
    assert!(found_nothing <= 6, "{found_nothing} queries find nothing, and prove little");
    let last = (FIRST_TIME + 1_000_000_000_000_000).to_string();
    tokio::task::block_in_place(|| {
        in_every_place(folder.path(), &lines, |store, place| {
            let api = api_of(store);
            for (query, expected) in LOG_QUERIES.iter().zip(&expected) {
                for (direction, limit) in
                    [("backward", 5_000), ("forward", 5_000), ("backward", 7), ("forward", 7)]
                {
                    let limit_text = limit.to_string();
                    let parameters = [
                        ("query", *query),
                        ("start", "1600000000"),
                        ("end", &last),
                        ("limit", &limit_text),
                        ("direction", direction),
                    ];
                    let asked = ask(&api, "query_range", &parameters);
                    let (status, body) = tokio::runtime::Handle::current().block_on(asked);
                    assert_eq!(status, StatusCode::OK, "{query} {place}: {body}");
                    let answer: Value = serde_json::from_str(&body).unwrap();
                    let found = lines_of(&answer, direction == "backward");
                    if limit >= expected.len() {
                        assert_eq!(&found, expected, "{query} {direction} from {place}");
                        continue;
                    }
                    // Of lines of one time any may be among those that are given.
                    let times = |lines: &[(i64, String, String)]| -> Vec<i64> {
                        lines.iter().map(|line| line.0).collect()
                    };
                    let wanted = match direction {
                        "backward" => &expected[expected.len() - limit..],
                        _ => &expected[..limit],
                    };
                    assert_eq!(times(&found), times(wanted), "{query} {direction} from {place}");
                    assert!(found.iter().all(|line| expected.binary_search(line).is_ok()));
                }
            }
        });
    });
}

/// Series by their labels, each with times in seconds and numbers.
type Numbers = BTreeMap<String, Vec<(f64, f64)>>;

fn numbers_of(answer: &Value) -> Numbers {
    let result = answer["data"]["result"].as_array().unwrap();
    let sample = |value: &Value| {
        let number: f64 = value[1].as_str().unwrap().replace("Inf", "inf").parse().unwrap();
        (value[0].as_f64().unwrap(), number)
    };
    let series = result.iter().map(|series| {
        let values = series["values"].as_array().unwrap();
        (series["metric"].to_string(), values.iter().map(sample).collect())
    });
    series.collect()
}

fn alike(left: &Numbers, right: &Numbers) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|((one, ours), (other, theirs))| {
            let close = |(ours, theirs): (&(f64, f64), &(f64, f64))| {
                ours.0 == theirs.0 && (ours.1 - theirs.1).abs() <= 1e-9 * theirs.1.abs().max(1.0)
            };
            one == other && ours.len() == theirs.len() && ours.iter().zip(theirs).all(close)
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn metric_queries_of_loki_count_what_a_walk_over_all_records_counts() {
    let folder = tempfile::tempdir().unwrap();
    let lines = some_lines();
    let mut records: Vec<Naive> = naive_records(&lines).iter().map(Naive::new).collect();
    records.sort_by_key(|record| record.time);
    let start = FIRST_TIME + 8_500_000_000_000;
    let (end, step) = (start + 2_500_000_000_000, 250_000_000_000);
    let steps = Steps::range(start, end, step).unwrap();
    let limits = Limits { series_max: 1_000, parts_max: 50_000, ..Limits::default() };
    let mut expected: Vec<Numbers> = Vec::new();
    for query in METRIC_QUERIES {
        let Ok(Expr::Metric(metric)) = logql::parse(query) else { panic!("{query}") };
        let answer = evaluate(&metric.node, &steps, &limits, &mut NaiveSource(&records));
        let point = |point: &logql::metric::Point| (point.time_ns as f64 / 1e9, point.value);
        expected.push(match answer.unwrap_or_else(|fault| panic!("{query}: {fault}")) {
            Answer::Scalar(points) => {
                [("{}".to_owned(), points.iter().map(point).collect())].into()
            }
            Answer::Series(series) => series
                .iter()
                .map(|one| (labels_json(&one.labels), one.points.iter().map(point).collect()))
                .collect(),
        });
    }
    assert!(expected.iter().all(|numbers| !numbers.is_empty()), "a query finds nothing");
    tokio::task::block_in_place(|| {
        in_every_place(folder.path(), &lines, |store, place| {
            let api = api_of(store);
            for (query, expected) in METRIC_QUERIES.iter().zip(&expected) {
                let (start, end) = (start.to_string(), end.to_string());
                let parameters =
                    [("query", *query), ("start", &start), ("end", &end), ("step", "250")];
                let asked = ask(&api, "query_range", &parameters);
                let (status, body) = tokio::runtime::Handle::current().block_on(asked);
                assert_eq!(status, StatusCode::OK, "{query} {place}: {body}");
                let found = numbers_of(&serde_json::from_str(&body).unwrap());
                assert!(alike(&found, expected), "{query} from {place}\n{found:?}\n{expected:?}");
            }
        });
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn more_records_than_a_query_may_read_are_told_and_the_oldest_lines_found_nevertheless() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path(), options()).unwrap());
    // Ten a second; those that are looked for are the first of all.
    let lines: Vec<String> = (0..1_000_i64)
        .map(|n| {
            let time = record::Timestamp(FIRST_TIME + n * 100_000_000).to_string();
            let msg = format!("took={n} {}", if n < 3 { "wanted" } else { "other" });
            serde_json::json!({"time": time, "service": "s", "msg": msg}).to_string()
        })
        .collect();
    append(&store, &lines);
    let limits = QueryLimits { rows_max: 100, ..QueryLimits::default() };
    let queries = Queries::new(Arc::clone(&store), limits);
    let api = QueryApi::new(queries, QueueLimits::default(), &Metrics::new());
    for (query, direction, texts, told) in [
        ("{service_name=\"s\"} | logfmt | wanted!=`x`", "forward", 2, false),
        ("{service_name=\"s\"} | logfmt | took=\"1\"", "forward", 1, false),
        ("{service_name=\"s\"} | logfmt | took=\"1\"", "backward", 0, true),
    ] {
        let parameters =
            [("query", query), ("start", "1600000000"), ("direction", direction), ("limit", "2")];
        let (status, body) = ask(&api, "query_range", &parameters).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        let found = lines_of(&answer, direction == "backward");
        assert_eq!(found.len(), texts, "{query} {direction}: {body}");
        assert_eq!(answer["warnings"].is_array(), told, "{query} {direction}: {body}");
    }
}
