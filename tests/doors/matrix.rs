//! Two tenants, every route, every kind of caller. A route that is not in [`ROUTES`] fails the test.

use std::collections::BTreeSet;
use std::sync::Arc;

use alerting::{AlertingOptions, Engine, Parts, QueryRunner, Rules, RunError};
use collector::{Collector, CollectorOptions};
use query::{Queries, QueryApi, QueryLimits, QueueLimits};
use serde_json::{Value, json};
use service::config;
use service::health::{self, Health};
use service::metrics::Metrics;
use store::{Store, StoreOptions};

use crate::server::{Answer, Server, eventually, grpc};
use crate::{Doors, ask};

/// What a row of the table needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Ingest,
    Query,
    Admin,
    Operator,
    /// Admin of the tenant that alerts are about, which is b.
    AdminOfB,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Ingest,
    Grpc,
    Query,
    Alerting,
}

/// (port, method, path, what it needs, a body that it takes).
type Row = (Port, &'static str, &'static str, Needs, &'static str);

const OTLP: &str =
    r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"of-a"}}]}]}]}"#;
const SPAN: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"of-a"}]}]}]}"#;
const ZIPKIN: &str = r#"[{"name":"of-a"}]"#;
/// The same two in protobuf.
const OTLP_MESSAGE: &str = "\x0a\x0c\x12\x0a\x12\x08\x2a\x06\x0a\x04of-a";
const SPAN_MESSAGE: &str = "\x0a\x0a\x12\x08\x12\x06\x2a\x04of-a";
const LINE: &str = r#"{"message":"of-a"}"#;
const ASK: &str = r#"{"query":"*","since":"100y","limit":1000}"#;
const ASK_SPANS: &str = r#"{"query":"from spans *","since":"100y","limit":1000}"#;
const COUNT: &str = r#"{"query":"*","dry_run":true}"#;
const HEARTBEAT: &str = r#"{"agent":"agent-of-a","epoch":"e","sent_at":"2026-01-02T03:04:05Z","ledger":{"read":0,"filtered":0,"dropped":{},"dead_lettered":0,"spooled":0,"acknowledged":0,"held":0,"reported":0},"acknowledged_in_epoch":{"records":0,"batches":0}}"#;

const LOKI: &str = "/loki/api/v1/";
/// Every line of Loki's API at any time, and their number.
const LINES: &str = "?query=%7Bservice_name%3D~%22.%2B%22%7D&start=0&end=4000000000&limit=1000";
const NUMBERS: &str = "?query=count_over_time(%7Bservice_name%3D~%22.%2B%22%7D%5B100y%5D)";

const SILENCE: &str = r#"{"matchers":[{"name":"alertname","value":"None"}],"endsAt":"2100-01-01T00:00:00Z","comment":"secret-of-b"}"#;

