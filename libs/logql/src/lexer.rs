//! The tokens of a query, with their places.
//!
//! ```text
//! name      letters, digits and `_`, no digit first      string    "…" with Go's escapes, or `…` as it stands
//! number    5  .5  1e3  0x1F                             flag      --strict
//! duration  1h30m  500ms                                 range     [5m]
//! bytes     10KB  1.5MiB                                 comment   # up to the end of the line
//! ```
//!
//! Tokens come first and are all of them kept, because a fault names the token that was not expected, by the name that
//! Loki gives it. A keyword is a name here: whether it is one depends on where it stands.

use crate::fault::Fault;
use crate::quantity::{parse_bytes, parse_duration_ns};
use crate::span::Span;

/// Signs, longer ones before their beginnings.
const SIGNS: [&str; 29] = [
    "|=", "|~", "|>", "!=", "!~", "!>", "=~", "==", ">=", "<=", "|", "=", ">", "<", "{", "}", "(",
    ")", ",", "+", "-", "*", "/", "%", "^", "[", "]", ".", ":",
];

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Name(String),
    Text(String),
    Number(f64),
    /// In nanoseconds.
    Duration(i64),
    Bytes(u64),
    /// In nanoseconds.
    Range(i64),
    Flag(String),
    Sign(&'static str),
    End,
}

impl Token {
    /// As Loki names it in a fault.
    pub(crate) fn described(&self) -> String {
        match self {
            Self::Name(name) => match is_keyword(name) {
                true => name.to_ascii_lowercase(),
                false => "IDENTIFIER".to_owned(),
            },
            Self::Text(_) => "STRING".to_owned(),
            Self::Number(_) => "NUMBER".to_owned(),
            Self::Duration(_) => "DURATION".to_owned(),
            Self::Bytes(_) => "BYTES".to_owned(),
            Self::Range(_) => "RANGE".to_owned(),
            Self::Flag(_) => "PARSER_FLAG".to_owned(),
            Self::Sign(sign) => (*sign).to_owned(),
            Self::End => "$end".to_owned(),
        }
    }
}

/// A token and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lexeme {
    pub(crate) token: Token,
    pub(crate) span: Span,
}

const KEYWORDS: [&str; 27] = [
    "by",
    "without",
    "bool",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
    "unwrap",
    "json",
    "logfmt",
    "regexp",
    "pattern",
    "unpack",
    "line_format",
    "label_format",
    "drop",
    "keep",
    "decolorize",
    "and",
    "or",
    "unless",
    "vector",
    "label_replace",
    "duration",
    "bytes",
    "duration_seconds",
];

fn is_keyword(name: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(name))
}

/// All tokens of `text`, [`Token::End`] last.
///
/// # Errors
/// A string that does not end, a wrong escape, a number that is none, a character that begins nothing.
pub(crate) fn lex(text: &str) -> Result<Vec<Lexeme>, Fault> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        if first == '#' {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let (token, length) = token(text, at, first)?;
        found.push(Lexeme { token, span: Span::new(at, at + length) });
        at += length;
    }
    found.push(Lexeme { token: Token::End, span: Span::new(at, at) });
    Ok(found)
}

fn token(text: &str, at: usize, first: char) -> Result<(Token, usize), Fault> {
    let rest = &text[at..];
    let second = rest[first.len_utf8()..].chars().next();
    match first {
        '"' | '`' => string(text, at),
        '[' => range(text, at),
        '-' if rest.starts_with("--")
            && rest[2..].starts_with(|next: char| next.is_ascii_alphabetic()) =>
        {
            let length = run(&rest[2..], |c| c.is_ascii_alphanumeric() || c == '-');
            Ok((Token::Flag(rest[2..2 + length].to_owned()), 2 + length))
        }
        '0'..='9' => literal(text, at),
        '.' if second.is_some_and(|second| second.is_ascii_digit()) => literal(text, at),
        first if first == '_' || first.is_alphabetic() => {
            let length = run(rest, |c| c == '_' || c.is_alphanumeric());
            Ok((Token::Name(rest[..length].to_owned()), length))
        }
        first => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            Some(sign) => Ok((Token::Sign(sign), sign.len())),
            None => {
                let span = Span::new(at, at + first.len_utf8());
                let shown = first.escape_debug();
                Err(Fault::at(text, span, format!("syntax error: unexpected character '{shown}'")))
            }
        },
    }
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|character| !belongs(character)).unwrap_or(text.len())
}

