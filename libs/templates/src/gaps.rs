//! Finds values of several words: patterns that begin and end as another one does where that has a place that varies,
//! with a few words more between. If many such different ones are known, or the place is known for values of several
//! words, they are of the same statement.

use std::collections::HashMap;

use crate::context::mixed;
use crate::grouping::{half_words, is_enough, needed};
use crate::patterns::{Patterns, Place};
use crate::symbols::{WILD, WILD_WORDS};

/// Most words of a value.
const WORDS_MAX: usize = 6;
/// Fewest words that a pattern has to share with one that it takes in, in halves.
const HALF_WORDS_MIN: u32 = 4;

/// Places of a pattern that may stand for one place of another.
struct Filling {
    pattern: u32,
    start: usize,
    length: usize,
}

/// For each pattern the one that takes it in, from which place on and how many places.
pub(crate) fn fillings(patterns: &Patterns<'_>) -> Vec<Option<(u32, usize, usize)>> {
    let mut into = vec![None; patterns.all.len()];
    let mut found: Vec<((u32, usize), Vec<Filling>)> = candidates(patterns).into_iter().collect();
    found.sort_unstable_by_key(|(target, _)| *target);
    let symbols = &patterns.symbols;
    for ((target, at), fillings) in found {
        let pattern = &patterns.all[target as usize];
        let word =
            |it: &Filling, back: usize| patterns.all[it.pattern as usize][it.start + back].symbol;
        let enough = pattern[at].symbol == WILD_WORDS || {
            let needed = needed(symbols, pattern, at, half_words(symbols, pattern));
            let mut first = fillings.iter().map(|it| word(it, 0)).collect();
            let mut last = fillings.iter().map(|it| word(it, it.length - 1)).collect();
            is_enough(symbols, &mut first, needed) && is_enough(symbols, &mut last, needed)
        };
        if enough {
            for it in fillings {
                into[it.pattern as usize].get_or_insert((target, it.start, it.length));
            }
        }
    }
    into
}

/// By the pattern and the place that they would fill.
fn candidates(patterns: &Patterns<'_>) -> HashMap<(u32, usize), Vec<Filling>, ahash::RandomState> {
    let targets = targets(patterns);
    let mut found: HashMap<_, Vec<Filling>, _> = HashMap::default();
    for (pattern, places) in (0..).zip(&patterns.all) {
        let (prefixes, suffixes) = hashes(places);
        for start in 0..places.len() {
            let facts = patterns.symbols.facts(places[start].symbol);
            if !facts.is_word || facts.is_wild {
                continue;
            }
            let mut words = 1;
            for end in start + 1..places.len() {
                let facts = patterns.symbols.facts(places[end].symbol);
                if !facts.is_word && !facts.is_within_values {
                    break;
                }
                if !facts.is_word {
                    continue;
                }
                words += 1;
                if words > WORDS_MAX {
                    break;
                }
                let length = end + 1 - start;
                let Some(&(target, at)) = targets.get(&(prefixes[start], suffixes[end + 1])) else {
                    continue;
                };
                let short = &patterns.all[target as usize];
                if at == start && is_filled(short, places, start, length) {
                    found.entry((target, at)).or_default().push(Filling { pattern, start, length });
                }
            }
        }
    }
    found
}

/// Places that vary, by the hashes of what is before and after them.
fn targets(patterns: &Patterns<'_>) -> HashMap<(u64, u64), (u32, usize), ahash::RandomState> {
    let mut targets = HashMap::default();
    for (index, places) in (0..).zip(&patterns.all) {
        if half_words(&patterns.symbols, places) < HALF_WORDS_MIN {
            continue;
        }
        let (prefixes, suffixes) = hashes(places);
        for (at, place) in places.iter().enumerate() {
            if matches!(place.symbol, WILD | WILD_WORDS) {
                targets.entry((prefixes[at], suffixes[at + 1])).or_insert((index, at));
            }
        }
    }
    targets
}

/// The hashes of what is before each place, and of what is from it on.
fn hashes(places: &[Place]) -> (Vec<u64>, Vec<u64>) {
    let next = |hash: &mut u64, place: &Place| {
        *hash = mixed(hash.rotate_left(5) ^ u64::from(place.symbol));
        Some(*hash)
    };
    let prefixes = std::iter::once(0).chain(places.iter().scan(0, next)).collect();
    let suffixes = std::iter::once(0).chain(places.iter().rev().scan(0, next));
    let mut suffixes: Vec<u64> = suffixes.collect();
    suffixes.reverse();
    (prefixes, suffixes)
}

fn is_filled(short: &[Place], long: &[Place], start: usize, length: usize) -> bool {
    let symbols = |places: &[Place]| places.iter().map(|place| place.symbol).collect::<Vec<_>>();
    short.len() + length == long.len() + 1
        && symbols(&short[..start]) == symbols(&long[..start])
        && symbols(&short[start + 1..]) == symbols(&long[start + length..])
}
