//! Notifications on a port of its own.

use super::{open, routes};
use crate::kit::tests::trial::Trial;

#[tokio::test]
async fn the_document_and_the_router_are_one() {
    let notifications =
        Trial::open("notifications", "notifications-1", async |context| open(context).await);
    notifications.await.has_the_interface_of(&routes()).await;
}
