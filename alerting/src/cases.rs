//! Unit tests of rules: records with their times go in, alerts at their times are expected.
//!
//! ```yaml
//! rules: shop.yaml
//! tests:
//!   - name: a burst of declined cards pages
//!     records:
//!       - {at: 10s, repeat: 6, every: 1s, service: payments, level: error, message: card declined}
//!     expect:
//!       - {at: 1m, firing: [{alertname: CardsDeclined, service: payments}]}
//!       - {at: 10m, firing: []}
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::find::nanos;
use crate::judge::{ALERTNAME, Alert, State};
use crate::lab::Lab;
use crate::read::duration_of;
use crate::rules::Rules;
use crate::runner::QueryRunner;

/// When all tests begin: 2026-01-01T00:00:00Z.
pub const BEGIN: i64 = 1_767_225_600_000_000_000;
/// How long a test may be.
const LENGTH_MAX: Duration = Duration::from_secs(31 * 86_400);
/// Records of one line of a test.
const REPEAT_MAX: u32 = 10_000;

/// A file of tests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    /// The file of rules, from where this file is.
    pub rules: String,
    /// Each with records of its own.
    pub tests: Vec<Case>,
}

/// One test.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Names of the rules that it is about; all if not said.
    #[serde(default)]
    only: Vec<String>,
    /// What there is.
    #[serde(default)]
    records: Vec<Map<String, Value>>,
    /// What comes of it.
    expect: Vec<Expected>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    at: String,
    #[serde(default)]
    firing: Vec<BTreeMap<String, String>>,
    pending: Option<Vec<BTreeMap<String, String>>>,
}

impl Cases {
    /// Reads a file of tests.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
        let [document] = &documents[..] else {
            return Err("a file of tests is one document with `rules` and `tests`".to_owned());
        };
        serde_json::from_value(json_of(document)).map_err(|error| error.to_string())
    }
}

impl Case {
    /// Its records as lines of JSON, with their times.
    ///
    /// # Errors
    /// Which record makes no sense.
    pub fn lines(&self) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        for record in &self.records {
            let mut record = record.clone();
            let mut length = |name: &str, default: Duration| match record.remove(name) {
                None => Ok(default),
                Some(Value::String(text)) => duration_of(&text)
                    .ok_or_else(|| format!("{name}: {text} is no length of time such as 30s")),
                Some(Value::Number(number)) if number.as_u64() == Some(0) => Ok(Duration::ZERO),
                Some(other) => Err(format!("{name}: {other} is no length of time such as 30s")),
            };
            let at = length("at", Duration::ZERO)?;
            let every = length("every", Duration::from_secs(1))?;
            let repeat = record.remove("repeat").map_or(Some(1), |repeat| repeat.as_u64());
            let repeat = repeat
                .and_then(|repeat| u32::try_from(repeat).ok())
                .filter(|repeat| *repeat <= REPEAT_MAX)
                .ok_or_else(|| format!("repeat: a number up to {REPEAT_MAX}"))?;
            for number in 0..repeat {
                let later =
                    nanos(every).saturating_mul(i64::from(number)).saturating_add(nanos(at));
                let time = BEGIN.saturating_add(later);
                let mut line = record.clone();
                line.insert("timestamp".to_owned(), record::Timestamp(time).to_string().into());
                lines.push(Value::Object(line).to_string());
            }
        }
        Ok(lines)
    }

    /// Evaluates the rules at the interval of their groups and holds what fires against what is expected; what differs.
    ///
    /// # Errors
    /// When an evaluation fails, or a time makes no sense.
    pub fn run(&self, rules: &Rules, runner: &dyn QueryRunner) -> Result<Vec<String>, String> {
        let mut wrong = Vec::new();
        let mut expected = Vec::new();
        for one in &self.expect {
            let at = duration_of(&one.at).filter(|at| *at <= LENGTH_MAX);
            let wrong = || format!("at: {} is no length of time up to 31d", one.at);
            expected.push((nanos(at.ok_or_else(wrong)?), one));
        }
        expected.sort_by_key(|(at, _)| *at);
        // Every moment at which it may be some group's turn.
        let intervals = rules.groups.iter().map(|group| nanos(group.interval).max(1));
        let step = intervals.reduce(common_step).unwrap_or(crate::SECOND);
        let mut lab = Lab::new(rules);
        let mut at = 0;
        for (wanted, one) in expected {
            while at + step <= wanted {
                at += step;
                for (rule, result) in lab.step(BEGIN + at, runner) {
                    result.map_err(|error| format!("{}: {error}", rule.alert))?;
                }
            }
            let in_state = |state: State| {
                let about = |alert: &&Alert| {
                    self.only.is_empty()
                        || self.only.iter().any(|name| alert.labels.get(ALERTNAME) == Some(name))
                };
                lab.alerts().filter(|alert| alert.state == state).filter(about).collect::<Vec<_>>()
            };
            wrong.extend(differences(&one.at, "fire", &one.firing, in_state(State::Firing)));
            if let Some(pending) = &one.pending {
                wrong.extend(differences(&one.at, "be pending", pending, in_state(State::Pending)));
            }
        }
        Ok(wrong)
    }
}

/// The largest step that meets all multiples of both.
fn common_step(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { common_step(b, a % b) }
}

/// Each expected alert has to be there, with these labels at least, and no other.
fn differences(
    at: &str,
    verb: &str,
    expected: &[BTreeMap<String, String>],
    mut there: Vec<&Alert>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for labels in expected {
        let fits = |alert: &&Alert| {
            labels.iter().all(|(name, value)| alert.labels.get(name) == Some(value))
        };
        match there.iter().position(fits) {
            Some(place) => {
                there.remove(place);
            }
            None => wrong.push(format!("at {at}: {} should {verb} and does not", shown(labels))),
        }
    }
    wrong.extend(
        there
            .iter()
            .map(|alert| format!("at {at}: {} should not {verb} and does", shown(&alert.labels))),
    );
    wrong
}

fn shown(labels: &BTreeMap<String, String>) -> String {
    let pairs = labels.iter().map(|(name, value)| format!("{name}={value:?}"));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

fn json_of(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(Scalar::String(text)) => Value::from(text.as_ref()),
        Yaml::Value(Scalar::Integer(number)) => Value::from(*number),
        Yaml::Value(Scalar::FloatingPoint(number)) => Value::from(number.into_inner()),
        Yaml::Value(Scalar::Boolean(flag)) => Value::from(*flag),
        Yaml::Representation(text, ..) => Value::from(text.as_ref()),
        Yaml::Sequence(list) => list.iter().map(json_of).collect(),
        Yaml::Mapping(members) => {
            let members = members.iter().filter_map(|(key, value)| {
                let key = match json_of(key) {
                    Value::String(text) => text,
                    Value::Null | Value::Array(_) | Value::Object(_) => return None,
                    other => other.to_string(),
                };
                Some((key, json_of(value)))
            });
            Value::Object(members.collect())
        }
        Yaml::Tagged(_, inner) => json_of(inner),
        _ => Value::Null,
    }
}
