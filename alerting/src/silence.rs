//! Silences: alerts that nobody is to be told of for a time, in the shape of Alertmanager's API, version 2.
//!
//! A silence holds back that an alert fires. That it is over is told nevertheless to whoever was told that it fires.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use record::Timestamp;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Longest list of matchers, and longest text of each.
const MATCHERS_MAX: usize = 50;
const TEXT_BYTES_MAX: usize = 4 << 10;
/// Memory of a compiled expression.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Which alerts, until when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Silence {
    /// Empty in one that is to be made.
    #[serde(default)]
    pub(crate) id: String,
    pub(crate) matchers: Vec<Matcher>,
    /// RFC 3339; now if not said.
    #[serde(default)]
    pub(crate) starts_at: Option<String>,
    pub(crate) ends_at: String,
    #[serde(default)]
    pub(crate) created_by: String,
    #[serde(default)]
    pub(crate) comment: String,
}

/// A condition on one label; one that an alert does not have is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Matcher {
    /// The label.
    pub name: String,
    /// The value, or the expression that the whole value has to match.
    pub value: String,
    /// Whether it is an expression.
    #[serde(default)]
    pub is_regex: bool,
    /// Whether it has to match, or must not.
    #[serde(default = "yes")]
    pub is_equal: bool,
}

fn yes() -> bool {
    true
}

/// A silence with its times and expressions.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) silence: Silence,
    pub(crate) starts_at: i64,
    pub(crate) ends_at: i64,
    conditions: Conditions,
}

impl FromStr for Matcher {
    type Err = String;

    /// `service=~pay.*`, with the operators of Prometheus: `=`, `!=`, `=~`, `!~`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text} is no condition; write NAME=VALUE, NAME!=VALUE, NAME=~EXPRESSION or NAME!~EXPRESSION"
            )
        };
        let at = text.find(['=', '!']).filter(|at| *at > 0).ok_or_else(wrong)?;
        let (name, rest) = (text[..at].trim().to_owned(), &text[at..]);
        let operators =
            [("=~", true, true), ("!~", true, false), ("!=", false, false), ("=", false, true)];
        let found = operators.into_iter().find_map(|(operator, is_regex, is_equal)| {
            let value = rest.strip_prefix(operator)?.trim().to_owned();
            Some(Self { name: name.clone(), value, is_regex, is_equal })
        });
        found.ok_or_else(wrong)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match (self.is_regex, self.is_equal) {
            (false, true) => "=",
            (false, false) => "!=",
            (true, true) => "=~",
            (true, false) => "!~",
        };
        write!(f, "{}{operator}{}", self.name, self.value)
    }
}

/// Matchers that all have to hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions(Vec<(Matcher, Option<Regex>)>);

impl Conditions {
    /// Compiles them.
    ///
    /// # Errors
    /// Which expression cannot be used.
    pub(crate) fn new(matchers: &[Matcher]) -> Result<Self, String> {
        let compile = |matcher: &Matcher| {
            let regex = matcher.is_regex.then(|| {
                let whole = format!("^(?:{})$", matcher.value);
                RegexBuilder::new(&whole).size_limit(REGEX_BYTES_MAX).build().map_err(|error| {
                    let error = error.to_string();
                    format!("`{}`: {}", matcher.value, error.lines().last().unwrap_or_default())
                })
            });
            Ok((matcher.clone(), regex.transpose()?))
        };
        matchers.iter().map(compile).collect::<Result<_, String>>().map(Self)
    }

    /// Whether labels with names of Prometheus match.
    pub(crate) fn match_all(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(matcher, regex)| {
            let value = labels.get(&matcher.name).map_or("", String::as_str);
            let found = match regex {
                Some(regex) => regex.is_match(value),
                None => value == matcher.value,
            };
            found == matcher.is_equal
        })
    }
}

