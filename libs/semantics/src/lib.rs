//! The names by which the story of a correlation is told, as `docs/formats/semantics.md` explains them: events, their
//! attributes, the values of those that have few, and what a story concludes. A test holds the page and this together.
//!
//! Names that OpenTelemetry's semantic conventions (1.45) have are theirs. A name is a promise to whoever emits or
//! stores it: one may be added, none may change its meaning.

/// An event that a record can tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The record's `event_name`.
    pub name: &'static str,
    /// Attributes that it must have to be understood.
    pub required: &'static [&'static str],
}

/// The event of this name.
pub fn event(name: &str) -> Option<&'static Event> {
    EVENTS.iter().find(|event| event.name == name)
}

/// Constants, and a list of them for the test.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*
        #[cfg(test)]
        pub(super) const NAMES: &[&str] = &[$($text),*];
    };
}

/// What a record is bound to a story by, and what every event may have.
pub mod record {
    names! {
        /// The interaction that the record belongs to.
        CORRELATION_ID = "correlation_id";
        /// 32 hex digits.
        TRACE_ID = "trace_id";
        /// 16 hex digits.
        SPAN_ID = "span_id";
        /// Which event of these the record tells of.
        EVENT_NAME = "event_name";
        /// Which try this is, from 1.
        ATTEMPT = "attempt";
        /// From the beginning of the thing to this event.
        DURATION_MS = "duration_ms";
        /// Class of the error, of few values.
        ERROR_TYPE = "error.type";
        /// The error for people.
        ERROR_MESSAGE = "error.message";
        /// Id of the message, command or event that made this happen.
        CAUSATION_ID = "causation_id";
    }
}

/// Sagas, their steps and compensations.
pub mod saga {
    names! {
        /// Event: an instance begins.
        STARTED = "saga.started";
        /// Event: a step is tried.
        STEP_STARTED = "saga.step.started";
        /// Event: a step is done.
        STEP_COMPLETED = "saga.step.completed";
        /// Event: a try of a step failed.
        STEP_FAILED = "saga.step.failed";
        /// Event: a step is being undone.
        COMPENSATION_STARTED = "saga.compensation.started";
        /// Event: a step is undone.
        COMPENSATION_COMPLETED = "saga.compensation.completed";
        /// Event: undoing a step failed.
        COMPENSATION_FAILED = "saga.compensation.failed";
        /// Event: an instance ended, all is done.
        COMPLETED = "saga.completed";
        /// Event: an instance ended, all is undone.
        COMPENSATED = "saga.compensated";
        /// Event: an instance ended, neither done nor undone.
        FAILED = "saga.failed";
        /// Which saga.
        NAME = "saga.name";
        /// Which instance of it.
        ID = "saga.id";
        /// The state after the event: one of the `STATE_`s.
        STATE = "saga.state";
        /// Which step.
        STEP_NAME = "saga.step.name";
        /// Place of the step in the saga, from 1.
        STEP_NUMBER = "saga.step.number";
        /// How many steps there are.
        STEP_COUNT = "saga.step.count";
        /// On spans: one of the `ACTION_`s.
        STEP_ACTION = "saga.step.action";
        /// Silent for so long, an instance is stuck.
        TIMEOUT_MS = "saga.timeout_ms";
        /// Steps are under way.
        STATE_RUNNING = "running";
        /// Steps are being undone.
        STATE_COMPENSATING = "compensating";
        /// All is done.
        STATE_COMPLETED = "completed";
        /// All is undone.
        STATE_COMPENSATED = "compensated";
        /// Neither done nor undone.
        STATE_FAILED = "failed";
        /// A step is done.
        ACTION_EXECUTE = "execute";
        /// A step is undone.
        ACTION_COMPENSATE = "compensate";
    }
}

