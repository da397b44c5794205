//! Logfmt lines: `key=value other="with blanks" flag`.
//!
//! What is not of this form is passed over, or with `--strict` a fault at which reading ends. A key without a value is
//! no label, but an empty one with `--keep-empty`.

use std::borrow::Cow;

use super::labels::Extracted;
use crate::ast::Logfmt;

/// The labels of a line.
///
/// # Errors
/// Only if it is strict: where the first fault is.
pub(super) fn extract(
    line: &str,
    logfmt: &Logfmt,
    extracted: &mut Extracted<'_, '_>,
) -> Result<(), String> {
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches(is_blank);
        if rest.is_empty() {
            break;
        }
        let (pair, length) = pair(rest, logfmt.strict);
        match pair {
            Some((_, value)) if value.is_empty() && !logfmt.keep_empty => {}
            Some((key, value)) if logfmt.extractions.is_empty() => {
                extracted.add(key, value.into_owned())
            }
            Some((key, value)) => {
                for extraction in logfmt.extractions.iter().filter(|one| one.source == key) {
                    extracted.add(&extraction.label, value.clone().into_owned());
                }
            }
            None if logfmt.strict => {
                let at = line.len() - rest.len() + length;
                return Err(format!("logfmt syntax error near byte {at}"));
            }
            None => {}
        }
        rest = &rest[length..];
    }
    if logfmt.keep_empty {
        // The first value counts, so that these are only set where there is none.
        logfmt.extractions.iter().for_each(|one| extracted.add(&one.label, String::new()));
    }
    Ok(())
}

fn is_blank(character: char) -> bool {
    character <= ' '
}

/// The pair that a text begins with, if it is one, and the length of it or of what is to be passed over; above 0.
fn pair(text: &str, strict: bool) -> (Option<(&str, Cow<'_, str>)>, usize) {
    let word = text.find(is_blank).unwrap_or(text.len());
    let key = &text[..text[..word].find('=').unwrap_or(word)];
    if key.is_empty() || key.contains('"') {
        return (None, word);
    }
    let Some(value) = text[key.len()..].strip_prefix('=') else {
        return (Some((key, Cow::Borrowed(""))), word);
    };
    let Some(quoted) = value.strip_prefix('"') else {
        let value = &text[key.len() + 1..word];
        let wrong = value.contains('"') || strict && value.contains('=');
        return ((!wrong).then_some((key, Cow::Borrowed(value))), word);
    };
    let Some(end) = closing_quote(quoted) else { return (None, word) };
    let length = key.len() + 3 + end;
    let ends = text[length..].chars().next().is_none_or(is_blank);
    let value = unescaped(&quoted[..end]);
    ((ends || !strict).then_some((key, value)), length)
}

fn closing_quote(quoted: &str) -> Option<usize> {
    let mut escaped = false;
    quoted.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut unescaped = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            unescaped.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => unescaped.push('\n'),
            Some('r') => unescaped.push('\r'),
            Some('t') => unescaped.push('\t'),
            Some('u') => {
                let digits: String = characters.clone().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                match code {
                    Some(code) => {
                        unescaped.push(char::from_u32(code).unwrap_or('\u{fffd}'));
                        characters.nth(3);
                    }
                    None => unescaped.push('u'),
                }
            }
            Some(other) => unescaped.push(other),
            None => {}
        }
    }
    Cow::Owned(unescaped)
}

#[cfg(test)]
mod tests {
    use super::super::labels::{LineLabels, Origin};
    use super::*;
    use crate::ast::Extraction;
    use crate::labels::Labels;

    fn check(logfmt: &Logfmt, line: &str, expected: &str, ok: bool) {
        let (stream, metadata) = ([("app", "x")].into_iter().collect::<Labels>(), Labels::new());
        let mut labels = LineLabels::new(&stream, &metadata);
        let found = extract(line, logfmt, &mut Extracted::into(&mut labels)).is_ok();
        assert_eq!(
            (labels.of(Origin::Parsed).to_string().as_str(), found),
            (expected, ok),
            "{line}"
        );
    }

    #[test]
    fn what_is_no_pair_is_passed_over() {
        let lenient = Logfmt::default();
        for (line, expected) in [
            (r#"level=info msg="a \"b\" \n" n=1"#, r#"{level="info", msg="a \"b\" \n", n="1"}"#),
            ("app=y a.b-c=1 flag empty= t=", r#"{a_b_c="1", app_extracted="y"}"#),
            (r#"a="unclosed b=1"#, r#"{b="1"}"#),
            (r#"=x "y"=z b=1"#, r#"{b="1"}"#),
            ("token=abc== a=1 a=2", r#"{a="1", token="abc=="}"#),
            ("a=\"\\u00e9\"tail", r#"{a="é"}"#),
            ("just some words", "{}"),
            ("", "{}"),
        ] {
            check(&lenient, line, expected, true);
        }
    }

    #[test]
    fn strict_ends_at_the_first_fault() {
        let strict = Logfmt { strict: true, ..Logfmt::default() };
        check(&strict, "a=1 b=2", r#"{a="1", b="2"}"#, true);
        check(&strict, "a=1 =x b=2", r#"{a="1"}"#, false);
        check(&strict, r#"a=1 b="x"#, r#"{a="1"}"#, false);
        check(&strict, "a=b=c", "{}", false);
    }

    #[test]
    fn empty_values_are_kept_when_asked_for() {
        let keep_empty = Logfmt { keep_empty: true, ..Logfmt::default() };
        check(&keep_empty, "a= b flag=\"\"", r#"{a="", b="", flag=""}"#, true);
    }

    #[test]
    fn expressions_take_only_what_they_name() {
        let extraction =
            |label: &str, source: &str| Extraction { label: label.into(), source: source.into() };
        let extractions =
            vec![extraction("x", "a.b"), extraction("c", "c"), extraction("app", "d")];
        let mut logfmt = Logfmt { extractions, ..Logfmt::default() };
        check(&logfmt, "a.b=1 c=2 d=3 e=4", r#"{app_extracted="3", c="2", x="1"}"#, true);
        check(&logfmt, "e=4", "{}", true);
        logfmt.keep_empty = true;
        check(&logfmt, "c=2", r#"{app_extracted="", c="2", x=""}"#, true);
    }
}
