//! Shipping on a port of its own.

use super::{open, routes};
use crate::kit::tests::contract;
use crate::kit::tests::trial::Trial;

async fn shipping() -> Trial {
    Trial::open("shipping", "shipping-1", async |context| open(context).await).await
}

#[tokio::test]
async fn the_document_and_the_router_are_one() {
    shipping().await.has_the_interface_of(&routes()).await;
}

#[tokio::test]
async fn contracts_with_consumers_are_kept() {
    for contract in contract::with_provider("shipping") {
        let faults = contract::faults(&contract, &shipping().await).await;
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}
