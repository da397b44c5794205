//! What is not told of now: alerts that are silenced, and those that another alert explains (inhibition).
//!
//! It is held back that such an alert fires; that it is over is told to who was told that it fires.

use std::collections::BTreeMap;

use crate::incident::{Incident, named};
use crate::silence::{Compiled, Conditions};
use crate::state::{Book, StateError, Tellable};

/// While an alert that `source` matches fires, nobody is told of those that `target` matches and that have the same values of the
/// labels `equal`. An alert never holds back itself.
#[derive(Clone, Debug)]
pub(crate) struct Inhibition {
    pub(crate) source: Conditions,
    pub(crate) target: Conditions,
    pub(crate) equal: Vec<String>,
}

/// What is muted at a moment.
pub(crate) struct Mutes<'a> {
    silences: Vec<Compiled>,
    inhibitions: &'a [Inhibition],
    /// Labels of the alerts that fire and are a source, with the inhibition that they are of.
    sources: Vec<(usize, BTreeMap<String, String>)>,
    now: i64,
}

/// What to do with an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Tell,
    /// Not now.
    Hold,
    /// It is over, and nobody was told that it fired.
    PassOver,
}

impl<'a> Mutes<'a> {
    pub(crate) fn now(
        book: &Book,
        inhibitions: &'a [Inhibition],
        all: &[Tellable],
        now: i64,
    ) -> Result<Self, StateError> {
        let silences = Compiled::all(book.silences(now)?, now);
        let mut sources = Vec::new();
        for one in all.iter().filter(|one| one.incident.resolved_at.is_none()) {
            let labels = named(&one.incident.labels);
            for (index, inhibition) in inhibitions.iter().enumerate() {
                if inhibition.source.match_all(&labels) {
                    sources.push((index, labels.clone()));
                }
            }
        }
        Ok(Self { silences, inhibitions, sources, now })
    }

    pub(crate) fn verdict(&self, one: &Tellable) -> Verdict {
        match (one.told, one.incident.resolved_at) {
            (Some(_), Some(_)) => Verdict::Tell,
            _ if !self.mutes(&one.incident) => Verdict::Tell,
            (None, Some(_)) => Verdict::PassOver,
            _ => Verdict::Hold,
        }
    }

    fn mutes(&self, incident: &Incident) -> bool {
        let labels = named(&incident.labels);
        self.silences.iter().any(|silence| silence.silences(&labels, self.now))
            || self.sources.iter().any(|(index, source)| {
                let Inhibition { target, equal, .. } = &self.inhibitions[*index];
                *source != labels
                    && target.match_all(&labels)
                    && equal.iter().all(|name| source.get(name) == labels.get(name))
            })
    }
}
