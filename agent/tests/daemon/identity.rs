//! Who an agent is after its folder was copied, cut down or damaged.

use crate::collector::Action::*;
use crate::collector::Collector;
use crate::process::{Home, copy, eventually, lines, messages};

/// Waits for the report that an epoch began for this reason, and gives its message.
fn epoch_began(collector: &Collector, reason: &str) -> String {
    eventually(&format!("an epoch begins because {reason}"), || {
        let reports = collector.reports("logq.agent.epoch_began");
        let found = reports.into_iter().find(|it| it.attributes["logq.reason"] == reason)?;
        assert!(!found.attributes["logq.epoch"].is_empty());
        Some(found.message)
    })
}

#[test]
fn a_copied_state_folder_is_another_agent_and_its_batches_are_dead_letters() {
    let collector = Collector::with(|_| Refuse(503));
    let home = Home::reading_logs(&collector.addr, "");
    home.log("a.log", lines(0..300));
    let agent = home.start();
    eventually("all is in the spool", || (agent.status()["ledger"]["read"] == 300).then_some(()));
    let original = agent.id.clone();
    agent.kill();
    copy(&home.state(), &home.path("copy"));

    // The copy runs elsewhere, with logs of its own.
    let elsewhere = Home::new();
    copy(&home.path("copy"), &elsewhere.state());
    elsewhere.configure(&[&collector.addr], "", &elsewhere.logs_source(""));
    elsewhere.log("b.log", lines(1_000..1_100));
    collector.then(|_| Accept);
    let clone = elsewhere.start();
    assert_ne!(clone.id, original);
    let said = epoch_began(&collector, "cloned");
    assert!(said.contains(&original), "{said}");
    clone.settled(400);
    collector.assert_whole(messages(1_000..1_100));
    let letters = elsewhere.dead_letters();
    assert!(!letters.is_empty() && letters.iter().all(|it| it.contains("not sent")), "{letters:?}");
    clone.stop();

    // The original knows nothing of that and ships what it had.
    let agent = home.start();
    assert_eq!(agent.id, original);
    agent.settled(300);
    collector.assert_whole(messages(0..300).chain(messages(1_000..1_100)));
    collector.assert_in_order();
    assert_eq!(home.dead_letters(), [""; 0]);
    agent.stop();

    // And the clone stays who it became.
    let again = elsewhere.start();
    assert_eq!(again.id, clone_id(&collector, &original));
    again.stop();
    collector.assert_in_order();
}

fn clone_id(collector: &Collector, original: &str) -> String {
    let stored = collector.stored();
    let other = stored.into_iter().map(|(name, _)| name.0).find(|agent| agent != original);
    other.expect("the clone has stored something")
}

#[test]
fn without_its_spool_an_agent_keeps_its_name_and_says_what_may_be_lost_or_doubled() {
    let collector = Collector::start();
    let home = Home::reading_logs(&collector.addr, "");
    home.log("a.log", lines(0..100));
    let agent = home.start();
    agent.settled(100);
    let (id, epoch) = (agent.id.clone(), agent.status()["epoch"].clone());
    agent.stop();
    std::fs::remove_dir_all(home.state().join("spool")).unwrap();
    let agent = home.start();
    assert_eq!(agent.id, id);
    assert_ne!(agent.status()["epoch"], epoch);
    let said = epoch_began(&collector, "spool_lost");
    assert!(said.contains("lost") && said.contains("twice"), "{said}");
    agent.settled(100);
    // Its positions were in the spool: the file is read again, as was said.
    collector.assert_whole(messages(0..100).chain(messages(0..100)));
    collector.assert_in_order();
    agent.stop();
}

#[test]
fn without_its_identity_a_spool_belongs_to_another_agent() {
    let collector = Collector::start();
    let home = Home::reading_logs(&collector.addr, "");
    home.log("a.log", lines(0..100));
    let agent = home.start();
    agent.settled(100);
    let id = agent.id.clone();
    agent.stop();
    std::fs::remove_file(home.state().join("identity.json")).unwrap();
    let agent = home.start();
    assert_ne!(agent.id, id);
    epoch_began(&collector, "cloned");
    home.log("a.log", lines(100..200));
    agent.settled(200);
    collector.assert_whole(messages(0..200));
    collector.assert_in_order();
    agent.stop();
}

#[test]
fn an_identity_that_cannot_be_read_is_said_with_the_way_out() {
    let collector = Collector::start();
    let home = Home::reading_logs(&collector.addr, "");
    home.start().stop();
    let path = home.state().join("identity.json");
    for garbage in ["", "no json", "{\"agent\":7}", "[]", "\0\0\0"] {
        std::fs::write(&path, garbage).unwrap();
        let output = home.run(&["run"]);
        assert_eq!(output.code, 1, "{output:?}");
        assert!(output.stderr.contains("identity.json is no identity"), "{output:?}");
        assert!(output.stderr.contains("remove it to begin as a new agent"), "{output:?}");
    }
    std::fs::remove_file(&path).unwrap();
    home.start().stop();
}

#[test]
fn two_agents_do_not_share_a_state_folder() {
    let collector = Collector::start();
    let home = Home::reading_logs(&collector.addr, "");
    let agent = home.start();
    let second = home.run(&["run"]);
    assert_eq!(second.code, 2, "{second:?}");
    assert!(second.stderr.contains("is used by another agent"), "{second:?}");
    assert!(second.stderr.contains(home.state().to_str().unwrap()), "{second:?}");
    let repair = home.run(&["spool", "repair"]);
    assert!(repair.code == 2 && repair.stderr.contains("is used by another agent"), "{repair:?}");
    home.log("a.log", lines(0..10));
    agent.settled(10);
    collector.assert_whole(messages(0..10));
    agent.stop();
}

#[test]
fn another_store_at_the_same_address_is_told_and_begins_an_epoch() {
    let collector = Collector::start();
    let home = Home::reading_logs(&collector.addr, "");
    home.log("a.log", lines(0..100));
    let agent = home.start();
    agent.settled(100);
    let epoch = agent.status()["epoch"].clone();
    collector.set_store("store-2");
    home.log("a.log", lines(100..200));
    let reports = eventually("the agent says so", || {
        Some(collector.reports("logq.agent.store_changed")).filter(|it| !it.is_empty())
    });
    assert_eq!(reports[0].attributes["logq.store"], "store-2");
    assert_eq!(reports[0].attributes["logq.former_store"], "store-1");
    let status = agent.settled(200);
    assert_ne!(status["epoch"], epoch);
    collector.assert_whole(messages(0..200));
    collector.assert_in_order();
    assert_eq!(collector.reports("logq.agent.store_changed").len(), 1);
    agent.stop();
}
