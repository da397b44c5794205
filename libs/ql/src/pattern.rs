//! Regular expressions of a query, compiled once with limits, so that a hostile one is an error and not memory.

use regex::{Regex, RegexBuilder};

/// Largest compiled program and largest lazy DFA, each in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of groups.
const REGEX_NESTING_MAX: u32 = 64;

/// A compiled regular expression; unanchored, and exact to the case unless it begins with `(?i)`.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
}

impl Pattern {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// The reason in one line, in the words of the `regex` crate.
    pub fn new(pattern: &str) -> Result<Self, String> {
        RegexBuilder::new(pattern)
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .nest_limit(REGEX_NESTING_MAX)
            .build()
            .map(|regex| Self { regex })
            .map_err(|error| reason(&error))
    }

    /// The pattern as written between the slashes, `\/` being `/`.
    pub fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// Whether it is found anywhere in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The first match with its groups.
    pub fn captures<'t>(&self, text: &'t str) -> Option<regex::Captures<'t>> {
        self.regex.captures(text)
    }

    /// The groups that have a name, with their numbers.
    pub fn group_names(&self) -> impl Iterator<Item = (String, usize)> {
        let names = self.regex.capture_names().enumerate();
        names.filter_map(|(number, name)| Some((name?.to_owned(), number)))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("it takes more than {limit} bytes when compiled")
        }
        // The crate prints the pattern with a caret of its own; its last line says why.
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default().trim();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_one_line() {
        assert_eq!(Pattern::new("(a").unwrap_err(), "unclosed group");
        assert_eq!(
            Pattern::new(r"((\w{100}){100}){100}").unwrap_err(),
            "it takes more than 1048576 bytes when compiled"
        );
        assert!(!Pattern::new(&"(".repeat(1_000)).unwrap_err().contains('\n'));
    }
}
