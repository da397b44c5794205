//! RFC 5424.
//!
//! ```text
//! <165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 4711 ID47 [exampleSDID@32473 iut="3"] An event
//! ```
//!
//! `-` stands for what is not known. A parameter of the structured data becomes the attribute
//! `structured_data.ID.NAME`, but one whose name means the correlation, trace or span sets that field.

use nom::Parser;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::char;
use nom::combinator::{consumed, opt};
use nom::multi::many0_count;
use nom::sequence::{delimited, preceded, separated_pair, terminated};
use record::keys::{self, Role};
use record::{SpanId, TraceId};

use super::set_host;
use crate::draft::Draft;
use crate::format::header::{Parsed, word};
use crate::time_format::layout;

const NIL: &str = "-";

pub(super) fn read<'a>(line: &'a str, draft: &mut Draft<'a>) -> bool {
    header(line, draft).is_ok_and(|(rest, ())| {
        let message = rest.strip_prefix(' ').unwrap_or(rest);
        draft.message = message.strip_prefix('\u{feff}').unwrap_or(message);
        rest.is_empty() || rest.starts_with(' ')
    })
}

fn header<'a>(line: &'a str, draft: &mut Draft<'a>) -> Parsed<'a, ()> {
    let (rest, _) = tag("1 ").parse(line)?;
    let rest = match terminated(consumed(layout::iso), char(' ')).parse(rest) {
        Ok((rest, (stamp, time))) => {
            draft.set_time(stamp, &time);
            rest
        }
        Err(_) => tag("- ").parse(rest)?.0,
    };
    let field = || terminated(word, char(' '));
    let (rest, (host, name, pid, message_id)) = (field(), field(), field(), field()).parse(rest)?;
    if host != NIL {
        set_host(host, draft);
    }
    if name != NIL {
        draft.add_text("process.name", name);
    }
    if pid != NIL {
        draft.add_number("process.pid", pid);
    }
    if message_id != NIL {
        draft.add_text("syslog.msgid", message_id);
    }
    if let Some(rest) = rest.strip_prefix(NIL) {
        return Ok((rest, ()));
    }
    let (rest, elements) = many0_count(|input| element(input, draft)).parse(rest)?;
    if elements == 0 { Err(nom::Err::Error(())) } else { Ok((rest, ())) }
}

/// `[id name="value" …]`.
fn element<'a>(input: &'a str, draft: &mut Draft<'a>) -> Parsed<'a, ()> {
    let (rest, id) = preceded(char('['), sd_name).parse(input)?;
    let parameter = |input| {
        let (rest, (name, value)) =
            preceded(char(' '), separated_pair(sd_name, char('='), quoted)).parse(input)?;
        set_parameter(id, name, value, draft);
        Ok((rest, ()))
    };
    let (rest, _) = many0_count(parameter).parse(rest)?;
    let (rest, _) = (opt(char(' ')), char(']')).parse(rest)?;
    Ok((rest, ()))
}

fn sd_name(input: &str) -> Parsed<'_, &str> {
    take_while1(|c: char| c.is_ascii_graphic() && !matches!(c, '=' | ']' | '"')).parse(input)
}

/// A value in quotes, still escaped: `"`, `\` and `]` have a backslash before them.
fn quoted(input: &str) -> Parsed<'_, &str> {
    let inside = |input: &'_ str| -> usize {
        let mut escaped = false;
        let end = input.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        end.unwrap_or(input.len())
    };
    let text = |input| -> Parsed<'_, &str> {
        let at = inside(input);
        Ok((&input[at..], &input[..at]))
    };
    delimited(char('"'), text, char('"')).parse(input)
}

fn set_parameter<'a>(id: &'a str, name: &'a str, value: &'a str, draft: &mut Draft<'a>) {
    let value = unescaped(value, draft);
    let taken = match keys::role(name) {
        Some((Role::CorrelationId, _)) => {
            draft.correlation_id.is_none() && draft.set_correlation(value)
        }
        Some((Role::TraceId, _)) => {
            draft.trace_id = draft.trace_id.or(TraceId::from_hex(value));
            draft.trace_id.is_some()
        }
        Some((Role::SpanId, _)) => {
            draft.span_id = draft.span_id.or(SpanId::from_hex(value));
            draft.span_id.is_some()
        }
        _ => false,
    };
    if !taken {
        let name = draft.arena.alloc_str(&format!("structured_data.{id}.{name}"));
        draft.add_text(name, value);
    }
}

fn unescaped<'a>(value: &'a str, draft: &Draft<'a>) -> &'a str {
    if !value.contains('\\') {
        return value;
    }
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        // Before any other character the backslash is one.
        if !rest.starts_with(['"', '\\', ']']) {
            text.push('\\');
        } else {
            text.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    text.push_str(rest);
    draft.arena.alloc_str(&text)
}
