//! Alert rules on the real binary: checked, tested, and tried over stored history.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use server::{Home, Server, logq};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../alerting/rules").join(name)
}

#[test]
fn every_shipped_rule_is_fine_and_its_tests_pass() {
    let mut rules = 0;
    for entry in std::fs::read_dir(shipped("")).unwrap() {
        let path = entry.unwrap().path();
        let is_tests = path.file_stem().unwrap().to_str().unwrap().ends_with("-tests");
        let command = if is_tests { "test" } else { "check" };
        let said = logq(&["rules", command, path.to_str().unwrap()]);
        assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
        if !is_tests {
            let text = std::fs::read_to_string(&path).unwrap();
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let tests = std::fs::read_to_string(shipped(&format!("{stem}-tests.yaml"))).unwrap();
            for alert in text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
                assert!(tests.contains(&format!("only: [{alert}]")), "{alert} has no test");
                rules += 1;
            }
        }
    }
    assert!(rules >= 4);
}

#[test]
fn a_file_with_faults_is_shown_with_all_of_them() {
    let home = Home::new();
    let file = home.write("rules.yaml", "groups:\n  - name: a\n    rules:\n      - alert: X\n        query: 'level:error | stts count()'\n        fro: 5m\n");
    let said = logq(&["rules", "check", file.to_str().unwrap()]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    let faults = said.stderr.split_once('\n').unwrap().1;
    insta::assert_snapshot!(faults, @r"
    line 5, column 31: there is no stage `stts`; did you mean `stats`?
    5 |         query: 'level:error | stts count()'
      |                               ^

    line 6, column 9: there is no key `fro` here; did you mean `for`?
    6 |         fro: 5m
      |         ^
    ");
    let gone = logq(&["rules", "check", "/nowhere/rules.yaml"]);
    assert!(gone.code == 2 && gone.stderr.contains("/nowhere/rules.yaml"), "{}", gone.stderr);
}

#[test]
fn a_test_that_does_not_hold_says_what_is_there_instead() {
    let home = Home::new();
    home.write("rules.yaml", "groups: [{name: a, interval: 10s, rules: [{alert: Errors, query: 'level:error | stats count() by service', window: 1m}]}]");
    let tests = home.write(
        "tests.yaml",
        "rules: rules.yaml\ntests:\n- name: wrong\n  records: [{at: 5s, service: a, level: error, message: x}]\n  expect: [{at: 30s, firing: [{service: b}]}]\n",
    );
    let said = logq(&["rules", "test", tests.to_str().unwrap()]);
    assert_eq!(said.code, 1);
    insta::assert_snapshot!(said.stdout, @r#"
    FAILED  wrong
              at 30s: {service="b"} should fire and does not
              at 30s: {alertname="Errors", service="a"} should not fire and does
    0 passed, 1 failed
    "#);
    let bad = home.write(
        "bad.yaml",
        "rules: rules.yaml\ntests:\n- name: x\n  records: [{at: soon}]\n  expect: []\n",
    );
    let said = logq(&["rules", "test", bad.to_str().unwrap()]);
    assert!(said.code == 2 && said.stderr.contains("soon is no length of time"), "{}", said.stderr);
}

/// Three bursts of errors of payments within the last hours, and two errors of orders a minute.
fn history(server: &Server) {
    // A burst lies within a minute, at whose end the rule looks: so what it sees is known.
    let now = jiff::Timestamp::now().as_second() / 60 * 60;
    let mut lines = Vec::new();
    let mut line = |at: i64, service: &str, n: i64| {
        let time = jiff::Timestamp::from_second(at).unwrap().to_string();
        lines.push(json!({"time": time, "service": service, "level": "error", "message": format!("failed {n}")}).to_string());
    };
    for hours in [5, 3, 1] {
        (0..30).for_each(|n| line(now - hours * 3_600 + n, "payments", n));
    }
    (0..6 * 120).for_each(|n| line(now - 6 * 3_600 + n * 30, "orders", n));
    assert_eq!(server.jsonl(lines.join("\n")).status, 200);
}

fn rules(least: u32) -> String {
    format!(
        "groups:\n  - name: shop\n    interval: 1m\n    rules:\n      - alert: Bursts\n        query: 'service:payments level:error | stats count() as n by service | where n >= {least}'\n        window: 5m\n"
    )
}

#[test]
fn history_says_when_a_rule_would_have_fired_and_what_a_change_would_have_made_of_it() {
    let home = Home::new();
    let server = home.start();
    history(&server);
    let old = home.write("old.yaml", rules(10));
    let new = home.write("new.yaml", rules(100));
    let backtest = |file: &Path, more: &[&str]| {
        let mut arguments = vec!["rules", "backtest", file.to_str().unwrap(), "--since", "6h"];
        arguments.extend(more);
        server.logq(&arguments)
    };
    let said = backtest(&old, &["-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let told: Value = serde_json::from_str(&said.stdout).unwrap();
    let rule = &told["rules"][0];
    assert_eq!((&rule["alert"], &rule["failed"]), (&json!("Bursts"), &json!(0)));
    assert!((359..=361).contains(&rule["evaluations"].as_u64().unwrap()), "{rule}");
    let fired = rule["fired"].as_array().unwrap();
    assert_eq!(fired.len(), 3, "{fired:#?}");
    for alert in fired {
        let newest = alert["samples"][0]["message"].as_str().unwrap();
        assert!(newest.starts_with("failed "), "{alert}");
        assert_eq!(
            (&alert["labels"]["service"], &alert["values"]["n"], &alert["state"]),
            (&json!("payments"), &json!(30), &json!("resolved"))
        );
        let minutes = (alert["resolved_at"].as_i64().unwrap()
            - alert["fired_at"].as_i64().unwrap())
            / 60_000_000_000;
        assert!((4..=6).contains(&minutes), "{minutes}");
    }
    let text = backtest(&old, &[]);
    assert!(text.stdout.contains("service=payments  n=30"), "{}", text.stdout);
    assert!(text.stdout.contains("ERROR payments failed "), "{}", text.stdout);
    let said = server.logq(&[
        "rules",
        "diff",
        old.to_str().unwrap(),
        new.to_str().unwrap(),
        "--since",
        "6h",
    ]);
    assert!(
        said.code == 0 && said.stdout.ends_with("it would have fired 0 times, not 3\n"),
        "{}{}",
        said.stdout,
        said.stderr
    );
    // Every moment asked for one by one gives the same as leaving out those without records.
    let kept = home.write("kept.yaml", rules(10).replace("| where", "| eval n = n + 0 | where"));
    let told: Value =
        serde_json::from_str(&backtest(&kept, &["-o", "json", "--step", "5m"]).stdout).unwrap();
    assert_eq!(told["rules"][0]["fired"].as_array().unwrap().len(), 3);
    server.kill();
    let nobody =
        logq(&["rules", "backtest", old.to_str().unwrap(), "--addr", "http://127.0.0.1:1"]);
    assert_eq!(nobody.code, 3, "{}", nobody.stderr);
}
