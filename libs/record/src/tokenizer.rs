//! Tokenizer 1: what a word of a message is, for the index, the columns and the query language alike.
//!
//! A token is a run of letters and digits (Unicode alphanumeric), folded to lower case. A run longer than
//! [`TOKEN_BYTES_MAX`] is cut there and its rest skipped, on both sides of the search, so a long blob is
//! still found by itself. The version stands in every segment.

/// Stored in each segment; a change of the rules below is a new version.
pub const VERSION: u32 = 1;

/// Longest token in bytes, after folding.
pub const TOKEN_BYTES_MAX: usize = 256;

/// Calls `token` for each token of `text`, in order, folded; stops when it answers `false`.
pub fn for_each_token(text: &str, mut token: impl FnMut(&str) -> bool) {
    let mut folded = String::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        // Skip separators: ASCII by table, others by character.
        let byte = bytes[at];
        if byte.is_ascii() {
            if !byte.is_ascii_alphanumeric() {
                at += 1;
                continue;
            }
        } else {
            let character = text[at..].chars().next().expect("`at` is on a character boundary");
            if !character.is_alphanumeric() {
                at += character.len_utf8();
                continue;
            }
        }
        let (end, plain) = run_end(text, at);
        let run = &text[at..end];
        let go_on = if plain && run.len() <= TOKEN_BYTES_MAX {
            token(run)
        } else {
            fold_run(run, &mut folded);
            token(&folded)
        };
        if !go_on {
            return;
        }
        at = end;
    }
}

/// The tokens of `text`, folded.
pub fn tokens(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for_each_token(text, |token| {
        all.push(token.to_owned());
        true
    });
    all
}

/// Whether `text` has `token` (which is folded already) among its tokens.
pub fn has_token(text: &str, wanted: &str) -> bool {
    let mut found = false;
    for_each_token(text, |token| {
        found = token == wanted;
        !found
    });
    found
}

/// Whether `text` has the tokens of `phrase` (folded already) next to each other, in order.
pub fn has_phrase<S: AsRef<str>>(text: &str, phrase: &[S]) -> bool {
    let Some(last) = phrase.len().checked_sub(1) else { return false };
    if last == 0 {
        return has_token(text, phrase[0].as_ref());
    }
    // Bit i of `open` is set when the tokens seen last match phrase[..=i]; phrases over 64 words use the slow way.
    if phrase.len() > 64 {
        let all = tokens(text);
        return all
            .windows(phrase.len())
            .any(|window| window.iter().zip(phrase).all(|(a, b)| a == b.as_ref()));
    }
    let mut open = 0_u64;
    let mut found = false;
    for_each_token(text, |token| {
        let equal = phrase
            .iter()
            .enumerate()
            .fold(0_u64, |bits, (i, word)| bits | (u64::from(word.as_ref() == token) << i));
        open = ((open << 1) | 1) & equal;
        found = open >> last & 1 == 1;
        !found
    });
    found
}

/// `text` in lower case, by the folding that tokens get.
pub fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Where the run that begins at `start` ends, and whether it is ASCII without capitals.
fn run_end(text: &str, start: usize) -> (usize, bool) {
    let bytes = text.as_bytes();
    let mut at = start;
    let mut plain = true;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte.is_ascii() {
            if !byte.is_ascii_alphanumeric() {
                break;
            }
            plain &= !byte.is_ascii_uppercase();
            at += 1;
        } else {
            let character = text[at..].chars().next().expect("`at` is on a character boundary");
            if !character.is_alphanumeric() {
                break;
            }
            plain = false;
            at += character.len_utf8();
        }
    }
    (at, plain)
}

fn fold_run(run: &str, folded: &mut String) {
    folded.clear();
    for character in run.chars() {
        for lower in character.to_lowercase() {
            if folded.len() + lower.len_utf8() > TOKEN_BYTES_MAX {
                return;
            }
            folded.push(lower);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_are_folded_runs_of_letters_and_digits() {
        assert_eq!(
            tokens("GET /api/v2?Größe=10,5 ÄÖ—x"),
            ["get", "api", "v2", "größe", "10", "5", "äö", "x"]
        );
        assert_eq!(tokens(" --- "), Vec::<String>::new());
    }

    #[test]
    fn a_long_run_is_cut_and_its_rest_skipped() {
        let long = "a".repeat(1_000);
        assert_eq!(tokens(&format!("{long} b")), ["a".repeat(TOKEN_BYTES_MAX), "b".into()]);
        assert!(has_token(&long, &tokens(&long)[0]));
    }

    #[test]
    fn a_phrase_needs_adjacent_tokens_in_order() {
        let words = |text: &str| tokens(text);
        assert!(has_phrase("the card-declined: twice", &words("card declined")));
        assert!(has_phrase("a a b", &words("a b")));
        assert!(!has_phrase("card was declined", &words("card declined")));
        assert!(!has_phrase("declined card", &words("card declined")));
    }

    proptest! {
        #[test]
        fn a_text_has_each_of_its_tokens_and_itself_as_a_phrase(text in ".{0,200}") {
            let all = tokens(&text);
            for token in &all {
                prop_assert!(has_token(&text, token));
            }
            prop_assert_eq!(has_phrase(&text, &all), !all.is_empty());
        }
    }
}
