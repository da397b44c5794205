//! The tree of one trace, row by row as it is drawn.

use record::{SpanId, TraceId};
use serde::Serialize;

use crate::clocks::{Clock, Clocks, arrows_of};
use crate::entry::Entry;
use crate::forest::Forest;
use crate::milliseconds;

/// A trace.
#[derive(Debug, Serialize)]
pub struct Trace {
    /// 32 hex digits.
    pub trace_id: String,
    /// Nanoseconds since 1970 of its first moment.
    pub started: i64,
    /// From its first to its last moment.
    pub duration_ms: f64,
    /// Spans that are there.
    pub spans: usize,
    /// Records told in it.
    pub records: usize,
    /// Spans that failed.
    pub errors: usize,
    /// Spans that others name as parents and that are not there.
    pub holes: usize,
    /// Who took part, in the order of their beginnings.
    pub services: Vec<String>,
    /// Clocks that were moved so that effects come after causes.
    pub clocks: Vec<Clock>,
    /// Spans with what was told in them, parents before children.
    pub rows: Vec<TraceRow>,
    /// Whether rows were left out of the middle.
    pub elided: usize,
}

/// A row of it.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "row", rename_all = "snake_case")]
pub enum TraceRow {
    /// A span.
    Span {
        /// 0 for a root.
        depth: usize,
        /// From the beginning of the trace.
        at_ms: f64,
        /// `None` where its end is not known.
        duration_ms: Option<f64>,
        /// Who did it.
        service: String,
        /// What.
        name: String,
        /// 16 hex digits.
        #[serde(skip_serializing_if = "Option::is_none")]
        span_id: Option<String>,
        /// `server`, `client` …, or empty.
        kind: String,
        /// Whether it failed.
        error: bool,
        /// What it said of its failure.
        #[serde(skip_serializing_if = "Option::is_none")]
        status_message: Option<String>,
        /// What was repaired.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'static str>,
    },
    /// A span that is not there, but its children are.
    Hole {
        /// 0 for a root.
        depth: usize,
        /// 16 hex digits.
        span_id: String,
    },
    /// A record that was told in the span above, or in none.
    Record {
        /// One more than its span has.
        depth: usize,
        /// From the beginning of the trace.
        at_ms: f64,
        /// Who told it.
        service: String,
        /// `info`, `error` …, or empty.
        level: &'static str,
        /// What it says.
        message: String,
    },
    /// Rows that were left out.
    Elided {
        /// How many.
        rows: usize,
        /// How many of them are spans that failed.
        errors: usize,
    },
}

