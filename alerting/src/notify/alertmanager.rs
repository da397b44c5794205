//! Sends alerts to a Prometheus Alertmanager as Prometheus does: all that fire, again every minute, each with an end that is
//! four minutes away, so that they are over by themselves if this process is; those that are over for a quarter of an hour.
//!
//! `POST /api/v2/alerts`. An answer of 400 means that some alerts of the batch are bad and the others are taken, so what is
//! refused is not sent again before its minute is over. Everything else that is no success is tried again with pauses.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use record::Timestamp;
use serde_json::{Value, json};

use super::deliver::{Delivery, Tried, blocking, pause, send};
use crate::find::nanos;
use crate::incident::{Incident, named};
use crate::mute::{Mutes, Verdict};
use crate::state::{Book, StateError};

/// How often is sent what goes on.
const RESEND: Duration = Duration::from_secs(60);
/// How long an alert goes on that is not sent again.
const ENDS_AFTER: Duration = Duration::from_secs(4 * 60);
/// How long is sent that an alert is over.
const RESOLVED_FOR: Duration = Duration::from_secs(15 * 60);
/// Alerts of one request.
const BATCH: usize = 100;
/// Longest wait for another try.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What is to be sent now, and which incidents that tells.
struct Due {
    alerts: Vec<Value>,
    told: Vec<(i64, bool)>,
}

impl Delivery {
    /// Sends alerts until it is dropped.
    pub(crate) async fn run_alertmanager(self, link: String) {
        let url = format!("{}/api/v2/alerts", self.receiver.url.trim_end_matches('/'));
        let mut tries = 0;
        loop {
            let (book, name, of) = (self.book.clone(), self.receiver.name.clone(), link.clone());
            let due = blocking(move || due(&book, &name, &of, Timestamp::now().0)).await;
            let failed = match due {
                Some(due) => !self.send_all(&url, due).await,
                None => true,
            };
            tries = if failed { tries + 1 } else { 0 };
            let again = if failed { pause(tries - 1, 0).min(RETRY_MAX) } else { RESEND };
            let _ = tokio::time::timeout(again, self.made.notified()).await;
        }
    }

    /// Whether everything was sent.
    async fn send_all(&self, url: &str, due: Due) -> bool {
        let name = self.receiver.name.as_str();
        for batch in due.alerts.chunks(BATCH) {
            let request = self.client.post(url).timeout(self.receiver.timeout).json(batch);
            let began = Instant::now();
            let tried = send(request, self.receiver.timeout).await;
            self.tries.tried(&tried, began.elapsed());
            match tried {
                Tried::Delivered => {}
                Tried::Refused(error) => {
                    tracing::error!(receiver = name, error, "an alert is refused");
                    self.tries.gave_up();
                }
                Tried::Failed(error) => {
                    tracing::warn!(receiver = name, error, "alerts are sent again");
                    return false;
                }
            }
        }
        let (book, receiver) = (self.book.clone(), name.to_owned());
        blocking(move || book.mark_told(&receiver, &due.told)).await.is_some()
    }
}

fn due(book: &Book, receiver: &str, link: &str, now: i64) -> Result<Due, StateError> {
    let all = book.tellable(receiver)?;
    // It inhibits by itself, but knows nothing of our silences.
    let mutes = Mutes::now(book, &[], &all, now)?;
    let mut due = Due { alerts: Vec::new(), told: Vec::new() };
    for one in all {
        let is_over = one.incident.resolved_at.is_some();
        match mutes.verdict(&one) {
            Verdict::Tell => {}
            Verdict::Hold => continue,
            Verdict::PassOver => {
                due.told.push((one.id, true));
                continue;
            }
        }
        due.alerts.push(alert(&one.incident, link, now));
        due.told.push((one.id, is_over));
    }
    for incident in book.told_lately(receiver, now.saturating_sub(nanos(RESOLVED_FOR)))? {
        due.alerts.push(alert(&incident, link, now));
    }
    Ok(due)
}

fn alert(incident: &Incident, link: &str, now: i64) -> Value {
    // One that ends before it begins is refused; a clock that was set back would make such.
    let ends_at = incident.resolved_at.unwrap_or(now.saturating_add(nanos(ENDS_AFTER)));
    let ends_at = ends_at.max(incident.fired_at);
    // One with an empty value is dropped there, and would have another identity.
    let labels: BTreeMap<String, String> =
        named(&incident.labels).into_iter().filter(|(_, value)| !value.is_empty()).collect();
    json!({
        "labels": labels,
        "annotations": named(&incident.annotations),
        "startsAt": Timestamp(incident.fired_at).to_string(),
        "endsAt": Timestamp(ends_at).to_string(),
        "generatorURL": link,
    })
}
