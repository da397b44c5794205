//! "Did you mean": the nearest of some names.

/// The name that is fewest edits away, if that is a third of its length or less.
pub(super) fn nearest<'n>(
    wanted: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let wanted: Vec<char> = wanted.to_lowercase().replace('-', "_").chars().collect();
    names
        .into_iter()
        .map(|name| (distance(&wanted, &name.chars().collect::<Vec<_>>()), name))
        .filter(|(distance, name)| *distance <= (name.chars().count().max(wanted.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Damerau's and Levenshtein's distance with adjacent swaps, row by row.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = [vec![0; b.len() + 1], (0..=b.len()).collect(), vec![0; b.len() + 1]];
    for i in 1..=a.len() {
        let [before, last, row] = &mut rows;
        row[0] = i;
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["http", "grpc", "flush_interval", "flush_bytes"];
        assert_eq!(nearest("htpt", names), Some("http"));
        assert_eq!(nearest("flush-intervall", names), Some("flush_interval"));
        assert_eq!(nearest("HTTP", names), Some("http"));
        assert_eq!(nearest("retention", names), None);
        assert_eq!(nearest("", names), None);
    }
}
