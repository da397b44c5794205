//! Which named batches were accepted: the other half of "nothing is doubled".
//!
//! Per (tenant, agent, epoch) it keeps the first sequence number not yet accepted, the accepted ones above
//! it, checksums of the last [`CHECKSUMS_KEPT`](crate::sender::CHECKSUMS_KEPT) batches, and what was accepted
//! in all. A batch seen before with the same bytes is a duplicate; with other bytes, or too old to compare, it
//! is a conflict. Only a batch that is accepted changes anything, so the journal makes the same state again.
//! It is written in the catalog transaction of each flush; between flushes the journal has it.
//!
//! Nothing grows without bound. Of an agent [`EPOCHS_MAX`] epochs are kept, of all agents [`SENDERS_MAX`], and
//! none that was not heard of for 30 days; the one heard of least recently goes. A sender that went is retired: its
//! sums are added to its agent's, and its name is remembered, so that whatever still comes from it is a
//! conflict. Retired names are forgotten after [`RETIRED_MAX`](crate::sender::RETIRED_MAX) others of the same
//! agent, or with the agent's last epoch: from there on its batches would be taken for new ones.

use std::collections::{BTreeSet, HashMap};

use record::{NANOS_PER_SECOND, Timestamp};
use wire::BatchName;

use crate::error::{Result, StoreError};
use crate::sender::{
    Agent, AgentState, Claim, Forgotten, Sender, SenderAccount, SenderChange, SenderState, Standing,
};

/// Epochs of an agent that are kept in detail.
pub(crate) const EPOCHS_MAX: usize = 64;
/// Senders that are kept in detail.
pub(crate) const SENDERS_MAX: usize = 100_000;
/// A sender not heard of for this long is not kept.
const FORGET_AFTER_NS: i64 = 30 * record::NANOS_PER_DAY;
/// How exactly it is remembered when a sender was heard of that sends nothing.
const HEARD_STEP_NS: i64 = 3_600 * NANOS_PER_SECOND;

/// What becomes of a batch that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// It was accepted before.
    pub(crate) duplicate: bool,
    /// Batches before it that its sender calls settled and that were never seen here.
    pub(crate) lost_batches: u64,
}

/// What was accepted from one agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentAccount {
    /// From the epoch that was asked for; zeros when it is not known.
    pub epoch: SenderAccount,
    /// The epoch is no longer kept in detail, so that what was accepted from it is not known.
    pub retired: bool,
    /// From all its epochs.
    pub all_epochs: SenderAccount,
}

/// All senders.
#[derive(Debug, Default)]
pub(crate) struct Dedup {
    senders: HashMap<Sender, SenderState>,
    /// The epochs in `senders`, by their agents.
    epochs: HashMap<Agent, Vec<String>>,
    /// Agents with retired epochs; each has one in `epochs` too.
    agents: HashMap<Agent, AgentState>,
    forgotten: Forgotten,
    /// Changed since the last [`Dedup::take_changed`].
    changed: BTreeSet<Sender>,
    changed_agents: BTreeSet<Agent>,
    /// Agents that may have too many epochs.
    grown: BTreeSet<Agent>,
}

/// Checksum of a batch's bytes as they were received.
pub(crate) fn checksum(payload: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(payload)
}

impl Dedup {
    pub(crate) fn restore(
        senders: impl IntoIterator<Item = (Sender, SenderState)>,
        agents: impl IntoIterator<Item = (Agent, AgentState)>,
        forgotten: Forgotten,
    ) -> Self {
        let mut dedup = Self { agents: agents.into_iter().collect(), forgotten, ..Self::default() };
        for (sender, state) in senders {
            dedup.add(sender, state);
        }
        dedup
    }

    pub(crate) fn state(&self, sender: &Sender) -> Option<&SenderState> {
        self.senders.get(sender)
    }

    /// Senders kept in detail.
    pub(crate) fn len(&self) -> usize {
        self.senders.len()
    }

    /// Senders that are not kept in detail any more.
    pub(crate) fn senders_forgotten(&self) -> u64 {
        self.forgotten.senders + self.agents.values().map(|agent| agent.epochs).sum::<u64>()
    }

