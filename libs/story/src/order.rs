//! The causal order of entries: by their times, but never an effect before its cause.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use semantics::{cqrs, message, record as common};

use crate::clocks::Arrow;
use crate::entry::Entry;
use crate::told::Told;

/// Arrows that are told of: from publishing to everything else about a message, from what has an id to what it is the
/// cause of, from a stored event to its projections.
///
/// Publishing begins with the first span of it, if there is one: the publisher says that it has published when it hears of
/// that, and a consumer may have the message before.
pub(crate) fn arrows_told(entries: &[Entry], told: &[Told]) -> Vec<Arrow> {
    let mut published: HashMap<&str, usize> = HashMap::new();
    let mut stored: HashMap<&str, usize> = HashMap::new();
    let mut causes: HashMap<&str, usize> = HashMap::new();
    for one in told {
        let entry = &entries[one.entry];
        match one.event {
            message::PUBLISHED => {
                if let Some(id) = &one.message_id {
                    published.entry(id).or_insert(one.entry);
                }
                cause(&mut causes, entry.text(message::MESSAGE_ID), one.entry);
            }
            cqrs::EVENT_STORED => {
                if let Some(id) = entry.text(cqrs::STORED_ID) {
                    stored.entry(id).or_insert(one.entry);
                }
                cause(&mut causes, entry.text(cqrs::STORED_ID), one.entry);
            }
            cqrs::COMMAND_RECEIVED => {
                cause(&mut causes, entry.text(cqrs::COMMAND_ID), one.entry);
            }
            _ => {}
        }
    }
    for (index, entry) in entries.iter().enumerate() {
        if entry.is_span()
            && entry.kind() == "producer"
            && let Some(id) = entry.text(message::MESSAGE_ID)
        {
            for known in [&mut published, &mut causes] {
                known.entry(id).and_modify(|known| {
                    let first = &entries[*known];
                    if !first.is_span() || entry.time < first.time {
                        *known = index;
                    }
                });
            }
        }
    }
    let mut arrows = Vec::new();
    let mut arrow = |cause: Option<&usize>, effect: usize| {
        if let Some(cause) = cause.filter(|cause| **cause != effect) {
            arrows.push(Arrow { cause: *cause, effect, within: false });
        }
    };
    for one in told {
        if one.event != message::PUBLISHED
            && let Some(id) = &one.message_id
            && one.event.starts_with("message.")
        {
            arrow(published.get(id.as_str()), one.entry);
        }
        if one.event == cqrs::EVENT_PROJECTED
            && let Some(id) = entries[one.entry].text(cqrs::STORED_ID)
        {
            arrow(stored.get(id), one.entry);
        }
    }
    for (index, entry) in entries.iter().enumerate() {
        if let Some(id) = entry.text(common::CAUSATION_ID) {
            arrow(causes.get(id), index);
        }
    }
    arrows
}

fn cause<'a>(causes: &mut HashMap<&'a str, usize>, id: Option<&'a str>, entry: usize) {
    if let Some(id) = id {
        causes.entry(id).or_insert(entry);
    }
}

/// The entries in causal order; `time` is by one clock for all. Where causes go in a circle, times decide.
pub(crate) fn order(
    entries: &[Entry],
    arrows: &[Arrow],
    time: &dyn Fn(usize) -> i64,
) -> Vec<usize> {
    let mut waits_for = vec![0_usize; entries.len()];
    let mut effects: Vec<Vec<usize>> = vec![Vec::new(); entries.len()];
    let mut add = |cause: usize, effect: usize| {
        effects[cause].push(effect);
        waits_for[effect] += 1;
    };
    for Arrow { cause, effect, .. } in arrows {
        add(*cause, *effect);
    }
    // Within a service the order of its own times stays.
    let mut of_service: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        of_service.entry(&entry.service).or_default().push(index);
    }
    let key = |index: usize| (time(index), entries[index].record_seq, index);
    for indices in of_service.values_mut() {
        indices.sort_by_key(|index| key(*index));
        indices.windows(2).for_each(|pair| add(pair[0], pair[1]));
    }
    let mut by_time: Vec<usize> = (0..entries.len()).collect();
    by_time.sort_by_key(|index| key(*index));
    let mut ready: BinaryHeap<Reverse<(i64, u64, usize)>> = by_time
        .iter()
        .filter(|index| waits_for[**index] == 0)
        .map(|index| Reverse(key(*index)))
        .collect();
    let mut done = vec![false; entries.len()];
    let mut ordered = Vec::with_capacity(entries.len());
    let mut next = by_time.into_iter();
    while ordered.len() < entries.len() {
        let index = match ready.pop() {
            Some(Reverse((.., index))) => index,
            // A circle: the earliest that is left goes first.
            None => match next.find(|index| !done[*index]) {
                Some(index) => index,
                None => break,
            },
        };
        if std::mem::replace(&mut done[index], true) {
            continue;
        }
        ordered.push(index);
        for effect in &effects[index] {
            waits_for[*effect] = waits_for[*effect].saturating_sub(1);
            if waits_for[*effect] == 0 && !done[*effect] {
                ready.push(Reverse(key(*effect)));
            }
        }
    }
    ordered
}