impl Compiled {
    /// Checks a silence.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(silence: Silence, now: i64) -> Result<Self, String> {
        let time = |name: &str, text: &str| {
            let time = Timestamp::parse_rfc3339(text).map(|time| time.0);
            time.ok_or_else(|| format!("`{name}` is no time like 2026-01-02T03:04:05Z: {text}"))
        };
        let starts_at =
            silence.starts_at.as_deref().map_or(Ok(now), |text| time("startsAt", text))?;
        let ends_at = time("endsAt", &silence.ends_at)?;
        if ends_at <= starts_at {
            return Err("`endsAt` is not later than `startsAt`".to_owned());
        }
        let texts = silence.matchers.iter().flat_map(|it| [&it.name, &it.value]);
        let is_long = texts
            .chain([&silence.comment, &silence.created_by])
            .any(|text| text.len() > TEXT_BYTES_MAX);
        if silence.matchers.len() > MATCHERS_MAX || is_long {
            return Err(format!(
                "at most {MATCHERS_MAX} matchers, and texts of at most {TEXT_BYTES_MAX} bytes"
            ));
        }
        let conditions = Conditions::new(&silence.matchers)?;
        let silence = Silence { starts_at: Some(Timestamp(starts_at).to_string()), ..silence };
        if conditions.match_all(&BTreeMap::new()) {
            let why = "it would silence every alert: one matcher has to ask for something that is not empty";
            return Err(why.to_owned());
        }
        Ok(Self { silence, starts_at, ends_at, conditions })
    }

    /// Those that are kept and can be understood.
    pub(crate) fn all(silences: Vec<Silence>, now: i64) -> Vec<Self> {
        silences.into_iter().filter_map(|silence| Self::new(silence, now).ok()).collect()
    }

    /// Whether an alert with these labels, which have names of Prometheus, is silenced at this time.
    pub(crate) fn silences(&self, labels: &BTreeMap<String, String>, at: i64) -> bool {
        (self.starts_at..self.ends_at).contains(&at) && self.conditions.match_all(labels)
    }

    /// The same, ended at this time; one that has not begun never does.
    pub(crate) fn ended(self, now: i64) -> Silence {
        let starts_at = Timestamp(self.starts_at.min(now - 1)).to_string();
        Silence { starts_at: Some(starts_at), ends_at: Timestamp(now).to_string(), ..self.silence }
    }

    /// As Alertmanager shows it.
    pub(crate) fn shown(&self, now: i64) -> Value {
        let state = match now {
            _ if now >= self.ends_at => "expired",
            _ if now < self.starts_at => "pending",
            _ => "active",
        };
        let Silence { id, created_by, comment, matchers, .. } = &self.silence;
        json!({
            "id": id,
            "status": {"state": state},
            "matchers": matchers,
            "startsAt": Timestamp(self.starts_at).to_string(),
            "endsAt": Timestamp(self.ends_at).to_string(),
            "createdBy": created_by,
            "comment": comment,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence(matchers: Value) -> Result<Compiled, String> {
        let silence = json!({"matchers": matchers, "startsAt": "1970-01-01T00:00:10Z", "endsAt": "1970-01-01T00:00:20Z"});
        Compiled::new(serde_json::from_value(silence).map_err(|error| error.to_string())?, 0)
    }

    #[test]
    fn a_silence_matches_whole_values_for_its_time() {
        let labels = BTreeMap::from(
            [("alertname", "A"), ("error_type", "timeout")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let check = |matchers: Value, at: i64, expected: bool| {
            let silence = silence(matchers.clone()).unwrap();
            assert_eq!(silence.silences(&labels, at * crate::SECOND), expected, "{matchers} {at}");
        };
        let exact = json!([{"name": "alertname", "value": "A"}]);
        check(exact.clone(), 9, false);
        check(exact.clone(), 10, true);
        check(exact, 20, false);
        check(json!([{"name": "error_type", "value": "time", "isRegex": true}]), 10, false);
        check(json!([{"name": "error_type", "value": "time.*", "isRegex": true}]), 10, true);
        let not = json!([{"name": "alertname", "value": "A"}, {"name": "service", "value": "x", "isEqual": false}]);
        check(not, 10, true);
    }

    #[test]
    fn conditions_are_those_of_prometheus() {
        for text in ["a=b", "a!=b", "a=~b|c", "a!~.+=x", "a="] {
            assert_eq!(text.parse::<Matcher>().unwrap().to_string(), text);
        }
        assert!(["a", "=b", "a!b", ""].iter().all(|text| text.parse::<Matcher>().is_err()));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (matchers, said) in [
            (json!([]), "every alert"),
            (json!([{"name": "a", "value": ".*", "isRegex": true}]), "every alert"),
            (json!([{"name": "a", "value": "(", "isRegex": true}]), "unclosed group"),
            (json!([{"name": "a"}]), "value"),
        ] {
            let refused = silence(matchers).unwrap_err();
            assert!(refused.contains(said), "{refused}");
        }
    }
}
