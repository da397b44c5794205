//! Answers as Loki writes them, and refusals.
//!
//! Grafana's plugin reads an answer as a stream: `resultType` stands before `encodingFlags`, that before `result`, and
//! `stats` last. Numbers of series are texts, times of lines are texts of nanoseconds. A refusal is plain text.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use logql::Labels;
use logql::metric::{Answer, MetricFault, Point};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};
use service::doors::Refused;

use super::lines::{Found, Line};
use super::samples::Evaluated;
use crate::error::QueryError;

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    pub(super) message: String,
    /// Whether it is told in JSON, of a query that could not be formatted.
    in_json: bool,
}

impl Refusal {
    /// A parameter or a query that cannot be meant.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into(), in_json: false }
    }

    /// A query that cannot be formatted.
    pub(super) fn invalid_query(fault: &logql::Fault) -> Self {
        Self { in_json: true, ..Self::bad_request(fault.to_string()) }
    }
}

/// On its way through the queue, which counts how queries end.
impl From<Refusal> for QueryError {
    fn from(refusal: Refusal) -> Self {
        let Refusal { status, message, in_json } = refusal;
        QueryError::Worded { status, message, in_json }
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        if let QueryError::Worded { status, message, in_json } = error {
            return Self { status, message, in_json };
        }
        let message = match &error {
            // Grafana asks for a part again if it reads these words.
            QueryError::Deadline { .. } => format!("the request timed out: {error}"),
            other => other.to_string(),
        };
        Self { status: error.status(), message, in_json: false }
    }
}

impl From<logql::Fault> for Refusal {
    fn from(fault: logql::Fault) -> Self {
        Self::bad_request(fault.to_string())
    }
}

impl From<MetricFault> for Refusal {
    fn from(fault: MetricFault) -> Self {
        match fault {
            MetricFault::Source(source) => match source.downcast::<QueryError>() {
                Ok(error) => (*error).into(),
                Err(other) => Self { status: 500, message: other.to_string(), in_json: false },
            },
            other => Self::bad_request(other.to_string()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        if self.in_json {
            let mut response =
                json(body_of(&json!({ "status": "invalid-query", "error": self.message })));
            *response.status_mut() = status;
            return response;
        }
        let mut response = (status, format!("{}\n", self.message)).into_response();
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(RETRY_AFTER, 1.into());
        }
        response
    }
}

/// Somebody does not come in.
pub(super) fn not_let_in(_: &HeaderMap, refused: &Refused) -> Response {
    let (status, message) = (refused.status(), refused.to_string());
    Refusal { status, message, in_json: false }.into_response()
}

/// An answer that is written already.
pub(super) fn json(body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/json; charset=UTF-8")], body).into_response()
}

/// Any value as an answer's body.
pub(super) fn body_of(value: &impl Serialize) -> Vec<u8> {
    let mut body = serde_json::to_vec(value).expect("only texts are keys of our types");
    body.push(b'\n');
    body
}

/// `{"status":"success","data":…}`
pub(super) fn success(data: &impl Serialize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Success<'a, T> {
        status: &'static str,
        data: &'a T,
    }
    body_of(&Success { status: "success", data })
}

#[derive(Serialize)]
struct Whole<'a, T> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<[&'a str; 1]>,
    data: Data<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<T> {
    result_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_flags: Option<[&'static str; 1]>,
    result: T,
    stats: Value,
}

/// The header of a client that wants labels told apart by where they come from, and its value.
pub(super) const ENCODING_HEADER: &str = "x-loki-response-encoding-flags";
pub(super) const CATEGORIZE: &str = "categorize-labels";

/// Whether labels are to be told apart.
pub(super) fn categorizes(headers: &HeaderMap) -> bool {
    let flags = headers.get_all(ENCODING_HEADER).iter().filter_map(|flags| flags.to_str().ok());
    flags.flat_map(|flags| flags.split(',')).any(|flag| flag.trim() == CATEGORIZE)
}

/// Labels as an object.
pub(super) struct Object<'l>(pub(super) &'l Labels);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Lines of one stream.
#[derive(Serialize)]
struct Stream<'l> {
    stream: Object<'l>,
    values: Vec<LineValue<'l>>,
}

/// `["TIME","TEXT"]`, and what came with it if that is told apart.
#[derive(Serialize)]
#[serde(untagged)]
enum LineValue<'l> {
    Plain(String, &'l str),
    Categorized(String, &'l str, Categories<'l>),
}

impl<'l> LineValue<'l> {
    fn of(line: &'l Line, categorized: bool) -> Self {
        let time = line.timestamp_ns.to_string();
        match categorized {
            true => LineValue::Categorized(time, &line.text, Categories::of(line)),
            false => LineValue::Plain(time, &line.text),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Categories<'l> {
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_metadata: Option<Object<'l>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parsed: Option<Object<'l>>,
}

impl<'l> Categories<'l> {
    fn of(line: &'l Line) -> Self {
        let some = |labels: &'l Labels| (!labels.is_empty()).then_some(Object(labels));
        Self { structured_metadata: some(&line.metadata), parsed: some(&line.parsed) }
    }
}

/// The labels of a line, all together.
fn merged(line: &Line) -> Labels {
    let all = [&line.stream, &line.metadata, &line.parsed];
    all.into_iter().flat_map(Labels::iter).collect()
}

/// Lines by streams, as an array: of frames of a tail and of answers.
pub(super) struct Streams<'l> {
    by_labels: BTreeMap<Labels, Vec<&'l Line>>,
    categorized: bool,
}

impl<'l> Streams<'l> {
    /// Lines keep their order within a stream.
    pub(super) fn of(lines: impl Iterator<Item = &'l Line>, categorized: bool) -> Self {
        let mut by_labels: BTreeMap<Labels, Vec<&Line>> = BTreeMap::new();
        for line in lines {
            let labels = if categorized { line.stream.clone() } else { merged(line) };
            by_labels.entry(labels).or_default().push(line);
        }
        Self { by_labels, categorized }
    }
}

impl Serialize for Streams<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.by_labels.iter().map(|(labels, lines)| {
            let values = lines.iter().map(|line| LineValue::of(line, self.categorized));
            Stream { stream: Object(labels), values: values.collect() }
        }))
    }
}

