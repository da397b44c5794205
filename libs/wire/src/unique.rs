//! Attribute names are unique: how a second attribute of a name gets another one.
//!
//! The attributes of a record come in three groups: its own, its scope's, its resource's. The first of a
//! name keeps it. A loser of an outer group goes under `scope.` or `resource.`; any other loser, and one
//! whose new name is taken as well, becomes `NAME#2`, `NAME#3` … Almost no record has duplicates, so the
//! common path is a Bloom filter over the names, and only what it cannot rule out is compared.

use std::ops::Range;

/// Up to so many names a suspicion is settled by comparing all; beyond it by sorting, because a hostile
/// record may have 100,000.
const COMPARED_MAX: usize = 64;

/// Whether two of the names are equal.
pub(crate) fn has_duplicates<T>(named: &[(&str, T)]) -> bool {
    let mut seen = [0_u64; 4];
    for (index, (name, _)) in named.iter().enumerate() {
        let hash = hash(name);
        let word = &mut seen[(hash >> 6 & 3) as usize];
        let bit = 1 << (hash & 63);
        if *word & bit != 0 {
            if named.len() > COMPARED_MAX {
                return has_duplicates_sorted(named);
            }
            if named[..index].iter().any(|(other, _)| other == name) {
                return true;
            }
        }
        *word |= bit;
    }
    false
}

/// New names for the losers, by index. `scope` and `resource` are where those groups lie.
pub(crate) fn renames<T>(
    named: &[(&str, T)],
    scope: Range<usize>,
    resource: Range<usize>,
) -> Vec<(usize, String)> {
    let group = |index: usize| {
        if scope.contains(&index) {
            "scope."
        } else if resource.contains(&index) {
            "resource."
        } else {
            ""
        }
    };
    let mut names: Vec<String> = named.iter().map(|(name, _)| (*name).to_owned()).collect();
    // The first round moves outer losers under their prefix, where they may meet others; the second can
    // only number them, and numbered names differ from each other and from all that were there.
    for round in 0..2 {
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by(|a, b| names[*a].cmp(&names[*b]).then(a.cmp(b)));
        let mut changes = Vec::new();
        for same in order.chunk_by(|a, b| names[*a] == names[*b]) {
            let mut number = 2_u64;
            for loser in &same[1..] {
                let name = &names[*loser];
                let prefix = group(*loser);
                let new = if round == 0 && prefix != group(same[0]) {
                    format!("{prefix}{name}")
                } else {
                    numbered(name, &mut number, |wanted| {
                        order.binary_search_by(|index| names[*index].as_str().cmp(wanted)).is_ok()
                    })
                };
                changes.push((*loser, new));
            }
        }
        for (index, name) in changes {
            names[index] = name;
        }
    }
    names.into_iter().enumerate().filter(|(index, name)| *name != named[*index].0).collect()
}

fn numbered(name: &str, number: &mut u64, taken: impl Fn(&str) -> bool) -> String {
    loop {
        let wanted = format!("{name}#{number}");
        *number += 1;
        if !taken(&wanted) {
            return wanted;
        }
    }
}

fn has_duplicates_sorted<T>(named: &[(&str, T)]) -> bool {
    let mut names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

/// Mixes the length and the first and last eight bytes; its low eight bits are used.
#[inline]
fn hash(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let (first, last) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
            }
            _ => (
                u64::from(*bytes.first().unwrap_or(&0)),
                u64::from(*bytes.last().unwrap_or(&0)) << 8
                    | u64::from(*bytes.get(1).unwrap_or(&0)),
            ),
        },
    };
    let mixed =
        (first ^ last.rotate_left(29) ^ bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed >> 56
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn renamed(names: &[&str], scope: Range<usize>, resource: Range<usize>) -> Vec<String> {
        let named: Vec<_> = names.iter().map(|name| (*name, ())).collect();
        let mut all: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        for (index, name) in renames(&named, scope, resource) {
            all[index] = name;
        }
        all
    }

    #[test]
    fn the_first_keeps_the_name_and_later_ones_are_numbered() {
        assert_eq!(renamed(&["a", "b", "a", "a"], 4..4, 4..4), ["a", "b", "a#2", "a#3"]);
        assert_eq!(renamed(&["a", "a", "a#2"], 3..3, 3..3), ["a", "a#3", "a#2"]);
        assert_eq!(renamed(&["a", "a", "a#2", "a#2"], 4..4, 4..4), ["a", "a#3", "a#2", "a#2#2"]);
    }

    #[test]
    fn outer_losers_go_under_their_group() {
        assert_eq!(renamed(&["a", "a", "a"], 1..2, 2..3), ["a", "scope.a", "resource.a"]);
        assert_eq!(
            renamed(&["a", "resource.a", "a", "a", "b", "b"], 2..2, 2..6),
            ["a", "resource.a", "resource.a#2", "resource.a#3", "b", "b#2"]
        );
    }

    proptest! {
        #[test]
        fn names_end_up_unique(
            names in proptest::collection::vec("(resource\\.|scope\\.)?[ab]{0,2}(#[23])?", 0..90),
            cuts in (0_usize..90, 0_usize..90),
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let first = cuts.0.min(cuts.1).min(names.len());
            let second = cuts.0.max(cuts.1).min(names.len());
            let all = renamed(&names, first..second, second..names.len());
            let mut sorted = all.clone();
            sorted.sort();
            sorted.dedup();
            prop_assert_eq!(sorted.len(), all.len());
            let named: Vec<_> = names.iter().map(|name| (*name, ())).collect();
            let mut plain = names.clone();
            plain.sort_unstable();
            prop_assert_eq!(has_duplicates(&named), plain.windows(2).any(|pair| pair[0] == pair[1]));
        }
    }
}
