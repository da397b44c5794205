//! Grouping accuracy on the labelled messages of eight systems: a message is right if its group is exactly the set of
//! messages that have its label. All systems with the same configuration.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

use templates::{Bounds, Miner, Templates};

mod loghub;

/// A little below what is reached.
const FLOORS: [(&str, f64); 8] = [
    ("Apache", 0.99),
    ("HDFS", 0.99),
    ("Hadoop", 0.98),
    ("Linux", 0.98),
    ("OpenSSH", 0.98),
    ("OpenStack", 0.98),
    ("Spark", 0.98),
    ("Zookeeper", 0.98),
];
const AVERAGE_FLOOR: f64 = 0.99;

fn mined<'a>(messages: impl Iterator<Item = &'a str>) -> (Templates, Vec<u32>) {
    let mut miner = Miner::new(Bounds::default());
    let shapes: Vec<u32> = messages.map(|message| miner.add(message)).collect();
    let templates = miner.finish();
    let groups = shapes.iter().map(|shape| templates.group_of(*shape)).collect();
    (templates, groups)
}

fn sets<K: std::hash::Hash + Eq>(keys: impl Iterator<Item = K>) -> HashMap<K, BTreeSet<usize>> {
    let mut sets: HashMap<K, BTreeSet<usize>> = HashMap::new();
    for (index, key) in keys.enumerate() {
        sets.entry(key).or_default().insert(index);
    }
    sets
}

/// What is not grouped as it is labelled, to be read by people.
fn faults(messages: &[(String, String)], templates: &Templates, groups: &[u32]) -> String {
    let mut faults = String::new();
    let by_group = sets(groups.iter());
    let mut labels: Vec<_> = sets(messages.iter().map(|it| &it.1)).into_iter().collect();
    labels.sort();
    for (label, members) in labels {
        let found: BTreeSet<u32> = members.iter().map(|index| groups[*index]).collect();
        let exact = found.len() == 1 && found.iter().all(|it| by_group[it] == members);
        for group in found.iter().filter(|_| !exact) {
            let _ = writeln!(faults, "  {label} {} {}", members.len(), templates.template(*group));
        }
    }
    faults
}

#[test]
fn messages_are_grouped_as_people_labelled_them() {
    let mut table =
        "| system | templates labelled | groups found | grouping accuracy |\n|---|---|---|---|\n"
            .to_owned();
    let mut all = Vec::new();
    let mut details = String::new();
    for (system, floor) in FLOORS {
        let Some(messages) = loghub::labelled(system) else { continue };
        let (templates, groups) = mined(messages.iter().map(|it| it.0.as_str()));
        let labels = sets(messages.iter().map(|it| &it.1));
        let found = sets(groups.iter());
        let right: usize = found
            .values()
            .filter(|set| labels.values().any(|it| it == *set))
            .map(BTreeSet::len)
            .sum();
        let accuracy = right as f64 / messages.len() as f64;
        let _ = writeln!(
            table,
            "| {system} | {} | {} | {accuracy:.4} |",
            labels.len(),
            templates.len()
        );
        let _ = writeln!(details, "{system}\n{}", faults(&messages, &templates, &groups));
        all.push((system, floor, accuracy));
    }
    if all.is_empty() {
        return;
    }
    let average = all.iter().map(|it| it.2).sum::<f64>() / all.len() as f64;
    println!("{table}| average | | | {average:.4} |\n\n{details}");
    for (system, floor, accuracy) in &all {
        assert!(accuracy >= floor, "{system}: {accuracy} is below {floor}");
    }
    assert!(all.len() < FLOORS.len() || average >= AVERAGE_FLOOR, "the average is {average}");
}
