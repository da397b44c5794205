//! Alerts on the real binary: judged, told to a receiver that fails, kept through kills.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alertmanager;
mod kills;
mod receiver;
#[path = "../server/mod.rs"]
mod server;

use std::time::Duration;

use alertmanager::Alertmanager;
use receiver::{BUSY, OK, Receiver};
use serde_json::{Value, json};
use server::{Home, Http, Server, clock, eventually};

/// A card that pays, in the demo.
const CARD_GOOD: &str = "4000000000000077";

const RULES: &str = r#"
groups:
  - name: shop
    interval: 1s
    rules:
      - alert: Failing
        query: 'level:error | stats count() as n by service | where n >= 2'
        window: 3s
        annotations: {summary: '{{ values.n }} failed in {{ labels.service }}, first: {{ records[0].message }}'}
"#;

fn home(receiver: &Receiver, more: &str) -> Home {
    let home = Home::with_config("");
    let rules = home.write("rules.yaml", RULES);
    let config = format!(
        "[collector]\nflush_size = \"1 MiB\"\nflush_age = \"1s\"\n[alerting]\nrules = [{rules:?}]\ngroup_wait = \"100ms\"\ngroup_interval = \"300ms\"\n{more}\n[[alerting.receivers]]\nname = \"ops\"\ntimeout = \"2s\"\nwebhook = {{ url = \"{}\" }}\n",
        receiver.url
    );
    home.write("logq.toml", config);
    home
}

fn fail(server: &Server, service: &str, count: usize) {
    let line = |n: usize| {
        json!({"service": service, "level": "error", "message": format!("no {n}"), "correlation_id": format!("c-{n}")})
            .to_string()
    };
    let lines: Vec<String> = (0..count).map(line).collect();
    assert_eq!(server.jsonl(lines.join("\n")).status, 200);
}

fn get(server: &Server, path: &str) -> Value {
    server.http.get(&format!("{}{path}", server.alerts)).json()
}

#[test]
fn a_receiver_is_told_of_a_failure_with_its_records_and_when_it_is_over() {
    let receiver = Receiver::start(|_| OK.to_owned());
    let slack = Receiver::start(|_| OK.to_owned());
    let told_by_command = Home::new();
    let file = told_by_command.write("told.json", "");
    let more = format!(
        "[[alerting.receivers]]\nname = \"chat\"\nslack = {{ url = {:?} }}\n[[alerting.receivers]]\nname = \"script\"\ncommand = [\"sh\", \"-c\", \"cat >> '{}'\"]\n",
        slack.url,
        file.display()
    );
    let home = home(&receiver, &more);
    let server = home.start();
    assert_eq!(get(&server, "/api/v1/alerts"), json!({"alerts": []}));
    fail(&server, "payments", 3);
    let firing = eventually("a notification", || receiver.taken().into_values().next());
    let alert = &firing["alerts"][0];
    assert_eq!((&firing["status"], &firing["version"]), (&json!("firing"), &json!("4")));
    assert_eq!(alert["labels"], json!({"alertname": "Failing", "service": "payments"}));
    assert_eq!(alert["endsAt"], "0001-01-01T00:00:00Z");
    assert_eq!(alert["annotations"]["summary"], "3 failed in payments, first: no 0");
    let records = alert["annotations"]["records"].as_str().unwrap();
    assert_eq!(records.lines().count(), 3, "{records}");
    // The link leads to the story.
    let story = alert["annotations"]["story"].as_str().unwrap();
    assert_eq!(story, format!("{}/api/v1/correlations/c-0", server.query));
    let story = server.http.get(story);
    assert!(story.status == 200 && story.text().contains("no 0"), "{}", story.text());
    let shown = &get(&server, "/prometheus/api/v1/rules")["data"]["groups"][0];
    assert_eq!((&shown["name"], &shown["rules"][0]["state"]), (&json!("shop"), &json!("firing")));
    let shown = get(&server, "/prometheus/api/v1/alerts");
    assert_eq!(shown["data"]["alerts"][0]["labels"]["service"], "payments");

    let list =
        |flags: &[&str]| server::logq(&[&["alerts", "--addr", &server.alerts], flags].concat());
    let listed = list(&[]).stdout;
    assert!(listed.contains("firing  Failing") && listed.contains("service=payments"), "{listed}");

    let over = eventually("that it is over", || {
        receiver.taken().into_values().find(|told| told["status"] == "resolved")
    });
    assert_eq!(over["alerts"][0]["startsAt"], alert["startsAt"]);
    assert_eq!(over["alerts"][0]["fingerprint"], alert["fingerprint"]);
    let text = eventually("a text", || {
        let came = slack.came().into_iter().find(|came| came.is_taken)?;
        Some(serde_json::from_str::<Value>(&came.body).unwrap()["text"].as_str()?.to_owned())
    });
    assert!(text.starts_with("*[FIRING:1] Failing*\n● service=payments: 3 failed"), "{text}");
    eventually("the command's input", || {
        let input = std::fs::read_to_string(&file).unwrap();
        let bodies: Vec<Value> =
            input.lines().map_while(|it| serde_json::from_str(it).ok()).collect();
        (bodies.len() == 2 && bodies[0]["receiver"] == "script").then_some(())
    });
    let alerts = receiver.alerts();
    assert!(alerts.len() == 2 && alerts.values().all(|times| *times == 1), "{alerts:?}");
    eventually("all delivered", || {
        let told = get(&server, "/api/v1/notifications");
        let all = told["notifications"].as_array().unwrap();
        (all.len() == 6 && all.iter().all(|one| one["state"] == "delivered")).then_some(())
    });
    let incidents = get(&server, "/api/v1/incidents");
    assert!(incidents["incidents"][0]["resolved_at"].is_string(), "{incidents}");
    let none = list(&[]);
    assert_eq!((none.code, none.stdout.as_str()), (0, ""));
    let listed = list(&["--history"]).stdout;
    assert!(listed.contains("resolved  Failing") && listed.contains("first: no 0"), "{listed}");
}

