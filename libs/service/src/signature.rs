//! Signatures of bodies that are sent, by which their receiver knows who sent them (HMAC-SHA256, RFC 2104).

use std::fmt::Write;

/// `sha256=` and 64 hex digits, over all bytes of the body.
pub fn of(secret: &[u8], body: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    let mut text = "sha256=".to_owned();
    for byte in ring::hmac::sign(&key, body).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_signature_is_hmac_sha256() {
        // RFC 4231, test case 2.
        assert_eq!(
            super::of(b"Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
