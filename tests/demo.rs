//! `logq up --demo` as a newcomer meets it: start, paste the last line, read the story, stop, start again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::net::TcpListener;

use serde_json::Value;
use server::{Home, LOGQ, Output, Server, eventually, run};

/// Starts the demo on ports of its own; its data are in a folder whose name means something to globs and shells.
fn home() -> (Home, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("shop [1] {a,b}");
    (Home::new().launched_by(Vec::new(), data), folder)
}

fn start(home: &Home, gateway: &str) -> Server {
    let mut command = home.up();
    command.args(["--demo", "--demo-http", gateway]).env("LOGQ__AGENT__HTTP", "127.0.0.1:0");
    home.start_by(command, "sort timestamp'")
}

/// Runs the last line of the ready block in a shell.
fn paste(server: &Server, more: &str) -> Output {
    let line = server.ready_block.lines().rev().find(|line| !line.trim().is_empty()).unwrap();
    assert!(line.trim().starts_with(LOGQ), "{line}");
    run(std::process::Command::new("sh").args(["-c", &format!("{line} {more}")]), b"")
}

/// The story in the ready block is whole and in order; gives its correlation id.
fn check_story(server: &Server) -> String {
    let json = paste(server, "-o json");
    assert_eq!((json.code, json.stderr.as_str()), (0, ""), "{}", server.ready_block);
    let records = json.json_lines();
    let text = |name: &str| -> Vec<&str> {
        records.iter().map(|record| record[name].as_str().unwrap()).collect()
    };
    let (times, services, messages) = (text("timestamp"), text("service"), text("message"));
    let parsed: Vec<jiff::Timestamp> = times.iter().map(|time| time.parse().unwrap()).collect();
    assert!(parsed.is_sorted(), "{times:?}");
    for service in ["gateway", "orders", "inventory", "payments", "notifications"] {
        assert!(services.contains(&service), "{services:?}");
    }
    assert_eq!((services[0], messages[0]), ("gateway", "checkout received"));
    assert!(messages.contains(&"checkout failed"), "{messages:?}");
    assert_eq!(messages.last(), Some(&"message processed"), "{messages:?}");
    let timeouts = messages.iter().filter(|message| **message == "payment timed out");
    assert_eq!(timeouts.count(), 2, "{messages:?}");
    let ids = text("correlation_id");
    assert!(ids[0].starts_with("ord-") && ids.iter().all(|id| *id == ids[0]), "{ids:?}");

    let lines = paste(server, "");
    assert_eq!(lines.code, 0, "{lines:?}");
    let begin: Vec<&str> = lines.stdout.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(begin, times, "text is in the same order");
    ids[0].to_owned()
}

/// The audit, once it has heard of the agent.
fn audit(server: &Server) -> Value {
    eventually("the agent is heard of and all that it shipped is there", || {
        let output = server.logq(&["audit", "-o", "json"]);
        assert_eq!(output.code, 0, "{output:?}");
        let audit = output.json_lines().swap_remove(0);
        (audit["agents_sum"]["acknowledged"].as_u64()? > 0).then_some(audit)
    })
}

#[test]
fn the_pasted_line_tells_a_story_over_services_and_a_second_start_goes_on() {
    let (home, _folder) = home();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = taken.local_addr().unwrap().to_string();
    let server = start(&home, &gateway);
    assert!(!server.ready_block.contains(&gateway), "another port: {}", server.ready_block);
    let first = check_story(&server);
    let table = server.logq(&["audit"]);
    assert!(
        table.stdout.contains("\nagent ") && table.stdout.ends_with("\nadds up\n"),
        "{table:?}"
    );
    let agent = audit(&server)["agents"][0]["agent"].clone();
    assert!(agent.is_string());
    server.stop();

    let server = start(&home, "127.0.0.1:0");
    assert_ne!(check_story(&server), first, "a story of its own");
    assert!(
        server.search(&format!("correlation:{first}")).len() > 10,
        "the first one is still there"
    );
    let audit = audit(&server);
    assert_eq!(audit["agents"].as_array().unwrap().len(), 1);
    assert_eq!(audit["agents"][0]["agent"], agent, "the same agent goes on");
    server.stop();
}
