//! Batches that are refused for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::collector::Action::*;
use crate::collector::{Collector, Request, records};
use crate::kill::Random;
use crate::process::{Home, eventually, lines, messages};

fn is_poisoned(request: &Request) -> bool {
    records(&request.body).iter().any(|record| record.message == "poison")
}

/// Lines 0 to 9, one that is refused, lines 10 to 19: each group in a batch of its own.
fn log_with_poison(home: &Home, agent: &crate::process::Agent) {
    home.log("a.log", lines(0..10));
    agent.settled(10);
    home.log("a.log", "poison\n");
    eventually("the poison is refused", || (home.dead_letters().len() == 1).then_some(()));
    home.log("a.log", lines(10..20));
}

fn id(letter: &str) -> String {
    letter.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_batch_refused_for_good_becomes_a_dead_letter_and_its_name_is_sent_empty() {
    for status in [400, 413] {
        let collector = Collector::with(
            move |request| if is_poisoned(request) { Refuse(status) } else { Accept },
        );
        let home = Home::reading_logs(&collector.addr, "");
        let agent = home.start();
        log_with_poison(&home, &agent);
        let ledger = agent.settled(21)["ledger"].clone();
        assert_eq!(ledger["dead_lettered"], 1, "{ledger}");
        collector.assert_whole(messages(0..20));
        collector.assert_in_order();
        let refused = collector.requests().into_iter().find(is_poisoned).unwrap().name;
        let stored = collector.stored();
        let in_its_place =
            stored.iter().find(|(name, _)| name.2 == refused.sequence).expect("the name is sent");
        assert!(in_its_place.1.is_empty(), "it is sent empty");
        let reports = eventually("it is reported", || {
            Some(collector.reports("logq.agent.batch_dead_lettered")).filter(|it| it.len() == 1)
        });
        assert_eq!(reports[0].attributes["logq.status"], status.to_string());
        assert_eq!(reports[0].attributes["logq.records"], "1");

        let listed = home.dead_letters();
        assert!(
            listed[0].contains("1 records") && listed[0].contains("no such thing"),
            "{listed:?}"
        );
        let id = id(&listed[0]);
        let shown = home.run(&["dead-letters", "show", &id]);
        assert!(shown.code == 0 && shown.stdout.ends_with(" poison\n"), "{shown:?}");
        let missing = home.run(&["dead-letters", "show", "no-such"]);
        assert!(missing.code == 1 && missing.stderr.contains("no-such"), "{missing:?}");

        collector.then(|_| Accept);
        let retried = home.run(&["dead-letters", "retry", &id]);
        assert_eq!(retried.code, 0, "{retried:?}");
        let expected = || messages(0..20).chain(["poison".to_owned()]);
        eventually("it is shipped again", || (collector.messages().len() == 21).then_some(()));
        let ledger = agent.settled(21)["ledger"].clone();
        assert_eq!(ledger["dead_lettered"], 0, "{ledger}");
        collector.assert_whole(expected());
        collector.assert_in_order();
        assert_eq!(home.dead_letters(), [""; 0]);
        agent.stop();
    }
}

#[test]
fn a_dead_letter_that_is_shipped_again_arrives_once_through_any_kill() {
    let collector =
        Collector::with(|request| if is_poisoned(request) { Refuse(400) } else { Accept });
    let home = Home::reading_logs(&collector.addr, "");
    let agent = home.start();
    log_with_poison(&home, &agent);
    agent.settled(21);
    agent.kill();
    collector.then(|_| Accept);
    let id = id(&home.dead_letters()[0]);
    assert_eq!(home.run(&["dead-letters", "retry", &id]).code, 0);
    // The next start ships it at once; each of these ends it somewhere else on the way.
    for pause in [0, 3, 10, 20, 40, 80] {
        let agent = home.start();
        let until = Instant::now() + Duration::from_millis(pause);
        eventually("the moment has come", || (Instant::now() >= until).then_some(()));
        agent.kill();
    }
    let agent = home.start();
    eventually("it is shipped", || (collector.messages().len() >= 21).then_some(()));
    home.log("a.log", lines(20..30));
    agent.settled(31);
    collector.assert_whole(messages(0..30).chain(["poison".to_owned()]));
    collector.assert_in_order();
    let left = std::fs::read_dir(home.state().join("dead-letters/retry")).unwrap().count();
    assert_eq!(left, 0, "nothing is left to ship again");
    agent.stop();
}

#[test]
fn a_dead_letter_is_not_shipped_again_before_its_old_name_is_settled() {
    // The batch is refused, and the empty one in its place does not get through.
    let collector =
        Collector::with(|request| if is_poisoned(request) { Refuse(400) } else { Refuse(503) });
    let home = Home::reading_logs(&collector.addr, "");
    home.log("a.log", "poison\n");
    collector.then(|request| {
        let records = records(&request.body);
        match records.iter().any(|record| record.message == "poison") {
            true => Refuse(400),
            // The report of the new agent comes before.
            false if records.is_empty() => Refuse(503),
            false => Accept,
        }
    });
    let agent = home.start();
    let letter = eventually("it is refused", || home.dead_letters().pop());
    assert_eq!(home.run(&["dead-letters", "retry", &id(&letter)]).code, 0);
    let tries = collector.requests_len();
    eventually("the empty one is tried again", || {
        (collector.requests_len() > tries + 2).then_some(())
    });
    agent.kill();
    collector.then(|_| Accept);
    let agent = home.start();
    home.log("a.log", lines(0..10));
    agent.settled(11);
    eventually("it is shipped", || {
        collector.messages().contains(&"poison".to_owned()).then_some(())
    });
    agent.settled(11);
    collector.assert_whole(messages(0..10).chain(["poison".to_owned()]));
    collector.assert_in_order();
    assert_eq!(home.dead_letters(), [""; 0]);
    agent.stop();
}

#[test]
fn a_name_that_the_collector_knows_with_other_content_ends_the_epoch() {
    let done = Arc::new(AtomicBool::new(false));
    let once = Arc::clone(&done);
    let collector = Collector::with(move |request| {
        let conflict = is_poisoned(request) && !once.swap(true, Ordering::Relaxed);
        if conflict { Refuse(409) } else { Accept }
    });
    let home = Home::reading_logs(&collector.addr, "");
    let agent = home.start();
    let began = agent.status()["epoch"].as_str().unwrap().to_owned();
    log_with_poison(&home, &agent);
    let status = agent.settled(21);
    assert_ne!(status["epoch"], began.as_str());
    collector.assert_whole(messages(0..20));
    collector.assert_in_order();
    assert_eq!(collector.epochs().len(), 2);
    let reports = eventually("it is reported", || {
        let reports = collector.reports("logq.agent.epoch_began");
        (reports.len() == 2).then_some(reports)
    });
    assert_eq!(reports[0].attributes["logq.reason"], "new");
    assert_eq!(reports[1].attributes["logq.reason"], "name_conflict");
    assert_eq!(status["epoch"], reports[1].attributes["logq.epoch"].as_str());
    let id = id(&home.dead_letters()[0]);
    assert_eq!(home.run(&["dead-letters", "retry", "--all"]).code, 0);
    eventually("it is shipped again", || (collector.messages().len() == 21).then_some(()));
    collector.assert_whole(messages(0..20).chain(["poison".to_owned()]));
    collector.assert_in_order();
    let again = home.run(&["dead-letters", "retry", &id]);
    assert!(again.code == 1 && again.stderr.contains(&id), "{again:?}");
    agent.stop();
}

#[test]
fn full_of_dead_letters_the_agent_waits_for_a_person_and_loses_nothing() {
    let collector = Collector::with(|request| match request.body.len() {
        0..100_000 => Accept,
        _ => Refuse(413),
    });
    let home =
        Home::reading_logs(&collector.addr, "dead_letters_max = \"1 MiB\"\nbatch_records = 10");
    // Hardly compressible, 40 kB a line: batches of 300 kB.
    let mut random = Random::seeded();
    let long: Vec<String> = (0..80).map(|_| random.noise(40_000)).collect();
    home.log("a.log", long.join("\n") + "\n");
    let agent = home.start();
    eventually("there is no room for another one", || {
        let trouble = agent.status()["trouble"].to_string();
        trouble.contains("cannot keep a refused batch").then_some(())
    });
    let kept = home.dead_letters().len();
    assert!((2..=4).contains(&kept), "{kept} of 300 kB each in 1 MiB");
    let ready = agent.get("/health/ready");
    assert!(ready.contains("degraded") && ready.contains("retry or remove"), "{ready}");
    collector.then(|_| Accept);
    assert_eq!(home.run(&["dead-letters", "retry", "--all"]).code, 0);
    // The one that waited becomes a dead letter now that there is room, and nothing after it.
    eventually("the rest arrives", || (collector.messages().len() >= 70).then_some(()));
    agent.settled(80);
    assert_eq!(home.run(&["dead-letters", "retry", "--all"]).code, 0);
    eventually("all arrives", || (collector.messages().len() >= 80).then_some(()));
    agent.settled(80);
    collector.assert_whole(long);
    collector.assert_in_order();
    agent.stop();
}
