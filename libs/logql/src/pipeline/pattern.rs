//! Patterns: texts with captures between them, `<ip> - <_> "<method> <path>"`.
//!
//! * As a parser the pattern begins where the line does, each capture reaches up to the first place of the text behind
//!   it, and where that text is missing the capture takes the rest of the line and the pattern is done.
//! * As a line filter it has to match the whole line, no capture is empty, and none has a name.

/// A pattern; no two captures stand side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Without a name it is `<_>`.
    Capture(Option<String>),
}

impl Pattern {
    /// A pattern that extracts.
    ///
    /// # Errors
    /// Nothing is captured, captures have the same name or stand side by side.
    pub(super) fn for_labels(text: &str) -> Result<Self, String> {
        let pattern = Self::parse(text)?;
        let names: Vec<&str> = pattern.names().collect();
        if names.is_empty() {
            return Err(format!("at least one capture is required: invalid pattern '{text}'"));
        }
        let twice = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
        if let Some((_, name)) = twice {
            return Err(format!("duplicate capture name ({name}): invalid pattern '{text}'"));
        }
        Ok(pattern)
    }

    /// A pattern that filters.
    ///
    /// # Errors
    /// A capture has a name, or captures stand side by side.
    pub(super) fn for_lines(text: &str) -> Result<Self, String> {
        let pattern = Self::parse(text)?;
        if let Some(name) = pattern.names().next() {
            return Err(format!("named capture <{name}> in a line filter, only <_> is allowed"));
        }
        Ok(pattern)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(name) = capture(rest) {
                if let Some(Part::Capture(before)) = parts.last() {
                    let before = before.as_deref().unwrap_or("_");
                    return Err(format!(
                        "found consecutive capture '<{before}><{name}>': invalid pattern"
                    ));
                }
                parts.push(Part::Capture((name != "_").then(|| name.to_owned())));
                rest = &rest[name.len() + 2..];
                continue;
            }
            let first = rest.chars().next().map_or(0, char::len_utf8);
            let length = rest[first..].find('<').map_or(rest.len(), |at| first + at);
            match parts.last_mut() {
                Some(Part::Text(before)) => before.push_str(&rest[..length]),
                _ => parts.push(Part::Text(rest[..length].to_owned())),
            }
            rest = &rest[length..];
        }
        Ok(Self(parts))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Capture(name) => name.as_deref(),
            Part::Text(_) => None,
        })
    }

    /// Calls `found` for each capture that has a name.
    pub(super) fn extract<'l>(&self, line: &'l str, mut found: impl FnMut(&str, &'l str)) {
        let mut parts = self.0.iter();
        let mut rest = line;
        if line.is_empty() {
            return;
        }
        let mut next = parts.next();
        if let Some(Part::Text(text)) = next {
            let Some(after) = rest.strip_prefix(text.as_str()) else { return };
            rest = after;
            next = parts.next();
        }
        while let Some(Part::Capture(name)) = next {
            let text = match parts.next() {
                Some(Part::Text(text)) => text.as_str(),
                _ => "",
            };
            let end = if text.is_empty() { None } else { rest.find(text) };
            if let Some(name) = name {
                found(name, &rest[..end.unwrap_or(rest.len())]);
            }
            let Some(end) = end else { return };
            rest = &rest[end + text.len()..];
            next = parts.next();
        }
    }

    /// Whether it matches the whole of a line.
    pub(super) fn matches(&self, line: &str) -> bool {
        let mut rest = line;
        let mut captures = false;
        let last = self.0.len().saturating_sub(1);
        for (index, part) in self.0.iter().enumerate() {
            let Part::Text(text) = part else {
                captures = true;
                continue;
            };
            // A capture has a character at least.
            let first = rest.chars().next().map_or(0, char::len_utf8);
            let from = if captures { first } else { 0 };
            let end = match captures {
                false => rest.starts_with(text.as_str()).then_some(0),
                true if index == last => {
                    rest.strip_suffix(text.as_str()).map(str::len).filter(|end| *end >= from)
                }
                true => rest[from..].find(text.as_str()).map(|at| from + at),
            };
            let Some(end) = end.filter(|end| !captures || *end > 0) else { return false };
            rest = &rest[end + text.len()..];
            captures = false;
        }
        if captures { !rest.is_empty() } else { rest.is_empty() }
    }
}

/// The name of the capture that a text begins with.
fn capture(text: &str) -> Option<&str> {
    let name = text.strip_prefix('<')?;
    let name = &name[..name.find('>')?];
    let starts = name.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic());
    let valid = name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
    (starts && valid).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extracted(pattern: &str, line: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let pattern =
            Pattern::for_labels(pattern).unwrap_or_else(|fault| panic!("{pattern}: {fault}"));
        pattern.extract(line, |name, value| found.push((name.to_owned(), value.to_owned())));
        found
    }

    #[test]
    fn captures_reach_up_to_the_text_behind_them() {
        let pairs = |all: &[(&str, &str)]| -> Vec<(String, String)> {
            all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let line = r#"0.191.12.2 - - [10/Jun/2021:09:14:29] "GET /api HTTP/1.1" 200 15"#;
        for (pattern, expected) in [
            (
                r#"<ip> - - <_> "<method> <path> <_>" <status> <size>"#,
                pairs(&[
                    ("ip", "0.191.12.2"),
                    ("method", "GET"),
                    ("path", "/api"),
                    ("status", "200"),
                    ("size", "15"),
                ]),
            ),
            ("0.191.<rest>", pairs(&[("rest", &line[6..])])),
            ("nothing <rest>", vec![]),
            ("<ip> missing <rest>", pairs(&[("ip", line)])),
            ("<ip> <b><", pairs(&[("ip", "0.191.12.2"), ("b", &line[11..])])),
        ] {
            assert_eq!(extracted(pattern, line), expected, "{pattern}");
        }
        assert_eq!(extracted("<a>", ""), vec![]);
    }

    #[test]
    fn a_line_filter_matches_the_whole_line() {
        for (pattern, line, expected) in [
            ("a <_> b", "a x b", true),
            ("a <_> b", "a x b c", false),
            ("a <_> b", "a  b", false),
            ("<_> b", "x b", true),
            ("<_>b", "xbyb", true),
            ("a<_>", "a", false),
            ("a<_>", "ab", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("", "", true),
            ("", "a", false),
            ("<_>", "é", true),
            ("<_>é", "ée", false),
            ("<_>é<_>", "éé", false),
            ("<_>é<_>", "aéb", true),
        ] {
            assert_eq!(
                Pattern::for_lines(pattern).unwrap().matches(line),
                expected,
                "{pattern} on {line}"
            );
        }
    }

    #[test]
    fn patterns_that_extract_nothing_or_too_much_are_refused() {
        for pattern in ["a", "<_>", "<a><b>", "<a> <a>", "<1a>"] {
            assert!(Pattern::for_labels(pattern).is_err(), "{pattern}");
        }
        assert!(Pattern::for_lines("a <b>").is_err());
        assert!(Pattern::for_lines("<_><_>").is_err());
    }
}
