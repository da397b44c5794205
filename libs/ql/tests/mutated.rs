//! Mutated queries: no panic, no hang, bounded memory; what parses prints as a query for itself, and what does not is
//! shown with carets inside of it.

use ql::Arguments;

/// Queries that use all of the language.
const SEEDS: [&str; 22] = [
    "correlation:abc level:>=warn service:(orders OR payments) \"card declined\" -health",
    "duration_ms:>500 http.status:[500 TO 599] url.path:/api/* user:/^u-[0-9]+$/ client.ip:10.0.0.0/8 order_id:*",
    "from spans service:orders duration:>200ms",
    "level:error | stats count() as errors, p95(duration_ms) by service, bin(5m) | sort -errors | head 10",
    "* | stats count_distinct(user), sum(bytes), avg(x), stddev(x), quantile(x, 0.99), rate(), first(a), values(a) by bin(n, 3)",
    "NOT (a b) OR -(c OR \"d e\") AND fail* *out f?o",
    "f:=value f:~Value msg:~\"whole text\" msg:=\"exact\" \"odd name\":x \"span\":y",
    "f:(a OR b -c) f:(-5) f:{1 TO *} f:[* TO 1KiB} f:<1MiB f:>=200ms f:<-1.5e3",
    "time:2026-01-01 time:>=2026-01-01T10:00Z time:<1700000000 level:17 level:[info TO error}",
    "trace:4BF92F3577B34DA6A3CE929D0E0E4736 trace:4bf9* span:00f067aa0ba902b7 record_seq:>3",
    "any:value any:/[0-9]+/ any:~X any:(a OR \"b c\")",
    "client.ip:2001:db8::/32 client.ip:10.1.2.3",
    "a | where msg == \"x|y\" | extract /(?<x>a|b)/ as y | eval z = if(a || b, 1, 2) / c",
    "* | fields time, service, msg, \"odd name\" | sort -timestamp, +service | head 1000000",
    "* | timechart 5m count() by service | top 5 user | rare 3 user | dedup user",
    "Größe:ß カタ İstanbul naïve \"two\nlines\"",
    "msg:\"a \\\"quoted\\\" \\\\ text\" path:C\\:\\\\x\\*",
    "nova-compute user@example.com 10.0.0.1:8080 2026-01-01T00:00:00",
    "level:eror service:",
    "f:[1 TO",
    "(a OR (b OR (c OR (d",
    "| head",
];
const TOKENS: [&[u8]; 46] = [
    b"(",
    b")",
    b"[",
    b"]",
    b"{",
    b"}",
    b" TO ",
    b" OR ",
    b" AND ",
    b"NOT ",
    b"-",
    b"\"",
    b"/",
    b"\\",
    b"*",
    b"?",
    b"~",
    b">",
    b">=",
    b"<",
    b"<=",
    b"=",
    b"|",
    b" ",
    b"\n",
    b":",
    b"::",
    b"f:",
    b"level:",
    b"time:",
    b"trace:",
    b"msg:",
    b"any:",
    b"service:",
    b"\"odd name\":",
    b"from spans ",
    b"| stats count() as n by ",
    b"| sort -",
    b"| head ",
    b"bin(5m)",
    b"/(a|b)*{1,900}/",
    b"10.0.0.0/8",
    b"5m",
    b"1KiB",
    b"2026-01-01",
    b",",
];

fn seeds() -> Vec<Vec<u8>> {
    SEEDS.map(|query| query.as_bytes().to_vec()).into()
}

/// Reads the arguments of a stage as all stages do.
fn read_in_every_way(call: &ql::StageCall) {
    let args = Arguments::new(call);
    let _ = args.clone().fields();
    let _ = args.clone().sort_keys();
    let _ = args.clone().duration();
    let _ = args.clone().regex();
    let mut all = args.clone();
    if all.aggregates().is_ok() {
        let _ = all.group_keys();
    }
    let mut tokens = args;
    while let Ok(Some(_)) = tokens.token() {}
}

fn parses(query: &str) -> bool {
    match ql::parse(query) {
        Ok(parsed) => {
            let printed = parsed.filter.to_string();
            match ql::parse(&printed) {
                Ok(again) => assert_eq!(again.filter, parsed.filter, "printed as {printed}"),
                // Quoting and escaping make it longer; what is refused then is its length alone.
                Err(_) => assert!(printed.len() > ql::QUERY_BYTES_MAX, "printed as {printed}"),
            }
            for call in &parsed.stages {
                assert_eq!(&query[call.args.span.start..call.args.span.end], call.args.node);
                read_in_every_way(call);
            }
            for warning in &parsed.warnings {
                assert!(!warning.render(query).is_empty());
            }
            true
        }
        Err(wrong) => {
            assert!(!wrong.render(query).is_empty() && !wrong.to_string().is_empty());
            for one in &wrong.0 {
                let span = one.span;
                assert!(span.start <= span.end && span.end <= query.len(), "{one:?}");
                assert!(query.is_char_boundary(span.start) && query.is_char_boundary(span.end));
            }
            false
        }
    }
}

#[test]
fn mutated_queries_are_parsed_or_refused() {
    mutation::run("query", &seeds(), &TOKENS, |query| parses(&String::from_utf8_lossy(query)));
}
