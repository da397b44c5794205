//! The layouts that log4j, logback and their kin are set to.
//!
//! ```text
//! 2015-10-18 18:01:47,978 INFO [main] org.apache.hadoop.mapreduce.v2.app.MRAppMaster: Created MRAppMaster
//! 2015-07-29 19:04:29,071 - WARN  [SendWorker:188978561024:QuorumCnxManager$SendWorker@688] - Send worker leaving
//! 17/06/09 20:10:40 INFO executor.CoarseGrainedExecutorBackend: Registered signal handlers
//! 2024-01-02 12:00:00.123 [main] INFO  c.e.Orders - accepted
//! 2024-01-02T12:00:00.123Z  INFO 4711 --- [main] c.e.Orders  : accepted
//! ```
//!
//! A header is a time and a level with a thread in brackets on either side of the level; then a logger and
//! `: ` or ` - `. Where `Class@line` is the end of what stands in the brackets, it is taken from the thread's
//! name. A line with a time and a level, but nothing else of this, has the rest as its message.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::character::complete::{char, space0, space1};
use nom::combinator::{consumed, opt};
use nom::sequence::{delimited, preceded, terminated};

use super::LineFormat;
use super::header::{Parsed, colon, level, logger, logger_and_colon, nested_brackets, number};
use crate::draft::Draft;
use crate::time_format::{CivilTime, layout};

#[derive(Debug)]
pub(super) struct Log4j;

#[derive(Default)]
struct Header<'a> {
    stamp: &'a str,
    time: CivilTime,
    level: &'a str,
    pid: Option<&'a str>,
    thread: Option<&'a str>,
    logger: Option<&'a str>,
    line: Option<&'a str>,
}

impl LineFormat for Log4j {
    fn parse<'a>(&mut self, line: &'a str, draft: &mut Draft<'a>) -> bool {
        let Ok((message, header)) = header(line) else { return false };
        draft.set_time(header.stamp, &header.time);
        draft.set_level(header.level);
        if let Some(pid) = header.pid {
            draft.add_number("process.pid", pid);
        }
        let texts = [("thread.name", header.thread), ("logger", header.logger)];
        for (name, text) in texts {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                draft.add_text(name, text);
            }
        }
        if let Some(number) = header.line {
            draft.add_number("code.line.number", number);
        }
        draft.message = message;
        true
    }
}

fn header(line: &str) -> Parsed<'_, Header<'_>> {
    let (rest, (stamp, time)) = consumed(alt((layout::iso, layout::slashed))).parse(line)?;
    let (rest, _) = (space1, opt(tag("- "))).parse(rest)?;
    let (rest, before) = opt(terminated(nested_brackets, space1)).parse(rest)?;
    let (rest, level) = level(rest)?;
    let (rest, pid) = opt(delimited(space1, number, tag(" ---"))).parse(rest)?;
    let (rest, after) = opt(preceded(space1, nested_brackets)).parse(rest)?;
    let mut header = Header { stamp, time, level, pid, ..Header::default() };
    header.thread = before.or(after).map(str::trim);
    let after_thread = (before.is_none() && after.is_some()).then_some(rest);
    let (rest, _) = if rest.is_empty() { (rest, "") } else { space1(rest)? };
    if let Some(message) = rest.strip_prefix("- ") {
        if after_thread.is_some() {
            split_thread(&mut header);
        }
        return Ok((message, header));
    }
    if let Ok((message, (logger, line))) = logger_and_message(rest) {
        header.logger = Some(logger);
        header.line = line;
        return Ok((message, header));
    }
    Ok((rest, header))
}

/// `a.b.Class: `, `a.b.Class : `, `a.b.Class - ` or `a.b.Class:32 - `.
fn logger_and_message(input: &str) -> Parsed<'_, (&str, Option<&str>)> {
    let with_line = (logger, opt(preceded(char(':'), number)));
    alt((
        logger_and_colon.map(|logger| (logger, None)),
        terminated(with_line, tag(" - ")),
        terminated(logger, (space0, colon)).map(|logger| (logger, None)),
    ))
    .parse(input)
}

/// `QuorumPeer[myid=1]/0:0:2181:FastLeaderElection@774` is the thread, the class and the line.
fn split_thread(header: &mut Header<'_>) {
    let Some((before, number)) = header.thread.and_then(|thread| thread.rsplit_once('@')) else {
        return;
    };
    let Some((thread, class)) = before.rsplit_once(':') else { return };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if digits && logger(class).is_ok_and(|(rest, _)| rest.is_empty()) {
        header.thread = Some(thread);
        header.logger = Some(class);
        header.line = Some(number);
    }
}
