//! Traces as Jaeger's JSON has them.
//!
//! ```text
//! trace   = { traceID, spans: [span], processes: { "p1": process }, warnings: null | [text] }
//! span    = { traceID, spanID, processID, operationName, references: [reference], startTime: µs, duration: µs,
//!             tags: [tag], logs: [{ timestamp: µs, fields: [tag] }], warnings: null | [text], flags: 1 }
//! process = { serviceName, tags: [tag] }
//! ```
//!
//! A process is a service on a host. Resource and span lie together in a record, so its tags are those attributes whose
//! names the semantic conventions have for resources, as long as all spans of the process agree on them. The parent is
//! the first reference, for readers that look no further; links follow. Senders' faults that a reader would stumble over
//! are repaired, and `warnings` of the span say so.

use std::collections::{BTreeMap, HashMap};

use record::{SpanId, TraceId, span};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use story::Entry;

use super::shared_ids;
use super::tags::{self, Tag};
use crate::UNKNOWN_SERVICE;

/// A trace.
#[derive(Debug, Serialize)]
pub(super) struct Trace {
    #[serde(rename = "traceID", serialize_with = "hex")]
    pub(super) id: TraceId,
    /// In the order of their beginnings; at least one.
    spans: Vec<Span>,
    processes: BTreeMap<String, Process>,
    warnings: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    #[serde(rename = "traceID", serialize_with = "hex")]
    trace_id: TraceId,
    #[serde(rename = "spanID")]
    span_id: String,
    #[serde(rename = "processID")]
    process_id: String,
    operation_name: String,
    references: Vec<Reference>,
    /// Microseconds since 1970.
    start_time: i64,
    /// Microseconds.
    duration: i64,
    tags: Vec<Tag>,
    logs: Vec<Log>,
    warnings: Option<Vec<String>>,
    /// 1: sampled. What is stored was.
    flags: u8,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    ref_type: &'static str,
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
}

#[derive(Debug, Serialize)]
struct Log {
    /// Microseconds since 1970.
    timestamp: i64,
    fields: Vec<Tag>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    service_name: String,
    tags: Vec<Tag>,
}

/// A process in the making.
struct Running {
    id: String,
    host: Option<String>,
    /// What all its spans say.
    attributes: Map<String, Value>,
}

impl Trace {
    /// The trace of these spans, of which there is at least one.
    pub(super) fn of(id: TraceId, mut spans: Vec<Entry>, warnings: Vec<String>) -> Self {
        spans.sort_by_key(|span| (span.time, span.record_seq));
        let shared = shared_ids::separate(&mut spans);
        let running = processes(&spans);
        let spans = spans.into_iter().map(|entry| {
            let process = &running[&(entry.service.clone(), entry.host.clone())];
            Span::of(id, entry, process, &shared)
        });
        let spans = spans.collect();
        let processes = running.into_iter().map(|((service, _), running)| {
            let service_name =
                if service.is_empty() { UNKNOWN_SERVICE.to_owned() } else { service };
            let tags = tags::of_process(running.host, running.attributes);
            (running.id, Process { service_name, tags })
        });
        Self { id, spans, processes: processes.collect(), warnings: some(warnings) }
    }
}