    /// The sums over everybody.
    pub(crate) fn account(&self) -> SenderAccount {
        let mut account = self.forgotten.account;
        self.agents.values().for_each(|agent| account.add(agent.account));
        self.senders.values().for_each(|state| account.add(state.account()));
        account
    }

    /// The account of an agent.
    pub(crate) fn agent_account(&self, sender: &Sender) -> AgentAccount {
        let agent = sender.of_agent();
        let mut account = AgentAccount::default();
        if let Some(state) = self.agents.get(&agent) {
            account.retired = state.has_retired(&sender.epoch);
            account.all_epochs = state.account;
        }
        for epoch in self.epochs.get(&agent).into_iter().flatten() {
            let other = Sender { epoch: epoch.clone(), ..sender.clone() };
            if let Some(state) = self.senders.get(&other) {
                account.all_epochs.add(state.account());
            }
        }
        if let Some(state) = self.senders.get(sender) {
            account.epoch = state.account();
        }
        account
    }

    /// Keeps a sender that sends nothing from being taken for one that is gone.
    pub(crate) fn heard_of(&mut self, sender: &Sender, at: Timestamp) {
        let Some(state) = self.senders.get_mut(sender) else { return };
        if state.last_received_at < at.0.saturating_sub(HEARD_STEP_NS) {
            state.last_received_at = at.0;
            self.changed.insert(sender.clone());
        }
    }

    /// Puts a state back, after a group that could not be written.
    pub(crate) fn put_back(&mut self, sender: Sender, state: Option<SenderState>) {
        self.remove(&sender);
        if let Some(state) = state {
            self.add(sender, state);
        }
    }

    /// Checks a batch and, if it is new, marks it accepted.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::TooFarAhead`].
    pub(crate) fn accept(
        &mut self,
        sender: &Sender,
        name: &BatchName,
        checksum: u64,
        records: u32,
        received_at: Timestamp,
    ) -> Result<Verdict> {
        let batch = claim(name, checksum, records);
        let conflict = |detail| StoreError::Conflict {
            agent: sender.agent.clone(),
            sequence: name.sequence,
            detail,
        };
        if let Some(state) = self.senders.get_mut(sender) {
            state.last_received_at = state.last_received_at.max(received_at.0);
            self.changed.insert(sender.clone());
            match state.standing(batch) {
                Standing::New => {}
                Standing::Duplicate => {
                    let lost_batches = state.lost_before(batch.sequence);
                    return Ok(Verdict { duplicate: true, lost_batches });
                }
                Standing::OtherContent => {
                    return Err(conflict("it was accepted before with other content"));
                }
                Standing::TooOldToCompare => {
                    return Err(conflict("it is older than what can still be compared"));
                }
                Standing::TooFarAhead => {
                    return Err(StoreError::TooFarAhead {
                        agent: sender.agent.clone(),
                        sequence: name.sequence,
                    });
                }
            }
        } else if self.is_retired(sender) {
            return Err(conflict("its epoch is older than what can still be compared"));
        }
        let lost_batches = self.enter(sender, batch, received_at);
        Ok(Verdict { duplicate: false, lost_batches })
    }

    /// Marks a batch accepted that the journal has: it was checked once, and is not judged again.
    pub(crate) fn accept_again(
        &mut self,
        sender: &Sender,
        name: &BatchName,
        checksum: u64,
        records: u32,
        received_at: Timestamp,
    ) {
        self.enter(sender, claim(name, checksum, records), received_at);
    }

    /// Retires those above the bounds. Not between entries of the journal: a later one may be of a sender that
    /// would go.
    pub(crate) fn keep_bounds(&mut self) {
        for agent in std::mem::take(&mut self.grown) {
            let Agent { tenant, agent: id } = &agent;
            let epochs = self.epochs.get(&agent).into_iter().flatten();
            let senders: Vec<Sender> = epochs
                .map(|epoch| Sender {
                    tenant: tenant.clone(),
                    agent: id.clone(),
                    epoch: epoch.clone(),
                })
                .collect();
            let of_agent = senders.iter().filter_map(|sender| self.senders.get_key_value(sender));
            self.retire(least_recent(of_agent, EPOCHS_MAX));
        }
        if self.senders.len() > SENDERS_MAX {
            self.retire(least_recent(&self.senders, SENDERS_MAX));
        }
    }