const ROUTES: &[Row] = &[
    (Port::Ingest, "POST", "/v1/logs", Needs::Ingest, OTLP),
    (Port::Ingest, "POST", "/otlp/v1/logs", Needs::Ingest, OTLP),
    (Port::Ingest, "POST", "/v1/traces", Needs::Ingest, SPAN),
    (Port::Ingest, "POST", "/otlp/v1/traces", Needs::Ingest, SPAN),
    (Port::Ingest, "POST", "/api/v2/spans", Needs::Ingest, ZIPKIN),
    (Port::Ingest, "POST", "/ingest/jsonl", Needs::Ingest, LINE),
    (Port::Ingest, "POST", "/api/v1/agents/heartbeat", Needs::Ingest, HEARTBEAT),
    (Port::Ingest, "GET", "/api/v1/agents", Needs::Query, ""),
    (Port::Ingest, "GET", "/api/v1/ledger", Needs::Operator, ""),
    (Port::Ingest, "POST", "/api/v1/flush", Needs::Operator, ""),
    (Port::Ingest, "POST", "/api/v1/delete", Needs::Admin, COUNT),
    (Port::Ingest, "GET", "/api/v1/deletes", Needs::Admin, ""),
    (Port::Ingest, "GET", "/api/v1/deletes/{id}", Needs::Admin, ""),
    (Port::Ingest, "GET", "/api/v1/backups", Needs::Operator, ""),
    (Port::Ingest, "POST", "/api/v1/backups", Needs::Operator, ""),
    (Port::Ingest, "GET", "/api/v1/backups/{id}", Needs::Operator, ""),
    (Port::Ingest, "DELETE", "/api/v1/backups/{id}", Needs::Operator, ""),
    (Port::Ingest, "GET", "/api/v1/backups/{id}/files/{*name}", Needs::Operator, ""),
    (Port::Ingest, "GET", "/health/live", Needs::Nothing, ""),
    (Port::Ingest, "GET", "/health/ready", Needs::Nothing, ""),
    (Port::Ingest, "GET", "/metrics", Needs::Operator, ""),
    (Port::Grpc, "POST", grpc::LOGS, Needs::Ingest, OTLP_MESSAGE),
    (Port::Grpc, "POST", grpc::SPANS, Needs::Ingest, SPAN_MESSAGE),
    (Port::Query, "GET", "/api/v1/query", Needs::Query, ""),
    (Port::Query, "POST", "/api/v1/query", Needs::Query, ASK),
    (Port::Query, "GET", "/api/v1/tail", Needs::Query, ""),
    (Port::Query, "POST", "/api/v1/tail", Needs::Query, r#"{"query":"*","after":0,"limit":1}"#),
    (Port::Query, "GET", "/api/v1/explain", Needs::Query, ""),
    (Port::Query, "POST", "/api/v1/explain", Needs::Query, ASK),
    (Port::Query, "GET", "/api/v1/fields", Needs::Query, ""),
    (Port::Query, "POST", "/api/v1/fields", Needs::Query, r#"{"query":"*","since":"100y"}"#),
    (Port::Query, "GET", "/api/v1/stats", Needs::Query, ""),
    (Port::Query, "GET", "/api/v1/traces/{id}", Needs::Query, ""),
    (Port::Query, "GET", "/api/v1/correlations/{id}", Needs::Query, ""),
    (Port::Query, "GET", "/api/v1/stories", Needs::Query, ""),
    (Port::Query, "POST", "/api/v1/stories", Needs::Query, r#"{"query":"*","since":"100y"}"#),
    (Port::Query, "GET", "/api/v1/diff", Needs::Query, ""),
    (Port::Query, "GET", "/api/services", Needs::Query, ""),
    (Port::Query, "GET", "/api/services/{*service}", Needs::Query, ""),
    (Port::Query, "GET", "/api/operations", Needs::Query, ""),
    (Port::Query, "GET", "/api/traces", Needs::Query, ""),
    (Port::Query, "GET", "/api/traces/{id}", Needs::Query, ""),
    (Port::Query, "GET", "/api/dependencies", Needs::Query, ""),
    (Port::Query, "GET", "/loki/api/v1/query_range", Needs::Query, ""),
    (Port::Query, "POST", "/loki/api/v1/query_range", Needs::Query, ""),
    (Port::Query, "GET", "/loki/api/v1/query", Needs::Query, ""),
    (Port::Query, "POST", "/loki/api/v1/query", Needs::Query, ""),
    (Port::Query, "GET", "/loki/api/v1/labels", Needs::Query, ""),
    (Port::Query, "POST", "/loki/api/v1/labels", Needs::Query, ""),
    (Port::Query, "GET", "/loki/api/v1/label", Needs::Query, ""),
    (Port::Query, "POST", "/loki/api/v1/label", Needs::Query, ""),
    (Port::Query, "GET", "/loki/api/v1/label/{name}/values", Needs::Query, ""),
    (Port::Query, "POST", "/loki/api/v1/label/{name}/values", Needs::Query, ""),
    (Port::Query, "GET", "/loki/api/v1/series", Needs::Query, ""),
    (Port::Query, "POST", "/loki/api/v1/series", Needs::Query, ""),
    (Port::Query, "GET", "/loki/api/v1/index/stats", Needs::Query, ""),
    (Port::Query, "POST", "/loki/api/v1/index/stats", Needs::Query, ""),
    (Port::Query, "GET", "/loki/api/v1/index/volume", Needs::Query, ""),
    (Port::Query, "POST", "/loki/api/v1/index/volume", Needs::Query, ""),
    (Port::Query, "GET", "/loki/api/v1/detected_labels", Needs::Query, ""),
    (Port::Query, "POST", "/loki/api/v1/detected_labels", Needs::Query, ""),
    (Port::Query, "GET", "/loki/api/v1/detected_fields", Needs::Query, ""),
    (Port::Query, "POST", "/loki/api/v1/detected_fields", Needs::Query, ""),
    (Port::Query, "GET", "/loki/api/v1/detected_field/{name}/values", Needs::Query, ""),
    (Port::Query, "POST", "/loki/api/v1/detected_field/{name}/values", Needs::Query, ""),
    (Port::Query, "GET", "/loki/api/v1/patterns", Needs::Query, ""),
    (Port::Query, "POST", "/loki/api/v1/patterns", Needs::Query, ""),
    (Port::Query, "GET", "/loki/api/v1/format_query", Needs::Query, ""),
    (Port::Query, "POST", "/loki/api/v1/format_query", Needs::Query, ""),
    (Port::Query, "GET", "/loki/api/v1/tail", Needs::Query, ""),
    (Port::Query, "GET", "/loki/api/v1/drilldown-limits", Needs::Query, ""),
    (Port::Query, "GET", "/loki/api/v1/status/buildinfo", Needs::Query, ""),
    (Port::Query, "GET", "/ready", Needs::Nothing, ""),
    (Port::Query, "GET", "/prometheus/api/v1/rules", Needs::Query, ""),
    (Port::Query, "GET", "/prometheus/api/v1/alerts", Needs::Query, ""),
    (Port::Query, "GET", "/health/live", Needs::Nothing, ""),
    (Port::Query, "GET", "/health/ready", Needs::Nothing, ""),
    (Port::Query, "GET", "/metrics", Needs::Operator, ""),
    (Port::Alerting, "GET", "/api/v1/alerts", Needs::Query, ""),
    (Port::Alerting, "GET", "/api/v1/incidents", Needs::Query, ""),
    (Port::Alerting, "GET", "/api/v1/notifications", Needs::Query, ""),
    (Port::Alerting, "GET", "/api/v2/silences", Needs::Query, ""),
    (Port::Alerting, "POST", "/api/v2/silences", Needs::AdminOfB, SILENCE),
    (Port::Alerting, "DELETE", "/api/v2/silence/{id}", Needs::AdminOfB, ""),
    (Port::Alerting, "POST", "/api/v1/reload", Needs::Operator, ""),
    (Port::Alerting, "POST", "/-/reload", Needs::Operator, ""),
    (Port::Alerting, "GET", "/prometheus/api/v1/rules", Needs::Query, ""),
    (Port::Alerting, "GET", "/prometheus/api/v1/alerts", Needs::Query, ""),
    (Port::Alerting, "GET", "/health/live", Needs::Nothing, ""),
    (Port::Alerting, "GET", "/health/ready", Needs::Nothing, ""),
    (Port::Alerting, "GET", "/metrics", Needs::Operator, ""),
];

/// Judged over the records of tenant b.
const RULES: &str = "groups: [{name: g, interval: 1s, rules: [{alert: Any, query: '* | stats count() by service', window: 1h, labels: {of: secret-of-b}}]}]";

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What stands in everything that is tenant b's.
const SECRET: &str = "secret-of-b";

struct Tokens {
    a_all: String,
    a_ingest: String,
    a_query: String,
    a_admin: String,
    b_all: String,
    operator: String,
    expired: String,
    revoked: String,
}

impl Tokens {
    fn make(doors: &Doors) -> Self {
        let made = Self {
            a_all: doors.create("a", "ingest,query,admin"),
            a_ingest: doors.create("a", "ingest"),
            a_query: doors.create("a", "query"),
            a_admin: doors.create("a", "admin"),
            b_all: doors.create("b", "ingest,query,admin"),
            operator: doors.create("*", "ingest,query,admin"),
            expired: doors.token(&[
                "create",
                "--tenant",
                "a",
                "--rights",
                "ingest,query,admin",
                "--expires",
                "1ms",
            ]),
            revoked: doors.create("a", "ingest,query,admin"),
        };
        doors.token(&["revoke", Doors::id(&made.revoked)]);
        made
    }
}

/// Has no records.
struct Nothing;

impl QueryRunner for Nothing {
    fn run(&self, _: &str, _: i64, _: i64, _: usize) -> Result<alerting::Answer, RunError> {
        Ok(alerting::Answer::default())
    }
}

/// What the roles declare.
fn declared() -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path(), StoreOptions::default()).unwrap());
    let metrics = Metrics::new();
    let collector = Collector::new(Arc::clone(&store), CollectorOptions::default(), &metrics);
    let queries = Queries::new(store, QueryLimits::default());
    let own = || health::routes(Health::new(), metrics.clone());
    let query = QueryApi::new(queries, QueueLimits::default(), &metrics).routes();
    let alerting = {
        let config = config::load(None, [], &[alerting::TABLE], &[]).unwrap();
        let parts = Parts {
            runner: Box::new(Nothing),
            watermark: Box::new(|now| now),
            read_rules: Box::new(|| Ok(Rules::default())),
            link: String::new(),
        };
        let options = AlertingOptions::from_config(&config).unwrap();
        let state = folder.path().join("alerting.db");
        let running = Engine::start(options, &state, parts, &metrics, &Health::new()).unwrap();
        let routes = alerting::routes(running.engine());
        let of_query =
            alerting::prometheus_routes(running.engine()).merge(health::plain_route(Health::new()));
        running.stop();
        (routes, of_query)
    };
    let (alerting, for_grafana) = alerting;
    let ports = [
        ("Ingest", collector.routes().merge(own())),
        ("Grpc", collector.grpc_routes()),
        ("Query", query.merge(for_grafana).merge(own())),
        ("Alerting", alerting.merge(own())),
    ];
    let of = |(port, routes): (&str, service::doors::Routes)| {
        let all = routes.declared();
        let port = port.to_owned();
        all.into_iter().map(move |route| format!("{port} {} {}", route.method, route.path))
    };
    ports.into_iter().flat_map(of).collect()
}

