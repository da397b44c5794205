//! Metrics of the process in Prometheus' text format, after its conventions: names begin with `logq_` (but those that
//! conventions of the field give), units are seconds and bytes, counters end in `_total`, every family has a help text. A test
//! holds the output to the rules of `promtool check metrics` that concern us.
//!
//! A family is made once per name; asking for it again gives the same one, so that roles which share a
//! process share families. Names, help texts and labels are constants of the program: a wrong one is a fault
//! of the program and panics where it is made, at start-up.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{HistogramOpts, Opts, Registry, TextEncoder};

use crate::process::ProcessFigures;

/// A float count that only grows, for seconds.
pub use prometheus::Counter as FloatCounter;
/// A float that goes up and down.
pub use prometheus::Gauge as FloatGauge;
/// A distribution.
pub use prometheus::Histogram;
/// Distributions told apart by labels.
pub use prometheus::HistogramVec;
/// A count that only grows.
pub use prometheus::IntCounter as Counter;
/// Counters told apart by labels.
pub use prometheus::IntCounterVec as CounterVec;
/// A value that goes up and down.
pub use prometheus::IntGauge as Gauge;
/// Gauges told apart by labels.
pub use prometheus::IntGaugeVec as GaugeVec;

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Buckets for durations, in seconds: 0.5 ms to 30 s.
pub const SECONDS_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Buckets for sizes, in bytes: 1 KiB to 64 MiB.
pub const BYTES_BUCKETS: &[f64] =
    &[1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0, 67108864.0];

const PREFIX: &str = "logq_";
const SOUND: &str = "names, labels and buckets of metrics are constants of the program";

/// All metrics of a process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Registry,
    made: Mutex<HashMap<String, Box<dyn Any + Send>>>,
    refreshers: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
    process: Process,
}

/// The standard families, which have no prefix of ours; set when they are asked for.
struct Process {
    cpu_seconds: FloatCounter,
    resident_bytes: FloatGauge,
    virtual_bytes: FloatGauge,
    open_fds: FloatGauge,
    max_fds: FloatGauge,
    start_time_seconds: FloatGauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// The process's own figures and `logq_build_info`, for a start. The revision is what the variable
    /// `LOGQ_REVISION` said when this was built.
    pub fn new() -> Self {
        let registry = Registry::new();
        let process = Process::registered(&registry);
        let shared =
            Shared { registry, made: Mutex::default(), refreshers: Mutex::default(), process };
        let metrics = Self { shared: Arc::new(shared) };
        metrics
            .gauge_vec("build_info", "What was built; always 1.", &["version", "revision"])
            .with_label_values(&[
                env!("CARGO_PKG_VERSION"),
                option_env!("LOGQ_REVISION").unwrap_or("unknown"),
            ])
            .set(1);
        metrics
    }

    /// A counter; `name` is without the prefix and ends in `_total`.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        debug_assert!(name.ends_with("_total"), "{name}");
        self.made(name, help, |options| Counter::with_opts(options).expect(SOUND))
    }

    /// Counters with labels; keep the label values to tens, and no ids.
    pub fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> CounterVec {
        debug_assert!(name.ends_with("_total"), "{name}");
        self.made(name, help, |options| CounterVec::new(options, labels).expect(SOUND))
    }

    /// A counter of seconds.
    pub fn float_counter(&self, name: &str, help: &str) -> FloatCounter {
        debug_assert!(name.ends_with("_total"), "{name}");
        self.made(name, help, |options| FloatCounter::with_opts(options).expect(SOUND))
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.made(name, help, |options| Gauge::with_opts(options).expect(SOUND))
    }

    /// Gauges with labels.
    pub fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.made(name, help, |options| GaugeVec::new(options, labels).expect(SOUND))
    }

    /// A gauge of floats.
    pub fn float_gauge(&self, name: &str, help: &str) -> FloatGauge {
        self.made(name, help, |options| FloatGauge::with_opts(options).expect(SOUND))
    }

    /// A histogram; see [`SECONDS_BUCKETS`] and [`BYTES_BUCKETS`].
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.made(name, help, |options| {
            let options = HistogramOpts::from(options).buckets(buckets.to_vec());
            Histogram::with_opts(options).expect(SOUND)
        })
    }

    /// Histograms with labels.
    pub fn histogram_vec(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: &[&str],
    ) -> HistogramVec {
        self.made(name, help, |options| {
            let options = HistogramOpts::from(options).buckets(buckets.to_vec());
            HistogramVec::new(options, labels).expect(SOUND)
        })
    }

    /// Histograms with labels under a name that is not ours: one that conventions give, without our prefix.
    pub fn standard_histogram_vec(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: &[&str],
    ) -> HistogramVec {
        self.made_as(name.to_owned(), help, |options| {
            let options = HistogramOpts::from(options).buckets(buckets.to_vec());
            HistogramVec::new(options, labels).expect(SOUND)
        })
    }

    /// Has `refresh` called before each [`Metrics::render`], for values that are read rather than counted.
    pub fn before_render(&self, refresh: impl Fn() + Send + Sync + 'static) {
        self.shared
            .refreshers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(refresh));
    }

    /// Everything as text, see [`CONTENT_TYPE`]. Families without a sample are left out.
    pub fn render(&self) -> String {
        self.shared.process.refresh();
        self.shared
            .refreshers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .for_each(|refresh| refresh());
        TextEncoder::new().encode_to_string(&self.shared.registry.gather()).unwrap_or_else(
            |error| {
                // Only inconsistent families fail, and the registry refuses those when they are made.
                tracing::error!(%error, "metrics cannot be written");
                String::new()
            },
        )
    }

    /// The family of this name, made if there is none.
    fn made<M: Collector + Clone + Send + 'static>(
        &self,
        name: &str,
        help: &str,
        make: impl FnOnce(Opts) -> M,
    ) -> M {
        self.made_as(format!("{PREFIX}{name}"), help, make)
    }

    fn made_as<M: Collector + Clone + Send + 'static>(
        &self,
        name: String,
        help: &str,
        make: impl FnOnce(Opts) -> M,
    ) -> M {
        let mut made = self.shared.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metric) = made.get(&name) {
            return metric.downcast_ref::<M>().expect("a metric's name has one type").clone();
        }
        let metric = make(Opts::new(&name, help));
        self.shared.registry.register(Box::new(metric.clone())).expect(SOUND);
        made.insert(name, Box::new(metric.clone()));
        metric
    }
}

