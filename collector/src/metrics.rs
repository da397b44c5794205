//! The collector's metrics: what came in over HTTP, and what the store says of itself when asked.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use record::Timestamp;
use service::metrics::{CounterVec, Metrics as Registry, SECONDS_BUCKETS};
use store::{REJECT_REASONS, Store, Work};
use wire::{Format, RejectReason};

use crate::agents::Agents;
use crate::ingest::Accepted;
use crate::refusal::Refusal;

const FORMATS: [Format; 6] = [
    Format::OtlpProtobuf,
    Format::OtlpJson,
    Format::JsonLines,
    Format::OtlpTracesProtobuf,
    Format::OtlpTracesJson,
    Format::ZipkinJson,
];

/// Buckets of flushes and merges, in seconds: 10 ms to 10 min.
const LONG_BUCKETS: &[f64] =
    &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

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
        show_rejected(registry, store);
        show_disk(registry, store);
        observe_work(registry, store);
        show_agents(registry, store, agents);
        let metrics = Self {
            bytes: registry.counter_vec(
                "ingest_bytes_total",
                "Bytes of request bodies as they were sent.",
                &["protocol"],
            ),
            records: registry.counter_vec(
                "ingest_records_total",
                "Records answered, by what became of them: accepted, duplicate or rejected.",
                &["protocol", "result"],
            ),
            refused: registry.counter_vec(
                "ingest_refused_requests_total",
                "Requests refused whole, by reason.",
                &["protocol", "reason"],
            ),
        };
        // From the start, so that the first one of each shows as a growth.
        for protocol in FORMATS.map(protocol) {
            metrics.bytes.with_label_values(&[protocol]);
            for result in ["accepted", "duplicate", "rejected"] {
                metrics.records.with_label_values(&[protocol, result]);
            }
            for code in Refusal::CODES {
                metrics.refused.with_label_values(&[protocol, code]);
            }
        }
        metrics
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
            Err(refusal) => {
                debug_assert!(Refusal::CODES.contains(&refusal.code()), "{}", refusal.code());
                self.refused.with_label_values(&[protocol, refusal.code()]).inc();
            }
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
fn show_agents(registry: &Registry, store: &Arc<Store>, agents: &Arc<Agents>) {
    let alive = registry.gauge("agents", "Agents heard of within 30 s.");
    let oldest = registry.float_gauge(
        "agents_oldest_unshipped_seconds",
        "Age of the oldest record that an agent heard of within 30 s has not shipped.",
    );
    let at_fault = registry.gauge(
        "agents_at_fault",
        "Agents heard of within 30 s whose account does not add up with what the store has of them.",
    );
    let behind = registry.float_gauge(
        "watermark_age_seconds",
        "How far behind now the time is up to which records are complete; alerts wait for it.",
    );
    let (store, agents) = (Arc::clone(store), Arc::clone(agents));
    registry.before_render(move || {
        let now = Timestamp::now();
        let figures = agents.figures(now);
        alive.set(i64::try_from(figures.alive).unwrap_or(i64::MAX));
        oldest.set(figures.oldest_unshipped_seconds);
        let statuses = agents.list(now, &store, |_| true);
        at_fault.set(statuses.iter().filter(|status| !status.faults.is_empty()).count() as i64);
        let watermark = agents.watermark(now, |_| true);
        behind.set(now.0.saturating_sub(watermark.0).max(0) as f64 / 1e9);
    });
}

/// Reads a value of the store.
type Read = fn(&Store) -> u64;

/// Gauges of the store: name, help, value.
const GAUGES: [(&str, &str, Read); 15] = [
    ("store_active_deletes", "Deletes that are not done.", |store| store.active_deletes() as u64),
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
    ("store_mapped_bytes", "Bytes of mapped indexes; in memory is what was touched.", |store| {
        store.open_bytes().1 as u64
    }),
    ("store_snapshots", "Snapshots held for backups.", |store| store.snapshots().len() as u64),
    (
        "store_snapshot_kept_bytes",
        "Bytes of segments merged away or expired, on the disk only for backups; for each backup.",
        |store| store.snapshots().iter().map(|snapshot| snapshot.bytes_kept_for_it).sum(),
    ),
    ("store_quarantined_segments", "Segments set apart because they cannot be read.", |store| {
        store.view().quarantined() as u64
    }),
    (
        "store_lost_batches",
        "Batches that their senders call settled and that were never seen here.",
        |store| store.ledger().lost_batches,
    ),
    ("store_senders", "Senders of named batches that are known in detail.", |store| {
        store.ledger().senders
    }),
    (
        "store_journal_disk_bytes",
        "Bytes of the journal's files, reserved ones included.",
        Store::journal_disk_bytes,
    ),
];

