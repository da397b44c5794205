//! What should be there and is not: the table "Holes" of `docs/formats/semantics.md`.

use semantics::{saga, story};
use serde::Serialize;

use crate::forest::Forest;
use crate::story::Telling;
use crate::things::{Things, Tries};
use crate::{SECOND, entry::Entry};

/// How long something may take before its absence is a hole.
const PATIENCE: i64 = 30 * SECOND;

/// Something that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// One of the names of the page.
    pub kind: &'static str,
    /// What is missing, for people.
    pub what: String,
    /// Where its first half is told.
    #[serde(skip)]
    pub entry: usize,
}

pub(crate) fn holes(
    entries: &[Entry],
    forest: &Forest,
    things: &Things,
    telling: &Telling,
) -> Vec<Hole> {
    let mut holes = Vec::new();
    // What nobody can still be sending, and what has had its time.
    let known = telling.watermark.unwrap_or(telling.now).min(telling.now.saturating_sub(PATIENCE));
    let over = |time: i64| time <= known;
    let mut hole = |kind, entry, what: String| holes.push(Hole { kind, what, entry });
    for (id, one) in &things.messages {
        let what = one.what.as_deref().unwrap_or("message");
        let to = &one.destination;
        match one.published {
            Some((at, entry)) if over(at) && one.deliveries.len() < one.needed() => {
                let got = match one.deliveries.len() {
                    0 => "nobody".to_owned(),
                    some => format!("{some} of {}", one.needed()),
                };
                hole(
                    story::MESSAGE_UNCONSUMED,
                    entry,
                    format!("{what} {id} was published to {to} and received by {got}"),
                );
            }
            None if over(one.last) => hole(
                story::MESSAGE_UNPUBLISHED,
                one.entry,
                format!("{what} {id} was received from {to}; who published it does not tell"),
            ),
            _ => {}
        }
        for (consumer, delivery) in &one.deliveries {
            let received = delivery.received.unwrap_or(one.last);
            if over(received) && delivery.done.or(delivery.failed).or(delivery.dead).is_none() {
                hole(
                    story::MESSAGE_UNPROCESSED,
                    delivery.entry,
                    format!("{what} {id} was received by {consumer}, and nothing came of it"),
                );
            }
        }
    }
    for row in &things.outbox {
        let published = things.messages.get(&row.message_id);
        if over(row.time) && published.is_none_or(|message| message.published.is_none()) {
            let what = format!("message {} is in the outbox and was not published", row.message_id);
            hole(story::OUTBOX_UNPUBLISHED, row.entry, what);
        }
    }
    for (id, one) in &things.sagas {
        let silent = telling.now.saturating_sub(one.last) > one.silence();
        if one.ended.is_none() && silent && over(one.last) {
            let what = format!("saga {} {id} has no end", one.name);
            hole(story::SAGA_UNFINISHED, one.entry, what);
        }
        let unfinished = |tries: &Tries| {
            let mut all = tries.iter();
            // A later try says that this one is over.
            let last = tries.keys().next_back().copied();
            all.find_map(|(attempt, one)| {
                (one.ended.is_none() && Some(*attempt) == last && over(one.started?))
                    .then_some((*attempt, one.entry))
            })
        };
        for step in one.steps.values() {
            for (tries, verb) in
                [(&step.tries, "began"), (&step.compensation, "began to be undone")]
            {
                if let Some((attempt, entry)) = unfinished(tries) {
                    let what = format!(
                        "step {} of {} {id} {verb} (try {attempt}), and nothing came of it",
                        step.name, one.name
                    );
                    hole(story::STEP_UNFINISHED, entry, what);
                }
            }
        }
        let not_undone = one.steps.values().find_map(|step| {
            let last = step.compensation.values().next_back()?;
            let undone = match &last.ended {
                Some(ended) => ended.error.is_none() || ended.again,
                None => !over(last.started.unwrap_or(one.last)),
            };
            (!undone).then_some((&step.name, last.entry))
        });
        if let Some((step, entry)) = not_undone
            && one.ended.as_ref().is_none_or(|(event, ..)| *event != saga::COMPENSATED)
        {
            let what = format!("saga {} {id} is undone in part: {step} is not", one.name);
            hole(story::HALF_COMPENSATED, entry, what);
        }
    }
    for (id, command) in &things.commands {
        if command.ended.is_none() && over(command.last) {
            let what = format!("command {} {id} was received and not answered", command.name);
            hole(story::COMMAND_UNANSWERED, command.entry, what);
        }
    }
    for (id, stored) in &things.stored {
        let missing = stored.wanted.iter().filter(|name| !stored.projected.contains_key(*name));
        for name in missing.filter(|_| stored.stored.is_some_and(over)) {
            let what = format!("event {} {id} is stored, and {name} does not have it", stored.name);
            hole(story::EVENT_UNPROJECTED, stored.entry, what);
        }
    }
    for ((service, _), call) in &things.calls {
        let silent = call.ended.is_none() && over(call.last);
        if silent || call.unanswered {
            let what = format!("{service} called {} and got no answer", call.name);
            hole(story::CALL_UNANSWERED, call.entry, what);
        }
    }
    for ((service, ..), retry) in &things.retries {
        // Anything that the service tells later of the same try or a later one is its going on.
        let goes_on = entries
            .iter()
            .any(|entry| entry.service == *service && entry.time > entries[retry.entry].time);
        if !retry.exhausted && over(retry.time) && !goes_on {
            let what = format!(
                "{service} was to try {} again after try {}, and did not",
                retry.operation, retry.attempt
            );
            hole(story::RETRY_UNFINISHED, retry.entry, what);
        }
    }
    for node in forest.nodes.iter().filter(|node| node.span.is_none()) {
        let first = node.children.iter().find_map(|child| forest.nodes[*child].span);
        let (Some(id), Some(entry)) = (node.missing, first) else { continue };
        // A caller's span comes when its call has ended, which may be later than those of its children.
        if over(entries[entry].end()) {
            let what = format!(
                "{} {} names the span {id} as its parent, which is not there",
                entries[entry].service, entries[entry].message
            );
            hole(story::PARENT_MISSING, entry, what);
        }
    }
    holes.sort_by_key(|hole| (entries[hole.entry].time, hole.entry));
    holes
}
