//! What was written and is not there any more as it was: found by checksums, set apart, told, and accounted for.
//!
//! | what is damaged | found | then |
//! |---|---|---|
//! | journal entry | at the start | its bytes go to `quarantine/`, its records count as quarantined |
//! | index of a segment | when first read, or by the scrub | built again from the columns |
//! | columns of a segment | when first read, or by the scrub | the pair goes to `quarantine/`, its rows count as quarantined, answers over its time are partial |
//! | catalog | at the start | goes to `quarantine/`, is made again from the segments' footers and the journal |
//!
//! Files of a segment are checked whole when they are first mapped (crc32c, several GB/s), and again by the compaction
//! thread, some at a time. A store never stops for damage; it is degraded until a person has looked at `quarantine/`
//! and emptied it.

mod check;
mod open;
mod quarantine;
mod rebuild;
mod scrub;

pub use check::{CheckFault, CheckReport, check};
pub(crate) use open::open_catalog;
pub(crate) use quarantine::{Quarantined, keep_bytes, left_to_look_at, move_files, release_gone};
#[cfg(test)]
pub(crate) use rebuild::catalog_change;
pub(crate) use rebuild::{RowNumbers, in_segments};
pub(crate) use scrub::Scrub;
#[cfg(test)]
pub(crate) use scrub::repair;

/// Where damaged things are kept for a person to look at.
pub(crate) const FOLDER: &str = "quarantine";
