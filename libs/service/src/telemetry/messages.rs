//! Messages between services: the spans of publishing and processing one, and the headers that carry the context.
//!
//! ```text
//! publisher   within some span: publish(…).in_scope(|| { inject(&mut headers); send })   traceparent, baggage,
//! consumer    work.instrument(process(…, &headers))                                     x-correlation-id
//! ```
//!
//! The consumer's span is the child of the publisher's: the correlation and the trace go on.

use std::collections::BTreeMap;

use tracing::{Span, field, info_span};

use super::origin::Origin;
use super::propagation::{MessageHeadersOut, inject as inject_into};
use crate::semantics::{message, record};

/// Which message it is, in the words of [`crate::semantics::message`].
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// `rabbitmq`, `kafka`, or the name of a queue of one's own.
    pub system: &'a str,
    /// Queue, topic or exchange.
    pub destination: &'a str,
    /// The same at publisher and consumers.
    pub id: &'a str,
}

/// The span of publishing a message, a child of the current one.
pub fn publish(message: Message<'_>) -> Span {
    let Message { system, destination, id } = message;
    info_span!(
        "message.publish",
        otel.name = format!("publish {destination}"),
        otel.kind = "producer",
        { message::OPERATION_TYPE } = message::OPERATION_SEND,
        { message::SYSTEM } = system,
        { message::DESTINATION_NAME } = destination,
        { message::MESSAGE_ID } = id,
    )
}

/// The span of processing a delivery, in the correlation and the trace that its headers name. `attempt` counts from 1.
pub fn process(message: Message<'_>, headers: &BTreeMap<String, String>, attempt: u32) -> Span {
    let Message { system, destination, id } = message;
    let span = info_span!(
        "message.process",
        otel.name = format!("process {destination}"),
        otel.kind = "consumer",
        otel.status_code = field::Empty,
        { message::OPERATION_TYPE } = message::OPERATION_PROCESS,
        { message::SYSTEM } = system,
        { message::DESTINATION_NAME } = destination,
        { message::MESSAGE_ID } = id,
        { record::ATTEMPT } = i64::from(attempt),
    );
    Origin::of_message(headers).begin(&span);
    span
}

/// Writes correlation and trace of what is being done here into a message's headers.
pub fn inject(headers: &mut BTreeMap<String, String>) {
    inject_into(&mut MessageHeadersOut(headers));
}
