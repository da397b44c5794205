//! What becomes of a request's span when the request is dropped before there is an answer: the caller hung up, or gave
//! up waiting.

use tracing::Span;

use crate::semantics::record;

/// What is told of such a request.
pub(super) const CANCELLED: &str = "cancelled";

/// Marks a span as cancelled when it is dropped, unless there was an answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    span: Option<Span>,
}

impl Unanswered {
    /// The span has fields for `error.type` and `otel.status_code`.
    pub(super) fn of(span: &Span) -> Self {
        Self { span: Some(span.clone()) }
    }

    pub(super) fn answered(&mut self) {
        self.span = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(span) = &self.span {
            span.record(record::ERROR_TYPE, CANCELLED);
            span.record("otel.status_code", "error");
        }
    }
}
