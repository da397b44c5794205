//! Orders on a port of its own.

use serde_json::json;

use super::steps::PLACE_ORDER;
use super::{MIGRATIONS, Place, Placement, open, routes, store};
use crate::kit::context::Context;
use crate::kit::database::Database;
use crate::kit::directory::Directory;
use crate::kit::tests::contract;
use crate::kit::tests::trial::Trial;
use crate::saga::instance::{Instance, Reason, State};
use crate::saga::store::{self as sagas, Run};
use crate::{catalog, inventory, payments, shipping};

/// Orders, with all whom it asks.
async fn orders() -> (Trial, [Trial; 4]) {
    let neighbours = [
        Trial::open("catalog", "catalog-1", async |context| catalog::open(context).await).await,
        Trial::open("inventory", "inventory-1", async |context| inventory::open(context).await)
            .await,
        Trial::open("payments", "payments-1", async |context| payments::open(context).await).await,
        Trial::open("shipping", "shipping-1", async |context| shipping::open(context).await).await,
    ];
    let directory = Directory::fixed(neighbours.iter().map(Trial::instance).collect());
    let open = async |context: &Context| open(&Context { directory, ..context.clone() }).await;
    (Trial::open("orders", "orders-1", open).await, neighbours)
}

#[tokio::test]
async fn contracts_with_consumers_are_kept() {
    for contract in contract::with_provider("orders") {
        let (orders, _neighbours) = orders().await;
        let faults = contract::faults(&contract, &orders).await;
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

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

#[tokio::test]
async fn an_order_whose_steps_people_settled_before_its_saga_ended_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("orders.db"), MIGRATIONS).await.unwrap();
    let states = database.run(|tx| {
        let mut states = Vec::new();
        for (number, resolved) in [("1", true), ("2", false)] {
            let order = Place { customer: "ada".into(), items: vec![], card: "4000".into() };
            let placement = Placement::of(order, format!("key-{number}"), None);
            let instance = Instance { state: State::Failed, ..Instance::new() };
            let run = Run {
                id: format!("s-{number}"),
                name: PLACE_ORDER.name.to_owned(),
                subject: format!("o-{number}"),
                instance,
                data: json!({}),
                headers: Default::default(),
                started_ms: 0,
                deadline_ms: 0,
            };
            store::insert(tx, &placement, &run, 890)?;
            sagas::ask_people(tx, &run.id, 2, &Reason::new("timeout", "it did not answer"))?;
            if resolved {
                assert_eq!(sagas::resolve(tx, &run.id, 2, "voided by hand")?, Some(0));
            }
            store::saga_ended(tx, &run)?;
            states.push(store::find(tx, &run.subject)?.unwrap().state);
        }
        Ok(states)
    });
    assert_eq!(states.await.unwrap(), ["settled", "manual"]);
}
