//! Telemetry of a whole process, on one of its own: this test runs itself again as the child.
#![allow(clippy::unwrap_used, reason = "the lint knows test functions only, not what they share")]

use std::process::Command;

use serde_json::Value;
use service::metrics::Metrics;
use service::telemetry::{Origin, Telemetry, TelemetryError, TelemetryOptions};
use tracing::info_span;

const CHILD: &str = "SERVICE_INSTALLED_CHILD";

/// Runs only as the child: tells of one piece of work, in a thread that nobody prepared.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let metrics = Metrics::new();
    let _telemetry = Telemetry::install(TelemetryOptions::new("orders"), &metrics).unwrap();
    let again = Telemetry::install(TelemetryOptions::new("orders"), &metrics);
    assert!(matches!(again, Err(TelemetryError::Installed)));
    let work = || {
        let span = info_span!("nightly");
        Origin::of_correlation("night-1").begin(&span);
        span.in_scope(|| tracing::info!(orders = 3, "counted"));
    };
    std::thread::spawn(work).join().unwrap();
}

#[test]
fn an_installed_service_tells_every_event_of_its_process_on_standard_output() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    let text = String::from_utf8(child.stdout).unwrap();
    // The test runner speaks there too, and not always with whole lines.
    let start = text.find("{\"timestamp\"").unwrap_or_else(|| panic!("{text}"));
    let line: Value = serde_json::from_str(text[start..].lines().next().unwrap()).unwrap();
    let told = ["service", "message", "correlation_id"].map(|key| line[key].as_str().unwrap());
    assert_eq!(told, ["orders", "counted", "night-1"]);
    assert_eq!((&line["orders"], line["trace_id"].as_str().unwrap().len()), (&3.into(), 32));
    assert_eq!(text.matches("\"counted\"").count(), 1);
}
