//! Tags: typed pairs of a key and a value. What Jaeger calls by another name than a record does, in both directions.
//!
//! | tag | of a span's record |
//! |---|---|
//! | `span.kind` | `kind` |
//! | `error` = true, `otel.status_code` = `OK`, `ERROR` | `status` |
//! | `otel.status_description` | `status_message` |
//! | `w3c.tracestate` | `trace_state` |
//! | `otel.scope.name`, `otel.scope.version` | `scope.name`, `scope.version` |
//! | `correlation_id`; in a search every key that decoders take for it | correlation id |
//! | `service.name`, `host.name`, `hostname`, in a search | service, host |
//! | `kind`, `status` … | a sender's own `attribute.kind`, `attribute.status` … |
//!
//! A search for a tag finds the record's part and a sender's own attribute of the name, be it the span's or, under
//! `resource.`, the resource's.

use ql::{Field, Filter};
use record::keys::{self, Role};
use record::span;
use serde::Serialize;
use serde_json::{Map, Value};
use story::Entry;

/// What the names of attributes of resources begin with in OpenTelemetry's semantic conventions; `resource.` is what
/// decoders put before a resource's attribute whose name the span has too.
const OF_RESOURCES: [&str; 12] = [
    "cloud.",
    "container.",
    "deployment.",
    "device.",
    "host.",
    "k8s.",
    "os.",
    "process.",
    RESOURCE,
    "service.",
    "telemetry.",
    "webengine.",
];
const RESOURCE: &str = "resource.";
/// What decoders put before a sender's own attribute that has one of the names in [`span::NAMES`].
const OWN: &str = "attribute.";

const CORRELATION: &str = "correlation_id";
const ERROR: &str = "error";
const HOST: &str = "host.name";
const KIND: &str = "span.kind";
const STATUS_CODE: &str = "otel.status_code";
/// Attributes that have another name in Jaeger: ours, Jaeger's.
const RENAMED: [(&str, &str); 5] = [
    (span::KIND, KIND),
    (span::STATUS_MESSAGE, "otel.status_description"),
    (span::TRACE_STATE, "w3c.tracestate"),
    ("scope.name", "otel.scope.name"),
    ("scope.version", "otel.scope.version"),
];

/// A tag of a span or a process, or a field of a log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Tag {
    key: String,
    /// Of the value: `string`, `bool`, `int64`, `float64`.
    #[serde(rename = "type")]
    value_type: &'static str,
    value: Value,
}

impl Tag {
    /// Lists and objects become their JSON.
    pub(super) fn new(key: impl Into<String>, value: Value) -> Self {
        let (value_type, value) = match value {
            Value::Bool(flag) => ("bool", Value::Bool(flag)),
            Value::Number(number) if number.is_i64() => ("int64", Value::Number(number)),
            Value::Number(number) if number.is_f64() => ("float64", Value::Number(number)),
            Value::String(text) => ("string", Value::String(text)),
            other => ("string", Value::String(other.to_string())),
        };
        Self { key: key.into(), value_type, value }
    }

    fn text(key: &str, text: &str) -> Self {
        Self::new(key, text.into())
    }
}

/// Whether an attribute is one of the process, as far as its name tells.
pub(super) fn is_of_resource(name: &str) -> bool {
    OF_RESOURCES.iter().any(|prefix| name.starts_with(prefix))
}

/// The tags of a process: its host, and what its spans agree on.
pub(super) fn of_process(host: Option<String>, attributes: Map<String, Value>) -> Vec<Tag> {
    let mut tags: Vec<Tag> = host.map(|host| Tag::text(HOST, &host)).into_iter().collect();
    let taken = |name: &str| {
        // Service and host are those that the spans named themselves.
        name == "service.name" || name == HOST || attributes.contains_key(name)
    };
    for (name, value) in &attributes {
        let of_resource = name.strip_prefix(RESOURCE).filter(|name| !taken(name));
        tags.push(Tag::new(of_resource.unwrap_or(name), value.clone()));
    }
    tags
}