#[test]
fn every_route_that_a_role_declares_is_in_the_matrix() {
    let rows = ROUTES.iter().map(|(port, method, path, ..)| format!("{port:?} {method} {path}"));
    assert_eq!(rows.collect::<BTreeSet<_>>(), declared());
}

fn url(server: &Server, (port, method, path, ..): &Row) -> String {
    let base = match port {
        Port::Ingest => &server.ingest,
        Port::Grpc => &server.grpc,
        Port::Query => &server.query,
        Port::Alerting => &server.alerts,
    };
    let query = match (*method, *path) {
        ("GET", "/api/v1/query") => "?query=*&since=100y&limit=1000",
        ("GET", "/api/v1/tail") => "?query=*&after=0&limit=1",
        ("GET", "/api/v1/explain" | "/api/v1/fields" | "/api/v1/stories") => "?query=*&since=100y",
        ("GET", "/api/v1/diff") => "?query=level:error&other=*&since=100y",
        ("GET", "/api/operations" | "/api/traces") => "?service=of-a",
        (_, "/loki/api/v1/query") => NUMBERS,
        (_, path) if path.starts_with(LOKI) => LINES,
        _ => "",
    };
    let id = if path.contains("traces") { TRACE } else { "1" };
    let path = path.replace("{id}", id).replace("{*name}", "catalog.db");
    let path = path.replace("{name}", "service_name");
    format!("{base}{}{query}", path.replace("{*service}", "of-a/operations"))
}

