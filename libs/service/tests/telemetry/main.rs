//! Telemetry of services from outside: spans at a receiver, lines in files, headers on the wire, metrics.
#![allow(clippy::unwrap_used, reason = "the lint knows test functions only, not what they share")]

mod receiver;
#[allow(dead_code, reason = "its main is for people")]
#[path = "../../examples/two_services.rs"]
mod two_services;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use receiver::{Received, Receiver};
use serde_json::{Value, json};
use service::http::{ServerLimits, serve};
use service::metrics::Metrics;
use service::telemetry::{self, Call, Lines, Origin, Telemetry, TelemetryOptions};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing::{Instrument, Level, Subscriber, info, info_span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

const DEADLINE: Duration = Duration::from_secs(10);

fn options(folder: &Path) -> TelemetryOptions {
    let lines = Lines::file(folder.join("orders.log"));
    TelemetryOptions { lines, ..TelemetryOptions::new("orders") }
}

fn lines(folder: &Path, service: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.join(format!("{service}.log"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy();
    client.tls_backend_preconfigured(service::tls::no_trust()).build().unwrap()
}

async fn listen(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, router, std::future::pending(), ServerLimits::default()));
    url
}

#[tokio::test]
async fn a_call_and_a_message_share_one_correlation_and_one_trace_with_the_right_parents() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, collector) = Receiver::start(StatusCode::OK).await;
    let correlation_id = two_services::run(&collector, folder.path()).await.unwrap();
    let spans = receiver.spans();
    let span = |service: &str, name: &str| -> Received {
        let found = spans.iter().find(|one| one.service == service && one.span.name == name);
        found.unwrap_or_else(|| panic!("{service} {name} in {spans:#?}")).clone()
    };
    let place = span("orders", "POST /orders");
    let call = span("orders", "POST");
    let pay = span("payments", "POST /payments");
    let publish = span("orders", "publish refunds");
    let process = span("payments", "process refunds");
    assert_eq!(spans.len(), 5);
    for (child, parent) in
        [(&call, &place), (&pay, &call), (&publish, &place), (&process, &publish)]
    {
        assert_eq!(child.span.parent_span_id, parent.span.span_id, "{}", child.span.name);
    }
    assert_eq!(place.span.parent_span_id, Vec::<u8>::new());
    for one in &spans {
        assert_eq!(one.span.trace_id, place.span.trace_id, "{}", one.span.name);
        assert_eq!(one.attribute("correlation_id").as_ref(), Some(&correlation_id));
        assert!(one.span.start_time_unix_nano <= one.span.end_time_unix_nano);
    }
    // OpenTelemetry's numbers: server 2, client 3, producer 4, consumer 5.
    let kinds = [&place, &call, &pay, &publish, &process].map(|one| one.span.kind);
    assert_eq!(kinds, [2, 3, 2, 4, 5]);
    assert_eq!(call.attribute("service.peer.name").as_deref(), Some("payments"));
    assert_eq!(pay.attribute("http.response.status_code").as_deref(), Some("200"));
    assert_eq!(process.attribute("messaging.message.id").as_deref(), Some("m-1"));

    let (orders, payments) = (lines(folder.path(), "orders"), lines(folder.path(), "payments"));
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for line in orders.iter().chain(&payments) {
        assert_eq!(line["correlation_id"], correlation_id);
        assert_eq!(line["trace_id"], hex(&place.span.trace_id));
    }
    let told = |line: &Value| (line["message"].clone(), line["span_id"].clone());
    let expected = |message: &str, one: &Received| (json!(message), json!(hex(&one.span.span_id)));
    assert_eq!(
        orders.iter().map(told).collect::<Vec<_>>(),
        [expected("order received", &place), expected("payments answered", &place)]
    );
    assert_eq!(
        payments.iter().map(told).collect::<Vec<_>>(),
        [expected("payment authorised", &pay), expected("refund noted", &process)]
    );
}

