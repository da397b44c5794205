//! What a request asks for: parameters of the URL as Jaeger reads them, checked.
//!
//! A parameter that is not known is passed over, as Jaeger does: its page sends some (`lookback`) that say nothing more,
//! and so is one that is empty. Of one that is there twice the first counts, except `tag` and `traceID`.

use std::ops::Range;

use record::{NANOS_PER_SECOND, Timestamp, TraceId};
use serde_json::{Map, Value};

use super::search::Search;
use super::{TRACES_DEFAULT, TRACES_MAX};
use crate::error::QueryError;

/// How far back a search goes if it does not say; as Jaeger does.
const SEARCH_BACK: i64 = 2 * 24 * 3_600 * NANOS_PER_SECOND;
/// How far back dependencies go if the request does not say.
const DEPENDENCIES_BACK: i64 = 24 * 3_600 * NANOS_PER_SECOND;
/// Tags of one search.
const TAGS_MAX: usize = 64;

/// The parameters of a URL.
#[derive(Debug)]
pub(super) struct Given(Vec<(String, String)>);

/// Which traces are asked for.
#[derive(Debug)]
pub(super) enum Traces {
    /// Those of which a span matches.
    Search(Search),
    /// These.
    Ids(Vec<TraceId>),
}

impl Given {
    pub(super) fn of(query: Option<&str>) -> Self {
        let pairs = serde_urlencoded::from_str(query.unwrap_or_default());
        // Every text is a form: what is no escape stands for itself.
        Self(pairs.unwrap_or_default())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name = self.0.iter().filter(move |(given, _)| given == name);
        of_name.map(|(_, value)| &**value).filter(|value| !value.is_empty())
    }

    fn one<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    fn service(&self) -> Result<String, QueryError> {
        let missing = || wrong("service", "is required");
        self.one("service").map(str::to_owned).ok_or_else(missing)
    }

    /// Of `/api/operations`: the service, and the kind of span if only one is wanted.
    pub(super) fn operations(&self) -> Result<(String, Option<String>), QueryError> {
        let kind = self.one("spanKind").map(str::to_lowercase);
        if let Some(kind) = kind.as_ref().filter(|kind| !record::span::KINDS.contains(&&***kind)) {
            let kinds = record::span::KINDS.join(", ");
            return Err(wrong("spanKind", &format!("is {kind:?}; give one of {kinds}")));
        }
        Ok((self.service()?, kind))
    }

    /// Of `/api/traces`.
    pub(super) fn traces(&self) -> Result<Traces, QueryError> {
        let ids: Vec<TraceId> =
            self.all("traceID").map(trace_id).collect::<Result<_, QueryError>>()?;
        if ids.len() > TRACES_MAX {
            return Err(wrong("traceID", &format!("is there more than {TRACES_MAX} times")));
        }
        if !ids.is_empty() {
            return Ok(Traces::Ids(ids));
        }
        let now = Timestamp::now().0;
        let end = self.time("end")?;
        let start = self.time("start")?.unwrap_or_else(|| end.unwrap_or(now) - SEARCH_BACK);
        // All of the last microsecond.
        let time = start..end.unwrap_or(now).saturating_add(1_000);
        if time.is_empty() {
            return Err(wrong("start", "is later than `end`"));
        }
        let (least, most) = (self.duration("minDuration")?, self.duration("maxDuration")?);
        if least.zip(most).is_some_and(|(least, most)| least > most) {
            return Err(wrong("maxDuration", "is shorter than `minDuration`"));
        }
        Ok(Traces::Search(Search {
            service: self.service()?,
            operation: self.one("operation").map(str::to_owned),
            tags: self.tags()?,
            least,
            most,
            time,
            limit: self.limit()?,
        }))
    }

    /// Of `/api/dependencies`: the time of the spans that are looked at.
    pub(super) fn dependencies(&self) -> Result<Range<i64>, QueryError> {
        let end = self.milliseconds("endTs")?.unwrap_or_else(|| Timestamp::now().0);
        let back = self.milliseconds("lookback")?.unwrap_or(DEPENDENCIES_BACK);
        // All of the last millisecond.
        Ok(end.saturating_sub(back)..end.saturating_add(1_000_000))
    }

