//! Finds which messages were printed by the same statement, and what that statement is: `Connection from <*> closed`.
//!
//! A [`Miner`] takes messages one by one and tells the number of each one's *shape*: its first line without what is a
//! value by its looks. [`Miner::finish`] groups the shapes and gives each group a template.
//!
//! Does no I/O and imports nothing of ours: it must not know queries, records or where messages come from.
//!
//! # What always holds
//!
//! * The fixed parts of a template stand in this order in the first line of each message of its group, if white space of
//!   any length is taken for one space.
//! * Neither the order of the messages nor how often each of them comes changes which are grouped together, nor the
//!   templates; as long as the [`Bounds`] are not reached.
//! * Memory is bounded by [`Bounds`], and any text will do. Lines after the first are not looked at.
//!
//! # The algorithm
//!
//! Our own, in two parts. What is known of it is named where it is known.
//!
//! 1. **By looks**, for each message (`scan`, `shape`). Numbers, ids, addresses, paths, URLs and dates become one value;
//!    values in a row become one, so that lists of any length are the same. Names with a few digits (`node-17`) keep their
//!    letters. The unit after a number, and what is missing in `()` or after `=`, are places of their own. What the values
//!    of one place have in common is kept (`slots`), so that `blk_<*>` and a name that is always `ssh2` are shown.
//! 2. **By statistics**, for each distinct shape (`grouping`). A word that varies is found by what stays the same around
//!    it: if several shapes differ in one word only (`context`), or differ in several words of which each is replaced by
//!    enough others (`split`; splitting by the place with the fewest different words is the idea of IPLoM, Makanju et al.,
//!    KDD 2009), they are of one statement. How many different words are enough depends on how much the shapes share,
//!    and on what the words look like: see `grouping::needed` and `symbols`. Patterns whose values differ in their number
//!    of words come together as places in a row that vary become one, and as `gaps` are filled.
//!    This is repeated until nothing changes.
//!
//! Counts are of distinct shapes, never of messages. The thresholds were chosen once, on eight systems of Loghub (Zhu et
//! al., ISSRE 2023) and on made messages, in ranges in which the outcome hardly depends on them; there is no
//! configuration for a system.
//!
//! # Limits
//!
//! What varies between two or three words only is not told from two statements, unless it looks like a value. Words of
//! capitals and the values of keys are held to be of closed sets (`GET`, `level=warn`) until there are many of them.

mod context;
mod gaps;
mod grouping;
mod miner;
mod patterns;
mod scan;
mod shape;
mod slots;
mod split;
mod symbols;
mod templates;

pub use miner::{Bounds, Miner};
pub use templates::Templates;

#[cfg(test)]
mod tests;
