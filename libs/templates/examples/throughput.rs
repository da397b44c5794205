//! Measures how fast messages are taken and shapes are grouped.
//!
//! `cargo run --release -p templates --example throughput`

use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use templates::{Bounds, Miner};

#[path = "../tests/loghub/mod.rs"]
mod loghub;

const MESSAGES: usize = 1_000_000;
const SHAPES: usize = 100_000;

/// Messages of the labelled corpus in turn, or made ones if it is not there.
fn typical() -> Vec<String> {
    let systems =
        ["Apache", "HDFS", "Hadoop", "Linux", "OpenSSH", "OpenStack", "Spark", "Zookeeper"];
    let mut messages: Vec<String> =
        systems.iter().filter_map(|it| loghub::labelled(it)).flatten().map(|it| it.0).collect();
    if messages.is_empty() {
        messages
            .extend((0..10_000).map(|it| {
                format!("Connection {it} from 10.0.0.{} closed after {it} ms", it % 256)
            }));
    }
    messages
}

/// `count` distinct shapes: no two messages share more than some words.
fn distinct(count: usize, words: usize) -> Vec<String> {
    let mut state = 7u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    (0..count)
        .map(|_| {
            let mut line: Vec<u8> = Vec::new();
            for _ in 0..words {
                let word = random(3000);
                let letters =
                    [word % 26, word / 26 % 26, word / 676].map(|it| char::from(b'a' + it as u8));
                let _ = write!(line, "{}{}{}ing ", letters[0], letters[1], letters[2]);
            }
            String::from_utf8_lossy(&line).into_owned()
        })
        .collect()
}

fn measure(name: &str, messages: &[String], count: usize, bounds: Bounds) {
    let mut miner = Miner::new(bounds);
    let bytes: usize = messages.iter().cycle().take(count).map(String::len).sum();
    let began = Instant::now();
    for message in messages.iter().cycle().take(count) {
        black_box(miner.add(message));
    }
    let added = began.elapsed();
    let (shapes, kept, overflowed) = (miner.shapes(), miner.memory_bytes(), miner.overflowed());
    let began = Instant::now();
    let templates = miner.finish();
    let finished = began.elapsed();
    let _ = writeln!(
        std::io::stdout(),
        "{name}: {count} messages of {} bytes in {added:.2?} ({:.2} million/s), {shapes} shapes in {kept} bytes, {overflowed} beyond, {} groups in {finished:.2?}",
        bytes / count,
        count as f64 / added.as_secs_f64() / 1e6,
        templates.len(),
    );
}

fn main() {
    let bounds = Bounds::default();
    measure("typical", &typical(), MESSAGES, bounds);
    for words in [3, 8, 25] {
        let messages = distinct(SHAPES, words);
        measure(&format!("distinct, {words} words"), &messages, messages.len(), bounds);
    }
    // As many separators as a shape takes, and no two the same.
    let separators: Vec<String> = (0..SHAPES)
        .map(|it| (0..500).map(|bit| if it >> (bit % 17) & 1 == 0 { '(' } else { ';' }).collect())
        .collect();
    measure("separators", &separators, separators.len(), bounds);
    let users: Vec<String> = distinct(SHAPES, 2)
        .iter()
        .map(|it| format!("user {} has sent a message to {} at last", &it[..6], &it[7..13]))
        .collect();
    measure("two names", &users, users.len(), bounds);
}
