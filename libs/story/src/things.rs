//! What is told, by what it is about: sagas with their steps, messages with their deliveries, commands, stored events,
//! retries. What is told twice of one thing counts once; what a record tells goes before what a span tells.

use std::collections::BTreeMap;

use semantics::{cqrs, database, http, message, record as common, retry, saga};

use crate::MILLISECOND;
use crate::entry::Entry;
use crate::told::Told;

/// How long something may be silent that names no time of its own.
pub(crate) const SILENCE: i64 = 300_000 * MILLISECOND;

/// How a try ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ended {
    pub(crate) time: i64,
    /// Its error, if it failed.
    pub(crate) error: Option<String>,
    /// Whether another try follows.
    pub(crate) again: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Try {
    /// Entry that told of its beginning, or of its end where none did.
    pub(crate) entry: usize,
    pub(crate) started: Option<i64>,
    pub(crate) ended: Option<Ended>,
}

/// The tries of a step, or of its compensation.
pub(crate) type Tries = BTreeMap<i64, Try>;

#[derive(Clone, Debug, Default)]
pub(crate) struct SagaStep {
    pub(crate) name: String,
    pub(crate) tries: Tries,
    pub(crate) compensation: Tries,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct SagaThing {
    pub(crate) name: String,
    /// Who tells of it first.
    pub(crate) entry: usize,
    pub(crate) steps: BTreeMap<i64, SagaStep>,
    /// The event that ended it, when, and its error.
    pub(crate) ended: Option<(&'static str, i64, Option<String>)>,
    pub(crate) last: i64,
    pub(crate) compensating: bool,
    pub(crate) timeout: Option<i64>,
}

impl SagaThing {
    /// The end of an instance is also the end of attempts that are open.
    fn close(&mut self) {
        let Some((event, time, error)) = &self.ended else { return };
        let error = match *event {
            saga::COMPLETED => None,
            _ => Some(error.clone().unwrap_or_else(|| "error".to_owned())),
        };
        for step in self.steps.values_mut() {
            let tries = step.tries.values_mut().chain(step.compensation.values_mut());
            for one in tries.filter(|one| one.ended.is_none()) {
                one.ended = Some(Ended { time: *time, error: error.clone(), again: false });
            }
        }
    }

    pub(crate) fn silence(&self) -> i64 {
        self.timeout.unwrap_or(SILENCE)
    }
}

/// What one consumer did with a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delivery {
    pub(crate) received: Option<i64>,
    pub(crate) entry: usize,
    /// Processed, or known already.
    pub(crate) done: Option<i64>,
    pub(crate) failed: Option<i64>,
    pub(crate) dead: Option<i64>,
    /// The largest attempt that was told of.
    pub(crate) attempts: i64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct MessageThing {
    pub(crate) what: Option<String>,
    pub(crate) destination: String,
    pub(crate) published: Option<(i64, usize)>,
    /// At least one, if nobody says.
    pub(crate) expected: Option<i64>,
    pub(crate) deliveries: BTreeMap<String, Delivery>,
    /// Who tells of it first.
    pub(crate) entry: usize,
    pub(crate) last: i64,
}

impl MessageThing {
    pub(crate) fn needed(&self) -> usize {
        self.expected.map_or(1, |expected| usize::try_from(expected).unwrap_or(0))
    }

    /// Consumers that are done with it, or put it aside.
    pub(crate) fn settled(&self) -> usize {
        let settled = |one: &&Delivery| one.done.is_some() || one.dead.is_some();
        self.deliveries.values().filter(settled).count()
    }
}

/// Something that begins and ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) entry: usize,
    pub(crate) started: Option<i64>,
    pub(crate) ended: Option<i64>,
    pub(crate) last: i64,
    /// Whether it ended without an answer.
    pub(crate) unanswered: bool,
    pub(crate) failed: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) entry: usize,
    pub(crate) stored: Option<i64>,
    /// Read models that will have it, as far as is told.
    pub(crate) wanted: Vec<String>,
    pub(crate) projected: BTreeMap<String, i64>,
}