/// The answer of a log query.
pub(super) fn of_lines(found: &Found, categorized: bool, took: Duration) -> Vec<u8> {
    let given = found.lines.len() as u64;
    body_of(&Whole {
        status: "success",
        warnings: found.partial.as_deref().map(|reason| [reason]),
        data: Data {
            result_type: "streams",
            encoding_flags: categorized.then_some([CATEGORIZE]),
            result: Streams::of(found.lines.iter(), categorized),
            stats: stats(found.looked_at, found.looked_at_bytes, given, took),
        },
    })
}

#[derive(Serialize)]
struct Matrix<'a> {
    metric: Object<'a>,
    values: Vec<(Seconds, String)>,
}

#[derive(Serialize)]
struct Vector<'a> {
    metric: Object<'a>,
    value: (Seconds, String),
}

/// Seconds since the epoch, with three decimals at most.
struct Seconds(i64);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let milliseconds = self.0.div_euclid(1_000_000);
        match milliseconds % 1_000 {
            0 => serializer.serialize_i64(milliseconds / 1_000),
            _ => serializer.serialize_f64(milliseconds as f64 / 1e3),
        }
    }
}

/// `NaN`, `+Inf`, `-Inf`, or the shortest decimal number.
fn number(value: f64) -> String {
    match value {
        _ if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        _ => value.to_string(),
    }
}

fn sample(point: &Point) -> (Seconds, String) {
    (Seconds(point.time_ns), number(point.value))
}

/// The answer of a metric query, over steps or at an instant.
pub(super) fn of_numbers(evaluated: &Evaluated, instant: bool, took: Duration) -> Vec<u8> {
    let nothing = Labels::new();
    match (&evaluated.answer, instant) {
        (Answer::Scalar(points), true) => {
            whole("scalar", points.first().map(sample), evaluated, took)
        }
        (Answer::Scalar(points), false) => {
            let values = points.iter().map(sample).collect();
            whole("matrix", [Matrix { metric: Object(&nothing), values }], evaluated, took)
        }
        (Answer::Series(series), true) => {
            let one = |series: &'_ logql::metric::Series| Some(sample(series.points.first()?));
            let vector: Vec<Vector<'_>> = series
                .iter()
                .filter_map(|series| {
                    Some(Vector { metric: Object(&series.labels), value: one(series)? })
                })
                .collect();
            whole("vector", vector, evaluated, took)
        }
        (Answer::Series(series), false) => {
            let matrix: Vec<Matrix<'_>> = series
                .iter()
                .map(|series| Matrix {
                    metric: Object(&series.labels),
                    values: series.points.iter().map(sample).collect(),
                })
                .collect();
            whole("matrix", matrix, evaluated, took)
        }
    }
}

fn whole(
    result_type: &'static str,
    result: impl Serialize,
    evaluated: &Evaluated,
    took: Duration,
) -> Vec<u8> {
    body_of(&Whole {
        status: "success",
        warnings: evaluated.partial.as_deref().map(|reason| [reason]),
        data: Data {
            result_type,
            encoding_flags: None,
            result,
            stats: stats(evaluated.lines, 0, 0, took),
        },
    })
}

/// What an answer cost. Parts that are of Loki's own making are 0, and there because logcli reads them.
fn stats(lines: u64, bytes: u64, given: u64, took: Duration) -> Value {
    let a_second = |count: u64| (count as f64 / took.as_secs_f64().max(1e-6)) as u64;
    let store = json!({
        "totalChunksRef": 0, "totalChunksDownloaded": 0, "chunksDownloadTime": 0,
        "chunk": {
            "headChunkBytes": 0, "headChunkLines": 0, "decompressedBytes": bytes,
            "decompressedLines": lines, "compressedBytes": 0, "totalDuplicates": 0,
        },
    });
    json!({
        "summary": {
            "bytesProcessedPerSecond": a_second(bytes), "linesProcessedPerSecond": a_second(lines),
            "totalBytesProcessed": bytes, "totalLinesProcessed": lines,
            "execTime": took.as_secs_f64(), "queueTime": 0, "subqueries": 0, "splits": 0, "shards": 0,
            "totalEntriesReturned": given, "totalPostFilterLines": given,
            "totalStructuredMetadataBytesProcessed": 0,
        },
        "querier": { "store": store },
        "ingester": {
            "totalReached": 0, "totalChunksMatched": 0, "totalBatches": 0, "totalLinesSent": 0,
            "store": store,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_prometheus_does() {
        for (value, expected) in [
            (2.0, "2"),
            (0.1, "0.1"),
            (1e21, "1000000000000000000000"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(number(value), expected);
        }
        for (time_ns, expected) in [
            (4_000_000_000, "4"),
            (1_700_000_000_123_456_789, "1700000000.123"),
            (-1_500_000_000, "-1.5"),
        ] {
            assert_eq!(serde_json::to_string(&Seconds(time_ns)).unwrap(), expected);
        }
    }
}
