//! What is grouped and how templates look, on messages of many kinds.

mod languages;
mod values;
mod words;

use std::collections::BTreeSet;

use crate::{Bounds, Miner, Templates};

const NAMES: [&str; 12] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "mallory",
    "victor",
];

/// The templates of messages.
fn templates<M: AsRef<str>>(messages: impl IntoIterator<Item = M>) -> Vec<String> {
    let (templates, _) = mined(messages, Bounds::default());
    (0..templates.len() as u32).map(|group| templates.template(group).to_owned()).collect()
}

/// The groups of messages, and the group of each.
fn mined<M: AsRef<str>>(
    messages: impl IntoIterator<Item = M>,
    bounds: Bounds,
) -> (Templates, Vec<u32>) {
    let mut miner = Miner::new(bounds);
    let shapes: Vec<u32> =
        messages.into_iter().map(|message| miner.add(message.as_ref())).collect();
    let templates = miner.finish();
    let groups = shapes.iter().map(|shape| templates.group_of(*shape)).collect();
    (templates, groups)
}

/// The messages have exactly these templates.
fn check<M: AsRef<str>>(messages: impl IntoIterator<Item = M>, expected: &[&str]) {
    let found: BTreeSet<String> = templates(messages).into_iter().collect();
    let expected: BTreeSet<String> = expected.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!(found, expected);
}

#[test]
fn no_message_has_no_group() {
    let templates = Miner::new(Bounds::default()).finish();
    assert!(templates.is_empty());
    assert_eq!(templates.len(), 0);
}

#[test]
fn groups_are_numbered_in_the_order_of_their_templates() {
    let (templates, groups) = mined(["zero 1", "all done", "zero 2"], Bounds::default());
    assert_eq!(groups, [1, 0, 1]);
    assert_eq!(templates.template(0), "all done");
    assert_eq!(templates.template(1), "zero <*>");
}

#[test]
fn only_the_first_line_that_is_not_blank_counts() {
    check(
        [
            "\n \nfailed: timeout\n  at a.b(C.java:1)",
            "failed: timeout\r\nat d.e",
            "  failed:  timeout  ",
        ],
        &["failed: timeout"],
    );
}

#[test]
fn blank_messages_are_a_group() {
    check(["", " ", "\n\n"], &[""]);
}

#[test]
fn messages_of_any_length_and_kind_are_taken() {
    let long = "word ".repeat(200_000);
    let wide = "あ".repeat(300_000);
    let mut values = vec![long.clone(), long + "other", wide, "\u{0}\u{1b}[31m\u{7f}".to_owned()];
    values.push("\u{feff}\u{202e}e\u{301}👩‍👩‍👧 \u{fffd}".to_owned());
    values.push("(".repeat(5000));
    let (templates, groups) = mined(values, Bounds::default());
    assert_eq!(groups[0], groups[1]);
    assert!(templates.template(groups[0]).starts_with("word word "));
    assert!(templates.template(groups[0]).len() < 5000);
}

#[test]
fn shapes_beyond_the_bounds_are_one() {
    let bounds = Bounds { shapes_max: 2, ..Bounds::default() };
    let mut miner = Miner::new(bounds);
    let shapes = ["one", "two", "three", "four", "one"].map(|message| miner.add(message));
    assert_eq!(shapes, [0, 1, 2, 2, 0]);
    assert_eq!(miner.overflowed(), 2);
    let templates = miner.finish();
    assert_eq!(
        shapes.map(|shape| templates.template(templates.group_of(shape))),
        ["one", "two", "<*>", "<*>", "one"]
    );
}

#[test]
fn memory_stays_within_the_bounds() {
    let bounds = Bounds { bytes_max: 100_000, ..Bounds::default() };
    let mut miner = Miner::new(bounds);
    for number in 0..20_000u32 {
        let word: String = number.to_string().bytes().map(|it| char::from(it + 49)).collect();
        miner.add(&format!("{word} of {word} at /srv/{word}/x"));
    }
    assert!(miner.memory_bytes() < 101_000, "{}", miner.memory_bytes());
    assert!(miner.shapes() > 100);
    assert_eq!(miner.overflowed() + miner.shapes() as u64, 20_001);
}

#[test]
fn a_hundred_thousand_shapes_are_grouped_in_seconds() {
    let word = |mut number: usize| {
        let mut word = String::new();
        for _ in 0..4 {
            word.push(char::from(b'g' + (number % 18) as u8));
            number /= 18;
        }
        word
    };
    let messages =
        (0..100_000).map(|it| format!("{} {} {}", word(it), word(it * 7), word(it * 31)));
    let began = std::time::Instant::now();
    let (templates, _) = mined(messages, Bounds::default());
    assert!(templates.len() > 50_000);
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
}
