//! Each outcome, by the events that make it.

use super::*;

fn step(number: i64, more: Value) -> Value {
    let mut attributes = object(json!({
        "saga.name": "place-order", "saga.id": "s", "saga.step.name": format!("step-{number}"),
        "saga.step.number": number,
    }));
    attributes.extend(object(more));
    Value::Object(attributes)
}

fn instance(more: Value) -> Value {
    let mut attributes = object(json!({"saga.name": "place-order", "saga.id": "s"}));
    attributes.extend(object(more));
    Value::Object(attributes)
}

/// A saga whose second step fails, and what follows it.
fn failing(rest: &[(&str, Value)]) -> Vec<Entry> {
    let mut events = vec![
        ("saga.started", instance(json!({}))),
        ("saga.step.started", step(1, json!({}))),
        ("saga.step.completed", step(1, json!({}))),
        ("saga.step.started", step(2, json!({}))),
        ("saga.step.failed", step(2, json!({"error.type": "card_declined", "severity": 13}))),
    ];
    events.extend(rest.iter().cloned());
    let events = events.into_iter().enumerate();
    events.map(|(n, (event, more))| log("orders", n as f64 * 10.0, event, more)).collect()
}

fn outcome(entries: &[Entry]) -> (&'static str, String) {
    let outcome = story(entries).outcome;
    (outcome.state, outcome.reason)
}

#[test]
fn a_saga_that_completed_is_completed_and_its_steps_are_told() {
    let entries: Vec<Entry> = [
        ("saga.started", instance(json!({}))),
        ("saga.step.started", step(1, json!({}))),
        ("saga.step.failed", step(1, json!({"error.type": "timeout", "retry.delay_ms": 5}))),
        ("saga.step.started", step(1, json!({"attempt": 2}))),
        ("saga.step.completed", step(1, json!({"attempt": 2}))),
        ("saga.completed", instance(json!({}))),
    ]
    .into_iter()
    .enumerate()
    .map(|(n, (event, more))| log("orders", n as f64, event, more))
    .collect();
    let story = story(&entries);
    assert_eq!(story.outcome.state, "completed");
    assert_eq!(story.sagas[0].state, "completed");
    let one = &story.sagas[0].steps[0];
    assert_eq!((one.state, one.attempts, one.error.as_deref()), ("done", 2, Some("timeout")));
    assert!(story.holes.is_empty());
}

#[test]
fn a_saga_that_was_undone_is_compensated_with_its_cause() {
    let entries = failing(&[
        ("saga.compensation.started", step(1, json!({}))),
        ("saga.compensation.completed", step(1, json!({}))),
        ("saga.compensated", instance(json!({}))),
    ]);
    assert_eq!(
        outcome(&entries),
        ("compensated", "saga place-order s was undone: card_declined".to_owned())
    );
    let story = story(&entries);
    let states: Vec<_> = story.sagas[0].steps.iter().map(|step| step.state).collect();
    assert_eq!((story.sagas[0].state, states), ("compensated", vec!["undone", "failed"]));
    assert_eq!(story.first_error.unwrap().message, "saga.step.failed of orders");
}

#[test]
fn a_saga_that_failed_or_could_not_be_undone_is_failed() {
    let failed = failing(&[("saga.failed", instance(json!({"error.type": "manual"})))]);
    assert_eq!(outcome(&failed), ("failed", "saga place-order s failed: manual".to_owned()));
    let not_undone = failing(&[
        ("saga.compensation.started", step(1, json!({}))),
        ("saga.compensation.failed", step(1, json!({"error.type": "gone"}))),
    ]);
    assert_eq!(
        outcome(&not_undone),
        ("failed", "undoing step-1 of saga place-order s failed: gone".to_owned())
    );
    assert!(story(&not_undone).holes.iter().any(|hole| hole.kind == "half_compensated"));
}

#[test]
fn a_saga_without_an_end_runs_and_is_stuck_when_it_was_silent_for_its_time() {
    let entries = failing(&[]);
    assert_eq!(Story::of("c", &entries, &telling(1_000.0)).outcome.state, "running");
    let stuck = story(&entries).outcome;
    assert_eq!(
        (stuck.state, &*stuck.reason),
        ("stuck", "saga place-order s has been silent for 3600 s")
    );
    // It names a time of its own.
    let mut patient = entries.clone();
    patient[0].attributes.insert("saga.timeout_ms".into(), json!(7_200_000));
    assert_eq!(story(&patient).outcome.state, "running");
}