    /// Retires who was not heard of for long. As little between entries of the journal.
    pub(crate) fn forget_old(&mut self, now: Timestamp) {
        let since = now.0.saturating_sub(FORGET_AFTER_NS);
        let old = self.senders.iter().filter(|(_, state)| state.last_received_at < since);
        self.retire(old.map(|(sender, _)| sender.clone()).collect());
    }

    /// What changed since the last call.
    pub(crate) fn take_changed(&mut self) -> SenderChange {
        let senders = std::mem::take(&mut self.changed).into_iter();
        let agents = std::mem::take(&mut self.changed_agents).into_iter();
        SenderChange {
            senders: senders
                .map(|sender| (sender.clone(), self.senders.get(&sender).cloned()))
                .collect(),
            agents: agents.map(|agent| (agent.clone(), self.agents.get(&agent).cloned())).collect(),
            forgotten: self.forgotten,
        }
    }

    fn is_retired(&self, sender: &Sender) -> bool {
        // Most agents never had an epoch retired, and then their names need not be put together.
        !self.agents.is_empty()
            && self
                .agents
                .get(&sender.of_agent())
                .is_some_and(|agent| agent.has_retired(&sender.epoch))
    }

    fn enter(&mut self, sender: &Sender, batch: Claim, received_at: Timestamp) -> u64 {
        if !self.senders.contains_key(sender) {
            self.add(sender.clone(), SenderState::default());
        }
        let Some(state) = self.senders.get_mut(sender) else { return 0 };
        state.last_received_at = state.last_received_at.max(received_at.0);
        self.changed.insert(sender.clone());
        state.enter(batch)
    }

    fn add(&mut self, sender: Sender, state: SenderState) {
        let agent = sender.of_agent();
        let epochs = self.epochs.entry(agent.clone()).or_default();
        epochs.push(sender.epoch.clone());
        if epochs.len() > EPOCHS_MAX {
            self.grown.insert(agent);
        }
        self.senders.insert(sender, state);
    }

    fn remove(&mut self, sender: &Sender) -> Option<SenderState> {
        let state = self.senders.remove(sender)?;
        let agent = sender.of_agent();
        if let Some(epochs) = self.epochs.get_mut(&agent) {
            epochs.retain(|epoch| *epoch != sender.epoch);
            if epochs.is_empty() {
                self.epochs.remove(&agent);
            }
        }
        Some(state)
    }

    fn retire(&mut self, senders: Vec<Sender>) {
        for sender in senders {
            let Some(state) = self.remove(&sender) else { continue };
            let agent = sender.of_agent();
            let of_agent = self.agents.entry(agent.clone()).or_default();
            of_agent.retire(&sender.epoch, state.account());
            if !self.epochs.contains_key(&agent)
                && let Some(gone) = self.agents.remove(&agent)
            {
                self.forgotten.senders += gone.epochs;
                self.forgotten.account.add(gone.account);
            }
            self.changed_agents.insert(agent);
            self.changed.insert(sender);
        }
    }
}

/// The senders heard of least recently, without which `kept` are left.
fn least_recent<'s>(
    senders: impl IntoIterator<Item = (&'s Sender, &'s SenderState)>,
    kept: usize,
) -> Vec<Sender> {
    let senders = senders.into_iter().map(|(sender, state)| (state.last_received_at, sender));
    let mut senders: Vec<(i64, &Sender)> = senders.collect();
    let surplus = senders.len().saturating_sub(kept);
    if surplus > 0 {
        senders.select_nth_unstable(surplus - 1);
    }
    senders.truncate(surplus);
    senders.into_iter().map(|(_, sender)| sender.clone()).collect()
}

