//! What the clocks of hosts differ by, as far as causes and effects tell.
//!
//! Nothing comes before what led to it, and a call that is waited for ends within its caller. Where the clocks of two
//! hosts say otherwise, the later host's times are moved by the smallest amount that sets its arrows right. Hosts are
//! taken in the order in which arrows reach them from where the story began.

use std::collections::{HashMap, VecDeque};

use serde::Serialize;

use crate::entry::Entry;
use crate::forest::Forest;
use crate::{MILLISECOND, milliseconds};

/// Something that led to something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrow {
    pub(crate) cause: usize,
    pub(crate) effect: usize,
    /// Whether the effect also ends before the cause does.
    pub(crate) within: bool,
}

/// A clock whose times were moved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Clock {
    /// The host, or the service where no host is known.
    pub clock: String,
    /// Added to its times.
    pub moved_ms: f64,
}

/// What is added to the times of each entry.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    offsets: Vec<i64>,
    pub(crate) moved: Vec<Clock>,
}

impl Clocks {
    /// Whether all times are right as they were told.
    pub(crate) fn agree(&self) -> bool {
        self.offsets.iter().all(|offset| *offset == 0)
    }

    pub(crate) fn offset(&self, index: usize) -> i64 {
        self.offsets.get(index).copied().unwrap_or_default()
    }

    /// `first` is the entry that the story begins with: its clock is taken for right.
    pub(crate) fn of(entries: &[Entry], arrows: &[Arrow], first: Option<usize>) -> Self {
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut clock_of = Vec::with_capacity(entries.len());
        for entry in entries {
            let next = numbers.len();
            clock_of.push(*numbers.entry(entry.clock()).or_insert(next));
        }
        let mut between: Vec<Vec<Arrow>> = vec![Vec::new(); numbers.len()];
        for arrow in arrows {
            let (cause, effect) = (clock_of[arrow.cause], clock_of[arrow.effect]);
            if cause != effect {
                between[cause].push(*arrow);
                between[effect].push(*arrow);
            }
        }
        let mut offsets: Vec<Option<i64>> = vec![None; numbers.len()];
        let mut reached = VecDeque::new();
        // From the beginning on; what no arrow joins to it begins anew.
        let firsts = first.into_iter().chain(0..entries.len()).map(|index| clock_of[index]);
        for first in firsts {
            if offsets[first].is_none() {
                offsets[first] = Some(0);
                reached.push_back(first);
            }
            while let Some(clock) = reached.pop_front() {
                for arrow in &between[clock] {
                    let (cause, effect) = (clock_of[arrow.cause], clock_of[arrow.effect]);
                    let next = if cause == clock { effect } else { cause };
                    if offsets[next].is_none() {
                        offsets[next] =
                            Some(smallest(entries, &between[next], &clock_of, &offsets, next));
                        reached.push_back(next);
                    }
                }
            }
        }
        let offset = |clock: usize| offsets[clock].unwrap_or_default();
        let mut moved: Vec<Clock> = numbers
            .iter()
            .filter(|(_, clock)| offset(**clock).abs() >= MILLISECOND)
            .map(|(name, clock)| Clock {
                clock: (*name).to_owned(),
                moved_ms: milliseconds(offset(*clock)),
            })
            .collect();
        moved.sort_by(|a, b| a.clock.cmp(&b.clock));
        Self { offsets: clock_of.into_iter().map(offset).collect(), moved }
    }
}

/// The smallest amount that sets the arrows between `next` and the clocks that are known right.
fn smallest(
    entries: &[Entry],
    arrows: &[Arrow],
    clock_of: &[usize],
    offsets: &[Option<i64>],
    next: usize,
) -> i64 {
    // What is added to `next` must lie between them.
    let (mut least, mut most) = (i64::MIN, i64::MAX);
    for Arrow { cause, effect, within } in arrows {
        let (from, to) = (&entries[*cause], &entries[*effect]);
        match (offsets[clock_of[*cause]], offsets[clock_of[*effect]]) {
            (Some(known), None) if clock_of[*effect] == next => {
                least = least.max(known.saturating_add(from.time).saturating_sub(to.time));
                if *within {
                    most = most.min(known.saturating_add(from.end()).saturating_sub(to.end()));
                }
            }
            (None, Some(known)) if clock_of[*cause] == next => {
                most = most.min(known.saturating_add(to.time).saturating_sub(from.time));
                if *within {
                    least = least.max(known.saturating_add(to.end()).saturating_sub(from.end()));
                }
            }
            _ => {}
        }
    }
    // That effects come after causes is more than that they end in time.
    if least > most {
        return if least == i64::MIN { 0 } else { least };
    }
    0.clamp(least, most)
}

/// The arrows from spans to their children, and to spans that link to them.
pub(crate) fn arrows_of(entries: &[Entry], forest: &Forest) -> Vec<Arrow> {
    let mut arrows = Vec::new();
    let mut by_id = HashMap::new();
    for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.is_span()) {
        if let Some(key) = entry.trace_id.zip(entry.span_id) {
            by_id.entry(key).or_insert(index);
        }
    }
    for node in &forest.nodes {
        let Some(child) = node.span else { continue };
        if let Some(parent) = node.parent.and_then(|parent| forest.nodes[parent].span) {
            // Who sends a message does not wait for it.
            let waits = entries[parent].kind() != "producer" && entries[child].kind() != "consumer";
            let ends = entries[parent].duration.is_some() && entries[child].duration.is_some();
            let fits = entries[child].end() - entries[child].time
                <= entries[parent].end() - entries[parent].time;
            arrows.push(Arrow { cause: parent, effect: child, within: waits && ends && fits });
        }
        for key in entries[child].links() {
            if let Some(from) = by_id.get(&key).filter(|from| **from != child) {
                arrows.push(Arrow { cause: *from, effect: child, within: false });
            }
        }
    }
    arrows
}