/// Counters of the store: name, help, value.
const COUNTERS: [(&str, &str, Read); 11] = [
    (
        "store_quarantined_records_total",
        "Records in what was set apart because it cannot be read, since the data folder was made.",
        |store| store.ledger().counters.quarantined,
    ),
    (
        "store_timestamps_replaced_total",
        "Records whose time could not be read, so that the time of receipt stands in, since the data folder was made.",
        |store| store.ledger().counters.timestamps_replaced,
    ),
    (
        "store_deleted_records_total",
        "Records removed by deletes since the data folder was made.",
        |store| store.ledger().counters.deleted,
    ),
    ("store_accepted_records_total", "Records accepted since the data folder was made.", |store| {
        store.ledger().counters.accepted
    }),
    (
        "store_duplicate_records_total",
        "Records of batches that had been accepted before, since the data folder was made.",
        |store| store.ledger().counters.duplicate,
    ),
    (
        "store_expired_records_total",
        "Records dropped by retention since the data folder was made.",
        |store| store.ledger().counters.expired,
    ),
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

/// Gauges and counters that are read from the store when they are asked for.
fn show_store(registry: &Registry, store: &Arc<Store>) {
    let gauges = GAUGES.map(|(name, help, read)| (registry.gauge(name, help), read));
    let counters = COUNTERS.map(|(name, help, read)| (registry.counter(name, help), read));
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

/// Records refused, by reason, and whether the account adds up.
fn show_rejected(registry: &Registry, store: &Arc<Store>) {
    let rejected = registry.counter_vec(
        "store_rejected_records_total",
        "Records refused since the data folder was made, by reason.",
        &["reason"],
    );
    let missing = registry.gauge(
        "store_missing_records",
        "Accepted records less those that are in parts, indexed, expired, deleted or quarantined; 0 when the account adds up.",
    );
    for reason in RejectReason::ALL.map(RejectReason::name).iter().chain(&REJECT_REASONS) {
        rejected.with_label_values(&[reason]);
    }
    let store = Arc::clone(store);
    registry.before_render(move || {
        let ledger = store.ledger();
        for (reason, records) in &ledger.counters.rejected {
            let counter = rejected.with_label_values(&[reason]);
            counter.inc_by(records.saturating_sub(counter.get()));
        }
        missing.set(ledger.missing());
    });
}

/// Space of the disk with the data folder.
fn show_disk(registry: &Registry, store: &Arc<Store>) {
    let free = registry
        .gauge("store_disk_free_bytes", "Free bytes of the disk that the data folder is on.");
    let size =
        registry.gauge("store_disk_size_bytes", "Size of the disk that the data folder is on.");
    let store = Arc::clone(store);
    registry.before_render(move || {
        if let Some(space) = store.disk_space() {
            free.set(i64::try_from(space.free_bytes).unwrap_or(i64::MAX));
            size.set(i64::try_from(space.size_bytes).unwrap_or(i64::MAX));
        }
    });
}

/// Durations and failures of what the store does.
fn observe_work(registry: &Registry, store: &Arc<Store>) {
    let journal = (
        registry.histogram(
            "store_journal_sync_duration_seconds",
            "Time to write a group of batches to the journal and to sync it; every acknowledgement waits for one.",
            SECONDS_BUCKETS,
        ),
        registry.counter("store_journal_failures_total", "Groups of batches that the disk did not take."),
    );
    let flushes = (
        registry.histogram(
            "store_flush_duration_seconds",
            "Time to make segments of what is in memory.",
            LONG_BUCKETS,
        ),
        registry.counter("store_flush_failures_total", "Flushes that failed; each is tried again."),
    );
    let compactions = (
        registry.histogram(
            "store_compaction_duration_seconds",
            "Time to merge some segments into one.",
            LONG_BUCKETS,
        ),
        registry
            .counter("store_compaction_failures_total", "Merges that failed; the segments stay."),
    );
    store.observe(move |work, took| {
        let (seconds, failures) = match work {
            Work::JournalSync => &journal,
            Work::Flush => &flushes,
            Work::Compaction => &compactions,
        };
        match took {
            Some(took) => seconds.observe(took.as_secs_f64()),
            None => failures.inc(),
        }
    });
}
