//! What the keys of a JSON line mean.

use record::keys;

use crate::builder::{Builder, Candidate, Scalar, Text};
use crate::otlp::native::{SOURCE_AGENT, SOURCE_OFFSET, SOURCE_PATH};

/// Whether a map under this key is the message, as JSON text, rather than more attributes.
pub(crate) fn is_message_whatever_it_holds(key: &str) -> bool {
    matches!(key, "message" | "msg")
}

impl<'b> Builder<'b> {
    /// A key and its value, the key flattened already.
    #[inline]
    pub(crate) fn field(&mut self, name: Text<'b>, value: Scalar<'b>) {
        let key = self.text(name);
        if let Some((role, rank)) = keys::role(key) {
            return self.offer(role, Candidate { rank, name, value });
        }
        if key == keys::BAGGAGE {
            self.fields.baggage = self.word(value);
        } else if key.starts_with("logq.source.") && self.source_field(name, value) {
            return;
        }
        self.attribute(name, value);
    }

    /// Where the record was read from; false if it is no such field, or does not fit, or is given already.
    pub(crate) fn source_field(&mut self, name: Text<'b>, value: Scalar<'b>) -> bool {
        let field = match self.text(name) {
            SOURCE_AGENT => &mut self.fields.source_agent,
            SOURCE_PATH => &mut self.fields.source_path,
            SOURCE_OFFSET => {
                let offset = match value {
                    Scalar::I64(offset) => u64::try_from(offset).ok(),
                    // Offsets beyond `i64` travel as text.
                    Scalar::Text(text) => self.text(text).parse().ok(),
                    _ => None,
                };
                let taken = self.fields.source_offset.is_none() && offset.is_some();
                self.fields.source_offset = self.fields.source_offset.or(offset);
                return taken;
            }
            _ => return false,
        };
        if field.is_some() {
            return false;
        }
        let word = match value {
            Scalar::Text(text) if !crate::builder::resolve(&self.scratch, text).is_empty() => text,
            _ => return false,
        };
        *field = Some(word);
        true
    }
}
