//! Trees, clocks and the order of causes.

use super::*;

#[test]
fn a_tree_has_parents_before_children_and_records_inside_their_spans() {
    let entries = [
        span(3, 2, "payments", "server", 12.0, 20.0, json!({})),
        span(1, 0, "gateway", "server", 0.0, 100.0, json!({})),
        span(2, 1, "gateway", "client", 10.0, 40.0, json!({"status": "error"})),
        log("payments", 15.0, "", json!({"span_id": "0000000000000003"})),
        log("gateway", 5.0, "", json!({})),
    ];
    let trace = trace(&entries);
    assert_eq!(
        drawn(&trace),
        [
            "gateway 1 @0",
            "  gateway 2 @10",
            "    payments 3 @12",
            "      -  of payments",
            "-  of gateway"
        ]
    );
    assert_eq!((trace.spans, trace.records, trace.errors, trace.holes), (3, 2, 1, 0));
    assert_eq!(trace.services, ["gateway", "payments"]);
    assert!((trace.duration_ms - 100.0).abs() < 1e-9 && trace.clocks.is_empty());
}

#[test]
fn what_senders_get_wrong_is_repaired_and_said() {
    // A parent that is not there, one's own parent, a circle, an id that is there twice, a negative duration.
    let entries = [
        span(5, 99, "a", "internal", 0.0, 1.0, json!({})),
        span(6, 99, "a", "internal", 1.0, 1.0, json!({})),
        span(7, 7, "a", "internal", 2.0, 1.0, json!({})),
        span(8, 9, "a", "internal", 3.0, 1.0, json!({})),
        span(9, 8, "a", "internal", 4.0, 1.0, json!({})),
        span(10, 0, "a", "internal", 5.0, 1.0, json!({})),
        span(10, 0, "a", "internal", 6.0, 1.0, json!({})),
        span(11, 10, "a", "internal", 7.0, 1.0, json!({"duration": -5_000_000})),
        span(0, 0, "a", "internal", 8.0, 1.0, json!({})),
    ];
    let trace = trace(&entries);
    assert_eq!(
        drawn(&trace),
        [
            "? 0000000000000063",
            "  a 5 @0",
            "  a 6 @1",
            "a 7 @2 (it names itself as its parent)",
            "a 8 @3 (its parents go in a circle)",
            "  a 9 @4",
            "a 10 @5",
            "  a 11 @7 (its end is before its beginning)",
            "a 10 @6 (another span has the same id)",
            "a 0 @8",
        ]
    );
    assert_eq!(trace.holes, 1);
}

#[test]
fn a_server_that_shares_its_id_with_its_client_is_its_child() {
    let entries = [
        span(1, 0, "gateway", "client", 0.0, 10.0, json!({})),
        span(1, 0, "orders", "server", 2.0, 5.0, json!({})),
        span(2, 1, "orders", "internal", 3.0, 1.0, json!({})),
    ];
    assert_eq!(drawn(&trace(&entries)), ["gateway 1 @0", "  orders 1 @2", "    orders 2 @3"]);
}

#[test]
fn clocks_that_differ_by_seconds_are_moved_so_that_calls_lie_within_their_callers() {
    for skew in [-3_000.0, 3_000.0] {
        let entries = [
            span(1, 0, "gateway", "server", 0.0, 100.0, json!({})),
            span(2, 1, "gateway", "client", 10.0, 80.0, json!({})),
            span(3, 2, "orders", "server", 20.0 + skew, 60.0, json!({})),
            log("orders", 25.0 + skew, "", json!({"span_id": "0000000000000003"})),
            // Two hops away, by the same clock as the caller's caller.
            span(4, 3, "mail", "server", 40.0, 10.0, json!({})),
        ];
        let trace = trace(&entries);
        let names: Vec<String> =
            drawn(&trace).iter().map(|row| row.split('@').next().unwrap().to_owned()).collect();
        assert_eq!(
            names,
            ["gateway 1 ", "  gateway 2 ", "    orders 3 ", "      -  of orders", "      mail 4 "],
            "{skew}"
        );
        let moved = trace.clocks.iter().find(|clock| clock.clock == "host-of-orders").unwrap();
        // As little as possible: to the beginning, or the end, of what called it.
        let expected = if skew < 0.0 { 2_990.0 } else { -2_990.0 };
        assert!((moved.moved_ms - expected).abs() < 0.001, "{skew}: {moved:?}");
        assert!(trace.duration_ms < 101.0, "{skew}: {}", trace.duration_ms);
        let story = story(&entries);
        let order = messages(&story);
        assert_eq!(order[..3], ["gateway 1", "gateway 2", "orders 3"], "{skew}");
    }
}

