//! What lies in `dashboards/`, held against what reads it: the JSON of Grafana's dashboards by rules and by Grafana's own
//! models, every query by the parsers of its language, data sources, provisioning and rules of Prometheus.
//!
//! Grafana itself is not here. Programs that check are: promtool, Python with grafana-foundation-sdk, Node.js with
//! @grafana/lezer-logql. Without one its check is left out, which is told, and in CI a failure.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod model;
mod provisioning;
#[path = "../../libs/logql/tests/queries/mod.rs"]
mod queries;
mod query_languages;
mod rules;
#[path = "../server/mod.rs"]
mod server;
mod structure;

use std::path::{Path, PathBuf};

/// The folder above all crates.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    let path = repository().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What `.ci/run` installs, if the environment does not say where it is.
fn installed(variable: &str, by_ci: &str) -> Option<PathBuf> {
    let by_ci = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../ci").join(by_ci);
    std::env::var_os(variable).map(PathBuf::from).or_else(|| by_ci.exists().then_some(by_ci))
}

/// Something is not checked, for want of a program.
fn not_checked(why: &str) {
    server::skipped(why);
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{why}, and CI may skip nothing");
}
