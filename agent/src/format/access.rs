//! What the access logs of web servers have in common: a request line, a status, and texts in quotes.
//!
//! Quotes and bytes that are no text come escaped inside of quotes, as `\"` or `\xhh`. They are undone in the
//! attributes where the result is text without control characters; the message keeps them as they stand. A `-`
//! stands for what is absent. Names of attributes are OpenTelemetry's where it has one.
//!
//! The message is what a person reads first, the request without its protocol and the status: `GET /cart?id=7 502`.

use nom::Parser;
use nom::bytes::complete::take_while1;
use nom::combinator::verify;
use record::{Level, Severity, ValueRef};

use super::header::{Parsed, word};
use crate::draft::Draft;

/// Name of the attribute that holds the `X-Forwarded-For` header.
pub(super) const FORWARDED: &str = "http.request.header.x-forwarded-for";

/// Longest method that is taken for one; what is longer is bytes of another protocol.
const METHOD_BYTES_MAX: usize = 24;

/// `"…"` with escaped quotes inside; the closing quote has a space or the end of the line behind it.
pub(super) fn quoted(input: &str) -> Parsed<'_, &str> {
    let error = || nom::Err::Error(());
    let body = input.strip_prefix('"').ok_or_else(error)?;
    let mut from = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &body.as_bytes()[from..]) {
        let at = from + found;
        if body.as_bytes()[at] == b'\\' {
            from = (at + 2).min(body.len());
            continue;
        }
        let rest = &body[at + 1..];
        if rest.is_empty() || rest.starts_with(' ') {
            return Ok((rest, &body[..at]));
        }
        from = at + 1;
    }
    Err(error())
}

/// A status: three digits, or what stands for a request without an answer, `0` or `-`.
pub(super) fn status(input: &str) -> Parsed<'_, &str> {
    verify(word, |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits || matches!(text, "0" | "-")
    })
    .parse(input)
}

/// A size or a duration in whole units, or `-`.
pub(super) fn amount(input: &str) -> Parsed<'_, &str> {
    verify(take_while1(|c: char| c.is_ascii_digit() || c == '-'), |text: &str| {
        text == "-" || !text.contains('-')
    })
    .parse(input)
}

/// The text, unless it stands for nothing.
pub(super) fn present(text: &str) -> Option<&str> {
    Some(text).filter(|text| !matches!(*text, "" | "-"))
}

/// Adds an attribute of text without its escapes, if there is one.
pub(super) fn add_escaped<'a>(draft: &mut Draft<'a>, name: &'a str, text: &'a str) {
    if let Some(text) = present(text) {
        draft.add_text(name, unescaped(text, draft));
    }
}

/// Adds a number, if there is one.
pub(super) fn add_amount<'a>(draft: &mut Draft<'a>, name: &'a str, text: &'a str) {
    if let Some(text) = present(text) {
        draft.add_number(name, text);
    }
}

/// Adds `host` or `host:port` as the server that was asked.
pub(super) fn add_server<'a>(draft: &mut Draft<'a>, text: &'a str) {
    let Some(text) = present(text) else { return };
    let with_port = text.rsplit_once(':').and_then(|(host, port)| {
        let one_colon = !host.contains(':') || host.ends_with(']');
        Some((host, port.parse::<u16>().ok()?)).filter(|_| one_colon)
    });
    let (host, port) = with_port.map_or((text, None), |(host, port)| (host, Some(port)));
    draft.add_text("server.address", host);
    if let Some(port) = port {
        draft.add("server.port", ValueRef::I64(port.into()));
    }
}

/// Takes a request line apart, `GET /path?query HTTP/1.1`; one that is none has no attributes.
pub(super) fn add_request<'a>(draft: &mut Draft<'a>, request: &'a str) {
    let Some((method, target, version)) = request_line(request) else { return };
    draft.add_text("http.request.method", method);
    if target.starts_with('/') || target == "*" {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        draft.add_text("url.path", unescaped(path, draft));
        if !query.is_empty() {
            draft.add_text("url.query", unescaped(query, draft));
        }
    } else {
        // To a proxy: a whole URL, or host and port.
        add_escaped(draft, "url.full", target);
    }
    if let Some(version) = version {
        draft.add_text("network.protocol.name", "http");
        draft.add_text(
            "network.protocol.version",
            version.strip_suffix(".0").map_or(
                version,
                |major| {
                    if major == "1" { version } else { major }
                },
            ),
        );
    }
}

