//! Asks a service to do or undo a step, and judges its answer.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::Value;
use service::semantics::saga;

use super::definition::{Definition, Step};
use super::instance::{Action, Outcome, Reason, Verb};
use super::store::Run;
use crate::kit::client::{Call, CallError, Dependency};

/// What came of it, and the answer's body if it was done.
pub(super) async fn ask(
    definition: &Definition,
    services: &BTreeMap<&'static str, Dependency>,
    run: &Run,
    action: Action,
) -> (Outcome, Option<Value>) {
    let Step { name, asks, .. } = definition.step(action.step);
    // Without anybody it is done by the saga's end.
    let Some((asked, service)) =
        asks.as_ref().and_then(|asked| Some((asked, services.get(asked.service)?)))
    else {
        return (Outcome::Done, None);
    };
    let (request, verb) = match action.verb {
        Verb::Execute => ((asked.execute)(&run.data), saga::ACTION_EXECUTE),
        Verb::Compensate => ((asked.compensate)(&run.data), saga::ACTION_COMPENSATE),
    };
    let key = format!("{}/{name}/{verb}", run.id);
    let call = Call::post(request.path).json(&request.body).idempotency_key(&key);
    let call = call.attempt(action.attempt);
    match service.send(call).await {
        Ok(answer) => judge(answer.status, &answer.body),
        Err(error) => {
            let reason = Reason::new(error.error_type(), format!("{}: {error}", asked.service));
            let outcome = match error {
                CallError::NoInstance | CallError::BreakerOpen { .. } | CallError::Full => {
                    Outcome::NotSent(reason)
                }
                CallError::Timeout | CallError::Unreachable { .. } => Outcome::Unanswered(reason),
                CallError::BadAnswer { .. } => Outcome::Unknown(reason),
            };
            (outcome, None)
        }
    }
}

/// What an answer means: refused is what will be refused again, everything else may have happened.
fn judge(status: StatusCode, body: &[u8]) -> (Outcome, Option<Value>) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if status.is_success() {
        return (Outcome::Done, Some(body));
    }
    let code = body["error"]["code"].as_str().unwrap_or(status.as_str()).to_owned();
    let message = body["error"]["message"].as_str().unwrap_or_default().to_owned();
    let reason = Reason::new(code, message);
    let again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    match status.is_client_error() && !again {
        true => (Outcome::Refused(reason), None),
        false => (Outcome::Unknown(reason), None),
    }
}
