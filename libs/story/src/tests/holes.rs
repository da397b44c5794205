//! Each hole, while it is under way and when it is one.

use super::*;

/// The holes that are told an hour later; right after it, none is one yet.
fn holes(entries: &[Entry]) -> Vec<&'static str> {
    let early = Story::of("c", entries, &telling(100.0)).holes;
    let early: Vec<_> = early.iter().filter(|hole| hole.kind != "call_unanswered").collect();
    assert!(early.is_empty(), "{early:?}");
    story(entries).holes.iter().map(|hole| hole.kind).collect()
}

fn message(event: &str, service: &str, at: f64, more: Value) -> Entry {
    let mut attributes = object(json!({
        "messaging.system": "q", "messaging.destination.name": "d", "messaging.message.id": "m",
    }));
    attributes.extend(object(more));
    log(service, at, event, Value::Object(attributes))
}

#[test]
fn messages_that_go_nowhere_or_come_from_nowhere() {
    let published = |more: Value| message("message.published", "orders", 0.0, more);
    assert_eq!(holes(&[published(json!({}))]), ["message_unconsumed"]);
    assert!(holes(&[published(json!({"message.consumers_expected": 0}))]).is_empty());
    let processed = message("message.processed", "mail", 5.0, json!({}));
    assert!(holes(&[published(json!({})), processed.clone()]).is_empty());
    let two = published(json!({"message.consumers_expected": 2}));
    assert_eq!(holes(&[two, processed.clone()]), ["message_unconsumed"]);
    assert_eq!(holes(&[processed]), ["message_unpublished"]);
    let received = message("message.received", "mail", 5.0, json!({}));
    assert_eq!(holes(&[published(json!({})), received]), ["message_unprocessed"]);
    let row = json!({
        "db.system.name": "sqlite", "db.collection.name": "outbox", "db.operation.name": "INSERT",
        "db.row.key": "1", "messaging.message.id": "m",
    });
    assert_eq!(holes(&[log("orders", 0.0, "db.row.changed", row)]), ["outbox_unpublished"]);
}

#[test]
fn sagas_commands_events_and_retries_that_do_not_end() {
    let step =
        json!({"saga.name": "n", "saga.id": "s", "saga.step.name": "pay", "saga.step.number": 1});
    assert_eq!(
        holes(&[log("orders", 0.0, "saga.step.started", step.clone())]),
        ["saga_unfinished", "step_unfinished"]
    );
    let undone = [
        log("orders", 0.0, "saga.step.completed", step.clone()),
        log("orders", 1.0, "saga.compensation.started", step),
    ];
    assert_eq!(holes(&undone), ["saga_unfinished", "step_unfinished", "half_compensated"]);
    let command = json!({"cqrs.command.name": "Pay", "cqrs.command.id": "k"});
    assert_eq!(holes(&[log("a", 0.0, "cqrs.command.received", command)]), ["command_unanswered"]);
    let event = json!({
        "cqrs.event.name": "Paid", "cqrs.event.id": "e", "cqrs.aggregate.type": "order",
        "cqrs.aggregate.id": "1", "cqrs.event.projections": "list, sales", "cqrs.projection.name": "list",
    });
    let stored = [
        log("a", 0.0, "cqrs.event.stored", event.clone()),
        log("b", 1.0, "cqrs.event.projected", event),
    ];
    assert_eq!(holes(&stored), ["event_unprojected"]);
    let retry = json!({"retry.operation": "pay", "attempt": 1, "error.type": "timeout"});
    let scheduled = log("a", 0.0, "retry.scheduled", retry);
    assert_eq!(holes(std::slice::from_ref(&scheduled)), ["retry_unfinished"]);
    assert!(holes(&[scheduled, log("a", 5.0, "", json!({}))]).is_empty());
}

#[test]
fn calls_without_an_answer_and_parents_that_are_not_there() {
    let call = |more: Value| {
        let mut attributes = object(
            json!({"http.request.method": "POST", "server.address": "payments", "error.type": "timeout"}),
        );
        attributes.extend(object(more));
        vec![span(1, 0, "orders", "client", 0.0, 10.0, Value::Object(attributes))]
    };
    assert_eq!(holes(&call(json!({}))), ["call_unanswered"]);
    assert!(holes(&call(json!({"http.response.status_code": 503}))).is_empty());
    assert_eq!(holes(&[span(2, 9, "a", "internal", 0.0, 1.0, json!({}))]), ["parent_missing"]);
}

#[test]
fn nothing_is_missing_that_can_still_come() {
    let published = [message("message.published", "orders", 0.0, json!({}))];
    let mut telling = later();
    // An agent has not shipped since.
    telling.watermark = Some(BEGIN - 1);
    assert!(Story::of("c", &published, &telling).holes.is_empty());
    telling.watermark = Some(BEGIN + 1);
    assert_eq!(Story::of("c", &published, &telling).holes.len(), 1);
}

#[test]
fn an_event_without_what_it_must_have_is_a_plain_line() {
    for attributes in [
        json!({"saga.name": "n"}),
        json!({"saga.name": "n", "saga.id": "s", "saga.step.name": "x", "saga.step.number": "one"}),
        json!({"saga.name": 7, "saga.id": "s", "saga.step.name": "x", "saga.step.number": 1}),
        json!({"saga.name": "n", "saga.id": "", "saga.step.name": "x", "saga.step.number": 1}),
    ] {
        let story = story(&[log("a", 0.0, "saga.step.started", attributes)]);
        assert!(story.sagas.is_empty() && story.holes.is_empty());
        assert_eq!((story.outcome.state, story.rows.len()), ("unknown", 1));
    }
}