/// The processes of some spans, numbered in the order in which they come.
fn processes(spans: &[Entry]) -> HashMap<(String, Option<String>), Running> {
    let mut running: HashMap<(String, Option<String>), Running> = HashMap::new();
    for span in spans {
        let count = running.len();
        let key = (span.service.clone(), span.host.clone());
        let process = running.entry(key).or_insert_with(|| Running {
            id: format!("p{}", count + 1),
            host: span.host.clone(),
            attributes: (span.attributes.iter())
                .filter(|(name, _)| tags::is_of_resource(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        });
        process.attributes.retain(|name, value| span.attributes.get(name) == Some(value));
    }
    running
}

impl Span {
    fn of(
        trace: TraceId,
        mut entry: Entry,
        process: &Running,
        shared: &HashMap<SpanId, SpanId>,
    ) -> Self {
        let mut warnings = Vec::new();
        let mut warn = |warning: &str| warnings.push(warning.to_owned());
        let span_id = entry.span_id.map(|id| id.to_string()).unwrap_or_else(|| {
            warn("it came without an id; this one is its place in the store");
            format!("{:016x}", entry.record_seq)
        });
        if let Some(was) = entry.span_id.and_then(|id| shared.get(&id)) {
            warn(&format!(
                "it came with the id {was}, which is also that of the span that called it"
            ));
        }
        let mut references = Vec::new();
        match entry.parent {
            Some(parent) if Some(parent) == entry.span_id => warn("it names itself as its parent"),
            Some(parent) => references.push(Reference::new("CHILD_OF", trace, parent)),
            None => {}
        }
        let duration = match entry.duration {
            Some(nanos) if nanos >= 0 => nanos / 1_000,
            Some(_) => {
                warn("it ends before it begins");
                0
            }
            None => {
                warn("its end is not known");
                0
            }
        };
        let (links, left_out) = links(&mut entry.attributes);
        references.extend(links);
        if left_out > 0 {
            warn(&format!("{left_out} links are left out: they have no whole id"));
        }
        let logs = logs(&mut entry.attributes);
        let (start_time, operation_name) = (microseconds(entry.time), entry.message.clone());
        let tags = tags::of_span(entry, &process.attributes);
        Self {
            trace_id: trace,
            span_id,
            process_id: process.id.clone(),
            operation_name,
            references,
            start_time,
            duration,
            tags,
            logs,
            warnings: some(warnings),
            flags: 1,
        }
    }
}

impl Reference {
    fn new(ref_type: &'static str, trace: TraceId, span: SpanId) -> Self {
        Self { ref_type, trace_id: trace.to_string(), span_id: span.to_string() }
    }
}

/// The objects of a list that is kept as JSON text. What is no such list stays where it is.
fn take_list(attributes: &mut Map<String, Value>, name: &str) -> Vec<Map<String, Value>> {
    let list = attributes.get(name).and_then(Value::as_str).map(serde_json::from_str);
    let Some(Ok(list)) = list else { return Vec::new() };
    attributes.remove(name);
    list
}

/// Links, and how many of them have no whole id. Their attributes have no place in a reference.
fn links(attributes: &mut Map<String, Value>) -> (Vec<Reference>, usize) {
    let reference = |link: &Map<String, Value>| {
        let text = |name: &str| link.get(name).and_then(Value::as_str);
        let trace = TraceId::from_hex(text("trace_id")?)?;
        Some(Reference::new("FOLLOWS_FROM", trace, SpanId::from_hex(text("span_id")?)?))
    };
    let list = take_list(attributes, span::LINKS);
    let references: Vec<Reference> = list.iter().filter_map(reference).collect();
    let left_out = list.len() - references.len();
    (references, left_out)
}

fn logs(attributes: &mut Map<String, Value>) -> Vec<Log> {
    let log = |mut event: Map<String, Value>| {
        let time = event.get("time").and_then(Value::as_u64).unwrap_or_default();
        let mut fields = Vec::new();
        fields.extend(event.remove("name").map(|name| Tag::new("event", name)));
        if let Some(Value::Object(attributes)) = event.remove("attributes") {
            fields.extend(attributes.into_iter().map(|(name, value)| Tag::new(name, value)));
        }
        let dropped = "dropped_attributes_count";
        fields.extend(event.remove(dropped).map(|count| Tag::new(dropped, count)));
        Log { timestamp: (time / 1_000) as i64, fields }
    };
    take_list(attributes, span::EVENTS).into_iter().map(log).collect()
}

fn microseconds(nanos: i64) -> i64 {
    nanos.div_euclid(1_000)
}

fn some(warnings: Vec<String>) -> Option<Vec<String>> {
    (!warnings.is_empty()).then_some(warnings)
}

fn hex<S: Serializer>(id: &TraceId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}
