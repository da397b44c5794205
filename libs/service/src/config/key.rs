//! How a role declares its keys.

use std::time::Duration;

use super::ByteSize;

/// A table of the configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name, `collector`.
    pub name: &'static str,
    /// What it is for; one or more lines.
    pub doc: &'static str,
    /// Its keys, in the order of the reference.
    pub keys: &'static [Key],
}

/// A key of a table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its path in the table, levels separated by dots: `http`, `journal.flush_interval`.
    pub path: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What is used when it is not set.
    pub fallback: Fallback,
    /// What it does; one or more lines. Unit, bounds and default are added by the reference.
    pub doc: &'static str,
}

impl Key {
    /// A key, its parts in the order of their declaration.
    pub const fn new(
        path: &'static str,
        kind: Kind,
        fallback: Fallback,
        doc: &'static str,
    ) -> Self {
        Self { path, kind, fallback, doc }
    }
}

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `HOST:PORT`; `[::1]:80` for IPv6, port 0 for any free one.
    Address,
    /// A size, `"128 MiB"` or a number of bytes.
    ByteSize {
        /// Smallest.
        min: ByteSize,
        /// Largest.
        max: ByteSize,
    },
    /// A duration, `"30s"`.
    Duration {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// A whole number.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A number.
    Float {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// `true` or `false`.
    Bool,
    /// A path; relative ones are the role's to resolve.
    Path,
    /// Any text that is not empty.
    Text,
    /// One of these words.
    Enum(&'static [&'static str]),
    /// A text in a notation of the role's own: an expression, a query, a URL.
    Notation {
        /// What it is, with its article: `a regular expression`.
        what: &'static str,
        /// One that is right, for the reference.
        example: &'static str,
        /// What is wrong with a text, if anything.
        check: fn(&str) -> Result<(), String>,
    },
    /// A list; a single value stands for a list of one.
    List(&'static Kind),
    /// A list of tables, `[[agent.sources]]`, each with these keys.
    Tables(&'static [Key]),
    /// A table whose keys the user names, `labels = { team = "shop" }`; its values are of this kind.
    Map(&'static Kind),
}

/// What is used when a key is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// It must be set.
    Required,
    /// It stays absent; ask for it as an `Option`, lists and maps come out empty.
    Absent,
    /// This value, written as in an environment variable: `127.0.0.1:4318`, `30s`, `["a", "b"]`.
    Value(&'static str),
}

impl Kind {
    /// What it takes, in words with bounds, for messages and the reference.
    pub fn describe(&self) -> String {
        match self {
            Kind::Address => "an address, \"HOST:PORT\"".to_owned(),
            Kind::ByteSize { min, max } => format!("a size like \"128 MiB\", {min} to {max}"),
            Kind::Duration { min, max } => format!(
                "a duration like \"30s\", {} to {}",
                super::format_duration(*min),
                super::format_duration(*max)
            ),
            Kind::Integer { min, max } => match (*min, *max) {
                (min, i64::MAX) => format!("a whole number, at least {min}"),
                (min, max) => format!("a whole number, {min} to {max}"),
            },
            Kind::Float { min, max } => format!("a number, {min} to {max}"),
            Kind::Bool => "true or false".to_owned(),
            Kind::Path => "a path".to_owned(),
            Kind::Text => "a text that is not empty".to_owned(),
            Kind::Notation { what, .. } => (*what).to_owned(),
            Kind::Enum(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                match words.as_slice() {
                    [one] => one.clone(),
                    [first @ .., last] => format!("{} or {last}", first.join(", ")),
                    [] => "nothing".to_owned(),
                }
            }
            Kind::List(of) => format!("a list; each {}", of.describe()),
            Kind::Tables(_) => "a list of tables".to_owned(),
            Kind::Map(of) => format!("a table of your own keys; each {}", of.describe()),
        }
    }

    /// Whether it is written as a TOML string.
    pub(super) fn is_textual(&self) -> bool {
        matches!(
            self,
            Kind::Address
                | Kind::ByteSize { .. }
                | Kind::Duration { .. }
                | Kind::Path
                | Kind::Text
                | Kind::Enum(_)
                | Kind::Notation { .. }
        )
    }
}
