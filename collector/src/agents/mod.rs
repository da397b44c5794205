//! The agents that are heard of: the last heartbeat of each, in memory, and the watermark that they make.
//!
//! Bounds: 10,000 agents, beyond them the one heard of least recently goes; a heartbeat takes at most about 8 KiB.
//! An agent counts as alive for 30 s after its heartbeat; six in a row have to fail.
//!
//! An agent's clock may be wrong. A heartbeat says when it was sent by that clock, and its times are shifted by
//! the difference to the time of receipt, so that skew does not move the watermark. The time on the way counts as
//! skew too: the watermark is ahead by it, which is little beside the age of a heartbeat.

mod heartbeat;
mod routes;
mod status;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use record::{NANOS_PER_SECOND, Timestamp};
use store::{AgentAccount, Store};

pub use heartbeat::{Acknowledged, AgentLedger, Heartbeat, Rfc3339};
pub(crate) use routes::{HEARTBEATS_MAX, hear, list};
pub use status::{AgentList, AgentStatus};

/// Agents that are kept; beyond them the one heard of least recently goes.
const AGENTS_MAX: usize = 10_000;
/// An agent not heard of for longer is silent: not judged, and it does not hold up the watermark.
const HEARD_WITHIN_NS: i64 = 30 * NANOS_PER_SECOND;
/// How far the watermark is behind when no agent says better.
const WATERMARK_BEHIND_NS: i64 = 10 * NANOS_PER_SECOND;

/// By tenant and id.
type HeardByAgent = HashMap<(Arc<str>, String), Arc<Heard>>;

/// The agents that are heard of.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    heard: Mutex<HeardByAgent>,
}

/// The last heartbeat of an agent.
#[derive(Debug)]
struct Heard {
    tenant: Arc<str>,
    heartbeat: Heartbeat,
    received_at: Timestamp,
    /// What the store had of it then.
    account: AgentAccount,
    /// Records of its epoch that the store had when the heartbeat before came.
    records_before: u64,
}

/// Figures over the agents that are alive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AgentFigures {
    pub(crate) alive: u64,
    /// Age of the oldest record not acknowledged; 0 if there is none.
    pub(crate) oldest_unshipped_seconds: f64,
}

impl Agents {
    /// Keeps a heartbeat, with what the store has of its agent.
    pub(crate) fn hear(
        &self,
        tenant: Arc<str>,
        heartbeat: Heartbeat,
        received_at: Timestamp,
        account: AgentAccount,
    ) {
        let key = (Arc::clone(&tenant), heartbeat.agent.clone());
        let mut heard = self.locked();
        // A heartbeat that was overtaken by a later one proves nothing about what came in between.
        let before = heard.get(&key).filter(|before| {
            before.heartbeat.epoch == heartbeat.epoch
                && before.heartbeat.sent_at.0 <= heartbeat.sent_at.0
        });
        let records_before = before.map_or(0, |before| before.account.epoch.records_accepted);
        if heard.len() >= AGENTS_MAX && !heard.contains_key(&key) {
            let oldest = heard.iter().min_by_key(|(_, heard)| heard.received_at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                heard.remove(&oldest);
            }
        }
        heard.insert(
            key,
            Arc::new(Heard { tenant, heartbeat, received_at, account, records_before }),
        );
    }

    /// No agent that is alive holds a record older than this; see [`crate::Collector::watermark`].
    /// Over the agents of the tenants that are `seen`.
    pub(crate) fn watermark(&self, now: Timestamp, seen: impl Fn(&str) -> bool) -> Timestamp {
        let heard = self.locked();
        let alive = heard.values().filter(|heard| heard.is_alive(now) && seen(&heard.tenant));
        let held = alive.map(|heard| {
            // What is in the future holds up nothing.
            heard
                .oldest_unshipped()
                .map_or(heard.received_at, |oldest| oldest.min(heard.received_at))
        });
        held.min().unwrap_or(Timestamp(now.0.saturating_sub(WATERMARK_BEHIND_NS)))
    }

    pub(crate) fn figures(&self, now: Timestamp) -> AgentFigures {
        let heard = self.locked();
        let mut figures = AgentFigures { alive: 0, oldest_unshipped_seconds: 0.0 };
        for heard in heard.values().filter(|heard| heard.is_alive(now)) {
            figures.alive += 1;
            if let Some(oldest) = heard.oldest_unshipped() {
                let age = now.0.saturating_sub(oldest.0) as f64 / NANOS_PER_SECOND as f64;
                figures.oldest_unshipped_seconds = figures.oldest_unshipped_seconds.max(age);
            }
        }
        figures
    }