/// Refused in the route's own form; with what a client needs to know.
fn assert_refused(answer: &Answer, status: u16, row: &Row, who: &str) {
    assert_eq!(answer.status, status, "{who}: {row:?}\n{}", answer.text());
    assert!(!answer.text().contains(SECRET), "{who}: {row:?}");
    let challenge = (status == 401).then_some("Bearer");
    assert_eq!(answer.header("www-authenticate"), challenge, "{who}: {row:?}");
    if row.2.starts_with(LOKI) {
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{row:?}");
        return;
    }
    let body = answer.json();
    let is_otlp =
        row.0 == Port::Grpc || row.2.ends_with("/v1/logs") || row.2.ends_with("/v1/traces");
    let is_jaeger =
        row.0 == Port::Query && row.2.starts_with("/api/") && !row.2.starts_with("/api/v1/");
    let told = match (is_otlp, is_jaeger) {
        (true, _) => &body["message"],
        (_, true) => &body["errors"][0]["msg"],
        _ => &body["error"]["message"],
    };
    assert!(told.is_string(), "{who}: {row:?}\n{body}");
}

fn check_row(server: &Server, row: &Row, tokens: &Tokens) {
    let (_, method, _, needs, body) = row;
    let url = url(server, row);
    let ask = |token: Option<&str>, tenant: Option<&str>| match row.0 {
        Port::Grpc => call(server, &url, token, tenant, body),
        _ => ask(server, (method, &url), token, tenant, body),
    };
    let unknown = format!("{}{}", &tokens.a_all[..20], &tokens.b_all[20..]);
    let nobody = [
        ("no token", None),
        ("an unknown token", Some(unknown.as_str())),
        ("an expired token", Some(&tokens.expired)),
        ("a revoked token", Some(&tokens.revoked)),
        ("a word", Some("word")),
    ];
    for (who, token) in nobody {
        let answer = ask(token, None);
        match needs {
            Needs::Nothing => assert_eq!(answer.status, 200, "{who}: {row:?}"),
            _ => assert_refused(&answer, 401, row, who),
        }
    }
    let (right, wrong) = match needs {
        Needs::Nothing => (&tokens.a_query, None),
        Needs::Ingest => (&tokens.a_ingest, Some(&tokens.a_query)),
        Needs::Query => (&tokens.a_query, Some(&tokens.a_ingest)),
        Needs::Admin => (&tokens.a_admin, Some(&tokens.a_query)),
        Needs::Operator => (&tokens.operator, Some(&tokens.a_all)),
        Needs::AdminOfB => (&tokens.b_all, Some(&tokens.a_all)),
    };
    let own = if *needs == Needs::AdminOfB { "b" } else { "a" };
    if let Some(wrong) = wrong {
        assert_refused(&ask(Some(wrong), None), 403, row, "without the right");
        assert_refused(&ask(Some(&tokens.a_all), Some("b")), 403, row, "tenant a as b");
        assert_refused(&ask(Some(right), Some("a/b")), 400, row, "no tenant's name");
    }
    for tenant in [None, Some(own)] {
        let answer = ask(Some(right), tenant);
        // What has a name in its path is not there: who is told so was let in.
        let is_let_in = |status: u16| match row.2 {
            // What is no websocket is told so.
            "/loki/api/v1/tail" => status == 400 || status == 426,
            path => (200..300).contains(&status) || (path.contains('{') && status == 404),
        };
        let let_in = is_let_in(answer.status);
        assert!(let_in, "{row:?}\n{}", answer.text());
        assert!(!answer.text().contains(SECRET), "{row:?}\n{}", answer.text());
    }
}

