//! What a rule finds at a moment.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::expect;
use crate::rules::{Kind, Rule};
use crate::runner::{QueryRunner, RunError};

/// Alerts of one rule at a moment; further ones are left out and counted.
pub(crate) const FOUND_MAX: usize = 500;
/// Records that are shown with an alert.
const SAMPLES: usize = 5;

/// Something that is so at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// What tells it from others of its rule: the texts of its row.
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

/// The records behind what was found, the newest first; none where they cannot be had.
pub fn samples(
    found: &Found,
    from: i64,
    at: i64,
    runner: &dyn QueryRunner,
) -> Vec<Map<String, Value>> {
    runner.run(&found.filter, from, at, SAMPLES).map(|answer| answer.rows).unwrap_or_default()
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
    let keys = keys_of(query);
    let mut found = Found::default();
    for (name, value) in row {
        match value {
            Value::String(text)
                if keys.as_ref().map_or(!is_time(&text), |keys| keys.contains(&name)) =>
            {
                found.labels.insert(name, text);
            }
            Value::Null => {}
            other => {
                found.values.insert(name, other);
            }
        }
    }
    found.filter = narrowed(query, &found.labels);
    found
}

/// The columns by which the last `stats` of a query groups; `None` where there is none, and every text tells rows apart.
fn keys_of(query: &str) -> Option<Vec<String>> {
    let parsed = ql::parse(query).ok()?;
    let stats = parsed.stages.iter().rfind(|stage| stage.name.node == "stats")?;
    let args = &stats.args.node;
    let by = args.rfind(" by ").map(|at| &args[at + 4..]);
    let names = by.into_iter().flat_map(|by| by.split(',')).map(str::trim);
    Some(names.map(|name| ql::Field::resolve(name.trim_matches('`')).name().to_owned()).collect())
}

fn is_time(text: &str) -> bool {
    record::Timestamp::parse_rfc3339(text).is_some()
}

/// The filter of a query with one more condition for each label that is a field.
fn narrowed(query: &str, labels: &BTreeMap<String, String>) -> String {
    let conditions = labels.iter().map(|(name, value)| {
        let field = ql::Field::resolve(name);
        format!("{field}:{}", Value::from(value.as_str()))
    });
    let filter = filter_of(query);
    let filter = match filter.trim() {
        "" | "*" => String::new(),
        filter => format!("({filter})"),
    };
    let all: Vec<String> =
        std::iter::once(filter).chain(conditions).filter(|part| !part.is_empty()).collect();
    if all.is_empty() { "*".to_owned() } else { all.join(" ") }
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