/// The tags of a span, without those of its process. Events and links are not among its attributes any more.
pub(super) fn of_span(entry: Entry, of_process: &Map<String, Value>) -> Vec<Tag> {
    let mut tags = Vec::new();
    for (ours, theirs) in RENAMED {
        tags.extend(entry.attributes.get(ours).map(|value| Tag::new(theirs, value.clone())));
    }
    match entry.text(span::STATUS) {
        Some("error") => {
            tags.push(Tag::new(ERROR, true.into()));
            tags.push(Tag::text(STATUS_CODE, "ERROR"));
        }
        Some("ok") => tags.push(Tag::text(STATUS_CODE, "OK")),
        _ => {}
    }
    tags.extend(entry.correlation_id.map(|id| Tag::text(CORRELATION, &id)));
    let told = [span::PARENT_SPAN_ID, span::DURATION, span::STATUS];
    for (name, value) in entry.attributes {
        let renamed = RENAMED.iter().any(|(ours, _)| *ours == name);
        if renamed || told.contains(&&*name) || of_process.contains_key(&name) {
            continue;
        }
        let own = name.strip_prefix(OWN).filter(|own| span::NAMES.contains(own));
        let tag = Tag::new(own.unwrap_or(&name), value);
        // A sender may have said itself what a tag of ours says.
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// Spans that have a tag.
pub(super) fn filter(key: &str, value: &str) -> Filter {
    let attribute =
        |name: &str, value: &str| Filter::equals(&Field::Attribute(name.to_owned()), value);
    let own = if span::NAMES.contains(&key) { format!("{OWN}{key}") } else { key.to_owned() };
    let mut any = vec![attribute(&own, value), attribute(&format!("{RESOURCE}{own}"), value)];
    if let Some((ours, _)) = RENAMED.iter().find(|(_, theirs)| *theirs == key) {
        any.push(attribute(ours, value));
    }
    match key {
        ERROR if value == "true" => any.push(attribute(span::STATUS, "error")),
        STATUS_CODE => any.push(attribute(span::STATUS, &value.to_lowercase())),
        "service.name" => any.push(Filter::equals(&Field::Service, value)),
        HOST | "hostname" => any.push(Filter::equals(&Field::Host, value)),
        key if matches!(keys::role(key), Some((Role::CorrelationId, _))) => {
            any.push(Filter::equals(&Field::CorrelationId, value));
        }
        _ => {}
    }
    Filter::or(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_looked_for_where_a_record_keeps_it() {
        let filters = [
            ("http.status_code", "500"),
            ("error", "true"),
            ("error", "timeout"),
            ("span.kind", "server"),
            ("otel.status_code", "ERROR"),
            ("otel.scope.name", "my \"lib\""),
            ("duration", "5"),
            ("service.name", "orders"),
            ("hostname", "web1"),
            ("x-request-id", "c-1"),
        ]
        .map(|(key, value)| format!("{key}={value}: {}", filter(key, value)));
        insta::assert_snapshot!(filters.join("\n"), @r#"
        http.status_code=500: http.status_code:=500 OR resource.http.status_code:=500
        error=true: error:=true OR resource.error:=true OR status:=error
        error=timeout: error:=timeout OR resource.error:=timeout
        span.kind=server: span.kind:=server OR resource.span.kind:=server OR kind:=server
        otel.status_code=ERROR: otel.status_code:=ERROR OR resource.otel.status_code:=ERROR OR status:=error
        otel.scope.name=my "lib": otel.scope.name:="my \"lib\"" OR resource.otel.scope.name:="my \"lib\"" OR scope.name:="my \"lib\""
        duration=5: attribute.duration:=5 OR resource.attribute.duration:=5
        service.name=orders: "service.name":=orders OR resource.service.name:=orders OR service:=orders
        hostname=web1: "hostname":=web1 OR resource.hostname:=web1 OR host:=web1
        x-request-id=c-1: x-request-id:=c-1 OR resource.x-request-id:=c-1 OR correlation_id:=c-1
        "#);
    }
}
