//! Credentials of HTTP wherever they stand: what follows `Bearer` and `Basic`, and JSON web tokens.
//!
//! The words are English too, so what follows them must look like a credential unless `Authorization` stands before
//! it (see [`super::assignment`]): after `Bearer` something with a digit or very long, after `Basic` the base64 of
//! `user:password`. A JSON web token (RFC 7519) is three to five parts of base64url, of which the first begins with
//! `{"`, which is `eyJ`.

use std::ops::Range;
use std::sync::LazyLock;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memchr2;
use memchr::memmem::Finder;

static WEB_TOKEN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("eyJ"));

/// Shortest credential without `Authorization`, in bytes.
const CREDENTIAL_BYTES_MIN: usize = 8;
/// From here on no word of a language, even without a digit.
const WORD_BYTES_MAX: usize = 32;
/// Longest base64 that is tried after `Basic`.
const BASIC_BYTES_MAX: usize = 1_024;
/// Shortest first part of a JSON web token, in bytes.
const HEADER_BYTES_MIN: usize = 10;

/// Base64 with or without its padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Calls `found` with the place of each credential.
pub(super) fn find(text: &str, found: &mut dyn FnMut(Range<usize>)) {
    find_schemes(text.as_bytes(), found);
    find_web_tokens(text.as_bytes(), found);
}

fn find_schemes(bytes: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let mut from = 0;
    while let Some(offset) = memchr2(b'B', b'b', &bytes[from..]) {
        let at = from + offset;
        from = at + 1;
        let word = |word: &[u8]| {
            bytes.get(at..at + word.len()).is_some_and(|own| own.eq_ignore_ascii_case(word))
        };
        let (length, basic) = if word(b"bearer") {
            (6, false)
        } else if word(b"basic") {
            (5, true)
        } else {
            continue;
        };
        let gap = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'+');
        let gap = bytes[at + length..].iter().take(4).take_while(gap).count();
        let start = at + length + if gap > 0 { gap } else { escaped_space(&bytes[at + length..]) };
        let end = start + bytes[start..].iter().take_while(|byte| is_credential(byte)).count();
        if start > at + length && looks_secret(&bytes[start..end], basic) {
            found(start..end);
            from = end;
        }
    }
}

/// `%20`, as in an address.
fn escaped_space(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"%20") { 3 } else { 0 }
}

/// The alphabet of RFC 6750's `b64token`.
fn is_credential(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

fn looks_secret(credential: &[u8], basic: bool) -> bool {
    let length = credential.len();
    if basic {
        return (CREDENTIAL_BYTES_MIN..=BASIC_BYTES_MAX).contains(&length)
            && LENIENT.decode(credential).is_ok_and(|plain| {
                plain.contains(&b':') && !plain.iter().any(|byte| byte.is_ascii_control())
            });
    }
    length > WORD_BYTES_MAX
        || (length >= CREDENTIAL_BYTES_MIN && credential.iter().any(u8::is_ascii_digit))
}

fn find_web_tokens(bytes: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let mut from = 0;
    while let Some(offset) = WEB_TOKEN.find(&bytes[from..]) {
        let start = from + offset;
        let belongs =
            |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let end = start + bytes[start..].iter().take_while(belongs).count();
        from = end;
        let mut parts = bytes[start..end].split(|byte| *byte == b'.');
        let header = parts.next().map_or(0, <[u8]>::len);
        let payload = parts.next().map_or(0, <[u8]>::len);
        if header >= HEADER_BYTES_MIN && payload > 0 && parts.next().is_some() {
            // The full stop of a sentence may stay with it.
            found(start..end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJib2IifQ.c2lnbmF0dXJl";

    fn found(text: &str) -> Vec<&str> {
        let mut all = Vec::new();
        find(text, &mut |range| all.push(&text[range]));
        all
    }

    #[test]
    fn credentials_are_found_wherever_they_stand() {
        for (text, secret) in [
            ("sent Bearer abc123def456 to x", "abc123def456"),
            (
                "BEARER abcdefghijklmnopqrstuvwxyzabcdefghijkl",
                "abcdefghijklmnopqrstuvwxyzabcdefghijkl",
            ),
            ("auth=bearer%20abc123def456", "abc123def456"),
            ("with Basic Ym9iOmh1bnRlcjI= in it", "Ym9iOmh1bnRlcjI="),
            ("basic Ym9iOmh1bnRlcjI", "Ym9iOmh1bnRlcjI"),
            (&format!("jwt={TOKEN}&x=1"), TOKEN),
            (&format!("[\"{TOKEN}\"]"), TOKEN),
            ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJib2IifQ.", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJib2IifQ."),
        ] {
            assert_eq!(found(text), [secret], "{text}");
        }
    }

    #[test]
    fn words_of_the_language_are_left_alone() {
        for text in [
            "bearer authentication is needed",
            "Bearer token expired",
            "basic auth failed",
            "Basic configuration loaded",
            "basic 12345678 numbers",
            "BasicErrorController.error",
            "eyJ eyJhbGciOiJIUzI1NiJ9 eyJhbGciOiJIUzI1NiJ9.x",
            "the bearer",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_million_bytes_take_no_time() {
        for piece in ["bearer ", "basic A", "eyJ", "eyJ.", "b"] {
            found(&piece.repeat((1 << 20) / piece.len()));
        }
    }
}
