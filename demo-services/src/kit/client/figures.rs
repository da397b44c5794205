//! What is known of a dependency's calls: metrics for all of them, and how the last one ended.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use service::metrics::{Counter, CounterVec, Histogram, Metrics, SECONDS_BUCKETS};

use super::call::{Answer, CallError};
use crate::kit::directory::Directory;

const LABEL: &str = "dependency";

#[derive(Debug)]
pub(super) struct Figures {
    service: &'static str,
    calls: CounterVec,
    attempts: Counter,
    seconds: Histogram,
    last: Mutex<Last>,
}

/// How the last call ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Last {
    /// None before the first one.
    pub(super) latency: Option<Duration>,
    /// What was wrong with it, if anything was.
    pub(super) error: Option<String>,
}

/// How calls end: [`CallError::error_type`] where there is no answer.
const OUTCOMES: [&str; 9] = [
    "ok",
    "client_error",
    "server_error",
    "no_instance",
    "breaker_open",
    "bulkhead_full",
    "timeout",
    "unreachable",
    "bad_answer",
];

impl Figures {
    pub(super) fn new(service: &'static str, directory: &Directory, metrics: &Metrics) -> Self {
        let calls = metrics.counter_vec(
            "shop_client_calls_total",
            "Calls of other services by how they ended: ok, an HTTP class of error, or why there was no answer.",
            &[LABEL, "outcome"],
        );
        let attempts = metrics.counter_vec(
            "shop_client_attempts_total",
            "Requests that were sent for calls of other services.",
            &[LABEL],
        );
        let seconds = metrics.histogram_vec(
            "shop_client_call_seconds",
            "Time of calls of other services, with all their tries.",
            SECONDS_BUCKETS,
            &[LABEL],
        );
        let instances = metrics.gauge_vec(
            "shop_client_instances",
            "Instances of another service that can be called.",
            &[LABEL],
        );
        let (instances, known) = (instances.with_label_values(&[service]), directory.clone());
        metrics.before_render(move || {
            instances.set(i64::try_from(known.instances(service).len()).unwrap_or(i64::MAX));
        });
        // There from the beginning, so that the first one is an increase.
        for outcome in OUTCOMES {
            calls.with_label_values(&[service, outcome]);
        }
        Self {
            service,
            calls,
            attempts: attempts.with_label_values(&[service]),
            seconds: seconds.with_label_values(&[service]),
            last: Mutex::default(),
        }
    }

    /// A request is sent.
    pub(super) fn tried(&self) {
        self.attempts.inc();
    }

    /// A call has ended.
    pub(super) fn called(&self, took: Duration, outcome: &Result<Answer, CallError>) {
        let (label, error) = match outcome {
            Ok(answer) if answer.status.is_server_error() => {
                ("server_error", Some(format!("it answered {}", answer.status)))
            }
            Ok(answer) if answer.status.is_client_error() => ("client_error", None),
            Ok(_) => ("ok", None),
            Err(error) => (error.error_type(), Some(error.to_string())),
        };
        self.calls.with_label_values(&[self.service, label]).inc();
        self.seconds.observe(took.as_secs_f64());
        let last = Last { latency: Some(took), error };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    pub(super) fn last(&self) -> Last {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