#[tokio::test]
async fn a_line_has_the_fields_of_its_event_with_their_types() {
    let folder = tempfile::tempdir().unwrap();
    let telemetry = Telemetry::start(options(folder.path()), &Metrics::new()).unwrap();
    let work = async {
        info!(
            event_name = "saga.started",
            saga.id = "o-1",
            ok = true,
            big = u64::MAX,
            less = -1,
            half = 0.5,
            none = f64::NAN,
            missing = None::<&str>,
            service = "impostor",
            "line {}",
            1
        );
        let source = std::io::Error::other("disk \"full\"\n");
        let error = telemetry::TelemetryError::Lines(source);
        let error: &(dyn std::error::Error + 'static) = &error;
        tracing::warn!(error, correlation_id = "own-1", "no message of its own");
        tracing::debug!("not wanted");
    };
    telemetry.scope(work).await;
    let lines = lines(folder.path(), "orders");
    let mut first = lines[0].clone();
    let time = first["timestamp"].take();
    assert_eq!(time.as_str().unwrap().len(), "2026-11-28T09:12:04.118402917Z".len());
    assert_eq!(
        first,
        json!({
            "timestamp": null, "level": "info", "service": "orders", "message": "line 1",
            "event_name": "saga.started", "saga.id": "o-1", "ok": true, "big": u64::MAX, "less": -1,
            "half": 0.5, "none": "NaN", "attribute.service": "impostor",
        })
    );
    assert_eq!(lines[1]["correlation_id"], "own-1");
    assert_eq!(
        lines[1]["error"], "cannot write log lines: disk \"full\"\n: disk \"full\"\n",
        "with what caused it"
    );
    assert_eq!(lines.len(), 2);
    let text = fs::read_to_string(folder.path().join("orders.log")).unwrap();
    assert!(text.starts_with("{\"timestamp\":\""), "{text}");
}

#[tokio::test]
async fn work_without_a_request_has_a_correlation_of_its_own_and_spawned_tasks_keep_it() {
    let folder = tempfile::tempdir().unwrap();
    let telemetry = Telemetry::start(options(folder.path()), &Metrics::new()).unwrap();
    let work = async {
        let span = info_span!("nightly");
        Origin::of_correlation("night-1").begin(&span);
        async {
            info!("begun");
            tokio::spawn(telemetry::carry(async { info!("spawned") })).await.unwrap();
            async { info!("nested") }.instrument(info_span!("nested")).await;
            assert_eq!(telemetry::correlation_id().as_deref(), Some("night-1"));
        }
        .instrument(span)
        .await;
        assert_eq!((telemetry::correlation_id(), telemetry::trace_and_span_id()), (None, None));
        info!("outside");
    };
    telemetry.scope(work).await;
    let lines = lines(folder.path(), "orders");
    let spans: Vec<_> = lines.iter().map(|line| line["span_id"].as_str()).collect();
    assert!(lines[..3].iter().all(|line| line["correlation_id"] == "night-1"), "{lines:#?}");
    assert!(lines[..3].iter().all(|line| line["trace_id"] == lines[0]["trace_id"]), "{lines:#?}");
    assert_eq!(spans[0], spans[1]);
    assert_ne!(spans[0], spans[2]);
    assert_eq!((spans[3], lines[3].get("correlation_id")), (None, None));
}

/// Asks `/orders/7` of a service with `headers`; gives the answer's correlation id and the only line.
async fn ask(headers: &[(&str, &str)]) -> (String, Value) {
    let folder = tempfile::tempdir().unwrap();
    let telemetry = Telemetry::start(options(folder.path()), &Metrics::new()).unwrap();
    let routes = Router::new().route("/orders/{id}", get(async || info!("asked")));
    let url = listen(telemetry.observe(routes)).await;
    let mut request = client().get(format!("{url}/orders/7"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let id = answer.headers()["x-correlation-id"].to_str().unwrap().to_owned();
    (id, lines(folder.path(), "orders").remove(0))
}

#[tokio::test]
async fn a_request_goes_on_with_its_callers_ids_and_has_new_ones_without() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let w3c = format!("00-{TRACE}-b7ad6b7169203331-01");
    let unsampled = format!("00-{TRACE}-b7ad6b7169203331-00");
    let b3 = format!("{TRACE}-b7ad6b7169203331-1");
    for headers in [
        vec![("x-correlation-id", "mine-1"), ("traceparent", &w3c)],
        vec![("x-correlation-id", "mine-1"), ("traceparent", &unsampled)],
        vec![("baggage", "a=b,correlation_id=mine-1"), ("b3", &b3)],
        vec![
            ("x-correlation-id", "mine-1"),
            ("x-b3-traceid", TRACE),
            ("x-b3-spanid", "b7ad6b7169203331"),
        ],
    ] {
        let (id, line) = ask(&headers).await;
        assert_eq!((id.as_str(), &line["correlation_id"]), ("mine-1", &json!("mine-1")));
        assert_eq!(line["trace_id"], TRACE, "{headers:?}");
        assert_ne!(line["span_id"], "b7ad6b7169203331", "a span of its own");
    }
    let ((first, line), (second, other)) = (ask(&[]).await, ask(&[]).await);
    assert!(first.len() == 32 && first != second, "{first} {second}");
    assert_eq!(line["correlation_id"], first);
    assert_ne!(line["trace_id"], other["trace_id"]);
}

#[tokio::test]
async fn requests_are_measured_by_method_route_and_status() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = Metrics::new();
    let telemetry = Telemetry::start(options(folder.path()), &metrics).unwrap();
    let (entered, mut inside) = mpsc::channel::<mpsc::Sender<()>>(1);
    let slow = move || {
        let entered = entered.clone();
        async move {
            let (held, mut dropped) = mpsc::channel(1);
            entered.send(held).await.unwrap();
            dropped.recv().await;
            std::future::pending::<()>().await;
        }
    };
    let routes = Router::new()
        .route("/orders/{id}", get(async || "7"))
        .route("/broken", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route("/slow", get(slow));
    let url = listen(telemetry.observe(routes)).await;
    for path in ["/orders/1", "/orders/2", "/broken", "/nowhere/1", "/nowhere/2"] {
        client().get(format!("{url}{path}")).send().await.unwrap();
    }
    let hung_up = tokio::spawn(client().get(format!("{url}/slow")).send());
    let held = inside.recv().await.unwrap();
    hung_up.abort();
    held.closed().await;
    let text = metrics.render();
    for (labels, count) in [
        (
            r#"http_request_method="GET",http_response_status_code="200",http_route="/orders/{id}""#,
            2,
        ),
        (r#"http_request_method="GET",http_response_status_code="500",http_route="/broken""#, 1),
        (r#"http_request_method="GET",http_response_status_code="404",http_route="""#, 2),
        (r#"http_request_method="GET",http_response_status_code="",http_route="/slow""#, 1),
    ] {
        let line = format!("http_server_request_duration_seconds_count{{{labels}}} {count}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
}

#[tokio::test]
async fn failures_are_told_by_the_spans_status() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, collector) = Receiver::start(StatusCode::OK).await;
    let options = TelemetryOptions { collector: Some(collector), ..options(folder.path()) };
    let telemetry = Telemetry::start(options, &Metrics::new()).unwrap();
    let routes = Router::new().route("/broken", get(async || StatusCode::BAD_GATEWAY));
    let url = listen(telemetry.observe(routes)).await;
    let work = async {
        let call = Call::of(client().get(format!("{url}/broken"))).attempt(2);
        call.send().await.unwrap();
        let nobody = Call::of(client().get("http://127.0.0.1:1/"));
        nobody.send().await.unwrap_err();
        let span = info_span!("step", attempts = 2);
        span.in_scope(|| telemetry::fail("out_of_stock", "there are no teapots"));
    };
    telemetry.scope(work).await;
    telemetry.close(DEADLINE).await;
    let spans = receiver.spans();
    let told = spans.iter().map(|one| {
        let status = one.span.status.clone().unwrap_or_default();
        (one.span.name.as_str(), status.code, one.attribute("error.type").unwrap_or_default())
    });
    let error = 2;
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ("GET /broken", error, "502".to_owned()),
            ("GET", error, "502".to_owned()),
            ("GET", error, "connect".to_owned()),
            ("step", error, "out_of_stock".to_owned()),
        ]
    );
    assert_eq!(spans[1].attribute("http.request.resend_count").as_deref(), Some("1"));
    assert_eq!(spans[3].span.status.clone().unwrap().message, "there are no teapots");
}

/// Counts what is told at WARN and above.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<u64>>);

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() <= Level::WARN {
            *self.0.lock().unwrap() += 1;
        }
    }
}

#[tokio::test]
async fn a_collector_that_takes_no_spans_is_told_of_once_and_costs_nothing_but_spans() {
    let warnings = Warnings::default();
    let _told =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(warnings.clone()));
    let folder = tempfile::tempdir().unwrap();
    let (receiver, collector) = Receiver::start(StatusCode::NOT_FOUND).await;
    let metrics = Metrics::new();
    let options = TelemetryOptions { collector: Some(collector), ..options(folder.path()) };
    let telemetry = Telemetry::start(options, &metrics).unwrap();
    telemetry.scope(async { (0..1_100).for_each(|_| drop(info_span!("step").entered())) }).await;
    telemetry.close(DEADLINE).await;
    assert!(receiver.requests() >= 3, "{}", receiver.requests());
    assert_eq!(*warnings.0.lock().unwrap(), 1);
    assert!(metrics.render().contains("logq_telemetry_spans_lost_total 1100\n"));
}

