//! Makes records of what is received, and pushes them to the batch.

use bumpalo::Bump;
use record::{RecordRef, Signal, SourceRef, ValueRef};
use wire::Decoded;

use crate::daemon::intake::{Covered, Stopped};
use crate::daemon::stream::Pipeline;
use crate::draft::Attributes;
use crate::interpret::{CorrelationPattern, SourceSettings, number_later_ones};

/// Why records are dropped that cannot be read; the sender is told.
const REJECTED: &str = "rejected";

/// Makes records of what is received.
pub(super) struct Records {
    settings: SourceSettings,
    correlation: Option<CorrelationPattern>,
    pub(super) pipeline: Pipeline,
    arena: Bump,
}

impl Records {
    pub(super) fn new(mut settings: SourceSettings, pipeline: Pipeline) -> Self {
        let correlation = settings.correlation.take().map(CorrelationPattern::new);
        Self { settings, correlation, pipeline, arena: Bump::new() }
    }

    /// Gives the number of the batch that the record is in.
    pub(super) fn take(
        &mut self,
        signal: Signal,
        record: &RecordRef<'_>,
    ) -> Result<Option<u64>, Stopped> {
        self.arena.reset();
        let Self { settings, correlation, pipeline, arena } = self;
        let pattern = correlation.as_mut().filter(|_| record.correlation_id.is_none());
        let found = pattern.and_then(|pattern| pattern.find(record.message));
        let mut lost: Attributes<'_> = Vec::new();
        let service = prefer("service.name", &settings.service, record.service, &mut lost);
        let host = prefer("host.name", &settings.host, record.host, &mut lost);
        let mut attributes = Vec::new();
        if !lost.is_empty() {
            attributes.extend_from_slice(record.attributes);
            attributes.append(&mut lost);
            number_later_ones(&mut attributes, arena);
        }
        let record = RecordRef {
            service,
            host,
            correlation_id: record.correlation_id.or(found),
            attributes: if attributes.is_empty() { record.attributes } else { &attributes },
            source: SourceRef { agent: Some(&settings.agent), ..record.source },
            ..*record
        };
        pipeline.record_of(signal, &record, Covered::Nothing)
    }

    /// A request was taken: `bytes` as it came, and what could not be read of it.
    pub(super) fn count(&mut self, bytes: usize, decoded: &Decoded) -> Result<(), Stopped> {
        let counts = &mut self.pipeline.counts;
        counts.bytes += bytes as u64;
        counts.timestamps_replaced += decoded.timestamps_replaced;
        counts.dropped += u64::from(decoded.rejected_total);
        for _ in 0..decoded.rejected_total {
            self.pipeline.intake.drop_record(Some(REJECTED), Covered::Nothing)?;
        }
        Ok(())
    }
}

/// The user's word wins; what the record says is kept if it differs.
fn prefer<'a>(
    name: &'a str,
    wanted: &'a Option<String>,
    own: Option<&'a str>,
    lost: &mut Attributes<'a>,
) -> Option<&'a str> {
    let Some(wanted) = wanted.as_deref() else { return own };
    if let Some(own) = own.filter(|own| *own != wanted) {
        lost.push((name, ValueRef::String(own)));
    }
    Some(wanted)
}
