//! What happens to a record between its line and the spool.
//!
//! ```text
//! record ─▶ filter ─▶ rate limit ─▶ redaction ─▶ fields ─▶ sink ─▶ (agent-wide) Sampler ─▶ spool
//!             └────────── dropped, with a reason and a counter ──────────┘
//! ```
//!
//! The order is fixed. Filters see what the line says, before anything is added or taken away; what is over the rate
//! is not worth redacting; fields of the settings are trusted and not looked through. [`Processor`] serves one
//! source; [`Sampler`] serves all of an agent, because a correlation goes through many sources.
//!
//! What must hold: a step that is not configured costs nothing; a text that no step changes stays borrowed; what is
//! dropped is counted by its reason. New texts live in an arena that is emptied with each record.

mod error;
mod fields;
mod filter;
mod rate;
pub mod redact;
mod sample;

use std::fmt;
use std::time::{Duration, Instant};

use bumpalo::Bump;
use record::{RecordRef, Value};

pub use error::ProcessError;
use fields::Fields;
use filter::Filters;
use rate::RateLimiter;
pub use rate::{RateLimit, RatePolicy};
use redact::{DropRecord, Redaction, Redactor, RuleCount};
pub use sample::{
    HeldId, KEPT_IDS_MAX, SampleChanges, SampleCounts, SampleSettings, Sampled, Sampler, share_of,
};

/// What is to be done with the records of a source; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct ProcessSettings {
    /// A filter in the query language; what does not match it is dropped.
    pub keep: Option<String>,
    /// Filters in the query language; what matches one of them is dropped.
    pub drop: Vec<String>,
    /// How much is let through.
    pub rate: Option<RateLimit>,
    /// What is taken out.
    pub redact: Redaction,
    /// Fields for records that have none of that name: attributes, or `service` and `host`.
    pub add: Vec<(String, Value)>,
    /// Fields for all records, in the place of their own.
    pub set: Vec<(String, Value)>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sink has had it.
    Kept,
    /// It goes no further.
    Dropped(Dropped),
    /// Nothing became of it yet: it is over the rate, and is to be brought again after this time, or later. Only
    /// with [`RatePolicy::Block`].
    Wait(Duration),
}

/// Why a record was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It does not match `keep`.
    NotKept,
    /// It matches this one of `drop`.
    Filtered {
        /// Its place in [`ProcessSettings::drop`].
        rule: usize,
    },
    /// It is over the rate.
    RateLimited,
    /// A rule of redaction found something that no record may have.
    Redacted {
        /// Its place in [`ProcessCounts::redacted`].
        rule: usize,
    },
}

/// What became of all records so far: `processed = kept + not_kept + Σ filtered + rate_limited + Σ records_dropped`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessCounts {
    /// Records that something became of.
    pub processed: u64,
    /// Handed to the sink.
    pub kept: u64,
    /// Dropped, because they do not match `keep`.
    pub not_kept: u64,
    /// Dropped by each one of `drop`.
    pub filtered: Vec<u64>,
    /// Dropped, because they were over the rate.
    pub rate_limited: u64,
    /// How often a source was told to wait.
    pub waits: u64,
    /// What each rule of redaction did: detectors first, then patterns.
    pub redacted: Vec<RuleCount>,
}

/// Processes the records of one source, one after the other.
pub struct Processor {
    filters: Option<Filters>,
    limiter: Option<RateLimiter>,
    redactor: Option<Redactor>,
    fields: Option<Fields>,
    arena: Bump,
    counts: ProcessCounts,
}

impl Processor {
    /// Reads the settings.
    ///
    /// # Errors
    /// What is wrong with them; see [`ProcessError`].
    pub fn new(settings: &ProcessSettings) -> Result<Self, ProcessError> {
        let filters = Filters::new(settings.keep.as_deref(), &settings.drop)?;
        let filtering = settings.keep.is_some() || !settings.drop.is_empty();
        let fields = Fields::new(&settings.add, &settings.set)?;
        let counts =
            ProcessCounts { filtered: vec![0; settings.drop.len()], ..ProcessCounts::default() };
        Ok(Self {
            filters: filtering.then_some(filters),
            limiter: settings.rate.as_ref().map(RateLimiter::new).transpose()?,
            redactor: Redactor::new(&settings.redact)?,
            fields: (!fields.is_empty()).then_some(fields),
            arena: Bump::new(),
            counts,
        })
    }

    /// Brings a record through all steps, and to `sink` if it is kept; `now` is for the rate limit alone.
    pub fn process(
        &mut self,
        record: &RecordRef<'_>,
        now: Instant,
        sink: impl FnOnce(&RecordRef<'_>),
    ) -> Outcome {
        if let Some(reason) = self.filters.as_ref().and_then(|filters| filters.verdict(record)) {
            return self.dropped(reason);
        }
        if let Some(limiter) = &mut self.limiter
            && let Err(wait) = limiter.admit(record, now)
        {
            if limiter.policy == RatePolicy::Drop {
                return self.dropped(Dropped::RateLimited);
            }
            self.counts.waits += 1;
            return Outcome::Wait(wait);
        }
        if self.redactor.is_none() && self.fields.is_none() {
            sink(record);
            return self.kept();
        }
        self.arena.reset();
        let mut record = *record;
        if let Some(redactor) = &mut self.redactor
            && let Err(DropRecord(rule)) = redactor.apply(&mut record, &self.arena)
        {
            return self.dropped(Dropped::Redacted { rule });
        }
        if let Some(fields) = &self.fields {
            fields.apply(&mut record, &self.arena);
        }
        sink(&record);
        self.kept()
    }

    /// What became of all records so far.
    pub fn counts(&self) -> ProcessCounts {
        let redacted = self.redactor.as_ref().map_or_else(Vec::new, |one| one.counts().to_vec());
        ProcessCounts { redacted, ..self.counts.clone() }
    }

    fn kept(&mut self) -> Outcome {
        self.counts.processed += 1;
        self.counts.kept += 1;
        Outcome::Kept
    }

    fn dropped(&mut self, reason: Dropped) -> Outcome {
        self.counts.processed += 1;
        match reason {
            Dropped::NotKept => self.counts.not_kept += 1,
            Dropped::Filtered { rule } => self.counts.filtered[rule] += 1,
            Dropped::RateLimited => self.counts.rate_limited += 1,
            // The redactor counts by rule.
            Dropped::Redacted { .. } => {}
        }
        Outcome::Dropped(reason)
    }
}

impl fmt::Debug for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processor").field("counts", &self.counts).finish_non_exhaustive()
    }
}
