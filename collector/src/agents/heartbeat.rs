//! What an agent says of itself every five seconds, as JSON.
//!
//! ```text
//! {"agent":"web1","epoch":"0f3a…","host":"web1","version":"0.1.0","started":TIME,"sent_at":TIME,
//!  "oldest_unshipped":TIME or null,
//!  "ledger":{"read":N,"filtered":N,"dropped":{"reason":N,…},"dead_lettered":N,"spooled":N,"acknowledged":N,
//!            "held":N,"reported":N},
//!  "acknowledged_in_epoch":{"records":N,"batches":N,"store":"…"},"spool_bytes":N,"sources":N,"trouble":["…"]}
//! ```
//! TIME is RFC 3339. Counts and the names of agent and epoch must be there, members that are not known are passed
//! over. What a person reads is cut to the bounds below, so that a heartbeat that is kept takes at most about 8 KiB.

use std::collections::BTreeMap;

use record::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wire::BatchName;

use crate::refusal::Refusal;

/// Longest body of a heartbeat; a longer one is 413.
pub(crate) const HEARTBEAT_BYTES_MAX: usize = 64 << 10;
/// Reasons of dropped records kept apart; those beyond are summed up as `other`.
const REASONS_MAX: usize = 64;
const REASON_BYTES_MAX: usize = 40;
const OTHER_REASONS: &str = "other";
const HOST_BYTES_MAX: usize = 255;
const VERSION_BYTES_MAX: usize = 64;
const TROUBLES_MAX: usize = 8;
const TROUBLE_BYTES_MAX: usize = 256;
/// Longest explanation of a fault.
const DETAIL_BYTES_MAX: usize = 300;

/// A time that is written as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rfc3339(pub Timestamp);

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Rfc3339 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let time = Timestamp::parse_rfc3339(&text);
        time.map(Self).ok_or_else(|| D::Error::custom("this is no time as in RFC 3339"))
    }
}

/// What an agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Its id.
    pub agent: String,
    /// The epoch of its spool.
    pub epoch: String,
    /// The machine that it runs on.
    #[serde(default)]
    pub host: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// When its process began.
    pub started: Option<Rfc3339>,
    /// Now, by its clock.
    pub sent_at: Rfc3339,
    /// The time of the oldest record that is not acknowledged yet; none if all are.
    pub oldest_unshipped: Option<Rfc3339>,
    /// Its half of the account of every record.
    pub ledger: AgentLedger,
    /// What was acknowledged of this epoch.
    pub acknowledged_in_epoch: Acknowledged,
    /// Its spool on the disk, bytes.
    #[serde(default)]
    pub spool_bytes: u64,
    /// Its sources.
    #[serde(default)]
    pub sources: u64,
    /// What a person should look at.
    #[serde(default)]
    pub trouble: Vec<String>,
}

/// An agent's counts of records since its state was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentLedger {
    /// From its sources.
    pub read: u64,
    /// Left out by a filter.
    pub filtered: u64,
    /// By reason.
    pub dropped: BTreeMap<String, u64>,
    /// Refused for good by the collector, and kept aside.
    pub dead_lettered: u64,
    /// Durable in the spool and not acknowledged.
    pub spooled: u64,
    /// Accepted by the collector.
    pub acknowledged: u64,
    /// Read and not in the spool yet.
    pub held: u64,
    /// Made by the agent itself, about what it could not know to be whole.
    pub reported: u64,
}

impl AgentLedger {
    /// All dropped ones.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// What was acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Records in acknowledged batches.
    pub records: u64,
    /// Acknowledged batches.
    pub batches: u64,
    /// The store that acknowledged them, as it names itself; another one's are not looked for in this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

impl Heartbeat {
    /// Reads a heartbeat and cuts it to its bounds.
    ///
    /// # Errors
    /// [`Refusal::Heartbeat`] with what is wrong and where.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let wrong = |detail: String| Refusal::Heartbeat { detail: cut(&detail, DETAIL_BYTES_MAX) };
        let mut json = serde_json::Deserializer::from_slice(body);
        let heartbeat: Self = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| wrong(error.to_string()))?;
        json.end().map_err(|error| wrong(error.to_string()))?;
        // By the rules of the headers: under other names it could not send any batch.
        let named = BatchName::from_headers(|header| match header {
            wire::header::AGENT => Some(&heartbeat.agent),
            wire::header::EPOCH => Some(&heartbeat.epoch),
            wire::header::SEQUENCE => Some("0"),
            _ => None,
        });
        named.map_err(|error| wrong(error.to_string()))?;
        Ok(heartbeat.bounded())
    }

    fn bounded(self) -> Self {
        let mut dropped: BTreeMap<String, u64> = BTreeMap::new();
        for (reason, count) in self.ledger.dropped {
            let mut reason = cut(&reason, REASON_BYTES_MAX);
            // One place is left for the others, so that no count is lost.
            if dropped.len() >= REASONS_MAX - 1 && !dropped.contains_key(&reason) {
                reason = OTHER_REASONS.to_owned();
            }
            let sum = dropped.entry(reason).or_default();
            *sum = sum.saturating_add(count);
        }
        let troubles = self.trouble.iter().take(TROUBLES_MAX);
        Self {
            host: cut(&self.host, HOST_BYTES_MAX),
            version: cut(&self.version, VERSION_BYTES_MAX),
            trouble: troubles.map(|trouble| cut(trouble, TROUBLE_BYTES_MAX)).collect(),
            ledger: AgentLedger { dropped, ..self.ledger },
            ..self
        }
    }
}

