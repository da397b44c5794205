//! What the registry does by itself: takes out instances whose lease is over, and asks all of them whether they are ready.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use reqwest::Client;
use service::shutdown::Shutdown;
use tokio::time::{MissedTickBehavior, interval};

use super::catalog::Catalog;
use crate::kit::context::Work;

/// Questions at once.
const QUESTIONS_MAX: usize = 64;
/// How often a lease is looked at before it is over.
const LOOKS: u32 = 10;

/// Takes out what was silent for too long, until `stop`.
pub(super) fn expire(catalog: Arc<Catalog>, stop: Shutdown) -> Work {
    Box::pin(async move {
        let mut looks = interval(catalog.settings.lease / LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                at = looks.tick() => catalog.expire(at.into_std()),
                () = stop.requested() => return,
            }
        }
    })
}

/// Asks whether instances are ready, until `stop`.
pub(super) fn check(catalog: Arc<Catalog>, client: Client, stop: Shutdown) -> Work {
    Box::pin(async move {
        let mut rounds = interval(catalog.settings.check_interval);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let forever = async {
            loop {
                rounds.tick().await;
                let ask = async |(id, address): (String, SocketAddr)| {
                    let is_ready = is_ready(&catalog, &client, address).await;
                    catalog.checked(&id, address, is_ready);
                };
                let asked = stream::iter(catalog.to_check()).map(ask);
                asked.buffer_unordered(QUESTIONS_MAX).collect::<()>().await;
            }
        };
        tokio::select! {
            () = forever => {}
            () = stop.requested() => {}
        }
    })
}

/// The body is not read: the status says it.
async fn is_ready(catalog: &Catalog, client: &Client, address: SocketAddr) -> bool {
    let question = client.get(format!("http://{address}/health/ready"));
    let answer = question.timeout(catalog.settings.check_timeout).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}