/// As [`ask`] over gRPC; its statuses as those of HTTP that say the same.
fn call(
    server: &Server,
    url: &str,
    token: Option<&str>,
    tenant: Option<&str>,
    message: &str,
) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let bearer = bearer.as_deref().map(|bearer| ("authorization", bearer));
    let tenant = tenant.map(|tenant| ("x-scope-orgid", tenant));
    let headers: Vec<_> = bearer.into_iter().chain(tenant).collect();
    let reply = server.http().grpc(url, &headers, message.as_bytes());
    let status = match reply.status {
        Some(0) => 200,
        Some(3) => 400,
        Some(7) => 403,
        Some(16) => 401,
        other => panic!("{other:?}: {reply:?}"),
    };
    let body = json!({"message": reply.message}).to_string().into_bytes();
    Answer { status, headers: reply.headers, body }
}

fn messages(server: &Server, token: &str, tenant: Option<&str>) -> Vec<String> {
    messages_of(server, token, tenant, ASK)
}

fn messages_of(server: &Server, token: &str, tenant: Option<&str>, body: &str) -> Vec<String> {
    let url = format!("{}/api/v1/query", server.query);
    let answer = ask(server, ("POST", &url), Some(token), tenant, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| Some(line["message"].as_str()?.to_owned())).collect()
}

