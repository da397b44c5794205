//! Finds places that vary by what stands around them: patterns that are the same but for one word are of one statement
//! if enough different words stand there.

use crate::grouping::{half_words, is_enough, needed};
use crate::patterns::{Patterns, Place, Sets};

/// A pattern without the word at one place.
struct Context {
    hash: u64,
    pattern: u32,
    at: u32,
}

/// The patterns that belong together.
pub(crate) fn same_context(patterns: &Patterns<'_>) -> Sets {
    let mut sets = Sets::new(patterns.all.len());
    let mut contexts = contexts(patterns);
    contexts.sort_unstable_by_key(|it| (it.hash, it.pattern, it.at));
    let mut words = Vec::new();
    for run in contexts.chunk_by(|a, b| a.hash == b.hash) {
        let [first, rest @ ..] = run else { continue };
        if rest.is_empty() {
            continue;
        }
        let (pattern, at) = (&patterns.all[first.pattern as usize], first.at as usize);
        let same = |it: &&Context| {
            it.at == first.at && is_same(pattern, &patterns.all[it.pattern as usize], at)
        };
        words.clear();
        words
            .extend(run.iter().filter(same).map(|it| patterns.all[it.pattern as usize][at].symbol));
        let symbols = &patterns.symbols;
        let around = half_words(symbols, pattern) - symbols.facts(pattern[at].symbol).half_words;
        if is_enough(symbols, &mut words, needed(symbols, pattern, at, around)) {
            for other in rest.iter().filter(same) {
                sets.unite(first.pattern, other.pattern);
            }
        }
    }
    sets
}

fn contexts(patterns: &Patterns<'_>) -> Vec<Context> {
    let mut contexts = Vec::new();
    for (pattern, places) in (0..).zip(&patterns.all) {
        let whole =
            (0..).zip(places.iter()).fold(mixed(places.len() as u64), |hash, (at, place)| {
                hash.wrapping_add(placed(at, place))
            });
        for (at, place) in (0..).zip(places.iter()) {
            if patterns.symbols.facts(place.symbol).is_word {
                let without = whole.wrapping_sub(placed(at, place));
                contexts.push(Context { hash: without ^ mixed(u64::from(at)), pattern, at });
            }
        }
    }
    contexts
}

fn is_same(one: &[Place], two: &[Place], but: usize) -> bool {
    one.len() == two.len()
        && one.iter().zip(two).enumerate().all(|(at, (a, b))| at == but || a.symbol == b.symbol)
}

fn placed(at: u32, place: &Place) -> u64 {
    mixed(u64::from(at) << 32 | u64::from(place.symbol))
}

/// The finalizer of splitmix64.
pub(crate) fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