    /// Those of the tenants that are `seen`, by tenant and id, with what the store has of them now.
    pub(crate) fn list(
        &self,
        now: Timestamp,
        store: &Store,
        seen: impl Fn(&str) -> bool,
    ) -> Vec<AgentStatus> {
        let heard = self.locked();
        let all = heard.values().filter(|heard| seen(&heard.tenant));
        let mut all: Vec<Arc<Heard>> = all.cloned().collect();
        drop(heard);
        all.sort_by(|a, b| (&a.tenant, &a.heartbeat.agent).cmp(&(&b.tenant, &b.heartbeat.agent)));
        all.iter().map(|heard| heard.status(now, store)).collect()
    }

    fn locked(&self) -> MutexGuard<'_, HeardByAgent> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn is_alive(&self, now: Timestamp) -> bool {
        now.0.saturating_sub(self.received_at.0) <= HEARD_WITHIN_NS
    }

    /// By how much the agent's clock is ahead of ours, ns.
    fn clock_ahead(&self) -> i64 {
        self.heartbeat.sent_at.0.0.saturating_sub(self.received_at.0)
    }

    /// By our clock.
    fn oldest_unshipped(&self) -> Option<Timestamp> {
        let oldest = self.heartbeat.oldest_unshipped?;
        Some(Timestamp(oldest.0.0.saturating_sub(self.clock_ahead())))
    }

    fn status(&self, now: Timestamp, store: &Store) -> AgentStatus {
        const NANOS_PER_MS: i64 = 1_000_000;
        let Heartbeat { agent, epoch, .. } = &self.heartbeat;
        let silent = !self.is_alive(now);
        let stored = self.account.epoch;
        // What is retired cannot be compared, nor what another store has; an agent's own counts still can.
        let by = self.heartbeat.acknowledged_in_epoch.store.as_ref();
        let elsewhere = by.is_some_and(|by| *by != store.identity().0);
        let (then, before) = match self.account.retired || elsewhere {
            true => (self.heartbeat.acknowledged_in_epoch.records, 0),
            false => (stored.records_accepted, self.records_before),
        };
        let faults =
            if silent { Vec::new() } else { status::faults(&self.heartbeat, then, before) };
        AgentStatus {
            tenant: self.tenant.to_string(),
            heartbeat: self.heartbeat.clone(),
            heard_ago_ms: (now.0.saturating_sub(self.received_at.0) / NANOS_PER_MS).max(0) as u64,
            silent,
            clock_ahead_ms: self.clock_ahead() / NANOS_PER_MS,
            store: store.agent_account(&self.tenant, agent, epoch).epoch,
            store_at_heartbeat: stored,
            records_before_heartbeat: self.records_before,
            store_all_epochs: self.account.all_epochs,
            epoch_retired: self.account.retired,
            faults: faults.iter().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use store::{SenderAccount, StoreOptions};

    use super::*;

    const SECOND: i64 = NANOS_PER_SECOND;
    const NOW: Timestamp = Timestamp(1_700_000_000 * SECOND);

    fn seconds_ago(seconds: i64) -> Timestamp {
        Timestamp(NOW.0 - seconds * SECOND)
    }

    /// A heartbeat that was sent when it was received, by a clock that is ahead.
    fn hear(agents: &Agents, agent: &str, received: i64, ahead: i64, oldest: Option<i64>) {
        let by_its_clock = |ago: i64| Rfc3339(Timestamp(seconds_ago(ago).0 + ahead * SECOND));
        let mut heartbeat: Heartbeat =
            serde_json::from_value(heartbeat::tests::heartbeat()).unwrap();
        heartbeat.agent = agent.to_owned();
        heartbeat.sent_at = by_its_clock(received);
        heartbeat.oldest_unshipped = oldest.map(by_its_clock);
        agents.hear("default".into(), heartbeat, seconds_ago(received), stored(60));
    }

    fn stored(records_accepted: u64) -> AgentAccount {
        let epoch = SenderAccount { records_accepted, ..SenderAccount::default() };
        AgentAccount { epoch, ..AgentAccount::default() }
    }

    #[test]
    fn the_watermark_is_the_oldest_that_an_agent_alive_still_holds() {
        let agents = Agents::default();
        assert_eq!(agents.watermark(NOW, |_| true), seconds_ago(10), "nobody says better");
        hear(&agents, "idle", 3, 0, None);
        assert_eq!(agents.watermark(NOW, |_| true), seconds_ago(3));
        hear(&agents, "busy", 1, 0, Some(7));
        hear(&agents, "early", 1, 0, Some(-100));
        assert_eq!(agents.watermark(NOW, |_| true), seconds_ago(7));
        hear(&agents, "gone", 31, 0, Some(400));
        assert_eq!(agents.watermark(NOW, |_| true), seconds_ago(7));
        hear(&agents, "nearly", 30, 0, Some(40));
        assert_eq!(agents.watermark(NOW, |_| true), seconds_ago(40));
        let figures = agents.figures(NOW);
        assert_eq!((figures.alive, figures.oldest_unshipped_seconds), (4, 40.0));
    }

    #[test]
    fn agents_of_tenants_that_are_not_seen_are_neither_listed_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
        let agents = Agents::default();
        hear(&agents, "busy", 1, 0, Some(7));
        for (tenant, listed, watermark) in [("default", 1, 7), ("other", 0, 10)] {
            let seen = |of: &str| of == tenant;
            assert_eq!(agents.list(NOW, &store, seen).len(), listed, "{tenant}");
            assert_eq!(agents.watermark(NOW, seen), seconds_ago(watermark), "{tenant}");
        }
    }

    #[test]
    fn a_wrong_clock_does_not_move_the_watermark() {
        for ahead in [-86_400, -1, 1, 86_400] {
            let agents = Agents::default();
            hear(&agents, "skewed", 1, ahead, Some(7));
            assert_eq!(agents.watermark(NOW, |_| true), seconds_ago(7), "{ahead}");
            hear(&agents, "skewed", 2, ahead, None);
            assert_eq!(agents.watermark(NOW, |_| true), seconds_ago(2), "{ahead}");
        }
        let agents = Agents::default();
        let mut heartbeat: Heartbeat =
            serde_json::from_value(heartbeat::tests::heartbeat()).unwrap();
        heartbeat.sent_at = Rfc3339(Timestamp(i64::MIN));
        heartbeat.oldest_unshipped = Some(Rfc3339(Timestamp(i64::MAX)));
        agents.hear("default".into(), heartbeat, NOW, stored(60));
        assert_eq!(agents.watermark(NOW, |_| true), NOW, "nor does an absurd one");
    }

    #[test]
    fn agents_are_bounded_and_the_one_heard_of_least_recently_goes() {
        let agents = Agents::default();
        for number in 0..=AGENTS_MAX as i64 {
            hear(&agents, &format!("a{number}"), 20_000 - number, 0, None);
            // The first one beats on.
            hear(&agents, "a0", 20_000 - number, 0, None);
        }
        let heard = agents.locked();
        let there = |agent: &str| heard.contains_key(&(Arc::from("default"), agent.to_owned()));
        assert_eq!(heard.len(), AGENTS_MAX);
        assert!(there("a0") && !there("a1") && there("a2"));
    }

    #[test]
    fn a_surplus_is_judged_by_what_the_store_had_when_the_heartbeat_before_came() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
        let agents = Agents::default();
        // 60 records are acknowledged, 20 spooled.
        let beat = |change: &dyn Fn(&mut Heartbeat), stored_now: AgentAccount| {
            let mut heartbeat: Heartbeat =
                serde_json::from_value(heartbeat::tests::heartbeat()).unwrap();
            change(&mut heartbeat);
            agents.hear("default".into(), heartbeat, NOW, stored_now);
            agents.list(NOW, &store, |_| true).remove(0)
        };
        assert!(beat(&|_| {}, stored(500)).faults.is_empty(), "accepted while it travelled");
        let late = beat(&|heartbeat| heartbeat.sent_at.0.0 -= 1, stored(500));
        assert!(late.faults.is_empty(), "overtaken");
        assert!(beat(&|heartbeat| heartbeat.epoch = "f".into(), stored(500)).faults.is_empty());
        let twice = beat(&|heartbeat| heartbeat.epoch = "f".into(), stored(500)).faults;
        assert!(twice[0].contains("420 records are there too often"), "{twice:?}");
        let lost = beat(&|heartbeat| heartbeat.epoch = "f".into(), stored(59)).faults;
        assert!(lost[0].contains("1 records are LOST"), "{lost:?}");
        let retired = beat(&|_| {}, AgentAccount { retired: true, ..stored(0) });
        assert!(retired.epoch_retired && retired.faults.is_empty(), "not known is not lost");
        let later = Timestamp(NOW.0 + HEARD_WITHIN_NS + SECOND);
        beat(&|_| {}, stored(0));
        let silent = agents.list(later, &store, |_| true).remove(0);
        assert!(silent.silent && silent.faults.is_empty() && silent.heard_ago_ms == 31_000);
    }
}