impl Process {
    fn registered(registry: &Registry) -> Self {
        let gauge = |name: &str, help: &str| {
            let gauge = FloatGauge::new(name, help).expect(SOUND);
            registry.register(Box::new(gauge.clone())).expect(SOUND);
            gauge
        };
        let cpu_seconds = FloatCounter::new(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
        )
        .expect(SOUND);
        registry.register(Box::new(cpu_seconds.clone())).expect(SOUND);
        Self {
            cpu_seconds,
            resident_bytes: gauge(
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
            ),
            virtual_bytes: gauge("process_virtual_memory_bytes", "Virtual memory size in bytes."),
            open_fds: gauge("process_open_fds", "Number of open file descriptors."),
            max_fds: gauge("process_max_fds", "Maximum number of open file descriptors."),
            start_time_seconds: gauge(
                "process_start_time_seconds",
                "Start time of the process since the Unix epoch in seconds.",
            ),
        }
    }

    fn refresh(&self) {
        let figures = ProcessFigures::read();
        let grown = figures.cpu_seconds.unwrap_or(0.0) - self.cpu_seconds.get();
        if grown > 0.0 {
            self.cpu_seconds.inc_by(grown);
        }
        for (gauge, figure) in [
            (&self.resident_bytes, figures.resident_bytes),
            (&self.virtual_bytes, figures.virtual_bytes),
            (&self.open_fds, figures.open_fds),
            (&self.max_fds, figures.max_fds),
            (&self.start_time_seconds, figures.start_time_seconds),
        ] {
            if let Some(figure) = figure {
                gauge.set(figure);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `promtool check metrics` complains about, as far as it concerns us.
    fn lint(text: &str) {
        assert!(text.ends_with('\n'));
        let mut types = HashMap::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                assert!(!name.contains(kind) && name.to_lowercase() == name, "{name}");
                for unit in ["_ms", "_milliseconds", "_kib", "_mb", "_minutes"] {
                    assert!(!name.contains(unit), "{name}");
                }
                assert!(types.insert(name, kind).is_none(), "{name} appears twice");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                assert!(rest.split_once(' ').unwrap().1.len() > 5, "{line}");
            } else {
                let value = line.rsplit_once(' ').unwrap().1;
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
    }

    #[test]
    fn every_kind_is_rendered_after_the_conventions() {
        let metrics = Metrics::new();
        metrics.counter("ingest_records_total", "Records taken.").inc_by(3);
        metrics
            .counter_vec("http_requests_total", "Requests.", &["status_code"])
            .with_label_values(&["2\"0\\0\n"])
            .inc();
        metrics.gauge("parts", "Open parts.").set(2);
        metrics.float_counter("busy_seconds_total", "Time at work.").inc_by(0.5);
        metrics.histogram("fsync_seconds", "Time of an fsync.", SECONDS_BUCKETS).observe(0.002);
        let text = metrics.render();
        lint(&text);
        for line in [
            "logq_ingest_records_total 3",
            r#"logq_http_requests_total{status_code="2\"0\\0\n"} 1"#,
            "logq_parts 2",
            "logq_busy_seconds_total 0.5",
            r#"logq_fsync_seconds_bucket{le="+Inf"} 1"#,
            "logq_fsync_seconds_count 1",
            "process_max_fds",
        ] {
            assert!(text.lines().any(|found| found.starts_with(line)), "{line}\n{text}");
        }
        assert!(text.contains("logq_build_info{revision=\"unknown\",version=\""), "{text}");
    }

    #[test]
    fn asking_twice_gives_the_same_family() {
        let metrics = Metrics::new();
        metrics.counter("a_total", "A counter.").inc();
        metrics.clone().counter("a_total", "A counter.").inc();
        assert_eq!(metrics.counter("a_total", "A counter.").get(), 2);
    }
}