fn claim(name: &BatchName, checksum: u64, records: u32) -> Claim {
    Claim {
        sequence: name.sequence,
        first_unacknowledged: name.first_unacknowledged.unwrap_or(0).min(name.sequence),
        checksum,
        records,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sender::{AHEAD_MAX, CHECKSUMS_KEPT, RETIRED_MAX};

    const NEW: Verdict = Verdict { duplicate: false, lost_batches: 0 };
    const DUPLICATE: Verdict = Verdict { duplicate: true, lost_batches: 0 };

    fn of(agent: &str, epoch: &str) -> Sender {
        Sender { tenant: "default".into(), agent: agent.into(), epoch: epoch.into() }
    }

    fn sender() -> Sender {
        of("a", "e")
    }

    fn name(sender: &Sender, sequence: u64, first: Option<u64>) -> BatchName {
        BatchName {
            agent: sender.agent.clone(),
            epoch: sender.epoch.clone(),
            sequence,
            first_unacknowledged: first,
        }
    }

    /// A batch of ten records of the one sender.
    fn accept(
        dedup: &mut Dedup,
        sequence: u64,
        first: Option<u64>,
        content: u64,
    ) -> Result<Verdict> {
        let sender = sender();
        dedup.accept(&sender, &name(&sender, sequence, first), content, 10, Timestamp(1))
    }

    /// The first batch of a sender, or a later one.
    fn hear(dedup: &mut Dedup, sender: &Sender, sequence: u64, at: i64) -> Result<Verdict> {
        dedup.accept(sender, &name(sender, sequence, None), 7, 10, Timestamp(at))
    }

    #[test]
    fn a_batch_is_new_once_and_a_duplicate_after() {
        let mut dedup = Dedup::default();
        for sequence in [0, 1, 5, 3] {
            assert_eq!(accept(&mut dedup, sequence, None, sequence).unwrap(), NEW);
            assert_eq!(accept(&mut dedup, sequence, None, sequence).unwrap(), DUPLICATE);
        }
        let state = dedup.state(&sender()).unwrap();
        assert_eq!((state.next, state.ahead.len()), (2, 2));
        assert_eq!((state.records_accepted, state.batches_accepted), (40, 4));
    }

    #[test]
    fn other_content_under_the_same_name_is_a_conflict() {
        let mut dedup = Dedup::default();
        accept(&mut dedup, 0, None, 7).unwrap();
        assert!(matches!(accept(&mut dedup, 0, None, 8), Err(StoreError::Conflict { .. })));
    }

    #[test]
    fn a_batch_too_old_to_compare_is_a_conflict_and_never_dropped_silently() {
        let mut dedup = Dedup::default();
        for sequence in 0..=CHECKSUMS_KEPT as u64 {
            accept(&mut dedup, sequence, None, 0).unwrap();
        }
        assert!(matches!(accept(&mut dedup, 0, None, 0), Err(StoreError::Conflict { .. })));
        assert_eq!(accept(&mut dedup, 1, None, 0).unwrap(), DUPLICATE);
    }

    #[test]
    fn the_mark_moves_over_gaps_and_calls_them_lost() {
        let mut dedup = Dedup::default();
        accept(&mut dedup, 0, Some(0), 0).unwrap();
        accept(&mut dedup, 4, Some(0), 0).unwrap();
        let told = Verdict { duplicate: false, lost_batches: 3 };
        assert_eq!(accept(&mut dedup, 6, Some(5), 0).unwrap(), told);
        let state = dedup.state(&sender()).unwrap();
        assert_eq!((state.next, state.lost), (5, 3));
        assert!(matches!(accept(&mut dedup, 2, None, 0), Err(StoreError::Conflict { .. })));
    }

    #[test]
    fn a_gap_is_told_again_with_the_batch_that_told_it_and_with_no_other() {
        let mut dedup = Dedup::default();
        let told = |duplicate| Verdict { duplicate, lost_batches: 7 };
        assert_eq!(
            accept(&mut dedup, 7, Some(7), 0).unwrap(),
            told(false),
            "the first batch of all"
        );
        assert_eq!(accept(&mut dedup, 7, Some(7), 0).unwrap(), told(true));
        assert_eq!(accept(&mut dedup, 8, Some(7), 0).unwrap(), NEW);
        assert_eq!(accept(&mut dedup, 8, Some(8), 0).unwrap(), DUPLICATE);
        assert_eq!(dedup.account().lost_batches, 7);
    }

    #[test]
    fn a_batch_that_is_not_new_moves_no_mark() {
        let mut dedup = Dedup::default();
        accept(&mut dedup, 5, Some(0), 0).unwrap();
        let before = dedup.state(&sender()).cloned();
        assert_eq!(accept(&mut dedup, 5, Some(5), 0).unwrap(), DUPLICATE);
        accept(&mut dedup, 5, Some(5), 1).unwrap_err();
        assert_eq!(dedup.state(&sender()).cloned(), before);
    }

    #[test]
    fn too_many_ahead_of_a_missing_one_are_refused_but_the_missing_one_is_taken() {
        let mut dedup = Dedup::default();
        for sequence in 1..=AHEAD_MAX as u64 {
            accept(&mut dedup, sequence, None, 0).unwrap();
        }
        let next = AHEAD_MAX as u64 + 1;
        assert!(matches!(accept(&mut dedup, next, None, 0), Err(StoreError::TooFarAhead { .. })));
        assert_eq!(accept(&mut dedup, 0, None, 0).unwrap(), NEW);
        assert_eq!(dedup.state(&sender()).unwrap().next, next);
    }

    #[test]
    fn a_mark_over_the_missing_one_lets_the_next_ones_in() {
        let mut dedup = Dedup::default();
        for sequence in 1..=AHEAD_MAX as u64 {
            accept(&mut dedup, sequence, None, 0).unwrap();
        }
        let told = Verdict { duplicate: false, lost_batches: 1 };
        assert_eq!(accept(&mut dedup, AHEAD_MAX as u64 + 5, Some(1), 0).unwrap(), told);
    }

    #[test]
    fn the_highest_numbers_break_nothing() {
        let mut dedup = Dedup::default();
        for agent in ["a", "b"] {
            let sender = of(agent, "e");
            for sequence in [u64::MAX - 1, u64::MAX] {
                let name = name(&sender, sequence, Some(sequence));
                let mut take = || dedup.accept(&sender, &name, 0, 10, Timestamp(1)).unwrap();
                assert!(!take().duplicate);
                assert!(take().duplicate);
            }
        }
        assert_eq!(dedup.account().lost_batches, u64::MAX, "and not what is left of it");
    }

    #[test]
    fn of_an_agent_the_epochs_heard_of_last_are_kept_and_the_others_are_conflicts() {
        let mut dedup = Dedup::default();
        let epoch = |number: i64| of("a", &format!("e{number}"));
        let extra = 3;
        for number in 0..EPOCHS_MAX as i64 + extra {
            hear(&mut dedup, &epoch(number), 0, number).unwrap();
            // The first one stays alive.
            hear(&mut dedup, &epoch(0), number as u64 + 1, number + 1).unwrap();
            dedup.keep_bounds();
        }
        assert_eq!((dedup.len(), dedup.senders_forgotten()), (EPOCHS_MAX, extra as u64));
        assert!(hear(&mut dedup, &epoch(0), 1, 100).unwrap().duplicate);
        for number in 1..=extra {
            for sequence in [0, 1] {
                assert!(
                    matches!(
                        hear(&mut dedup, &epoch(number), sequence, 100),
                        Err(StoreError::Conflict { .. })
                    ),
                    "{number}"
                );
            }
            assert!(dedup.agent_account(&epoch(number)).retired);
        }
        assert!(hear(&mut dedup, &epoch(extra + 1), 0, 100).unwrap().duplicate);
        let accepted = 10 * 2 * (EPOCHS_MAX as u64 + extra as u64);
        let account = dedup.agent_account(&epoch(1));
        assert_eq!(account.epoch, SenderAccount::default());
        assert_eq!(account.all_epochs.records_accepted, accepted, "sums are kept");
        assert_eq!(dedup.account().records_accepted, accepted);
    }

    #[test]
    fn the_names_of_retired_epochs_are_bounded_too() {
        let mut dedup = Dedup::default();
        let epochs = EPOCHS_MAX + RETIRED_MAX + 1;
        for number in 0..epochs {
            hear(&mut dedup, &of("a", &format!("e{number}")), 0, number as i64).unwrap();
            dedup.keep_bounds();
        }
        assert_eq!(dedup.agents.values().next().unwrap().retired.len(), RETIRED_MAX);
        assert!(hear(&mut dedup, &of("a", "e1"), 0, 0).is_err());
        assert_eq!(dedup.account().batches_accepted, epochs as u64);
    }

    #[test]
    fn of_all_senders_the_ones_heard_of_last_are_kept_and_the_others_counted() {
        let mut dedup = Dedup::default();
        for number in 0..SENDERS_MAX + 5 {
            hear(&mut dedup, &of(&format!("ship-{number}"), "e"), 0, number as i64).unwrap();
        }
        dedup.keep_bounds();
        assert_eq!((dedup.len(), dedup.senders_forgotten()), (SENDERS_MAX, 5));
        assert!(dedup.state(&of("ship-4", "e")).is_none());
        assert!(dedup.state(&of("ship-5", "e")).is_some());
        assert_eq!((dedup.epochs.len(), dedup.agents.len()), (SENDERS_MAX, 0));
        assert_eq!(dedup.account().batches_accepted, SENDERS_MAX as u64 + 5);
    }

    #[test]
    fn a_silent_sender_is_forgotten_after_thirty_days_unless_its_agent_is_heard_of() {
        const DAY: i64 = record::NANOS_PER_DAY;
        let mut dedup = Dedup::default();
        for epoch in ["quiet", "gone"] {
            hear(&mut dedup, &of(epoch, "e"), 0, 0).unwrap();
        }
        dedup.heard_of(&of("quiet", "e"), Timestamp(20 * DAY));
        dedup.heard_of(&of("never", "e"), Timestamp(20 * DAY));
        dedup.forget_old(Timestamp(31 * DAY));
        assert!(dedup.state(&of("quiet", "e")).is_some());
        assert!(dedup.state(&of("gone", "e")).is_none());
        assert_eq!((dedup.len(), dedup.senders_forgotten()), (1, 1));
        assert_eq!(dedup.account().records_accepted, 20);
    }

    #[test]
    fn what_is_taken_as_changed_makes_the_same_senders_again() {
        let mut dedup = Dedup::default();
        let mut written = SenderChange::default();
        for number in 0..EPOCHS_MAX as i64 + 40 {
            hear(&mut dedup, &of("a", &format!("e{number}")), 0, number).unwrap();
            hear(&mut dedup, &of("b", "e"), number as u64, number).unwrap();
            dedup.keep_bounds();
            if number % 7 == 0 {
                written = written.then(dedup.take_changed());
            }
        }
        dedup.forget_old(Timestamp(FORGET_AFTER_NS + 50));
        written = written.then(dedup.take_changed());
        let restored = Dedup::restore(
            written.senders.into_iter().filter_map(|(sender, state)| Some((sender, state?))),
            written.agents.into_iter().filter_map(|(agent, state)| Some((agent, state?))),
            written.forgotten,
        );
        assert_eq!(restored.senders, dedup.senders);
        assert_eq!(restored.agents, dedup.agents);
        assert_eq!(restored.account(), dedup.account());
        assert_eq!(restored.senders_forgotten(), dedup.senders_forgotten());
    }

    proptest! {
        #[test]
        fn the_journal_makes_the_same_state_again_and_counts_each_record_once(
            batches in prop::collection::vec(
                (0_u64..3, 0_u64..40, prop::option::of(0_u64..40), 0_u64..2, 0_u32..5), 0..200,
            ),
        ) {
            let (mut live, mut again) = (Dedup::default(), Dedup::default());
            let mut accepted: HashMap<(u64, u64), u64> = HashMap::new();
            let mut records_accepted = 0;
            for (epoch, sequence, first, content, records) in batches {
                let sender = of("a", &epoch.to_string());
                let name = name(&sender, sequence, first.map(|first| first.min(sequence)));
                let verdict = live.accept(&sender, &name, content, records, Timestamp(1));
                let known = accepted.get(&(epoch, sequence));
                match verdict {
                    Ok(Verdict { duplicate: false, .. }) => {
                        prop_assert_eq!(known, None, "stored twice");
                        accepted.insert((epoch, sequence), content);
                        records_accepted += u64::from(records);
                        again.accept_again(&sender, &name, content, records, Timestamp(1));
                    }
                    Ok(_) => prop_assert_eq!(known, Some(&content), "never seen"),
                    Err(_) => prop_assert!(known != Some(&content), "a resend is refused"),
                }
            }
            prop_assert_eq!(&live.senders, &again.senders);
            prop_assert_eq!(live.account().records_accepted, records_accepted);
            prop_assert_eq!(live.account().batches_accepted, accepted.len() as u64);
        }
    }
}