    /// A time in microseconds, as nanoseconds.
    fn time(&self, name: &'static str) -> Result<Option<i64>, QueryError> {
        self.number(name, "microseconds since 1970", 1_000)
    }

    /// Milliseconds, as nanoseconds.
    fn milliseconds(&self, name: &'static str) -> Result<Option<i64>, QueryError> {
        self.number(name, "milliseconds", 1_000_000)
    }

    fn number(
        &self,
        name: &'static str,
        unit: &str,
        nanos: i64,
    ) -> Result<Option<i64>, QueryError> {
        let Some(text) = self.one(name) else { return Ok(None) };
        let number = text.trim().parse::<i64>().ok().filter(|number| *number >= 0);
        let expected = || wrong(name, &format!("is {text:?}; give {unit}, a whole number"));
        number.map(|number| Some(number.saturating_mul(nanos))).ok_or_else(expected)
    }

    fn limit(&self) -> Result<usize, QueryError> {
        let limit = self.number("limit", "how many traces", 1)?.filter(|limit| *limit > 0);
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(TRACES_MAX));
        Ok(limit.unwrap_or(TRACES_DEFAULT).min(TRACES_MAX))
    }

    fn duration(&self, name: &'static str) -> Result<Option<i64>, QueryError> {
        let Some(text) = self.one(name) else { return Ok(None) };
        let expected = || {
            let detail = format!("is {text:?}; give a duration such as 1.2s, 100ms or 10us");
            wrong(name, &detail)
        };
        duration(text.trim()).map(Some).ok_or_else(expected)
    }

    /// `tags` is a JSON object of texts, `tag` is `key:value`.
    fn tags(&self) -> Result<Vec<(String, String)>, QueryError> {
        let mut tags = Vec::new();
        for text in self.all("tags") {
            let not_one =
                |_| wrong("tags", "is no JSON object of texts, such as {\"key\":\"text\"}");
            let object: Map<String, Value> = serde_json::from_str(text).map_err(not_one)?;
            for (key, value) in object {
                let value = match value {
                    Value::String(text) => text,
                    Value::Bool(_) | Value::Number(_) => value.to_string(),
                    _ => return Err(wrong("tags", &format!("has no text under {key:?}"))),
                };
                tags.push((key, value));
            }
        }
        for text in self.all("tag") {
            let not_one = || wrong("tag", &format!("is {text:?}; give key:value"));
            let (key, value) = text.split_once(':').ok_or_else(not_one)?;
            tags.push((key.to_owned(), value.to_owned()));
        }
        if tags.len() > TAGS_MAX {
            return Err(wrong("tags", &format!("are more than {TAGS_MAX}")));
        }
        Ok(tags)
    }
}

/// A trace id in hex, of which zeros at the left may be left out.
pub(super) fn trace_id(text: &str) -> Result<TraceId, QueryError> {
    let id = TraceId::from_hex(&format!("{:0>32}", text.trim()));
    id.ok_or_else(|| wrong("traceID", &format!("is {text:?}; give up to 32 hex digits, not all 0")))
}

/// Nanoseconds of a duration as Go writes it, or with days; `None` for all else, and below zero.
fn duration(text: &str) -> Option<i64> {
    logql::parse_duration_ns(text).filter(|nanos| *nanos >= 0)
}