/// Messages and what becomes of them.
pub mod message {
    names! {
        /// Event: the broker has it.
        PUBLISHED = "message.published";
        /// Event: a consumer was given it.
        RECEIVED = "message.received";
        /// Event: a consumer is done with it.
        PROCESSED = "message.processed";
        /// Event: a consumer knew it already.
        DEDUPLICATED = "message.deduplicated";
        /// Event: a consumer could not do it.
        FAILED = "message.failed";
        /// Event: it will be delivered again.
        RETRY_SCHEDULED = "message.retry_scheduled";
        /// Event: it was put aside for good.
        DEAD_LETTERED = "message.dead_lettered";
        /// The messaging system.
        SYSTEM = "messaging.system";
        /// Queue, topic or exchange.
        DESTINATION_NAME = "messaging.destination.name";
        /// The message's id, the same at publisher and consumers.
        MESSAGE_ID = "messaging.message.id";
        /// On spans: one of the `OPERATION_`s.
        OPERATION_TYPE = "messaging.operation.type";
        /// The system's own word for the operation.
        OPERATION_NAME = "messaging.operation.name";
        /// Group of consumers that share the deliveries.
        CONSUMER_GROUP_NAME = "messaging.consumer.group.name";
        /// The same where it is called a subscription.
        SUBSCRIPTION_NAME = "messaging.destination.subscription.name";
        /// Partition of the destination.
        PARTITION_ID = "messaging.destination.partition.id";
        /// Offset in the partition.
        KAFKA_OFFSET = "messaging.kafka.offset";
        /// Routing key.
        RABBITMQ_ROUTING_KEY = "messaging.rabbitmq.destination.routing_key";
        /// Bytes of the body.
        BODY_SIZE = "messaging.message.body.size";
        /// The messaging system's own correlation id.
        CONVERSATION_ID = "messaging.message.conversation_id";
        /// What the message is.
        TYPE = "message.type";
        /// How many consumers must process it.
        CONSUMERS_EXPECTED = "message.consumers_expected";
        /// Where it was put aside.
        DEAD_LETTER_DESTINATION = "message.dead_letter.destination";
        /// A message is made.
        OPERATION_CREATE = "create";
        /// It is given to the broker.
        OPERATION_SEND = "send";
        /// It is asked for by a consumer.
        OPERATION_RECEIVE = "receive";
        /// It is worked on by a consumer.
        OPERATION_PROCESS = "process";
        /// It is acknowledged or refused.
        OPERATION_SETTLE = "settle";
    }
}

/// Changes of rows.
pub mod database {
    names! {
        /// Event: a row was written and committed.
        ROW_CHANGED = "db.row.changed";
        /// Event: a row was not written, someone else was first.
        ROW_CONFLICTED = "db.row.conflicted";
        /// The database system.
        SYSTEM_NAME = "db.system.name";
        /// The database.
        NAMESPACE = "db.namespace";
        /// The table.
        COLLECTION_NAME = "db.collection.name";
        /// `INSERT`, `UPDATE` or `DELETE`.
        OPERATION_NAME = "db.operation.name";
        /// The primary key.
        ROW_KEY = "db.row.key";
        /// The row's version after the change.
        ROW_VERSION = "db.row.version";
        /// Names of the changed columns, joined by commas.
        ROW_COLUMNS = "db.row.columns";
        /// The row's state after the change.
        ROW_STATE = "db.row.state";
        /// What became visible together.
        TRANSACTION_ID = "db.transaction.id";
        /// A row is new.
        INSERT = "INSERT";
        /// A row is another.
        UPDATE = "UPDATE";
        /// A row is gone.
        DELETE = "DELETE";
    }
}

/// Commands, events and read models.
pub mod cqrs {
    names! {
        /// Event: a command came in.
        COMMAND_RECEIVED = "cqrs.command.received";
        /// Event: it was carried out.
        COMMAND_COMPLETED = "cqrs.command.completed";
        /// Event: it was refused.
        COMMAND_REJECTED = "cqrs.command.rejected";
        /// Event: an event is in the event store.
        EVENT_STORED = "cqrs.event.stored";
        /// Event: a read model has it.
        EVENT_PROJECTED = "cqrs.event.projected";
        /// Which command.
        COMMAND_NAME = "cqrs.command.name";
        /// Its id.
        COMMAND_ID = "cqrs.command.id";
        /// Which event.
        STORED_NAME = "cqrs.event.name";
        /// Its id.
        STORED_ID = "cqrs.event.id";
        /// Names of the projections that will follow, joined by commas.
        PROJECTIONS = "cqrs.event.projections";
        /// What kind of thing it is about.
        AGGREGATE_TYPE = "cqrs.aggregate.type";
        /// Which of them.
        AGGREGATE_ID = "cqrs.aggregate.id";
        /// Its version after the event.
        AGGREGATE_VERSION = "cqrs.aggregate.version";
        /// The read model.
        PROJECTION_NAME = "cqrs.projection.name";
        /// How far it has read.
        PROJECTION_POSITION = "cqrs.projection.position";
    }
}

