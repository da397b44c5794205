//! Expectations: after a record of one kind, one of another must follow with the same correlation within a time.

use std::collections::BTreeMap;

use ql::{Field, Filter};
use serde_json::{Map, Value};

use crate::find::{Found, filter_of, whole};
use crate::runner::{QueryRunner, RunError};

/// Correlations that an alert names.
const CORRELATIONS_MAX: usize = 100;
/// Of them those whose records its filter finds.
const SHOWN_MAX: usize = 5;

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
    let began = first_times(after, from.saturating_sub(within), at.saturating_sub(within), runner)?;
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
    let shown = correlations.iter().take(SHOWN_MAX);
    let shown = shown.map(|id| Filter::equals(&Field::CorrelationId, id)).collect();
    Ok(vec![Found {
        values: BTreeMap::from([
            ("missing".to_owned(), Value::from(count)),
            ("began".to_owned(), Value::from(began.len())),
        ]),
        filter: Filter::or(shown).to_string(),
        correlations,
        ..Found::default()
    }])
}

/// The first time of each correlation.
fn first_times(
    query: &str,
    from: i64,
    until: i64,
    runner: &dyn QueryRunner,
) -> Result<BTreeMap<String, i64>, RunError> {
    let text = format!("{} | stats min(timestamp) as at by correlation_id", filter_of(query));
    let rows = whole(runner, &text, from, until)?;
    let time_of =
        |row: &Map<String, Value>| Some((text_of(row, "correlation_id")?, time(row.get("at")?)?));
    Ok(rows.iter().filter_map(time_of).collect())
}

/// The different times of each correlation, as many as `values()` lists.
fn all_times(
    query: &str,
    from: i64,
    until: i64,
    runner: &dyn QueryRunner,
) -> Result<BTreeMap<String, Vec<i64>>, RunError> {
    let text = format!("{} | stats values(timestamp) as at by correlation_id", filter_of(query));
    let rows = whole(runner, &text, from, until)?;
    let times_of = |row: &Map<String, Value>| {
        let list = row.get("at")?.as_array()?.iter().filter_map(time).collect();
        Some((text_of(row, "correlation_id")?, list))
    };
    Ok(rows.iter().filter_map(times_of).collect())
}

fn text_of(row: &Map<String, Value>, name: &str) -> Option<String> {
    row.get(name)?.as_str().map(str::to_owned)
}

fn time(value: &Value) -> Option<i64> {
    record::Timestamp::parse_rfc3339(value.as_str()?).map(|time| time.0)
}
