//! How an interaction ended, in one word and one line: the table "The outcome" of `docs/formats/semantics.md`.

use semantics::{http, message, record as common, saga, story};
use serde::Serialize;

use crate::entry::Entry;
use crate::forest::Forest;
use crate::story::Telling;
use crate::things::{Delivery, SILENCE, Things};
use crate::{milliseconds, told::Told};

/// How it ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// `completed`, `failed`, `compensated`, `running`, `stuck` or `unknown`.
    pub state: &'static str,
    /// Why, for people.
    pub reason: String,
}

/// The entry of the interaction: where it came in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Door {
    pub(crate) entry: usize,
    pub(crate) name: String,
    pub(crate) started: i64,
    /// When it was answered.
    pub(crate) ended: Option<i64>,
    /// Why it failed.
    pub(crate) failed: Option<String>,
}

/// The earliest span of kind server or consumer whose parent is not in the story, else the earliest request or message
/// that a record tells of.
pub(crate) fn door(
    entries: &[Entry],
    forest: &Forest,
    told: &[Told],
    things: &Things,
    time: &dyn Fn(usize) -> i64,
) -> Option<Door> {
    let is_door = |node: &&usize| {
        let index = forest.nodes[**node].span;
        index.is_some_and(|index| matches!(entries[index].kind(), "server" | "consumer"))
    };
    // Children of a hole have their parent not in the story either.
    let below_holes = forest.roots.iter().flat_map(|root| match forest.nodes[*root].span {
        Some(_) => std::slice::from_ref(root),
        None => &forest.nodes[*root].children[..],
    });
    let span = below_holes
        .filter(is_door)
        .filter_map(|node| forest.nodes[*node].span)
        .min_by_key(|index| (time(*index), entries[*index].record_seq));
    if let Some(index) = span {
        let entry = &entries[index];
        let status = entry.int(http::RESPONSE_STATUS_CODE);
        let failed = entry.is_error() || status.is_some_and(|status| status >= 400);
        let why = || match (status, entry.text(record::span::STATUS_MESSAGE)) {
            (Some(status), _) => format!("it answered {status}"),
            (None, Some(said)) => said.to_owned(),
            (None, None) => "it ended with an error".to_owned(),
        };
        return Some(Door {
            entry: index,
            name: format!("{} {}", entry.service, entry.message),
            started: time(index),
            ended: entry
                .duration
                .map(|_| time(index).saturating_add(entry.duration.unwrap_or(0).max(0))),
            failed: failed.then(why),
        });
    }
    let first = told
        .iter()
        .filter(|told| !told.from_span)
        .filter(|told| {
            [http::SERVER_STARTED, http::SERVER_COMPLETED, message::RECEIVED].contains(&told.event)
        })
        .min_by_key(|told| (told.time, entries[told.entry].record_seq))?;
    let entry = &entries[first.entry];
    if first.event == message::RECEIVED {
        let thing = things.messages.get(first.message_id.as_ref()?)?;
        let delivery: Option<&Delivery> =
            thing.deliveries.values().find(|delivery| delivery.received == Some(first.time));
        let delivery = delivery?;
        return Some(Door {
            entry: first.entry,
            name: format!("{} {}", entry.service, thing.what.as_deref().unwrap_or("message")),
            started: first.time,
            ended: delivery.done.or(delivery.dead),
            failed: delivery.dead.map(|_| "its message was put aside".to_owned()),
        });
    }
    let request = things.requests.values().find(|request| request.entry == first.entry)?;
    Some(Door {
        entry: first.entry,
        name: format!("{} {}", entry.service, request.name),
        started: first.time,
        ended: request.ended,
        failed: request.failed.then(|| "it was answered with a failure".to_owned()),
    })
}

