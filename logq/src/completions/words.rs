//! The words of a command line as shells split them, and how a candidate is handed to each shell.

use clap::ValueEnum;

/// Said instead of candidates where the shell should offer its own paths.
pub(super) const PATHS: &str = ":paths:";

/// A shell that completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// A command line up to the cursor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// Whole words behind the name of the program.
    pub(super) words: Vec<String>,
    /// The word at the cursor; empty if none is begun.
    pub(super) last: Word,
}

/// A word that may not be at its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// Without its quotes.
    pub(super) text: String,
    /// The quote that is open at its end.
    pub(super) quote: Option<char>,
}

impl Split {
    /// Splits as POSIX shells do: blanks outside of quotes part words, `\` takes the next character as it is.
    pub(super) fn of(line: &str) -> Self {
        let (mut words, mut word, mut begun) = (Vec::new(), Word::default(), false);
        let mut characters = line.chars();
        while let Some(character) = characters.next() {
            match (word.quote, character) {
                (None, blank) if blank.is_whitespace() => {
                    if begun {
                        words.push(std::mem::take(&mut word).text);
                    }
                    begun = false;
                    continue;
                }
                (None, quote @ ('\'' | '"')) => word.quote = Some(quote),
                (Some(open), quote) if open == quote => word.quote = None,
                (None | Some('"'), '\\') => word.text.extend(characters.next()),
                (_, other) => word.text.push(other),
            }
            begun = true;
        }
        if !words.is_empty() {
            words.remove(0);
        }
        Self { words, last: word }
    }
}

impl Shell {
    /// What `source` takes.
    pub(super) fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("bash.sh"),
            Self::Zsh => include_str!("zsh.sh"),
            Self::Fish => include_str!("fish.fish"),
        }
    }

    /// One candidate as the script of this shell takes it; `None` where it cannot stand in the quotes that are open.
    ///
    /// `current` is what the shell itself takes for the word at the cursor: bash parts words at `:` and `=` too.
    pub(super) fn line(self, last: &Word, current: &str, word: &str, what: &str) -> Option<String> {
        if word.contains(char::is_control) {
            return None;
        }
        match self {
            Self::Bash => {
                let kept = last.text.strip_suffix(current).map_or(0, str::len);
                let rest = word.get(kept..)?;
                match last.quote {
                    Some('\'') => (!rest.contains('\'')).then(|| rest.to_owned()),
                    Some(_) => Some(escaped(rest, "\"$`\\")),
                    None => Some(escaped(rest, " \t|&;<>()$`\\\"'*?[]#~!{}")),
                }
            }
            Self::Zsh => Some(format!("{word}\t{what}")),
            Self::Fish if what.is_empty() => Some(word.to_owned()),
            Self::Fish => Some(format!("{word}\t{what}")),
        }
    }
}

/// The text with a `\` before each of these characters.
fn escaped(text: &str, special: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if special.contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_shells_split_them() {
        for (line, words, last, quote) in [
            ("logq ", &[][..], "", None),
            ("logq se", &[], "se", None),
            ("logq 'a b' c", &["a b"], "c", None),
            ("logq tail 'level:err \"x", &["tail"], "level:err \"x", Some('\'')),
            ("logq a\\ b \"c \\\" d", &["a b"], "c \" d", Some('"')),
            ("logq x  ", &["x"], "", None),
        ] {
            let split = Split::of(line);
            assert_eq!(split.words, words, "{line}");
            assert_eq!((split.last.text.as_str(), split.last.quote), (last, quote), "{line}");
        }
    }

    #[test]
    fn bash_gets_the_part_behind_its_own_word_breaks_and_what_it_needs_in_quotes() {
        let bash = |line: &str, current: &str, word: &str| {
            Shell::Bash.line(&Split::of(line).last, current, word, "")
        };
        assert_eq!(bash("logq level:er", "er", "level:error").as_deref(), Some("error"));
        assert_eq!(
            bash("logq 'level:er", "level:er", "level:error").as_deref(),
            Some("level:error")
        );
        assert_eq!(bash("logq a", "a", "a b|c").as_deref(), Some("a\\ b\\|c"));
        assert_eq!(bash("logq 'a", "a", "a'b"), None);
        assert_eq!(bash("logq \"a", "a", "a\"b").as_deref(), Some("a\\\"b"));
    }
}
