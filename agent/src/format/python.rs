//! The layouts that Python's `logging` and the programs around it are set to.
//!
//! ```text
//! WARNING:root:message
//! INFO:     message
//! 2026-11-21 08:00:00,123 - shop.orders - WARNING - message
//! 2026-11-21 08:00:00,123 WARNING shop.orders: message
//! 2026-11-21 08:00:00,123:WARNING:shop.orders:message
//! [2026-11-21 08:00:00,123] WARNING in orders: message
//! [2026-11-21 08:00:00 +0000] [12] [WARNING] message
//! [2026-11-21 08:00:00,123: WARNING/MainProcess] message
//! ```
//!
//! The first is `logging.basicConfig`, the second uvicorn's, the last three are Flask's, gunicorn's and Celery's.
//! What `log4j` reads of the fourth is the same.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while};
use nom::character::complete::{char, space1};
use nom::combinator::{consumed, opt, recognize, verify};
use nom::sequence::{delimited, terminated};

use super::LineFormat;
use super::header::{Parsed, bracketed, level, logger, number};
use crate::draft::Draft;
use crate::time_format::{CivilTime, layout};

/// How wide uvicorn's level is with its colon and spaces.
const UVICORN_LEVEL_WIDTH: usize = 10;

#[derive(Debug)]
pub(super) struct Python;

#[derive(Default)]
struct Header<'a> {
    time: Option<(&'a str, CivilTime)>,
    level: &'a str,
    logger: Option<&'a str>,
    pid: Option<&'a str>,
    process: Option<&'a str>,
}

impl LineFormat for Python {
    fn parse<'a>(&mut self, line: &'a str, draft: &mut Draft<'a>) -> bool {
        let Ok((message, header)) = header(line) else { return false };
        if let Some((stamp, time)) = &header.time {
            draft.set_time(stamp, time);
        }
        draft.set_level(header.level);
        for (name, text) in [("logger", header.logger), ("process.name", header.process)] {
            if let Some(text) = text {
                draft.add_text(name, text);
            }
        }
        if let Some(pid) = header.pid {
            draft.add_number("process.pid", pid);
        }
        draft.message = message;
        true
    }
}

fn header(line: &str) -> Parsed<'_, Header<'_>> {
    alt((basic, uvicorn, dashed, colons, spaced, flask, gunicorn, celery)).parse(line)
}

/// `LEVEL:name:message`
fn basic(input: &str) -> Parsed<'_, Header<'_>> {
    let (rest, (level, _, logger, _)) = (level, char(':'), logger, char(':')).parse(input)?;
    Ok((rest, Header { level, logger: Some(logger), ..Header::default() }))
}

/// `LEVEL:    message`, the message in the eleventh column.
fn uvicorn(input: &str) -> Parsed<'_, Header<'_>> {
    let spaces = take_while(|c| c == ' ');
    let head = recognize((level, char(':'), spaces));
    let (rest, head) = verify(head, |head: &str| head.len() == UVICORN_LEVEL_WIDTH).parse(input)?;
    let level = head.trim_end_matches([' ', ':']);
    Ok((rest, Header { level, ..Header::default() }))
}

/// `time - name - LEVEL - message`, `time - LEVEL - message`
fn dashed(input: &str) -> Parsed<'_, Header<'_>> {
    let (rest, (time, _)) = (time, tag(" - ")).parse(input)?;
    let name = terminated(logger, tag(" - "));
    let one = terminated(level, tag(" - ")).map(|level| (None, level));
    let two = (name, terminated(level, tag(" - "))).map(|(name, level)| (Some(name), level));
    let (rest, (logger, level)) = alt((two, one)).parse(rest)?;
    Ok((rest, Header { time: Some(time), level, logger, ..Header::default() }))
}

/// `time:LEVEL:name:message`
fn colons(input: &str) -> Parsed<'_, Header<'_>> {
    let (rest, (time, _, level, _, logger, _)) =
        (time, char(':'), level, char(':'), logger, char(':')).parse(input)?;
    Ok((rest, Header { time: Some(time), level, logger: Some(logger), ..Header::default() }))
}

/// `time LEVEL name: message`, `time [LEVEL] name: message`, `time LEVEL message`
fn spaced(input: &str) -> Parsed<'_, Header<'_>> {
    let in_brackets = delimited(char('['), level, char(']'));
    let (rest, (time, _, level, _)) =
        (time, space1, alt((in_brackets, level)), space1).parse(input)?;
    let (rest, logger) = opt(terminated(logger, tag(": "))).parse(rest)?;
    Ok((rest, Header { time: Some(time), level, logger, ..Header::default() }))
}

/// `[time] LEVEL in module: message`
fn flask(input: &str) -> Parsed<'_, Header<'_>> {
    let (rest, (time, _, level)) =
        (delimited(char('['), time, char(']')), char(' '), level).parse(input)?;
    let (rest, logger) = delimited(tag(" in "), logger, tag(": ")).parse(rest)?;
    Ok((rest, Header { time: Some(time), level, logger: Some(logger), ..Header::default() }))
}

/// `[time] [pid] [LEVEL] message`
fn gunicorn(input: &str) -> Parsed<'_, Header<'_>> {
    let (rest, time) = delimited(char('['), time, tag("] ")).parse(input)?;
    let (rest, pid) = delimited(char('['), number, tag("] ")).parse(rest)?;
    let (rest, level) = delimited(char('['), level, char(']')).parse(rest)?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    Ok((rest, Header { time: Some(time), level, pid: Some(pid), ..Header::default() }))
}

/// `[time: LEVEL/process] message`
fn celery(input: &str) -> Parsed<'_, Header<'_>> {
    let (rest, inside) = bracketed(input)?;
    let (process, (time, _, level, _)) = (time, tag(": "), level, char('/')).parse(inside)?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    Ok((rest, Header { time: Some(time), level, process: Some(process), ..Header::default() }))
}

/// A time, and a zone behind a space.
fn time(input: &str) -> Parsed<'_, (&str, CivilTime)> {
    let (rest, (stamp, mut time)) = consumed(layout::iso).parse(input)?;
    let word = rest.strip_prefix(' ').and_then(|rest| rest.split([' ', ']']).next());
    if let Some(zone) = word.filter(|word| word.starts_with(['+', '-']))
        && let Some(offset) = layout::offset(zone)
    {
        time.offset_seconds = Some(offset);
        let (stamp, rest) = input.split_at(stamp.len() + 1 + zone.len());
        return Ok((rest, (stamp, time)));
    }
    Ok((rest, (stamp, time)))
}