/// A number, a duration or a size.
fn literal(text: &str, at: usize) -> Result<(Token, usize), Fault> {
    let rest = &text[at..];
    let mut length = run(rest, |c| c == '.' || c == 'µ' || c == 'μ' || c.is_ascii_alphanumeric());
    // The sign of an exponent belongs to the number, but not that of a sum.
    let exponent = rest[..length].strip_suffix(['e', 'E']).is_some_and(|mantissa| {
        !mantissa.is_empty() && mantissa.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    });
    if exponent && let Some(after) = rest[length..].strip_prefix(['+', '-']) {
        length += match run(after, |c| c.is_ascii_digit()) {
            0 => 0,
            digits => 1 + digits,
        };
    }
    let written = &rest[..length];
    let hexadecimal = written.strip_prefix("0x").or(written.strip_prefix("0X"));
    let number = match hexadecimal {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|number| number as f64),
        None => written.parse::<f64>().ok(),
    };
    let token = number
        .filter(|number| number.is_finite())
        .map(Token::Number)
        .or_else(|| parse_duration_ns(written).map(Token::Duration))
        .or_else(|| parse_bytes(written).map(Token::Bytes));
    match token {
        Some(token) => Ok((token, length)),
        None => {
            let message = format!("not a valid number, duration or size: \"{written}\"");
            Err(Fault::at(text, Span::new(at, at + length), message))
        }
    }
}

/// `[5m]`.
fn range(text: &str, at: usize) -> Result<(Token, usize), Fault> {
    let Some(length) = text[at..].find(']') else {
        return Err(Fault::at(text, Span::new(at, text.len()), "missing closing ']' in duration"));
    };
    let written = text[at + 1..at + length].trim();
    match parse_duration_ns(written) {
        Some(range_ns) if range_ns > 0 => Ok((Token::Range(range_ns), length + 1)),
        _ => {
            let message = format!("not a valid duration string: \"{written}\"");
            Err(Fault::at(text, Span::new(at, at + length + 1), message))
        }
    }
}

/// The string that a text begins with, and its length in the text.
///
/// # Errors
/// As [`lex`].
pub(crate) fn string_at(text: &str) -> Result<(String, usize), Fault> {
    match string(text, 0)? {
        (Token::Text(string), length) => Ok((string, length)),
        (other, _) => {
            Err(Fault::whole(format!("expected a string, and not {}", other.described())))
        }
    }
}

fn string(text: &str, at: usize) -> Result<(Token, usize), Fault> {
    let open = Fault::at(text, Span::new(at, text.len()), "literal not terminated");
    let rest = &text[at..];
    if let Some(raw) = rest.strip_prefix('`') {
        let length = raw.find('`').ok_or(open)?;
        // Go leaves carriage returns out of raw strings.
        return Ok((Token::Text(raw[..length].replace('\r', "")), length + 2));
    }
    let mut bytes = Vec::new();
    let mut place = 1;
    loop {
        let next = rest[place..].chars().next().filter(|next| *next != '\n').ok_or(open.clone())?;
        match next {
            '"' => break,
            '\\' => {
                let Some(length) = unescape(&rest[place..], &mut bytes) else {
                    let span = Span::new(at + place, at + place + 1);
                    return Err(Fault::at(text, span, "invalid char escape"));
                };
                place += length;
            }
            plain => {
                bytes.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
                place += plain.len_utf8();
            }
        }
    }
    match String::from_utf8(bytes) {
        Ok(string) => Ok((Token::Text(string), place + 1)),
        Err(_) => {
            let span = Span::new(at, at + place + 1);
            Err(Fault::at(text, span, "invalid string: its escapes are not UTF-8"))
        }
    }
}

