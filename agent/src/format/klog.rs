//! klog, which Kubernetes' components write, and glog before it.
//!
//! ```text
//! I1121 08:00:00.123456   12345 kubelet.go:123] "Pod status updated" pod="kube-system/dns-0" status="ready"
//! E1121 08:00:00.123456       1 main.go:45] cannot listen: address in use
//! ```
//!
//! The year is not written. A message in quotes with nothing but fields behind it is taken apart; any other stays
//! as it stands.

use nom::Parser;
use nom::bytes::complete::{take_till1, take_while};
use nom::character::complete::{char, one_of, space1};
use nom::combinator::consumed;
use nom::sequence::terminated;
use record::ValueRef;
use record::keys::{self, Role};

use super::LineFormat;
use super::header::{Parsed, number};
use super::logfmt;
use crate::draft::Draft;
use crate::roles::Roles;
use crate::time_format::{CivilTime, layout};

#[derive(Debug)]
pub(super) struct Klog;

struct Header<'a> {
    level: &'static str,
    stamp: &'a str,
    time: CivilTime,
    pid: &'a str,
    file: &'a str,
    line: &'a str,
}

impl LineFormat for Klog {
    fn parse<'a>(&mut self, line: &'a str, draft: &mut Draft<'a>) -> bool {
        let Ok((message, header)) = header(line) else { return false };
        draft.set_time(header.stamp, &header.time);
        draft.set_level(header.level);
        draft.add_number("process.pid", header.pid);
        draft.add_text("code.file.path", header.file);
        draft.add_number("code.line.number", header.line);
        draft.message = read_structured(message, draft).unwrap_or(message);
        true
    }
}

fn header(line: &str) -> Parsed<'_, Header<'_>> {
    let (rest, letter) = one_of("IWEF").parse(line)?;
    let (rest, (stamp, time)) = consumed(layout::klog).parse(rest)?;
    let (rest, (_, pid, _, file, _, line, _)) = (
        space1,
        number,
        char(' '),
        take_till1(|c: char| c.is_whitespace() || matches!(c, ':' | ']')),
        char(':'),
        number,
        terminated(char(']'), take_while(|c| c == ' ')),
    )
        .parse(rest)?;
    let level = match letter {
        'I' => "INFO",
        'W' => "WARNING",
        'E' => "ERROR",
        _ => "FATAL",
    };
    Ok((rest, Header { level, stamp, time, pid, file, line }))
}

/// The message of `"message" key="value" key=value`; nothing is added to the draft unless all of it is so.
fn read_structured<'a>(text: &'a str, draft: &mut Draft<'a>) -> Option<&'a str> {
    let (message, mut rest) = logfmt::quoted(text, draft)?;
    if !(rest.is_empty() || rest.starts_with(' ')) {
        return None;
    }
    rest = rest.trim_start_matches(' ');
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (key, value, behind) = logfmt::field(rest, draft)?;
        fields.push((key, value?));
        rest = behind.trim_start_matches(' ');
    }
    let mut roles = Roles::default();
    for (key, value) in fields {
        // The header has said the rest already.
        let is_id = |(role, _)| {
            matches!(role, Role::CorrelationId | Role::TraceId | Role::SpanId)
                && matches!(value, ValueRef::String(_))
        };
        if keys::role(key).is_some_and(is_id) {
            roles.take(draft, key, value);
        } else {
            draft.add(key, value);
        }
    }
    roles.settle(draft);
    Some(message)
}