#[test]
fn a_clock_that_jumps_back_an_hour_holds_no_alert_up_and_tells_none_twice() {
    let Some(library) = clock::faketime_library() else { return };
    let receiver = Receiver::start(|_| OK.to_owned());
    let home = home(&receiver, "");
    let offset = home.write("offset", "+0\n");
    let mut command = home.up();
    clock::set_by_file(&mut command, &library, &offset);
    let server = home.start_by(command, "stop ");
    let told = |service: &str, status: &str| {
        eventually(&format!("{service} {status}"), || {
            // Alerts of several services may be told together.
            let taken = receiver.taken().into_values();
            let mut alerts = taken.flat_map(|told| told["alerts"].as_array().unwrap().clone());
            alerts.find(|it| it["status"] == status && it["labels"]["service"] == service)
        })
    };
    fail(&server, "payments", 3);
    told("payments", "firing");
    told("payments", "resolved");
    // Another one fires while the clock jumps.
    fail(&server, "stock", 3);
    told("stock", "firing");
    home.write("offset", "-1h\n");
    told("stock", "resolved");
    fail(&server, "orders", 3);
    let firing = told("orders", "firing");
    let resolved = told("orders", "resolved");
    assert_eq!(firing["startsAt"], resolved["startsAt"]);
    let alerts = receiver.alerts();
    assert!(alerts.len() == 6 && alerts.values().all(|times| *times == 1), "{alerts:?}");
}

#[test]
fn what_goes_silent_and_what_is_not_followed_fire_with_their_names_and_correlations() {
    let receiver = Receiver::start(|_| OK.to_owned());
    let home = home(&receiver, "max_delay = \"1s\"");
    home.write(
        "rules.yaml",
        r#"
groups:
  - name: shop
    interval: 1s
    rules:
      - alert: Silent
        absent: {query: 'service:billing*', by: [service]}
        window: 3s
      - alert: Unanswered
        expect: {after: 'message:asked', then: 'message:answered', within: 2s}
        window: 10s
"#,
    );
    let server = home.start();
    let line = |message: &str, correlation: &str| {
        json!({"service": "billing-1", "message": message, "correlation_id": correlation})
            .to_string()
    };
    let lines =
        [line("asked", "c-1"), line("asked", "c-2"), line("answered", "c-1"), line("asked", "c-3")];
    assert_eq!(server.jsonl(lines.join("\n")).status, 200);
    let told = |name: &str| {
        eventually(name, || {
            let taken = receiver.taken().into_values();
            taken
                .into_iter()
                .find(|it| it["groupLabels"]["alertname"] == name && it["status"] == "firing")
        })
    };
    assert_eq!(told("Silent")["alerts"][0]["labels"]["service"], "billing-1");
    let unanswered = told("Unanswered");
    let story = unanswered["alerts"][0]["annotations"]["story"].as_str().unwrap();
    assert!(story.ends_with("/api/v1/correlations/c-2"), "{story}");
    let incidents = get(&server, "/api/v1/incidents");
    let incidents = incidents["incidents"].as_array().unwrap();
    let unanswered = incidents.iter().find(|it| it["labels"]["alertname"] == "Unanswered").unwrap();
    assert_eq!(unanswered["correlations"], json!(["c-2", "c-3"]));
    // It is remembered over a restart, and over when it speaks again.
    server.kill();
    let server = home.start();
    let alerts = get(&server, "/api/v1/alerts").to_string();
    assert!(alerts.contains("Silent"), "{alerts}");
    assert_eq!(server.jsonl(line("hello", "c-4")).status, 200);
    eventually("that it is back", || {
        let mut taken = receiver.taken().into_values();
        taken.find(|it| it["groupLabels"]["alertname"] == "Silent" && it["status"] == "resolved")
    });
}

