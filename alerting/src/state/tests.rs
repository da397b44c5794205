//! The state through restarts, damage, and clocks that are set back.

use std::collections::BTreeMap;

use super::*;

fn incident(name: &str, fired_at: i64) -> Incident {
    let labels = BTreeMap::from([("alertname".to_owned(), name.to_owned())]);
    Incident {
        fingerprint: crate::incident::fingerprint(&labels),
        rule: "g/r/0".to_owned(),
        labels,
        annotations: BTreeMap::new(),
        values: BTreeMap::new(),
        correlations: Vec::new(),
        fired_at,
        resolved_at: None,
        records: Vec::new(),
    }
}

#[test]
fn a_receiver_is_told_of_what_goes_on_and_of_what_ended_since_it_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(&folder.path().join("alerting.db")).unwrap();
    let state = RuleState::default();
    let (before, after, open) = (incident("a", 1), incident("b", 2), incident("c", 3));
    let begun = [before.clone(), after.clone(), open];
    book.judged("g/r/0", 3, &state, &begun, &[(before.fingerprint, 10)]).unwrap();
    book.know_receivers(&["ops"]).unwrap();
    book.judged("g/r/0", 30, &state, &[], &[(after.fingerprint, 30)]).unwrap();
    book.know_receivers(&["ops"]).unwrap();
    let told = book.tellable("ops").unwrap();
    let names: Vec<&str> = told.iter().map(|it| it.incident.labels["alertname"].as_str()).collect();
    assert_eq!(names, ["b", "c"]);
    let group = GroupState { key: "k".to_owned(), opened_at: 40, told_at: None };
    book.tell("ops", &group, &told.iter().collect::<Vec<_>>(), false, b"{}", 50).unwrap();
    let told = book.tellable("ops").unwrap();
    assert!(told.len() == 1 && told[0].told == Some(false), "{told:?}");
    // A rule that is gone has no alerts.
    book.keep_rules(&[], 60).unwrap();
    assert_eq!(book.tellable("ops").unwrap()[0].incident.resolved_at, Some(60));
    assert_eq!(book.rule("g/r/0").unwrap(), None);
    // Kept as long as it was not told, and then for as long as all are.
    book.tidy(&["ops"], 70 + KEEP).unwrap();
    assert_eq!(book.tellable("ops").unwrap().len(), 1);
    // What ended before somebody was known is not kept for them.
    book.tidy(&[], 70 + KEEP).unwrap();
    assert_eq!(book.incidents(10).unwrap(), []);
}

#[test]
fn what_ends_before_a_receiver_is_known_by_a_clock_that_was_set_back_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(&folder.path().join("alerting.db")).unwrap();
    book.know_receivers(&["ops"]).unwrap();
    let (early, state) = (incident("a", -3_600), RuleState::default());
    book.judged("g/r/0", -3_600, &state, std::slice::from_ref(&early), &[]).unwrap();
    book.judged("g/r/0", -3_500, &state, &[], &[(early.fingerprint, -3_500)]).unwrap();
    let told = book.tellable("ops").unwrap();
    assert_eq!(told[0].incident.resolved_at, Some(-3_500));
    // A receiver that comes later is not told of it.
    book.know_receivers(&["ops", "late"]).unwrap();
    assert!(book.tellable("late").unwrap().is_empty());
    assert_eq!(book.tellable("ops").unwrap().len(), 1);
}

#[test]
fn notifications_of_a_group_come_in_their_order_and_groups_do_not_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerting.db");
    let book = Book::open(&path).unwrap();
    for (key, now) in [("a", 1), ("a", 2), ("b", 3)] {
        let group = GroupState { key: key.to_owned(), opened_at: 0, told_at: None };
        book.tell("ops", &group, &[], true, key.as_bytes(), now).unwrap();
    }
    let waiting = |book: &Book| {
        let all = book.waiting("ops").unwrap();
        all.into_iter().map(|one| (one.group_key, one.made_at, one.id)).collect::<Vec<_>>()
    };
    let first = waiting(&book);
    assert_eq!(first[..], [("a".to_owned(), 1, 1), ("b".to_owned(), 3, 3)]);
    book.tried(1, "no", 100).unwrap();
    let [other, first] = &book.waiting("ops").unwrap()[..] else { panic!() };
    book.ended(other, None, 5).unwrap();
    let key = first.idempotency_key.clone();
    drop(book);
    let book = Book::open(&path).unwrap();
    let again = &book.waiting("ops").unwrap()[0];
    assert_eq!((&again.idempotency_key, again.tries, again.next_at), (&key, 1, 100));
    book.know_receivers(&["ops"]).unwrap();
    book.ended(again, Some("refused"), 6).unwrap();
    let about = book.tellable("ops").unwrap();
    assert_eq!(about[0].incident.annotations["summary"], "ops was not told of a: refused");
    assert_eq!(waiting(&book)[..], [("a".to_owned(), 2, 2)]);
    assert_eq!(book.waiting_count().unwrap(), 1);
    // It is one alert, also after a restart, until something is delivered.
    book.keep_rules(&[], 7).unwrap();
    let last = &book.waiting("ops").unwrap()[0];
    book.ended(last, Some("refused"), 8).unwrap();
    assert_eq!(book.incidents(10).unwrap().len(), 1);
    book.ended(last, None, 9).unwrap();
    assert_eq!(book.incidents(10).unwrap()[0].resolved_at, Some(9));
}

#[test]
fn an_incident_of_the_same_moment_after_a_clock_was_set_back_is_told_again() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(&folder.path().join("alerting.db")).unwrap();
    book.know_receivers(&["ops"]).unwrap();
    let (state, one) = (RuleState::default(), incident("a", 10));
    for _ in 0..2 {
        book.judged("g/r/0", 10, &state, std::slice::from_ref(&one), &[]).unwrap();
        let told = book.tellable("ops").unwrap();
        assert_eq!((told.len(), told[0].told), (1, None));
        book.mark_told("ops", &[(told[0].id, true)]).unwrap();
        book.judged("g/r/0", 20, &state, &[], &[(one.fingerprint.clone(), 20)]).unwrap();
    }
}

#[test]
fn a_damaged_state_is_put_aside_and_a_newer_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerting.db");
    std::fs::write(&path, [7; 4_096]).unwrap();
    drop(Book::open(&path).unwrap());
    assert_eq!(std::fs::read(path.with_extension("db.damaged")).unwrap(), [7; 4_096]);
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA user_version = 2").unwrap();
    drop(connection);
    assert!(matches!(Book::open(&path), Err(StateError::Newer(2))));
}
