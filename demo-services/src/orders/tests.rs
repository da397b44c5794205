//! Orders on a port of its own.

use serde_json::json;

use super::steps::PLACE_ORDER;
use super::{open, routes};
use crate::kit::contract;
use crate::kit::trial::Trial;

#[tokio::test]
async fn the_document_and_the_router_are_one() {
    let orders = Trial::open("orders", "orders-1", async |context| open(context).await);
    orders.await.has_the_interface_of(&routes()).await;
}

#[test]
fn all_that_the_saga_asks_for_is_in_a_contract() {
    let items = [json!({"sku": "cup", "quantity": 1})];
    let data = json!({"order_id": "o-1", "items": items, "amount_cents": 890, "card": "4…"});
    for asked in PLACE_ORDER.steps.iter().filter_map(|step| step.asks.as_ref()) {
        let contracts = contract::with_provider(asked.service);
        let ours = contracts.iter().find(|contract| contract.consumer == "orders").unwrap();
        for request in [(asked.execute)(&data), (asked.compensate)(&data)] {
            assert!(ours.has(&request.path, &request.body), "{}: {request:?}", asked.service);
        }
    }
}