/// At most so many bytes of a text, and nothing in it that a terminal obeys.
fn cut(text: &str, bytes_max: usize) -> String {
    let text = &text[..text.floor_char_boundary(bytes_max)];
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A heartbeat of an agent that is well.
    pub(crate) fn heartbeat() -> Value {
        json!({
            "agent": "a", "epoch": "e", "host": "web1", "version": "0.1.0",
            "started": "2026-01-02T03:00:00Z", "sent_at": "2026-01-02T03:04:05.5Z",
            "oldest_unshipped": null,
            "ledger": {
                "read": 100, "filtered": 10, "dropped": {"full": 5}, "dead_lettered": 1,
                "spooled": 20, "acknowledged": 60, "held": 6, "reported": 2,
            },
            "acknowledged_in_epoch": {"records": 60, "batches": 6},
            "spool_bytes": 4096, "sources": 3, "trouble": ["slow"],
        })
    }

    fn parsed(heartbeat: &Value) -> Result<Heartbeat, Refusal> {
        Heartbeat::parse(heartbeat.to_string().as_bytes())
    }

    #[test]
    fn a_heartbeat_is_read_and_written_again_as_it_was() {
        let mut sent = heartbeat();
        let read = parsed(&sent).unwrap();
        assert_eq!(read.ledger.dropped_total(), 5);
        sent["sent_at"] = "2026-01-02T03:04:05.500Z".into();
        assert_eq!(serde_json::to_value(read).unwrap(), sent);
    }

    #[test]
    fn what_is_not_known_is_passed_over_and_what_a_person_reads_may_be_missing() {
        let mut sent = heartbeat();
        sent["mood"] = json!({"deep": [1, 2]});
        for name in
            ["host", "version", "started", "oldest_unshipped", "spool_bytes", "sources", "trouble"]
        {
            sent.as_object_mut().unwrap().remove(name);
        }
        assert_eq!(parsed(&sent).unwrap().host, "");
    }

    #[test]
    fn a_wrong_member_is_named_with_what_is_wrong() {
        for (pointer, wrong, says) in [
            ("/ledger/read", json!("many"), "ledger.read: invalid type: string"),
            ("/ledger/read", json!(-1), "ledger.read: invalid value: integer `-1`"),
            ("/ledger/dropped/full", json!(null), "ledger.dropped.full: invalid type"),
            ("/sent_at", json!("yesterday"), "sent_at: this is no time"),
            ("/oldest_unshipped", json!(5), "oldest_unshipped: invalid type: integer"),
            ("/trouble/0", json!([]), "trouble[0]: invalid type"),
            ("/agent", json!("a b"), "`logq-agent` has other characters"),
            ("/epoch", json!(""), "`logq-epoch` is empty"),
        ] {
            let mut sent = heartbeat();
            *sent.pointer_mut(pointer).unwrap() = wrong;
            let error = parsed(&sent).unwrap_err().to_string();
            assert!(error.contains(says), "{pointer}: {error}");
        }
        for (body, says) in [
            (&b""[..], "EOF"),
            (b"{\"agent\":\"a\"", "EOF"),
            (b"[]", "expected"),
            (b"{}{}", "missing field `agent`"),
            (b"\xff", "expected value"),
        ] {
            let error = Heartbeat::parse(body).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn texts_are_cut_and_counts_are_not() {
        let mut sent = heartbeat();
        sent["host"] = "é".repeat(1_000).into();
        sent["version"] = "1\u{1b}[31m".into();
        sent["trouble"] = vec!["x".repeat(1_000); 100].into();
        let reasons: serde_json::Map<String, Value> = (0..200)
            .map(|n| (format!("{n:0>60}"), json!(1)))
            .chain((0..200).map(|n| (format!("r{n}"), json!(2))))
            .collect();
        sent["ledger"]["dropped"] = reasons.into();
        let read = parsed(&sent).unwrap();
        assert_eq!((read.host.len(), read.version.as_str()), (254, "1 [31m"));
        assert_eq!((read.trouble.len(), read.trouble[0].len()), (8, 256));
        assert_eq!(read.ledger.dropped.len(), REASONS_MAX);
        assert_eq!(read.ledger.dropped_total(), 600);
    }
}
