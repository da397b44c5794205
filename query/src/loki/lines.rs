//! Log queries: the newest or the oldest lines of a time that a query keeps.
//!
//! The store gives records newest first. For the oldest ones the time is gone through in growing pieces from its
//! beginning, each of them newest first, of which the oldest lines are kept.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use logql::Labels;
use logql::ast::LogQuery;
use logql::pipeline::{Entry, Kept, Needs, Origin, Outcome, Pipeline};
use ql::Filter;
use record::Signal;
use store::{Allowance, Held, Stopped, View};

use super::answers::Refusal;
use super::push_down::push_down;
use super::record::{Attributes, Lines, Streams};
use crate::batch::Batch;
use crate::error::QueryError;
use crate::memory::Account;
use crate::plan::Plan;
use crate::queries::{Prepared, Queries};
use crate::stages::Flow;

/// The first piece of a time that is gone through from its beginning.
const PIECE_FIRST_NS: i64 = 1_000_000_000;
/// How much longer each next one is, if in the last one was nothing, or something.
const PIECE_GROWS_EMPTY: i64 = 8;
const PIECE_GROWS: i64 = 2;
/// Pieces are not made shorter than this.
const PIECE_SHORTEST_NS: i64 = 1_000_000;
/// What a line takes beside its texts.
const LINE_BYTES: usize = 256;

/// Which lines come first, and are given if there are more than asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// The oldest.
    Forward,
    /// The newest.
    Backward,
}

/// A line that a query keeps.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) timestamp_ns: i64,
    pub(super) text: String,
    /// The labels of its stream, those that came with it, and those that stages made.
    pub(super) stream: Labels,
    pub(super) metadata: Labels,
    pub(super) parsed: Labels,
}

impl Line {
    pub(super) fn new(timestamp_ns: i64, kept: &Kept<'_>) -> Self {
        Self {
            timestamp_ns,
            text: kept.line.to_string(),
            stream: kept.labels.of(Origin::Stream),
            metadata: kept.labels.of(Origin::Metadata),
            parsed: kept.labels.of(Origin::Parsed),
        }
    }

    /// What it takes, written as well.
    pub(super) fn bytes(&self) -> usize {
        let of = |labels: &Labels| -> usize {
            labels.iter().map(|(name, value)| name.len() + value.len() + 48).sum()
        };
        let labels = of(&self.stream) + of(&self.metadata) + of(&self.parsed);
        2 * (LINE_BYTES + self.text.len() + labels)
    }
}

/// What is asked of a log query.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) tenant: &'a str,
    pub(super) query: &'a LogQuery,
    /// From inclusive, until exclusive.
    pub(super) time: Range<i64>,
    pub(super) limit: usize,
    pub(super) direction: Direction,
    /// What else is asked of records.
    pub(super) also: Filter,
}

/// Lines in the order that was asked for.
pub(super) struct Found {
    pub(super) lines: VecDeque<Line>,
    /// Lines that were looked at, and the bytes of their texts.
    pub(super) looked_at: u64,
    pub(super) looked_at_bytes: u64,
    /// Why not everything was looked at.
    pub(super) partial: Option<String>,
    /// What the lines take.
    bytes: usize,
    held: Held,
}

impl Found {
    fn grow(&mut self, bytes: usize) -> Result<(), Stopped> {
        self.bytes += bytes;
        self.held.set(self.bytes)
    }

    /// Never takes more.
    fn shrink(&mut self, line: &Line) {
        self.bytes = self.bytes.saturating_sub(line.bytes());
    }
}

/// Why not all of a time was read.
struct Unread {
    reason: String,
    /// Whether there was too much of it.
    too_much: bool,
}

impl Queries {
    /// Finds lines.
    ///
    /// # Errors
    /// What is wrong with the query, or as a query of ours.
    pub(super) fn loki_lines(
        &self,
        asked: &Asked<'_>,
        account: &Arc<Account>,
    ) -> Result<Found, Refusal> {
        let view = self.store.view();
        let attributes = Attributes::of(&view, asked.tenant, asked.time.clone());
        let pushed = push_down(asked.query, &attributes);
        let reading = Reading {
            queries: self,
            view: &view,
            account,
            asked,
            pipeline: Pipeline::compile(&left_over(asked.query, &pushed.applied))?,
            filter: Filter::and(vec![pushed.filter, asked.also.clone()]),
        };
        let mut found = Found {
            lines: VecDeque::new(),
            looked_at: 0,
            looked_at_bytes: 0,
            partial: None,
            bytes: 0,
            held: Held::nothing(&(Arc::clone(account) as Arc<dyn Allowance>)),
        };
        match asked.direction {
            Direction::Backward => {
                let unread = reading.newest(&mut found)?;
                found.partial = unread.map(|unread| unread.reason);
            }
            Direction::Forward => reading.oldest(&mut found)?,
        }
        Ok(found)
    }
}

/// The stages that the store does not do.
pub(super) fn left_over(query: &LogQuery, applied: &[bool]) -> LogQuery {
    let stages = query.stages.iter().zip(applied).filter(|(_, applied)| !**applied);
    LogQuery {
        matchers: query.matchers.clone(),
        stages: stages.map(|(stage, _)| stage.clone()).collect(),
    }
}