/// Sets message, severity and status: 5xx is an error, 4xx and no answer at all are warnings.
pub(super) fn set_outcome<'a>(draft: &mut Draft<'a>, request: &'a str, status: &'a str) {
    let level = match status.as_bytes() {
        [b'5', ..] => Level::Error,
        [b'4', ..] | b"0" | b"-" => Level::Warn,
        _ => Level::Info,
    };
    draft.severity = Severity::from(level);
    add_amount(draft, "http.response.status_code", status);
    let asked = request_line(request)
        .map_or(request, |(method, target, _)| &request[..method.len() + 1 + target.len()]);
    draft.message = draft.arena.alloc_str(&format!("{asked} {status}"));
}

/// Method, target and version. Targets with spaces inside are broken requests that servers log as they came.
fn request_line(request: &str) -> Option<(&str, &str, Option<&str>)> {
    let (method, rest) = request.split_once(' ')?;
    let letters =
        method.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'));
    if method.len() > METHOD_BYTES_MAX || !letters || present(method).is_none() {
        return None;
    }
    let (target, version) = match rest.rsplit_once(" HTTP/") {
        Some((target, version)) => (target, Some(version)),
        None => (rest, None),
    };
    (!target.is_empty()).then_some((method, target, version))
}

/// Undoes `\"`, `\\` and `\xhh`; the text as it stands where that gives no text, or control characters.
fn unescaped<'a>(text: &'a str, draft: &Draft<'a>) -> &'a str {
    if !text.contains('\\') {
        return text;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        (rest, _) = match (first, tail) {
            (b'\\', [b'x', high, low, tail @ ..])
                if hex(*high).is_some() && hex(*low).is_some() =>
            {
                let digit = |byte| hex(byte).unwrap_or_default();
                (tail, bytes.push(digit(*high) << 4 | digit(*low)))
            }
            (b'\\', [byte @ (b'"' | b'\\'), tail @ ..]) => (tail, bytes.push(*byte)),
            (byte, tail) => (tail, bytes.push(*byte)),
        };
    }
    match String::from_utf8(bytes) {
        Ok(plain) if !plain.contains(char::is_control) => draft.arena.alloc_str(&plain),
        _ => text,
    }
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use bumpalo::Bump;
    use record::Timestamp;

    use super::*;
    use crate::time_format::{TimeOptions, TimeReader};

    #[test]
    fn a_quoted_text_ends_at_a_quote_that_is_not_escaped_and_stands_at_an_end() {
        for (input, expected) in [
            (r#""a" b"#, Some(("a", " b"))),
            (r#""""#, Some(("", ""))),
            (r#""a\"b\\" c"#, Some((r#"a\"b\\"#, " c"))),
            (r#""a"b" c"#, Some((r#"a"b"#, " c"))),
            (r#""é\"#, None),
            (r#""no end"#, None),
            ("none", None),
        ] {
            let read = quoted(input).ok().map(|(rest, text)| (text, rest));
            assert_eq!(read, expected, "{input}");
        }
    }

    #[test]
    fn escapes_are_undone_only_where_that_gives_printable_text() {
        let (arena, times) = (Bump::new(), TimeReader::new(&TimeOptions::default()).unwrap());
        let draft = Draft::new(&arena, &times, Timestamp(0));
        for (text, expected) in [
            (r#"a \"b\" \\"#, r#"a "b" \"#),
            (r"caf\xc3\xa9 \x22", "café \""),
            (r"caf\xe9", r"caf\xe9"),
            (r"\x16\x03\x01", r"\x16\x03\x01"),
            (r"\x", r"\x"),
            (r"\xg0\", r"\xg0\"),
        ] {
            assert_eq!(unescaped(text, &draft), expected, "{text}");
        }
    }

    #[test]
    fn a_request_line_begins_with_a_method() {
        for (line, expected) in [
            ("GET /a?b HTTP/1.1", Some(("GET", "/a?b", Some("1.1")))),
            ("GET /a b HTTP/2.0", Some(("GET", "/a b", Some("2.0")))),
            ("GET /", Some(("GET", "/", None))),
            ("CONNECT a:443 HTTP/1.1", Some(("CONNECT", "a:443", Some("1.1")))),
            ("-", None),
            ("- - -", None),
            (r"\x16\x03 x", None),
            ("", None),
        ] {
            assert_eq!(request_line(line), expected, "{line}");
        }
    }
}