/// Only as much of what came as a person wants to read.
fn wrong(name: &'static str, detail: &str) -> QueryError {
    QueryError::Parameter { name, detail: detail.chars().take(200).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<Search, String> {
        match Given::of(Some(query)).traces() {
            Ok(Traces::Search(search)) => Ok(search),
            Ok(Traces::Ids(ids)) => Err(format!("{ids:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, nanos) in [
            ("0", Some(0)),
            ("10us", Some(10_000)),
            ("10µs", Some(10_000)),
            ("100ms", Some(100_000_000)),
            ("1.2s", Some(1_200_000_000)),
            (".5s", Some(500_000_000)),
            ("5.s", Some(5_000_000_000)),
            ("+1h2m3.5s", Some(3_723_500_000_000)),
            ("7ns", Some(7)),
            ("", None),
            ("5", None),
            ("-5ms", None),
            (".s", None),
            ("1..2s", None),
            ("1 s", None),
            ("1d", Some(86_400_000_000_000)),
            ("s", None),
            ("99999999999h", None),
            ("1s2", None),
        ] {
            assert_eq!(duration(text), nanos, "{text:?}");
        }
    }

    #[test]
    fn a_search_is_read_with_its_defaults() {
        let search =
            asked("service=a%2Fb&operation=GET+%2F&start=1000&end=2000&lookback=1h").unwrap();
        assert_eq!((&*search.service, search.operation.as_deref()), ("a/b", Some("GET /")));
        assert_eq!((search.time, search.limit), (1_000_000..2_001_000, TRACES_DEFAULT));
        assert!(search.tags.is_empty() && search.least.is_none() && search.most.is_none());
        let search = asked("service=a&limit=5000&tags=%7B%22a%22%3A%22b%22%2C%22n%22%3A5%7D&tag=c:d:e&end=9000000000000000")
            .unwrap();
        let tags: Vec<_> =
            search.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!((tags.join(" "), search.limit), ("a=b n=5 c=d:e".to_owned(), TRACES_MAX));
        assert_eq!(search.time.end - search.time.start, SEARCH_BACK + 1_000);
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        for (query, said) in [
            ("", "service: is required"),
            ("service=", "service: is required"),
            ("service=a&start=x", "start: is \"x\"; give microseconds since 1970"),
            ("service=a&end=-5", "end: is \"-5\""),
            ("service=a&start=3000&end=1000", "start: is later than `end`"),
            ("service=a&limit=many", "limit: is \"many\"; give how many traces"),
            ("service=a&minDuration=5", "minDuration: is \"5\"; give a duration"),
            ("service=a&minDuration=2s&maxDuration=1s", "maxDuration: is shorter"),
            ("service=a&tags=a%3Db", "tags: is no JSON object of texts"),
            ("service=a&tags=%7B%22a%22%3A%5B%5D%7D", "tags: has no text under \"a\""),
            ("service=a&tag=b", "tag: is \"b\"; give key:value"),
            ("traceID=xyz", "traceID: is \"xyz\"; give up to 32 hex digits"),
            ("traceID=0", "traceID: is \"0\""),
        ] {
            let error = asked(query).unwrap_err();
            assert!(error.contains(said), "{query}: {error}");
        }
        for (query, said) in [
            ("", "service: is required"),
            ("service=a&spanKind=friend", "spanKind: is \"friend\"; give one of internal, server"),
        ] {
            let error = Given::of(Some(query)).operations().unwrap_err().to_string();
            assert!(error.contains(said), "{query}: {error}");
        }
        let error = Given::of(Some("endTs=yesterday")).dependencies().unwrap_err().to_string();
        assert!(error.contains("endTs: is \"yesterday\"; give milliseconds"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn any_url_is_read_or_refused(query in ".*", text in "[0-9.]*[nuµmsh]*[0-9.]*s?") {
            let given = Given::of(Some(&query));
            let _ = (given.traces(), given.operations(), given.dependencies());
            let names = ["start", "end", "limit", "minDuration", "tags", "tag", "traceID", "endTs"];
            for name in names {
                let given = Given(vec![
                    ("service".to_owned(), text.clone()),
                    (name.to_owned(), text.clone()),
                ]);
                let _ = (given.traces(), given.dependencies());
            }
            let _ = duration(&text);
        }
    }

    #[test]
    fn ids_may_lack_their_zeros() {
        let id = trace_id("4bf92f3577b34da").unwrap();
        assert_eq!(id.to_string(), "0000000000000000004bf92f3577b34da"[1..]);
        assert!(trace_id(&"a".repeat(33)).is_err());
    }
}
