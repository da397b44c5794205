//! Zipkin lets the span of a call and the span that serves it share one id. Readers of Jaeger take ids for unique: of
//! such a pair the served span gets an id of its own here, below that of the call, as `jaeger-query` does.

use std::collections::{HashMap, HashSet};

use record::SpanId;
use story::Entry;

/// Gives served spans ids of their own; the new ones with the ones that they came with.
pub(super) fn separate(spans: &mut [Entry]) -> HashMap<SpanId, SpanId> {
    let is = |entry: &Entry, kinds: [&str; 2]| kinds.contains(&entry.kind());
    let calls: HashSet<SpanId> = (spans.iter())
        .filter(|entry| is(entry, ["client", "producer"]))
        .filter_map(|entry| entry.span_id)
        .collect();
    let mut taken: HashSet<SpanId> = spans.iter().filter_map(|entry| entry.span_id).collect();
    let mut came_with = HashMap::new();
    // Below a served span is what its service did.
    let mut below: HashMap<(SpanId, String), SpanId> = HashMap::new();
    for entry in spans.iter_mut().filter(|entry| is(entry, ["server", "consumer"])) {
        let Some(shared) = entry.span_id.filter(|id| calls.contains(id)) else { continue };
        let mut number = u64::from_be_bytes(shared.0) ^ (1 << 63);
        let id = loop {
            match SpanId::from_bytes(number.to_be_bytes()) {
                Some(id) if taken.insert(id) => break id,
                _ => number = number.wrapping_add(1),
            }
        };
        (entry.span_id, entry.parent) = (Some(id), Some(shared));
        came_with.insert(id, shared);
        below.entry((shared, entry.service.clone())).or_insert(id);
    }
    if came_with.is_empty() {
        return came_with;
    }
    for entry in spans {
        let is_served = entry.span_id.is_some_and(|id| came_with.contains_key(&id));
        let Some(parent) = entry.parent.filter(|_| !is_served) else { continue };
        if let Some(id) = below.get(&(parent, entry.service.clone())) {
            entry.parent = Some(*id);
        }
    }
    came_with
}
