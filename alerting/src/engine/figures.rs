//! What is counted of rules and notifications.

use service::metrics::{CounterVec, Gauge, Histogram, Metrics, SECONDS_BUCKETS};

use crate::notify::Tries;

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
    pub(super) pending: Gauge,
    pub(super) failing: Gauge,
    pub(super) reloads: CounterVec,
    pub(super) tries: Tries,
}

impl Figures {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let figures = Self {
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
            pending: metrics.gauge("alerts_pending", "Alerts that will fire if they go on."),
            failing: metrics.gauge(
                "rules_failing",
                "Rules that could not be judged, or not be stored, at their last moment.",
            ),
            reloads: metrics.counter_vec(
                "rule_reloads_total",
                "Times that the rules were read anew, by outcome: ok, or failed, so that the ones before stay.",
                &["outcome"],
            ),
            tries: Tries::new(metrics),
        };
        for outcome in ["ok", "failed"] {
            figures.evaluations.with_label_values(&[outcome]);
            figures.reloads.with_label_values(&[outcome]);
        }
        figures
    }
}
