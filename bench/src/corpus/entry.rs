//! One record of the corpus, and its line of JSON.

use std::io::Write;
use std::sync::Arc;

use super::generator::{DAY_START, DAY_START_US};

/// A level, as its word in the corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    pub(crate) const ALL: [Self; 4] = [Self::Debug, Self::Info, Self::Warn, Self::Error];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// What a record says of the HTTP call that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Http {
    pub(crate) status: u16,
    pub(crate) path: Arc<str>,
}

/// One record of the corpus.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Which interaction it belongs to, counted from 0 in the order of their beginnings.
    pub(crate) correlation: u64,
    /// Microseconds since 1970, within the corpus' day.
    pub(crate) timestamp_us: i64,
    pub(crate) level: Level,
    pub(crate) service: &'static str,
    pub(crate) host: Arc<str>,
    pub(crate) correlation_id: Arc<str>,
    pub(crate) trace_id: u128,
    /// No two records share one.
    pub(crate) span_id: u64,
    pub(crate) message: String,
    pub(crate) http: Option<Http>,
    /// Microseconds; the line has milliseconds with three decimals.
    pub(crate) duration_us: u64,
    pub(crate) user_id: Arc<str>,
    pub(crate) region: &'static str,
    pub(crate) order_id: Option<Arc<str>>,
}

impl Entry {
    /// The duration as a reader of the line gets it: a whole number over 1,000 rounds just as its decimals do.
    pub(crate) fn duration_ms(&self) -> f64 {
        self.duration_us as f64 / 1_000.0
    }

    /// The time as it stands in the line.
    pub(crate) fn timestamp(&self) -> String {
        let of_day_us = self.timestamp_us - DAY_START_US;
        let (seconds, micros) = (of_day_us / 1_000_000, of_day_us % 1_000_000);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        format!("{}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z", &DAY_START[..10])
    }

    /// Appends the line, newline included.
    pub(crate) fn write_line(&self, out: &mut Vec<u8>) {
        self.try_write_line(out).expect("writing to memory does not fail");
    }

    fn try_write_line(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        write!(
            out,
            r#"{{"timestamp":"{}","level":"{}","service":"{}","host":"{}","correlation_id":"{}","#,
            self.timestamp(),
            self.level.word(),
            self.service,
            self.host,
            self.correlation_id,
        )?;
        write!(
            out,
            r#""trace_id":"{:032x}","span_id":"{:016x}","message":"#,
            self.trace_id, self.span_id
        )?;
        serde_json::to_writer(&mut *out, &self.message)?;
        if let Some(http) = &self.http {
            write!(out, r#","http.status":{},"http.path":"{}""#, http.status, http.path)?;
        }
        let (millis, micros) = (self.duration_us / 1_000, self.duration_us % 1_000);
        write!(
            out,
            r#","duration_ms":{millis}.{micros:03},"user_id":"{}","region":"{}""#,
            self.user_id, self.region
        )?;
        if let Some(order_id) = &self.order_id {
            write!(out, r#","order_id":"{order_id}""#)?;
        }
        out.write_all(b"}\n")
    }
}

#[cfg(test)]
mod tests {
    use crate::corpus::{CorpusOptions, Generator};

    #[test]
    fn a_line_says_what_the_entry_says() {
        for entry in Generator::new(&CorpusOptions { records: 2_000, seed: 3 }) {
            let mut line = Vec::new();
            entry.write_line(&mut line);
            let json: serde_json::Value = serde_json::from_slice(&line).expect("the line is JSON");
            let time: jiff::Timestamp = json["timestamp"].as_str().unwrap().parse().unwrap();
            assert_eq!(time.as_microsecond(), entry.timestamp_us);
            assert_eq!(json["duration_ms"].as_f64(), Some(entry.duration_ms()));
            assert_eq!(json["message"].as_str(), Some(entry.message.as_str()));
            assert_eq!(json.get("order_id").is_some(), entry.order_id.is_some());
        }
    }
}
