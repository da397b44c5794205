//! The relay with a real broker.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::broker::{self, Binding, Broker, Queue};
use crate::kit::context::{Context, Service};
use crate::kit::database::Database;
use crate::kit::directory::Directory;
use crate::kit::tests::trial::Trial;

fn message(id: &str, header: &str) -> Message {
    Message {
        id: id.to_owned(),
        exchange: "shop".to_owned(),
        routing_key: "order.placed".to_owned(),
        kind: "OrderPlaced".to_owned(),
        headers: BTreeMap::from([("x-note".to_owned(), header.to_owned())]),
        body: json!({}),
    }
}

#[tokio::test]
async fn a_message_that_the_broker_never_takes_is_set_aside_and_those_around_it_go_out() {
    let queue = Queue {
        name: "q".to_owned(),
        bindings: vec![Binding { exchange: "shop".to_owned(), pattern: "#".to_owned() }],
        deliveries_max: 3,
        pause_min: Duration::ZERO,
        lease: Duration::from_secs(30),
    };
    let broker =
        async |context: &Context| broker::open(context, std::slice::from_ref(&queue)).await;
    let broker = Trial::open("broker", "broker-1", broker).await;
    let directory = Directory::fixed(vec![broker.instance()]);
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("orders.db"), &[TABLE]).await.unwrap();
    let written = database.run(|tx| {
        put(tx, &message("first", "a=b"))?;
        put(tx, &message("too-large", &"x".repeat(1 << 20)))?;
        put(tx, &message(&"long-id".repeat(100), "a=b"))?;
        put(tx, &message("last", "a=b"))
    });
    written.await.unwrap();

    let kept = database.clone();
    let orders = Trial::open("orders", "orders-1", async |context| {
        let context = Context { directory, ..context.clone() };
        let broker = Broker::new(&context);
        let relay = Outbox::default().relay(context, database, broker);
        Ok(Service { work: vec![Box::pin(relay)], ..Service::default() })
    });
    // What is written goes out before the end.
    let lines = orders.await.close().await;

    let account = kept.run(account).await.unwrap();
    assert_eq!(account, OutboxAccount { written: 4, published: 2, refused: 2 });
    let aside = lines.iter().filter(|line| line["message"] == "message set aside in the outbox");
    let told: Vec<String> = aside.map(|line| line.to_string()).collect();
    assert!(told[0].contains("too-large") && told[0].contains("headers of"), "{told:?}");
    assert!(told[1].contains("long-idlong") && told[1].contains("700 bytes"), "{told:?}");
    assert_eq!(told.len(), 2, "{told:?}");
    let queues = broker.ask(axum::http::Method::GET, "/api/v1/queues", ("", "")).await.body;
    assert_eq!(queues["queues"][0]["ready"], 2, "{queues}");
}
