//! syslog as it stands in files: RFC 5424, RFC 3164, and the latter with the time of the former.
//!
//! Each with or without the priority `<PRI>`, which is eight times the facility plus the severity. Without it
//! nothing is known of the severity. The tag or application name is `process.name`, not the service: it names a
//! program (`sshd(pam_unix)`), and only the user knows which service that is.

mod rfc3164;
mod rfc5424;

use nom::Parser;
use nom::character::complete::char;
use nom::combinator::map_opt;
use nom::sequence::delimited;
use record::Severity;

use super::LineFormat;
use super::header::{Parsed, number};
use crate::draft::{Draft, Keyed};

/// The words of syslog's severities, by number.
pub(crate) const SEVERITIES: [&str; 8] =
    ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// The words of its facilities.
pub(crate) const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "security", "console", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

#[derive(Debug)]
pub(super) struct Syslog;

impl LineFormat for Syslog {
    fn parse<'a>(&mut self, line: &'a str, draft: &mut Draft<'a>) -> bool {
        let (rest, priority) = match priority(line) {
            Ok((rest, priority)) => (rest, Some(priority)),
            Err(_) => (line, None),
        };
        if !rfc5424::read(rest, draft) {
            draft.clear();
            if !rfc3164::read(rest, draft) {
                return false;
            }
        }
        if let Some(priority) = priority {
            let word = SEVERITIES[usize::from(priority % 8)];
            draft.severity = Severity::from_text(word).unwrap_or_default();
            draft.severity_text = Some(word);
            draft.add_text("syslog.facility", FACILITIES[usize::from(priority / 8)]);
        }
        true
    }
}

/// `<0>` to `<191>`.
fn priority(input: &str) -> Parsed<'_, u8> {
    let value =
        |text: &str| text.parse().ok().filter(|priority| *priority < 192 && text.len() <= 3);
    delimited(char('<'), map_opt(number, value), char('>')).parse(input)
}

fn set_host<'a>(host: &'a str, draft: &mut Draft<'a>) {
    draft.host = Some(Keyed { key: "host", text: host });
}
