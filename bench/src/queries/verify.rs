//! Holds answers against the truth.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};

use super::truth::{Newest, Truth};
use crate::corpus::{Entry, Level};

/// One row with one number.
pub(crate) fn count(rows: &[Value], expected: u64) -> anyhow::Result<()> {
    let [row] = rows else { bail!("expected one row, got {}", rows.len()) };
    ensure!(row["n"].as_u64() == Some(expected), "expected {expected}, got {row}");
    Ok(())
}

/// A number for each service.
pub(crate) fn errors_by_service(rows: &[Value], truth: &Truth) -> anyhow::Result<()> {
    let answered: BTreeMap<&str, u64> = rows
        .iter()
        .map(|row| Some((row["service"].as_str()?, row["n"].as_u64()?)))
        .collect::<Option<_>>()
        .context("a row has no service, or no whole number `n`")?;
    ensure!(
        answered == truth.errors_by_service,
        "expected {:?}, got {answered:?}",
        truth.errors_by_service
    );
    Ok(())
}

/// A duration for each service, between the bounds that the truth gives.
pub(crate) fn duration_quantile(rows: &[Value], truth: &Truth, share: f64) -> anyhow::Result<()> {
    let bounds = truth.duration_quantile_by_service(share);
    ensure!(rows.len() == bounds.len(), "expected {} services, got {}", bounds.len(), rows.len());
    for row in rows {
        let cells = row.as_object().context("a row is no object")?;
        let service = row["service"].as_str().context("a row has no service")?;
        let (low, high) =
            *bounds.get(service).with_context(|| format!("there is no service {service}"))?;
        let value = cells.values().find_map(Value::as_f64).context("a row has no number")?;
        ensure!((low..=high).contains(&value), "{service}: {value} is not in {low}..={high}");
    }
    Ok(())
}

/// A count for each level and bin that has records. The bin is the cell that is a time.
pub(crate) fn by_level_and_bin(rows: &[Value], truth: &Truth) -> anyhow::Result<()> {
    let mut answered = BTreeMap::new();
    for row in rows {
        let cells = row.as_object().context("a row is no object")?;
        let texts = || cells.values().filter_map(Value::as_str);
        let level = texts().find_map(level_of).with_context(|| format!("no level in {row}"))?;
        let bin = texts().find_map(microseconds).with_context(|| format!("no time in {row}"))?;
        let records =
            cells.values().find_map(Value::as_u64).with_context(|| format!("no count in {row}"))?;
        // Empty bins may be left out, or shown as 0.
        if records > 0 {
            ensure!(answered.insert((level, bin), records).is_none(), "{row} is there twice");
        }
    }
    let expected = &truth.by_level_and_bin;
    ensure!(
        answered.len() == expected.len(),
        "expected {} bins, got {}",
        expected.len(),
        answered.len()
    );
    for (key, records) in expected {
        ensure!(
            answered.get(key) == Some(records),
            "{key:?}: expected {records}, got {:?}",
            answered.get(key)
        );
    }
    Ok(())
}

/// The newest records, newest first, each with all its fields.
pub(crate) fn newest(rows: &[Value], newest: &Newest) -> anyhow::Result<()> {
    let times = rows.iter().map(time_of).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(times == newest.times_us(), "the times of the newest records differ, or their order");
    let mut seen = HashSet::new();
    for row in rows {
        let span_id = span_of(row)?;
        ensure!(seen.insert(span_id), "span {span_id:016x} is there twice");
        let entry = newest
            .of_span(span_id)
            .with_context(|| format!("span {span_id:016x} is not among the newest"))?;
        record(row, entry)?;
    }
    Ok(())
}

/// All records of one correlation, in any order, each with all its fields.
pub(crate) fn correlation(rows: &[Value], entries: &[Entry]) -> anyhow::Result<()> {
    ensure!(rows.len() == entries.len(), "expected {} records, got {}", entries.len(), rows.len());
    let mut seen = HashSet::new();
    for row in rows {
        let span_id = span_of(row)?;
        ensure!(seen.insert(span_id), "span {span_id:016x} is there twice");
        let entry = entries
            .iter()
            .find(|entry| entry.span_id == span_id)
            .context("a record is of another correlation")?;
        record(row, entry)?;
    }
    Ok(())
}

/// One record: every field that was sent, with its value and type, and no attribute more.
fn record(row: &Value, entry: &Entry) -> anyhow::Result<()> {
    ensure!(time_of(row)? == entry.timestamp_us, "another time in {row}");
    let trace_id = format!("{:032x}", entry.trace_id);
    let texts = [
        ("severity", entry.level.word()),
        ("service", entry.service),
        ("host", &entry.host),
        ("correlation_id", &entry.correlation_id),
        ("trace_id", &trace_id),
        ("message", &entry.message),
    ];
    for (name, expected) in texts {
        ensure!(row[name].as_str() == Some(expected), "`{name}` should be {expected} in {row}");
    }
    let mut expected = Map::new();
    expected.insert("duration_ms".to_owned(), entry.duration_ms().into());
    expected.insert("user_id".to_owned(), Value::from(&*entry.user_id));
    expected.insert("region".to_owned(), entry.region.into());
    if let Some(http) = &entry.http {
        expected.insert("http.status".to_owned(), http.status.into());
        expected.insert("http.path".to_owned(), Value::from(&*http.path));
    }
    if let Some(order_id) = &entry.order_id {
        expected.insert("order_id".to_owned(), Value::from(&**order_id));
    }
    let attributes = row["attributes"].as_object();
    ensure!(attributes == Some(&expected), "the attributes should be {expected:?} in {row}");
    Ok(())
}

