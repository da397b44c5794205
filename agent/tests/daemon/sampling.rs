//! Sampling by correlation, through kills: whole or not at all, and all of it where something fails.

use std::collections::BTreeMap;

use crate::collector::Action::*;
use crate::collector::Collector;
use crate::kill::Random;
use crate::process::{Home, eventually};

#[test]
fn through_kills_correlations_are_kept_whole_or_dropped_whole_and_failing_ones_are_kept() {
    const CORRELATIONS: usize = 400;
    const STEPS: usize = 5;
    let mut random = Random::seeded();
    let mut failing = random.clone();
    let collector = Collector::with(move |_| match failing.below(8) {
        0 => LoseAnswer,
        1 => Refuse(503),
        _ => Accept,
    });
    let home = Home::new();
    let keys = "batch_records = 50\n[agent.sample]\nkeep_ratio = 0.3\nwindow = \"5s\"";
    home.configure(&[&collector.addr], keys, &home.logs_source("format = \"json\""));
    // Every fourth correlation fails at its last step.
    let fails = |correlation: usize| correlation.is_multiple_of(4);
    let mut agent = home.start();
    for step in 0..STEPS {
        for part in 0..4 {
            let mut text = String::new();
            for correlation in (0..CORRELATIONS).filter(|it| it * 4 / CORRELATIONS == part) {
                let level = if step == STEPS - 1 && fails(correlation) { "error" } else { "info" };
                text.push_str(&format!(
                    "{{\"level\":\"{level}\",\"msg\":\"c{correlation} s{step}\",\"correlation_id\":\"c{correlation}\"}}\n"
                ));
            }
            home.log("a.log", text);
            if random.below(3) == 0 {
                agent.kill();
                agent = home.start();
            }
        }
    }
    collector.then(|_| Accept);
    let total = CORRELATIONS * STEPS;
    let status = agent.settled(total as u64);
    collector.assert_in_order();
    let mut steps = BTreeMap::<String, Vec<String>>::new();
    for message in collector.messages() {
        let (correlation, step) = message.split_once(' ').unwrap();
        steps.entry(correlation.to_owned()).or_default().push(step.to_owned());
    }
    let whole: Vec<String> = (0..STEPS).map(|step| format!("s{step}")).collect();
    for (correlation, steps) in &mut steps {
        steps.sort_unstable();
        assert_eq!(*steps, whole, "{correlation}");
    }
    let kept = |correlation: usize| steps.contains_key(&format!("c{correlation}"));
    assert!((0..CORRELATIONS).filter(|it| fails(*it)).all(kept), "what fails is kept");
    let well = (0..CORRELATIONS).filter(|it| !fails(*it) && kept(*it)).count();
    assert!((50..150).contains(&well), "{well} of 300 are kept with a ratio of 0.3");
    let arrived = collector.messages().len();
    let ledger = &status["ledger"];
    assert_eq!(ledger["dropped"]["sampled"], total - arrived, "{ledger}");
    agent.stop();
}

#[test]
fn what_waits_for_an_error_survives_a_stop() {
    let collector = Collector::start();
    let home = Home::new();
    let keys = "[agent.sample]\nkeep_ratio = 0.0\nwindow = \"60s\"";
    home.configure(&[&collector.addr], keys, &home.logs_source("format = \"json\""));
    home.log("a.log", "{\"level\":\"info\",\"msg\":\"before\",\"correlation_id\":\"c\"}\n");
    let agent = home.start();
    eventually("it is held", || (agent.status()["ledger"]["held"] == 1).then_some(()));
    agent.stop();
    let agent = home.start();
    home.log("a.log", "{\"level\":\"error\",\"msg\":\"failed\",\"correlation_id\":\"c\"}\n");
    agent.settled(2);
    collector.assert_whole(["before".to_owned(), "failed".to_owned()]);
    agent.stop();
}
