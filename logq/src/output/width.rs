//! Texts of an exact width on the screen.

use unicode_width::UnicodeWidthStr;

/// The text shortened with `…`, or padded with blanks, to exactly this width. It has no control characters.
pub(crate) fn fitted(text: &str, width: usize) -> String {
    if text.width() <= width {
        return format!("{text}{}", " ".repeat(width - text.width()));
    }
    let mut shown = String::new();
    for character in text.chars() {
        if shown.width() + character.to_string().width() + 1 > width {
            break;
        }
        shown.push(character);
    }
    let padding = width.saturating_sub(shown.width() + 1);
    format!("{shown}…{}", " ".repeat(padding))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_or_padded_also_where_characters_are_wide() {
        for (text, width, expected) in [
            ("ab", 4, "ab  "),
            ("abcd", 3, "ab…"),
            ("日本語", 4, "日… "),
            ("日", 2, "日"),
            ("", 2, "  "),
        ] {
            assert_eq!(fitted(text, width), expected);
        }
    }
}
