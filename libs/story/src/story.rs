//! The story of one interaction: everything that is known about it, in causal order.

use record::SpanId;
use semantics::saga;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::clocks::{Clock, Clocks, arrows_of};
use crate::entry::Entry;
use crate::forest::Forest;
use crate::holes::{Hole, holes};
use crate::order::{arrows_told, order};
use crate::outcome::{Outcome, door, outcome, tells_of_an_error};
use crate::things::{SagaThing, Things, Tries};
use crate::told::told;
use crate::{MILLISECOND, milliseconds};

/// Shorter gaps are never told of.
const GAP_MIN: i64 = 100 * MILLISECOND;
/// Gaps that are told of at most, the longest ones.
const GAPS_MAX: usize = 5;

/// When it is told, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Telling {
    /// Nanoseconds since 1970.
    pub now: i64,
    /// Nothing before it can still come.
    pub watermark: Option<i64>,
    /// Rows at most; of more the middle is left out.
    pub rows_max: usize,
}

/// Everything known about one interaction.
#[derive(Debug, Serialize)]
pub struct Story {
    /// Its id.
    pub correlation_id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Nanoseconds since 1970 of its first moment.
    pub started: i64,
    /// From its first to its last moment.
    pub duration_ms: f64,
    /// Records found.
    pub records: usize,
    /// Spans found.
    pub spans: usize,
    /// Who took part, in the order of their beginnings.
    pub services: Vec<Service>,
    /// Traces that it went over.
    pub traces: Vec<String>,
    /// The first that tells of an error.
    pub first_error: Option<FirstError>,
    /// What is missing.
    pub holes: Vec<Hole>,
    /// Unusually long silences, the longest first.
    pub gaps: Vec<Gap>,
    /// Clocks that were moved so that effects come after causes.
    pub clocks: Vec<Clock>,
    /// Sagas of it.
    pub sagas: Vec<Saga>,
    /// Messages of it.
    pub messages: Vec<Message>,
    /// All of it, in causal order.
    pub rows: Vec<Row>,
    /// Rows that were left out of the middle; [`Row::elided`] says where.
    pub elided: usize,
}

/// One that took part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What it told.
    pub entries: usize,
    /// Of it what tells of errors.
    pub errors: usize,
}

/// Where to look first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FirstError {
    /// From the beginning.
    pub at_ms: f64,
    /// Who told it.
    pub service: String,
    /// What.
    pub message: String,
}

/// A silence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// From the beginning to where it begins.
    pub at_ms: f64,
    /// How long.
    pub gap_ms: f64,
    /// Who told the last thing before it.
    pub after: String,
}

/// A saga as its steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Saga {
    /// Which instance.
    pub id: String,
    /// Which saga.
    pub name: String,
    /// `running`, `compensating`, `completed`, `compensated` or `failed`.
    pub state: &'static str,
    /// By their numbers.
    pub steps: Vec<SagaStep>,
}

/// A step of a saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SagaStep {
    /// From 1.
    pub number: i64,
    /// What it does.
    pub name: String,
    /// `done`, `failed`, `running`, and `undone` or `not undone` if it was to be undone.
    pub state: &'static str,
    /// How often it was tried.
    pub attempts: usize,
    /// Error of the last try that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A message and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// What it is, if that is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// Where it was published to.
    pub destination: String,
    /// From the beginning; `None` where nobody tells.
    pub published_at_ms: Option<f64>,
    /// Consumers with what each did: `processed`, `dead_lettered`, `failed` or `received`, and its attempts.
    pub deliveries: Vec<(String, &'static str, i64)>,
}

