//! The tree against the declared keys: everything that is wrong is noted, and checking goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::key::{Fallback, Key, Kind, Table};
use super::nearest::nearest;
use super::raw::{Members, Raw, RawValue, parse_value};
use super::values::{Setting, Values};
use super::{ByteSize, Fault, Origin, format_duration, parse_duration};

/// Checks all tables.
pub(super) fn check(
    mut root: Members,
    tables: &'static [Table],
    foreign: &[&str],
    faults: &mut Vec<Fault>,
) -> BTreeMap<&'static str, Values> {
    let mut checker = Checker { faults };
    let mut checked = BTreeMap::new();
    for table in tables {
        let (origin, members) = match root.remove(table.name) {
            None => (None, Members::new()),
            Some((origin, raw)) => match raw.value {
                RawValue::Table(members) => (Some(origin), members),
                other => {
                    let message = format!("must be a table, not {}", other.describe());
                    let help = Some(format!("write [{}] and its keys below", table.name));
                    checker.fault(Some(raw.origin), table.name, message, help);
                    (Some(origin), Members::new())
                }
            },
        };
        checked.insert(table.name, checker.table(table.keys, members, table.name, origin));
    }
    for (name, (origin, _)) in root {
        if foreign.contains(&name.as_str()) {
            continue;
        }
        let known = tables.iter().map(|table| table.name).chain(foreign.iter().copied());
        let help = did_you_mean(nearest(&name, known.clone()), || {
            format!("known tables are {}", known.clone().collect::<Vec<_>>().join(", "))
        });
        checker.fault(Some(origin), &name, "unknown table".to_owned(), Some(help));
    }
    checked
}

struct Checker<'f> {
    faults: &'f mut Vec<Fault>,
}

impl Checker<'_> {
    /// Checks the members of a table whose full path is `path`.
    fn table(
        &mut self,
        keys: &'static [Key],
        members: Members,
        path: &str,
        origin: Option<Origin>,
    ) -> Values {
        let mut values = Values { path: path.to_owned(), origin, ..Values::default() };
        self.members(keys, members, path, "", &mut values);
        for key in keys {
            if values.settings.contains_key(key.path) {
                continue;
            }
            let full = format!("{path}.{}", key.path);
            let setting = match key.fallback {
                // A key that is set to something faulty has been reported.
                _ if values.set.contains(&key.path) => Setting::Absent,
                Fallback::Absent => Setting::Absent,
                Fallback::Value(text) => {
                    self.convert(&key.kind, parse_value(text, &Origin::Default), &full)
                }
                Fallback::Required => {
                    let message = format!("is missing; it takes {}", key.kind.describe());
                    self.fault(values.origin.clone(), &full, message, None);
                    Setting::Absent
                }
            };
            values.settings.insert(key.path, setting);
        }
        values
    }

    /// Checks the members of a table, or of an inner one, `inner`, that exists only to group keys.
    fn members(
        &mut self,
        keys: &'static [Key],
        members: Members,
        path: &str,
        inner: &str,
        values: &mut Values,
    ) {
        for (name, (origin, raw)) in members {
            let relative = if inner.is_empty() { name.clone() } else { format!("{inner}.{name}") };
            let full = format!("{path}.{relative}");
            if let Some(key) = keys.iter().find(|key| key.path == relative) {
                values.set.push(key.path);
                values.origins.insert(key.path, raw.origin.clone());
                let faults = self.faults.len();
                let setting = self.convert(&key.kind, raw, &full);
                if self.faults.len() == faults {
                    values.settings.insert(key.path, setting);
                }
                continue;
            }
            let group = format!("{relative}.");
            if !keys.iter().any(|key| key.path.starts_with(&group)) {
                self.unknown(keys, inner, &name, origin, &full);
                continue;
            }
            match raw.value {
                RawValue::Table(members) => self.members(keys, members, path, &relative, values),
                other => {
                    let message = format!("must be a table, not {}", other.describe());
                    self.fault(Some(raw.origin), &full, message, None);
                }
            }
        }
    }

    fn unknown(&mut self, keys: &[Key], inner: &str, name: &str, origin: Origin, full: &str) {
        // Names at the same level, and whole paths for a key that was put at the wrong one.
        let level = keys.iter().filter_map(|key| {
            let below = match inner {
                "" => key.path,
                _ => key.path.strip_prefix(inner)?.strip_prefix('.')?,
            };
            below.split('.').next()
        });
        let elsewhere =
            keys.iter().map(|key| key.path).find(|path| path.rsplit('.').next() == Some(name));
        let mut level: Vec<&str> = level.collect();
        // Keys of one table below are not always neighbours.
        let mut seen = BTreeSet::new();
        level.retain(|name| seen.insert(*name));
        let help = did_you_mean(nearest(name, level.iter().copied()).or(elsewhere), || {
            format!("known keys are {}", level.join(", "))
        });
        self.fault(Some(origin), full, "unknown key".to_owned(), Some(help));
    }

    fn convert(&mut self, kind: &'static Kind, raw: Raw, path: &str) -> Setting {
        // What the environment says is text where text is wanted, even if it looks like a number.
        let value = match (raw.value, raw.written) {
            (RawValue::Text(text), _) => RawValue::Text(text),
            (_, Some(written)) if kind.is_textual() => RawValue::Text(written),
            (value, _) => value,
        };
        match (kind, value) {
            (Kind::List(of), RawValue::List(list)) => Setting::List(
                list.into_iter()
                    .enumerate()
                    .map(|(index, raw)| self.convert(of, raw, &format!("{path}[{index}]")))
                    .collect(),
            ),
            (Kind::List(of), value) => {
                let raw = Raw { origin: raw.origin, value, written: None };
                Setting::List(vec![self.convert(of, raw, path)])
            }
            (Kind::Tables(keys), RawValue::List(list)) => Setting::Tables(
                list.into_iter()
                    .enumerate()
                    .filter_map(|(index, raw)| {
                        let path = format!("{path}[{index}]");
                        match raw.value {
                            RawValue::Table(members) => {
                                Some(self.table(keys, members, &path, Some(raw.origin)))
                            }
                            other => {
                                let message = format!("must be a table, not {}", other.describe());
                                self.fault(Some(raw.origin), &path, message, None);
                                None
                            }
                        }
                    })
                    .collect(),
            ),
            (Kind::Map(of), RawValue::Table(members)) => Setting::Map(
                members
                    .into_iter()
                    .map(|(name, (_, raw))| {
                        let setting = self.convert(of, raw, &format!("{path}.{name}"));
                        (name, setting)
                    })
                    .collect(),
            ),
            (_, value) => match scalar(kind, &value) {
                Ok(setting) => setting,
                Err(problem) => {
                    let message = problem.unwrap_or_else(|| {
                        format!("takes {}, not {}", kind.describe(), value.describe())
                    });
                    let help = match (kind, &value) {
                        (Kind::Enum(words), RawValue::Text(word)) => {
                            nearest(word, words.iter().copied())
                                .map(|word| format!("did you mean \"{word}\"?"))
                        }
                        _ => None,
                    };
                    self.fault(Some(raw.origin), path, message, help);
                    Setting::Absent
                }
            },
        }
    }

    fn fault(&mut self, origin: Option<Origin>, key: &str, message: String, help: Option<String>) {
        self.faults.push(Fault { origin, key: key.to_owned(), message, help });
    }
}

