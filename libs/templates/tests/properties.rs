//! What holds for any messages.

use proptest::prelude::*;
use templates::{Bounds, Miner, Templates};

fn mined(messages: &[String]) -> (Templates, Vec<u32>) {
    let mut miner = Miner::new(Bounds::default());
    let shapes: Vec<u32> = messages.iter().map(|message| miner.add(message)).collect();
    let templates = miner.finish();
    let groups = shapes.iter().map(|shape| templates.group_of(*shape)).collect();
    (templates, groups)
}

/// The first line that is not blank, with one space for white space of any length.
fn first_line(message: &str) -> String {
    let line = message.trim_start().split(['\n', '\r']).next().unwrap_or_default();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn matches(template: &str, message: &str) -> bool {
    let line = first_line(message);
    let mut parts = template.split("<*>");
    let mut rest = match parts.next().map(|first| line.strip_prefix(first)) {
        Some(Some(rest)) => rest,
        _ => return false,
    };
    let mut last = None;
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
        last = Some(part);
    }
    last.map_or(rest.is_empty(), |last| last.is_empty() || line.ends_with(last))
}

/// Messages with words, values, separators and scripts that mean something to the miner.
fn message() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "user", "open", "closed", "from", "to", "GET", "POST", "Failed", "alice", "bob", "carol", "true", "null",
            "ms", "KB", "May", "Fri", "17", "10.0.0.1:80", "blk_123456", "blk_99", "node-1", "node-2", "v1.2.3", "ssh2",
            "/var/log", "/var/tmp/7", "http://a/b?c=1", "a@b.c", "key=", "k=v", "=", "()", "[]", "\"\"", "(", ")", ",",
            ", ", ":", ".", "...", "!", "田中", "が", "ログイン", "用户", "ü", "<", ">", "<*>", "0a:1b:2c", "::",
            "deadbeef", "é", "\u{3000}", "\u{a0}", "C:\\x", "~/x", "-", "--x", "@", "a@", "%5", "\u{1b}[0m",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,6}",
        1 => any::<String>(),
    ];
    let space = prop::sample::select(vec!["", " ", " ", " ", "  ", "\t", "\n"]);
    prop::collection::vec((piece, space), 0..12)
        .prop_map(|pieces| pieces.into_iter().map(|(piece, space)| piece + space).collect())
}

/// Many that are alike.
fn messages() -> impl Strategy<Value = Vec<String>> {
    let words = prop::sample::select(vec![
        "a",
        "be",
        "C",
        "Dear",
        "EF",
        "g.h",
        "i1",
        "22",
        "/j",
        "true",
        "two words",
        "x, y",
        "",
    ]);
    let alike = (message(), prop::collection::vec((words.clone(), words), 0..12)).prop_map(
        |(frame, words)| {
            let line =
                |(one, two): (&str, &str)| format!("at {one} was put {two} into {frame} by {one}");
            words.into_iter().map(line).collect::<Vec<_>>()
        },
    );
    (prop::collection::vec(message(), 0..20), alike)
        .prop_map(|(some, alike)| [some, alike].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_message_matches_its_template(messages in messages()) {
        let (templates, groups) = mined(&messages);
        for (message, group) in messages.iter().zip(groups) {
            let template = templates.template(group);
            prop_assert!(matches(template, message), "{message:?} is no {template:?}");
        }
    }

    #[test]
    fn neither_order_nor_repetition_matters(messages in messages(), seed in any::<u64>()) {
        let (templates, groups) = mined(&messages);
        let mut order: Vec<usize> = (0..messages.len()).chain(0..messages.len() / 2).collect();
        let mut state = seed;
        for index in (1..order.len()).rev() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            order.swap(index, (state >> 33) as usize % (index + 1));
        }
        let shuffled: Vec<String> = order.iter().map(|index| messages[*index].clone()).collect();
        let (again, groups_again) = mined(&shuffled);
        prop_assert_eq!(templates.len(), again.len());
        for (index, group) in order.iter().zip(groups_again) {
            prop_assert_eq!(group, groups[*index]);
            prop_assert_eq!(again.template(group), templates.template(group));
        }
    }

    #[test]
    fn groups_are_dense_and_templates_distinct(messages in messages()) {
        let (templates, mut groups) = mined(&messages);
        groups.sort_unstable();
        groups.dedup();
        prop_assert_eq!(groups, (0..templates.len() as u32).collect::<Vec<_>>());
        let all: std::collections::BTreeSet<&str> = (0..templates.len() as u32).map(|it| templates.template(it)).collect();
        prop_assert_eq!(all.len(), templates.len());
    }
}
