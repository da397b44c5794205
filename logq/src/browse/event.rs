//! What happens to the state, and what it asks for: all that goes between it, the terminal and the server.

use std::collections::BTreeMap;

use ratatui::crossterm::event::KeyEvent;
use record::Timestamp;

use super::row::Row;

/// What happened. Answers carry the number of the search that they belong to; those of an earlier one count no more.
#[derive(Debug)]
pub(super) enum Event {
    Key(KeyEvent),
    Pasted(String),
    /// Time passed.
    Tick,
    Page {
        number: u64,
        place: Place,
        answer: Result<Page, String>,
    },
    Chart {
        number: u64,
        answer: Result<Chart, String>,
    },
    /// The server tells from now on what is new.
    Following {
        number: u64,
    },
    Followed {
        number: u64,
        rows: Vec<Row>,
        skipped: u64,
    },
    /// The connection is lost; it is made again, unless `refused`.
    FollowLost {
        number: u64,
        reason: String,
        refused: bool,
    },
    Fields(Result<Vec<String>, String>),
    Values {
        field: String,
        answer: Result<Vec<String>, String>,
    },
}

/// Where a page belongs in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Top,
    Below,
    Above,
}

/// What is asked of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) query: String,
    pub(crate) since: String,
    pub(crate) until: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Page {
        number: u64,
        place: Place,
        question: Question,
        below: Option<String>,
        limit: usize,
    },
    Chart {
        number: u64,
        question: Question,
    },
    Follow {
        number: u64,
        query: String,
    },
    /// Nothing is followed any more.
    Unfollow,
    Fields(Question),
    Values {
        field: String,
        question: Question,
    },
    Leave,
}

/// A part of an answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Row>,
    pub(super) next: Option<String>,
    pub(super) took_ms: f64,
    /// What has to be said of it, such as that it is partial.
    pub(super) remarks: Vec<String>,
}

/// Records by time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chart {
    pub(super) bins: Vec<Bin>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bin {
    pub(super) time: i64,
    pub(super) count: u64,
    pub(super) worst: Level,
}

/// Ranks of severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    #[default]
    Unknown,
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Level {
    pub(super) fn of(text: &str) -> Self {
        let names = [
            ("trace", Self::Trace),
            ("debug", Self::Debug),
            ("info", Self::Info),
            ("warn", Self::Warn),
            ("error", Self::Error),
            ("fatal", Self::Fatal),
        ];
        let found = names.into_iter().find(|(name, _)| text.starts_with(name));
        found.map_or(Self::Unknown, |(_, level)| level)
    }
}

impl Chart {
    /// Of the rows of `timechart count() by level`.
    pub(super) fn of(rows: &[Row]) -> Self {
        let mut bins: BTreeMap<i64, (u64, Level)> = BTreeMap::new();
        for row in rows {
            let Some(time) = Timestamp::parse_rfc3339(row.text("timestamp")) else { continue };
            let count = row.get("count").and_then(serde_json::Value::as_u64).unwrap_or_default();
            let bin = bins.entry(time.0).or_default();
            bin.0 += count;
            if count > 0 {
                bin.1 = bin.1.max(Level::of(row.text("severity")));
            }
        }
        let bins = bins.into_iter().map(|(time, (count, worst))| Bin { time, count, worst });
        Self { bins: bins.collect() }
    }
}
