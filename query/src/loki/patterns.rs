//! `patterns`: the templates of messages, each with how many there are at each step, as Logs Drilldown shows them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use ql::{Field, Filter};
use serde::Serialize;
use store::{Allowance, Held};
use templates::{Bounds, Miner};

use super::answers::Refusal;
use super::push_down::of_stream;
use super::record::UNKNOWN_LEVEL;
use super::streams::matchers;
use crate::cell::Cell;
use crate::memory::Account;
use crate::plan::Plan;
use crate::queries::{Prepared, Queries};
use crate::stages::Flow;

/// The newest lines that are looked at.
const LINES_MAX: usize = 100_000;
/// Patterns of an answer, those with the most lines.
const PATTERNS_MAX: usize = 300;
/// What a count of one shape, level and step takes.
const COUNT_BYTES: usize = 96;

/// A template with its counts.
#[derive(Debug, Serialize)]
pub(super) struct PatternSeen {
    pattern: String,
    level: String,
    /// Seconds, and how many lines from then on.
    samples: Vec<(i64, u64)>,
}

impl Queries {
    /// The templates of the newest lines of some streams, the commonest first.
    pub(super) fn loki_patterns(
        &self,
        tenant: &str,
        query: &str,
        time: Range<i64>,
        step_ns: i64,
        account: &Arc<Account>,
    ) -> Result<Vec<PatternSeen>, Refusal> {
        let filter = matchers(query)?.iter().map(of_stream).collect();
        let plan = Plan {
            filter: Filter::and(filter),
            ..Plan::new("* | fields timestamp, level, message")?
        };
        let prepared = Prepared::within(plan, tenant, time, LINES_MAX);
        let view = self.store.view();
        let mut miner = Miner::new(Bounds::default());
        let mut counts: BTreeMap<(u32, String, i64), u64> = BTreeMap::new();
        let mut held = Held::nothing(&(Arc::clone(account) as Arc<dyn Allowance>));
        let mut stopped = None;
        self.run_over(&view, Arc::clone(account), prepared, &mut |batch| {
            let columns = [Field::Timestamp, Field::Severity, Field::Message];
            let [times, levels, messages] = columns.map(|field| batch.column(&field));
            for ((time, level), message) in times.iter().zip(&levels).zip(&messages) {
                let (Cell::Time(time), Cell::Text(message)) = (time, message) else { continue };
                let shape = miner.add(message);
                let level = match level {
                    Cell::Text(level) => level.to_string(),
                    _ => UNKNOWN_LEVEL.to_owned(),
                };
                let step = time.0.div_euclid(step_ns);
                *counts.entry((shape, level, step)).or_default() += 1;
            }
            match held.set(miner.memory_bytes() + counts.len() * COUNT_BYTES) {
                Ok(()) => Flow::More,
                Err(reason) => {
                    stopped = Some(reason);
                    Flow::Enough
                }
            }
        })?;
        if let Some(stopped) = stopped {
            return Err(crate::error::QueryError::from(stopped).into());
        }
        let templates = miner.finish();
        let mut groups: BTreeMap<(u32, String), BTreeMap<i64, u64>> = BTreeMap::new();
        for ((shape, level, step), count) in counts {
            let group = groups.entry((templates.group_of(shape), level)).or_default();
            *group.entry(step).or_default() += count;
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(_, samples)| std::cmp::Reverse(samples.values().sum::<u64>()));
        groups.truncate(PATTERNS_MAX);
        let seconds = |step: i64| step.saturating_mul(step_ns).div_euclid(record::NANOS_PER_SECOND);
        let seen = groups.into_iter().map(|((group, level), samples)| PatternSeen {
            pattern: templates.template(group).replace("<*>", "<_>"),
            level,
            samples: samples.into_iter().map(|(step, count)| (seconds(step), count)).collect(),
        });
        Ok(seen.collect())
    }
}
