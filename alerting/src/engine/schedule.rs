//! Which rule is judged when, and what comes of it.
//!
//! A moment is judged by one worker at a time, on what the rule remembers; what it gives is stored before it is shown.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use record::Timestamp;

use super::{Engine, LOOK_EVERY};
use crate::find::{filter_of, find, nanos};
use crate::incident::{Incident, fingerprint};
use crate::judge::{Alert, State};
use crate::rules::{Rule, Rules};
use crate::state::{RuleState, StateError};

/// How far back missed moments are judged, ns.
const CATCH_UP: i64 = 3_600 * crate::SECOND;
/// Groups of rules come apart by up to this part of their interval, a second at most.
const JITTER_PART: i64 = 10;
/// Records that an alert carries.
const RECORDS: usize = 5;

#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// Grows with each reload.
    pub(super) generation: u64,
    pub(super) entries: Vec<Entry>,
    /// When something was told to look at.
    pub(super) has_news: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    key: String,
    group: String,
    rule: Arc<Rule>,
    interval: i64,
    jitter: i64,
    /// The next moment.
    next: i64,
    busy: bool,
    pub(super) state: RuleState,
    last: Option<Judged>,
}

impl Entry {
    /// Whether the last moment could not be judged, or not be stored.
    pub(super) fn is_failing(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.error.is_some())
    }
}

/// The last time that a rule was judged.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) at: i64,
    pub(crate) took: Duration,
    pub(crate) error: Option<String>,
}

/// A rule as it stands.
#[derive(Clone, Debug)]
pub(crate) struct RuleView {
    pub(crate) group: String,
    pub(crate) interval: i64,
    pub(crate) rule: Arc<Rule>,
    pub(crate) alerts: Vec<Alert>,
    pub(crate) last: Option<Judged>,
}

/// Alerts that began to fire or were over at a moment.
#[derive(Debug, Default)]
struct Changes {
    begun: Vec<Incident>,
    /// Fingerprints.
    ended: Vec<(String, i64)>,
}

impl Engine {
    /// Rules go on where they were left; those that are gone are over.
    pub(super) fn take_over(&self, rules: &Rules) -> Result<usize, StateError> {
        let now = Timestamp::now().0;
        let mut entries: Vec<Entry> = Vec::new();
        for group in &rules.groups {
            let interval = nanos(group.interval).max(1);
            let jitter = jitter(&group.name, interval);
            for rule in &group.rules {
                let alike = entries
                    .iter()
                    .filter(|it| it.group == group.name && it.rule.alert == rule.alert)
                    .count();
                let key = format!("{}/{}/{alike}", group.name, rule.alert);
                entries.push(Entry {
                    key,
                    group: group.name.clone(),
                    rule: Arc::new(rule.clone()),
                    interval,
                    jitter,
                    next: after(now, interval),
                    busy: false,
                    state: RuleState::default(),
                    last: None,
                });
            }
        }
        let _storing = self.storing();
        let keys: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        self.book.keep_rules(&keys, now)?;
        for entry in &mut entries {
            match self.book.rule(&entry.key)? {
                Some((at, state)) => {
                    entry.next = next_after(at, entry.interval, now);
                    entry.state = state;
                }
                // From here on no moment is left out, also if the process ends before the first one is judged.
                None => {
                    let before = entry.next.saturating_sub(entry.interval);
                    self.book.judged(&entry.key, before, &entry.state, &[], &[])?;
                }
            }
        }
        let count = entries.len();
        let mut schedule = self.schedule();
        for entry in &mut entries {
            let before = schedule.entries.iter().find(|before| before.key == entry.key);
            entry.last = before.and_then(|before| before.last.clone());
        }
        schedule.generation += 1;
        schedule.entries = entries;
        schedule.has_news = true;
        self.figures.rules.set(count as i64);
        self.wake.notify_all();
        self.news.notify_all();
        Ok(count)
    }

    /// All rules as they stand.
    pub(crate) fn rules(&self) -> Vec<RuleView> {
        let view = |entry: &Entry| RuleView {
            group: entry.group.clone(),
            interval: entry.interval,
            rule: Arc::clone(&entry.rule),
            alerts: entry.state.judge.alerts().cloned().collect(),
            last: entry.last.clone(),
        };
        self.schedule().entries.iter().map(view).collect()
    }