/// Puts what an escape means behind `bytes`, and answers its length.
fn unescape(escape: &str, bytes: &mut Vec<u8>) -> Option<usize> {
    let letter = escape.chars().nth(1)?;
    let (digits, radix) = match letter {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' | '"' => {
            bytes.push(match letter {
                'a' => 0x07,
                'b' => 0x08,
                'f' => 0x0c,
                'n' => b'\n',
                'r' => b'\r',
                't' => b'\t',
                'v' => 0x0b,
                same => same as u8,
            });
            return Some(2);
        }
        'x' => (escape.get(2..4)?, 16),
        'u' => (escape.get(2..6)?, 16),
        'U' => (escape.get(2..10)?, 16),
        '0'..='7' => (escape.get(1..4)?, 8),
        _ => return None,
    };
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let code = u32::from_str_radix(digits, radix).ok()?;
    match letter {
        'u' | 'U' => {
            bytes.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
            Some(2 + digits.len())
        }
        'x' => {
            bytes.push(u8::try_from(code).ok()?);
            Some(4)
        }
        _ => {
            bytes.push(u8::try_from(code).ok()?);
            Some(4)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token> {
        let found = lex(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        found.into_iter().map(|lexeme| lexeme.token).collect()
    }

    #[test]
    fn numbers_durations_and_sizes_are_told_apart() {
        for (text, expected) in [
            ("5", Token::Number(5.0)),
            (".5", Token::Number(0.5)),
            ("1e-3", Token::Number(0.001)),
            ("0x1F", Token::Number(31.0)),
            ("5m", Token::Duration(300_000_000_000)),
            ("1h30m", Token::Duration(5_400_000_000_000)),
            ("5M", Token::Bytes(5_000_000)),
            ("10KB", Token::Bytes(10_000)),
            ("[ 500ms ]", Token::Range(500_000_000)),
            ("--keep-empty", Token::Flag("keep-empty".to_owned())),
        ] {
            assert_eq!(tokens(text), [expected, Token::End], "{text}");
        }
        let sum = [Token::Number(1.0), Token::Sign("-"), Token::Number(3.0), Token::End];
        assert_eq!(tokens("1-3"), sum);
    }

    #[test]
    fn strings_have_the_escapes_of_go() {
        for (text, expected) in [
            (r#""a\"b\\c\n""#, "a\"b\\c\n"),
            (r#""\x41\101\u00e9\U0001F600""#, "AAé😀"),
            (r#""\xc3\xa9""#, "é"),
            (r"`\d+ `", r"\d+ "),
            ("``", ""),
            ("\"# no comment\"", "# no comment"),
        ] {
            assert_eq!(tokens(text), [Token::Text(expected.to_owned()), Token::End], "{text}");
        }
    }

    #[test]
    fn comments_and_blanks_are_nothing() {
        let name = |name: &str| Token::Name(name.to_owned());
        assert_eq!(tokens("a # b \" c\n d#"), [name("a"), name("d"), Token::End]);
    }

    #[test]
    fn what_is_no_token_is_refused_where_it_stands() {
        for (text, expected) in [
            ("{a=\"b", "parse error at line 1, col 4: literal not terminated"),
            ("{a=`b", "parse error at line 1, col 4: literal not terminated"),
            ("\"a\nb\"", "parse error at line 1, col 1: literal not terminated"),
            (r#""a\d""#, "parse error at line 1, col 3: invalid char escape"),
            (r#""\u12"#, "parse error at line 1, col 2: invalid char escape"),
            (
                r#""\xff""#,
                "parse error at line 1, col 1: invalid string: its escapes are not UTF-8",
            ),
            (
                "[5minutes]",
                "parse error at line 1, col 1: not a valid duration string: \"5minutes\"",
            ),
            ("[5m", "parse error at line 1, col 1: missing closing ']' in duration"),
            ("a\n ?", "parse error at line 2, col 2: syntax error: unexpected character '?'"),
            (
                "5parsecs",
                "parse error at line 1, col 1: not a valid number, duration or size: \"5parsecs\"",
            ),
        ] {
            assert_eq!(lex(text).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
