//! The agent's metrics: what its account, its sources, its spool and its shipper say when they are asked.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use record::Timestamp;
use service::metrics::{Counter, Gauge, Metrics};

use super::state::Ledger;
use super::status::Overview;

/// Why records are dropped.
const DROP_REASONS: [&str; 9] = [
    "rate_limited",
    "redacted",
    "spool_full",
    "spool_damaged",
    "batch_too_large",
    "sampled",
    "sampled_early",
    "sampled_unreadable",
    "rejected_by_collector",
];

/// Metrics that are read when they are asked for.
pub(super) fn show(metrics: &Metrics, overview: Arc<Overview>) {
    let records = metrics.counter_vec(
        "agent_records_total",
        "Records since the agent's identity was made: read and reported, and of those filtered, dropped and acknowledged.",
        &["result"],
    );
    let dropped = metrics.counter_vec(
        "agent_dropped_records_total",
        "Records dropped, by reason.",
        &["reason"],
    );
    let source_bytes = metrics.counter_vec(
        "agent_source_bytes_total",
        "Bytes read since the process began, by source.",
        &["source"],
    );
    let source_records = metrics.counter_vec(
        "agent_source_records_total",
        "Records made since the process began, by source.",
        &["source"],
    );
    let unparsed = metrics.counter_vec(
        "agent_source_unparsed_lines_total",
        "Lines that were not of their format and were shipped whole, by source.",
        &["source"],
    );
    let lag = metrics.gauge_vec(
        "agent_source_lag_bytes",
        "Bytes that are there and not read, unfinished lines aside, by source.",
        &["source"],
    );
    let files =
        metrics.gauge_vec("agent_source_files", "Files that are known, by source.", &["source"]);
    let spool_bytes = metrics.gauge("agent_spool_bytes", "What the spool takes of the disk.");
    let spool_batches = metrics.gauge("agent_spool_batches", "Batches that are not acknowledged.");
    let oldest = metrics.float_gauge(
        "agent_oldest_unshipped_seconds",
        "Age of the oldest record that no collector has; 0 if there is none.",
    );
    let attempts = metrics.counter("agent_ship_requests_total", "Requests with a batch.");
    let retries = metrics.counter("agent_ship_retries_total", "Requests that will be sent again.");
    let shipped = metrics.counter("agent_shipped_bytes_total", "Acknowledged bytes, as sent.");
    let duplicates = metrics.counter(
        "agent_duplicate_batches_total",
        "Batches that the collector had already when they were sent.",
    );
    let acknowledged_at = metrics.float_gauge(
        "agent_last_acknowledged_timestamp_seconds",
        "When a collector acknowledged a batch for the last time since the process began; 0 if never.",
    );
    for reason in DROP_REASONS {
        dropped.with_label_values(&[reason]);
    }
    let places = Places::new(metrics);
    let catch_up = |counter: &Counter, to: u64| {
        counter.inc_by(to.saturating_sub(counter.get()));
    };
    metrics.before_render(move || {
        let ledger = overview.durable.with_state(|state| state.ledger.clone());
        for (result, count) in [
            ("read", ledger.read),
            ("reported", ledger.reported),
            ("filtered", ledger.filtered),
            ("dropped", ledger.dropped_total()),
            ("acknowledged", ledger.acknowledged),
        ] {
            catch_up(&records.with_label_values(&[result]), count);
        }
        for (reason, count) in &ledger.dropped {
            catch_up(&dropped.with_label_values(&[reason]), *count);
        }
        for source in overview.source_statuses() {
            let name = [source.name.as_str()];
            catch_up(&source_bytes.with_label_values(&name), source.counts.bytes);
            catch_up(&source_records.with_label_values(&name), source.counts.records);
            catch_up(&unparsed.with_label_values(&name), source.counts.unparsed);
            lag.with_label_values(&name).set(as_gauge(source.lag_bytes));
            files.with_label_values(&name).set(source.files_known as i64);
        }
        let usage = overview.durable.usage();
        spool_bytes.set(as_gauge(usage.disk_bytes));
        spool_batches.set(as_gauge(usage.batches));
        let age = overview.oldest_unshipped().map_or(0, |time| Timestamp::now().0 - time.0);
        oldest.set(age.max(0) as f64 / 1e9);
        catch_up(&attempts, overview.figures.attempts.load(Ordering::Relaxed));
        catch_up(&retries, overview.figures.retries.load(Ordering::Relaxed));
        catch_up(&shipped, overview.figures.bytes.load(Ordering::Relaxed));
        catch_up(&duplicates, overview.figures.duplicates.load(Ordering::Relaxed));
        let at = overview.figures.acknowledged_at.load(Ordering::Relaxed);
        acknowledged_at.set(at as f64 / 1e9);
        places.read(&overview, &ledger);
    });
}

/// Records and bytes by where they are.
struct Places {
    held: Gauge,
    spooled: Gauge,
    dead_lettered: Gauge,
    missing: Gauge,
    letters: Gauge,
    letter_bytes: Gauge,
    spool_bytes_max: Gauge,
    disk_free: Gauge,
    disk_size: Gauge,
}

impl Places {
    fn new(metrics: &Metrics) -> Self {
        Self {
            held: metrics.gauge(
                "agent_held_records",
                "Records that wait for an error of their interaction.",
            ),
            spooled: metrics.gauge("agent_spooled_records", "Records in the spool."),
            dead_lettered: metrics
                .gauge("agent_dead_lettered_records", "Records that were refused for good."),
            missing: metrics.gauge(
                "agent_missing_records",
                "Records that the agent's account does not explain; 0 when it adds up.",
            ),
            letters: metrics.gauge(
                "agent_dead_letters",
                "Batches that were refused for good and wait for a person.",
            ),
            letter_bytes: metrics
                .gauge("agent_dead_letter_bytes", "What dead letters take of the disk."),
            spool_bytes_max: metrics
                .gauge("agent_spool_limit_bytes", "What the spool may take of the disk."),
            disk_free: metrics.gauge(
                "agent_disk_free_bytes",
                "Free bytes of the disk that the state folder is on.",
            ),
            disk_size: metrics
                .gauge("agent_disk_size_bytes", "Size of the disk that the state folder is on."),
        }
    }

    fn read(&self, overview: &Overview, ledger: &Ledger) {
        self.held.set(as_gauge(ledger.held));
        self.spooled.set(as_gauge(ledger.spooled));
        self.dead_lettered.set(as_gauge(ledger.dead_lettered));
        self.missing.set(ledger.missing());
        self.spool_bytes_max.set(as_gauge(overview.spool_bytes_max));
        if let Ok((letters, bytes)) = overview.dead_letters.usage() {
            self.letters.set(as_gauge(letters));
            self.letter_bytes.set(as_gauge(bytes));
        }
        if let Ok(space) = file_system::disk_space(&overview.state) {
            self.disk_free.set(as_gauge(space.free_bytes));
            self.disk_size.set(as_gauge(space.size_bytes));
        }
    }
}

fn as_gauge(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}
