//! The nearest known name to one that is not known, for "did you mean".

/// The nearest of `known` to `word`, if it is near enough to be meant: a third of the letters wrong at most,
/// and never more than three.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count().max(3) / 3).min(3);
    known
        .into_iter()
        .map(|name| (distance(word, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Stricter than [`nearest`], for names that may well be right: one slip, in a name of five letters or more
/// (of four if two letters changed places), and not the plural.
pub(crate) fn mistyped<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = word.chars().count();
    known.into_iter().find(|name| {
        let plural = word.strip_suffix('s') == Some(name);
        let slip = if length >= 5 { distance(word, name) == 1 } else { swapped(word, name) };
        slip && length >= 4 && !plural
    })
}

/// Whether two neighbours changed places and nothing else.
fn swapped(one: &str, other: &str) -> bool {
    let mut sorted = [one, other].map(|text| text.chars().collect::<Vec<_>>());
    sorted.iter_mut().for_each(|letters| letters.sort_unstable());
    sorted[0] == sorted[1] && distance(one, other) == 1
}

/// Insertions, deletions, substitutions and swaps of neighbours that lie between two words (optimal string
/// alignment). Words beyond 64 characters are not compared.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.len().max(other.len()) > 64 {
        return usize::MAX;
    }
    let mut before = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let same = one[i - 1] == other[j - 1];
            let mut best =
                (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + usize::from(!same));
            let swap = i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1];
            if swap {
                let earlier: &Vec<usize> = &before;
                best = best.min(earlier[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_far_ones_are_not() {
        let known = ["head", "tail", "stats", "timechart"];
        assert_eq!(nearest("hed", known), Some("head"));
        assert_eq!(nearest("satts", known), Some("stats"));
        assert_eq!(nearest("timchrt", known), Some("timechart"));
        assert_eq!(nearest("frobnicate", known), None);
        assert_eq!(distance("ca", "ac"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
