//! Values that stand under a telling key: `password=x`, `"api_key": "x"`, `--token x`, `<secret>x</secret>`,
//! `Authorization: Bearer x`.
//!
//! The search goes from `=`, `:` and `>` backwards to the key, because most texts have few of them. A key is found
//! in any case, with words joined by `_`, `-`, `.` or a space, and at the end of a longer name (`DB_PASSWORD`,
//! `userPassword`).
//!
//! Where the value ends:
//!
//! * in quotes: at the same quote, escaped as often as the first one (JSON in JSON), else with the text;
//! * in an element of XML: at `<`;
//! * else at white space, at punctuation that is followed by it, or where another `key=value` begins. An opening
//!   bracket is taken with all up to its closing one.
//!
//! `true`, `false`, `null` and their like are nobody's secret. All is linear in the length of the text.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memchr3};

static DASHES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("--"));

/// Most blanks and quotes between a key and its separator, or after it.
const BLANKS_MAX: usize = 16;
/// Longest name that is read after punctuation or dashes, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest bracketed value, in bytes.
const BRACKETED_BYTES_MAX: usize = 4_096;

/// Which keys are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// `authorization` and what ends so.
    Authorization,
    /// That, and all of [`KEYS`].
    All,
}

/// The words of each key; whether they also count when letters run into them (`dbpassword`).
const KEYS: [(&[&str], bool); 16] = [
    (&["password"], true),
    (&["passwd"], true),
    (&["passphrase"], true),
    (&["pwd"], false),
    (&["secret"], false),
    (&["client", "secret"], true),
    (&["token"], false),
    (&["auth", "token"], true),
    (&["access", "token"], true),
    (&["refresh", "token"], true),
    (&["session", "token"], true),
    (&["api", "key"], true),
    (&["access", "key"], true),
    (&["secret", "key"], true),
    (&["private", "key"], true),
    (&["authorization"], false),
];
const AUTHORIZATION: usize = KEYS.len() - 1;

/// Words that stand for no value.
const NO_VALUES: [&str; 6] = ["null", "nil", "none", "true", "false", "undefined"];

/// Schemes of `Authorization` (RFC 7235) with one credential, and those with a list of parameters.
const SCHEMES: [&str; 6] = ["bearer", "basic", "token", "negotiate", "ntlm", "apikey"];
const SCHEMES_OF_PARAMETERS: [&str; 5] =
    ["digest", "aws4-hmac-sha256", "oauth", "signature", "hawk"];

/// Whether the value of an attribute of this name is a secret.
pub(super) fn is_secret_name(name: &str, keys: Keys) -> bool {
    // The second attribute of a name is called `NAME#2`.
    let name = match name.rsplit_once('#') {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    };
    key_at_end(name.as_bytes()).is_some_and(|key| keys == Keys::All || key == AUTHORIZATION)
}

/// Calls `found` with the place of each value under one of the keys.
pub(super) fn find(text: &str, keys: Keys, found: &mut dyn FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(offset) = memchr3(b'=', b':', b'>', &bytes[from..]) {
        let at = from + offset;
        from = at + 1;
        let Some(key) = key_before(bytes, at) else { continue };
        if keys == Keys::Authorization && key != AUTHORIZATION {
            continue;
        }
        let value = match bytes[at] {
            b'>' => element_value(bytes, at),
            _ => assigned_value(bytes, at, key),
        };
        if let Some(value) = value {
            from = value.end.max(from);
            found(value);
        }
    }
    if keys == Keys::All {
        find_options(bytes, found);
    }
}

/// `--password x`; with a `=` it is an assignment.
fn find_options(bytes: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let mut from = 0;
    while let Some(offset) = DASHES.find(&bytes[from..]) {
        let name = from + offset + 2;
        let end = name + name_length(&bytes[name..]);
        from = end;
        let value = end + blanks(&bytes[end..]);
        let option = bytes.get(name).is_some_and(u8::is_ascii_alphabetic) && value > end;
        if !option || bytes.get(value).is_none_or(|byte| matches!(byte, b'-' | b'=' | b':')) {
            continue;
        }
        if key_at_end(&bytes[name..end]).is_some() {
            let value = quoted(bytes, value).unwrap_or_else(|| value..bare_end(bytes, value));
            from = value.end;
            if !value.is_empty() {
                found(value);
            }
        }
    }
}

