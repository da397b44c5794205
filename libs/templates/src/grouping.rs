//! Groups shapes: the passes in their order, and how much evidence makes a place one that varies.

use crate::patterns::{Pattern, Patterns, Place};
use crate::slots::Slot;
use crate::symbols::{Evidence, Facts, Symbols, VALUE_WORD, WILD, WILD_WORDS};
use crate::templates::Templates;
use crate::{context, gaps, split};

/// Each pass makes fewer or shorter patterns, so that an end is certain; these are far more than is ever needed.
const ROUNDS_MAX: usize = 4;
const CONTEXT_ROUNDS_MAX: usize = 10;

/// `shapes` with their numbers, sorted; `slots` by number.
pub(crate) fn group(shapes: &[(Box<[u8]>, u32)], slots: &[Box<[Slot]>]) -> Templates {
    let of_number = |number: u32| slots.get(number as usize).map_or(&[][..], |it| it);
    let mut patterns =
        Patterns::new(shapes.iter().map(|(key, number)| (&**key, of_number(*number))));
    for _ in 0..ROUNDS_MAX {
        for _ in 0..CONTEXT_ROUNDS_MAX {
            let same = context::same_context(&patterns);
            if !patterns.merge(same) {
                break;
            }
        }
        let same = split::same_words(&patterns);
        let mut changed = patterns.merge(same);
        let shorter = patterns.all.iter().map(|pattern| without_runs(&patterns, pattern)).collect();
        changed |= patterns.rewrite(shorter);
        let into = gaps::fillings(&patterns);
        changed |= patterns.absorb(&into);
        if !changed {
            break;
        }
    }
    let templates = patterns.templates();
    let mut by_number: Vec<&str> = vec![""; shapes.len()];
    for (template, (_, number)) in templates.iter().zip(shapes) {
        if let Some(place) = by_number.get_mut(*number as usize) {
            *place = template;
        }
    }
    Templates::new(&by_number)
}

/// The words that are the same in all messages of a pattern, in halves.
pub(crate) fn half_words(symbols: &Symbols<'_>, pattern: &[Place]) -> u32 {
    pattern.iter().map(|place| symbols.facts(place.symbol).half_words).sum()
}

/// What it takes to make `at` a place that varies where the rest of the message has so many words: the less there is
/// that the messages share, the more different words have to stand there. `None` if nothing is enough.
pub(crate) fn needed(
    symbols: &Symbols<'_>,
    pattern: &[Place],
    at: usize,
    half_words: u32,
) -> Option<Evidence> {
    let mut needed = match half_words / 2 {
        0 => return None,
        1 => 100,
        2 => 60,
        3 => 40,
        4.. => 30,
    };
    let facts = |place: &Place| *symbols.facts(place.symbol);
    let before = pattern.get(..at).unwrap_or(pattern);
    if before.last().map(facts).is_some_and(|facts: Facts| facts.is_equals) {
        // The value of a key is more often of a small set.
        needed += 10;
    }
    if !before.iter().map(facts).any(|facts| facts.is_word) {
        // A message seldom begins with something that varies and does not look so.
        needed *= 2;
    }
    Some(needed)
}

/// Whether different words at a place are enough evidence; sorts `words`.
pub(crate) fn is_enough(
    symbols: &Symbols<'_>,
    words: &mut Vec<u32>,
    needed: Option<Evidence>,
) -> bool {
    words.sort_unstable();
    words.dedup();
    let evidence: Evidence = words.iter().map(|word| symbols.facts(*word).evidence).sum();
    needed.is_some_and(|needed| words.len() > 1 && evidence >= needed)
}

/// Makes one place of several in a row that vary: so lists of any length become the same pattern.
fn without_runs(patterns: &Patterns<'_>, pattern: &[Place]) -> Pattern {
    let facts = |place: Option<&Place>| place.map(|place| *patterns.symbols.facts(place.symbol));
    let varies = |place: &Place| matches!(place.symbol, WILD | WILD_WORDS | VALUE_WORD);
    let mut places: Vec<Place> = Vec::with_capacity(pattern.len());
    for place in pattern {
        places.push(*place);
        while places.last().is_some_and(varies) {
            let before = |back: usize| places.iter().rev().nth(back);
            let (one, two, three) = (before(1), before(2), before(3));
            let (one_facts, two_facts) = (facts(one), facts(two));
            let back = if one.is_some_and(varies) {
                1
            } else if one_facts.is_some_and(|it| it.joins) && two.is_some_and(varies) {
                2
            } else if one_facts.is_some_and(|it| it.is_space)
                && two_facts.is_some_and(|it| it.is_comma)
                && three.is_some_and(varies)
            {
                3
            } else {
                break;
            };
            let spaced = back == 1 || (back == 2 && one_facts.is_some_and(|it| it.is_space));
            let (first, last) = (before(back).map(|it| it.symbol), place_symbol(before(0)));
            let symbols = [first.unwrap_or(WILD), last];
            let joined = if symbols == [VALUE_WORD; 2] {
                patterns.values()
            } else {
                let words = symbols == [WILD; 2] && spaced;
                patterns.wild(words || symbols.contains(&WILD_WORDS))
            };
            places.truncate(places.len() - back - 1);
            places.push(joined);
        }
    }
    places.into()
}

fn place_symbol(place: Option<&Place>) -> u32 {
    place.map_or(WILD, |place| place.symbol)
}
