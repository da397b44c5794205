//! What is wrong with a configuration, and where.

use std::fmt::{self, Write};
use std::sync::Arc;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A place in a file; line and column count from 1, columns in characters.
    File {
        /// The name as it was given.
        name: Arc<str>,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: Arc<str>,
    },
    /// The key's own default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Origin::Environment { variable } => write!(f, "environment {variable}"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it is; `None` for a key that is nowhere set and must be.
    pub origin: Option<Origin>,
    /// The full path of the key, `collector.http`; empty for a fault of the file's syntax.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for Fault {
    /// One line, whatever the names and values in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        if let Some(origin) = &self.origin {
            text += &format!("{origin}: ");
        }
        if !self.key.is_empty() {
            text += &format!("{}: ", self.key);
        }
        text += &self.message;
        if let Some(help) = &self.help {
            text += &format!("; {help}");
        }
        for character in text.chars() {
            match character.is_control() {
                true => write!(f, "{}", character.escape_debug())?,
                false => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// All faults of a configuration; never empty. Displays one a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults {
    all: Vec<Fault>,
}

impl Faults {
    pub(super) fn new(mut all: Vec<Fault>) -> Self {
        // By place; what has none, because it is missing, comes last.
        all.sort_by(|a, b| {
            (a.origin.is_none(), &a.origin, &a.key).cmp(&(b.origin.is_none(), &b.origin, &b.key))
        });
        Self { all }
    }

    /// The faults that a role found itself; `None` if there are none.
    pub fn found(all: Vec<Fault>) -> Option<Self> {
        (!all.is_empty()).then(|| Self::new(all))
    }

    /// One by one.
    pub fn all(&self) -> &[Fault] {
        &self.all
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.all.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}
