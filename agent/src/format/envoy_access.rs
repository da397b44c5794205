//! Envoy's access log in its default form, and in the form that Istio sets.
//!
//! ```text
//! [2026-11-21T08:00:00.123Z] "GET /cart?id=7 HTTP/1.1" 200 - 0 15 5 4 "198.51.100.4" "curl/8.5.0" "7d1c…" "shop.example" "10.0.0.5:8080"
//! [time] "request" status flags details termination "failure" received sent ms upstream_ms "…" "…" "…" "…" "…" cluster local local remote name route
//! ```
//!
//! The five texts in quotes are `X-Forwarded-For`, the user agent, the request's id, the authority and the host that
//! answered. The first address of the first is the client's. The request's id is the correlation id. Envoy does not escape quotes, so the first and the last three
//! of the five are split off at `" "`, and what is left between them is the user agent.

use nom::Parser;
use nom::bytes::complete::tag;
use nom::character::complete::char;
use nom::combinator::{consumed, opt};
use nom::sequence::{delimited, preceded};

use super::LineFormat;
use super::access::{
    FORWARDED, add_amount, add_escaped, add_request, add_server, amount, present, quoted,
    set_outcome, status,
};
use super::header::{Parsed, word};
use crate::draft::Draft;
use crate::time_format::{CivilTime, layout};

#[derive(Debug)]
pub(super) struct EnvoyAccess;

struct Header<'a> {
    stamp: &'a str,
    time: CivilTime,
    request: &'a str,
    status: &'a str,
    flags: &'a str,
    /// Details of the answer, of the connection's end, and the failure upstream.
    details: Option<(&'a str, &'a str, &'a str)>,
    received: &'a str,
    sent: &'a str,
    duration: &'a str,
    upstream_duration: &'a str,
}

impl LineFormat for EnvoyAccess {
    fn parse<'a>(&mut self, line: &'a str, draft: &mut Draft<'a>) -> bool {
        let Ok((rest, header)) = header(line) else { return false };
        let Some((texts, rest)) = texts(rest) else { return false };
        header.add_to(draft);
        let [forwarded, agent, id, authority, upstream] = texts;
        if let Some((client, _)) =
            present(forwarded).map(|all| all.split_once(',').unwrap_or((all, "")))
        {
            draft.add_text("client.address", client.trim());
            draft.add_text(FORWARDED, forwarded);
        }
        add_escaped(draft, "user_agent.original", agent);
        if let Some(id) = present(id)
            && !draft.set_correlation(id)
        {
            draft.add_text("x-request-id", id);
        }
        add_server(draft, authority);
        add_escaped(draft, "upstream.address", upstream);
        read_istio(rest, draft);
        true
    }
}

impl<'a> Header<'a> {
    fn add_to(&self, draft: &mut Draft<'a>) {
        draft.set_time(self.stamp, &self.time);
        add_request(draft, self.request);
        set_outcome(draft, self.request, self.status);
        let (details, termination, failure) = self.details.unwrap_or_default();
        for (name, text) in [
            ("envoy.response_flags", self.flags),
            ("envoy.response_code_details", details),
            ("envoy.connection_termination_details", termination),
            ("envoy.upstream_failure", failure),
        ] {
            add_escaped(draft, name, text);
        }
        add_amount(draft, "http.request.body.size", self.received);
        add_amount(draft, "http.response.body.size", self.sent);
        add_amount(draft, "duration_ms", self.duration);
        add_amount(draft, "envoy.upstream_duration_ms", self.upstream_duration);
    }
}

fn header(line: &str) -> Parsed<'_, Header<'_>> {
    let (rest, (stamp, time)) =
        delimited(char('['), consumed(layout::iso), tag("] ")).parse(line)?;
    let (rest, (request, _, status, _, flags)) =
        (quoted, char(' '), status, char(' '), word).parse(rest)?;
    let amount = || preceded(char(' '), amount);
    let amounts = |input| (amount(), amount(), amount(), amount()).parse(input);
    let word = || preceded(char(' '), word);
    let details = (word(), word(), preceded(char(' '), quoted));
    let (rest, details) = opt(details).parse(rest)?;
    let (rest, (received, sent, duration, upstream_duration)) = amounts(rest)?;
    let header = Header {
        stamp,
        time,
        request,
        status,
        flags,
        details,
        received,
        sent,
        duration,
        upstream_duration,
    };
    Ok((rest, header))
}

/// ` "…" "…" "…" "…" "…"` and what stands behind the last quote.
fn texts(rest: &str) -> Option<([&str; 5], &str)> {
    let (inside, behind) = rest.strip_prefix(" \"")?.rsplit_once('"')?;
    if !(behind.is_empty() || behind.starts_with(' ')) {
        return None;
    }
    let (forwarded, inside) = inside.split_once("\" \"")?;
    let mut last = inside.rsplitn(4, "\" \"");
    let (upstream, authority, id) = (last.next()?, last.next()?, last.next()?);
    Some(([forwarded, last.next()?, id, authority, upstream], behind))
}

/// The six words that Istio writes at the end; anything else is kept as it is.
fn read_istio<'a>(rest: &'a str, draft: &mut Draft<'a>) {
    const NAMES: [&str; 6] = [
        "envoy.upstream_cluster",
        "envoy.upstream_local_address",
        "envoy.downstream_local_address",
        "network.peer.address",
        "tls.client.server_name",
        "envoy.route",
    ];
    let rest = rest.trim();
    if rest.split(' ').count() != NAMES.len() {
        add_escaped(draft, "envoy.rest", rest);
        return;
    }
    for (name, word) in NAMES.into_iter().zip(rest.split(' ')) {
        add_escaped(draft, name, word);
    }
}
