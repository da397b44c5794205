//! The corpus that every figure is measured on: one day of a shop's log, made from a seed.
//!
//! Its shape is that of the figures in the design: 2,000,000 records, 413 bytes each as a line of JSON (newline
//! included, ±3%), 24 hours, one correlation id for every 12.5 records. The same seed and number of records give the
//! same bytes on every machine. Nothing here knows of logq.

mod entry;
mod generator;
mod messages;
mod shop;
mod write;

pub(crate) use entry::{Entry, Level};
pub(crate) use generator::{CORRELATION_RECORDS_MEAN, DAY_END, DAY_START, Generator};
pub(crate) use write::write_corpus;

/// Records where nothing else is asked for.
pub(crate) const RECORDS_DEFAULT: u64 = 2_000_000;
/// The most that is generated: the loader keeps the corpus in memory.
pub(crate) const RECORDS_MAX: u64 = 20_000_000;
/// Seed where nothing else is asked for.
pub(crate) const SEED_DEFAULT: u64 = 42;

/// A word of about 35% of the messages.
pub(crate) const COMMON_WORD: &str = "request";
/// A phrase of about 1% of the messages; both words stand in others too, apart or the other way round.
pub(crate) const PHRASE: [&str; 2] = ["connection", "refused"];
/// A word of one message in some thousands: a million records hold more than a hundred.
pub(crate) const RARE_WORD: &str = "segfault";

/// Which corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct CorpusOptions {
    /// Records of the corpus
    #[arg(long, default_value_t = RECORDS_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=RECORDS_MAX))]
    pub(crate) records: u64,
    /// Seed of the corpus
    #[arg(long, default_value_t = SEED_DEFAULT)]
    pub(crate) seed: u64,
}
