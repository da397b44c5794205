//! RFC 3164, as it was written down from practice.
//!
//! ```text
//! Jun 14 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; …
//! 2024-01-02T03:04:05.123456+01:00 combo kernel: …
//! Jun 19 04:09:11 combo syslogd 1.4.1: restart.
//! ```
//!
//! The third has no tag: a tag ends with `:` or `[pid]`, and words are not guessed to be one. A line that a
//! local program wrote may have no host; then the tag follows the time.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::take_while1;
use nom::character::complete::char;
use nom::combinator::{consumed, opt, verify};
use nom::sequence::terminated;

use super::set_host;
use crate::draft::Draft;
use crate::format::header::{Parsed, bracketed, word};
use crate::time_format::layout;

pub(super) fn read<'a>(line: &'a str, draft: &mut Draft<'a>) -> bool {
    // A space for the `T` is other people's layout.
    let with_t = verify(consumed(layout::iso), |(text, _): &(&str, _)| text.as_bytes()[10] == b'T');
    let Ok((rest, (stamp, time))) =
        terminated(alt((consumed(layout::bsd), with_t)), char(' ')).parse(line)
    else {
        return false;
    };
    if let Ok((message, tag)) = tag(rest) {
        draft.set_time(stamp, &time);
        set_tag(tag, message, draft);
        return true;
    }
    let Ok((rest, host)) = terminated(word, char(' ')).parse(rest) else { return false };
    draft.set_time(stamp, &time);
    set_host(host, draft);
    match tag(rest) {
        Ok((message, tag)) => set_tag(tag, message, draft),
        Err(_) => draft.message = rest,
    }
    true
}

type Tag<'a> = (&'a str, Option<&'a str>);

/// `name:`, `name[pid]:` or `name[pid]`, and the space behind it.
fn tag(input: &str) -> Parsed<'_, Tag<'_>> {
    let name = take_while1(|c: char| !c.is_whitespace() && !matches!(c, ':' | '[' | ']'));
    let (rest, (name, pid, colon)) = (name, opt(bracketed), opt(char(':'))).parse(input)?;
    if pid.is_none() && colon.is_none() || !(rest.is_empty() || rest.starts_with(' ')) {
        return Err(nom::Err::Error(()));
    }
    Ok((rest.strip_prefix(' ').unwrap_or(rest), (name, pid)))
}

fn set_tag<'a>((name, pid): Tag<'a>, message: &'a str, draft: &mut Draft<'a>) {
    draft.add_text("process.name", name);
    if let Some(pid) = pid.filter(|pid| !pid.is_empty()) {
        draft.add_number("process.pid", pid);
    }
    draft.message = message;
}