#[test]
fn a_message_is_received_after_it_was_published_whatever_the_clocks_say() {
    let id = json!({"messaging.system": "q", "messaging.destination.name": "d", "messaging.message.id": "m"});
    let entries = [
        log("mail", 0.0, "message.received", id.clone()),
        log("mail", 5.0, "message.processed", id.clone()),
        log("orders", 3_000.0, "message.published", id),
    ];
    let story = story(&entries);
    assert_eq!(
        messages(&story),
        ["message.published of orders", "message.received of mail", "message.processed of mail"]
    );
    assert_eq!(story.clocks.len(), 1);
    assert_eq!(story.outcome.state, "completed");
    assert_eq!(story.messages[0].deliveries, [("mail".to_owned(), "processed", 1)]);
}

#[test]
fn a_consumer_may_have_a_message_before_its_publisher_says_that_it_has_published() {
    let id = json!({"messaging.system": "q", "messaging.destination.name": "d", "messaging.message.id": "m"});
    let mut publish = id.clone();
    publish["messaging.operation.type"] = json!("send");
    for tries in [1, 2] {
        let mut entries: Vec<_> = (1..=tries)
            .map(|number| {
                let at = 10.0 * number as f64;
                span(number, 0, "orders", "producer", at, 8.0, publish.clone())
            })
            .collect();
        // The answer to the first try was lost.
        entries.push(log("orders", 10.0 * tries as f64 + 8.0, "message.published", id.clone()));
        entries.push(log("mail", 12.0, "message.received", id.clone()));
        entries.push(log("mail", 13.0, "message.processed", id.clone()));
        let story = story(&entries);
        assert_eq!(story.clocks, [], "{tries}");
        assert_eq!(story.outcome.state, "completed");
        let place = |message: &str| messages(&story).iter().position(|one| *one == message);
        assert!(place("orders 1") < place("message.received of mail"), "{tries}");
    }
}

#[test]
fn links_and_causation_ids_are_arrows_too() {
    let links = json!([{"trace_id": TRACE, "span_id": "0000000000000001"}]).to_string();
    let entries = [
        span(1, 0, "orders", "producer", 3_000.0, 1.0, json!({})),
        span(2, 0, "mail", "consumer", 0.0, 9_000.0, json!({"links": links})),
        log(
            "web",
            2_000.0,
            "cqrs.command.received",
            json!({"cqrs.command.name": "Pay", "cqrs.command.id": "k"}),
        ),
        log("read", 1_000.0, "", json!({"causation_id": "k"})),
    ];
    let story = story(&entries);
    let place = |message: &str| messages(&story).iter().position(|one| *one == message).unwrap();
    assert!(place("orders 1") < place("mail 2"));
    assert!(place("cqrs.command.received of web") < place(" of read"));
}

#[test]
fn causes_that_go_in_a_circle_are_told_by_their_times() {
    let links = |id: u64| json!({"links": json!([{"trace_id": TRACE, "span_id": format!("{id:016x}")}]).to_string()});
    let entries = [
        span(1, 0, "a", "internal", 1.0, 1.0, links(2)),
        span(2, 0, "a", "internal", 0.0, 1.0, links(1)),
        log("b", 0.5, "", json!({})),
    ];
    assert_eq!(messages(&story(&entries)).len(), 3);
}

