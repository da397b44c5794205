//! Values made unreadable but still comparable: BLAKE3 under a key, cut to 16 hex digits.
//!
//! Equal values give equal digits on every host that has the same key, so that records stay joinable. Without
//! the key nobody can try all card numbers or addresses and compare. 64 bits are enough to tell values apart
//! (one chance in 10^9 of any two alike among 190,000), not to prove anything.

use std::fmt;

use crate::process::ProcessError;

/// Digits of a hash, as it is written.
pub(super) const HASH_DIGITS: usize = 16;

const SECRET_BYTES_MIN: usize = 16;
/// Sets this use of a secret apart from every other one; never changed, or hashes stop being comparable.
const CONTEXT: &str = "logq 2026 redaction hash of values in log records";

/// The key of `hash`, the same on all hosts whose records shall be joinable. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct HashKey([u8; 32]);

impl HashKey {
    /// From a secret of any form, at least 16 bytes long.
    ///
    /// # Errors
    /// [`ProcessError::HashKey`] if it is shorter.
    pub fn new(secret: &str) -> Result<Self, ProcessError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(ProcessError::HashKey { bytes: secret.len(), bytes_min: SECRET_BYTES_MIN });
        }
        Ok(Self(blake3::derive_key(CONTEXT, secret.as_bytes())))
    }

    /// Appends the hash of `value`.
    pub(super) fn push_hash(&self, value: &str, out: &mut String) {
        let hash = blake3::keyed_hash(&self.0, value.as_bytes()).to_hex();
        out.push_str(&hash[..HASH_DIGITS]);
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(key: &HashKey, value: &str) -> String {
        let mut out = String::new();
        key.push_hash(value, &mut out);
        out
    }

    #[test]
    fn equal_values_are_equal_under_one_key_only_and_for_ever() {
        let key = HashKey::new("0123456789abcdef").unwrap();
        let other = HashKey::new("0123456789abcdeF").unwrap();
        assert_eq!(hash(&key, "bob@example.com"), "cb97898632299865");
        assert_ne!(hash(&key, "bob@example.com"), hash(&other, "bob@example.com"));
        assert_ne!(hash(&key, "bob@example.com"), hash(&key, "bob@example.org"));
    }

    #[test]
    fn the_key_is_not_printed_and_a_short_one_is_refused() {
        let key = HashKey::new("correct horse battery").unwrap();
        assert_eq!(format!("{key:?}"), "HashKey(..)");
        let error = HashKey::new("hunter2").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