fn span_of(row: &Value) -> anyhow::Result<u64> {
    let text = row["span_id"].as_str().with_context(|| format!("no span id in {row}"))?;
    u64::from_str_radix(text, 16).with_context(|| format!("no span id in {row}"))
}

fn time_of(row: &Value) -> anyhow::Result<i64> {
    row["timestamp"].as_str().and_then(microseconds).with_context(|| format!("no time in {row}"))
}

fn microseconds(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(|time| time.as_microsecond())
}

fn level_of(text: &str) -> Option<Level> {
    Level::ALL.into_iter().find(|level| level.word() == text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::corpus::{CorpusOptions, Generator};

    fn truth() -> (Truth, Vec<Entry>) {
        let corpus = CorpusOptions { records: 3_000, seed: 5 };
        let mut truth = Truth::new(&corpus, 3);
        let all: Vec<Entry> =
            Generator::new(&corpus).inspect(|entry| truth.observe(entry)).collect();
        (truth, all)
    }

    /// What the query API would print, made from the line that was sent.
    fn as_answered(entry: &Entry) -> Value {
        let mut line = Vec::new();
        entry.write_line(&mut line);
        let mut fields: Map<String, Value> = serde_json::from_slice(&line).unwrap();
        let mut answered = Map::new();
        let level = fields.remove("level").unwrap();
        answered.insert("severity".to_owned(), level);
        for name in
            ["timestamp", "service", "host", "correlation_id", "trace_id", "span_id", "message"]
        {
            answered.insert(name.to_owned(), fields.remove(name).unwrap());
        }
        answered.insert("attributes".to_owned(), fields.into());
        answered.into()
    }

    #[test]
    fn records_are_held_against_every_field() {
        let (truth, _) = truth();
        let entries = &truth.correlations[1];
        let rows: Vec<Value> = entries.iter().map(as_answered).collect();
        correlation(&rows, entries).unwrap();
        assert!(correlation(&rows[1..], entries).is_err());
        for (pointer, value) in [
            ("/message", json!("other")),
            ("/timestamp", json!("2026-01-01T00:00:00Z")),
            ("/attributes/duration_ms", json!("1")),
            ("/attributes/user_id", Value::Null),
        ] {
            let mut wrong = rows.clone();
            *wrong[0].pointer_mut(pointer).unwrap() = value;
            assert!(correlation(&wrong, entries).is_err(), "{pointer}");
        }
    }

    #[test]
    fn the_newest_must_be_in_order() {
        let (truth, mut all) = truth();
        all.sort_by_key(|entry| std::cmp::Reverse(entry.timestamp_us));
        let mut rows: Vec<Value> = all.iter().take(100).map(as_answered).collect();
        newest(&rows, &truth.newest).unwrap();
        rows.reverse();
        assert!(newest(&rows, &truth.newest).is_err());
    }

    #[test]
    fn groups_are_held_against_every_count() {
        let (truth, _) = truth();
        let mut rows: Vec<Value> = truth
            .by_level_and_bin
            .iter()
            .map(|((level, bin), n)| {
                let bin = jiff::Timestamp::from_microsecond(*bin).unwrap().to_string();
                json!({"level": level.word(), "bin(5m)": bin, "count()": n})
            })
            .collect();
        by_level_and_bin(&rows, &truth).unwrap();
        rows[0]["count()"] = json!(0);
        assert!(by_level_and_bin(&rows, &truth).is_err());

        let errors: Vec<Value> = truth
            .errors_by_service
            .iter()
            .map(|(service, n)| json!({"service": service, "n": n}))
            .collect();
        errors_by_service(&errors, &truth).unwrap();
        assert!(errors_by_service(&errors[1..], &truth).is_err());

        let p95 = |by: f64| -> Vec<Value> {
            let bounds = truth.duration_quantile_by_service(0.95);
            bounds
                .iter()
                .map(
                    |(service, (low, _))| json!({"service": service, "p95(duration_ms)": low * by}),
                )
                .collect()
        };
        duration_quantile(&p95(1.0), &truth, 0.95).unwrap();
        assert!(duration_quantile(&p95(1.2), &truth, 0.95).is_err());

        count(&[json!({"n": 3})], 3).unwrap();
        assert!(count(&[json!({"n": 3})], 4).is_err() && count(&[], 0).is_err());
    }
}
