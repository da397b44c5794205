//! Why settings, or a saved state, cannot be used. All of it is told before the first record is read.

use ql::Diagnostics;
use thiserror::Error;

/// Why settings, or a saved state, cannot be used.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum ProcessError {
    /// A filter does not parse.
    #[error("`{key}` is no filter:\n{}", source.render(filter))]
    Filter { key: String, filter: String, source: Diagnostics },
    /// The pattern of a redaction rule does not compile.
    #[error("the pattern of redaction rule {rule:?} is no regular expression")]
    Pattern { rule: String, source: Box<regex::Error> },
    /// Something else is wrong with a redaction rule.
    #[error("redaction rule {rule:?}: {reason}")]
    Rule { rule: String, reason: String },
    /// The key for `hash` is too weak. The key itself is not shown.
    #[error("the hash key has {bytes} bytes, it needs at least {bytes_min}")]
    HashKey { bytes: usize, bytes_min: usize },
    /// A field cannot be added.
    #[error("cannot add the field {name:?}: {reason}")]
    Field { name: String, reason: &'static str },
    /// A number is out of its range.
    #[error("`{key}` is {value}, it must be {wanted}")]
    Range { key: &'static str, value: String, wanted: &'static str },
    /// A saved state of the sampler is not one, or is of a newer version.
    #[error("the saved state of the sampler is bad at byte {at}: {reason}")]
    SavedState { at: usize, reason: &'static str },
}
