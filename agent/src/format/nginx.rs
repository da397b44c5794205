//! nginx: its access log in the combined form, and its error log.
//!
//! ```text
//! 192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] "GET /cart?id=7 HTTP/1.1" 502 157 "-" "curl/8.5.0"
//! 192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 157 "-" "curl/8.5.0" "198.51.100.4, 192.0.2.7"
//! 192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 157 "-" "curl/8.5.0" 81 0.002 [shop-80] [] 10.0.0.5:8080 157 0.002 200 0b5f…
//! 2026/11/21 08:00:00 [error] 123#456: *78 open() "/x" failed (2: No such file), client: 192.0.2.7, server: _, request: "GET / HTTP/1.1"
//! ```
//!
//! The second is nginx's own `main` form, the third that of the Kubernetes ingress, whose last field, the request's
//! id, is the correlation id. Access lines of the plain combined form say the same in `apache_access`.
//!
//! What an error happened to stands behind its text as `, name: value`. Where all of it is known the message is
//! the text before it; else all stays in the message.

use nom::Parser;
use nom::bytes::complete::tag;
use nom::character::complete::char;
use nom::combinator::{consumed, opt};
use nom::sequence::{delimited, preceded, terminated};
use record::{Severity, ValueRef};

use super::LineFormat;
use super::access::{FORWARDED, add_amount, add_escaped, add_request, add_server, present, quoted};
use super::apache_access::combined;
use super::header::{Parsed, bracketed, number};
use crate::draft::Draft;
use crate::time_format::{CivilTime, layout};

/// What the ingress writes behind the user agent, in words.
const INGRESS_WORDS: usize = 9;

#[derive(Debug)]
pub(super) struct Nginx;

struct ErrorHeader<'a> {
    stamp: &'a str,
    time: CivilTime,
    level: &'a str,
    pid: &'a str,
    tid: &'a str,
    connection: Option<&'a str>,
}

impl LineFormat for Nginx {
    fn parse<'a>(&mut self, line: &'a str, draft: &mut Draft<'a>) -> bool {
        if let Ok((message, header)) = error_header(line) {
            header.add_to(draft);
            draft.message = read_context(message, draft);
            return true;
        }
        read_access(line, draft)
    }
}

fn read_access<'a>(line: &'a str, draft: &mut Draft<'a>) -> bool {
    let Ok((rest, access)) = combined(line) else { return false };
    // The second field is no field here, but a dash that stands in the form.
    let Some((client, user)) = access.who.split_once(" - ") else { return false };
    if access.headers.is_none() || client.is_empty() || client.contains(' ') {
        return false;
    }
    for (name, text) in [("client.address", client), ("user.name", user)] {
        if let Some(text) = present(text) {
            draft.add_text(name, text);
        }
    }
    access.add_to(draft);
    let rest = rest.trim();
    match quoted(rest) {
        Ok(("", forwarded)) => add_escaped(draft, FORWARDED, forwarded),
        _ if rest.is_empty() || read_ingress(rest, draft) => {}
        _ => draft.add_text("nginx.rest", rest),
    }
    true
}

/// `length time [upstream] [alternative] address length time status id`. After a retry address, length, time and
/// status are lists with `, ` between their members.
fn read_ingress<'a>(rest: &'a str, draft: &mut Draft<'a>) -> bool {
    let mut joined: Vec<&str> = Vec::with_capacity(INGRESS_WORDS);
    let mut rest_of = rest;
    while !rest_of.is_empty() && joined.len() <= INGRESS_WORDS {
        let mut from = 0;
        let end = loop {
            match rest_of[from..].find(' ') {
                Some(at) if rest_of[..from + at].ends_with(',') => from += at + 1,
                Some(at) => break from + at,
                None => break rest_of.len(),
            }
        };
        joined.push(&rest_of[..end]);
        rest_of = rest_of[end..].trim_start_matches(' ');
    }
    let [
        length,
        time,
        upstream,
        alternative,
        address,
        upstream_length,
        upstream_time,
        upstream_status,
        id,
    ] = joined[..]
    else {
        return false;
    };
    let bracketed = |text: &'a str| text.strip_prefix('[')?.strip_suffix(']');
    let (Some(upstream), Some(alternative)) = (bracketed(upstream), bracketed(alternative)) else {
        return false;
    };
    add_amount(draft, "http.request.size", length);
    if let Some(seconds) = present(time) {
        draft.add("nginx.request_time_s", ValueRef::guessed(seconds));
    }
    for (name, text) in [
        ("nginx.upstream.name", upstream),
        ("nginx.upstream.alternative_name", alternative),
        ("upstream.address", address),
        ("nginx.upstream.response_length", upstream_length),
        ("nginx.upstream.response_time_s", upstream_time),
        ("nginx.upstream.status", upstream_status),
    ] {
        if let Some(text) = present(text) {
            draft.add_text(name, text);
        }
    }
    if let Some(id) = present(id)
        && !draft.set_correlation(id)
    {
        draft.add_text("request_id", id);
    }
    true
}

impl<'a> ErrorHeader<'a> {
    fn add_to(&self, draft: &mut Draft<'a>) {
        draft.set_time(self.stamp, &self.time);
        draft.set_level(self.level);
        draft.add_number("process.pid", self.pid);
        draft.add_number("thread.id", self.tid);
        if let Some(connection) = self.connection {
            draft.add_number("nginx.connection", connection);
        }
    }
}

fn error_header(line: &str) -> Parsed<'_, ErrorHeader<'_>> {
    let (rest, (stamp, time)) =
        terminated(consumed(layout::slashed_year), char(' ')).parse(line)?;
    let (rest, level) = bracketed(rest)?;
    if Severity::from_text(level).is_none() {
        return Err(nom::Err::Error(()));
    }
    let (rest, (pid, _, tid, _)) =
        (preceded(char(' '), number), char('#'), number, char(':')).parse(rest)?;
    let (rest, connection) = opt(delimited(tag(" *"), number, opt(char(' ')))).parse(rest)?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    Ok((rest, ErrorHeader { stamp, time, level, pid, tid, connection }))
}

/// Reads what stands behind the text of an error, and gives back the message.
fn read_context<'a>(message: &'a str, draft: &mut Draft<'a>) -> &'a str {
    let Some(begin) = message.find(", client: ") else { return message };
    let mut rest = &message[begin..];
    while let Some((name, value)) = rest.strip_prefix(", ").and_then(|rest| rest.split_once(": ")) {
        let (value, behind) = match context_value(value) {
            Some(found) => found,
            None => return message,
        };
        match name {
            "client" => add_escaped(draft, "client.address", value),
            "server" if value == "_" => {}
            "server" => add_escaped(draft, "nginx.server_name", value),
            "request" => add_request(draft, value),
            "subrequest" => add_escaped(draft, "nginx.subrequest", value),
            "upstream" => add_escaped(draft, "nginx.upstream.url", value),
            "host" => add_server(draft, value),
            "referrer" => add_escaped(draft, "http.request.header.referer", value),
            _ => return message,
        }
        rest = behind;
    }
    if rest.is_empty() { &message[..begin] } else { message }
}

/// A value up to the next `, name: `; in quotes, which nginx does not escape here, up to a quote before one.
fn context_value(text: &str) -> Option<(&str, &str)> {
    let Some(body) = text.strip_prefix('"') else {
        let end = text.find(", ").unwrap_or(text.len());
        return Some(text.split_at(end));
    };
    let (value, behind) = match body.find("\", ") {
        Some(end) => (&body[..end], &body[end + 1..]),
        None => (body.strip_suffix('"')?, ""),
    };
    Some((value, behind))
}
