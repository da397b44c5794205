//! Regular expressions as Go's RE2 reads them, for the crate `regex`, which reads some of them otherwise.
//!
//! What differs: `\d`, `\w`, `\s` and `\b` mean ASCII in Go; `[` and `&&` within a class stand for themselves there, and so
//! does a `{` that begins no count; `\Q…\E` quotes.

use regex::{Regex, RegexBuilder};

/// Largest compiled regular expression, bytes; as in our own query language, to which some are handed on.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Compiles an expression that may match anywhere.
///
/// # Errors
/// What is wrong with it, in a line.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    build(&translate(pattern), pattern)
}

/// Compiles an expression that has to match the whole of a text.
///
/// # Errors
/// As [`compile`].
pub(crate) fn compile_anchored(pattern: &str) -> Result<Regex, String> {
    // By itself first, so that `a)(b` does not become right by what is put around it.
    compile(pattern)?;
    build(&whole_in_rust(pattern), pattern)
}

/// An expression that may match anywhere, as the crate `regex` reads it.
pub fn anywhere_in_rust(pattern: &str) -> String {
    translate(pattern)
}

/// An expression that has to match the whole of a text, as the crate `regex` reads it.
pub fn whole_in_rust(pattern: &str) -> String {
    format!("^(?s:{})$", translate(pattern))
}

fn build(translated: &str, pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(translated).size_limit(REGEX_BYTES_MAX).nest_limit(64).build().map_err(
        |error| {
            let reason = match &error {
                regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
                // The last line says why, those before it show the expression.
                error => {
                    error.to_string().lines().last().unwrap_or_default().replace("error: ", "")
                }
            };
            format!("error parsing regexp: {reason}: `{pattern}`")
        },
    )
}

fn translate(pattern: &str) -> String {
    let mut translated = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '\\' => escape(rest, in_class, &mut translated),
            '[' if in_class => class_in_class(rest, &mut translated),
            '[' => {
                in_class = true;
                // A `]` right behind the beginning stands for itself.
                let length = 1 + usize::from(rest[1..].starts_with('^'));
                let length = length + usize::from(rest[length..].starts_with(']'));
                translated.push_str(&rest[..length]);
                length
            }
            ']' if in_class => {
                in_class = false;
                translated.push(']');
                1
            }
            '&' | '~' if in_class => {
                translated.extend(['\\', first]);
                1
            }
            // Two of them would take one class from another; one is the border of a range.
            '-' if in_class && rest[1..].starts_with('-') => {
                let begins = translated.ends_with('[') || translated.ends_with("[^");
                translated.push_str(if begins { "\\-" } else { "-\\-" });
                if begins { 1 } else { 2 }
            }
            '{' if !in_class && !is_count(rest) => {
                translated.push_str("\\{");
                1
            }
            plain => {
                translated.push(plain);
                plain.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    translated
}

/// Translates an escape and answers its length.
fn escape(rest: &str, in_class: bool, translated: &mut String) -> usize {
    if !in_class && let Some(quoted) = rest.strip_prefix("\\Q") {
        let end = quoted.find("\\E").unwrap_or(quoted.len());
        translated.push_str(&regex::escape(&quoted[..end]));
        return (2 + end + 2).min(rest.len());
    }
    let Some(letter) = rest[1..].chars().next() else {
        translated.push('\\');
        return 1;
    };
    let class = match letter {
        'd' => Some("0-9"),
        'w' => Some("0-9A-Za-z_"),
        's' => Some(r"\t\n\f\r "),
        'D' => Some("^0-9"),
        'W' => Some("^0-9A-Za-z_"),
        'S' => Some(r"^\t\n\f\r "),
        _ => None,
    };
    match class {
        Some(class) if in_class && letter.is_ascii_lowercase() => translated.push_str(class),
        Some(class) => {
            translated.push('[');
            translated.push_str(class);
            translated.push(']');
        }
        // Borders of words elsewhere, signs here.
        None if letter == '<' || letter == '>' => translated.push(letter),
        None if letter == 'b' && !in_class => translated.push_str(r"(?-u:\b)"),
        None if matches!(letter, 'p' | 'P' | 'x') && rest[2..].starts_with('{') => {
            let length = rest.find('}').map_or(rest.len(), |end| end + 1);
            translated.push_str(&rest[..length]);
            return length;
        }
        None => translated.extend(['\\', letter]),
    }
    1 + letter.len_utf8()
}

/// `[:alpha:]` within a class, or a bracket that stands for itself.
fn class_in_class(rest: &str, translated: &mut String) -> usize {
    if rest.starts_with("[:")
        && let Some(end) = rest.find(":]")
    {
        translated.push_str(&rest[..end + 2]);
        return end + 2;
    }
    translated.push_str("\\[");
    1
}

/// Whether it begins with `{2}`, `{2,}` or `{2,3}`.
fn is_count(rest: &str) -> bool {
    let Some(end) = rest.find('}') else { return false };
    let mut limits = rest[1..end].splitn(2, ',');
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let first = limits.next().is_some_and(|first| !first.is_empty() && digits(first));
    first && limits.next().is_none_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_they_mean_in_go() {
        for (pattern, text, expected) in [
            (r"\d+", "12", true),
            (r"^\d$", "٣", false),
            (r"^[\w-]+$", "a-b", true),
            (r"^\w$", "é", false),
            (r"\bx\b", "éxé", true),
            (r"\S", " a", true),
            (r"^[^\S]$", " ", true),
            (r"a{b", "a{b", true),
            (r"{a}", "{a}", true),
            (r"^a{2}$", "aa", true),
            (r"[[]", "[", true),
            (r"[]a]", "]", true),
            (r"[&&x]", "&", true),
            (r"^[[:alpha:]]$", "a", true),
            (r"\Qa.b\E.", "a.bc", true),
            (r"\Qa.b", "axb", false),
            (r"(?i)FOO", "a foo", true),
            (r"\p{Greek}", "λ", true),
            (r"\[x", "[x", true),
            (r"\<\?xml", "<?xml", true),
            (r"\<b\>", "a b c", false),
            (r"^[+--]$", ",", true),
            (r"^[--/]$", ".", true),
        ] {
            let regex = compile(pattern).unwrap_or_else(|fault| panic!("{pattern}: {fault}"));
            assert_eq!(regex.is_match(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn an_anchored_expression_matches_the_whole() {
        let regex = compile_anchored("a|b").unwrap();
        assert!(regex.is_match("a") && regex.is_match("b") && !regex.is_match("ab"));
        assert!(compile_anchored(".*").unwrap().is_match("two\nlines"));
        assert!(compile_anchored("a)(b").is_err());
    }

    #[test]
    fn what_is_wrong_is_said_in_a_line() {
        for pattern in ["(", "*a", "[a", r"\", "(a{1000}){1000}", "(?P<>a)"] {
            let fault = compile(pattern).unwrap_err();
            assert!(
                fault.starts_with("error parsing regexp: ") && !fault.contains('\n'),
                "{fault}"
            );
        }
    }
}