#[tokio::test]
async fn spans_that_find_the_queue_full_are_counted_and_nobody_waits() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, collector) = Receiver::start(StatusCode::OK).await;
    let metrics = Metrics::new();
    let collector = Some(collector);
    let options = TelemetryOptions { collector, span_queue_max: 3, ..options(folder.path()) };
    let telemetry = Telemetry::start(options, &metrics).unwrap();
    // On this runtime of one thread nobody empties the queue meanwhile.
    telemetry.scope(async { (0..10).for_each(|_| drop(info_span!("step").entered())) }).await;
    assert!(metrics.render().contains("logq_telemetry_spans_lost_total 7\n"));
    telemetry.close(DEADLINE).await;
    assert_eq!(receiver.spans().len(), 3);
}

#[tokio::test]
async fn a_collector_that_does_not_answer_keeps_no_service_from_ending() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = Some(listener.local_addr().unwrap().to_string());
    let metrics = Metrics::new();
    let options = TelemetryOptions { collector, ..options(folder.path()) };
    let telemetry = Telemetry::start(options, &metrics).unwrap();
    telemetry.scope(async { (0..600).for_each(|_| drop(info_span!("step").entered())) }).await;
    // Connections are taken, by the kernel, and nothing more.
    telemetry.close(Duration::from_millis(50)).await;
    assert!(metrics.render().contains("logq_telemetry_spans_lost_total 600\n"));
    drop(listener);
}

