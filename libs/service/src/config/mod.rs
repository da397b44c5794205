//! Configuration: one `logq.toml`, a table for each role, and environment overrides.
//!
//! A role declares its keys as data ([`Table`], [`Key`], [`Kind`]). From that alone come validation, defaults,
//! the reference text ([`reference()`]) and typed access ([`Values`]), so they cannot disagree:
//!
//! ```text
//! TOML text ┐
//!           ├─▶ one tree ─▶ checked against the keys ─▶ Values ─▶ the role's own struct
//! LOGQ__…   ┘                 └─▶ Faults: all of them, each with file, line, column, key and what to do
//! ```
//!
//! An environment variable `LOGQ__COLLECTOR__HTTP` overrides `http` of `[collector]`: double underscores
//! separate levels, case does not matter, the value is read as TOML where that gives what the key wants, else
//! as text. Unknown keys are refused, with the nearest known name. Nothing is read but what is passed in.

mod byte_size;
mod check;
mod duration;
mod fault;
mod key;
mod nearest;
mod raw;
mod reference;
mod values;

use std::collections::BTreeMap;

pub use byte_size::ByteSize;
pub use duration::{format_duration, parse_duration};
pub use fault::{Fault, Faults, Origin};
pub use key::{Fallback, Key, Kind, Table};
pub use reference::reference;
pub use values::{FromSetting, Values};

/// What environment overrides begin with.
pub const ENVIRONMENT_PREFIX: &str = "LOGQ__";

/// The checked configuration of all known tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    tables: BTreeMap<&'static str, Values>,
}

impl Config {
    /// The values of a table that was passed to [`load`]; those it does not set have their defaults.
    ///
    /// # Panics
    /// If no such table was declared, which is a fault of the program.
    pub fn table(&self, name: &str) -> &Values {
        self.tables.get(name).unwrap_or_else(|| panic!("table `{name}` is not declared"))
    }
}

/// Reads and checks a configuration.
///
/// `file` is the name to show and the text, if there is a file; `environment` is that of the process
/// (`std::env::vars()`), of which only `LOGQ__…` is looked at. `tables` are those that this program knows;
/// `foreign` names tables of other programs, which may be there and are not looked into.
///
/// # Errors
/// All faults that were found, in the order of the file, then of the environment.
pub fn load(
    file: Option<(&str, &str)>,
    environment: impl IntoIterator<Item = (String, String)>,
    tables: &'static [Table],
    foreign: &[&str],
) -> Result<Config, Faults> {
    let mut faults = Vec::new();
    let mut root = match file {
        Some((name, text)) => raw::parse_file(name, text, &mut faults),
        None => raw::Members::new(),
    };
    // After a syntax error keys may be missing that are there; only the syntax is reported then.
    if !faults.is_empty() {
        return Err(Faults::new(faults));
    }
    raw::apply_environment(&mut root, environment, &mut faults);
    let tables = check::check(root, tables, foreign, &mut faults);
    if faults.is_empty() { Ok(Config { tables }) } else { Err(Faults::new(faults)) }
}

#[cfg(test)]
mod mutated;
#[cfg(test)]
mod tests;
