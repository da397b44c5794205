//! What entries tell by the names of `docs/formats/semantics.md`: records by their `event_name`, spans by attributes.
//!
//! A record without a required attribute, or with one of another type, tells nothing; it is a plain line.

use std::collections::HashMap;

use record::{SpanId, TraceId};
use semantics::{Event, cqrs, database, http, message, record as common, saga};

use crate::entry::Entry;

/// Something that an entry tells.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Index of the entry.
    pub(crate) entry: usize,
    pub(crate) event: &'static str,
    /// By one clock for all.
    pub(crate) time: i64,
    /// From 1.
    pub(crate) attempt: i64,
    /// Of messages: which one it is about.
    pub(crate) message_id: Option<String>,
    pub(crate) from_span: bool,
}

/// Integers; all other required attributes are texts.
const INTEGERS: [&str; 3] = [saga::STEP_NUMBER, common::ATTEMPT, http::RESPONSE_STATUS_CODE];

/// All that entries tell: first what records tell, in the order of their times, then what spans tell.
pub(crate) fn told(entries: &[Entry], offset: &dyn Fn(usize) -> i64) -> Vec<Told> {
    let ids = message_ids(entries);
    let mut told = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let time = entry.time.saturating_add(offset(index));
        let tell = |event: &'static str, time: i64, from_span: bool| Told {
            entry: index,
            event,
            time,
            attempt: entry.int(common::ATTEMPT).unwrap_or(1),
            message_id: ids.get(&index).cloned(),
            from_span,
        };
        if !entry.is_span() {
            if let Some(event) = entry.event_name.as_deref().and_then(semantics::event)
                && has(entry, event)
            {
                told.push(tell(event.name, time, false));
            }
            continue;
        }
        let failed = entry.is_error();
        let end = entry.duration.map(|_| entry.end().saturating_add(offset(index)));
        for (begins, ends, fails) in of_span(entry, ids.contains_key(&index)) {
            told.extend(begins.map(|event| tell(event, time, true)));
            let ended = if failed { fails } else { ends };
            told.extend(ended.zip(end).map(|(event, end)| tell(event, end, true)));
        }
    }
    let seq = |told: &Told| entries[told.entry].record_seq;
    told.sort_by_key(|told| (told.from_span, told.time, seq(told)));
    told
}

fn has(entry: &Entry, event: &Event) -> bool {
    let one = |name: &&str| match INTEGERS.contains(name) {
        true => entry.int(name).is_some(),
        false => entry.text(name).is_some_and(|text| !text.is_empty()),
    };
    event.required.iter().all(one)
        && (!entry.attributes.contains_key(common::ATTEMPT) || entry.int(common::ATTEMPT).is_some())
}

type Named = Option<&'static str>;

/// What a span tells: when it begins, when it ends well, when it fails.
fn of_span(entry: &Entry, has_message: bool) -> Vec<(Named, Named, Named)> {
    let text = |name: &str| entry.text(name).is_some_and(|text| !text.is_empty());
    let mut told = Vec::new();
    if text(saga::NAME)
        && text(saga::ID)
        && text(saga::STEP_NAME)
        && entry.int(saga::STEP_NUMBER).is_some()
    {
        told.push(match entry.text(saga::STEP_ACTION) {
            Some(saga::ACTION_COMPENSATE) => (
                Some(saga::COMPENSATION_STARTED),
                Some(saga::COMPENSATION_COMPLETED),
                Some(saga::COMPENSATION_FAILED),
            ),
            _ => (Some(saga::STEP_STARTED), Some(saga::STEP_COMPLETED), Some(saga::STEP_FAILED)),
        });
    }
    if has_message && text(message::SYSTEM) {
        match (entry.text(message::OPERATION_TYPE), entry.kind()) {
            (Some(message::OPERATION_SEND | message::OPERATION_CREATE), "producer") => {
                told.push((None, Some(message::PUBLISHED), None));
            }
            (Some(message::OPERATION_RECEIVE), "consumer" | "client") => {
                told.push((Some(message::RECEIVED), None, None));
            }
            (Some(message::OPERATION_PROCESS), "consumer") => told.push((
                Some(message::RECEIVED),
                Some(message::PROCESSED),
                Some(message::FAILED),
            )),
            _ => {}
        }
    }
    let row = [
        database::SYSTEM_NAME,
        database::COLLECTION_NAME,
        database::OPERATION_NAME,
        database::ROW_KEY,
    ];
    if entry.kind() == "client" && row.iter().all(|name| text(name)) {
        told.push((None, Some(database::ROW_CHANGED), None));
    }
    if text(cqrs::COMMAND_NAME) && text(cqrs::COMMAND_ID) {
        told.push((
            Some(cqrs::COMMAND_RECEIVED),
            Some(cqrs::COMMAND_COMPLETED),
            Some(cqrs::COMMAND_REJECTED),
        ));
    }
    if text(cqrs::STORED_ID) && text(cqrs::PROJECTION_NAME) {
        told.push((None, Some(cqrs::EVENT_PROJECTED), None));
    }
    if text(http::REQUEST_METHOD) {
        match entry.kind() {
            "server" => told.push((
                Some(http::SERVER_STARTED),
                Some(http::SERVER_COMPLETED),
                Some(http::SERVER_COMPLETED),
            )),
            "client" => told.push((
                Some(http::CLIENT_STARTED),
                Some(http::CLIENT_COMPLETED),
                Some(http::CLIENT_COMPLETED),
            )),
            _ => {}
        }
    }
    told
}

/// Which message each entry is about. A consumer's span without an id is about the message of the producer's span that
/// is its parent or that it links to; a producer's without an id about one that only its span names.
fn message_ids(entries: &[Entry]) -> HashMap<usize, String> {
    let mut ids: HashMap<usize, String> = HashMap::new();
    let mut producers: HashMap<(TraceId, SpanId), String> = HashMap::new();
    let mut without = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let own = entry.text(message::MESSAGE_ID).filter(|id| !id.is_empty());
        let is_producer = entry.kind() == "producer";
        let id = match (own, entry.span_id) {
            (Some(id), _) => id.to_owned(),
            (None, Some(span)) if is_producer && entry.text(message::SYSTEM).is_some() => {
                format!("span {span}")
            }
            _ => {
                if entry.is_span() && entry.text(message::SYSTEM).is_some() {
                    without.push(index);
                }
                continue;
            }
        };
        if let (true, Some(key)) = (is_producer, entry.trace_id.zip(entry.span_id)) {
            producers.insert(key, id.clone());
        }
        ids.insert(index, id);
    }
    for index in without {
        let entry = &entries[index];
        let parent = entry.trace_id.zip(entry.parent);
        let from = parent.into_iter().chain(entry.links()).find_map(|key| producers.get(&key));
        if let Some(id) = from {
            ids.insert(index, id.clone());
        }
    }
    ids
}
