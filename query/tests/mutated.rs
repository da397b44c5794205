//! Mutated queries with stages: a plan or a fault that is shown, never a panic or a hang.

use query::{Plan, QueryError, STAGES};

const TOKENS: [&[u8]; 34] = [
    b" | ",
    b"stats ",
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
            assert!(says <= query.len() && !format!("{plan:?}").is_empty());
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