#[tokio::test]
async fn what_lines_are_wanted_does_not_decide_about_their_ids() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, collector) = Receiver::start(StatusCode::OK).await;
    let (filter, collector) = ("error".to_owned(), Some(collector));
    let options = TelemetryOptions { filter, collector, ..options(folder.path()) };
    let telemetry = Telemetry::start(options, &Metrics::new()).unwrap();
    let fails = async || {
        info!("not wanted");
        tracing::error!("failed");
    };
    let url = listen(telemetry.observe(Router::new().route("/", get(fails)))).await;
    let answer = client().get(&url).header("x-correlation-id", "mine-1").send().await.unwrap();
    assert_eq!(answer.headers()["x-correlation-id"], "mine-1");
    telemetry.close(DEADLINE).await;
    let lines = lines(folder.path(), "orders");
    let told = [&lines[0]["message"], &lines[0]["correlation_id"]];
    assert_eq!((lines.len(), told), (1, [&json!("failed"), &json!("mine-1")]));
    assert_eq!(receiver.spans().len(), 1);
}

#[tokio::test]
async fn a_message_without_headers_begins_a_correlation_and_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let telemetry = Telemetry::start(options(folder.path()), &Metrics::new()).unwrap();
    let message = telemetry::Message { system: "memory", destination: "orders", id: "m-1" };
    let work = async {
        let span = telemetry::messages::process(message, &BTreeMap::new(), 1);
        async { info!("processed") }.instrument(span).await;
    };
    telemetry.scope(work).await;
    let line = lines(folder.path(), "orders").remove(0);
    assert_eq!(line["correlation_id"].as_str().unwrap().len(), 32);
    assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
}

#[tokio::test]
async fn options_that_cannot_be_used_are_refused_and_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let good = options(folder.path());
    let lines = Lines::file(folder.path().join("no/such/folder"));
    let collector = Some("not an address".to_owned());
    for (options, told) in [
        (TelemetryOptions { lines, ..good.clone() }, "cannot write log lines: "),
        (
            TelemetryOptions { filter: "a=b=c".into(), ..good.clone() },
            "write it like info,hyper=warn",
        ),
        (TelemetryOptions { collector, ..good }, "give its address as http://host:port"),
    ] {
        let error = Telemetry::start(options, &Metrics::new()).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}
