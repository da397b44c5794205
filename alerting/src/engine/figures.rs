//! What is counted of rules and notifications.

use service::metrics::{CounterVec, Gauge, Histogram, Metrics, SECONDS_BUCKETS};

/// Seconds; whole intervals are long, and the watermark is up to ten seconds behind.
const LAG_BUCKETS: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 11.0, 12.5, 15.0, 30.0, 60.0,
    300.0,
];

#[derive(Debug)]
pub(super) struct Figures {
    pub(super) evaluations: CounterVec,
    pub(super) seconds: Histogram,
    pub(super) lag: Histogram,
    pub(super) firing: Gauge,
    pub(super) rules: Gauge,
    pub(super) waiting: Gauge,
    pub(super) sent: CounterVec,
}

impl Figures {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            evaluations: metrics.counter_vec(
                "rule_evaluations_total",
                "Moments at which a rule was judged, by how that ended: ok or failed.",
                &["outcome"],
            ),
            seconds: metrics.histogram(
                "rule_evaluation_duration_seconds",
                "How long judging a rule at a moment took.",
                SECONDS_BUCKETS,
            ),
            lag: metrics.histogram(
                "rule_evaluation_lag_seconds",
                "How long after its moment a rule was judged; waiting for records to be complete is part of it.",
                LAG_BUCKETS,
            ),
            firing: metrics.gauge("alerts_firing", "Alerts that fire."),
            rules: metrics.gauge("rules", "Rules that are judged."),
            waiting: metrics.gauge("notifications_waiting", "Notifications that wait to be delivered."),
            sent: metrics.counter_vec(
                "notifications_total",
                "Tries to deliver a notification, by receiver and by how they ended: delivered, failed (and tried again) or refused.",
                &["receiver", "outcome"],
            ),
        }
    }
}
