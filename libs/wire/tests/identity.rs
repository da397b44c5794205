//! `record → OTLP → record` is the identity, in both encodings, and nothing that a stranger sends panics.
// The lint knows test functions only, not what they share.
#![allow(clippy::unwrap_used)]

mod support;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use proptest::prelude::*;
use prost::Message;
use record::Signal;
use support::{encoded, record, records, records_within, span};
use wire::{Format, Limits, OtlpEncoder};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_record_is_the_same_after_protobuf_and_after_json(
        originals in proptest::collection::vec(record(), 0..6),
    ) {
        let (protobuf, json) = encoded(Signal::Logs, &originals);
        let (read, decoded) = records(Format::OtlpProtobuf, &protobuf).unwrap();
        prop_assert_eq!(&read, &originals);
        prop_assert_eq!((decoded.rejected_total, decoded.timestamps_replaced), (0, 0));
        let (read, decoded) = records(Format::OtlpJson, &json).unwrap();
        prop_assert_eq!(&read, &originals);
        prop_assert_eq!((decoded.rejected_total, decoded.timestamps_replaced), (0, 0));
    }

    #[test]
    fn every_span_is_the_same_after_protobuf_and_after_json(
        originals in proptest::collection::vec(span(), 0..6),
    ) {
        let (protobuf, json) = encoded(Signal::Spans, &originals);
        let bounds = originals.iter().map(|span| span.with_ref(OtlpEncoder::bytes_max));
        prop_assert!(protobuf.len() <= bounds.sum::<usize>());
        for (format, body) in [(Format::OtlpTracesProtobuf, protobuf), (Format::OtlpTracesJson, json)] {
            let (read, decoded) = records(format, &body).unwrap();
            prop_assert_eq!(&read, &originals);
            prop_assert_eq!((decoded.rejected_total, decoded.timestamps_replaced), (0, 0));
        }
    }

    #[test]
    fn others_read_what_we_write(originals in proptest::collection::vec(record(), 1..6)) {
        let (protobuf, _) = encoded(Signal::Logs, &originals);
        let request = ExportLogsServiceRequest::decode(&*protobuf).unwrap();
        let mut seen = 0;
        for resource_logs in &request.resource_logs {
            let resource = &resource_logs.resource.as_ref().unwrap().attributes;
            let text = |name: &str| {
                let attribute = resource.iter().find(|attribute| attribute.key == name)?;
                match attribute.value.as_ref()?.value.as_ref()? {
                    any_value::Value::StringValue(text) => Some(text.clone()),
                    _ => None,
                }
            };
            for log in resource_logs.scope_logs.iter().flat_map(|scope| &scope.log_records) {
                let original = &originals[seen];
                seen += 1;
                prop_assert_eq!(&text("service.name"), &original.service);
                prop_assert_eq!(&text("host.name"), &original.host);
                prop_assert_eq!(log.severity_number, i32::from(original.severity.number()));
                prop_assert_eq!(log.time_unix_nano, original.timestamp.0.max(0) as u64);
                let ids = original.trace_id.map_or(vec![], |id| id.0.to_vec());
                prop_assert_eq!(&log.trace_id, &ids);
                prop_assert_eq!(&log.event_name, original.event_name.as_deref().unwrap_or(""));
                let correlation = log.attributes.iter().find(|attribute| attribute.key == "correlation_id");
                prop_assert_eq!(correlation.is_some(), original.correlation_id.is_some());
            }
        }
        prop_assert_eq!(seen, originals.len());
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        for format in Format::ALL {
            let _ = records(format, &body);
        }
    }

    #[test]
    fn json_like_text_never_panics(body in "[\\[\\]{}:,\"\\\\ \n0-9eE.+nulltruefasbody-]{0,120}") {
        for format in [Format::OtlpJson, Format::JsonLines, Format::OtlpTracesJson, Format::ZipkinJson] {
            let _ = records(format, body.as_bytes());
        }
    }

    #[test]
    fn mutated_requests_never_panic(
        originals in proptest::collection::vec(record(), 1..4),
        spans in proptest::collection::vec(span(), 1..4),
        mutations in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let (protobuf, json) = encoded(Signal::Logs, &originals);
        let (traces_protobuf, traces_json) = encoded(Signal::Spans, &spans);
        // Tight limits, so that their paths are walked too.
        let limits = Limits { depth_max: 2, flattened_bytes_max: 200, ..Limits::default() };
        for (format, mut body) in [
            (Format::OtlpProtobuf, protobuf),
            (Format::OtlpJson, json),
            (Format::OtlpTracesProtobuf, traces_protobuf),
            (Format::OtlpTracesJson, traces_json),
        ] {
            for (at, byte) in &mutations {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            let _ = records(format, &body);
            let _ = records_within(format, &body, &limits);
            body.truncate(cut.index(body.len()));
            let _ = records(format, &body);
        }
    }
}

#[test]
fn nothing_is_an_empty_request() {
    for signal in Signal::ALL {
        let (protobuf, json) = encoded(signal, &[]);
        assert_eq!((&*protobuf, &*json), (&b""[..], &b"{}"[..]));
    }
}