    pub(super) fn judge_until_stopped(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let Some((generation, index, mut entry)) = self.take_due() else { continue };
            let began = Instant::now();
            let judged = self.judge(&mut entry);
            self.figures.seconds.observe(began.elapsed().as_secs_f64());
            let outcome = if judged.is_ok() { "ok" } else { "failed" };
            self.figures.evaluations.with_label_values(&[outcome]).inc();
            self.put_back(generation, index, &entry, judged, began.elapsed());
        }
    }

    /// The rule whose moment is the oldest of those that may be judged now; waits for one.
    fn take_due(&self) -> Option<(u64, usize, Entry)> {
        let now = Timestamp::now().0;
        let complete = (self.parts.watermark)(now);
        let mut schedule = self.schedule();
        let max_delay = nanos(self.options.max_delay);
        for entry in schedule.entries.iter_mut().filter(|entry| !entry.busy) {
            // The clock was set back.
            if entry.next > now.saturating_add(entry.interval.saturating_mul(2)) {
                entry.next = after(now, entry.interval);
            }
        }
        let due = |entry: &Entry| {
            let moment = entry.next;
            !entry.busy
                && now >= moment.saturating_add(entry.jitter)
                && (complete >= moment || now >= moment.saturating_add(max_delay))
        };
        let found = schedule
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| due(entry))
            .min_by_key(|(_, entry)| entry.next)
            .map(|(index, _)| index);
        let Some(index) = found else {
            let waited = self.wake.wait_timeout(schedule, LOOK_EVERY);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            return None;
        };
        let generation = schedule.generation;
        let entry = &mut schedule.entries[index];
        entry.busy = true;
        self.figures.lag.observe((now.saturating_sub(entry.next)) as f64 / 1e9);
        Some((generation, index, entry.clone()))
    }

    /// Judges a rule at its moment, on what it remembers, which is taken; nothing of the schedule is changed yet.
    fn judge(&self, entry: &mut Entry) -> Result<(RuleState, Changes), String> {
        let mut state = std::mem::take(&mut entry.state);
        let (rule, at) = (&entry.rule, entry.next);
        let runner = &*self.parts.runner;
        let found = find(rule, at, &mut state.memory, runner).map_err(|error| error.to_string())?;
        let mut changes = Changes::default();
        for transition in state.judge.step(rule, at, found) {
            let alert = &transition.alert;
            match alert.state {
                State::Resolved => changes.ended.push((fingerprint(&alert.labels), at)),
                _ => {
                    let from = at.saturating_sub(nanos(rule.window));
                    let query =
                        format!("{} | sort timestamp | head {RECORDS}", filter_of(&alert.filter));
                    // Without them it is told nevertheless.
                    let records = runner.run(&query, from, at, RECORDS);
                    let records = records.map(|answer| answer.rows).unwrap_or_default();
                    let link = &self.parts.link;
                    changes.begun.push(Incident::begun(&entry.key, rule, alert, records, link));
                }
            }
        }
        Ok((state, changes))
    }

    /// Stores what was judged, if the rules are still the same, and goes on to the next moment.
    fn put_back(
        &self,
        generation: u64,
        index: usize,
        of: &Entry,
        judged: Result<(RuleState, Changes), String>,
        took: Duration,
    ) {
        let storing = self.storing();
        if self.schedule().generation != generation {
            return;
        }
        let (mut error, mut state) = (None, None);
        let (mut is_stored, mut has_news) = (true, false);
        match judged {
            Ok((new, Changes { begun, ended })) => {
                match self.book.judged(&of.key, of.next, &new, &begun, &ended) {
                    Ok(()) => {
                        has_news = !begun.is_empty() || !ended.is_empty();
                        state = Some(new);
                    }
                    Err(failed) => (error, is_stored) = (Some(failed.to_string()), false),
                }
                self.show(error.as_ref());
            }
            Err(failed) => {
                tracing::warn!(rule = of.key, error = failed, "a rule could not be judged");
                error = Some(failed);
            }
        }
        let mut schedule = self.schedule();
        schedule.has_news |= has_news;
        let entry = &mut schedule.entries[index];
        entry.busy = false;
        entry.last = Some(Judged { at: of.next, took, error });
        if let Some(state) = state {
            entry.state = state;
        }
        // What could not be stored is judged again; where a query failed, the moment says nothing.
        if is_stored {
            entry.next = next_after(of.next, entry.interval, Timestamp::now().0);
        }
        drop((schedule, storing));
        if has_news {
            self.news.notify_all();
        }
        if !is_stored {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// The first moment after a time.
fn after(time: i64, interval: i64) -> i64 {
    time.div_euclid(interval).saturating_add(1).saturating_mul(interval)
}

/// The moment after the one that was judged, an hour back at most.
fn next_after(judged: i64, interval: i64, now: i64) -> i64 {
    after(judged, interval).max(after(now.saturating_sub(CATCH_UP), interval))
}

/// How long a group waits after its moments, the same for ever.
fn jitter(group: &str, interval: i64) -> i64 {
    let most = (interval / JITTER_PART).clamp(1, crate::SECOND);
    let hash = group.bytes().fold(7_i64, |hash, byte| hash.wrapping_mul(31) ^ i64::from(byte));
    hash.rem_euclid(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = crate::SECOND;

    #[test]
    fn moments_are_whole_intervals_and_missed_ones_are_judged_up_to_an_hour_back() {
        assert_eq!(after(0, 15 * S), 15 * S);
        assert_eq!(after(15 * S, 15 * S), 30 * S);
        assert_eq!(after(-1, 15 * S), 0);
        let now = 100_000 * S;
        assert_eq!(next_after(99_990 * S, 15 * S, now), 100_005 * S);
        assert_eq!(next_after(99_000 * S, 15 * S, now), 99_015 * S, "missed");
        assert_eq!(next_after(0, 15 * S, now), after(now - CATCH_UP, 15 * S), "long ago");
    }

    #[test]
    fn groups_come_apart_by_less_than_a_second() {
        for interval in [S, 15 * S, 3_600 * S] {
            let all: Vec<i64> = ["a", "b", "shop"].map(|name| jitter(name, interval)).into();
            assert!(all.iter().all(|it| (0..S.min(interval / 10)).contains(it)), "{all:?}");
            assert_ne!(all[0], all[1]);
        }
    }
}
