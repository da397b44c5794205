//! What promtool says of the agent's metrics.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::collector::Collector;
use crate::process::{Home, lines, skipped};

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else { return skipped("promtool is not installed") };
    let collector = Collector::start();
    let home = Home::reading_logs(&collector.addr, "");
    home.log("a.log", lines(0..10));
    let agent = home.start();
    agent.settled(10);
    let metrics = agent.get("/metrics");
    for line in [
        "logq_agent_records_total{result=\"read\"} 10",
        "logq_agent_source_records_total{source=\"logs\"} 10",
        "logq_agent_spooled_records 0",
        "logq_agent_missing_records 0",
        "logq_agent_dead_letters 0",
    ] {
        assert!(metrics.lines().any(|told| told == line), "{line}\n{metrics}");
    }
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!((output.status.code(), said.as_str()), (Some(0), ""));
    agent.stop();
}