/// A record or a span.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// Rows left out here, instead of a row.
    #[serde(skip_serializing_if = "is_zero")]
    pub elided: usize,
    /// From the beginning, by one clock for all.
    pub at_ms: f64,
    /// `log` or `span`.
    pub signal: &'static str,
    /// How deep its span lies below others.
    pub depth: usize,
    /// Who told it.
    pub service: String,
    /// Level of a record.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub level: &'static str,
    /// A record's message, a span's name.
    pub message: String,
    /// The record's event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_name: Option<String>,
    /// A span's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<f64>,
    /// Whether it tells of an error.
    pub error: bool,
    /// Whether it is the first that does.
    pub first_error: bool,
    /// Silence before it, where that is unusually long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_ms: Option<f64>,
    /// 16 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_id: Option<String>,
    /// Everything else.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Story {
    /// Tells what the entries of one correlation say together.
    pub fn of(correlation_id: &str, entries: &[Entry], telling: &Telling) -> Self {
        let as_told = Forest::of(entries, &|index| entries[index].time);
        let events_as_told = told(entries, &|_| 0);
        let mut arrows = arrows_of(entries, &as_told);
        arrows.extend(arrows_told(entries, &events_as_told));
        let first = as_told
            .roots
            .iter()
            .find_map(|root| as_told.nodes[*root].span)
            .or_else(|| (0..entries.len()).min_by_key(|index| entries[*index].time));
        let clocks = Clocks::of(entries, &arrows, first);
        let time = |index: usize| entries[index].time.saturating_add(clocks.offset(index));
        let end = |index: usize| entries[index].end().saturating_add(clocks.offset(index));
        let (forest, told) = match clocks.agree() {
            true => (as_told, events_as_told),
            false => (Forest::of(entries, &time), told(entries, &|index| clocks.offset(index))),
        };
        let things = Things::of(entries, &told);
        let ordered = order(entries, &arrows, &time);
        let started = (0..entries.len()).map(time).min().unwrap_or_default();
        let ended = (0..entries.len()).map(end).max().unwrap_or_default();
        let at_ms = |time: i64| milliseconds(time.saturating_sub(started));
        let door = door(entries, &forest, &told, &things, &time);
        // A span's error shows when it ends: what it was waiting for failed before it.
        let first_error = ordered
            .iter()
            .copied()
            .filter(|index| tells_of_an_error(&entries[*index]))
            .min_by_key(|index| end(*index));
        let gaps = gaps(&ordered, &time, ended.saturating_sub(started));
        let mut depths = vec![0; forest.nodes.len()];
        for (node, depth) in forest.walk() {
            depths[node] = depth;
        }
        let row = |index: usize| {
            let entry = &entries[index];
            let depth = forest.node_of[index].map_or(0, |node| depths[node]);
            Row {
                elided: 0,
                at_ms: at_ms(time(index)),
                signal: if entry.is_span() { "span" } else { "log" },
                depth: if entry.is_span() {
                    depth
                } else {
                    depth + usize::from(forest.node_of[index].is_some())
                },
                service: entry.service.clone(),
                level: entry.severity.level().map_or("", |level| level.name()),
                message: entry.title(),
                event_name: entry.event_name.clone(),
                duration_ms: entry.duration.map(milliseconds),
                error: tells_of_an_error(entry),
                first_error: first_error == Some(index),
                gap_ms: gaps.iter().find(|gap| gap.2 == index).map(|gap| milliseconds(gap.0)),
                span_id: entry.span_id.as_ref().map(SpanId::to_string),
                attributes: entry.attributes.clone(),
            }
        };
        let (kept, elided) = kept(&ordered, telling.rows_max, first_error);
        let rows = kept.into_iter().map(|place| match place {
            Place::Row(index) => row(index),
            Place::Elided(rows) => Row { elided: rows, ..Row::default() },
        });
        let mut traces: Vec<String> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for index in &ordered {
            if let Some(trace) = entries[*index].trace_id.filter(|trace| seen.insert(*trace)) {
                traces.push(trace.to_string());
            }
        }
        let spans = entries.iter().filter(|entry| entry.is_span()).count();
        Self {
            correlation_id: correlation_id.to_owned(),
            outcome: outcome(entries, &things, door.as_ref(), telling),
            started,
            duration_ms: at_ms(ended),
            records: entries.len() - spans,
            spans,
            services: services(entries, &ordered),
            traces,
            first_error: first_error.map(|index| FirstError {
                at_ms: at_ms(end(index)),
                service: entries[index].service.clone(),
                message: entries[index].title(),
            }),
            holes: holes(entries, &forest, &things, telling),
            gaps: gaps
                .iter()
                .map(|(gap, before, _)| Gap {
                    at_ms: at_ms(time(*before)),
                    gap_ms: milliseconds(*gap),
                    after: entries[*before].service.clone(),
                })
                .collect(),
            clocks: clocks.moved.clone(),
            sagas: things.sagas.iter().map(|(id, one)| saga(id, one)).collect(),
            messages: messages(&things, &at_ms),
            rows: rows.collect(),
            elided,
        }
    }
}

fn services(entries: &[Entry], ordered: &[usize]) -> Vec<Service> {
    let mut services: Vec<Service> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for index in ordered {
        let entry = &entries[*index];
        if entry.service.is_empty() {
            continue;
        }
        let place = *places.entry(entry.service.as_str()).or_insert_with(|| {
            services.push(Service { name: entry.service.clone(), entries: 0, errors: 0 });
            services.len() - 1
        });
        services[place].entries += 1;
        services[place].errors += usize::from(tells_of_an_error(entry));
    }
    services
}

