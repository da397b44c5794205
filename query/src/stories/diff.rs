//! `/api/v1/diff`: what sets two sets of interactions apart, such as those that failed and those that did not.
//!
//! Every interaction has traits: its services, events, spans, message templates, values of fields with few values, and
//! its outcome. A trait is ranked by how much larger its share is on one side than on the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use story::{Entry, Story};
use templates::{Bounds, Miner};

use super::{Asked, Gathered};
use crate::error::QueryError;
use crate::memory::Account;
use crate::queries::Queries;

/// Interactions of each side that are looked at, the newest.
const INTERACTIONS_MAX: usize = 200;
/// Traits that are told.
const TRAITS_MAX: usize = 30;
/// A field with more values than this, or with one for every second interaction, is an id or a measure, and sets nothing
/// apart.
const VALUES_MAX: usize = 20;
/// Fields with so few values are never taken for ids.
const VALUES_FEW: usize = 4;
/// Longer values are texts.
const VALUE_BYTES_MAX: usize = 80;
/// A smaller difference of shares is chance.
const DIFFERENCE_MIN: f64 = 0.1;

/// What is compared.
#[derive(Debug)]
pub(crate) struct Sides {
    pub(crate) tenant: String,
    pub(crate) query: String,
    pub(crate) other: String,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
}

/// What sets them apart.
#[derive(Debug, Serialize)]
pub(crate) struct Difference {
    complete: bool,
    /// Why not everything was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Whether there are more interactions than were compared, older ones.
    more: bool,
    /// Interactions of the first query.
    interactions: usize,
    /// Interactions of the other one, without those of the first.
    others: usize,
    /// The largest difference first.
    traits: Vec<Trait>,
}

/// Something that an interaction has or has not.
#[derive(Debug, Serialize)]
pub(crate) struct Trait {
    /// `service`, `event`, `span`, `pattern`, `field`, `outcome` or `hole`.
    kind: &'static str,
    what: String,
    /// Interactions of the first query that have it.
    having: usize,
    /// Interactions of the other one that have it.
    others_having: usize,
    /// Share of the first less share of the other, from -1 to 1.
    difference: f64,
}

type Traits = BTreeSet<(&'static str, String)>;

impl Queries {
    /// Ranks what sets two sets of interactions apart.
    ///
    /// # Errors
    /// As a query; when one has stages.
    pub(crate) fn difference(
        &self,
        sides: &Sides,
        account: &Arc<Account>,
    ) -> Result<Difference, QueryError> {
        let ids = |query: &str| {
            let asked = Asked {
                tenant: &sides.tenant,
                query,
                since: sides.since.as_deref(),
                until: sides.until.as_deref(),
            };
            self.correlations(&asked, INTERACTIONS_MAX, account)
        };
        let (of_first, of_other) = (ids(&sides.query)?, ids(&sides.other)?);
        let more = of_first.more || of_other.more;
        let mut reason = of_first.partial.or(of_other.partial);
        let first = of_first.ids;
        let known: BTreeSet<&String> = first.iter().collect();
        let others: Vec<String> =
            of_other.ids.into_iter().filter(|id| !known.contains(id)).collect();
        let mut miner = Miner::new(Bounds::default());
        let mut gathered = Vec::new();
        for id in first.iter().chain(&others) {
            let Gathered { entries, partial, .. } =
                self.correlation_entries(&sides.tenant, id, account)?;
            reason = reason.or(partial);
            let story = Story::of(id, &entries, &self.telling(0));
            let shapes: Vec<u32> = entries
                .iter()
                .filter(|entry| !entry.is_span() && !entry.message.is_empty())
                .map(|entry| miner.add(&entry.message))
                .collect();
            gathered.push((traits(&entries, &story), shapes));
        }
        let templates = miner.finish();
        let all: Vec<Traits> = gathered
            .into_iter()
            .map(|(mut traits, shapes)| {
                traits.extend(shapes.iter().map(|shape| {
                    let template = templates.template(templates.group_of(*shape));
                    ("pattern", template.to_owned())
                }));
                traits
            })
            .collect();
        let (ours, theirs) = all.split_at(first.len());
        Ok(Difference {
            complete: reason.is_none(),
            reason,
            more,
            interactions: ours.len(),
            others: theirs.len(),
            traits: ranked(ours, theirs),
        })
    }
}

/// What one interaction has.
fn traits(entries: &[Entry], story: &Story) -> Traits {
    let mut traits = Traits::new();
    traits.insert(("outcome", story.outcome.state.to_owned()));
    traits.extend(story.holes.iter().map(|hole| ("hole", hole.kind.to_owned())));
    for entry in entries {
        if !entry.service.is_empty() {
            traits.insert(("service", entry.service.clone()));
        }
        if let Some(level) = entry.severity.level() {
            traits.insert(("field", format!("level={}", level.name())));
        }
        match &entry.event_name {
            Some(event) => {
                traits.insert(("event", event.clone()));
            }
            None if entry.is_span() => {
                traits.insert(("span", format!("{} {}", entry.service, entry.message)));
            }
            None => {}
        }
        for (name, value) in &entry.attributes {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) if !value.is_f64() => value.to_string(),
                _ => continue,
            };
            let own = record::span::NAMES.contains(&name.as_str()) && name != record::span::STATUS;
            if text.len() <= VALUE_BYTES_MAX && !(entry.is_span() && own) {
                traits.insert(("field", format!("{name}={text}")));
            }
        }
    }
    traits
}

fn ranked(ours: &[Traits], theirs: &[Traits]) -> Vec<Trait> {
    let mut counts: BTreeMap<&(&'static str, String), (usize, usize)> = BTreeMap::new();
    for one in ours.iter().flatten() {
        counts.entry(one).or_default().0 += 1;
    }
    for one in theirs.iter().flatten() {
        counts.entry(one).or_default().1 += 1;
    }
    // Of each field its values, and how many interactions have each.
    let mut values: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for ((_, what), (having, others)) in counts.iter().filter(|((kind, _), _)| *kind == "field") {
        let (values, interactions) = values.entry(field(what)).or_default();
        (*values, *interactions) = (*values + 1, *interactions + having + others);
    }
    let is_told = |what: &str| {
        let (values, interactions) = values[field(what)];
        values <= VALUES_FEW || (values <= VALUES_MAX && values * 2 <= interactions)
    };
    let share = |having: usize, of: usize| having as f64 / of.max(1) as f64;
    let mut traits: Vec<Trait> = counts
        .iter()
        .filter(|((kind, what), _)| *kind != "field" || is_told(what))
        .map(|((kind, what), (having, others_having))| Trait {
            kind,
            what: what.clone(),
            having: *having,
            others_having: *others_having,
            difference: share(*having, ours.len()) - share(*others_having, theirs.len()),
        })
        .filter(|one| one.difference.abs() >= DIFFERENCE_MIN)
        .collect();
    // Of equal ones what says most stands first: events and patterns before fields.
    let rank = |kind: &str| match kind {
        "outcome" => 0,
        "event" | "pattern" | "hole" => 1,
        "service" | "span" => 2,
        _ => 3,
    };
    traits.sort_by(|a, b| {
        b.difference
            .abs()
            .total_cmp(&a.difference.abs())
            .then_with(|| rank(a.kind).cmp(&rank(b.kind)))
            .then_with(|| a.what.cmp(&b.what))
    });
    traits.truncate(TRAITS_MAX);
    traits
}

/// The field of `field=value`.
fn field(what: &str) -> &str {
    what.split_once('=').map_or(what, |(name, _)| name)
}