/// HTTP calls.
pub mod http {
    names! {
        /// Event: a request came in.
        SERVER_STARTED = "http.server.request.started";
        /// Event: it was answered.
        SERVER_COMPLETED = "http.server.request.completed";
        /// Event: a request goes out.
        CLIENT_STARTED = "http.client.request.started";
        /// Event: it was answered, or failed.
        CLIENT_COMPLETED = "http.client.request.completed";
        /// `GET`, `POST` …
        REQUEST_METHOD = "http.request.method";
        /// Template of the path.
        ROUTE = "http.route";
        /// Absent if there was no answer.
        RESPONSE_STATUS_CODE = "http.response.status_code";
        /// Which try this is, from 0.
        RESEND_COUNT = "http.request.resend_count";
        /// The path.
        URL_PATH = "url.path";
        /// Host that is called.
        SERVER_ADDRESS = "server.address";
        /// Its port.
        SERVER_PORT = "server.port";
        /// Service that is called.
        PEER_NAME = "service.peer.name";
    }
}

/// Whatever is tried again.
pub mod retry {
    names! {
        /// Event: a try failed, another one comes.
        SCHEDULED = "retry.scheduled";
        /// Event: the last try failed.
        EXHAUSTED = "retry.exhausted";
        /// What is tried.
        OPERATION = "retry.operation";
        /// How long until the next try.
        DELAY_MS = "retry.delay_ms";
        /// How many tries there are.
        ATTEMPTS_MAX = "retry.attempts_max";
    }
}

/// Circuit breakers.
pub mod circuit_breaker {
    names! {
        /// Event: it has another state.
        CHANGED = "circuit_breaker.changed";
        /// Event: a call was refused without being tried.
        REJECTED = "circuit_breaker.rejected";
        /// What it guards.
        NAME = "circuit_breaker.name";
        /// One of the `STATE_`s.
        STATE = "circuit_breaker.state";
        /// The state before.
        PREVIOUS_STATE = "circuit_breaker.previous_state";
        /// Failures that made it open.
        FAILURE_COUNT = "circuit_breaker.failure_count";
        /// When it will let one call through.
        OPEN_FOR_MS = "circuit_breaker.open_for_ms";
        /// Calls go through.
        STATE_CLOSED = "closed";
        /// Calls are refused.
        STATE_OPEN = "open";
        /// One call goes through, to see.
        STATE_HALF_OPEN = "half_open";
    }
}

/// Which instances of a service can be called.
pub mod registry {
    names! {
        /// Event: an instance can be called.
        REGISTERED = "registry.instance.registered";
        /// Event: it left.
        DEREGISTERED = "registry.instance.deregistered";
        /// Event: it was silent for too long.
        EXPIRED = "registry.instance.expired";
        /// Event: an instance was chosen for a call.
        LOOKUP_COMPLETED = "registry.lookup.completed";
        /// Event: there was none.
        LOOKUP_FAILED = "registry.lookup.failed";
        /// The service that is looked for.
        SERVICE_NAME = "registry.service.name";
        /// An instance of it.
        INSTANCE_ID = "registry.instance.id";
        /// Instances that can be called after it.
        INSTANCE_COUNT = "registry.instance.count";
    }
}

/// What a story concludes: outcomes of a correlation, and holes.
pub mod story {
    names! {
        /// Something failed for good.
        FAILED = "failed";
        /// Something is open and silent for too long.
        STUCK = "stuck";
        /// Something is open.
        RUNNING = "running";
        /// All is undone.
        COMPENSATED = "compensated";
        /// All is done.
        COMPLETED = "completed";
        /// Nothing says how it ended.
        UNKNOWN = "unknown";
        /// Published, and received by too few consumers.
        MESSAGE_UNCONSUMED = "message_unconsumed";
        /// Received, and then nothing.
        MESSAGE_UNPROCESSED = "message_unprocessed";
        /// Received and never published.
        MESSAGE_UNPUBLISHED = "message_unpublished";
        /// The row of an outbox, and no such message.
        OUTBOX_UNPUBLISHED = "outbox_unpublished";
        /// A step or compensation started and did not end.
        STEP_UNFINISHED = "step_unfinished";
        /// A saga without an end.
        SAGA_UNFINISHED = "saga_unfinished";
        /// Compensations began and did not all end well.
        HALF_COMPENSATED = "half_compensated";
        /// Received, neither completed nor rejected.
        COMMAND_UNANSWERED = "command_unanswered";
        /// Stored, and a projection does not have it.
        EVENT_UNPROJECTED = "event_unprojected";
        /// A call without an answer.
        CALL_UNANSWERED = "call_unanswered";
        /// Another try was to come and did not.
        RETRY_UNFINISHED = "retry_unfinished";
        /// A span whose parent is not there.
        PARENT_MISSING = "parent_missing";
    }
}

