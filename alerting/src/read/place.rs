//! Where a place in a query is in its file: the query may stand behind a quote, or over several lines of a block.

/// Line and column, both from 1, of byte `at` of `value`, whose node begins at `line` and `column` of `text`.
pub(super) fn place(
    text: &str,
    (line, column): (usize, usize),
    value: &str,
    at: usize,
) -> (usize, usize) {
    let at = at.min(value.len());
    let before = value.get(..at).unwrap_or_default();
    // Which line of the value, and where in it.
    let (value_line, in_line) = match before.rfind('\n') {
        Some(end) => (before.matches('\n').count(), &before[end + 1..]),
        None => (0, before),
    };
    let wanted = value.lines().nth(value_line).unwrap_or_default().trim_end();
    let mut lines = text.lines().enumerate().skip(line.saturating_sub(1));
    // The line of the value as it stands in the file, from the node on.
    let found = lines.find_map(|(number, content)| {
        let from = if number + 1 == line { byte_of(content, column) } else { 0 };
        let start = content.get(from..)?.find(wanted).filter(|_| !wanted.is_empty())?;
        Some((number + 1, content[..from + start].chars().count() + 1))
    });
    match found {
        Some((line, start)) => (line, start + in_line.chars().count()),
        // It is written with escapes: the node is the best that can be told.
        None => (line, column),
    }
}

fn byte_of(line: &str, column: usize) -> usize {
    line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_behind_quotes_and_in_blocks() {
        let text = "a: 'x | stts'\nb: |\n  level:error\n  | stts\nc: \"x\\ty\"\n";
        assert_eq!(place(text, (1, 4), "x | stts", 4), (1, 9));
        assert_eq!(place(text, (2, 4), "level:error\n| stts\n", 14), (4, 5));
        assert_eq!(place(text, (5, 4), "x\ty", 2), (5, 4));
    }
}
