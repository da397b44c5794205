//! SIGHUP: the new configuration is taken over without loss or doubling, or the old one goes on.

use std::io::Write;
use std::process::Stdio;

use crate::collector::Collector;
use crate::process::{Agent, Home, eventually, lines, messages};

fn taken_over(agent: &Agent, times: usize) {
    eventually("the new configuration is taken over", || {
        (agent.log().matches("configuration taken over").count() == times).then_some(())
    });
}

#[test]
fn a_new_source_a_new_filter_and_another_collector_go_over_without_loss_or_doubling() {
    let (first, second) = (Collector::start(), Collector::start());
    let home = Home::reading_logs(&first.addr, "");
    std::fs::create_dir(home.path("more")).unwrap();
    let more = format!(
        "[[agent.sources]]\nkind = \"file\"\nname = \"more\"\ninclude = [\"{}/*.log\"]\nstart_at = \"beginning\"\nformat = \"raw\"\n",
        home.path("more").display()
    );
    std::fs::write(home.path("more/m.log"), lines(50_000..50_100)).unwrap();
    let agent = home.start();
    // Lines go on all the time.
    let mut written = 0;
    let mut write = |count: usize| {
        home.log("a.log", lines(written..written + count));
        written += count;
    };
    write(2_000);
    home.configure(&[&first.addr], "", &format!("{}{more}", home.logs_source("")));
    agent.signal("-HUP");
    write(2_000);
    taken_over(&agent, 1);
    write(500);
    agent.settled(4_600);
    first.assert_whole(messages(0..4_500).chain(messages(50_000..50_100)));

    home.configure(&[&first.addr], "drop = [\"msg:line msg:7\"]", &home.logs_source(""));
    agent.signal("-HUP");
    taken_over(&agent, 2);
    home.log("a.log", "line 7\nline 8\n");
    let ledger = agent.settled(4_602)["ledger"].clone();
    assert_eq!(ledger["filtered"], 1, "{ledger}");
    first.assert_whole(
        messages(0..4_500).chain(messages(50_000..50_100)).chain(["line 8".to_owned()]),
    );

    write(500);
    home.configure(&[&second.addr], "", &home.logs_source(""));
    agent.signal("-HUP");
    taken_over(&agent, 3);
    write(500);
    agent.settled(5_602);
    first.assert_in_order();
    let mut all = [first.messages(), second.messages()].concat();
    all.sort_unstable();
    let mut expected: Vec<_> =
        messages(0..5_500).chain(messages(50_000..50_100)).chain(["line 8".to_owned()]).collect();
    expected.sort_unstable();
    assert!(all == expected, "{} arrived, {} expected", all.len(), expected.len());
    assert!(second.messages().len() >= 500);
    agent.stop();
}

#[test]
fn a_bad_configuration_is_refused_with_all_its_faults_and_the_old_one_goes_on() {
    let collector = Collector::start();
    let home = Home::reading_logs(&collector.addr, "");
    let agent = home.start();
    home.log("a.log", lines(0..10));
    agent.settled(10);
    home.configure(
        &[&collector.addr],
        "colector = \"x\"\nkeep = \"level:(\"",
        "[[agent.sources]]\nkind = \"fiel\"\n[[agent.sources]]\nkind = \"exec\"\nname = 7\n",
    );
    agent.signal("-HUP");
    let health = eventually("health is degraded", || {
        Some(agent.get("/health/ready")).filter(|health| health.contains("not taken over"))
    });
    assert!(health.contains("degraded"), "{health}");
    for fault in ["colector", "agent.keep", "fiel", "agent.sources[1].name"] {
        assert!(agent.log().contains(fault), "{fault} is not in {}", agent.log());
    }
    home.log("a.log", lines(10..20));
    agent.settled(20);
    home.configure(&[&collector.addr], "", &home.logs_source(""));
    agent.signal("-HUP");
    taken_over(&agent, 1);
    eventually("health is good again", || {
        (!agent.get("/health/ready").contains("degraded")).then_some(())
    });
    home.log("a.log", lines(20..30));
    agent.settled(30);
    collector.assert_whole(messages(0..30));
    collector.assert_in_order();
    agent.stop();
}

#[test]
fn what_cannot_change_while_the_agent_runs_is_refused_by_name() {
    let collector = Collector::start();
    let home = Home::reading_logs(&collector.addr, "");
    let agent = home.start();
    let elsewhere = format!("state = {:?}", home.path("elsewhere"));
    for (key, change) in [
        ("state", elsewhere.as_str()),
        ("http", "http = \"127.0.0.1:1\""),
        ("spool_max", "spool_max = \"2 GiB\""),
        ("dead_letters_max", "dead_letters_max = \"2 MiB\""),
        ("failover_after", "failover_after = \"7s\""),
        ("heartbeat_interval", "heartbeat_interval = \"7s\""),
        ("host", "host = \"elsewhere\""),
    ] {
        home.configure(&[&collector.addr], change, &home.logs_source(""));
        agent.signal("-HUP");
        let said = format!("`agent.{key}` cannot change while the agent runs");
        eventually(&said, || agent.get("/health/ready").contains(&said).then_some(()));
    }
    home.log("a.log", lines(0..10));
    agent.settled(10);
    collector.assert_whole(messages(0..10));
    agent.stop();
}

#[test]
fn standard_input_loses_nothing_when_the_configuration_changes() {
    let collector = Collector::start();
    let home = Home::new();
    let stdin = "[[agent.sources]]\nkind = \"stdin\"\nformat = \"raw\"\n";
    home.configure(&[&collector.addr], "", stdin);
    let mut agent = home.start_as(home.command().stdin(Stdio::piped()));
    let mut input = agent.stdin();
    let (mut written, mut reloads) = (0, 0);
    for _ in 0..4 {
        input.write_all(lines(written..written + 100).as_bytes()).unwrap();
        // The first half of a line is there when the source is changed.
        input.write_all(b"li").unwrap();
        written += 100;
        agent.settled(written as u64);
        home.configure(&[&collector.addr], "", &format!("{stdin}service = \"s{reloads}\"\n"));
        agent.signal("-HUP");
        reloads += 1;
        taken_over(&agent, reloads);
        input.write_all(format!("ne {written}\n").as_bytes()).unwrap();
        written += 1;
    }
    agent.settled(written as u64);
    drop(input);
    let status = agent.ended();
    assert!(status.success(), "{status}");
    collector.assert_whole(messages(0..written));
    collector.assert_in_order();
}

#[test]
fn a_reload_that_waits_for_a_full_spool_can_be_ended() {
    use crate::collector::Action::*;
    let collector = Collector::with(|_| Refuse(503));
    let home =
        Home::reading_logs(&collector.addr, "spool_max = \"32 MiB\"\nbatch_size = \"1 MiB\"");
    let agent = home.start();
    let mut random = crate::kill::Random::seeded();
    for number in 0..250 {
        home.log("a.log", format!("{number} {}\n", random.noise(200_000)));
    }
    // Asked again and again while the spool fills, so that one of the times is the wrong one.
    eventually("the spool is full", || {
        agent.signal("-HUP");
        agent.status()["trouble"].to_string().contains("spool:").then_some(())
    });
    agent.signal("-HUP");
    agent.stop();
    collector.then(|_| Accept);
    let agent = home.start();
    agent.settled(250);
    assert_eq!(collector.messages().len(), 250);
    collector.assert_in_order();
    agent.stop();
}
