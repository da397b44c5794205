//! Questions about ten times a second while all else goes on, mostly for one correlation id, each answer checked.
//!
//! It has a thread of its own, so that making batches does not count as the server's latency.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tokio::time::MissedTickBehavior;

use super::progress::Progress;
use super::stream::{Complete, Stream};
use crate::queries::{QueryClient, Request};

const INTERVAL: Duration = Duration::from_millis(100);
/// The newest of this many interactions is one that has just ended.
const DRAWS_FOR_NEW: usize = 16;
const NEWEST: u32 = 100;
/// No interaction has more records.
const CORRELATION_LIMIT: u32 = 1_000;
const SERVICES: usize = 10;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Of an interaction that was acknowledged a moment ago.
    CorrelationNew,
    /// Of one of any moment of the run.
    CorrelationOld,
    Count,
    Stats,
    Newest,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::CorrelationNew, Self::CorrelationOld, Self::Count, Self::Stats, Self::Newest];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CorrelationNew => "correlation, just acknowledged, all time",
            Self::CorrelationOld => "correlation, of any moment, all time",
            Self::Count => "count of everything, all time",
            Self::Stats => "p95 of a float by service, last minute",
            Self::Newest => "newest 100 of everything, all time",
        }
    }

    pub(crate) fn is_correlation(self) -> bool {
        matches!(self, Self::CorrelationNew | Self::CorrelationOld)
    }

    fn draw(random: &mut impl Rng) -> Self {
        match random.random_range(0..100) {
            0..45 => Self::CorrelationNew,
            45..90 => Self::CorrelationOld,
            90..94 => Self::Count,
            94..97 => Self::Stats,
            _ => Self::Newest,
        }
    }
}

/// All answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// When, after the beginning, and how long it took.
    pub(crate) answered: BTreeMap<Kind, Vec<(Duration, Duration)>>,
    /// How long those took that got no answer because the server was down or went down.
    pub(crate) met_dead_server: Vec<Duration>,
}

/// Asks on this thread until the run is over.
///
/// # Errors
/// When there is no client.
pub(crate) fn run(
    query: &str,
    seed: u64,
    stream: &Stream,
    progress: &Progress,
) -> anyhow::Result<Asked> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ask_on(query, seed, stream, progress))
}

async fn ask_on(
    query: &str,
    seed: u64,
    stream: &Stream,
    progress: &Progress,
) -> anyhow::Result<Asked> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut asked = Asked::default();
    let mut client = (progress.life(), QueryClient::new(query)?);
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = progress.until_over() => return Ok(asked),
            _ = ticks.tick() => {}
        }
        let life = progress.life();
        // A connection to a life that is over would only count as a dead server once more.
        if life != client.0 {
            client = (life, QueryClient::new(query)?);
        }
        let kind = Kind::draw(&mut random);
        let Some(question) = Question::draw(kind, stream, progress, &mut random) else { continue };
        let begun = Instant::now();
        let answer = client.1.ask(&question.request).await;
        let same_life = life.is_some() && progress.life() == life;
        match answer {
            Ok(answer) => {
                if let Err(fault) = question.check(&answer.rows, progress) {
                    progress.fault(format!("`{}`: {fault:#}", question.request.query));
                }
                let at = begun.duration_since(progress.begun);
                asked.answered.entry(kind).or_default().push((at, answer.elapsed));
            }
            Err(error) if same_life => {
                progress.fault(format!("`{}`: {error:#}", question.request.query));
            }
            Err(_) => asked.met_dead_server.push(begun.elapsed()),
        }
    }
}

/// One question, with what its answer must hold.
struct Question {
    kind: Kind,
    request: Request,
    id: String,
    /// Records of the correlation, or those that were acknowledged when it was asked.
    records: u64,
}

impl Question {
    /// `None` while nothing is acknowledged that could be asked for.
    fn draw(
        kind: Kind,
        stream: &Stream,
        progress: &Progress,
        random: &mut impl Rng,
    ) -> Option<Self> {
        let records = progress.acknowledged_records();
        let acknowledged = progress.acknowledged();
        match kind {
            Kind::CorrelationNew => {
                let drawn =
                    (0..DRAWS_FOR_NEW).filter_map(|_| stream.any_newest(&acknowledged, random));
                let newest = drawn.max_by_key(|complete| stream.ended(*complete))?;
                Some(Self::correlation(kind, stream, newest))
            }
            Kind::CorrelationOld => {
                let newest = stream.any_newest(&acknowledged, random)?;
                Some(Self::correlation(kind, stream, stream.any_round(newest, random)))
            }
            _ if records < u64::from(NEWEST) => None,
            Kind::Count => Some(Self { kind, request: count(), id: String::new(), records }),
            Kind::Newest => {
                let request = over_all_time("*".to_owned(), Some(NEWEST));
                Some(Self { kind, request, id: String::new(), records })
            }
            Kind::Stats => {
                let query = "* | stats count() as n, p95(duration_ms) as p95 by service".to_owned();
                let mut request = over_all_time(query, None);
                request.since = "1m".to_owned();
                Some(Self { kind, request, id: String::new(), records })
            }
        }
    }

