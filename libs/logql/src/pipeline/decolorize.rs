//! Takes the colours of terminals out of a line: control sequences of ECMA-48.
//!
//! ```text
//! ESC [ parameters intermediates final      ESC ] text BEL or ESC \      ESC one character
//! ```

use std::borrow::Cow;

const ESCAPE: char = '\u{1b}';

/// The line without its control sequences.
pub(super) fn decolorized(line: &str) -> Cow<'_, str> {
    if !line.contains([ESCAPE, '\u{9b}']) {
        return Cow::Borrowed(line);
    }
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find([ESCAPE, '\u{9b}']) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = &rest[sequence(rest)..];
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// The length of the sequence that a text begins with.
fn sequence(text: &str) -> usize {
    let mut characters = text.char_indices();
    let introducer = match characters.next() {
        Some((_, ESCAPE)) => characters.next().map(|(_, character)| character),
        _ => Some('['),
    };
    let end = match introducer {
        Some('[') => characters.find(|(_, character)| !(' '..='?').contains(character)),
        Some(']') => {
            let mut before = ' ';
            characters.find(|(_, character)| {
                let ends = *character == '\u{7}' || before == ESCAPE && *character == '\\';
                before = *character;
                ends
            })
        }
        Some(other) => return 1 + other.len_utf8(),
        None => None,
    };
    end.map_or(text.len(), |(at, last)| at + last.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_out_and_nothing_else() {
        for (line, expected) in [
            ("plain é", "plain é"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("a\u{1b}[1;38;5;196mb", "ab"),
            ("\u{1b}]0;title\u{7}x", "x"),
            ("\u{1b}]8;;http://a\u{1b}\\link", "link"),
            ("\u{9b}32mgreen", "green"),
            ("x\u{1b}Mé", "xé"),
            ("x\u{1b}", "x"),
            ("x\u{1b}[", "x"),
            ("x\u{1b}[3é", "x"),
        ] {
            assert_eq!(decolorized(line), expected, "{line:?}");
        }
    }
}