/// All that a line has.
pub(super) const EVERYTHING: Needs = Needs { line: true, time: true, stream: true, labels: None };

/// Sends records through a pipeline, in their order, until there is enough.
pub(super) fn each_kept(
    batch: &Batch,
    pipeline: &Pipeline,
    take: &mut dyn FnMut(i64, &str, Option<Kept<'_>>) -> Flow,
) -> Flow {
    let Batch::Records(records) = batch else { return Flow::More };
    let pieces: Vec<Lines<'_>> =
        records.pieces.iter().map(|piece| Lines::new(piece, &EVERYTHING)).collect();
    let mut streams: Vec<Streams> = pieces.iter().map(|_| Streams::default()).collect();
    for (piece, row) in records.places() {
        let (piece, row) = (piece as usize, row as usize);
        let lines = &pieces[piece];
        let metadata = lines.metadata(row);
        let stream = streams[piece].labels(lines, lines.stream_key(row));
        let (timestamp_ns, line) = (lines.time(row), lines.line(row));
        let kept = match pipeline.apply(&Entry { timestamp_ns, line, stream, metadata: &metadata })
        {
            Outcome::Kept(kept) => Some(kept),
            Outcome::Dropped => None,
        };
        if take(timestamp_ns, line, kept) == Flow::Enough {
            return Flow::Enough;
        }
    }
    Flow::More
}

struct Reading<'r> {
    queries: &'r Queries,
    view: &'r View,
    account: &'r Arc<Account>,
    asked: &'r Asked<'r>,
    pipeline: Pipeline,
    filter: Filter,
}

impl Reading<'_> {
    /// Adds the newest lines of the time, newest first.
    fn newest(&self, found: &mut Found) -> Result<Option<Unread>, Refusal> {
        let limit = self.asked.limit;
        self.read(&self.asked.time, found, &mut |line, found| {
            found.lines.push_back(line);
            if found.lines.len() < limit { Flow::More } else { Flow::Enough }
        })
    }

    /// Reads a time newest first, and gives each line that is kept to `take`.
    fn read(
        &self,
        time: &Range<i64>,
        found: &mut Found,
        take: &mut dyn FnMut(Line, &mut Found) -> Flow,
    ) -> Result<Option<Unread>, Refusal> {
        let plan = Plan::of_filter(self.filter.clone(), Signal::Logs.name());
        let rows_max = self.queries.limits().rows_max;
        // One more than may be, so that it is known whether there are.
        let most = rows_max.saturating_add(1);
        let prepared = Prepared::within(plan, self.asked.tenant, time.clone(), most);
        let mut stopped = None;
        let summary =
            self.queries.run_over(self.view, Arc::clone(self.account), prepared, &mut |batch| {
                each_kept(&batch, &self.pipeline, &mut |timestamp_ns, text, kept| {
                    found.looked_at += 1;
                    found.looked_at_bytes += text.len() as u64;
                    let Some(kept) = kept else { return Flow::More };
                    let line = Line::new(timestamp_ns, &kept);
                    if let Err(reason) = found.grow(line.bytes()) {
                        stopped = Some(reason);
                        return Flow::Enough;
                    }
                    take(line, found)
                })
            })?;
        match stopped {
            Some(stopped) => Err(QueryError::from(stopped).into()),
            None => {
                let too_much = summary.matched > rows_max as u64;
                Ok(summary.reason.map(|reason| Unread { reason, too_much }))
            }
        }
    }

    /// Adds the oldest lines of the time, oldest first.
    fn oldest(&self, found: &mut Found) -> Result<(), Refusal> {
        let Asked { tenant, time, limit, .. } = self.asked;
        let (sources, _) = self.view.sources(tenant, Signal::Logs.name(), time.clone());
        let first = sources.iter().map(|source| source.time_range().0).min();
        let last = sources.iter().map(|source| source.time_range().1).max();
        let Some((first, last)) = first.zip(last) else { return Ok(()) };
        let (mut start, end) = (first.max(time.start), last.saturating_add(1).min(time.end));
        let mut length = PIECE_FIRST_NS;
        while start < end && found.lines.len() < *limit {
            let piece = start..start.saturating_add(length).min(end);
            let wanted = limit - found.lines.len();
            let mut of_piece: VecDeque<Line> = VecDeque::new();
            let unread = self.read(&piece, found, &mut |line, found| {
                of_piece.push_back(line);
                // Newer than enough others.
                if of_piece.len() > wanted
                    && let Some(gone) = of_piece.pop_front()
                {
                    found.shrink(&gone);
                }
                Flow::More
            })?;
            if unread.as_ref().is_some_and(|unread| unread.too_much) && length > PIECE_SHORTEST_NS {
                // What was left out are the oldest.
                of_piece.iter().for_each(|line| found.shrink(line));
                length /= 16;
                continue;
            }
            found.partial = found.partial.take().or(unread.map(|unread| unread.reason));
            let grows = if of_piece.is_empty() { PIECE_GROWS_EMPTY } else { PIECE_GROWS };
            found.lines.extend(of_piece.into_iter().rev());
            (start, length) = (piece.end, length.saturating_mul(grows));
        }
        Ok(())
    }
}
