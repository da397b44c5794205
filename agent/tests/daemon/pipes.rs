//! Standard input and programs: what is read once.

use std::io::Write;
use std::process::Stdio;

use crate::collector::Action::*;
use crate::collector::Collector;
use crate::process::{Home, eventually, lines, messages};

const STDIN: &str = "[[agent.sources]]\nkind = \"stdin\"\nformat = \"raw\"\n";

fn exec(script: &str) -> String {
    format!(
        "[[agent.sources]]\nkind = \"exec\"\nname = \"program\"\nformat = \"raw\"\nrestart_after = \"50ms\"\ncommand = [\"sh\", \"-c\", {script:?}]\n"
    )
}

#[test]
fn standard_input_is_shipped_to_its_end_and_then_the_agent_ends() {
    let collector = Collector::start();
    let home = Home::new();
    // Nothing would be due before the end.
    home.configure(&[&collector.addr], "batch_age = \"1h\"", STDIN);
    for (input, expected) in [
        (lines(0..5_000), messages(0..5_000).collect::<Vec<_>>()),
        ("line 5000\nno end".to_owned(), vec!["line 5000".to_owned(), "no end".to_owned()]),
        (String::new(), Vec::new()),
    ] {
        let before = collector.messages().len();
        let mut agent = home.start_as(home.command().stdin(Stdio::piped()));
        let mut stdin = agent.stdin();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let status = agent.ended();
        assert!(status.success(), "{status}");
        assert_eq!(collector.messages()[before..], expected);
    }
    collector.assert_in_order();
}

#[test]
fn standard_input_waits_for_a_collector_that_comes_later() {
    let collector = Collector::with(|_| Refuse(503));
    let home = Home::new();
    home.configure(&[&collector.addr], "", STDIN);
    let mut agent = home.start_as(home.command().stdin(Stdio::piped()));
    let mut stdin = agent.stdin();
    stdin.write_all(lines(0..100).as_bytes()).unwrap();
    drop(stdin);
    eventually("it is tried", || (collector.requests_len() > 3).then_some(()));
    collector.then(|_| Accept);
    assert!(agent.ended().success());
    collector.assert_whole(messages(0..100));
}

#[test]
fn what_standard_input_gave_is_in_the_spool_when_the_agent_is_told_to_stop() {
    let collector = Collector::with(|_| Refuse(503));
    let home = Home::new();
    home.configure(&[&collector.addr], "batch_age = \"1h\"\ndrain = \"0s\"", STDIN);
    let mut agent = home.start_as(home.command().stdin(Stdio::piped()));
    let mut stdin = agent.stdin();
    stdin.write_all(lines(0..100).as_bytes()).unwrap();
    stdin.write_all(b"an unfinished line").unwrap();
    eventually("it is read", || (agent.status()["sources"][0]["lines"] == 100).then_some(()));
    agent.stop();
    collector.then(|_| Accept);
    let agent = home.start_as(home.command().stdin(Stdio::piped()));
    agent.settled(101);
    collector.assert_whole(messages(0..100).chain(["an unfinished line".to_owned()]));
    collector.assert_in_order();
}

#[test]
fn a_program_is_started_again_and_its_last_line_needs_no_end() {
    let collector = Collector::start();
    let home = Home::new();
    let count = home.path("runs");
    let script =
        format!("echo run >> {0}; echo begin; printf 'run %s' $(wc -l < {0})", count.display());
    home.configure(&[&collector.addr], "", &exec(&script));
    let agent = home.start();
    eventually("three runs arrive", || {
        let messages = collector.messages();
        let runs = ["run 1", "run 2", "run 3"];
        runs.iter().all(|run| messages.contains(&(*run).to_owned())).then_some(())
    });
    let status = agent.status();
    let error = status["sources"][0]["last_error"].as_str().unwrap();
    assert!(error.contains("sh ended with exit status: 0"), "{error}");
    agent.stop();
    collector.assert_in_order();
}

#[test]
fn a_program_that_cannot_be_started_is_told_and_tried_again() {
    let collector = Collector::start();
    let home = Home::new();
    let program = home.path("program");
    home.configure(
        &[&collector.addr],
        "",
        &format!(
            "[[agent.sources]]\nkind = \"exec\"\nformat = \"raw\"\nrestart_after = \"50ms\"\ncommand = [{program:?}]\n"
        ),
    );
    let agent = home.start();
    eventually("it is told", || {
        let error = agent.status()["sources"][0]["last_error"].as_str()?.to_owned();
        error.contains("cannot start").then_some(())
    });
    let script = home.path("script");
    std::fs::write(&script, "#!/bin/sh\necho here\n").unwrap();
    assert!(std::process::Command::new("chmod").arg("+x").arg(&script).status().unwrap().success());
    std::fs::rename(&script, &program).unwrap();
    eventually("it runs", || collector.messages().contains(&"here".to_owned()).then_some(()));
    agent.stop();
}

#[test]
fn a_program_is_told_to_end_and_its_last_words_arrive() {
    let collector = Collector::start();
    let home = Home::new();
    let script = "trap 'echo last words; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    home.configure(&[&collector.addr], "", &exec(script));
    let agent = home.start();
    eventually("it runs", || (collector.messages() == ["ready"]).then_some(()));
    agent.stop();
    assert_eq!(collector.messages(), ["ready", "last words"]);
}

#[test]
fn a_program_that_will_not_end_is_ended_with_all_that_it_started() {
    let collector = Collector::start();
    let home = Home::new();
    let script = format!(
        "trap '' TERM; sleep 1000 & echo $! > {}; echo ready; while :; do sleep 1; done",
        home.path("child").display()
    );
    home.configure(&[&collector.addr], "", &exec(&script));
    let agent = home.start();
    eventually("it runs", || (collector.messages() == ["ready"]).then_some(()));
    agent.stop();
    let child = std::fs::read_to_string(home.path("child")).unwrap();
    eventually("what it started is gone", || {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
        // Where nobody waits for it, it stays as a zombie.
        state.map_or(true, |state| state.contains(") Z ")).then_some(())
    });
}