/// A single value. The error is what is wrong, if there is more to say than that it is not of the kind.
fn scalar(kind: &Kind, value: &RawValue) -> Result<Setting, Option<String>> {
    Ok(match (kind, value) {
        (Kind::Bool, RawValue::Bool(flag)) => Setting::Bool(*flag),
        (Kind::Integer { min, max }, RawValue::Integer(number))
            if (min..=max).contains(&number) =>
        {
            Setting::Integer(*number)
        }
        (Kind::Float { min, max }, RawValue::Float(number)) if (min..=max).contains(&number) => {
            Setting::Float(*number)
        }
        (Kind::Float { .. }, RawValue::Integer(number)) => {
            // Small enough to be exact, or out of any sensible bound.
            return scalar(kind, &RawValue::Float(*number as f64)).map_err(|_| None);
        }
        (Kind::ByteSize { min, max }, value) => byte_size(*min, *max, value)?,
        (Kind::Duration { min, max }, value) => duration(*min, *max, value)?,
        (Kind::Text | Kind::Path, RawValue::Text(text)) if !text.is_empty() => {
            Setting::Text(text.clone())
        }
        (Kind::Notation { check, .. }, RawValue::Text(text)) => {
            check(text).map_err(Some)?;
            Setting::Text(text.clone())
        }
        (Kind::Enum(words), RawValue::Text(text)) if words.contains(&text.as_str()) => {
            Setting::Text(text.clone())
        }
        (Kind::Address, RawValue::Text(text)) if is_address(text) => Setting::Text(text.clone()),
        _ => return Err(None),
    })
}

fn byte_size(min: ByteSize, max: ByteSize, value: &RawValue) -> Result<Setting, Option<String>> {
    let size = match value {
        RawValue::Text(text) => text.parse::<ByteSize>().map_err(Some)?,
        RawValue::Integer(number) => ByteSize(u64::try_from(*number).map_err(|_| None)?),
        _ => return Err(None),
    };
    if (min..=max).contains(&size) {
        return Ok(Setting::ByteSize(size));
    }
    Err(Some(format!("{size} is out of bounds, {min} to {max}")))
}

fn duration(min: Duration, max: Duration, value: &RawValue) -> Result<Setting, Option<String>> {
    let duration = match value {
        RawValue::Text(text) => parse_duration(text).map_err(Some)?,
        RawValue::Integer(number) => {
            return Err(Some(format!("`{number}` has no unit; write it like \"{number}s\"")));
        }
        _ => return Err(None),
    };
    if (min..=max).contains(&duration) {
        return Ok(Setting::Duration(duration));
    }
    let [duration, min, max] = [duration, min, max].map(format_duration);
    Err(Some(format!("{duration} is out of bounds, {min} to {max}")))
}

/// `HOST:PORT`, an IPv6 host in brackets. Whether the host exists is found out when it is used.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let sound = match bracketed {
        Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !host.is_empty() && host.chars().all(allowed)
        }
    };
    sound && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

fn did_you_mean(name: Option<&str>, otherwise: impl FnOnce() -> String) -> String {
    name.map_or_else(otherwise, |name| format!("did you mean `{name}`?"))
}