    fn correlation(kind: Kind, stream: &Stream, complete: Complete) -> Self {
        let (id, records) = stream.truth(complete);
        let request = correlation(&id);
        Self { kind, request, id, records: records as u64 }
    }

    fn check(&self, rows: &[Value], progress: &Progress) -> anyhow::Result<()> {
        match self.kind {
            Kind::CorrelationNew | Kind::CorrelationOld => {
                check_correlation(rows, &self.id, self.records)
            }
            Kind::Count => {
                let count = count_of(rows)?;
                let sent = progress.sent_records();
                ensure!(
                    (self.records..=sent).contains(&count),
                    "{count} records, of which {} were acknowledged before and {sent} sent",
                    self.records
                );
                Ok(())
            }
            Kind::Stats => {
                let total: u64 = rows.iter().filter_map(|row| row["n"].as_u64()).sum();
                let sent = progress.sent_records();
                ensure!(rows.len() <= SERVICES, "{} rows for {SERVICES} services", rows.len());
                ensure!(total <= sent, "{total} records, and only {sent} were sent");
                Ok(())
            }
            Kind::Newest => {
                ensure!(rows.len() == NEWEST as usize, "{} rows", rows.len());
                let times: Vec<&str> =
                    rows.iter().filter_map(|row| row["timestamp"].as_str()).collect();
                ensure!(times.len() == rows.len(), "a record has no time");
                // Decimals are shortened, so that the texts do not sort as the times do.
                let times: Vec<jiff::Timestamp> =
                    times.into_iter().map(str::parse).collect::<Result<_, _>>()?;
                ensure!(times.is_sorted_by(|a, b| a >= b), "the newest is not first");
                Ok(())
            }
        }
    }
}

/// How many records there are.
pub(crate) fn count() -> Request {
    over_all_time("* | stats count() as n".to_owned(), None)
}

/// The number in an answer to that.
///
/// # Errors
/// When there is none.
pub(crate) fn count_of(rows: &[Value]) -> anyhow::Result<u64> {
    let count = rows.first().and_then(|row| row["n"].as_u64());
    count.with_context(|| format!("no count in {rows:?}"))
}

/// All records of a correlation id.
pub(crate) fn correlation(id: &str) -> Request {
    over_all_time(format!("correlation:{id}"), Some(CORRELATION_LIMIT))
}

/// # Errors
/// When these are not all records of that id, or others.
pub(crate) fn check_correlation(rows: &[Value], id: &str, records: u64) -> anyhow::Result<()> {
    ensure!(rows.len() as u64 == records, "{} rows of {records}", rows.len());
    ensure!(rows.iter().all(|row| row["correlation_id"] == id), "a record of another id");
    Ok(())
}

fn over_all_time(query: String, limit: Option<u32>) -> Request {
    let (since, until) = ("2020-01-01T00:00:00Z".to_owned(), "2100-01-01T00:00:00Z".to_owned());
    Request { query, since, until, limit }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_missing_a_doubled_and_a_foreign_record_are_seen() {
        let row = |id: &str| json!({ "correlation_id": id });
        check_correlation(&[row("a"), row("a")], "a", 2).unwrap();
        assert!(check_correlation(&[row("a")], "a", 2).is_err());
        assert!(check_correlation(&[row("a"), row("a"), row("a")], "a", 2).is_err());
        assert!(check_correlation(&[row("a"), row("b")], "a", 2).is_err());
    }

    #[test]
    fn a_count_lies_between_what_was_acknowledged_before_and_what_is_sent() {
        let progress = Progress::new();
        progress.sending(300);
        let check = |n: u64| {
            let question =
                Question { kind: Kind::Count, request: count(), id: String::new(), records: 200 };
            question.check(&[json!({ "n": n })], &progress).is_ok()
        };
        assert!(check(200) && check(300));
        assert!(!check(199) && !check(301));
    }
}