/// A row of an outbox.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    pub(crate) message_id: String,
    pub(crate) entry: usize,
    pub(crate) time: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Retry {
    pub(crate) operation: String,
    pub(crate) entry: usize,
    pub(crate) time: i64,
    pub(crate) attempt: i64,
    pub(crate) exhausted: bool,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Things {
    pub(crate) sagas: BTreeMap<String, SagaThing>,
    pub(crate) messages: BTreeMap<String, MessageThing>,
    pub(crate) commands: BTreeMap<String, Span>,
    pub(crate) stored: BTreeMap<String, Stored>,
    pub(crate) outbox: Vec<Outbox>,
    /// By service and span.
    pub(crate) calls: BTreeMap<(String, String), Span>,
    /// Requests that came in by records alone, by service and span.
    pub(crate) requests: BTreeMap<(String, String), Span>,
    /// The last one of each service, operation and span.
    pub(crate) retries: BTreeMap<(String, String, String), Retry>,
}

impl Things {
    pub(crate) fn of(entries: &[Entry], told: &[Told]) -> Self {
        let mut things = Self::default();
        for told in told {
            let entry = &entries[told.entry];
            let text = |name: &str| entry.text(name).unwrap_or_default().to_owned();
            match told.event {
                name if name.starts_with("saga.") => things.of_saga(told, entry),
                name if name.starts_with("message.") => things.of_message(told, entry),
                name if name.starts_with("cqrs.command.") => {
                    let command = things.commands.entry(text(cqrs::COMMAND_ID)).or_default();
                    command.name = text(cqrs::COMMAND_NAME);
                    let ends = name != cqrs::COMMAND_RECEIVED;
                    command.tell(told, ends);
                    command.failed |= name == cqrs::COMMAND_REJECTED;
                }
                cqrs::EVENT_STORED => {
                    let stored = things.stored.entry(text(cqrs::STORED_ID)).or_default();
                    stored.name = text(cqrs::STORED_NAME);
                    stored.stored.get_or_insert(told.time);
                    stored.entry = told.entry;
                    let wanted = text(cqrs::PROJECTIONS);
                    let wanted = wanted.split(',').map(str::trim).filter(|name| !name.is_empty());
                    stored.wanted.extend(wanted.map(str::to_owned));
                }
                cqrs::EVENT_PROJECTED => {
                    let stored = things.stored.entry(text(cqrs::STORED_ID)).or_default();
                    stored.projected.entry(text(cqrs::PROJECTION_NAME)).or_insert(told.time);
                }
                database::ROW_CHANGED => {
                    let insert = entry.text(database::OPERATION_NAME) == Some(database::INSERT);
                    if let (true, Some(id)) = (insert, entry.text(message::MESSAGE_ID)) {
                        let message_id = id.to_owned();
                        things.outbox.push(Outbox {
                            message_id,
                            entry: told.entry,
                            time: told.time,
                        });
                    }
                }
                http::CLIENT_STARTED | http::CLIENT_COMPLETED => {
                    let call = things.calls.entry(place(entry)).or_default();
                    call.name = format!(
                        "{} {}",
                        text(http::REQUEST_METHOD),
                        entry
                            .text(http::PEER_NAME)
                            .map_or_else(|| text(http::SERVER_ADDRESS), str::to_owned)
                    );
                    let ends = told.event == http::CLIENT_COMPLETED;
                    call.tell(told, ends);
                    let status = entry.int(http::RESPONSE_STATUS_CODE);
                    if ends && entry.text(common::ERROR_TYPE).is_some() && status.is_none() {
                        call.unanswered = true;
                    }
                }
                http::SERVER_STARTED | http::SERVER_COMPLETED if !told.from_span => {
                    let request = things.requests.entry(place(entry)).or_default();
                    request.name =
                        format!("{} {}", text(http::REQUEST_METHOD), text(http::URL_PATH));
                    request.tell(told, told.event == http::SERVER_COMPLETED);
                    let status = entry.int(http::RESPONSE_STATUS_CODE);
                    request.failed |= status.is_some_and(|status| status >= 400);
                }
                retry::SCHEDULED | retry::EXHAUSTED => {
                    let (service, span) = place(entry);
                    let operation = text(retry::OPERATION);
                    let retry = Retry {
                        operation: operation.clone(),
                        entry: told.entry,
                        time: told.time,
                        attempt: told.attempt,
                        exhausted: told.event == retry::EXHAUSTED,
                    };
                    things.retries.insert((service, operation, span), retry);
                }
                _ => {}
            }
        }
        things.sagas.values_mut().for_each(SagaThing::close);
        things
    }

    fn of_saga(&mut self, told: &Told, entry: &Entry) {
        let text = |name: &str| entry.text(name).unwrap_or_default().to_owned();
        let is_new = !self.sagas.contains_key(entry.text(saga::ID).unwrap_or_default());
        let thing = self.sagas.entry(text(saga::ID)).or_default();
        if is_new {
            (thing.entry, thing.last) = (told.entry, told.time);
        }
        thing.name = text(saga::NAME);
        thing.last = thing.last.max(told.time);
        if let Some(timeout) = entry.int(saga::TIMEOUT_MS) {
            thing.timeout = Some(timeout.saturating_mul(MILLISECOND));
        }
        let error = entry.text(common::ERROR_TYPE).map(str::to_owned);
        let ended = match told.event {
            saga::STARTED => return,
            saga::COMPLETED | saga::COMPENSATED | saga::FAILED => {
                thing.ended = Some((told.event, told.time, error));
                return;
            }
            saga::STEP_STARTED | saga::COMPENSATION_STARTED => None,
            saga::STEP_COMPLETED | saga::COMPENSATION_COMPLETED => {
                Some(Ended { time: told.time, error: None, again: false })
            }
            // A span that failed need not name its error.
            saga::STEP_FAILED | saga::COMPENSATION_FAILED => Some(Ended {
                time: told.time,
                error: Some(error.unwrap_or_else(|| "error".to_owned())),
                again: entry.attributes.contains_key(retry::DELAY_MS),
            }),
            _ => return,
        };
        let compensates = told.event.starts_with("saga.compensation.");
        thing.compensating |= compensates;
        let step = thing.steps.entry(entry.int(saga::STEP_NUMBER).unwrap_or_default()).or_default();
        step.name = text(saga::STEP_NAME);
        let tries = if compensates { &mut step.compensation } else { &mut step.tries };
        let one = tries
            .entry(told.attempt)
            .or_insert_with(|| Try { entry: told.entry, ..Try::default() });
        match ended {
            None => one.started = one.started.or(Some(told.time)),
            // The first that tells of the end is kept; records are before spans.
            Some(ended) => one.ended = one.ended.take().or(Some(ended)),
        }
    }

    fn of_message(&mut self, told: &Told, entry: &Entry) {
        let Some(id) = &told.message_id else { return };
        let is_new = !self.messages.contains_key(id);
        let thing = self.messages.entry(id.clone()).or_default();
        if is_new {
            (thing.entry, thing.last) = (told.entry, told.time);
        }
        thing.last = thing.last.max(told.time);
        thing.what = thing.what.take().or_else(|| entry.text(message::TYPE).map(str::to_owned));
        if told.event == message::PUBLISHED {
            thing.destination =
                entry.text(message::DESTINATION_NAME).unwrap_or_default().to_owned();
            thing.expected = entry.int(message::CONSUMERS_EXPECTED).or(thing.expected);
            thing.published.get_or_insert((told.time, told.entry));
            return;
        }
        if thing.destination.is_empty() {
            thing.destination =
                entry.text(message::DESTINATION_NAME).unwrap_or_default().to_owned();
        }
        let consumer = entry
            .text(message::CONSUMER_GROUP_NAME)
            .or_else(|| entry.text(message::SUBSCRIPTION_NAME))
            .unwrap_or(&entry.service);
        let delivery = thing
            .deliveries
            .entry(consumer.to_owned())
            .or_insert_with(|| Delivery { entry: told.entry, ..Delivery::default() });
        delivery.attempts = delivery.attempts.max(told.attempt);
        let field = match told.event {
            message::PROCESSED | message::DEDUPLICATED => &mut delivery.done,
            message::FAILED | message::RETRY_SCHEDULED => &mut delivery.failed,
            message::DEAD_LETTERED => &mut delivery.dead,
            _ => &mut delivery.received,
        };
        field.get_or_insert(told.time);
        // Whoever did something with it was given it.
        delivery.received.get_or_insert(told.time);
    }
}

impl Span {
    fn tell(&mut self, told: &Told, ends: bool) {
        if self.started.is_none() && self.ended.is_none() {
            (self.entry, self.last) = (told.entry, told.time);
        }
        self.last = self.last.max(told.time);
        let field = if ends { &mut self.ended } else { &mut self.started };
        field.get_or_insert(told.time);
    }
}

/// Which call or request of a service it is.
fn place(entry: &Entry) -> (String, String) {
    let span =
        entry.span_id.map_or_else(|| format!("record {}", entry.record_seq), |id| id.to_string());
    (entry.service.clone(), span)
}
