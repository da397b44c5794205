//! The questions of the design's table of targets, each with the check of its answer.

use serde_json::Value;

use super::client::Request;
use super::truth::{NEWEST, Truth};
use super::verify;
use crate::corpus::{COMMON_WORD, DAY_END, DAY_START, PHRASE, RARE_WORD};

/// Answers that are not counted, so that caches are as in daily use.
pub(crate) const WARM_UPS: usize = 3;
/// Answers that are.
pub(crate) const RUNS: usize = 21;

/// Without a limit the server shows its first rows only; a day of bins by level has fewer than this.
const BINS_MAX: u32 = 2_000;

/// What the design asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) at_most_ms: f64,
    /// The next aim.
    pub(crate) then_ms: Option<f64>,
}

/// One row of the table.
pub(crate) struct Question {
    pub(crate) name: &'static str,
    pub(crate) target: Target,
    /// What is asked in the run of this number; only ids differ from run to run.
    pub(crate) request: fn(&Truth, usize) -> Request,
    pub(crate) verify: fn(&Truth, usize, &[Value]) -> anyhow::Result<()>,
}

/// All rows that are queries; starting and searchability are measured apart.
pub(crate) const QUESTIONS: [Question; 8] = [
    Question {
        name: "one correlation id over 24 h, all its rows with all fields",
        target: Target { at_most_ms: 2.0, then_ms: Some(1.0) },
        request: |truth, run| {
            let id = &truth.correlations[run][0].correlation_id;
            over_the_day(format!("correlation:{id}"), Some(1_000))
        },
        verify: |truth, run, rows| verify::correlation(rows, &truth.correlations[run]),
    },
    Question {
        name: "count of a common word",
        target: Target { at_most_ms: 2.0, then_ms: None },
        request: |_, _| over_the_day(format!("{COMMON_WORD} | stats count() as n"), None),
        verify: |truth, _, rows| verify::count(rows, truth.with_common_word),
    },
    Question {
        name: "newest 100 with a rare word",
        target: Target { at_most_ms: 15.0, then_ms: Some(5.0) },
        request: |_, _| over_the_day(RARE_WORD.to_owned(), Some(NEWEST as u32)),
        verify: |truth, _, rows| verify::newest(rows, &truth.newest_with_rare_word),
    },
    Question {
        name: "count of a two-word phrase",
        target: Target { at_most_ms: 60.0, then_ms: Some(30.0) },
        request: |_, _| {
            over_the_day(format!("\"{}\" | stats count() as n", PHRASE.join(" ")), None)
        },
        verify: |truth, _, rows| verify::count(rows, truth.with_phrase),
    },
    Question {
        name: "ERROR by service",
        target: Target { at_most_ms: 1.0, then_ms: Some(0.3) },
        request: |_, _| {
            over_the_day("level:error | stats count() as n by service".to_owned(), None)
        },
        verify: |truth, _, rows| verify::errors_by_service(rows, truth),
    },
    Question {
        name: "exact p95 of a float by service",
        target: Target { at_most_ms: 20.0, then_ms: Some(10.0) },
        request: |_, _| over_the_day("* | stats p95(duration_ms) by service".to_owned(), None),
        verify: |truth, _, rows| verify::duration_quantile(rows, truth, 0.95),
    },
    Question {
        name: "count per 5 minutes by level",
        target: Target { at_most_ms: 3.0, then_ms: Some(1.0) },
        request: |_, _| {
            over_the_day("* | stats count() by level, bin(5m)".to_owned(), Some(BINS_MAX))
        },
        verify: |truth, _, rows| verify::by_level_and_bin(rows, truth),
    },
    Question {
        name: "newest 100 of everything",
        target: Target { at_most_ms: 2.0, then_ms: Some(1.0) },
        request: |_, _| newest(),
        verify: |truth, _, rows| verify::newest(rows, &truth.newest),
    },
];

/// The newest records of the day.
pub(crate) fn newest() -> Request {
    over_the_day("*".to_owned(), Some(NEWEST as u32))
}

/// How many records the day has.
pub(crate) fn count_all() -> Request {
    over_the_day("* | stats count() as n".to_owned(), None)
}

fn over_the_day(query: String, limit: Option<u32>) -> Request {
    Request { query, since: DAY_START.to_owned(), until: DAY_END.to_owned(), limit }
}
