//! What users is asked and what it answers, and what an address, a name and a password have to be.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(super) const PASSWORD_RULE: &str = "10 to 128 characters";
const PASSWORD_CHARS_MIN: usize = 10;
const PASSWORD_CHARS_MAX: usize = 128;
/// What a path of SMTP can have (RFC 5321).
const EMAIL_BYTES_MAX: usize = 254;
const NAME_CHARS_MAX: usize = 100;

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    #[schema(example = "ada@example.org", max_length = 254)]
    pub(super) email: String,
    #[schema(value_type = String, format = Password, min_length = 10, max_length = 128)]
    pub(super) password: Secret,
    #[schema(example = "Ada", min_length = 1, max_length = 100)]
    pub(super) name: String,
}

/// Who wants a token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    #[schema(example = "ada@example.org")]
    pub(super) email: String,
    #[schema(value_type = String, format = Password)]
    pub(super) password: Secret,
}

/// A token that the gateway takes.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// For `authorization: Bearer …`.
    pub(super) token: String,
    /// In seconds since 1970.
    pub(super) expires_at: i64,
    pub(super) user_id: String,
}

/// What of a profile is to be changed. Not the address: whoever got hold of a token could take the account over.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileChange {
    #[schema(example = "Ada", min_length = 1, max_length = 100)]
    pub(super) name: String,
}

/// A user, as they and operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Profile {
    #[schema(example = "u-5c0f3ad1e07b9c42")]
    pub(super) id: String,
    pub(super) email: String,
    pub(super) name: String,
    /// `customer` or `operator`.
    pub(super) roles: Vec<String>,
    /// `active` or `deactivated`.
    pub(super) state: String,
    /// In seconds since 1970.
    pub(super) created_at: i64,
}

/// A password. It is never written anywhere.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    pub(super) fn is_good(&self) -> bool {
        (PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&self.0.chars().count())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// An address as it is kept and looked up, if it is one. Whether mail arrives is not for its form to say.
pub(super) fn email(text: &str) -> Option<String> {
    let email = text.trim().to_lowercase();
    let (local, domain) = email.split_once('@')?;
    let sound = |part: &str| {
        !part.is_empty()
            && !part.contains(|c: char| c == '@' || c.is_whitespace() || c.is_control())
    };
    (email.len() <= EMAIL_BYTES_MAX && sound(local) && sound(domain) && domain.contains('.'))
        .then_some(email)
}

/// A name as it is kept, if it is one.
pub(super) fn name(text: &str) -> Option<String> {
    let name = text.trim();
    let sound = (1..=NAME_CHARS_MAX).contains(&name.chars().count());
    (sound && !name.contains(char::is_control)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_kept_in_one_form() {
        let long = format!("{}@example.org", "a".repeat(EMAIL_BYTES_MAX));
        for (text, expected) in [
            (" Ada@Example.ORG\n", Some("ada@example.org")),
            ("ü@bücher.example", Some("ü@bücher.example")),
            ("' OR 1=1;--@example.org", None),
            ("'or'1'='1@example.org", Some("'or'1'='1@example.org")),
            ("ada", None),
            ("ada@", None),
            ("ada@localhost", None),
            ("@example.org", None),
            ("a@b@example.org", None),
            ("a\0b@example.org", None),
            ("a\nb@example.org", None),
            ("", None),
            (&long, None),
        ] {
            assert_eq!(email(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn names_are_short_and_printable() {
        for (text, expected) in [
            ("  Ada ", Some("Ada")),
            ("Robert'); DROP TABLE users;--", Some("Robert'); DROP TABLE users;--")),
            ("阿达", Some("阿达")),
            ("", None),
            ("   ", None),
            ("a\u{1b}[31mb", None),
        ] {
            assert_eq!(name(text).as_deref(), expected, "{text:?}");
        }
        assert!(name(&"ä".repeat(NAME_CHARS_MAX)).is_some());
        assert!(name(&"ä".repeat(NAME_CHARS_MAX + 1)).is_none());
    }
}