#[test]
fn without_a_saga_the_entry_decides() {
    let server = |more: Value| vec![span(1, 0, "gateway", "server", 0.0, 10.0, more)];
    assert_eq!(
        outcome(&server(json!({}))),
        ("completed", "gateway gateway 1 was answered".to_owned())
    );
    let refused = json!({"http.request.method": "POST", "http.response.status_code": 402});
    assert_eq!(
        outcome(&server(refused)),
        ("failed", "gateway gateway 1: it answered 402".to_owned())
    );
    assert_eq!(outcome(&server(json!({"status": "error"}))).0, "failed");
    // A parent outside of the story makes it the entry too.
    let below = vec![span(2, 77, "gateway", "server", 0.0, 10.0, json!({}))];
    assert_eq!(outcome(&below).0, "completed");
    let records = [
        log(
            "gateway",
            0.0,
            "http.server.request.started",
            json!({"http.request.method": "GET", "url.path": "/", "span_id": "0000000000000001"}),
        ),
        log(
            "gateway",
            9.0,
            "http.server.request.completed",
            json!({"http.request.method": "GET", "url.path": "/", "http.response.status_code": 500, "span_id": "0000000000000001"}),
        ),
    ];
    assert_eq!(outcome(&records).0, "failed");
    assert_eq!(outcome(&records[..1]).0, "stuck");
    assert_eq!(outcome(&[log("a", 0.0, "", json!({}))]).0, "unknown");
    assert_eq!(outcome(&[]).0, "unknown");
}

#[test]
fn a_message_that_was_put_aside_fails_it_unless_a_saga_ended_after_it() {
    let message = |more: Value| {
        let mut attributes = object(json!({
            "messaging.system": "q", "messaging.destination.name": "d", "messaging.message.id": "m",
        }));
        attributes.extend(object(more));
        Value::Object(attributes)
    };
    let mut entries = vec![
        log("orders", 0.0, "message.published", message(json!({"message.type": "Paid"}))),
        log("mail", 1.0, "message.received", message(json!({}))),
        log("mail", 2.0, "message.dead_lettered", message(json!({"error.type": "malformed"}))),
    ];
    assert_eq!(outcome(&entries), ("failed", "mail Paid: its message was put aside".to_owned()));
    // Where a request came in that was answered, the message says it.
    let mut answered = entries.clone();
    answered.push(span(1, 0, "web", "server", 0.0, 9.0, json!({})));
    assert_eq!(outcome(&answered), ("failed", "Paid m was put aside by mail".to_owned()));
    entries.push(log("orders", 5.0, "saga.completed", instance(json!({}))));
    assert_eq!(outcome(&entries).0, "completed");
}

#[test]
fn spans_speak_for_steps_and_messages_and_records_decide_how_they_ended() {
    let of_step = step(1, json!({}));
    let producer = json!({"messaging.system": "q", "messaging.operation.type": "send", "messaging.destination.name": "d"});
    let consumer = json!({"messaging.system": "q", "messaging.operation.type": "process"});
    let entries = [
        span(1, 0, "orders", "internal", 0.0, 50.0, of_step.clone()),
        log("orders", 40.0, "saga.step.failed", step(1, json!({"error.type": "x"}))),
        log("orders", 60.0, "saga.failed", instance(json!({"error.type": "x"}))),
        span(2, 1, "orders", "producer", 10.0, 1.0, producer),
        span(3, 2, "mail", "consumer", 20.0, 5.0, consumer),
    ];
    let story = story(&entries);
    assert_eq!(story.sagas[0].steps[0].state, "failed");
    assert_eq!(story.messages.len(), 1);
    assert_eq!(story.messages[0].deliveries, [("mail".to_owned(), "processed", 1)]);
}

#[test]
fn an_unusually_long_silence_is_told() {
    let mut times: Vec<f64> = (0..10).map(f64::from).collect();
    times.extend((0..10).map(|n| 5_000.0 + f64::from(n)));
    let entries: Vec<Entry> = times.iter().map(|at| log("a", *at, "", json!({}))).collect();
    let story = story(&entries);
    assert_eq!(story.gaps.len(), 1);
    assert!((story.gaps[0].gap_ms - 4_991.0).abs() < 0.001);
    assert_eq!(story.rows.iter().filter(|row| row.gap_ms.is_some()).count(), 1);
}

#[test]
fn the_first_error_is_the_one_that_showed_first_not_the_span_that_began_first() {
    let failed = json!({"status": "error"});
    let entries = [
        span(1, 0, "gateway", "server", 0.0, 100.0, failed.clone()),
        span(2, 1, "payments", "server", 10.0, 50.0, failed),
        log("payments", 40.0, "", json!({"span_id": "0000000000000002", "severity": 17})),
    ];
    let first = story(&entries).first_error.unwrap();
    assert_eq!((first.at_ms, &*first.message), (40.0, " of payments"));
}

#[test]
fn the_end_of_a_saga_ends_its_open_steps_and_numbers_may_be_texts() {
    let mut open = failing(&[]);
    open.truncate(4);
    open[3].attributes.insert("saga.step.number".into(), json!("2"));
    open.push(log("orders", 90.0, "saga.failed", instance(json!({"error.type": "gone"}))));
    let story = story(&open);
    let last = &story.sagas[0].steps[1];
    assert_eq!((last.number, last.state, last.error.as_deref()), (2, "failed", Some("gone")));
    assert!(story.holes.is_empty(), "{:?}", story.holes);
}