const SAGA: &[&str] = &[saga::NAME, saga::ID];
const STEP: &[&str] = &[saga::NAME, saga::ID, saga::STEP_NAME, saga::STEP_NUMBER];
const STEP_ERROR: &[&str] =
    &[saga::NAME, saga::ID, saga::STEP_NAME, saga::STEP_NUMBER, record::ERROR_TYPE];
const MESSAGE: &[&str] = &[message::SYSTEM, message::DESTINATION_NAME, message::MESSAGE_ID];
const MESSAGE_ERROR: &[&str] =
    &[message::SYSTEM, message::DESTINATION_NAME, message::MESSAGE_ID, record::ERROR_TYPE];
const ROW: &[&str] = &[
    database::SYSTEM_NAME,
    database::COLLECTION_NAME,
    database::OPERATION_NAME,
    database::ROW_KEY,
];
const COMMAND: &[&str] = &[cqrs::COMMAND_NAME, cqrs::COMMAND_ID];
const RETRY: &[&str] = &[retry::OPERATION, record::ATTEMPT, record::ERROR_TYPE];
const INSTANCE: &[&str] = &[registry::SERVICE_NAME, registry::INSTANCE_ID];
const CLIENT: &[&str] = &[http::REQUEST_METHOD, http::SERVER_ADDRESS];

