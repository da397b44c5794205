//! Access logs in the common and the combined form, with or without the virtual host before them.
//!
//! ```text
//! 127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326
//! 192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] "GET /cart?id=7 HTTP/1.1" 502 157 "https://shop.example/" "curl/8.5.0"
//! shop.example:443 192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] "POST /order HTTP/2.0" 201 12 "-" "curl/8.5.0"
//! ```
//!
//! What a server was told to write behind these fields is kept as one attribute.

use std::net::IpAddr;

use nom::Parser;
use nom::bytes::complete::{tag, take_until1};
use nom::character::complete::char;
use nom::combinator::{consumed, opt};
use nom::sequence::{delimited, preceded};

use super::LineFormat;
use super::access::{
    add_amount, add_escaped, add_request, add_server, amount, present, quoted, set_outcome, status,
};
use super::header::Parsed;
use crate::draft::Draft;
use crate::time_format::{CivilTime, layout};

#[derive(Debug)]
pub(super) struct ApacheAccess;

/// The fields of the common and the combined form.
pub(super) struct Combined<'a> {
    /// Host, client, identity and user, as they stand before the time.
    pub(super) who: &'a str,
    stamp: &'a str,
    time: CivilTime,
    request: &'a str,
    status: &'a str,
    bytes: &'a str,
    /// Referrer and user agent; absent in the common form.
    pub(super) headers: Option<(&'a str, &'a str)>,
}

impl LineFormat for ApacheAccess {
    fn parse<'a>(&mut self, line: &'a str, draft: &mut Draft<'a>) -> bool {
        let Ok((rest, access)) = combined(line) else { return false };
        if !read_who(access.who, draft) {
            return false;
        }
        access.add_to(draft);
        let rest = rest.trim();
        if !rest.is_empty() {
            draft.add_text("apache.rest", rest);
        }
        true
    }
}

impl<'a> Combined<'a> {
    /// Adds everything but [`Combined::who`].
    pub(super) fn add_to(&self, draft: &mut Draft<'a>) {
        draft.set_time(self.stamp, &self.time);
        add_request(draft, self.request);
        set_outcome(draft, self.request, self.status);
        add_amount(draft, "http.response.body.size", self.bytes);
        if let Some((referrer, agent)) = self.headers {
            add_escaped(draft, "http.request.header.referer", referrer);
            add_escaped(draft, "user_agent.original", agent);
        }
    }
}

/// Reads a line up to and with the user agent; what is left begins with a space, or is empty.
pub(super) fn combined(line: &str) -> Parsed<'_, Combined<'_>> {
    let (rest, who) = take_until1(" [").parse(line)?;
    let (rest, (stamp, time)) =
        delimited(tag(" ["), consumed(layout::common_log), tag("] ")).parse(rest)?;
    let (rest, (request, _, status, _, bytes)) =
        (quoted, char(' '), status, char(' '), amount).parse(rest)?;
    let header = || preceded(char(' '), quoted);
    let (rest, headers) = opt((header(), header())).parse(rest)?;
    if !(rest.is_empty() || rest.starts_with(' ')) {
        return Err(nom::Err::Error(()));
    }
    Ok((rest, Combined { who, stamp, time, request, status, bytes, headers }))
}

/// `client identity user`, and before them a virtual host. A user's name may have spaces in it.
fn read_who<'a>(who: &'a str, draft: &mut Draft<'a>) -> bool {
    let mut rest = who;
    if let Some((host, behind)) = who.split_once(' ').filter(|(host, rest)| is_host(host, rest)) {
        add_server(draft, host);
        rest = behind;
    }
    let mut words = rest.splitn(3, ' ');
    let (Some(client), Some(identity), Some(user)) = (words.next(), words.next(), words.next())
    else {
        return false;
    };
    for (name, text) in
        [("client.address", client), ("apache.identity", identity), ("user.name", user)]
    {
        if let Some(text) = present(text) {
            draft.add_text(name, text);
        }
    }
    !client.is_empty()
}

/// A first word of four is a host if an address follows, or if it has a port.
fn is_host(first: &str, rest: &str) -> bool {
    let Some((second, _)) = rest.split_once(' ') else { return false };
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    let has_port = || first.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    rest.split(' ').count() > 2 && (is_address(second) || has_port() && !is_address(first))
}