#[test]
fn no_tenant_reaches_another_by_any_route() {
    let doors = Doors::new("");
    let tokens = Tokens::make(&doors);
    let rules = doors.home.write("rules.yaml", RULES);
    doors.configure(&format!("[alerting]\ntenant = \"b\"\nrules = [{rules:?}]\n"));
    let server = doors.home.start();
    let post = |path: &str, token: &str, body: &str| {
        let url = format!("{}{path}", server.ingest);
        let answer = ask(&server, ("POST", &url), Some(token), None, body);
        assert!(answer.status < 300, "{path}: {}", answer.text());
    };
    let of_b = json!({"message": SECRET, "service": SECRET, "correlation_id": SECRET, "trace_id": TRACE, SECRET: 1});
    post("/ingest/jsonl", &tokens.b_all, &of_b.to_string());
    post("/api/v1/flush", &tokens.operator, "");
    post("/ingest/jsonl", &tokens.b_all, &of_b.to_string());
    post("/api/v1/agents/heartbeat", &tokens.b_all, &HEARTBEAT.replace("agent-of-a", SECRET));

    eventually("an alert over the records of b", || {
        let url = format!("{}/api/v1/alerts", server.alerts);
        let alerts = ask(&server, ("GET", &url), Some(&tokens.b_all), None, "").text();
        alerts.contains(SECRET).then_some(())
    });

    for row in ROUTES {
        check_row(&server, row, &tokens);
    }
    // A story is its tenant's alone.
    for path in [format!("correlations/{SECRET}"), format!("traces/{TRACE}")] {
        let url = format!("{}/api/v1/{path}", server.query);
        let status = |token: &str| ask(&server, ("GET", &url), Some(token), None, "").status;
        assert_eq!((status(&tokens.b_all), status(&tokens.a_query)), (200, 404), "{path}");
    }
    // Not even how much there is: what a query says that it looked at is of its own tenant.
    let url = format!("{}/api/v1/query", server.query);
    let empty = doors.create("c", "query");
    eventually("the new token is known", || {
        let answer = ask(&server, ("POST", &url), Some(&empty), None, ASK);
        let summary = (answer.status == 200).then(|| answer.json()["summary"].clone())?;
        for member in ["rows", "matched", "sources_read", "sources_pruned", "rows_in_sources"] {
            assert_eq!(summary[member], 0, "{summary}");
        }
        assert_eq!(summary["hint"], "nothing is stored yet", "{summary}");
        Some(())
    });

    let agents = |token: &str| {
        let url = format!("{}/api/v1/agents", server.ingest);
        let agents = ask(&server, ("GET", &url), Some(token), None, "").json()["agents"].take();
        let names = agents.as_array().unwrap().iter().map(|it| it["agent"].to_string());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(agents(&tokens.a_query), r#""agent-of-a""#);
    assert_eq!(agents(&tokens.b_all), format!("{SECRET:?}"));
    assert_eq!(agents(&tokens.operator), format!(r#""agent-of-a" {SECRET:?}"#));

    // Four routes that take log records, twice each; b's two are untouched, and the header is what a token for all takes.
    assert_eq!(messages(&server, &tokens.a_query, None), vec!["of-a"; 8]);
    assert_eq!(messages(&server, &tokens.b_all, None), [SECRET; 2]);
    assert_eq!(messages(&server, &tokens.operator, Some("b")), [SECRET; 2]);
    assert_eq!(messages(&server, &tokens.operator, None), [""; 0]);
    // And four that take spans.
    assert_eq!(messages_of(&server, &tokens.a_query, None, ASK_SPANS), vec!["of-a"; 8]);
    assert_eq!(messages_of(&server, &tokens.b_all, None, ASK_SPANS), [""; 0]);

    // A tenant deletes its own, and others neither lose anything nor hear of it.
    post("/api/v1/delete", &tokens.a_admin, r#"{"query":"*"}"#);
    assert_eq!(messages(&server, &tokens.a_query, None), [""; 0]);
    assert_eq!(messages(&server, &tokens.b_all, None), [SECRET; 2]);
    let deletes = |token: &str, path: &str| {
        let url = format!("{}/api/v1/deletes{path}", server.ingest);
        ask(&server, ("GET", &url), Some(token), None, "")
    };
    let own = deletes(&tokens.a_admin, "").json()["deletes"][0]["id"].to_string();
    assert_eq!(deletes(&tokens.a_admin, &format!("/{own}")).status, 200);
    assert_eq!(deletes(&tokens.b_all, "").json(), json!({"deletes": []}));
    assert_eq!(deletes(&tokens.b_all, &format!("/{own}")).status, 404);
    assert!(!server.log().contains(&tokens.a_all[20..]), "a token is in the log");
}

#[test]
fn a_revoked_token_is_refused_without_a_restart_and_a_new_one_taken() {
    let doors = Doors::new("");
    let first = doors.create("a", "query");
    let server = doors.home.start();
    let url = format!("{}/api/v1/query", server.query);
    let status = |token: &str| ask(&server, ("POST", &url), Some(token), None, ASK).status;
    assert_eq!(status(&first), 200);
    let second = doors.create("a", "query");
    eventually("the new token is taken", || (status(&second) == 200).then_some(()));
    doors.token(&["revoke", Doors::id(&first)]);
    eventually("the revoked token is refused", || (status(&first) == 401).then_some(()));
    assert_eq!(status(&second), 200);
    let listed = doors.token(&["list"]);
    assert!(listed.contains(Doors::id(&second)) && !listed.contains(Doors::id(&first)), "{listed}");
    assert!(!listed.contains(&second[20..]), "a secret is listed");
}