/// The key that stands before the separator at `at`.
fn key_before(bytes: &[u8], at: usize) -> Option<usize> {
    let skipped = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'`' | b'\\' | b']');
    // Before the `>` of an element stands its name and nothing else.
    let most = if bytes[at] == b'>' { 0 } else { BLANKS_MAX };
    let end = at - bytes[..at].iter().rev().take(most).take_while(skipped).count();
    let key = key_at_end(&bytes[..end])?;
    if bytes[at] == b'>' {
        let name =
            |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':' | b'.');
        let length = bytes[..end].iter().rev().take(NAME_BYTES_MAX).take_while(name).count();
        let opened = (end - length).checked_sub(1).is_some_and(|before| bytes[before] == b'<');
        return opened.then_some(key);
    }
    Some(key)
}

/// The place in [`KEYS`] of the key that `name` ends with.
fn key_at_end(name: &[u8]) -> Option<usize> {
    let last = name.last()?.to_ascii_lowercase();
    if !matches!(last, b'd' | b'e' | b't' | b'n' | b'y') {
        return None;
    }
    KEYS.iter().position(|(words, runs_in)| {
        start_of_words(name, words).is_some_and(|start| *runs_in || begins_word(name, start))
    })
}

/// Where the words begin that `name` ends with.
fn start_of_words(name: &[u8], words: &[&str]) -> Option<usize> {
    let mut end = name.len();
    for (index, word) in words.iter().rev().enumerate() {
        if index > 0 && end > 0 && matches!(name[end - 1], b'_' | b'-' | b'.' | b' ') {
            end -= 1;
        }
        let start = end.checked_sub(word.len())?;
        if !name[start..end].eq_ignore_ascii_case(word.as_bytes()) {
            return None;
        }
        end = start;
    }
    Some(end)
}

/// Whether a word begins at `start`: after something else than a letter or digit, or by a capital.
fn begins_word(name: &[u8], start: usize) -> bool {
    let Some(before) = start.checked_sub(1).map(|before| name[before]) else { return true };
    let after = name.get(start + 1).is_some_and(u8::is_ascii_lowercase);
    // An escape of JSON: `\nsecret=…`.
    let escape = matches!(before, b'n' | b't' | b'r') && start > 1 && name[start - 2] == b'\\';
    !before.is_ascii_alphanumeric()
        || escape
        || (name[start].is_ascii_uppercase() && (!before.is_ascii_uppercase() || after))
}

/// The value after the `=` or `:` at `at`.
fn assigned_value(bytes: &[u8], at: usize, key: usize) -> Option<Range<usize>> {
    let mut start = at + 1;
    match (bytes[at], bytes.get(start)) {
        // A path of names, as in `token::parse`, or a scheme.
        (b':', Some(b':')) => return None,
        (b':', Some(b'/')) if bytes.get(start + 1) == Some(&b'/') => return None,
        (b':', Some(b'=')) | (b'=', Some(b'=' | b'>')) => start += 1,
        _ => {}
    }
    start += blanks(&bytes[start..]);
    if let Some(value) = quoted(bytes, start) {
        let value = without_scheme(bytes, value, key);
        return is_value(&bytes[value.clone()]).then_some(value);
    }
    if key == AUTHORIZATION
        && let Some(value) = after_scheme(bytes, start)
    {
        return (!value.is_empty()).then_some(value);
    }
    let value = start..bare_end(bytes, start);
    // `unexpected token: }` is no secret; after `=` anything may be one.
    let letters = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
    let spoken = bytes[at] == b':' && !bytes[value.clone()].iter().any(letters);
    (!spoken && is_value(&bytes[value.clone()])).then_some(value)
}

/// The text of the element whose tag ends at `at`.
fn element_value(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at + 1;
    let end = memchr(b'<', &bytes[start..]).map_or(bytes.len(), |length| start + length);
    is_value(&bytes[start..end]).then_some(start..end)
}

fn is_value(value: &[u8]) -> bool {
    !value.is_empty() && !NO_VALUES.iter().any(|none| value.eq_ignore_ascii_case(none.as_bytes()))
}

/// What stands in the quotes that begin at `start`; `None` if none do.
fn quoted(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let slashes = bytes[start..].iter().take_while(|byte| **byte == b'\\').count();
    let quote = *bytes.get(start + slashes)?;
    if !matches!(quote, b'"' | b'\'' | b'`') {
        return None;
    }
    let open = start + slashes + 1;
    let mut from = open;
    while let Some(offset) = memchr(quote, &bytes[from..]) {
        let at = from + offset;
        let before = bytes[from..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        // A quote of the text has more slashes than the one that ends it, each pair of them standing for one.
        if before % (2 * (slashes + 1)) == slashes {
            return Some(open..at - slashes);
        }
        from = at + 1;
    }
    Some(open..bytes.len())
}

/// Without the `Bearer ` that a quoted value of `Authorization` begins with.
fn without_scheme(bytes: &[u8], value: Range<usize>, key: usize) -> Range<usize> {
    if key != AUTHORIZATION {
        return value;
    }
    let (scheme, parameters) = scheme_at(&bytes[value.clone()]);
    let start = value.start + scheme;
    if scheme > 0 && !parameters {
        start + blanks(&bytes[start..value.end])..value.end
    } else {
        value
    }
}

/// The credentials after the scheme at `start`; `None` if no scheme stands there.
fn after_scheme(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let (length, parameters) = scheme_at(&bytes[start..]);
    if length == 0 {
        return None;
    }
    let start = start + length;
    let start = start + blanks(&bytes[start..]);
    if !parameters {
        return Some(start..bare_end(bytes, start));
    }
    let end = memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |length| start + length);
    Some(start..end)
}

