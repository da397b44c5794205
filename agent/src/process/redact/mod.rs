//! Secrets are taken out of records before anything of them is kept or sent.
//!
//! A rule says what to look for (a built-in [`Detector`] or a [`Pattern`] of the user's), where, and what to do with
//! what was found ([`Action`]). All rules see the texts as they came. Where what they found overlaps, the whole is
//! replaced once, in the name of the one that begins first; `drop` wins over `mask` and `hash`, `drop_record` over
//! all.
//!
//! | field | looked through by |
//! |---|---|
//! | message, event name, text of the severity, attributes of text | detectors, patterns |
//! | attributes with a telling name (`db.password`), of any type but boolean | `password`, `bearer`: the whole value |
//! | integer attributes | `card` |
//! | correlation id, `source.path`; attributes that are numbers or booleans, as they are printed | patterns that name the field |
//! | service, host, times, trace and span id, names of attributes | nobody |
//!
//! What must hold: a text without a find stays borrowed, byte for byte; the time is linear in the text (for
//! patterns: as the regex crate promises); a text with more than [`FINDS_MAX`] finds is replaced as a whole, so
//! that it cannot grow without bound. If anything at all was found, `logq.original_bytes` goes too, because it holds
//! the line as it was.

mod assignment;
mod bearer;
mod card;
mod email;
mod finder;
mod finds;
mod keyed_hash;
mod redactor;
mod url;

use std::fmt;

pub use finds::FINDS_MAX;
pub use keyed_hash::HashKey;
pub(super) use redactor::{DropRecord, Redactor};

/// Longest name of a rule, in bytes; of letters, digits, `_` and `-`.
pub const RULE_NAME_BYTES_MAX: usize = 64;

/// What to take out of records; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    /// Built-in detectors, each at most once.
    pub detectors: Vec<(Detector, Action)>,
    /// Rules of the user's own.
    pub patterns: Vec<Pattern>,
    /// The key for [`Action::Hash`]; needed where a rule hashes.
    pub hash_key: Option<HashKey>,
}

/// What logq can find by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detector {
    /// Credentials of HTTP and JSON web tokens.
    Bearer,
    /// Values under telling keys (`password`, `token`, `api_key` …), and passwords in addresses.
    Password,
    /// Numbers of payment cards.
    Card,
    /// E-mail addresses.
    Email,
}

/// A rule of the user's own.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Stands in what replaces a find, and in the counts; see [`RULE_NAME_BYTES_MAX`].
    pub name: String,
    /// A regular expression. If it has a group named `secret`, only that is replaced.
    pub pattern: String,
    /// Where to look: names as in queries; one that ends with `*` means all attributes that begin so. Empty: in all
    /// texts that detectors look through.
    pub fields: Vec<String>,
    /// What to do.
    pub action: Action,
}

/// What to do with what a rule found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// `mask`: `[REDACTED:name]` stands in its place.
    #[default]
    Mask,
    /// `drop`: the whole field is removed; a message is emptied.
    Drop,
    /// `drop_record`: the record is dropped.
    DropRecord,
    /// `hash`: `name:` and 16 hex digits stand in its place, the same for equal values.
    Hash,
}

impl Detector {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Bearer, Self::Password, Self::Card, Self::Email];

    /// The name in the configuration, and that of its rule.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Password => "password",
            Self::Card => "card",
            Self::Email => "email",
        }
    }

    /// The detector of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|detector| detector.name() == name)
    }
}

impl Action {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Mask, Self::Drop, Self::DropRecord, Self::Hash];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mask => "mask",
            Self::Drop => "drop",
            Self::DropRecord => "drop_record",
            Self::Hash => "hash",
        }
    }

    /// The action of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

impl fmt::Display for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a rule has found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleCount {
    /// The rule's name.
    pub name: String,
    /// How often it found something.
    pub finds: u64,
    /// How many records were dropped for it.
    pub records_dropped: u64,
}
