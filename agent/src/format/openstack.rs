//! OpenStack's services, as oslo.log writes them, with or without the name of the file before each line.
//!
//! ```text
//! nova-api.log 2017-05-16 00:00:00.008 25746 INFO nova.osapi_compute.wsgi.server [req-38… 113d… 54fa… - - -] 10.11…
//! 2017-05-16 00:00:04.500 2931 WARNING nova.compute.manager [-] While synchronizing instance power states …
//! ```
//!
//! The brackets hold the request id, the user and the project (and three domains), `-` for none; newer
//! releases put a global request id, or `None`, first. The first request id is the correlation id.

use nom::Parser;
use nom::character::complete::{char, space1};
use nom::combinator::{consumed, not, opt};
use nom::sequence::{preceded, terminated};

use super::LineFormat;
use super::header::{Parsed, bracketed, capitals, logger, number, word};
use crate::draft::Draft;
use crate::time_format::{CivilTime, layout};

const REQUEST: &str = "req-";
const INSTANCE: &str = "[instance: ";

#[derive(Debug)]
pub(super) struct Openstack;

struct Header<'a> {
    file: Option<&'a str>,
    stamp: &'a str,
    time: CivilTime,
    pid: &'a str,
    level: &'a str,
    logger: &'a str,
    context: Option<&'a str>,
}

impl LineFormat for Openstack {
    fn parse<'a>(&mut self, line: &'a str, draft: &mut Draft<'a>) -> bool {
        let Ok((message, header)) = header(line) else { return false };
        if let Some(file) = header.file {
            draft.add_text("log.file.name", file);
        }
        draft.set_time(header.stamp, &header.time);
        draft.set_level(header.level);
        draft.add_number("process.pid", header.pid);
        draft.add_text("logger", header.logger);
        if let Some(context) = header.context {
            read_context(context, draft);
        }
        let instance = message.strip_prefix(INSTANCE).and_then(|rest| rest.split_once(']'));
        if let Some((instance, _)) = instance {
            draft.add_text("openstack.instance.id", instance);
        }
        draft.message = message;
        true
    }
}

fn header(line: &str) -> Parsed<'_, Header<'_>> {
    let (rest, file) = opt(terminated(preceded(not(layout::iso), word), char(' '))).parse(line)?;
    let (rest, ((stamp, time), _, pid, _, level, _, logger)) =
        (consumed(layout::iso), char(' '), number, char(' '), capitals, space1, logger)
            .parse(rest)?;
    let (rest, context) = opt(preceded(char(' '), bracketed)).parse(rest)?;
    // The message follows, if there is one.
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    Ok((rest, Header { file, stamp, time, pid, level, logger, context }))
}

fn read_context<'a>(context: &'a str, draft: &mut Draft<'a>) {
    let mut words = context.split(' ').skip_while(|word| *word == "None").peekable();
    let Some(request) = words.next_if(|word| word.starts_with(REQUEST)) else { return };
    if !draft.set_correlation(request) {
        draft.add_text("openstack.request.id", request);
    }
    if let Some(local) = words.next_if(|word| word.starts_with(REQUEST)) {
        draft.add_text("openstack.request.id", local);
    }
    for name in ["user.id", "openstack.project.id"] {
        match words.next() {
            Some("-" | "") | None => {}
            Some(id) => draft.add_text(name, id),
        }
    }
}
