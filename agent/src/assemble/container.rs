//! What container runtimes wrap around the lines of a program, taken off again.
//!
//! ```text
//! {"log":"text\n","stream":"stdout","time":"2026-11-21T08:00:00.123456789Z"}      Docker's json-file driver
//! 2026-11-21T08:00:00.123456789Z stdout F text                                    Kubernetes' CRI
//! ```
//!
//! A line of the program that was too long for the runtime comes in several: with Docker all but the last lack the
//! LF at the end of `log`, with CRI they are tagged `P` instead of `F`. What is of neither form is handed on as it
//! stands. Docker's `attrs`, labels that are the same in every line of a file, are not read.

use std::borrow::Cow;

use record::Timestamp;
use serde::Deserialize;

/// Which runtime's form the lines of a source have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// Docker's json-file driver.
    Docker,
    /// Kubernetes' container runtime interface: containerd, CRI-O.
    Cri,
    /// Each line is looked at.
    Auto,
}

/// What the runtime says about a line.
#[derive(Debug, PartialEq)]
pub(super) struct Unwrapped<'a> {
    pub(super) text: Cow<'a, [u8]>,
    pub(super) stream: Option<&'static str>,
    pub(super) time: Option<Timestamp>,
    /// Whether the program's line ends here.
    pub(super) ends: bool,
}

impl<'a> Unwrapped<'a> {
    /// A line that nothing is wrapped around.
    pub(super) fn plain(line: &'a [u8]) -> Self {
        Self { text: Cow::Borrowed(line), stream: None, time: None, ends: true }
    }
}

/// Takes off what `container` wraps around lines.
pub(super) fn unwrap(container: Container, line: &[u8]) -> Unwrapped<'_> {
    let docker = || docker(line);
    let found = match (container, line.first()) {
        (Container::Docker | Container::Auto, Some(b'{')) => docker(),
        (Container::Cri | Container::Auto, Some(b'0'..=b'9')) => cri(line),
        _ => None,
    };
    found.unwrap_or_else(|| Unwrapped::plain(line))
}

#[derive(Deserialize)]
struct DockerLine<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

fn docker(line: &[u8]) -> Option<Unwrapped<'_>> {
    let read: DockerLine<'_> = serde_json::from_slice(line).ok()?;
    let stream = stream(read.stream.as_bytes())?;
    let time = Some(Timestamp::parse_rfc3339(&read.time)?);
    let ends = read.log.ends_with('\n');
    let text = match read.log {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(mut text) => {
            if ends {
                text.pop();
                text.truncate(text.strip_suffix('\r').unwrap_or(&text).len());
            }
            Cow::Owned(text.into_bytes())
        }
    };
    Some(Unwrapped { text, stream: Some(stream), time, ends })
}

fn cri(line: &[u8]) -> Option<Unwrapped<'_>> {
    let (time, rest) = split(line)?;
    let time = Timestamp::parse_rfc3339(std::str::from_utf8(time).ok()?)?;
    let (name, rest) = split(rest)?;
    let stream = stream(name)?;
    let (tags, text) = split(rest).unwrap_or((rest, b""));
    // Tags stand between colons, this one first.
    let ends = match tags.split(|byte| *byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    Some(Unwrapped { text: Cow::Borrowed(text), stream: Some(stream), time: Some(time), ends })
}

fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b' ', text)?;
    Some((&text[..at], &text[at + 1..]))
}

fn stream(name: &[u8]) -> Option<&'static str> {
    match name {
        b"stdout" => Some("stdout"),
        b"stderr" => Some("stderr"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(container: Container, line: &str, expected: Option<(&str, &str, bool)>) {
        let read = unwrap(container, line.as_bytes());
        let Some((text, stream, ends)) = expected else {
            assert_eq!(read, Unwrapped::plain(line.as_bytes()), "{line}");
            return;
        };
        let time = Timestamp::parse_rfc3339("2026-11-21T08:00:00.123456789Z");
        let text = Cow::Borrowed(text.as_bytes());
        let stream = super::stream(stream.as_bytes());
        assert_eq!(read, Unwrapped { text, stream, time, ends }, "{line}");
    }

    #[test]
    fn dockers_lines_are_unwrapped_and_those_without_an_end_are_partial() {
        const TIME: &str = r#""time":"2026-11-21T08:00:00.123456789Z""#;
        for (inside, expected) in [
            (r#""log":"a \"b\" é\n","stream":"stdout""#, Some(("a \"b\" é", "stdout", true))),
            (r#""log":"a\r\n","stream":"stderr""#, Some(("a", "stderr", true))),
            (r#""log":"a","stream":"stdout""#, Some(("a", "stdout", false))),
            (r#""log":"\n","attrs":{"x":"y"},"stream":"stdout""#, Some(("", "stdout", true))),
            (r#""log":"a\n","stream":"stdin""#, None),
            (r#""log":7,"stream":"stdout""#, None),
            (r#""log":"a\n""#, None),
        ] {
            let line = format!("{{{inside},{TIME}}}");
            check(Container::Docker, &line, expected);
            check(Container::Auto, &line, expected);
            check(Container::Cri, &line, None);
        }
        check(Container::Docker, r#"{"log":"a\n","stream":"stdout","time":"soon"}"#, None);
    }

    #[test]
    fn cris_lines_are_unwrapped_by_their_tags() {
        for (rest, expected) in [
            ("stdout F text here", Some(("text here", "stdout", true))),
            ("stderr P  x ", Some((" x ", "stderr", false))),
            ("stdout F:new x", Some(("x", "stdout", true))),
            ("stdout F ", Some(("", "stdout", true))),
            ("stdout F", Some(("", "stdout", true))),
            ("stdout X text", None),
            ("stdin F text", None),
            ("", None),
        ] {
            let line = format!("2026-11-21T08:00:00.123456789Z {rest}");
            check(Container::Cri, &line, expected);
            check(Container::Auto, &line, expected);
            check(Container::Docker, &line, None);
        }
        check(Container::Auto, "2026 stdout F text", None);
        check(Container::Auto, "", None);
    }
}
