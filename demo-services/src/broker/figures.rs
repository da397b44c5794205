//! What the broker counts, by queue.

use service::metrics::{Counter, CounterVec, GaugeVec, Metrics};

use super::stats::Stats;

#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub(super) published: CounterVec,
    pub(super) delivered: CounterVec,
    pub(super) redelivered: CounterVec,
    pub(super) acknowledged: CounterVec,
    pub(super) dead_lettered: CounterVec,
    pub(super) known: Counter,
    pub(super) unrouted: Counter,
    messages: GaugeVec,
}

impl Figures {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let by_queue = |what: &str, help| {
            metrics.counter_vec(&format!("broker_messages_{what}_total"), help, &["queue"])
        };
        Self {
            published: by_queue("published", "Copies of messages that a queue got."),
            delivered: by_queue("delivered", "Deliveries to consumers."),
            redelivered: by_queue("redelivered", "Deliveries that were not a message's first."),
            acknowledged: by_queue("acknowledged", "Messages that a consumer was done with."),
            dead_lettered: by_queue("dead_lettered", "Messages that were put aside."),
            known: metrics.counter(
                "broker_messages_known_total",
                "Messages that were published again and not stored.",
            ),
            unrouted: metrics
                .counter("broker_messages_unrouted_total", "Messages that no queue was bound for."),
            messages: metrics.gauge_vec(
                "broker_messages",
                "Messages that a queue holds; looked at every 10 seconds.",
                &["queue", "state"],
            ),
        }
    }

    pub(super) fn set(&self, stats: &Stats) {
        for queue in &stats.queues {
            for (state, count) in [
                ("ready", queue.ready),
                ("leased", queue.leased),
                ("scheduled", queue.scheduled),
                ("dead", queue.dead_letters),
            ] {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                self.messages.with_label_values(&[queue.name.as_str(), state]).set(count);
            }
        }
    }
}
