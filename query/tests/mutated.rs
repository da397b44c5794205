//! Mutated queries with stages: a plan or a fault that is shown, never a panic or a hang.

use query::{Plan, QueryError, STAGES};

const TOKENS: [&[u8]; 66] = [
    b" | ",
    b"stats ",
    b"where ",
    b"eval a = ",
    b"rename a as b",
    b"dedup ",
    b"extract \"<a> b\"",
    b"extract /(?P<a>x)/",
    b"parse json",
    b"parse logfmt from a prefix b",
    b"tail 3",
    b"top 5 ",
    b"rare ",
    b"timechart 5m ",
    b" and ",
    b" or ",
    b"not ",
    b" in (1, \"x\")",
    b" == ",
    b" != ",
    b" >= ",
    b" =~ ",
    b" + ",
    b" / ",
    b"if(a, b, c)",
    b"lower(a)",
    b"bin(time, 5m)",
    b"in_network(a, \"10.0.0.0/8\")",
    b"time(\"2026\")",
    b"null",
    b"200ms",
    b"`a  b`",
    b"level",
    b"  ",
    b"sort ",
    b"head ",
    b"fields ",
    b"count()",
    b"count_distinct(a)",
    b"sum(n)",
    b"avg(n)",
    b"min(n)",
    b"max(n)",
    b"stddev(n)",
    b"p50(n)",
    b"p99.9(n)",
    b"quantile(n, 0.5)",
    b"rate()",
    b"first(a)",
    b"last(a)",
    b"values(a)",
    b"by ",
    b"as n",
    b"bin(5m)",
    b"bin(n, 3)",
    b"bin(timestamp, 1h)",
    b",",
    b"-",
    b"(",
    b")",
    b"\"",
    b"*",
    b"time",
    b"\"odd name\"",
    b"0",
    b"1000000",
];

fn seeds() -> Vec<Vec<u8>> {
    let examples = STAGES.iter().map(|help| help.example);
    let more = [
        "* | stats count() as c by message | sort -c, message | fields message | head 5",
        "* | stats p95(n), last(message), values(a), count_distinct(b) by bin(n, 3), bin(5m), service",
        "a OR b | head 10 | sort -timestamp, service | fields time, \"odd name\", msg",
        "level:error | stats quantile(duration_ms, 0.99) as q, rate(), stddev(x) | sort -q",
    ];
    examples.chain(more).map(|query| query.as_bytes().to_vec()).collect()
}

fn is_planned(query: &str) -> bool {
    match Plan::new(query) {
        Ok(plan) => {
            // What it says of itself is asked for before it runs.
            let says: usize = plan.stages.iter().map(|stage| stage.needs().fields.len()).sum();
            assert!(says <= query.len());
            let formatted = ql::format(query);
            let again =
                Plan::new(&formatted).unwrap_or_else(|error| panic!("{formatted}: {error}"));
            assert_eq!(format!("{:?}", again.filter), format!("{:?}", plan.filter), "{formatted}");
            assert_eq!(format!("{:?}", again.stages), format!("{:?}", plan.stages), "{formatted}");
            assert_eq!(ql::format(&formatted), formatted);
            true
        }
        Err(QueryError::Query { diagnostics, rendered }) => {
            assert!(!diagnostics.0.is_empty() && rendered.contains("error["), "{rendered}");
            false
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn mutated_queries_are_planned_or_refused() {
    mutation::run("plan", &seeds(), &TOKENS, |query| is_planned(&String::from_utf8_lossy(query)));
}