#[test]
fn a_failure_of_the_demo_is_told_within_20_seconds_with_its_story_and_healing_too() {
    let receiver = Receiver::start(|_| OK.to_owned());
    let home = home(&receiver, "");
    // For the orders of this test alone; shoppers have theirs.
    home.write(
        "rules.yaml",
        r#"
groups:
  - name: shop
    interval: 5s
    rules:
      - alert: ParcelsTimeOut
        query: 'service:orders event_name:saga.compensated error.type:timeout correlation:of-test-* | stats count() as orders by service | where orders >= 3'
        window: 15s
        annotations: {summary: '{{ values.orders }} orders'}
"#,
    );
    let mut command = home.up();
    command.args(["--demo", "--demo-http", "127.0.0.1:0"]).env("LOGQ__AGENT__HTTP", "127.0.0.1:0");
    let server = home.start_by(command, "sort timestamp'");
    let said = |what: &str| {
        let mut lines = server.ready_block.lines();
        let line = lines.find_map(|line| line.trim().strip_prefix(what));
        line.unwrap().trim().split(',').next().unwrap().to_owned()
    };
    let (shop, broken) = (said("shop"), said("break it"));
    // As `logq-demo break` does it, and `heal`.
    let registry = broken.split_once("--registry ").map_or("http://127.0.0.1:8081", |(_, at)| at);
    let switch = format!("{registry}/api/v1/switches/slow-shipping");
    let place = |number: usize| {
        let (shop, id) = (shop.clone(), format!("of-test-{number}"));
        std::thread::spawn(move || {
            let body = json!({"customer": "of-this-test", "items": [{"sku": "teapot", "quantity": 1}], "card": CARD_GOOD});
            let headers = [("content-type", "application/json"), ("x-correlation-id", &*id)];
            Http::new().post(&shop, &headers, body.to_string()).status
        })
    };
    let began = std::time::Instant::now();
    assert_eq!(server.http.request("PUT", &switch, &[], "").status, 200);
    eventually("shipping knows that it is slow", || {
        (place(0).join().unwrap() == 504).then_some(())
    });
    let orders: Vec<_> = (1..=2).map(place).collect();
    assert!(orders.into_iter().all(|order| order.join().unwrap() == 504));
    let firing = eventually("a notification", || receiver.taken().into_values().next());
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    let alert = &firing["alerts"][0];
    assert_eq!(firing["alerts"].as_array().unwrap().len(), 1);
    let summary = alert["annotations"]["summary"].as_str().unwrap();
    let count: usize = summary.strip_suffix(" orders").unwrap().parse().unwrap();
    assert!(count >= 3, "{summary}");
    let records = alert["annotations"]["records"].as_str().unwrap();
    assert_eq!(records.matches("ERROR orders order failed").count(), count.min(5), "{records}");
    let story = alert["annotations"]["story"].as_str().unwrap();
    assert!(story.contains("/of-test-"), "{story}");
    assert!(server.http.get(story).text().contains("carrier is slow"));
    assert_eq!(server.http.delete(&switch).status, 200);
    eventually("shipping is well again", || (place(9).join().unwrap() == 201).then_some(()));
    eventually("that it is over", || {
        receiver.taken().into_values().find(|told| told["status"] == "resolved")
    });
    assert_eq!(receiver.taken().len(), 2, "one notification each");
    server::tell(&format!("alerts: a failure of the demo was told after {took:.1?}"));
}

