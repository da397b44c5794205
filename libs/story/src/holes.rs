//! What should be there and is not: the table "Holes" of `docs/formats/semantics.md`.

use std::collections::HashMap;

use semantics::{saga, story};
use serde::Serialize;

use crate::forest::Forest;
use crate::story::Telling;
use crate::things::{MessageThing, SagaThing, Things, Tries};
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

/// All of them, in the order of their times.
pub(crate) fn holes(
    entries: &[Entry],
    forest: &Forest,
    things: &Things,
    telling: &Telling,
) -> Vec<Hole> {
    let had_time = telling.now.saturating_sub(PATIENCE);
    let mut finder = Finder {
        entries,
        now: telling.now,
        known: telling.watermark.unwrap_or(telling.now).min(had_time),
        holes: Vec::new(),
    };
    things.messages.iter().for_each(|(id, message)| finder.of_message(id, message));
    finder.of_outbox(things);
    things.sagas.iter().for_each(|(id, saga)| finder.of_saga(id, saga));
    finder.of_commands_and_events(things);
    finder.of_calls(things);
    finder.of_retries(things);
    finder.of_parents(forest);
    let mut holes = finder.holes;
    holes.sort_by_key(|hole| (entries[hole.entry].time, hole.entry));
    holes
}

struct Finder<'a> {
    entries: &'a [Entry],
    now: i64,
    /// What nobody can still be sending, and what has had its time, lies before it.
    known: i64,
    holes: Vec<Hole>,
}

impl Finder<'_> {
    fn over(&self, time: i64) -> bool {
        time <= self.known
    }

    fn hole(&mut self, kind: &'static str, entry: usize, what: String) {
        self.holes.push(Hole { kind, what, entry });
    }

    fn of_message(&mut self, id: &str, one: &MessageThing) {
        let what = one.what.as_deref().unwrap_or("message");
        let to = &one.destination;
        match one.published {
            Some((at, entry)) if self.over(at) && one.deliveries.len() < one.needed() => {
                let got = match one.deliveries.len() {
                    0 => "nobody".to_owned(),
                    some => format!("{some} of {}", one.needed()),
                };
                let what = format!("{what} {id} was published to {to} and received by {got}");
                self.hole(story::MESSAGE_UNCONSUMED, entry, what);
            }
            None if self.over(one.last) => {
                let what =
                    format!("{what} {id} was received from {to}; who published it does not tell");
                self.hole(story::MESSAGE_UNPUBLISHED, one.entry, what);
            }
            _ => {}
        }
        for (consumer, delivery) in &one.deliveries {
            let received = delivery.received.unwrap_or(one.last);
            let settled = delivery.done.or(delivery.failed).or(delivery.dead);
            if self.over(received) && settled.is_none() {
                let what =
                    format!("{what} {id} was received by {consumer}, and nothing came of it");
                self.hole(story::MESSAGE_UNPROCESSED, delivery.entry, what);
            }
        }
    }

    fn of_outbox(&mut self, things: &Things) {
        for row in &things.outbox {
            let published = things.messages.get(&row.message_id);
            if self.over(row.time) && published.is_none_or(|message| message.published.is_none()) {
                let what =
                    format!("message {} is in the outbox and was not published", row.message_id);
                self.hole(story::OUTBOX_UNPUBLISHED, row.entry, what);
            }
        }
    }

    fn of_saga(&mut self, id: &str, one: &SagaThing) {
        let silent = self.now.saturating_sub(one.last) > one.silence();
        if one.ended.is_none() && silent && self.over(one.last) {
            let what = format!("saga {} {id} has no end", one.name);
            self.hole(story::SAGA_UNFINISHED, one.entry, what);
        }
        for step in one.steps.values() {
            for (tries, verb) in
                [(&step.tries, "began"), (&step.compensation, "began to be undone")]
            {
                if let Some((attempt, entry)) = self.unfinished(tries) {
                    let what = format!(
                        "step {} of {} {id} {verb} (try {attempt}), and nothing came of it",
                        step.name, one.name
                    );
                    self.hole(story::STEP_UNFINISHED, entry, what);
                }
            }
        }
        let not_undone = one.steps.values().find_map(|step| {
            let last = step.compensation.values().next_back()?;
            let undone = match &last.ended {
                Some(ended) => ended.error.is_none() || ended.again,
                None => !self.over(last.started.unwrap_or(one.last)),
            };
            (!undone).then_some((&step.name, last.entry))
        });
        if let Some((step, entry)) = not_undone
            && one.ended.as_ref().is_none_or(|(event, ..)| *event != saga::COMPENSATED)
        {
            let what = format!("saga {} {id} is undone in part: {step} is not", one.name);
            self.hole(story::HALF_COMPENSATED, entry, what);
        }
    }

    /// The last try, if it began and nothing is known of its end; of others a later one says that they are over.
    fn unfinished(&self, tries: &Tries) -> Option<(i64, usize)> {
        let (attempt, last) = tries.last_key_value()?;
        (last.ended.is_none() && self.over(last.started?)).then_some((*attempt, last.entry))
    }

    fn of_commands_and_events(&mut self, things: &Things) {
        for (id, command) in &things.commands {
            if command.ended.is_none() && self.over(command.last) {
                let what = format!("command {} {id} was received and not answered", command.name);
                self.hole(story::COMMAND_UNANSWERED, command.entry, what);
            }
        }
        for (id, stored) in &things.stored {
            if !stored.stored.is_some_and(|time| self.over(time)) {
                continue;
            }
            let missing = stored.wanted.iter().filter(|name| !stored.projected.contains_key(*name));
            for name in missing {
                let what =
                    format!("event {} {id} is stored, and {name} does not have it", stored.name);
                self.hole(story::EVENT_UNPROJECTED, stored.entry, what);
            }
        }
    }

    fn of_calls(&mut self, things: &Things) {
        for ((service, _), call) in &things.calls {
            let silent = call.ended.is_none() && self.over(call.last);
            if silent || call.unanswered {
                let what = format!("{service} called {} and got no answer", call.name);
                self.hole(story::CALL_UNANSWERED, call.entry, what);
            }
        }
    }

    fn of_retries(&mut self, things: &Things) {
        let mut last_told: HashMap<&str, i64> = HashMap::new();
        for entry in self.entries.iter().filter(|_| !things.retries.is_empty()) {
            let last = last_told.entry(&entry.service).or_insert(entry.time);
            *last = entry.time.max(*last);
        }
        for ((service, ..), retry) in &things.retries {
            // Whatever the service tells later is its going on.
            let goes_on = last_told.get(service.as_str()) > Some(&self.entries[retry.entry].time);
            if !retry.exhausted && self.over(retry.time) && !goes_on {
                let what = format!(
                    "{service} was to try {} again after try {}, and did not",
                    retry.operation, retry.attempt
                );
                self.hole(story::RETRY_UNFINISHED, retry.entry, what);
            }
        }
    }

    fn of_parents(&mut self, forest: &Forest) {
        for node in forest.nodes.iter().filter(|node| node.span.is_none()) {
            let first = node.children.iter().find_map(|child| forest.nodes[*child].span);
            let (Some(id), Some(index)) = (node.missing, first) else { continue };
            let entry = &self.entries[index];
            // A caller's span comes when its call has ended, which may be later than those of its children.
            if self.over(entry.end()) {
                let what = format!(
                    "{} {} names the span {id} as its parent, which is not there",
                    entry.service, entry.message
                );
                self.hole(story::PARENT_MISSING, index, what);
            }
        }
    }
}
