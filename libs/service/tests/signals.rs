//! Signals, on a process of its own: this test runs itself again as the child.
// The lint knows test functions only, not what they share.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use service::shutdown::{IMPATIENT_EXIT_CODE, Shutdown};

const CHILD: &str = "SERVICE_SIGNALS_CHILD";

/// Runs only as the child: says when it is ready and when the first signal came, then never ends.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let token = Shutdown::on_signals().unwrap();
        println!("\nready");
        token.requested().await;
        println!("\nstopping");
        std::future::pending::<()>().await;
    });
}

fn wait_for(lines: &mut std::io::Lines<BufReader<ChildStdout>>, wanted: &str) {
    assert!(lines.any(|line| line.unwrap() == wanted), "{wanted}");
}

fn send(signal: &str, child: &Child) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn the_first_signal_stops_and_the_second_exits_at_once() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    wait_for(&mut lines, "ready");
    send("-TERM", &child);
    wait_for(&mut lines, "stopping");
    send("-INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(IMPATIENT_EXIT_CODE));
}