#[test]
fn an_alertmanager_that_refuses_an_alert_of_a_batch_gets_what_is_next_and_not_the_same_at_once() {
    let alertmanager = Receiver::start(|number| match number {
        0 => "HTTP/1.1 400 Bad Request\r\ncontent-length: 9\r\n\r\n\"invalid\"".to_owned(),
        1 => BUSY.to_owned(),
        _ => OK.to_owned(),
    });
    let home = Home::with_config("");
    // One that fires is over soon: the second request is about its end.
    let rules = home.write("rules.yaml", RULES);
    let url = alertmanager.url.trim_end_matches("/hook");
    let config = format!(
        "[alerting]\nrules = [{rules:?}]\n[[alerting.receivers]]\nname = \"am\"\nalertmanager = {{ url = {url:?} }}\n"
    );
    home.write("logq.toml", config);
    let server = home.start();
    fail(&server, "payments", 2);
    let came = eventually("a request that is taken", || {
        let came: Vec<Value> = alertmanager
            .came()
            .iter()
            .map(|came| serde_json::from_str(&came.body).unwrap())
            .filter(|alerts: &Value| !alerts.as_array().unwrap().is_empty())
            .collect();
        (came.len() >= 3).then_some(came)
    });
    let end = |alerts: &Value| -> jiff::Timestamp {
        alerts[0]["endsAt"].as_str().unwrap().parse().unwrap()
    };
    let fired: jiff::Timestamp = came[0][0]["startsAt"].as_str().unwrap().parse().unwrap();
    assert!((end(&came[0]) - fired).get_seconds() > 200, "it fires: {came:#?}");
    // Nothing was sent again in between; the end was, after a 500.
    assert!((end(&came[1]) - fired).get_seconds() < 60, "it is over: {came:#?}");
    assert_eq!(came[1], came[2]);
}