/// The length of the scheme that `bytes` begins with, 0 if none; whether parameters follow it.
fn scheme_at(bytes: &[u8]) -> (usize, bool) {
    let length = name_length(bytes);
    let is = |scheme: &&str| bytes[..length].eq_ignore_ascii_case(scheme.as_bytes());
    let parameters = SCHEMES_OF_PARAMETERS.iter().any(is);
    let followed = bytes.get(length).is_none_or(|byte| matches!(byte, b' ' | b'\t'));
    let known = followed && (parameters || SCHEMES.iter().any(is));
    (if known { length } else { 0 }, parameters)
}

/// Where a value without quotes ends that begins at `start`.
pub(super) fn bare_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    let mut brackets = true;
    while let Some(byte) = bytes.get(at) {
        match byte {
            0..=b' ' | 0x7f => break,
            b'(' | b'[' | b'{' if brackets => match closing(bytes, at) {
                Some(closing) => at = closing + 1,
                None => {
                    brackets = false;
                    at += 1;
                }
            },
            byte if is_punctuation(byte) => {
                let run = bytes[at..].iter().take_while(|byte| is_punctuation(byte)).count();
                if ends_before(bytes, at..at + run) {
                    break;
                }
                at += run;
            }
            _ => at += 1,
        }
    }
    at
}

fn is_punctuation(byte: &u8) -> bool {
    matches!(
        byte,
        b',' | b';' | b'&' | b'|' | b')' | b']' | b'}' | b'<' | b'>' | b'"' | b'\'' | b'`' | b'\\'
    )
}

/// Whether a value ends before this punctuation: the text ends with it, or white space or another key follows.
fn ends_before(bytes: &[u8], punctuation: Range<usize>) -> bool {
    let at = punctuation.end;
    if bytes.get(at).is_none_or(u8::is_ascii_whitespace) {
        return true;
    }
    let length = name_length(&bytes[at..]);
    let closing = |byte: &&u8| matches!(byte, b'"' | b'\'' | b'`' | b'\\' | b']');
    let separator = at + length + bytes[at + length..].iter().take(4).take_while(closing).count();
    let list = |byte: &u8| matches!(byte, b',' | b';' | b'"' | b'\'');
    length > 0
        && match bytes.get(separator) {
            Some(b'=') => true,
            Some(b':') => bytes[punctuation].iter().any(list),
            _ => false,
        }
}

/// Where the bracket at `at` is closed, if that is on the same line and not too far.
fn closing(bytes: &[u8], at: usize) -> Option<usize> {
    let open = bytes[at];
    let close = if open == b'(' { b')' } else { open + 2 };
    let mut depth = 0_usize;
    for (offset, byte) in bytes[at..].iter().take(BRACKETED_BYTES_MAX).enumerate() {
        if *byte == b'\n' {
            return None;
        } else if *byte == open {
            depth += 1;
        } else if *byte == close {
            depth -= 1;
            if depth == 0 {
                return Some(at + offset);
            }
        }
    }
    None
}

fn name_length(bytes: &[u8]) -> usize {
    let belongs = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    bytes.iter().take(NAME_BYTES_MAX).take_while(belongs).count()
}

fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().take(BLANKS_MAX).take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, keys: Keys) -> Vec<&str> {
        let mut all = Vec::new();
        find(text, keys, &mut |range| all.push(&text[range]));
        all
    }

    fn check(text: &str, secrets: &[&str]) {
        assert_eq!(found(text, Keys::All), secrets, "{text}");
    }

    #[test]
    fn values_are_found_in_every_way_of_writing_them() {
        for text in [
            "password=SeCr3t",
            "login with password: SeCr3t",
            "PASSWORD = SeCr3t",
            "db_password=SeCr3t, host=x",
            "DB_PASSWORD='SeCr3t' ./run",
            "userPassword=>SeCr3t;",
            "dbpassword := \"SeCr3t\"",
            "{\"user\":\"bob\",\"password\":\"SeCr3t\",\"n\":1}",
            "{'pwd': 'SeCr3t'}",
            "{password=SeCr3t, user=bob}",
            "User(name=bob, passwd=SeCr3t)",
            "User(name=bob, passwd=SeCr3t), next",
            "GET /login?user=bob&password=SeCr3t&x=1 HTTP/1.1",
            "\"GET /login?api_key=SeCr3t\" 200",
            "X-Api-Key: SeCr3t",
            "API key: SeCr3t",
            "apikey=SeCr3t|user=bob",
            "AWS_SECRET_ACCESS_KEY=SeCr3t",
            "client-secret: SeCr3t",
            "user[password]=SeCr3t",
            "{\\\"token\\\":\\\"SeCr3t\\\",\\\"n\\\":1}",
            "[\"password=SeCr3t\",\"user=x\"]",
            "[\"a\\nsecret=SeCr3t\"]",
            "mysql --password SeCr3t -u root",
            "mysql --password=SeCr3t -u root",
            "curl --oauth2-token 'SeCr3t' x",
            "<ns:Password>SeCr3t</ns:Password>",
            "refreshToken:SeCr3t",
            "userAPIToken=SeCr3t",
            "Authorization: SeCr3t",
            "Authorization: Bearer SeCr3t, Host: x",
            "\"authorization\":\"Basic SeCr3t\"",
            "proxy-authorization=token SeCr3t",
        ] {
            check(text, &["SeCr3t"]);
        }
    }

    #[test]
    fn a_value_goes_as_far_as_it_can() {
        for (text, secret) in [
            ("password=a,b;c&d)e", "a,b;c&d)e"),
            ("password=a\"b'c more", "a\"b'c"),
            ("password=p(a b)c next", "p(a b)c"),
            ("password=((((", "(((("),
            ("password=\"two words\" x", "two words"),
            ("password=\"a\\\"b\\\\\" x", "a\\\"b\\\\"),
            ("\"a\":\"{\\\"password\\\":\\\"x\\\\\\\"y\\\"}\"", "x\\\\\\\"y"),
            ("password=\"never closed, x=1", "never closed, x=1"),
            ("password=пароль!", "пароль!"),
            ("password=#$%", "#$%"),
            (
                "Authorization: Digest username=\"x\", response=\"y\"",
                "username=\"x\", response=\"y\"",
            ),
            (
                "\"private_key\": \"-----BEGIN X-----\\nabc\\n-----END X-----\"",
                "-----BEGIN X-----\\nabc\\n-----END X-----",
            ),
            ("headers=map[Authorization:[Bearer abc] Accept:[x]]", "[Bearer abc]"),
        ] {
            check(text, &[secret]);
        }
        check("password=a,password=b", &["a", "b"]);
    }

    #[test]
    fn what_only_looks_like_a_key_is_left_alone() {
        for text in [
            "Failed password for root from 10.0.0.1 port 22",
            "unexpected token: }",
            "unexpected token ')' at 5",
            "token::parse failed",
            "token_count=5 password_length: 12 tokens=7",
            "password=",
            "password: null, token=false",
            "\"password\": \"\"",
            "primary key: 5, monkey=banana",
            "subtoken=1 cpwd=2",
            "see https://example.com/reset-password?x=1",
            "the secret is out",
            "</password>",
            "a->token>5",
            "--password --user x",
            "----------",
            "authorization: Bearer",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn only_authorization_is_looked_for_if_so_asked() {
        let text = "password=a Authorization: Bearer b";
        assert_eq!(found(text, Keys::Authorization), ["b"]);
    }

    #[test]
    fn names_of_attributes_are_told_by_their_end() {
        for name in
            ["password", "db.password", "user.apiKey", "x-api-key", "PWD", "token#2", "api.key"]
        {
            assert!(is_secret_name(name, Keys::All), "{name}");
            assert!(!is_secret_name(name, Keys::Authorization), "{name}");
        }
        assert!(is_secret_name("http.request.header.authorization", Keys::Authorization));
        for name in ["token_count", "password.length", "key", "monkey", "primary_key", "", "#2"] {
            assert!(!is_secret_name(name, Keys::All), "{name}");
        }
    }

    #[test]
    fn a_million_bytes_of_anything_take_no_time() {
        for piece in [
            "password=",
            "password=\"",
            "password=[",
            "password=\\",
            "a,",
            "=",
            "--",
            "password=a,",
            "password=,",
        ] {
            let text = piece.repeat((1 << 20) / piece.len());
            found(&text, Keys::All);
            found(&format!("password={text}"), Keys::All);
            found(&format!("password=\"{text}"), Keys::All);
        }
    }
}
