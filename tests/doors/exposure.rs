//! Beyond this machine nothing listens without tokens, unless somebody says so.

use std::process::Command;

use crate::Doors;
use crate::server::{Home, LOGQ, Output, run, without_settings};

fn agent(home: &Home, text: &str, flags: &[&str]) -> Output {
    let state = home.data().join("agent");
    let config = home.write("agent.toml", format!("[agent]\nstate = {state:?}\n{text}"));
    let mut command = Command::new(LOGQ);
    let arguments = ["run", "agent", "--config", config.to_str().unwrap()];
    run(without_settings(&mut command).args(arguments).args(flags), b"")
}

#[test]
fn listening_beyond_this_machine_without_tokens_is_refused_with_the_way_out() {
    let home = Home::new();
    let stdin = "[[agent.sources]]\nkind = \"stdin\"\n";
    let up = |variable: &str, arguments: &[&str]| {
        let mut up = home.up();
        run(up.env(variable, "0.0.0.0:0").args(arguments), b"")
    };
    let refused = [
        ("collector.http", up("LOGQ__COLLECTOR__HTTP", &[])),
        ("collector.grpc", up("LOGQ__COLLECTOR__GRPC", &[])),
        ("query.http", up("LOGQ__QUERY__HTTP", &[])),
        ("alerting.http", up("LOGQ__ALERTING__HTTP", &[])),
        ("--demo-http", up("X", &["--demo", "--demo-http", "0.0.0.0:0"])),
        ("agent.http", agent(&home, &format!("http = \"[::]:0\"\n{stdin}"), &[])),
        (
            "http of the source otlp",
            agent(
                &home,
                "http = \"127.0.0.1:0\"\n[[agent.sources]]\nkind = \"otlp\"\nname = \"otlp\"\nhttp = \"0.0.0.0:0\"\n",
                &[],
            ),
        ),
    ];
    for (key, output) in refused {
        assert_eq!(output.code, 2, "{key}: {output:?}");
        for said in [key, "token", "127.0.0.1", "--insecure"] {
            assert!(output.stderr.contains(said), "{key}: {output:?}");
        }
    }
    assert!(!home.data().exists(), "nothing was made");
}

#[test]
fn with_tokens_or_with_insecure_it_may_listen_beyond_this_machine() {
    let doors = Doors::new("");
    let everywhere = |home: &Home, flag: Option<&str>| {
        let mut up = home.up();
        up.env("LOGQ__COLLECTOR__HTTP", "0.0.0.0:0")
            .env("LOGQ__COLLECTOR__GRPC", "0.0.0.0:0")
            .env("LOGQ__QUERY__HTTP", "0.0.0.0:0")
            .env("LOGQ__ALERTING__HTTP", "0.0.0.0:0");
        home.start_by(
            {
                up.args(flag);
                up
            },
            "stop ",
        )
        .stop();
    };
    everywhere(&doors.home, None);
    everywhere(&Home::new(), Some("--insecure"));
    // Its source is at its end at once, and then it has told the collector that it began.
    let home = Home::new();
    let server = home.start();
    let text = format!(
        "http = \"0.0.0.0:0\"\ncollector = \"{}\"\n[[agent.sources]]\nkind = \"stdin\"\n",
        server.ingest
    );
    let output = agent(&home, &text, &["--insecure"]);
    assert_eq!(output.code, 0, "{output:?}");
}

#[test]
fn the_demo_does_not_run_behind_doors_that_its_agent_cannot_pass() {
    let doors = Doors::new("");
    let output = run(doors.home.up().arg("--demo"), b"");
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stderr.contains("--demo") && output.stderr.contains("[doors]"), "{output:?}");
}
