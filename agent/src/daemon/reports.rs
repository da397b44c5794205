//! What the agent says of itself, as records of the service `logq-agent` with an event name: everything that may
//! have lost or doubled a record, so that it can be found where the records are.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use record::{Record, Severity, Timestamp, Value};
use serde_json::json;
use spool::Damage;

use super::dead_letters::DeadLetter;
use super::durable::Durable;
use super::intake::Intake;
use super::state::Report;
use crate::delivery::StoreIdentity;
use crate::source::file::Notice;

/// The service that the agent's own records name.
pub(crate) const SERVICE: &str = "logq-agent";

/// Why a new sequence of batch names begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EpochReason<'a> {
    /// The agent is new here.
    New,
    /// The folder of the spool was gone.
    SpoolLost,
    /// The state folder is a copy of another agent's; so many of its batches were set aside.
    Cloned { former: &'a str, batches: u64, records: u64 },
    /// Numbers of batches that were given may be given again.
    SpoolRewound,
    /// The collector knows another batch by a name of ours.
    NameConflict(&'a DeadLetter),
}

pub(crate) fn epoch_began(epoch: &str, reason: EpochReason<'_>) -> Report {
    let (word, warning, message) = match reason {
        EpochReason::New => {
            ("new", false, "this agent is new: nothing is known of what was shipped from here before".to_owned())
        }
        EpochReason::SpoolLost => (
            "spool_lost",
            true,
            "the spool is gone: what was in it is lost unless its sources are read again, and what is read again may be stored twice".to_owned(),
        ),
        EpochReason::SpoolRewound => (
            "spool_damaged",
            true,
            "the end of the spool was damaged: what was in it is read again, and may be stored twice".to_owned(),
        ),
        EpochReason::Cloned { former, batches, records } => (
            "cloned",
            true,
            format!(
                "the state folder is a copy of agent {former}'s: this is a new agent now; {batches} batches with {records} \
                 records of the copy are dead letters, because {former} may ship them itself"
            ),
        ),
        EpochReason::NameConflict(letter) => (
            "name_conflict",
            true,
            format!(
                "the collector knows batch {} of epoch {} with other content: it is a dead letter, and whatever follows has new names",
                letter.sequence, letter.epoch
            ),
        ),
    };
    report(
        "logq.agent.epoch_began",
        warning,
        message,
        [("epoch", json!(epoch)), ("reason", json!(word))],
    )
}

pub(crate) fn dead_lettered(letter: &DeadLetter) -> Report {
    let message = format!(
        "the collector refused a batch of {} records with {}: {}; see `logq-agent dead-letters show {}`",
        letter.records, letter.status, letter.message, letter.id
    );
    let attributes = [
        ("dead_letter", json!(letter.id)),
        ("records", json!(letter.records)),
        ("status", json!(letter.status)),
    ];
    report("logq.agent.batch_dead_lettered", true, message, attributes)
}

pub(crate) fn store_changed(before: &StoreIdentity, now: &StoreIdentity) -> Report {
    let restored = before.id == now.id;
    let message = if restored {
        format!(
            "the collector was restored (generation {} after {}): what it acknowledged since its backup is not in it",
            now.generation.unwrap_or(0),
            before.generation.unwrap_or(0)
        )
    } else {
        format!("another store acknowledges: {} after {}", now.id, before.id)
    };
    let attributes = [
        ("store", json!(now.id)),
        ("generation", json!(now.generation)),
        ("former_store", json!(before.id)),
        ("former_generation", json!(before.generation)),
    ];
    report(
        if restored { "logq.agent.store_restored" } else { "logq.agent.store_changed" },
        true,
        message,
        attributes,
    )
}

pub(crate) fn batches_lost(batches: u64, before: u64) -> Report {
    let message = format!(
        "the collector does not have the {batches} batches before number {before}, which were acknowledged: it was restored \
         from an older copy, or lost them"
    );
    let attributes = [("lost_batches", json!(batches)), ("number", json!(before))];
    report("logq.agent.store_lost_batches", true, message, attributes)
}

pub(crate) fn records_rejected(records: u64, why: &str) -> Report {
    let message = format!("the collector left out {records} records of a batch: {why}");
    report("logq.agent.records_rejected", true, message, [("records", json!(records))])
}

pub(crate) fn failed_over(from: &str, to: &str, why: &str, doubled: u64) -> Report {
    let ambiguous = match doubled {
        0 => "no record can be in both".to_owned(),
        records => format!("{records} records may be in both"),
    };
    let message =
        format!("shipping goes on to {to}, because {from} does not answer ({why}); {ambiguous}");
    let attributes =
        [("from", json!(from)), ("to", json!(to)), ("records_in_both_at_most", json!(doubled))];
    report("logq.agent.failed_over", true, message, attributes)
}

pub(crate) fn batches_damaged(
    numbers: &RangeInclusive<u64>,
    records: Option<u64>,
    what: Option<&str>,
) -> Report {
    let lost = records.map_or("an unknown number of".to_owned(), |records| records.to_string());
    let what = what.unwrap_or("their bytes are gone");
    let message = format!(
        "batches {} to {} of the spool are damaged, {lost} records of them are lost: {what}",
        numbers.start(),
        numbers.end()
    );
    let attributes = [
        ("first_number", json!(numbers.start())),
        ("last_number", json!(numbers.end())),
        ("records", json!(records)),
    ];
    report("logq.agent.batches_damaged", true, message, attributes)
}

pub(crate) fn spool_damaged(damage: &Damage) -> Report {
    let changes = match damage.changes_lost {
        true => "; what was read since may be read and stored again",
        false => "",
    };
    let message = format!("the spool was damaged: {}{changes}", damage_text(damage));
    let attributes = [
        ("first_number", json!(damage.lost.as_ref().map(RangeInclusive::start))),
        ("last_number", json!(damage.lost.as_ref().map(RangeInclusive::end))),
    ];
    report("logq.agent.spool_damaged", true, message, attributes)
}

/// Where and what.
pub(crate) fn damage_text(damage: &Damage) -> String {
    let place = format!("{} bytes {} to {}", damage.file.display(), damage.from, damage.to);
    let kept = damage.quarantined.as_ref().map(|path| format!(", kept in {}", path.display()));
    format!("{place} are not {}{}", damage.what, kept.unwrap_or_default())
}

/// What a file source has to tell, if it is about lines that may be lost; the rest is for the log of the agent.
pub(crate) fn of_notice(source: &str, notice: &Notice) -> Option<Report> {
    let (event, path) = match notice {
        Notice::Truncated { path, .. } => ("logq.agent.file_truncated", path),
        Notice::Vanished { path, .. } => ("logq.agent.file_vanished", path),
        Notice::CompressedDamaged { path, .. } => ("logq.agent.file_damaged", path),
        _ => return None,
    };
    let attributes = [("path", json!(path.display().to_string())), ("source", json!(source))];
    Some(report(event, true, notice.to_string(), attributes))
}

pub(crate) fn journal_position_lost(source: &str) -> Report {
    let message = format!(
        "the journal has no entry any more where source {source} stopped reading: entries that were removed before they were read are missing"
    );
    report("logq.agent.journal_position_lost", true, message, [("source", json!(source))])
}

pub(crate) fn journal_entry_too_long(source: &str, cursor: Option<&str>, bytes: u64) -> Report {
    let message = format!(
        "source {source} left out an entry of the journal of {bytes} bytes as JSON, because it is longer than an agent takes"
    );
    let attributes =
        [("source", json!(source)), ("cursor", json!(cursor)), ("bytes", json!(bytes))];
    report("logq.agent.journal_entry_too_long", true, message, attributes)
}

/// Makes records of what is to be said, for as long as the agent runs. What a crash kept from being said is said
/// by the next start.
pub(crate) fn say(durable: &Durable, intake: &Intake, agent: &str, host: &str) {
    let mut next = 0;
    loop {
        let Some((number, report)) = durable.wait_unsaid(next) else { return };
        next = number + 1;
        let said = record_of(&report, agent, Some(host))
            .with_ref(|record| intake.report(record, Some(number)));
        if said.is_err() {
            return;
        }
    }
}

/// The record that says it.
pub(crate) fn record_of(report: &Report, agent: &str, host: Option<&str>) -> Record {
    let value = |value: &serde_json::Value| match value {
        serde_json::Value::Bool(flag) => Value::Bool(*flag),
        serde_json::Value::Number(number) => {
            number.as_i64().map_or_else(|| Value::String(number.to_string()), Value::I64)
        }
        serde_json::Value::String(text) => Value::String(text.clone()),
        other => Value::String(other.to_string()),
    };
    let attributes = report
        .attributes
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, json)| (format!("logq.{name}"), value(json)))
        .collect::<BTreeMap<_, _>>();
    Record {
        timestamp: Timestamp(report.at),
        observed_timestamp: Timestamp(report.at),
        severity: Severity::from_text(if report.warning { "warn" } else { "info" })
            .unwrap_or_default(),
        service: Some(SERVICE.to_owned()),
        host: host.map(str::to_owned),
        message: report.message.clone(),
        event_name: Some(report.event.clone()),
        attributes,
        source: record::Source { agent: Some(agent.to_owned()), ..record::Source::default() },
        ..Record::default()
    }
}

fn report<const N: usize>(
    event: &str,
    warning: bool,
    message: String,
    attributes: [(&str, serde_json::Value); N],
) -> Report {
    Report {
        event: event.to_owned(),
        at: Timestamp::now().0,
        warning,
        message,
        attributes: attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}
