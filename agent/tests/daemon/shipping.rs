//! Order, names, retries, and going over to another collector.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::collector::Action::{self, *};
use crate::collector::{Collector, nobody};
use crate::process::{Home, eventually, lines, messages};

#[test]
fn batches_arrive_in_order_under_contiguous_names_and_with_the_same_bytes_each_time() {
    let mut requests = 0;
    let collector = Collector::with(move |_| {
        requests += 1;
        match requests {
            2 | 9 | 17 => LoseAnswer,
            5 | 12 => Drop,
            6 => Refuse(503),
            _ => Accept,
        }
    });
    let home = Home::reading_logs(&collector.addr, "batch_records = 50");
    home.log("a.log", lines(0..1_000));
    let agent = home.start();
    let status = agent.settled(1_000);
    collector.assert_whole(messages(0..1_000));
    collector.assert_in_order();
    assert_eq!(
        collector.messages(),
        messages(0..1_000).collect::<Vec<_>>(),
        "a file keeps its order"
    );

    let requests = collector.requests();
    let epoch = status["epoch"].as_str().unwrap();
    let mut bodies = BTreeMap::new();
    let mut highest = 0;
    for request in &requests {
        let name = &request.name;
        assert_eq!((name.agent.as_str(), name.epoch.as_str()), (agent.id.as_str(), epoch));
        assert_eq!(name.first_unacknowledged, Some(name.sequence), "one is on the way at a time");
        assert_eq!(bodies.entry(name.sequence).or_insert(&request.body), &&request.body);
        assert!(name.sequence == highest || name.sequence == highest + 1, "{name:?}");
        highest = name.sequence;
        assert_eq!(request.headers["content-type"], "application/x-protobuf");
        assert_eq!(request.headers["content-encoding"], "zstd");
    }
    assert_eq!(requests.len(), bodies.len() + 6, "three answers lost, two requests, one refused");
    assert!(bodies.len() > 20, "1,000 lines and a report in batches of 50");
    eventually("the collector hears of it", || {
        let heartbeat = collector.heartbeat()?;
        let acknowledged = heartbeat["acknowledged_in_epoch"]["batches"].as_u64().unwrap();
        (acknowledged == bodies.len() as u64).then_some(())
    });
    agent.stop();
}

#[test]
fn whatever_is_no_refusal_of_the_batch_is_tried_for_ever() {
    let failures = [
        Busy(429, 1),
        Refuse(500),
        Refuse(503),
        Refuse(401),
        Refuse(403),
        Refuse(404),
        Refuse(408),
        Refuse(507),
        Refuse(302),
        Drop,
    ];
    // Each batch meets one of them, so that pauses do not grow.
    let collector = Collector::with({
        let mut tried = std::collections::BTreeSet::new();
        move |request| match tried.insert(request.name.sequence) {
            true => failures.get(request.name.sequence as usize).copied().unwrap_or(Accept),
            false => Accept,
        }
    });
    let home = Home::reading_logs(&collector.addr, "batch_records = 10");
    home.log("a.log", lines(0..200));
    let agent = home.start();
    agent.settled(200);
    collector.assert_whole(messages(0..200));
    collector.assert_in_order();
    let requests = collector.requests();
    let met: Vec<Action> =
        requests.iter().map(|request| request.action).filter(|action| *action != Accept).collect();
    assert_eq!(met, failures);
    let pause = requests[1].at.duration_since(requests[0].at);
    assert!(pause >= Duration::from_secs(1), "{pause:?} is shorter than Retry-After says");
    assert_eq!(home.dead_letters(), [""; 0]);
    agent.stop();
}

#[test]
fn a_collector_that_refuses_connections_is_left_for_the_next_under_a_new_epoch() {
    let collector = Collector::start();
    let dead = nobody();
    let home = Home::new();
    let keys = "failover_after = \"1s\"";
    home.configure(&[&dead, &collector.addr], keys, &home.logs_source(""));
    home.log("a.log", lines(0..500));
    let agent = home.start();
    let began = agent.status()["epoch"].as_str().unwrap().to_owned();
    let status = agent.settled(500);
    collector.assert_whole(messages(0..500));
    collector.assert_in_order();
    assert_ne!(status["epoch"], began.as_str());
    assert_eq!(status["collector"], collector.addr.as_str());
    let reports = eventually("the agent says so", || {
        Some(collector.reports("logq.agent.failed_over")).filter(|reports| !reports.is_empty())
    });
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].attributes["logq.from"], dead);
    assert_eq!(reports[0].attributes["logq.to"], collector.addr);
    assert_eq!(reports[0].attributes["logq.records_in_both_at_most"], "0");
    agent.stop();
}

#[test]
fn what_may_be_in_two_collectors_after_a_failover_is_counted() {
    // The first batch arrives, its acknowledgement does not, and then nothing goes any more.
    let mut requests = 0;
    let first = Collector::with(move |_| {
        requests += 1;
        if requests == 3 {
            LoseAnswer
        } else if requests < 3 {
            Accept
        } else {
            Refuse(503)
        }
    });
    let second = Collector::start();
    let home = Home::new();
    let keys = "failover_after = \"1s\"\nbatch_records = 10";
    home.configure(&[&first.addr, &second.addr], keys, &home.logs_source(""));
    home.log("a.log", lines(0..100));
    let agent = home.start();
    agent.settled(100);
    first.assert_in_order();
    second.assert_in_order();
    let reports = eventually("the agent says so", || {
        Some(second.reports("logq.agent.failed_over")).filter(|reports| !reports.is_empty())
    });
    let at_most: usize = reports[0].attributes["logq.records_in_both_at_most"].parse().unwrap();
    let (in_first, in_second) = (first.messages(), second.messages());
    let both = in_first.iter().filter(|message| in_second.contains(message)).count();
    assert!(both > 0 && both <= at_most && at_most <= 10, "{both} are in both, said {at_most}");
    let mut all: Vec<_> = in_first.into_iter().chain(in_second).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 100, "nothing is lost");
    agent.stop();
}