#[test]
fn the_middle_of_what_is_long_is_left_out_with_a_count_and_the_first_error_stays() {
    let mut entries: Vec<Entry> = (0..500).map(|n| log("a", f64::from(n), "", json!({}))).collect();
    entries[250].severity = record::Severity::from_number(17).unwrap();
    let story = Story::of("c", &entries, &Telling { rows_max: 20, ..later() });
    assert_eq!((story.rows.len(), story.elided, story.records), (23, 479, 500));
    assert_eq!(story.rows.iter().map(|row| row.elided).sum::<usize>(), 479);
    assert!(story.rows[11].first_error);
    let spans: Vec<Entry> = (1..=500)
        .map(|n| {
            let status = if n == 250 { "error" } else { "ok" };
            span(n, u64::from(n > 1), "a", "internal", n as f64, 1.0, json!({"status": status}))
        })
        .collect();
    let trace = Trace::of(TraceId::from_hex(TRACE).unwrap(), &spans, 100);
    assert!(trace.rows.len() <= 100 && trace.spans == 500 && trace.errors == 1);
    let told: usize = trace
        .rows
        .iter()
        .map(|row| if let TraceRow::Elided { rows, .. } = row { *rows } else { 1 })
        .sum();
    assert_eq!(told, 500);
    assert!(trace.rows.iter().any(|row| matches!(row, TraceRow::Span { error: true, .. })));
    // Also where there is room for nothing.
    let story = Story::of("c", &entries, &Telling { rows_max: 0, ..later() });
    assert_eq!(story.rows.iter().map(|row| row.elided).sum::<usize>(), 499);
    let trace = Trace::of(TraceId::from_hex(TRACE).unwrap(), &spans, 0);
    assert!(matches!(trace.rows[..], [TraceRow::Elided { rows: 500, errors: 1 }]));
}

#[test]
fn ten_thousand_spans_and_fifty_thousand_records_are_told_in_a_moment() {
    let spans: Vec<Entry> =
        (1..=10_000).map(|n| span(n, n / 2, "a", "internal", n as f64, 1.0, json!({}))).collect();
    let begun = std::time::Instant::now();
    assert_eq!(trace(&spans).spans, 10_000);
    let deep: Vec<Entry> =
        (1..=10_000).map(|n| span(n, n - 1, "a", "internal", n as f64, 1.0, json!({}))).collect();
    assert_eq!(trace(&deep).spans, 10_000);
    // All of one id, and each a child of it.
    let same: Vec<Entry> =
        (1..=30_000).map(|n| span(7, 7 + n % 2, "a", "server", n as f64, 1.0, json!({}))).collect();
    assert_eq!(trace(&same).spans, 30_000);
    let retries: Vec<Entry> = (0..30_000)
        .map(|n| {
            let retry =
                json!({"retry.operation": format!("o{n}"), "attempt": 1, "error.type": "x"});
            log("a", f64::from(n), "retry.scheduled", retry)
        })
        .collect();
    assert_eq!(story(&retries).holes.len(), 1);
    let records: Vec<Entry> = (0..50_000).map(|n| log("a", f64::from(n), "", json!({}))).collect();
    assert_eq!(story(&records).records, 50_000);
    // Ten times what a release build takes on a slow machine.
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

proptest::proptest! {
    #[test]
    fn no_spans_and_records_make_it_panic_and_each_is_told_once(
        spans in proptest::collection::vec((0_u64..8, 0_u64..8, 0_usize..3, 0_usize..6, -5_000_i32..5_000, -100_i32..5_000), 0..40),
        events in proptest::collection::vec((0_usize..semantics::EVENTS.len(), 0_usize..3, 0_i32..5_000, 0_u8..3), 0..40),
    ) {
        let services = ["a", "b", "c"];
        let kinds = ["internal", "server", "client", "producer", "consumer", ""];
        let mut entries: Vec<Entry> = spans
            .iter()
            .map(|(id, parent, service, kind, at, ms)| {
                let links = json!([{"trace_id": TRACE, "span_id": format!("{parent:016x}")}]).to_string();
                let more = json!({"links": links, "messaging.system": "q", "messaging.operation.type": "send"});
                span(*id, *parent, services[*service], kinds[*kind], f64::from(*at), f64::from(*ms), more)
            })
            .collect();
        entries.extend(events.iter().map(|(event, service, at, id)| {
            let event = &semantics::EVENTS[*event];
            let mut more = Map::new();
            for name in event.required {
                let number = name.ends_with("number") || name.ends_with("status_code") || *name == "attempt";
                more.insert((*name).to_owned(), if number { json!(id) } else { json!(format!("{id}")) });
            }
            log(services[*service], f64::from(*at), event.name, Value::Object(more))
        }));
        for now in [0.0, 2_000.0, 3_600_000.0] {
            let story = Story::of("c", &entries, &telling(now));
            proptest::prop_assert_eq!(story.rows.len(), entries.len());
        }
        let trace = trace(&entries);
        let told = trace.rows.iter().filter(|row| !matches!(row, TraceRow::Hole { .. })).count();
        proptest::prop_assert_eq!(told, entries.len());
    }
}
