//! What a rule finds at a moment.

use std::collections::BTreeMap;

use ql::{Arguments, Field, Filter};
use serde_json::{Map, Value};

use crate::expect;
use crate::rules::{Kind, Rule};
use crate::runner::{QueryRunner, RunError};

/// Alerts of one rule at a moment; further ones are left out.
const FOUND_MAX: usize = 500;

/// Something that is so at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// What tells it from others of its rule.
    pub labels: BTreeMap<String, String>,
    /// The numbers of its row.
    pub values: BTreeMap<String, Value>,
    /// Correlations that it is about, where the rule is about correlations.
    pub correlations: Vec<String>,
    /// A filter that finds the records behind it.
    pub filter: String,
}

/// What a rule remembers from one evaluation to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Memory {
    /// Things that were seen, by their labels as JSON, and when last.
    pub seen: BTreeMap<String, i64>,
}

/// Runs the queries of a rule for the moment `at`.
///
/// # Errors
/// When a query cannot be run, or gave only a part of its answer: then nothing can be said.
pub fn find(
    rule: &Rule,
    at: i64,
    memory: &mut Memory,
    runner: &dyn QueryRunner,
) -> Result<Vec<Found>, RunError> {
    let window = nanos(rule.window);
    let from = at.saturating_sub(window);
    match &rule.kind {
        Kind::Query(query) => of_query(query, from, at, runner),
        Kind::Absent { query, by, forget_after } => {
            let text =
                format!("{} | stats count() as count by {}", filter_of(query), by.join(", "));
            // The clock may have been set back.
            memory.seen.values_mut().for_each(|seen| *seen = (*seen).min(at));
            for row in whole(runner, &text, from, at)? {
                let found = found_of(row, &text);
                memory.seen.insert(key(&found.labels), at);
            }
            memory.seen.retain(|_, seen| at.saturating_sub(*seen) <= nanos(*forget_after));
            let silent = memory.seen.iter().filter(|(_, seen)| **seen < at);
            Ok(silent
                .map(|(key, seen)| {
                    let labels: BTreeMap<String, String> =
                        serde_json::from_str(key).unwrap_or_default();
                    let filter = narrowed(query, &labels);
                    let silent_s = at.saturating_sub(*seen).saturating_add(window) / crate::SECOND;
                    let values = BTreeMap::from([("silent_s".to_owned(), Value::from(silent_s))]);
                    Found { labels, values, correlations: Vec::new(), filter }
                })
                .take(FOUND_MAX)
                .collect())
        }
        Kind::Ratio { bad, total, by, above, at_least } => {
            ratio(bad, total, by, *above, *at_least, from, at, runner)
        }
        Kind::Expect { after, then, within } => {
            expect::find(after, then, nanos(*within), from, at, runner)
        }
    }
}

fn of_query(
    query: &str,
    from: i64,
    at: i64,
    runner: &dyn QueryRunner,
) -> Result<Vec<Found>, RunError> {
    let has_stages = ql::parse(query).is_ok_and(|parsed| !parsed.stages.is_empty());
    if has_stages {
        let rows = whole(runner, query, from, at)?;
        return Ok(rows.into_iter().take(FOUND_MAX).map(|row| found_of(row, query)).collect());
    }
    let rows = whole(runner, &format!("{} | stats count() as count", filter_of(query)), from, at)?;
    let count = rows.first().and_then(|row| row.get("count")).and_then(Value::as_u64);
    Ok(match count.unwrap_or_default() {
        0 => Vec::new(),
        count => vec![Found {
            values: BTreeMap::from([("count".to_owned(), Value::from(count))]),
            filter: query.to_owned(),
            ..Found::default()
        }],
    })
}

#[allow(clippy::too_many_arguments, reason = "the parts of one kind, and where they apply")]
fn ratio(
    bad: &str,
    total: &str,
    by: &[String],
    above: f64,
    at_least: u64,
    from: i64,
    at: i64,
    runner: &dyn QueryRunner,
) -> Result<Vec<Found>, RunError> {
    let counted = |query: &str| {
        let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
        let text = format!("{} | stats count() as count{by}", filter_of(query));
        let rows = whole(runner, &text, from, at)?;
        let counts = rows.into_iter().map(|row| {
            let count = row.get("count").and_then(Value::as_u64).unwrap_or_default();
            (found_of(row, &text).labels, count)
        });
        Ok::<_, RunError>(counts.collect::<BTreeMap<_, _>>())
    };
    let (bad_of, total_of) = (counted(bad)?, counted(total)?);
    let found = total_of.into_iter().filter_map(|(labels, total)| {
        let bad_count = bad_of.get(&labels).copied().unwrap_or_default();
        let share = bad_count as f64 / total.max(1) as f64;
        (total >= at_least.max(1) && share > above).then(|| Found {
            values: BTreeMap::from([
                ("bad".to_owned(), Value::from(bad_count)),
                ("total".to_owned(), Value::from(total)),
                ("ratio".to_owned(), Value::from(share)),
            ]),
            filter: narrowed(bad, &labels),
            correlations: Vec::new(),
            labels,
        })
    });
    Ok(found.take(FOUND_MAX).collect())
}

