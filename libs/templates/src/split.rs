//! Finds several places that vary at once: patterns with the same separators are split again and again by the place
//! with the fewest different words, until in all places that still differ there are enough different ones.

use std::collections::HashMap;

use crate::grouping::{half_words, is_enough, needed};
use crate::patterns::{Patterns, Sets};

/// Patterns that have been the same in all other places so far.
struct Node {
    patterns: Vec<u32>,
    /// Where they may differ.
    places: Vec<usize>,
}

/// The patterns that belong together.
pub(crate) fn same_words(patterns: &Patterns<'_>) -> Sets {
    let mut sets = Sets::new(patterns.all.len());
    let mut nodes = by_separators(patterns);
    while let Some(node) = nodes.pop() {
        if node.patterns.len() > 1 {
            split(patterns, &node, &mut nodes, &mut sets);
        }
    }
    sets
}

fn by_separators(patterns: &Patterns<'_>) -> Vec<Node> {
    let mut nodes: HashMap<Vec<Option<u32>>, Vec<u32>, ahash::RandomState> = HashMap::default();
    for (index, pattern) in (0..).zip(&patterns.all) {
        let is_word = |symbol: u32| patterns.symbols.facts(symbol).is_word;
        let separators =
            pattern.iter().map(|place| Some(place.symbol).filter(|it| !is_word(*it))).collect();
        nodes.entry(separators).or_default().push(index);
    }
    let places = |separators: &[Option<u32>]| {
        (0..separators.len()).filter(|at| separators[*at].is_none()).collect()
    };
    nodes
        .into_iter()
        .map(|(separators, patterns)| Node { patterns, places: places(&separators) })
        .collect()
}

fn split(patterns: &Patterns<'_>, node: &Node, nodes: &mut Vec<Node>, sets: &mut Sets) {
    let symbol = |index: u32, at: usize| patterns.all[index as usize][at].symbol;
    let [first, rest @ ..] = &node.patterns[..] else { return };
    let pattern = &patterns.all[*first as usize];
    let symbols = &patterns.symbols;
    let mut same = half_words(symbols, pattern);
    // The different words at each place where there are any.
    let mut differing: Vec<(usize, Vec<u32>)> = Vec::new();
    for &at in &node.places {
        let one = symbol(*first, at);
        if rest.iter().all(|index| symbol(*index, at) == one) {
            continue;
        }
        same -= symbols.facts(one).half_words;
        let mut words: Vec<u32> = node.patterns.iter().map(|index| symbol(*index, at)).collect();
        words.sort_unstable();
        words.dedup();
        differing.push((at, words));
    }
    let is_shared = same as usize >= 2 * differing.len();
    let enough = is_shared
        && differing
            .iter_mut()
            .all(|(at, words)| is_enough(symbols, words, needed(symbols, pattern, *at, same)));
    if enough {
        rest.iter().for_each(|index| sets.unite(*first, *index));
        return;
    }
    let fewest = differing.iter().min_by_key(|(at, words)| (words.len(), *at));
    let Some(&(at, _)) = fewest else { return };
    let places: Vec<usize> = differing.iter().map(|it| it.0).filter(|it| *it != at).collect();
    let mut sorted = node.patterns.clone();
    sorted.sort_unstable_by_key(|index| (symbol(*index, at), *index));
    for same in sorted.chunk_by(|a, b| symbol(*a, at) == symbol(*b, at)) {
        nodes.push(Node { patterns: same.to_vec(), places: places.clone() });
    }
}
