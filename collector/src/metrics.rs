//! The collector's metrics: what came in over HTTP, and what the store says of itself when asked.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use record::Timestamp;
use service::metrics::{CounterVec, Metrics as Registry};
use store::Store;
use wire::Format;

use crate::agents::Agents;
use crate::ingest::Accepted;
use crate::refusal::Refusal;

/// Counters of the ingest routes.
#[derive(Debug)]
pub(crate) struct Metrics {
    bytes: CounterVec,
    records: CounterVec,
    refused: CounterVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, store: &Arc<Store>, agents: &Arc<Agents>) -> Self {
        show_store(registry, store);
        show_agents(registry, agents);
        Self {
            bytes: registry.counter_vec(
                "ingest_bytes_total",
                "Bytes of request bodies as they were sent.",
                &["protocol"],
            ),
            records: registry.counter_vec(
                "ingest_records_total",
                "Records answered, by what became of them.",
                &["protocol", "result"],
            ),
            refused: registry.counter_vec(
                "ingest_refused_requests_total",
                "Requests refused whole, by reason.",
                &["protocol", "reason"],
            ),
        }
    }

    pub(crate) fn received_bytes(&self, format: Format, bytes: usize) {
        self.bytes.with_label_values(&[protocol(format)]).inc_by(bytes as u64);
    }

    pub(crate) fn answered(&self, format: Format, result: &Result<Accepted, Refusal>) {
        let protocol = protocol(format);
        match result {
            Ok(accepted) => {
                let what = if accepted.appended.duplicate { "duplicate" } else { "accepted" };
                self.records
                    .with_label_values(&[protocol, what])
                    .inc_by(u64::from(accepted.appended.records));
                self.records
                    .with_label_values(&[protocol, "rejected"])
                    .inc_by(u64::from(accepted.rejected_total));
            }
            Err(refusal) => self.refused.with_label_values(&[protocol, refusal.code()]).inc(),
        }
    }
}

fn protocol(format: Format) -> &'static str {
    match format {
        Format::OtlpProtobuf => "otlp_protobuf",
        Format::OtlpJson => "otlp_json",
        Format::JsonLines => "json_lines",
        Format::OtlpTracesProtobuf => "otlp_traces_protobuf",
        Format::OtlpTracesJson => "otlp_traces_json",
        Format::ZipkinJson => "zipkin_json",
    }
}

/// Gauges over the agents that are alive.
fn show_agents(registry: &Registry, agents: &Arc<Agents>) {
    let alive = registry.gauge("agents", "Agents heard of within 30 s.");
    let oldest = registry.float_gauge(
        "agents_oldest_unshipped_seconds",
        "Age of the oldest record that an agent heard of within 30 s has not shipped.",
    );
    let agents = Arc::clone(agents);
    registry.before_render(move || {
        let figures = agents.figures(Timestamp::now());
        alive.set(i64::try_from(figures.alive).unwrap_or(i64::MAX));
        oldest.set(figures.oldest_unshipped_seconds);
    });
}

/// Reads a value of the store.
type Read = fn(&Store) -> u64;

/// Gauges and counters that are read from the store when they are asked for.
fn show_store(registry: &Registry, store: &Arc<Store>) {
    let gauges: [(&str, &str, Read); 11] = [
        ("store_active_deletes", "Deletes that are not done.", |store| {
            store.active_deletes() as u64
        }),
        ("store_part_records", "Records in memory, not yet in a segment.", |store| {
            store.view().part_rows()
        }),
        ("store_indexed_records", "Records in segments.", |store| store.view().segment_rows()),
        ("store_segments", "Segments.", |store| store.view().segments().len() as u64),
        ("store_segment_bytes", "Bytes of all segments.", |store| {
            store.view().segments().iter().map(|segment| segment.meta().bytes()).sum()
        }),
        ("store_part_bytes", "Memory of parts.", |store| store.memory_bytes().0 as u64),
        ("store_request_bytes", "Memory set apart for requests in flight.", |store| {
            store.memory_bytes().1 as u64
        }),
        ("store_open_bytes", "Memory of what is open of segments: footers, roll-ups.", |store| {
            store.open_bytes().0 as u64
        }),
        (
            "store_mapped_bytes",
            "Bytes of mapped indexes; in memory is what was touched.",
            |store| store.open_bytes().1 as u64,
        ),
        ("store_snapshots", "Snapshots held for backups.", |store| store.snapshots().len() as u64),
        (
            "store_snapshot_kept_bytes",
            "Bytes of segments merged away or expired, on the disk only for backups; for each backup.",
            |store| store.snapshots().iter().map(|snapshot| snapshot.bytes_kept_for_it).sum(),
        ),
    ];
    let counters: [(&str, &str, Read); 9] = [
        ("store_deleted_records_total", "Records removed by deletes.", |store| {
            store.ledger().counters.deleted
        }),
        (
            "store_accepted_records_total",
            "Records accepted since the data folder was made.",
            |store| store.ledger().counters.accepted,
        ),
        (
            "store_duplicate_records_total",
            "Records of batches that had been accepted before.",
            |store| store.ledger().counters.duplicate,
        ),
        ("store_expired_records_total", "Records dropped by retention.", |store| {
            store.ledger().counters.expired
        }),
        ("store_journal_syncs_total", "Groups of batches made durable.", |store| {
            store.statistics().journal_syncs.load(Ordering::Relaxed)
        }),
        ("store_journal_bytes_total", "Payload bytes written to the journal.", |store| {
            store.statistics().journal_bytes.load(Ordering::Relaxed)
        }),
        ("store_flushes_total", "Flushes that ended well.", |store| {
            store.statistics().flushes.load(Ordering::Relaxed)
        }),
        ("store_segments_written_total", "Segments written by flushes.", |store| {
            store.statistics().segments_written.load(Ordering::Relaxed)
        }),
        ("store_compactions_total", "Merges that ended well.", |store| {
            store.statistics().compactions.load(Ordering::Relaxed)
        }),
    ];
    let gauges = gauges.map(|(name, help, read)| (registry.gauge(name, help), read));
    let counters = counters.map(|(name, help, read)| (registry.counter(name, help), read));
    let store = Arc::clone(store);
    registry.before_render(move || {
        for (gauge, read) in &gauges {
            gauge.set(i64::try_from(read(&store)).unwrap_or(i64::MAX));
        }
        for (counter, read) in &counters {
            counter.inc_by(read(&store).saturating_sub(counter.get()));
        }
    });
}
