//! The error log of Apache httpd.
//!
//! ```text
//! [Sun Dec 04 04:47:44 2005] [error] [client 222.166.160.184] Directory index forbidden by rule: /var/www/html/
//! [Fri Sep 09 10:42:29.902022 2011] [core:error] [pid 35708:tid 4328636416] [client 72.15.99.187:5000] AH00128: …
//! ```

use nom::Parser;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::char;
use nom::combinator::{consumed, opt, verify};
use nom::sequence::{delimited, preceded, terminated};
use record::{Level, Severity};

use super::LineFormat;
use super::header::{Parsed, bracketed, number};
use crate::draft::Draft;
use crate::time_format::{CivilTime, layout};

#[derive(Debug)]
pub(super) struct ApacheError;

struct Header<'a> {
    stamp: &'a str,
    time: CivilTime,
    module: Option<&'a str>,
    level: &'a str,
    process: Option<(&'a str, Option<&'a str>)>,
    client: Option<&'a str>,
}

impl LineFormat for ApacheError {
    fn parse<'a>(&mut self, line: &'a str, draft: &mut Draft<'a>) -> bool {
        let Ok((message, header)) = header(line) else { return false };
        draft.set_time(header.stamp, &header.time);
        draft.set_level(header.level);
        if header.level.starts_with("trace") {
            // httpd has trace1 to trace8, all below OpenTelemetry's debug.
            draft.severity = Severity::from(Level::Trace);
        }
        if let Some(module) = header.module {
            draft.add_text("apache.module", module);
        }
        if let Some((pid, tid)) = header.process {
            draft.add_number("process.pid", pid);
            if let Some(tid) = tid {
                draft.add_number("thread.id", tid);
            }
        }
        if let Some(client) = header.client {
            read_client(client, draft);
        }
        draft.message = message;
        true
    }
}

fn header(line: &str) -> Parsed<'_, Header<'_>> {
    let (rest, (stamp, time)) =
        delimited(char('['), consumed(layout::ctime), tag("] ")).parse(line)?;
    let (rest, (module, level)) =
        delimited(char('['), (opt(terminated(name, char(':'))), level), char(']')).parse(rest)?;
    let process = (preceded(tag("pid "), number), opt(preceded(tag(":tid "), number)));
    let (rest, process) = opt(delimited(tag(" ["), process, char(']'))).parse(rest)?;
    let client = verify(preceded(char(' '), bracketed), |text: &str| text.starts_with("client "));
    let (rest, client) = opt(client).parse(rest)?;
    let client = client.map(|text| &text["client ".len()..]);
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    Ok((rest, Header { stamp, time, module, level, process, client }))
}

fn name(input: &str) -> Parsed<'_, &str> {
    take_while1(|c: char| c.is_ascii_alphanumeric() || c == '_').parse(input)
}

/// The levels of syslog in lower case, and `trace1` to `trace8`.
fn level(input: &str) -> Parsed<'_, &str> {
    let known = |word: &str| Severity::from_text(word).is_some() || word.starts_with("trace");
    verify(name, known).parse(input)
}

/// `1.2.3.4`, `1.2.3.4:5000` or `::1:5000`: from 2.4 on a port follows.
fn read_client<'a>(client: &'a str, draft: &mut Draft<'a>) {
    let with_port = client.rsplit_once(':').and_then(|(address, port)| {
        let address = address.trim_start_matches('[').trim_end_matches(']');
        let is_address = address.parse::<std::net::IpAddr>().is_ok();
        Some((address, port.parse::<u16>().ok()?)).filter(|_| is_address)
    });
    // An address of version 6 without a port can look as if it had one.
    match with_port.filter(|_| client.parse::<std::net::IpAddr>().is_err()) {
        Some((address, port)) => {
            draft.add_text("client.address", address);
            draft.add("client.port", record::ValueRef::I64(port.into()));
        }
        None => draft.add_text("client.address", client),
    }
}
