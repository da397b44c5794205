//! Passwords in addresses: `scheme://user:password@host`, and long tokens in the place of the user
//! (`https://TOKEN@host`).
//!
//! A password with a `/`, `?` or `#` in it, which should have been escaped, is found too, unless it could be a port
//! and a path.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

static SCHEME_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("://"));

/// From here on a user without a password, but with a digit, is taken for a token.
const TOKEN_BYTES_MIN: usize = 20;

/// Calls `found` with the place of each password.
pub(super) fn find(text: &str, found: &mut dyn FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let mut next = SCHEME_END.find(bytes);
    while let Some(at) = next {
        let start = at + 3;
        next = SCHEME_END.find(&bytes[start..]).map(|offset| start + offset);
        let length = bytes[start..next.unwrap_or(bytes.len())].iter().position(ends_address);
        let end = length.map_or(next.unwrap_or(bytes.len()), |length| start + length);
        if let Some(secret) = secret_in(&bytes[start..end]) {
            found(start + secret.start..start + secret.end);
        }
    }
}

fn ends_address(byte: &u8) -> bool {
    matches!(byte, 0..=b' ' | b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\' | b'|')
}

fn secret_in(address: &[u8]) -> Option<Range<usize>> {
    let path = address.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let host = &address[..path.unwrap_or(address.len())];
    let at = memchr::memrchr(b'@', host).or_else(|| {
        let (_, port) = split_at_colon(host)?;
        let odd = !port.is_empty() && !port.iter().all(u8::is_ascii_digit);
        // The colons of an address of IPv6 begin no port.
        (odd && host.first() != Some(&b'[')).then(|| memchr::memrchr(b'@', address)).flatten()
    })?;
    match memchr::memchr(b':', &address[..at]) {
        Some(colon) => (colon + 1 < at).then_some(colon + 1..at),
        None => {
            let token = at >= TOKEN_BYTES_MIN && address[..at].iter().any(u8::is_ascii_digit);
            token.then_some(0..at)
        }
    }
}

fn split_at_colon(host: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', host)?;
    Some((&host[..colon], &host[colon + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut all = Vec::new();
        find(text, &mut |range| all.push(&text[range]));
        all
    }

    #[test]
    fn passwords_are_found_in_addresses() {
        for (text, secret) in [
            ("connecting to postgres://app:SeCr3t@db:5432/shop?x=a@b", "SeCr3t"),
            ("redis://:SeCr3t@cache", "SeCr3t"),
            ("\"amqp://u:p@ss@mq/\"", "p@ss"),
            ("postgres://app:Se/Cr#3t@db/shop", "Se/Cr#3t"),
            ("git clone https://ghp_0123456789abcdefghij@github.com/x", "ghp_0123456789abcdefghij"),
            ("https://u:пароль@h", "пароль"),
        ] {
            assert_eq!(found(text), [secret], "{text}");
        }
        assert_eq!(found("a://u:1@h,b://u:2@h"), ["1", "2"]);
    }

    #[test]
    fn addresses_without_passwords_are_left_alone() {
        for text in [
            "https://example.com:8080/u/bob@example.com",
            "ssh://git@github.com/x",
            "http://[2001:db8::1]:80/a@b",
            "https://example.com/a:b@c",
            "://",
            "http://user:@host",
            "akka.tcp://sparkExecutorActorSystem@mesos-slave-07:55904",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_million_addresses_take_no_time() {
        found(&"://".repeat(300_000));
        found(&"://a:b/".repeat(150_000));
        found(&format!("://{}", "a:".repeat(500_000)));
    }
}
