//! Files of rules and what is wrong with them; alerts over time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::SECOND;
use crate::find::Found;
use crate::judge::{Judge, State};
use crate::read::{QueryFault, read};
use crate::rules::{Kind, Rule};

/// The language's own faults; stages are not known here.
fn check(query: &str) -> Vec<QueryFault> {
    match ql::parse(query) {
        Ok(_) => Vec::new(),
        Err(faults) => faults
            .0
            .iter()
            .map(|fault| (fault.span.start..fault.span.end, fault.message.clone()))
            .collect(),
    }
}

const RULES: &str = r#"
groups:
  - name: shop
    interval: 15s
    rules:
      - alert: CardsDeclined
        query: 'service:payments level:error | stats count() as n by service'
        window: 5m
        for: 1m
        keep_firing_for: 2m
        labels: {severity: page, team: "7"}
        annotations:
          summary: "{{ labels.service }} declines"
      - alert: PaymentsSilent
        absent: {query: 'service:payments', by: [service, host], forget_after: 1h}
      - alert: TooManyErrors
        ratio: {bad: level:error, total: '*', by: service, above: 5%, at_least: 100}
      - alert: PaymentMissing
        expect: {after: '"payment requested"', then: '"payment authorised"', within: 30s}
"#;

#[test]
fn rules_of_every_kind_are_read() {
    let rules = read(RULES, &check).unwrap();
    let group = &rules.groups[0];
    assert_eq!((&*group.name, group.interval), ("shop", Duration::from_secs(15)));
    let kinds: Vec<&str> = group.rules.iter().map(|rule| rule.kind.name()).collect();
    assert_eq!(kinds, ["query", "absent", "ratio", "expect"]);
    let first = &group.rules[0];
    assert_eq!(
        (first.hold, first.keep_firing_for),
        (Duration::from_secs(60), Duration::from_secs(120))
    );
    assert_eq!(first.labels["team"], "7");
    assert!(
        matches!(&group.rules[2].kind, Kind::Ratio { above, at_least: 100, .. } if (*above - 0.05).abs() < 1e-9)
    );
    assert_eq!(group.rules[3].window, Duration::from_secs(300));
}

#[test]
fn all_faults_of_a_file_are_told_at_once_where_they_are() {
    let faulty = r#"
groups:
  - name: shop
    intervall: 15s
    rules:
      - alert: A
        query: 'level:eror'
        window: soon
        labels: {a.b: c}
      - alert: B
        absent: {query: '* | head', by: [service]}
        query: x
      - alert: C
        expect:
          after: |
            service:orders
            (unclosed
          then: b
      - summary: nothing
      - alert: D
        ratio: {bad: a, total: b, above: 7}
  - name: shop
"#;
    insta::assert_snapshot!(read(faulty, &check).unwrap_err().to_string());
}

#[test]
fn what_is_no_yaml_or_no_mapping_is_said() {
    insta::assert_snapshot!(read("groups: [", &check).unwrap_err().to_string());
    insta::assert_snapshot!(read("- a", &check).unwrap_err().to_string());
    assert!(read("", &check).is_err() && read("groups:", &check).is_ok());
    assert_eq!(read(&"#".repeat(2 << 20), &check).unwrap_err().0.len(), 1);
}

#[test]
fn mutated_files_of_rules_are_read_or_refused() {
    const TOKENS: [&[u8]; 14] = [
        b"groups:",
        b"- alert: A",
        b"query: x",
        b"absent: {query: x}",
        b"ratio: {",
        b"expect:",
        b"within: 5s",
        b"|\n",
        b"for: 1m",
        b"labels: {a: b}",
        b"  ",
        b"\n",
        b"'",
        b"&a *a",
    ];
    mutation::run("rules", &[RULES.as_bytes().to_vec()], &TOKENS, |input| {
        let text = String::from_utf8_lossy(input);
        match read(&text, &check) {
            Ok(_) => true,
            Err(faults) => {
                assert!(!faults.0.is_empty() && !faults.to_string().is_empty());
                false
            }
        }
    });
}

fn rule(hold: u64, keep: u64) -> Rule {
    Rule {
        alert: "A".into(),
        kind: Kind::Query("x".into()),
        window: Duration::from_secs(60),
        hold: Duration::from_secs(hold),
        keep_firing_for: Duration::from_secs(keep),
        labels: BTreeMap::from([("severity".into(), "page".into())]),
        annotations: BTreeMap::new(),
    }
}

/// What happens over moments of 10 s, at each of which these services are found.
fn told(rule: &Rule, moments: &[&[&str]]) -> Vec<String> {
    let mut judge = Judge::default();
    let mut told = Vec::new();
    for (moment, services) in moments.iter().enumerate() {
        let at = moment as i64 * 10 * SECOND;
        let found = services.iter().map(|service| Found {
            labels: BTreeMap::from([("service".to_owned(), (*service).to_owned())]),
            ..Found::default()
        });
        for change in judge.step(rule, at, found.collect()) {
            let state = if change.alert.state == State::Firing { "fires" } else { "is over" };
            assert_eq!(change.alert.labels["severity"], "page");
            told.push(format!(
                "{} {state} at {}",
                change.alert.labels["service"],
                change.at / SECOND
            ));
        }
    }
    told
}

#[test]
fn an_alert_fires_once_it_was_so_for_long_enough_and_is_over_once() {
    let always: &[&str] = &["a"];
    let never: &[&str] = &[];
    assert_eq!(
        told(&rule(0, 0), &[always, always, never, never]),
        ["a fires at 0", "a is over at 20"]
    );
    assert_eq!(
        told(&rule(20, 0), &[always, always, always, never]),
        ["a fires at 20", "a is over at 30"]
    );
    // What was not so in between begins anew.
    assert_eq!(told(&rule(20, 0), &[always, always, never, always, always]), Vec::<String>::new());
    // It is kept over gaps that are short enough.
    assert_eq!(
        told(&rule(0, 20), &[always, never, always, never, never, never]),
        ["a fires at 0", "a is over at 40"]
    );
}

#[test]
fn alerts_of_one_rule_are_told_apart_by_what_was_found() {
    assert_eq!(
        told(&rule(0, 0), &[&["a"], &["a", "b"], &["b"], &[]]),
        ["a fires at 0", "b fires at 10", "a is over at 20", "b is over at 30"]
    );
}
