//! What is counted of tries to deliver, by receiver.

use std::time::Duration;

use service::metrics::{Counter, CounterVec, Histogram, HistogramVec, Metrics, SECONDS_BUCKETS};

use super::deliver::Tried;
use crate::options::{ReceiverKind, ReceiverOptions};

/// Those of all receivers.
#[derive(Debug)]
pub(crate) struct Tries {
    tries: CounterVec,
    given_up: CounterVec,
    seconds: HistogramVec,
}

/// Those of one receiver.
#[derive(Debug)]
pub(crate) struct OfReceiver {
    delivered: Counter,
    failed: Counter,
    refused: Counter,
    given_up: Counter,
    seconds: Histogram,
}

impl Tries {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            tries: metrics.counter_vec(
                "notifications_total",
                "Tries to deliver a notification, by receiver, its kind (webhook, slack, command, alertmanager) and outcome: delivered, failed (and tried again) or refused.",
                &["receiver", "kind", "outcome"],
            ),
            given_up: metrics.counter_vec(
                "notifications_given_up_total",
                "Notifications that were refused, or not delivered within a day.",
                &["receiver", "kind"],
            ),
            seconds: metrics.histogram_vec(
                "notification_duration_seconds",
                "Time of a try to deliver a notification.",
                SECONDS_BUCKETS,
                &["receiver", "kind"],
            ),
        }
    }

    pub(crate) fn of(&self, receiver: &ReceiverOptions) -> OfReceiver {
        let kind = match receiver.kind {
            ReceiverKind::Webhook { .. } => "webhook",
            ReceiverKind::Slack => "slack",
            ReceiverKind::Command(_) => "command",
            ReceiverKind::Alertmanager => "alertmanager",
        };
        let labels = [receiver.name.as_str(), kind];
        let tries = |outcome| self.tries.with_label_values(&[labels[0], labels[1], outcome]);
        OfReceiver {
            delivered: tries("delivered"),
            failed: tries("failed"),
            refused: tries("refused"),
            given_up: self.given_up.with_label_values(&labels),
            seconds: self.seconds.with_label_values(&labels),
        }
    }
}

impl OfReceiver {
    pub(super) fn tried(&self, tried: &Tried, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        match tried {
            Tried::Delivered => self.delivered.inc(),
            Tried::Failed(_) => self.failed.inc(),
            Tried::Refused(_) => self.refused.inc(),
        }
    }

    pub(super) fn gave_up(&self) {
        self.given_up.inc();
    }
}