/// All rows, or an error: of a part of them nothing can be concluded.
pub(crate) fn whole(
    runner: &dyn QueryRunner,
    query: &str,
    from: i64,
    at: i64,
) -> Result<Vec<Map<String, Value>>, RunError> {
    let answer = runner.run(query, from, at, usize::MAX)?;
    match answer.partial {
        None => Ok(answer.rows),
        Some(reason) => Err(RunError(format!("the answer is partial: {reason}"))),
    }
}

/// What tells rows apart are labels, all else is values.
fn found_of(row: Map<String, Value>, query: &str) -> Found {
    // A stage behind the last `stats` may have renamed them or left them out.
    let keys = keys_of(query).filter(|keys| keys.iter().all(|key| row.contains_key(key)));
    let is_label = |name: &String, value: &Value| match (&keys, value) {
        (_, Value::String(text)) if is_time(text) => false,
        (Some(keys), _) => keys.contains(name),
        (None, value) => value.is_string(),
    };
    let mut found = Found::default();
    for (name, value) in row {
        match value {
            Value::Null => {}
            Value::String(text) if is_label(&name, &Value::String(text.clone())) => {
                found.labels.insert(name, text);
            }
            value if is_label(&name, &value) => {
                found.labels.insert(name, value.to_string());
            }
            value => {
                found.values.insert(name, value);
            }
        }
    }
    found.filter = narrowed(query, &found.labels);
    found
}

/// The columns by which the last `stats` of a query groups; `None` where there is none, and every text tells rows apart.
pub(crate) fn keys_of(query: &str) -> Option<Vec<String>> {
    let parsed = ql::parse(query).ok()?;
    let stats = parsed.stages.iter().rfind(|stage| stage.name.node == "stats")?;
    let mut arguments = Arguments::new(stats);
    arguments.aggregates().ok()?;
    let keys = arguments.group_keys().ok()?;
    Some(keys.iter().map(|key| key.column().to_owned()).collect())
}

/// Times differ from moment to moment: they tell nothing apart.
fn is_time(text: &str) -> bool {
    record::Timestamp::parse_rfc3339(text).is_some()
}

/// The filter of a query with one more condition for each label.
fn narrowed(query: &str, labels: &BTreeMap<String, String>) -> String {
    let filter = ql::parse(query).map_or(Filter::All, |parsed| parsed.filter);
    let of_labels = labels.iter().map(|(name, value)| Filter::equals(&Field::resolve(name), value));
    Filter::and(std::iter::once(filter).chain(of_labels).collect()).to_string()
}

/// What stands in front of the first stage.
pub(crate) fn filter_of(query: &str) -> &str {
    let Ok(parsed) = ql::parse(query) else { return query };
    let Some(first) = parsed.stages.first() else { return query };
    let before = query[..first.name.span.start.min(query.len())].trim_end();
    before.strip_suffix('|').unwrap_or(before).trim_end()
}

fn key(labels: &BTreeMap<String, String>) -> String {
    serde_json::to_string(labels).unwrap_or_default()
}

pub(crate) fn nanos(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(query: &str, row: Value) -> String {
        let Value::Object(row) = row else { panic!("{row}") };
        let found = found_of(row, query);
        let labels = found.labels.iter().map(|(name, value)| format!("{name}={value}"));
        format!("{} | {}", labels.collect::<Vec<_>>().join(" "), found.filter)
    }

    #[test]
    fn rows_are_told_apart_by_what_they_are_grouped_by() {
        let by = "x | stats count() as n, last(msg) as said by service, http.status";
        let row = json!({"service": "a b", "http.status": 500, "n": 3, "said": "hi"});
        assert_eq!(
            labels(by, row),
            r#"http.status=500 service=a b | x http.status:=500 service:="a b""#
        );
        // Renamed behind it: then every text does.
        let renamed = "x | stats count() as n by service | rename service as app";
        assert_eq!(labels(renamed, json!({"app": "a", "n": 3})), "app=a | x app:=a");
        let binned = "x | stats count() by bin(5m)";
        assert_eq!(labels(binned, json!({"bin(5m)": "2026-01-01T00:00:00Z", "count": 3})), " | x");
        assert_eq!(
            labels("* | top 3 sku", json!({"sku": "tea", "count": 3, "percent": 5.0})),
            "sku=tea | sku:=tea"
        );
    }
}