#[test]
fn a_silenced_alert_is_told_when_its_silence_is_ended() {
    let receiver = Receiver::start(|_| OK.to_owned());
    let home = home(&receiver, "");
    // It must not be over before its silence is.
    home.write("rules.yaml", RULES.replace("window: 3s", "window: 5m"));
    let server = home.start();
    let silence = |arguments: &[&str]| {
        let (command, rest) = arguments.split_first().unwrap();
        server::logq(&[&["silence", command, "--addr", &server.alerts], rest].concat())
    };
    let wrong = silence(&["add", "service", "--for", "1h"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("NAME=VALUE"), "{wrong:?}");
    let wrong = silence(&["add", "service=~(", "--for", "1h"]);
    assert!(wrong.code != 0 && wrong.stderr.contains("unclosed group"), "{wrong:?}");
    let added = silence(&["add", "service=~pay.*", "--for", "1h", "--comment", "known"]);
    assert_eq!(added.code, 0, "{added:?}");
    let id = added.stdout.split(' ').next().unwrap();
    let listed = silence(&["list"]).stdout;
    assert!(listed.contains("service=~pay.*") && listed.contains("known"), "{listed}");
    fail(&server, "payments", 2);
    fail(&server, "orders", 2);
    eventually("both fire, one is told", || {
        let all = get(&server, "/api/v1/incidents")["incidents"].as_array().unwrap().len();
        (all == 2 && !receiver.alerts().is_empty()).then_some(())
    });
    let services =
        || receiver.alerts().into_keys().map(|(service, ..)| service).collect::<Vec<_>>();
    assert!(!services().contains(&"payments".to_owned()), "{:?}", services());
    assert_eq!(silence(&["end", id]).code, 0);
    assert!(silence(&["list"]).stdout.contains("expired"));
    let again = silence(&["end", id]);
    assert!(again.code != 0 && again.stderr.contains(id), "{again:?}");
    eventually("the other one", || services().contains(&"payments".to_owned()).then_some(()));
}

#[test]
fn a_real_alertmanager_is_told_what_fires_and_what_is_over() {
    let receiver = Receiver::start(|_| OK.to_owned());
    let Some(alertmanager) = Alertmanager::start(&receiver.url) else { return };
    let home = Home::with_config("");
    let rules = home.write("rules.yaml", RULES.replace("window: 3s", "window: 8s"));
    let config = format!(
        "[alerting]\nrules = [{rules:?}]\n[[alerting.receivers]]\nname = \"am\"\nalertmanager = {{ url = {:?} }}\n",
        alertmanager.url
    );
    home.write("logq.toml", config);
    let server = home.start();
    fail(&server, "payments", 2);
    fail(&server, "orders", 2);
    let silenced = server::logq(&[
        "silence",
        "add",
        "--addr",
        &alertmanager.url,
        "service=orders",
        "--for",
        "1h",
        "--by",
        "test",
        "--comment",
        "known",
    ]);
    assert_eq!(silenced.code, 0, "its silences are ours: {silenced:?}");
    eventually("both alerts", || {
        let mut alerts = alertmanager.alerts(&server);
        alerts.sort();
        let expected = [("orders", "suppressed"), ("payments", "active")];
        let expected = expected.map(|(service, state)| (service.to_owned(), state.to_owned()));
        (alerts == expected).then_some(())
    });
    let told = eventually("its own notification", || {
        receiver.came().into_iter().find(|came| came.body.contains("\"firing\""))
    });
    let told: Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!(told["alerts"][0]["labels"]["service"], "payments");
    let incidents = get(&server, "/api/v1/incidents");
    let ours = incidents["incidents"].as_array().unwrap().clone();
    let ours = ours.into_iter().find(|it| it["labels"]["service"] == "payments").unwrap();
    assert_eq!(told["alerts"][0]["fingerprint"], ours["fingerprint"], "one identity in both");
    assert_eq!(told["alerts"][0]["annotations"], ours["annotations"]);
    eventually("that it is over", || {
        let came = receiver.came();
        came.iter().any(|came| came.body.contains("\"status\":\"resolved\"")).then_some(())
    });
    eventually("that none is left", || alertmanager.alerts(&server).is_empty().then_some(()));
}

#[test]
fn rules_are_read_anew_and_kept_where_the_new_ones_are_bad() {
    let receiver = Receiver::start(|_| OK.to_owned());
    let home = home(&receiver, "");
    let server = home.start();
    let reload = || server.http.post(&format!("{}/api/v1/reload", server.alerts), &[], b"");
    home.write("rules.yaml", RULES.replace("stats", "stts"));
    let refused = reload();
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("did you mean `stats`"), "{}", refused.text());
    assert_eq!(get(&server, "/prometheus/api/v1/rules")["data"]["groups"][0]["name"], "shop");
    home.write("rules.yaml", RULES.replace("Failing", "Broken"));
    assert_eq!(reload().json(), json!({"rules": 1}));
    let rules = get(&server, "/prometheus/api/v1/rules");
    assert_eq!(rules["data"]["groups"][0]["rules"][0]["name"], "Broken");
    // A process does not start with bad ones.
    drop(server);
    home.write("rules.yaml", RULES.replace("{{ values.n }}", "{{ values.n"));
    let refused = server::run(&mut home.up(), b"");
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("the template of `summary`"), "{refused:?}");
}

#[test]
fn a_receiver_that_fails_gets_the_same_notification_again_and_one_that_refuses_does_not() {
    let large = format!("content-length: 10000000\r\n\r\n{}", "x".repeat(10_000_000));
    let receiver = Receiver::start(move |number| match number {
        0 => BUSY.to_owned(),
        1 => String::new(),
        2 => OK.to_owned(),
        _ => format!("HTTP/1.1 302 Found\r\nlocation: /hook\r\n{large}"),
    });
    let server = home(&receiver, "").start();
    fail(&server, "payments", 2);
    eventually("a delivery", || receiver.taken().into_values().next());
    let came = receiver.came();
    let first = &came[0];
    assert!(came.len() >= 3);
    for again in &came[..3] {
        assert_eq!(again.body, first.body);
        assert_eq!(again.headers["idempotency-key"], first.headers["idempotency-key"]);
    }
    let refused = eventually("the end of it", || {
        let told = get(&server, "/api/v1/notifications");
        let all = told["notifications"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["state"] == "given_up")
    });
    assert!(refused["error"].as_str().unwrap().starts_with("302"), "{refused}");
    assert!(refused["error"].as_str().unwrap().len() < 2_000);
    assert_eq!(refused["tries"], 1);
}