/// All events.
pub const EVENTS: &[Event] = &[
    Event { name: saga::STARTED, required: SAGA },
    Event { name: saga::STEP_STARTED, required: STEP },
    Event { name: saga::STEP_COMPLETED, required: STEP },
    Event { name: saga::STEP_FAILED, required: STEP_ERROR },
    Event { name: saga::COMPENSATION_STARTED, required: STEP },
    Event { name: saga::COMPENSATION_COMPLETED, required: STEP },
    Event { name: saga::COMPENSATION_FAILED, required: STEP_ERROR },
    Event { name: saga::COMPLETED, required: SAGA },
    Event { name: saga::COMPENSATED, required: SAGA },
    Event { name: saga::FAILED, required: &[saga::NAME, saga::ID, record::ERROR_TYPE] },
    Event { name: message::PUBLISHED, required: MESSAGE },
    Event { name: message::RECEIVED, required: MESSAGE },
    Event { name: message::PROCESSED, required: MESSAGE },
    Event { name: message::DEDUPLICATED, required: MESSAGE },
    Event { name: message::FAILED, required: MESSAGE_ERROR },
    Event { name: message::RETRY_SCHEDULED, required: MESSAGE },
    Event { name: message::DEAD_LETTERED, required: MESSAGE_ERROR },
    Event { name: database::ROW_CHANGED, required: ROW },
    Event { name: database::ROW_CONFLICTED, required: ROW },
    Event { name: cqrs::COMMAND_RECEIVED, required: COMMAND },
    Event { name: cqrs::COMMAND_COMPLETED, required: COMMAND },
    Event {
        name: cqrs::COMMAND_REJECTED,
        required: &[cqrs::COMMAND_NAME, cqrs::COMMAND_ID, record::ERROR_TYPE],
    },
    Event {
        name: cqrs::EVENT_STORED,
        required: &[cqrs::STORED_NAME, cqrs::STORED_ID, cqrs::AGGREGATE_TYPE, cqrs::AGGREGATE_ID],
    },
    Event {
        name: cqrs::EVENT_PROJECTED,
        required: &[cqrs::STORED_NAME, cqrs::STORED_ID, cqrs::PROJECTION_NAME],
    },
    Event { name: http::SERVER_STARTED, required: &[http::REQUEST_METHOD, http::URL_PATH] },
    Event {
        name: http::SERVER_COMPLETED,
        required: &[http::REQUEST_METHOD, http::URL_PATH, http::RESPONSE_STATUS_CODE],
    },
    Event { name: http::CLIENT_STARTED, required: CLIENT },
    Event { name: http::CLIENT_COMPLETED, required: CLIENT },
    Event { name: retry::SCHEDULED, required: RETRY },
    Event { name: retry::EXHAUSTED, required: RETRY },
    Event {
        name: circuit_breaker::CHANGED,
        required: &[circuit_breaker::NAME, circuit_breaker::STATE],
    },
    Event { name: circuit_breaker::REJECTED, required: &[circuit_breaker::NAME] },
    Event { name: registry::REGISTERED, required: INSTANCE },
    Event { name: registry::DEREGISTERED, required: INSTANCE },
    Event { name: registry::EXPIRED, required: INSTANCE },
    Event { name: registry::LOOKUP_COMPLETED, required: INSTANCE },
    Event {
        name: registry::LOOKUP_FAILED,
        required: &[registry::SERVICE_NAME, record::ERROR_TYPE],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, Value};

    use super::*;

    const PAGE: &str = include_str!("../../../docs/formats/semantics.md");

    fn constants() -> BTreeSet<&'static str> {
        let modules = [
            record::NAMES,
            saga::NAMES,
            message::NAMES,
            database::NAMES,
            cqrs::NAMES,
            http::NAMES,
            retry::NAMES,
            circuit_breaker::NAMES,
            registry::NAMES,
            story::NAMES,
        ];
        modules.concat().into_iter().collect()
    }

    /// What stands between backticks.
    fn names(text: &str) -> impl Iterator<Item = &str> {
        text.split('`').skip(1).step_by(2)
    }

    /// The cells of the rows of all tables, without their heads.
    fn rows() -> Vec<Vec<&'static str>> {
        let lines: Vec<_> = PAGE.lines().collect();
        let is_head = |at: usize| lines.get(at + 1).is_some_and(|next| next.starts_with("|---"));
        let rows = lines.iter().enumerate().filter(|(at, line)| {
            line.starts_with('|') && !line.starts_with("|---") && !is_head(*at)
        });
        rows.map(|(_, line)| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
    }

    #[test]
    fn every_constant_stands_in_the_page() {
        let code = PAGE.split("```").step_by(2).collect::<String>();
        let told: BTreeSet<_> = names(&code).collect();
        let missing: Vec<_> = constants().into_iter().filter(|name| !told.contains(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn every_name_in_the_tables_is_a_constant() {
        let constants = constants();
        for row in rows() {
            let names_of = |cell: usize| row.get(cell).copied().into_iter().flat_map(names);
            // Events have what they require and allow in the third and fourth cell.
            let more = if row.len() == 4 { 2..4 } else { 0..0 };
            for name in names_of(0).chain(more.flat_map(names_of)) {
                assert!(constants.contains(name), "{name} in {row:?}");
            }
        }
    }

    #[test]
    fn the_page_requires_what_the_code_requires() {
        let mut required = Vec::new();
        let mut found = Vec::new();
        for row in rows().into_iter().filter(|row| row.len() == 4) {
            if !row[2].starts_with("as above") {
                required.clear();
            }
            required.extend(names(row[2]));
            let event = event(row[0].trim_matches('`')).unwrap_or_else(|| panic!("{row:?}"));
            assert_eq!(event.required, required, "{}", event.name);
            found.push(event.name);
        }
        assert_eq!(found, EVENTS.iter().map(|event| event.name).collect::<Vec<_>>());
    }

    #[test]
    fn the_examples_are_events_that_can_be_understood() {
        let constants = constants();
        let fixed = ["timestamp", "level", "service", "message"];
        let examples: Vec<Map<String, Value>> = PAGE
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(examples.len() >= 8);
        for example in examples {
            let event = event(example["event_name"].as_str().unwrap()).unwrap();
            let missing: Vec<_> =
                event.required.iter().filter(|name| !example.contains_key(**name)).collect();
            assert!(missing.is_empty(), "{} lacks {missing:?}", event.name);
            for key in example.keys() {
                assert!(fixed.contains(&key.as_str()) || constants.contains(key.as_str()), "{key}");
            }
        }
    }
}
