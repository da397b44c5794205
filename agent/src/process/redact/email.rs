//! E-mail addresses as they stand in logs: `local@domain.tld`, also with the `@` as `%40`, as in URLs.
//!
//! Looser than RFC 5322 (no quoted local parts, no comments) and than the DNS. A name of the host alone
//! (`root@db1`), a version (`react@18.2.0`), the name of a picture (`icon@2x.png`) and `git@github.com` are none.

use std::ops::Range;

use memchr::memchr2;

/// The user that clones over SSH.
const GIT: &str = "git";
/// Endings that are files', not domains'.
const FILE_ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "gif", "svg", "webp"];

/// Calls `found` with the place of each address.
pub(super) fn find(text: &str, found: &mut dyn FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let mut done = 0;
    let mut from = 0;
    while let Some(offset) = memchr2(b'@', b'%', &bytes[from..]) {
        let at = from + offset;
        let sign = match bytes[at] {
            b'@' => 1,
            _ if bytes[at..].starts_with(b"%40") => 3,
            _ => 0,
        };
        from = at + sign.max(1);
        if sign == 0 {
            continue;
        }
        let start = local_start(text, done, at);
        if start < at
            && text[start..at] != *GIT
            && let Some(length) = domain_length(&text[from..])
        {
            from += length;
            found(start..from);
        }
        done = from;
    }
}

/// Where the local part before `at` begins, not before `floor`.
fn local_start(text: &str, floor: usize, at: usize) -> usize {
    let belongs = |character: &char| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '.' | '_' | '%' | '+' | '-' | '\'' => true,
        // Letters of the scripts that part their words; a sentence of the others would be taken whole.
        other => !other.is_ascii() && *other < '\u{530}' && other.is_alphabetic(),
    };
    let before = &text[floor..at];
    let length: usize = before.chars().rev().take_while(belongs).map(char::len_utf8).sum();
    let local = &before[before.len() - length..];
    // Signs that belong to what stands before the address.
    at - local.trim_start_matches(['.', '\'', '-']).len()
}

/// How long the domain is that `text` begins with: up to its last label that can be a top-level one.
fn domain_length(text: &str) -> Option<usize> {
    let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let domain = &text[..text.bytes().take_while(belongs).count()];
    let mut labels = domain.split('.');
    let first = labels.next().filter(|label| !label.is_empty() && !label.starts_with('-'))?;
    let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let mut end = first.len();
    let mut length = None;
    for (index, label) in labels.enumerate() {
        if label.is_empty() || label.starts_with('-') {
            break;
        }
        // A version.
        if index == 0 && numeric(first) && label.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let letters = match label.starts_with("xn--") {
            true => label.len(),
            false => label.bytes().take_while(u8::is_ascii_alphabetic).count(),
        };
        // Behind the letters stands nothing, or the dash before other words: `bob@example.com-2`.
        if letters >= 2 && matches!(label.as_bytes().get(letters), None | Some(b'-')) {
            let file = FILE_ENDINGS.iter().any(|file| label.eq_ignore_ascii_case(file));
            length = (!file).then_some(end + 1 + letters).or(length);
        }
        end += 1 + label.len();
    }
    length
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
    fn addresses_are_found_wherever_they_stand() {
        for (text, address) in [
            ("bob@example.com", "bob@example.com"),
            ("mail to <bob.b+x@mail.example.co.uk>, now", "bob.b+x@mail.example.co.uk"),
            ("login failed for bob@example.com.", "bob@example.com"),
            ("\"email\":\"müller@example.de\"", "müller@example.de"),
            ("GET /u?email=bob%40example.com&x=1", "bob%40example.com"),
            ("mailto:o'neil@example.ie", "o'neil@example.ie"),
            ("请联系bob@example.com谢谢", "bob@example.com"),
            ("x@y.xn--p1ai", "x@y.xn--p1ai"),
            ("https://h.io/u/bob@example.com-2026.log", "bob@example.com-2026.log"),
            ("bob@example.com-2", "bob@example.com"),
            ("bob@example.com..", "bob@example.com"),
        ] {
            assert_eq!(found(text), [address], "{text}");
        }
        assert_eq!(found("a@b.co,c@d.co;e@f.co"), ["a@b.co", "c@d.co", "e@f.co"]);
    }

    #[test]
    fn other_uses_of_the_sign_are_left_alone() {
        for text in [
            "root@db1",
            "react@18.2.0",
            "vue@3.0.0-beta.next",
            "com.acme.Foo@1a2b3c4d",
            "icon@2x.png",
            "git@github.com:x/y.git",
            "@Override @org.junit.Test",
            "a @ b.com",
            "50%40",
            "@",
            "x@.com",
            "x@a..com",
            "x@-a.com",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_million_signs_take_no_time_to_tell() {
        assert_eq!(found(&"@".repeat(1 << 20)), [""; 0]);
        assert_eq!(found(&"a".repeat(1 << 20)), [""; 0]);
        assert_eq!(found(&"%40a".repeat(1 << 18)), [""; 0]);
        assert_eq!(found(&"a@".repeat(1 << 19)), [""; 0]);
    }
}