impl Trace {
    /// The tree of the entries of one trace, in `rows_max` rows at most: of more the middle is left out, except for the
    /// first failed spans.
    pub fn of(trace_id: TraceId, entries: &[Entry], rows_max: usize) -> Self {
        let as_told = Forest::of(entries, &|index| entries[index].time);
        let arrows = arrows_of(entries, &as_told);
        let first = as_told.roots.iter().find_map(|root| as_told.nodes[*root].span);
        let clocks = Clocks::of(entries, &arrows, first);
        let time = |index: usize| entries[index].time.saturating_add(clocks.offset(index));
        let end = |index: usize| entries[index].end().saturating_add(clocks.offset(index));
        let forest = if clocks.agree() { as_told } else { Forest::of(entries, &time) };
        let started = (0..entries.len()).map(time).min().unwrap_or_default();
        let ended = (0..entries.len()).map(end).max().unwrap_or_default();
        let mut services: Vec<(i64, &str)> = Vec::new();
        let mut by_time: Vec<usize> = (0..entries.len()).collect();
        by_time.sort_by_key(|index| time(*index));
        for index in by_time {
            let service = entries[index].service.as_str();
            if !service.is_empty() && !services.iter().any(|(_, known)| *known == service) {
                services.push((time(index), service));
            }
        }
        let at_ms = |index: usize| milliseconds(time(index).saturating_sub(started));
        let record = |index: usize, depth: usize| TraceRow::Record {
            depth,
            at_ms: at_ms(index),
            service: entries[index].service.clone(),
            level: entries[index].severity.level().map_or("", |level| level.name()),
            message: entries[index].message.clone(),
        };
        let mut rows = Vec::new();
        // What is drawn next is on top; a span's children and records are drawn in the order of their times.
        let mut rest: Vec<(Drawn, usize)> =
            forest.roots.iter().rev().map(|root| (Drawn::Node(*root), 0)).collect();
        while let Some((drawn, depth)) = rest.pop() {
            let node = match drawn {
                Drawn::Node(node) => &forest.nodes[node],
                Drawn::Record(index) => {
                    rows.push(record(index, depth));
                    continue;
                }
            };
            let below = node.children.iter().map(|child| Drawn::Node(*child));
            let records = node.records.iter().map(|index| Drawn::Record(*index));
            let mut below: Vec<Drawn> = below.chain(records).collect();
            below.sort_by_key(|drawn| match drawn {
                Drawn::Node(node) => forest.nodes[*node].span.map(&time),
                Drawn::Record(index) => Some(time(*index)),
            });
            rest.extend(below.into_iter().rev().map(|drawn| (drawn, depth + 1)));
            let Some(index) = node.span else {
                let span_id = node.missing.unwrap_or(SpanId([0; 8])).to_string();
                rows.push(TraceRow::Hole { depth, span_id });
                continue;
            };
            let entry = &entries[index];
            rows.push(TraceRow::Span {
                depth,
                at_ms: at_ms(index),
                duration_ms: entry.duration.map(milliseconds),
                service: entry.service.clone(),
                name: entry.title(),
                span_id: entry.span_id.map(|id| id.to_string()),
                kind: entry.kind().to_owned(),
                error: entry.is_error(),
                status_message: entry.text(record::span::STATUS_MESSAGE).map(str::to_owned),
                note: node.note.or_else(|| {
                    entry.duration.is_some_and(|duration| duration < 0).then_some(BACKWARDS)
                }),
            });
        }
        rows.extend(forest.records.iter().map(|index| record(*index, 0)));
        let spans = entries.iter().filter(|entry| entry.is_span());
        let (rows, elided) = elide(rows, rows_max);
        Self {
            trace_id: trace_id.to_string(),
            started,
            duration_ms: milliseconds(ended.saturating_sub(started)),
            spans: spans.clone().count(),
            records: entries.len() - spans.clone().count(),
            errors: spans.filter(|entry| entry.is_error()).count(),
            holes: forest.nodes.iter().filter(|node| node.span.is_none()).count(),
            services: services.into_iter().map(|(_, service)| service.to_owned()).collect(),
            clocks: clocks.moved,
            rows,
            elided,
        }
    }
}

/// What stands in a row.
#[derive(Clone, Copy)]
enum Drawn {
    Node(usize),
    Record(usize),
}

const BACKWARDS: &str = "its end is before its beginning";

/// Leaves out the middle, but for failed spans in it while there is room; says where how many are left out.
fn elide(rows: Vec<TraceRow>, rows_max: usize) -> (Vec<TraceRow>, usize) {
    if rows.len() <= rows_max {
        return (rows, 0);
    }
    let failed = |row: &TraceRow| matches!(row, TraceRow::Span { error: true, .. });
    // A fifth of the rows is for what failed and what tells of the left out.
    let end = rows_max * 2 / 5;
    let middle = end..rows.len() - end;
    let mut room = rows_max / 10;
    let (mut kept, mut left_out, mut elided) = (Vec::with_capacity(rows_max), (0, 0), 0);
    for (index, row) in rows.into_iter().enumerate() {
        let keep = !middle.contains(&index) || (failed(&row) && room > 0);
        if !keep {
            left_out = (left_out.0 + 1, left_out.1 + usize::from(failed(&row)));
            elided += 1;
            continue;
        }
        if middle.contains(&index) {
            room -= 1;
        }
        if left_out.0 > 0 {
            kept.push(TraceRow::Elided { rows: left_out.0, errors: left_out.1 });
            left_out = (0, 0);
        }
        kept.push(row);
    }
    if left_out.0 > 0 {
        kept.push(TraceRow::Elided { rows: left_out.0, errors: left_out.1 });
    }
    (kept, elided)
}
