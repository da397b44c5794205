//! What goes through the broker: queues, messages, deliveries, and what consumers say of them; and how large each may be.
//!
//! These are the words between services and the broker. None of them says how messages are kept or carried.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::kit::backoff;

/// Messages, or settlements, in one request.
pub(crate) const BATCH_MAX: usize = 100;
/// Of one message, as JSON.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// Of one message, names and values together: a baggage of 8 KiB, a trace state of 16 KiB, and what else carries a trace.
pub(crate) const HEADERS_BYTES_MAX: usize = 32 << 10;
/// No pause before another delivery is longer.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The pattern that takes any routing key.
pub(crate) const ANY: &str = "#";

/// Of ids, names, keys and patterns.
const NAME_BYTES_MAX: usize = 128;
const BINDINGS_MAX: usize = 32;
const DELIVERIES_MAX: u32 = 100;
const LEASE_MAX: Duration = Duration::from_secs(3_600);
/// Of a reason; what is longer is cut.
const REASON_BYTES_MAX: usize = 1 << 10;

/// A place where messages wait for one group of consumers. It stays when its consumers are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Queue {
    /// Lower-case letters, digits, `.`, `-` and `_`.
    pub(crate) name: String,
    /// What it gets. Declaring it again replaces them, and everything else but its name.
    pub(crate) bindings: Vec<Binding>,
    /// A message that was delivered so often and not done is put aside. 1 to 100.
    pub(crate) deliveries_max: u32,
    /// Before the second delivery; it doubles with each further one, up to [`PAUSE_MAX`].
    #[serde(rename = "pause_min_ms", with = "milliseconds")]
    #[schema(value_type = u64)]
    pub(crate) pause_min: Duration,
    /// How long a consumer has a delivery for itself. Up to an hour.
    #[serde(rename = "lease_ms", with = "milliseconds")]
    #[schema(value_type = u64)]
    pub(crate) lease: Duration,
}

/// Has a queue get what is published to an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Binding {
    pub(crate) exchange: String,
    /// A routing key, or [`ANY`].
    pub(crate) pattern: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Message {
    /// Unique in the shop: the same one published again is stored once.
    pub(crate) id: String,
    pub(crate) exchange: String,
    pub(crate) routing_key: String,
    /// `message.type`: `OrderPlaced`.
    pub(crate) kind: String,
    /// `traceparent`, `baggage`, `x-correlation-id`.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

/// A message that was lent to a consumer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Delivery {
    pub(crate) message: Message,
    /// Names this delivery; the next one of the same message has another.
    pub(crate) tag: u64,
    /// From 1.
    pub(crate) attempt: u32,
}

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Settlement {
    pub(crate) tag: u64,
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub(crate) enum Verdict {
    /// The broker forgets it.
    Done,
    /// It comes again after a pause, or is put aside if it came too often.
    Again { reason: String },
    /// It is put aside at once.
    Refused { reason: String },
}

impl Queue {
    /// How long a message waits after its delivery number `attempt` failed; none: it is put aside.
    pub(crate) fn pause_after(&self, attempt: u32) -> Option<Duration> {
        (attempt < self.deliveries_max)
            .then(|| backoff::doubled(self.pause_min, PAUSE_MAX, attempt))
    }

    /// # Errors
    /// What is too large or empty.
    pub(super) fn checked(&self) -> Result<(), String> {
        // It stands in paths and in labels of metrics.
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        name("a queue's name", &self.name)?;
        if !self.name.bytes().all(is_plain) {
            return Err("a queue's name has lower-case letters, digits, . - and _ alone".to_owned());
        }
        if self.bindings.len() > BINDINGS_MAX {
            return Err(format!("a queue has at most {BINDINGS_MAX} bindings"));
        }
        for Binding { exchange, pattern } in &self.bindings {
            name("an exchange", exchange)?;
            name("a pattern", pattern)?;
        }
        if !(1..=DELIVERIES_MAX).contains(&self.deliveries_max) {
            return Err(format!("deliveries_max is 1 to {DELIVERIES_MAX}"));
        }
        if self.pause_min > PAUSE_MAX {
            return Err(format!("pause_min_ms is at most {}", PAUSE_MAX.as_millis()));
        }
        if self.lease.is_zero() || self.lease > LEASE_MAX {
            return Err(format!("lease_ms is 1 to {}", LEASE_MAX.as_millis()));
        }
        Ok(())
    }
}

/// A message as it is stored: sound, and its parts as text.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) message: Message,
    pub(super) headers: String,
    pub(super) body: String,
}

impl Written {
    /// # Errors
    /// What is too large or empty.
    pub(super) fn from(message: Message) -> Result<Self, String> {
        name("a message's id", &message.id)?;
        name("an exchange", &message.exchange)?;
        name("a routing key", &message.routing_key)?;
        name("a message's kind", &message.kind)?;
        let bytes: usize = message.headers.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > HEADERS_BYTES_MAX {
            return Err(format!("headers of {bytes} bytes; {HEADERS_BYTES_MAX} are allowed"));
        }
        let body = message.body.to_string();
        if body.len() > BODY_BYTES_MAX {
            return Err(format!("a body of {} bytes; {BODY_BYTES_MAX} are allowed", body.len()));
        }
        let headers = serde_json::to_string(&message.headers).map_err(|error| error.to_string())?;
        Ok(Self { message, headers, body })
    }
}

/// The beginning of a reason, as much as is kept.
pub(super) fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]
}

fn name(what: &str, name: &str) -> Result<(), String> {
    match name.len() {
        1..=NAME_BYTES_MAX => Ok(()),
        bytes => Err(format!("{what} of {bytes} bytes; 1 to {NAME_BYTES_MAX} are allowed")),
    }
}

/// A duration as a whole number of milliseconds.
mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_end_with_the_last_delivery() {
        let pause_min = Duration::from_millis(500);
        let queue = Queue {
            name: "q".to_owned(),
            bindings: Vec::new(),
            deliveries_max: 40,
            pause_min,
            lease: PAUSE_MAX,
        };
        let pauses: Vec<_> = [1, 2, 3, 6, 7, 33, 39, 40, u32::MAX]
            .map(|attempt| queue.pause_after(attempt).map(|pause| pause.as_millis()))
            .into();
        let long = Some(30_000);
        let expected =
            [Some(500), Some(1_000), Some(2_000), Some(16_000), long, long, long, None, None];
        assert_eq!(pauses, expected);
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let long = format!("x{}", "ä".repeat(REASON_BYTES_MAX));
        assert_eq!(cut(&long).len(), REASON_BYTES_MAX - 1);
        assert_eq!(cut("short"), "short");
    }
}
