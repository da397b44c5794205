//! Logs by Loki's read API, on the real binary, asked as Grafana's data source, Logs Drilldown and logcli ask, and read as
//! strictly as they read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../server/mod.rs"]
mod server;
mod tail;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use server::{Answer, Home, Server};

/// 2023-11-14T22:13:20Z.
const BEGIN: i64 = 1_700_000_000;
const CATEGORIZE: (&str, &str) = ("x-loki-response-encoding-flags", "categorize-labels");

/// Names and values of the URL, not encoded.
type Parameters<'a> = &'a [(&'a str, &'a str)];

/// As the data source's plugin reads them: keys in their order, texts where texts have to be.
mod decoded {
    use super::*;

    #[derive(Debug, Deserialize)]
    pub(crate) struct Lines {
        pub(crate) stream: BTreeMap<String, String>,
        pub(crate) values: Vec<(String, String)>,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Categorized {
        pub(crate) stream: BTreeMap<String, String>,
        pub(crate) values: Vec<(String, String, Categories)>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub(crate) struct Categories {
        #[serde(default)]
        pub(crate) structured_metadata: BTreeMap<String, String>,
        #[serde(default)]
        pub(crate) parsed: BTreeMap<String, String>,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Matrix {
        pub(crate) metric: BTreeMap<String, String>,
        pub(crate) values: Vec<(f64, String)>,
    }

    #[derive(Debug, Deserialize)]
    pub(crate) struct Vector {
        pub(crate) metric: BTreeMap<String, String>,
        pub(crate) value: (f64, String),
    }
}

use decoded::*;

fn ask(server: &Server, path: &str, parameters: Parameters<'_>) -> Answer {
    ask_with(server, path, parameters, ("x-query-tags", "Source=grafana-lokiexplore-app"))
}

fn ask_with(
    server: &Server,
    path: &str,
    parameters: Parameters<'_>,
    header: (&str, &str),
) -> Answer {
    server.http.get_with(&url(&server.query, path, parameters), header)
}

fn url(address: &str, path: &str, parameters: Parameters<'_>) -> String {
    let mut url = reqwest::Url::parse(&format!("{address}/loki/api/v1/{path}")).unwrap();
    url.query_pairs_mut().extend_pairs(parameters);
    url.into()
}

fn refusal(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    (answer.status, answer.text().trim_end().to_owned())
}

/// The result of an answer, which is of the kind that is named, and begins with it.
fn result<T: serde::de::DeserializeOwned>(answer: &Answer, kind: &str) -> T {
    let text = answer.text();
    assert_eq!(answer.status, 200, "{text}");
    let begins = format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"{kind}\",");
    assert!(text.starts_with(&begins), "{text}");
    assert!(text.find("\"result\":") < text.rfind("\"stats\":"), "{text}");
    serde_json::from_value(answer.json()["data"]["result"].clone()).unwrap()
}

fn data(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["status"], "success", "{body}");
    body["data"].clone()
}

/// A line every second of two minutes: JSON and prose, of two services, all that a record can have among it.
fn shop() -> Server {
    let server = Home::new().start();
    let lines: Vec<String> = (0..120)
        .map(|second| {
            let (service, host) = [("orders", "web1"), ("payments", "web2")][second % 2];
            let message = match second % 4 {
                0 => json!({"took": second, "customer": {"id": format!("c{}", second % 8)}})
                    .to_string(),
                1 => format!("card declined after {second} ms"),
                2 => format!("level=warn took={second}ms user=u-{}", second % 3),
                _ => "{\"broken".to_owned(),
            };
            json!({
                "time": BEGIN + second as i64, "service": service, "host": host, "msg": message,
                "level": if second % 10 == 0 { "error" } else { "info" },
                "correlation_id": format!("ord-{}", second / 10),
                "trace_id": format!("4bf92f3577b34da6a3ce929d0e0e{:04x}", second / 10),
                "http.status_code": 200 + second % 4 * 100,
            })
            .to_string()
        })
        .collect();
    let answer = server.ingest("/ingest/jsonl", &[], lines.join("\n"));
    assert_eq!(answer.accepted(), 120);
    server
}

/// From the first second to behind the last.
fn all(query: &str) -> [(&str, &str); 3] {
    [("query", query), ("start", "1700000000"), ("end", "1700000120")]
}

#[test]
fn grafanas_health_check_is_answered_whatever_its_time() {
    let server = Home::new().start();
    for time in ["4000000000", "4", "1700000000000000000"] {
        let parameters =
            [("direction", "backward"), ("query", "vector(1)+vector(1)"), ("time", time)];
        let vector: Vec<Vector> = result(&ask(&server, "query", &parameters), "vector");
        assert_eq!(vector.len(), 1);
        assert!(vector[0].metric.is_empty());
        assert_eq!(vector[0].value.1, "2");
    }
    assert_eq!(server.http.get(&format!("{}/ready", server.query)).text(), "ready\n");
    let build = ask(&server, "status/buildinfo", &[]).json();
    assert!(build["version"].as_str().unwrap().starts_with("3."), "{build}");
}

#[test]
fn lines_come_with_labels_merged_or_told_apart() {
    let server = shop();
    let query = r#"{service_name="orders"} | json | took="40""#;
    let merged: Vec<Lines> = result(&ask(&server, "query_range", &all(query)), "streams");
    assert_eq!(merged.len(), 1);
    assert_eq!(merged[0].values.len(), 1);
    let expected = [
        ("correlation_id", "ord-4"),
        ("customer_id", "c0"),
        ("detected_level", "error"),
        ("host", "web1"),
        ("http_status_code", "200"),
        ("level", "error"),
        ("service_name", "orders"),
        ("severity_text", "error"),
        ("took", "40"),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e0004"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(merged[0].stream, BTreeMap::from(expected.clone()));
    assert_eq!(merged[0].values[0].0, "1700000040000000000");

    let answer = ask_with(&server, "query_range", &all(query), CATEGORIZE);
    let text = answer.text();
    let flags = text.find(r#""encodingFlags":["categorize-labels"],"result":["#);
    assert!(flags.is_some(), "{text}");
    let apart: Vec<Categorized> = result(&answer, "streams");
    let of_stream = ["host", "level", "service_name"];
    assert!(apart[0].stream.keys().eq(of_stream), "{apart:?}");
    let (time, line, categories) = &apart[0].values[0];
    assert_eq!((time.as_str(), line.contains("customer")), ("1700000040000000000", true));
    assert!(categories.parsed.keys().eq(["customer_id", "took"]), "{categories:?}");
    assert_eq!(categories.structured_metadata.len(), 5, "{categories:?}");
    // The third place is there also when it says nothing.
    let bare = r#"{service_name="orders"} | keep nothing"#;
    let bare = ask_with(&server, "query_range", &all(bare), CATEGORIZE).text();
    assert!(bare.contains(",{}]"), "{bare}");
}

#[test]
fn a_range_has_its_start_and_not_its_end_and_lines_their_order() {
    let server = shop();
    let query = r#"{service_name=~".+"}"#;
    let at = |start: &str, end: &str, direction: &str, limit: &str| -> Vec<String> {
        let parameters = [
            ("query", query),
            ("start", start),
            ("end", end),
            ("direction", direction),
            ("limit", limit),
        ];
        let lines: Vec<Categorized> =
            result(&ask_with(&server, "query_range", &parameters, CATEGORIZE), "streams");
        let mut times: Vec<String> =
            lines.into_iter().flat_map(|stream| stream.values).map(|value| value.0).collect();
        times.sort();
        times.into_iter().map(|time| time[8..10].to_owned()).collect()
    };
    assert_eq!(at("1700000010", "1700000012", "forward", "10"), ["10", "11"]);
    assert_eq!(at("1700000010", "1700000010.001", "forward", "10"), ["10"]);
    assert_eq!(at("1700000009", "1700000010", "backward", "10"), ["09"]);
    assert_eq!(at("1700000010", "1700000090", "FORWARD", "3"), ["10", "11", "12"]);
    assert_eq!(at("1700000010", "1700000090", "BACKWARD", "3"), ["87", "88", "89"]);
    for start in [
        "1700000050",
        "1700000050.000",
        "1700000050000000000",
        "2023-11-14T22:14:10Z",
        "2023-11-14T22:14:10.000Z",
    ] {
        assert_eq!(at(start, "1700000052000000000", "backward", "5"), ["50", "51"], "{start}");
    }
}

#[test]
fn parameters_are_held_to_lokis_bounds_in_its_words() {
    let server = shop();
    let range = |more: Parameters<'_>| {
        let parameters = [&all(r#"{service_name=~".+"}"#)[..], more].concat();
        ask(&server, "query_range", &parameters)
    };
    let lines = |answer: &Answer| -> usize {
        let lines: Vec<Lines> = result(answer, "streams");
        lines.iter().map(|stream| stream.values.len()).sum()
    };
    assert_eq!(lines(&range(&[])), 100);
    assert_eq!(lines(&range(&[("limit", "5000")])), 120);
    for (more, said) in [
        (("limit", "0"), "limit must be a positive value"),
        (("limit", "5001"), "max entries limit per query exceeded"),
        (("direction", "up"), "invalid direction 'up'"),
        (("end", "1600000000"), "end timestamp must not be before or equal to start time"),
        (("start", "abc"), "could not parse \"abc\""),
    ] {
        let parameters: Vec<(&str, &str)> = all(r#"{service_name=~".+"}"#)
            .into_iter()
            .filter(|(name, _)| *name != more.0)
            .chain([more])
            .collect();
        let (status, message) = refusal(&ask(&server, "query_range", &parameters));
        assert_eq!(status, 400, "{more:?}: {message}");
        assert!(message.contains(said), "{more:?}: {message}");
    }
    let counts = |step: &str| -> Vec<Matrix> {
        let query = r#"sum(count_over_time({service_name=~".+"}[15s]))"#;
        let parameters = [&all(query)[..], &[("step", step), ("limit", "9999")]].concat();
        result(&ask(&server, "query_range", &parameters), "matrix")
    };
    let values = |step: &str| counts(step).remove(0).values;
    assert_eq!(values("15000ms"), values("15"));
    assert_eq!(values("15.000000"), values("15"));
    assert_eq!(values("15").len(), 9);
    for (query, message) in [
        ("{}", "queries require at least one regexp or equality matcher"),
        (r#"{a=~".*"}"#, "queries require at least one regexp or equality matcher"),
        (r#"{a="b"} | nonsense ("#, "parse error at line 1, col"),
    ] {
        let (status, said) = refusal(&ask(&server, "query_range", &all(query)));
        assert_eq!(status, 400);
        assert!(said.contains(message), "{query}: {said}");
    }
    let (status, said) =
        refusal(&ask(&server, "query", &[("query", r#"{service_name="orders"}"#)]));
    assert_eq!(status, 400);
    assert_eq!(
        said,
        "log queries are not supported as an instant query type, please change your query to a range query type"
    );
    // They are counted as what they are.
    let counted = |outcome: &str| -> u64 {
        let metrics = server.http.get(&format!("{}/metrics", server.query)).text();
        let name =
            format!("logq_query_duration_seconds_count{{kind=\"look\",outcome=\"{outcome}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap()
    };
    assert!(counted("invalid") >= 9, "{}", counted("invalid"));
    let steps = [("query", "vector(1)"), ("start", "0"), ("end", "11001"), ("step", "1")];
    let (status, said) = refusal(&ask(&server, "query_range", &steps));
    assert!(
        status == 400 && said.contains("exceeded maximum resolution of 11,000 points"),
        "{said}"
    );
}

#[test]
fn the_histogram_of_explore_counts_lines_with_errors_too() {
    let server = shop();
    let query = r#"sum by (level, detected_level, nothing) (count_over_time({service_name="payments"} | json | drop __error__[1m]))"#;
    let parameters = [&all(query)[..], &[("step", "60000ms")]].concat();
    let matrix: Vec<Matrix> = result(&ask(&server, "query_range", &parameters), "matrix");
    assert_eq!(matrix.len(), 1, "{matrix:?}");
    let labels: Vec<(&str, &str)> =
        matrix[0].metric.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(labels, [("detected_level", "info"), ("level", "info")]);
    // A window has its end: the second 60 is in the first, and of the seconds the odd ones are of this service.
    let expected =
        [((BEGIN + 60) as f64, "30".to_owned()), ((BEGIN + 120) as f64, "30".to_owned())];
    assert_eq!(matrix[0].values, expected);
    let failing = r#"sum(sum_over_time({service_name="orders"} | logfmt | unwrap took [2m]))"#;
    let (status, said) = refusal(&ask(&server, "query_range", &all(failing)));
    assert_eq!(status, 400, "{said}");
    assert!(said.starts_with("pipeline error: 'SampleExtractionErr' for series: '{"), "{said}");
    let dropped = failing.replace("unwrap took", "unwrap duration(took) | __error__=``");
    let matrix: Vec<Matrix> = result(&ask(&server, "query_range", &all(&dropped)), "matrix");
    assert_eq!(matrix.len(), 1);
}

#[test]
fn labels_values_and_series_fill_the_browser() {
    let server = shop();
    let time = [("start", "1700000000"), ("end", "1700000120")];
    let list =
        |path: &str, more: Parameters<'_>| data(&ask(&server, path, &[&time[..], more].concat()));
    let three = json!(["host", "level", "service_name"]);
    assert_eq!(list("labels", &[]), three);
    assert_eq!(list("label", &[("query", "{}")]), three);
    assert_eq!(list("label/service_name/values", &[]), json!(["orders", "payments"]));
    assert_eq!(list("label/level/values", &[]), json!(["error", "info"]));
    let selector = [("query", r#"{service_name="payments"}"#)];
    assert_eq!(list("label/host/values", &selector), json!(["web2"]));
    assert_eq!(list("label/level/values", &selector), json!(["info"]));
    assert_eq!(list("label/__stream_shard__/values", &[]), json!([]));
    assert_eq!(list("label/no%20such/values", &[]), json!([]));
    let early = [("start", "1600000000"), ("end", "1600000001")];
    assert_eq!(data(&ask(&server, "labels", &early)), json!([]));

    let whole = list("series", &[("match[]", "{}")]);
    assert_eq!(whole.as_array().unwrap().len(), 3, "{whole}");
    assert_eq!(whole, list("series", &[]));
    let of_orders = list("series", &[("match", r#"{service_name="orders"}"#)]);
    assert_eq!(of_orders.as_array().unwrap().len(), 2, "{of_orders}");
    let both = [("match[]", r#"{service_name="payments"}"#), ("match[]", r#"{level="error"}"#)];
    let both = list("series", &both);
    assert_eq!(both.as_array().unwrap().len(), 2, "{both}");
    let (status, _) = refusal(&ask(&server, "series", &[("match[]", "{nonsense")]));
    assert_eq!(status, 400);
    // The same as a form.
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = "query=%7Bservice_name%3D%22payments%22%7D&start=1700000000&end=1700000120";
    let url = format!("{}/loki/api/v1/query_range?limit=7", server.query);
    let lines: Vec<Lines> = result(&server.http.post(&url, &form, body), "streams");
    assert_eq!(lines.iter().map(|stream| stream.values.len()).sum::<usize>(), 7);
}

#[test]
fn logs_drilldown_finds_its_volumes_labels_and_fields() {
    let server = shop();
    let asked = |path: &str, more: Parameters<'_>| {
        ask(
            &server,
            path,
            &[&[("start", "2023-11-14T22:13:20.000Z"), ("end", "1700000120")][..], more].concat(),
        )
    };
    let every = ("query", r#"{service_name=~".+"}"#);
    let stats = asked("index/stats", &[every]).json();
    assert_eq!((&stats["streams"], &stats["entries"]), (&json!(3), &json!(120)), "{stats}");
    let volume: Vec<Vector> = result(&asked("index/volume", &[every]), "vector");
    let names: Vec<&String> = volume.iter().map(|one| &one.metric["service_name"]).collect();
    assert_eq!(names.len(), 2, "{volume:?}");
    let bytes = |one: &Vector| one.value.1.parse::<u64>().unwrap();
    assert!(bytes(&volume[0]) >= bytes(&volume[1]) && bytes(&volume[1]) > 0);
    let near = stats["bytes"].as_u64().unwrap().abs_diff(volume.iter().map(bytes).sum());
    assert!(near <= 2, "{stats} {volume:?}");
    let by_level = [every, ("targetLabels", "level"), ("limit", "5000")];
    let by_level: Vec<Vector> = result(&asked("index/volume", &by_level), "vector");
    assert!(by_level.iter().all(|one| one.metric.keys().eq(["level"])), "{by_level:?}");
    let names = [every, ("aggregateBy", "labels"), ("targetLabels", "level,host")];
    let names: Vec<Vector> = result(&asked("index/volume", &names), "vector");
    assert!(names.iter().all(|one| one.metric.values().all(String::is_empty)), "{names:?}");

    let labels = asked("detected_labels", &[("query", "")]).json();
    let expected = json!([
        {"label": "host", "cardinality": 2},
        {"label": "level", "cardinality": 2},
        {"label": "service_name", "cardinality": 2},
    ]);
    assert_eq!(labels["detectedLabels"], expected);

    let fields = asked("detected_fields", &[every, ("line_limit", "1000")]).json();
    let field = |name: &str| {
        let fields = fields["fields"].as_array().unwrap();
        fields.iter().find(|field| field["label"] == name).unwrap_or_else(|| panic!("{fields:?}"))
    };
    assert_eq!(field("http_status_code")["parsers"], Value::Null);
    assert_eq!(field("http_status_code")["type"], "int");
    assert_eq!(field("customer_id")["parsers"], json!(["json"]));
    assert_eq!(field("customer_id")["jsonPath"], json!(["customer", "id"]));
    assert_eq!(field("user")["parsers"], json!(["logfmt"]));
    assert_eq!(field("correlation_id")["cardinality"], 12);
    let values = asked("detected_field/user/values", &[every, ("line_limit", "1000")]).json();
    assert_eq!(values["values"], json!(["u-0", "u-1", "u-2"]));

    let patterns = data(&asked("patterns", &[every, ("step", "60s")]));
    let declined = patterns
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["pattern"].as_str().unwrap().starts_with("card declined after <_>"));
    let counts = declined.unwrap()["samples"].as_array().unwrap().iter();
    assert_eq!(counts.map(|sample| sample[1].as_u64().unwrap()).sum::<u64>(), 30);
    let limits = ask(&server, "drilldown-limits", &[]).json();
    assert_eq!(limits["limits"]["volume_enabled"], true);
    assert_eq!(limits["limits"]["max_entries_limit_per_query"], 5_000);
}

#[test]
fn a_trace_leads_to_its_lines_by_text_and_by_metadata() {
    let server = Home::new().start();
    let trace = "4bf92f3577b34da6a3ce929d0e0e0004";
    let lines = [
        json!({"time": BEGIN, "service": "orders", "msg": "by metadata", "trace_id": trace}),
        json!({"time": BEGIN + 1, "service": "orders", "msg": format!("by text {trace}")}),
        json!({"time": BEGIN + 2, "service": "orders", "msg": "another"}),
    ];
    let body = lines.map(|line| line.to_string()).join("\n");
    assert_eq!(server.ingest("/ingest/jsonl", &[], body).accepted(), 3);
    let texts = |query: &str| -> Vec<String> {
        let lines: Vec<Lines> = result(&ask(&server, "query_range", &all(query)), "streams");
        lines.into_iter().flat_map(|stream| stream.values).map(|value| value.1).collect()
    };
    let found = texts(&format!(
        "{{service_name=\"orders\"}} | label_format log_line_contains_trace_id=`{{{{ contains \"{trace}\" __line__ }}}}` | log_line_contains_trace_id=\"true\" OR trace_id=\"{trace}\""
    ));
    assert_eq!(found.len(), 2, "{found:?}");
    let provisioned = texts(&format!("{{service_name=\"orders\"}} | trace_id=\"{trace}\""));
    assert_eq!(provisioned, ["by metadata"]);
}
