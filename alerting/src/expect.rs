//! Expectations: after a record of one kind, one of another must follow with the same correlation within a time.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::find::{Found, filter_of, whole};
use crate::runner::{QueryRunner, RunError};

/// Correlations that an alert names.
const CORRELATIONS_MAX: usize = 100;

/// Correlations whose time was up between `from` and `at` and that nothing followed in.
///
/// What began at `t` is judged from `t + within` on; what followed counts if it came at most `within` later.
pub(crate) fn find(
    after: &str,
    then: &str,
    within: i64,
    from: i64,
    at: i64,
    runner: &dyn QueryRunner,
) -> Result<Vec<Found>, RunError> {
    let began =
        times(after, "min", from.saturating_sub(within), at.saturating_sub(within), runner)?;
    if began.is_empty() {
        return Ok(Vec::new());
    }
    let followed = all_times(then, from.saturating_sub(within), at, runner)?;
    let mut missing: Vec<(i64, &String)> = began
        .iter()
        .filter(|(id, began)| {
            let times = followed.get(*id).map_or(&[][..], Vec::as_slice);
            !times.iter().any(|time| time >= began && time.saturating_sub(**began) <= within)
        })
        .map(|(id, began)| (*began, id))
        .collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    missing.sort_unstable();
    let count = missing.len();
    let correlations: Vec<String> =
        missing.into_iter().take(CORRELATIONS_MAX).map(|(_, id)| id.clone()).collect();
    let ids: Vec<String> =
        correlations.iter().take(5).map(|id| Value::from(id.as_str()).to_string()).collect();
    Ok(vec![Found {
        values: BTreeMap::from([
            ("missing".to_owned(), Value::from(count)),
            ("began".to_owned(), Value::from(began.len())),
        ]),
        filter: format!("correlation_id:({})", ids.join(" OR ")),
        correlations,
        ..Found::default()
    }])
}

/// The first or last time of each correlation.
fn times(
    query: &str,
    function: &str,
    from: i64,
    until: i64,
    runner: &dyn QueryRunner,
) -> Result<BTreeMap<String, i64>, RunError> {
    let text =
        format!("{} | stats {function}(timestamp) as at by correlation_id", filter_of(query));
    let rows = whole(runner, &text, from, until)?;
    Ok(rows
        .iter()
        .filter_map(|row| Some((text_of(row, "correlation_id")?, time_of(row)?)))
        .collect())
}

/// The first and the last time of each correlation: one of them lies within, if any does that matters.
fn all_times(
    query: &str,
    from: i64,
    until: i64,
    runner: &dyn QueryRunner,
) -> Result<BTreeMap<String, Vec<i64>>, RunError> {
    let text = format!("{} | stats values(timestamp) as at by correlation_id", filter_of(query));
    let rows = whole(runner, &text, from, until)?;
    let mut times: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for row in rows {
        let Some(id) = text_of(&row, "correlation_id") else { continue };
        let list = match row.get("at") {
            Some(Value::Array(list)) => list.iter().filter_map(time).collect(),
            // Lists are given out as JSON text.
            Some(Value::String(text)) => match serde_json::from_str::<Vec<Value>>(text) {
                Ok(list) => list.iter().filter_map(time).collect(),
                Err(_) => time_of(&row).into_iter().collect(),
            },
            _ => Vec::new(),
        };
        times.insert(id, list);
    }
    Ok(times)
}

fn text_of(row: &serde_json::Map<String, Value>, name: &str) -> Option<String> {
    row.get(name)?.as_str().map(str::to_owned)
}

fn time_of(row: &serde_json::Map<String, Value>) -> Option<i64> {
    time(row.get("at")?)
}

fn time(value: &Value) -> Option<i64> {
    record::Timestamp::parse_rfc3339(value.as_str()?).map(|time| time.0)
}
