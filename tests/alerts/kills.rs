//! Alerts through kills: every transition is told, none is invented, and they are those of stored history.

use std::time::Duration;

use serde_json::Value;

use crate::receiver::{BUSY, OK, Receiver};
use crate::server::{self, eventually};
use crate::{RULES, fail, get, home};

#[test]
fn every_transition_is_told_through_kills_and_a_receiver_that_fails_half_of_the_time() {
    let seed = server::setting("LOGQ_ALERTS_SEED", u64::from(std::process::id()));
    let kills = server::setting("LOGQ_ALERTS_KILLS", 6);
    server::tell(&format!("alerts: LOGQ_ALERTS_SEED={seed}, LOGQ_ALERTS_KILLS={kills}"));
    let mut random = seed;
    let mut next = move |below: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let receiver = Receiver::start(|number| if number % 2 == 0 { BUSY } else { OK }.to_owned());
    // Longer than it takes to store what was sent, so that what is judged is what history has.
    let home = home(&receiver, "max_delay = \"5s\"");
    let mut server = home.start();
    for _ in 0..kills {
        fail(&server, ["payments", "orders", "gateway"][next(3) as usize], 2);
        std::thread::sleep(Duration::from_millis(next(4_000)));
        server.kill();
        server = home.start();
    }
    // Until the last failure is out of the window.
    let over = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(5);
    eventually("the end of all alerts", || {
        let rules = get(&server, "/prometheus/api/v1/rules");
        let rule = &rules["data"]["groups"][0]["rules"][0];
        let judged: jiff::Timestamp = rule["lastEvaluation"].as_str().unwrap().parse().unwrap();
        (judged > over && rule["state"] == "inactive").then_some(())
    });
    let incidents = get(&server, "/api/v1/incidents?limit=1000");
    let incidents = incidents["incidents"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let named = |it: &Value| (text(&it["labels"]["service"]), text(&it["fired_at"]));
    let alerts = eventually("that all are told", || {
        let alerts = receiver.alerts();
        let is_told = |it: &Value| {
            let (service, at) = named(it);
            alerts.contains_key(&(service, at, "resolved".to_owned()))
        };
        incidents.iter().all(is_told).then_some(alerts)
    });
    for (service, at, _) in alerts.keys() {
        let is_there = incidents
            .iter()
            .any(|it| it["labels"]["service"] == **service && it["fired_at"] == **at);
        assert!(is_there, "LOGQ_ALERTS_SEED={seed}: {service} at {at} was invented");
    }
    // And the incidents are those that stored history has.
    let file = home.write("again.yaml", RULES);
    let said =
        server.logq(&["rules", "backtest", file.to_str().unwrap(), "--since", "10m", "-o", "json"]);
    let history: Value = serde_json::from_str(&said.stdout).unwrap();
    let fired = history["rules"][0]["fired"].as_array().unwrap();
    let mut of_history: Vec<_> = fired
        .iter()
        .map(|it| {
            let at = jiff::Timestamp::from_nanosecond(it["fired_at"].as_i64().unwrap().into());
            (text(&it["labels"]["service"]), at.unwrap().to_string())
        })
        .collect();
    let mut of_engine: Vec<_> = incidents.iter().map(named).collect();
    of_history.sort();
    of_engine.sort();
    assert_eq!(of_engine, of_history, "LOGQ_ALERTS_SEED={seed}");
}