/// The outcome; the first that is true.
pub(crate) fn outcome(
    entries: &[Entry],
    things: &Things,
    door: Option<&Door>,
    telling: &Telling,
) -> Outcome {
    let said = |state: &'static str, reason: String| Outcome { state, reason };
    let named = |id: &str, name: &str| format!("saga {name} {id}");
    let last_end = things.sagas.values().filter_map(|saga| Some(saga.ended.as_ref()?.1)).max();
    for (id, one) in &things.sagas {
        if let Some((saga::FAILED, _, error)) = &one.ended {
            let error = error.as_deref().unwrap_or("error");
            return said(story::FAILED, format!("{} failed: {error}", named(id, &one.name)));
        }
        for step in one.steps.values() {
            let last = step.compensation.values().next_back().and_then(|one| one.ended.as_ref());
            if let Some(error) = last.filter(|end| !end.again).and_then(|end| end.error.as_ref()) {
                let reason =
                    format!("undoing {} of {} failed: {error}", step.name, named(id, &one.name));
                return said(story::FAILED, reason);
            }
        }
    }
    if things.sagas.is_empty()
        && let Some((door, why)) = door.and_then(|door| Some((door, door.failed.as_ref()?)))
    {
        return said(story::FAILED, format!("{}: {why}", door.name));
    }
    for (id, message) in &things.messages {
        let dead =
            message.deliveries.iter().find_map(|(consumer, one)| Some((consumer, one.dead?)));
        if let Some((consumer, _)) = dead.filter(|(_, at)| last_end.is_none_or(|end| end <= *at)) {
            let what = message.what.as_deref().unwrap_or("message");
            return said(story::FAILED, format!("{what} {id} was put aside by {consumer}"));
        }
    }
    let open = open(entries, things, door);
    let silent = |one: &&Open| telling.now.saturating_sub(one.last) > one.silence;
    if let Some(stuck) = open.iter().filter(silent).min_by_key(|one| one.last) {
        let silent = milliseconds(telling.now.saturating_sub(stuck.last)) / 1e3;
        return said(story::STUCK, format!("{} has been silent for {silent:.0} s", stuck.what));
    }
    if let Some(first) = open.iter().min_by_key(|one| one.last) {
        return said(story::RUNNING, format!("{} has not ended", first.what));
    }
    let ended = |event: &str| {
        let mut all = things.sagas.iter();
        all.find(|(_, saga)| saga.ended.as_ref().is_some_and(|(ended, ..)| *ended == event))
    };
    if let Some((id, one)) = ended(saga::COMPENSATED) {
        let error =
            one.ended.as_ref().and_then(|(.., error)| error.clone()).or_else(|| first_error(one));
        let error = error.map_or_else(String::new, |error| format!(": {error}"));
        return said(story::COMPENSATED, format!("{} was undone{error}", named(id, &one.name)));
    }
    if let Some((id, one)) = ended(saga::COMPLETED) {
        return said(story::COMPLETED, format!("{} completed", named(id, &one.name)));
    }
    match door {
        Some(door) => said(story::COMPLETED, format!("{} was answered", door.name)),
        None => said(story::UNKNOWN, "nothing tells how it ended".to_owned()),
    }
}

/// The error for which steps were undone.
fn first_error(saga: &crate::things::SagaThing) -> Option<String> {
    let ends = saga.steps.values().flat_map(|step| step.tries.values());
    ends.filter_map(|one| one.ended.as_ref()?.error.clone()).next_back()
}

/// Something that has not ended.
pub(crate) struct Open {
    pub(crate) what: String,
    pub(crate) last: i64,
    pub(crate) silence: i64,
}

fn open(entries: &[Entry], things: &Things, door: Option<&Door>) -> Vec<Open> {
    let mut open = Vec::new();
    for (id, saga) in things.sagas.iter().filter(|(_, saga)| saga.ended.is_none()) {
        let what = format!("saga {} {id}", saga.name);
        open.push(Open { what, last: saga.last, silence: saga.silence() });
    }
    for (id, command) in things.commands.iter().filter(|(_, command)| command.ended.is_none()) {
        let what = format!("command {} {id}", command.name);
        open.push(Open { what, last: command.last, silence: SILENCE });
    }
    for (id, message) in &things.messages {
        let needed = message.needed().max(message.deliveries.len());
        if message.settled() < needed {
            let what = format!("{} {id}", message.what.as_deref().unwrap_or("message"));
            open.push(Open { what, last: message.last, silence: SILENCE });
        }
    }
    if let Some(door) = door.filter(|door| door.ended.is_none()) {
        // As long as anything is told the request is not silent.
        let last = entries.iter().map(|entry| entry.time).max().unwrap_or(door.started);
        open.push(Open { what: door.name.clone(), last, silence: SILENCE });
    }
    open
}

/// Whether an entry tells of an error: the first of these is where to look.
pub(crate) fn tells_of_an_error(entry: &Entry) -> bool {
    entry.is_error()
        || (!entry.is_span()
            && entry.text(common::ERROR_TYPE).is_some()
            && entry.severity.number() >= 13)
}
