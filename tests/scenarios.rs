//! Every pattern of the demo shop, on real ports, told to a real logq: it behaves as it should, well and broken, and the
//! stories of what it leaves behind end as they have to, with the right first error. `LOGQ_SCENARIOS=saga,outbox` plays
//! these alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::time::{Duration, Instant};

use demo_services::scenario::{Left, SCENARIOS, Scenario};
use server::{DEADLINE, Home, Server};

/// Scenarios at once.
const AT_ONCE: usize = 3;
/// Between two looks at a story.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

#[test]
fn every_pattern_behaves_as_it_should_and_its_stories_end_as_they_have_to() {
    let server = Home::new().start();
    let wanted = std::env::var("LOGQ_SCENARIOS").unwrap_or_default();
    let is_wanted = |scenario: &&Scenario| {
        wanted.is_empty() || wanted.split(',').any(|name| name == scenario.name)
    };
    let queue = std::sync::Mutex::new(SCENARIOS.iter().filter(is_wanted));
    std::thread::scope(|scope| {
        let players = (0..AT_ONCE).map(|_| {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().next();
                    let Some(scenario) = next else { return };
                    check(&server, scenario);
                }
            })
        });
        let players: Vec<_> = players.collect();
        players.into_iter().for_each(|player| player.join().unwrap());
    });
    server.stop();
}

fn check(server: &Server, scenario: &Scenario) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let began = Instant::now();
    let report = runtime.block_on(scenario.play(Some(&server.ingest)));
    let report = report.unwrap_or_else(|error| panic!("{}: {error:#}", scenario.name));
    assert!(report.shipped.unwrap() > 0, "{}", scenario.name);
    assert!(!report.left.is_empty(), "{} leaves nothing to look at", scenario.name);
    report.left.iter().for_each(|left| check_story(server, scenario, left));
    server::tell(&format!("{} took {:.1?}", scenario.name, began.elapsed()));
}

fn check_story(server: &Server, scenario: &Scenario, left: &Left) {
    let url = format!("{}/api/v1/correlations/{}", server.query, left.correlation_id);
    let wanted = format!(
        "{}, {}: {} with the first error {:?}",
        scenario.name, left.title, left.outcome, left.first_error
    );
    // Spans and lines come on two ways, and what is acknowledged is seen a moment later.
    let mut last = String::new();
    let began = Instant::now();
    while began.elapsed() < DEADLINE {
        let story = server.http().get(&url).json();
        let first = &story["first_error"];
        let is_first = match left.first_error {
            None => first.is_null(),
            Some(words) => words.split('|').any(|word| first.to_string().contains(word)),
        };
        let has_spans = story["spans"].as_u64().is_some_and(|spans| spans > 0);
        if story["outcome"]["state"] == left.outcome && has_spans && is_first {
            return;
        }
        last = format!("{} with the first error {first}", story["outcome"]);
        std::thread::sleep(POLL_INTERVAL);
    }
    panic!("{wanted}, and not {last}");
}