/// Silences that are much longer than most, with the entries before and behind them: at least ten times the median, and a
/// fifth of the whole.
fn gaps(ordered: &[usize], time: &dyn Fn(usize) -> i64, whole: i64) -> Vec<(i64, usize, usize)> {
    let mut gaps: Vec<(i64, usize, usize)> = ordered
        .windows(2)
        .map(|pair| (time(pair[1]).saturating_sub(time(pair[0])), pair[0], pair[1]))
        .collect();
    let mut lengths: Vec<i64> = gaps.iter().map(|gap| gap.0).filter(|gap| *gap > 0).collect();
    lengths.sort_unstable();
    let median = lengths.get(lengths.len() / 2).copied().unwrap_or_default();
    let long = GAP_MIN.max(median.saturating_mul(10)).max(whole / 5);
    gaps.retain(|gap| gap.0 >= long);
    gaps.sort_by_key(|gap| std::cmp::Reverse(gap.0));
    gaps.truncate(GAPS_MAX);
    gaps
}

enum Place {
    Row(usize),
    Elided(usize),
}

/// Leaves out the middle, but for the first error.
fn kept(ordered: &[usize], rows_max: usize, first_error: Option<usize>) -> (Vec<Place>, usize) {
    if ordered.len() <= rows_max {
        return (ordered.iter().copied().map(Place::Row).collect(), 0);
    }
    let half = rows_max / 2;
    let middle = half..ordered.len() - half;
    let (mut kept, mut run, mut elided) = (Vec::with_capacity(rows_max + 3), 0, 0);
    for (place, index) in ordered.iter().copied().enumerate() {
        if middle.contains(&place) && first_error != Some(index) {
            (run, elided) = (run + 1, elided + 1);
            continue;
        }
        if run > 0 {
            kept.push(Place::Elided(std::mem::take(&mut run)));
        }
        kept.push(Place::Row(index));
    }
    if run > 0 {
        kept.push(Place::Elided(run));
    }
    (kept, elided)
}

fn saga(id: &str, thing: &SagaThing) -> Saga {
    let state = match &thing.ended {
        Some((saga::COMPLETED, ..)) => saga::STATE_COMPLETED,
        Some((saga::COMPENSATED, ..)) => saga::STATE_COMPENSATED,
        Some(_) => saga::STATE_FAILED,
        None if thing.compensating => saga::STATE_COMPENSATING,
        None => saga::STATE_RUNNING,
    };
    let last_error = |tries: &Tries| {
        tries.values().rev().find_map(|one| one.ended.as_ref().and_then(|end| end.error.clone()))
    };
    let steps = thing.steps.iter().map(|(number, step)| {
        let done = step
            .tries
            .values()
            .any(|one| one.ended.as_ref().is_some_and(|end| end.error.is_none()));
        let undone = step
            .compensation
            .values()
            .any(|one| one.ended.as_ref().is_some_and(|end| end.error.is_none()));
        let failed = step.tries.values().next_back().is_some_and(|one| one.ended.is_some());
        let state = match (step.compensation.is_empty(), undone, done, failed) {
            (false, true, ..) => "undone",
            (false, false, ..) => "not undone",
            (true, _, true, _) => "done",
            (true, _, false, true) => "failed",
            (true, _, false, false) => "running",
        };
        SagaStep {
            number: *number,
            name: step.name.clone(),
            state,
            attempts: step.tries.len(),
            error: last_error(&step.compensation).or_else(|| last_error(&step.tries)),
        }
    });
    Saga { id: id.to_owned(), name: thing.name.clone(), state, steps: steps.collect() }
}

fn messages(things: &Things, at_ms: &dyn Fn(i64) -> f64) -> Vec<Message> {
    let mut messages: Vec<Message> = things
        .messages
        .iter()
        .map(|(id, thing)| Message {
            id: id.clone(),
            what: thing.what.clone(),
            destination: thing.destination.clone(),
            published_at_ms: thing.published.map(|(time, _)| at_ms(time)),
            deliveries: thing
                .deliveries
                .iter()
                .map(|(consumer, one)| {
                    let state = match (one.done, one.dead, one.failed) {
                        (Some(_), ..) => "processed",
                        (None, Some(_), _) => "dead_lettered",
                        (None, None, Some(_)) => "failed",
                        (None, None, None) => "received",
                    };
                    (consumer.clone(), state, one.attempts)
                })
                .collect(),
        })
        .collect();
    // Times that are not known stand behind those that are.
    let key = |message: &Message| message.published_at_ms.unwrap_or(f64::INFINITY);
    messages.sort_by(|a, b| key(a).total_cmp(&key(b)));
    messages
}
