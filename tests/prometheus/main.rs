//! Metrics as Prometheus takes them: what promtool says of them, a real Prometheus that scrapes them, the page that lists
//! them, and the dashboards that are made of them.
//!
//! Prometheus and promtool are Debian's package `prometheus`. Without it nothing of them is tested, which is told, and in
//! CI a failure.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod dashboards;
mod document;
mod exposition;
mod processes;
#[path = "../server/mod.rs"]
mod server;
mod tools;

use std::path::{Path, PathBuf};

use dashboards::Source;
use document::Told;
use processes::{Agent, Demo, families, metrics};
use serde_json::Value;
use server::eventually;
use tools::{Prometheus, data, is_installed, promtool};

/// Writes `docs/metrics.md` anew instead of comparing it.
const WRITE: &str = "LOGQ_WRITE_DOCS";

fn of_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[test]
fn the_page_of_metrics_is_what_processes_tell() {
    let demo = Demo::start();
    let agent = Agent::start(&demo.server.ingest);
    let [up, query, alerts] = [&demo.server.ingest, &demo.server.query, &demo.server.alerts]
        .map(|url| families(&demo.server, url));
    let names = |families: &exposition::Families| families.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&up), names(&query), "ports of one process");
    assert_eq!(names(&up), names(&alerts), "ports of one process");
    let of_demo = families(&demo.server, &demo.agent);
    let alone = eventually("an agent of its own tells what the demo's does", || {
        let alone = families(&demo.server, &agent.url);
        (names(&alone) == names(&of_demo)).then_some(alone)
    });
    let shop = families(&demo.server, &demo.shop);
    let page = document::page(&Told { up, agent: alone, shop });
    let path = of_repository("docs/metrics.md");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == written,
        "write it anew: {WRITE}=1 cargo test -p logq --test prometheus the_page"
    );
    demo.server.stop();
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics_of_any_port() {
    if !is_installed("promtool") {
        return;
    }
    let demo = Demo::start();
    let agent = Agent::start(&demo.server.ingest);
    demo.ask();
    for (job, url) in demo.jobs().into_iter().chain([("an agent of its own", agent.url.as_str())]) {
        let text = metrics(&demo.server, url);
        let (code, said) = promtool(&["check", "metrics"], &text);
        assert_eq!((code, said.as_str()), (0, ""), "{job}");
    }
}

#[test]
fn promtool_takes_the_configuration_as_it_is_shipped() {
    if !is_installed("promtool") {
        return;
    }
    let config = of_repository("dashboards/prometheus/prometheus.yml");
    let (code, said) = promtool(&["check", "config", &config.display().to_string()], "");
    assert_eq!(code, 0, "{said}");
}

#[test]
fn prometheus_scrapes_every_port_by_the_configuration_that_is_shipped() {
    if !is_installed("prometheus") {
        return;
    }
    let demo = Demo::start();
    let config = of_repository("dashboards/prometheus/prometheus.yml");
    let prometheus = Prometheus::start(&config, &demo.jobs());
    let mut wanted: Vec<&str> = demo.jobs().map(|(job, _)| job).into();
    wanted.sort_unstable();
    eventually("up is 1 for every job", || {
        let up = prometheus.get("/api/v1/query", &[("query", "up == 1")]).unwrap();
        let up = up["result"].as_array().unwrap().iter();
        let mut jobs: Vec<&str> = up.filter_map(|one| one["metric"]["job"].as_str()).collect();
        jobs.sort_unstable();
        (jobs == wanted).then_some(())
    });
    let targets = prometheus.get("/api/v1/targets", &[]).unwrap();
    for target in targets["activeTargets"].as_array().unwrap() {
        assert_eq!(target["lastError"], "", "{target}");
    }
}

/// A demo in which an alert fires, and all dashboards.
fn lively_demo() -> (Demo, Vec<dashboards::Dashboard>) {
    let dashboards = answers::dashboards(&of_repository("dashboards/grafana"));
    let demo = Demo::start();
    demo.fail_orders();
    (demo, dashboards)
}

/// Until an alert fires.
fn wait_for_an_alert(demo: &Demo) {
    let url = format!("{}/api/v1/alerts", demo.server.alerts);
    eventually("an alert fires", || {
        let alerts = demo.server.http.get(&url).json();
        let mut alerts = alerts["alerts"].as_array().unwrap().iter();
        alerts.any(|alert| alert["state"] == "firing").then_some(())
    });
}

#[test]
fn every_expression_for_prometheus_in_the_dashboards_has_data() {
    if !is_installed("prometheus") {
        return;
    }
    let (demo, dashboards) = lively_demo();
    let config = of_repository("dashboards/prometheus/prometheus.yml");
    let prometheus = Prometheus::start(&config, &demo.jobs());
    wait_for_an_alert(&demo);
    let ask = asker(&demo, Some(&prometheus));
    answers::expect_data(&dashboards, Source::Prometheus, &ask, &|| demo.ask());
}

#[test]
fn every_expression_for_loki_in_the_dashboards_has_data() {
    let (demo, dashboards) = lively_demo();
    wait_for_an_alert(&demo);
    answers::expect_data(&dashboards, Source::Loki, &asker(&demo, None), &|| demo.ask());
}

/// Asks a Prometheus, or the query port as a Loki.
fn asker<'a>(
    demo: &'a Demo,
    prometheus: Option<&'a Prometheus>,
) -> impl Fn(Source, &str, &[(&str, &str)]) -> Result<Value, String> + 'a {
    move |source, path, parameters| match source {
        Source::Prometheus => match prometheus {
            Some(prometheus) => prometheus.get(path, parameters),
            None => Err("there is no Prometheus here".to_owned()),
        },
        Source::Loki => {
            data(&demo.server.http, &format!("{}{path}", demo.server.query), parameters)
        }
    }
}
