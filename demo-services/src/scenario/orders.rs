//! Orders: the saga, what undoes it, and what keeps it from happening twice.

use anyhow::ensure;
use reqwest::Method;
use rusqlite::{Connection, ErrorCode};

use super::stage::{Stage, an_order};
use crate::payments::{CARD_DECLINED, CARD_GOOD};
use crate::switches;

pub(super) async fn private_database(stage: &mut Stage) -> anyhow::Result<()> {
    let order = stage.order().await?;
    order.expect(201, "an order")?;
    stage.leaves(&order, "completed", None, "an order over four databases");
    for service in ["users", "orders", "payments", "inventory", "shipping"] {
        let error = match tables(stage, service) {
            Ok(tables) => anyhow::bail!("the database of {service} can be read: {tables} tables"),
            Err(error) => error,
        };
        let is_locked = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
        ensure!(is_locked, "the database of {service} cannot be read for another reason: {error}");
        stage.saw(format!("{service}.db, read from outside: {error}"));
    }
    stage.kill("payments-1");
    let tables = stage.becomes("its database is free", async || Ok(tables(stage, "payments").ok()));
    let tables = tables.await?;
    stage.saw(format!("payments.db, read from outside: {tables} tables, as nobody has it now"));
    let order = stage.order().await?;
    // Whatever payments may have done is to be undone, and that waits for it.
    order.expect(202, "an order without payments")?;
    stage.run("payments", 1).await?;
    let id = order.text("order_id");
    let state = stage.end_of(&id).await?;
    ensure!(state == "cancelled", "{id} ended {state}");
    stage.saw(format!("payments is back: {id}, which needed it meanwhile, is undone"));
    stage.leaves(&order, "compensated", Some("payment"), "an order while payments was dead");
    stage.check().await
}

/// How many tables somebody else sees in a service's database.
fn tables(stage: &Stage, service: &str) -> rusqlite::Result<i64> {
    let file = stage.settings.data.join(format!("{service}-1/{service}.db"));
    let connection = Connection::open(file)?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    let count = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
    connection.query_row(count, [], |row| row.get(0))
}

pub(super) async fn idempotency(stage: &mut Stage) -> anyhow::Result<()> {
    let order = an_order("cup", 2, CARD_GOOD);
    let first = stage.order_as("a-key", &order).await?;
    first.expect(201, "an order")?;
    let again = stage.order_as("a-key", &order).await?;
    again.expect(201, "the same order again")?;
    ensure!(again.body == first.body, "another answer: {} and {}", first.body, again.body);
    ensure!(again.headers.contains_key("idempotent-replayed"), "it is not said to be a repeat");
    let id = first.text("order_id");
    stage.saw(format!("the same order twice: {id} both times"));
    let ledger = stage.ledger(&id).await?;
    ensure!(ledger == "authorise capture", "the ledger says {ledger}");
    stage.saw(format!("its ledger: {ledger}"));
    let other = stage.order_as("a-key", &an_order("kettle", 1, CARD_GOOD)).await?;
    other.expect(422, "another order under the same key")?;
    stage.saw("another order under the same key: 422 idempotency_key_reused");
    stage.leaves(&first, "completed", None, "the first order");
    stage.turn(switches::FORGOTTEN_KEYS, true).await?;
    let twice = stage.order_as("a-key", &order).await?;
    stage.turn(switches::FORGOTTEN_KEYS, false).await?;
    twice.expect(201, "the same order, its key forgotten")?;
    let second = twice.text("order_id");
    ensure!(second != id, "{id} is answered although its key is forgotten");
    let ledger = stage.ledger(&second).await?;
    ensure!(ledger == "authorise capture", "the ledger of {second} says {ledger}");
    stage.saw(format!("forgotten-keys: the same order is {second} now, and paid for once more"));
    stage.leaves(&twice, "completed", Some("key is forgotten"), "an order that is placed twice");
    stage.check().await
}

pub(super) async fn saga(stage: &mut Stage) -> anyhow::Result<()> {
    let order = stage.order().await?;
    order.expect(201, "an order")?;
    let saga = stage.get("orders-1", &format!("/api/v1/sagas/{}", order.text("saga_id"))).await?;
    let steps = saga.body["steps"].as_array().cloned().unwrap_or_default();
    ensure!(steps.len() == 6, "the saga has {} steps", steps.len());
    for step in &steps {
        let (name, last) = (&step["name"], &step["last"]);
        ensure!(last == "saga.step.completed", "{name} ended with {last}");
        stage.saw(format!("{} {} after {} try", step["number"], name, step["attempts"]));
    }
    stage.leaves(&order, "completed", None, "an order");
    stage.check().await
}

pub(super) async fn compensation(stage: &mut Stage) -> anyhow::Result<()> {
    let declined = stage.order_as("declined", &an_order("cup", 1, CARD_DECLINED)).await?;
    declined.expect(402, "an order with a bad card")?;
    stage.leaves(&declined, "compensated", Some("card declined"), "a card that is declined");
    for (switch, status, ledger, first_error) in [
        (switches::OUT_OF_STOCK, 409, "", "out of stock"),
        (switches::DECLINED_CARDS, 402, "", "card declined"),
        (switches::SLOW_SHIPPING, 504, "authorise void", "shipping|parcel"),
        (switches::FAILING_COMMITS, 502, "authorise capture refund", "inventory|stock"),
    ] {
        stage.turn(switch, true).await?;
        let order = stage.order().await?;
        stage.turn(switch, false).await?;
        order.expect(status, switch)?;
        let id = order.text("order_id");
        ensure!(stage.end_of(&id).await? == "cancelled", "{id} is not cancelled");
        let found = stage.ledger(&id).await?;
        ensure!(found == ledger, "{switch}: the ledger says {found:?} and not {ledger:?}");
        stage.saw(format!("{switch}: {status}, undone; its ledger: {found:?}"));
        stage.leaves(&order, "compensated", Some(first_error), switch);
    }
    let order = stage.order().await?;
    order.expect(201, "an order when all is well again")?;
    stage.check().await
}

pub(super) async fn killed_orchestrator(stage: &mut Stage) -> anyhow::Result<()> {
    stage.turn(switches::SLOW_SHIPPING, true).await?;
    let (order, turned) = tokio::join!(stage.order(), async {
        stage
            .becomes("the saga waits for shipping", async || {
                let account = stage.get("orders-1", "/api/v1/account").await?;
                let pending = account.body["orders"]["pending"][0].as_str().unwrap_or_default();
                let order = stage.get("orders-1", &format!("/api/v1/orders/{pending}")).await?;
                let saga = format!("/api/v1/sagas/{}", order.text("saga"));
                let step = &stage.get("orders-1", &saga).await?.body["steps"][2];
                Ok((step["last"] == "saga.step.started").then_some(()))
            })
            .await?;
        stage.turn(switches::KILLED_ORCHESTRATOR, true).await
    });
    turned?;
    let order = order?;
    order.expect(202, "an order whose orchestrator died")?;
    stage.saw("the orchestrator dies while it waits for shipping: 202, the order is under way");
    let waiting = stage.order().await?;
    waiting.expect(202, "an order while the orchestrator is dead")?;
    stage.turn(switches::SLOW_SHIPPING, false).await?;
    stage.turn(switches::KILLED_ORCHESTRATOR, false).await?;
    for placed in [&order, &waiting] {
        let id = placed.text("order_id");
        let state = stage.end_of(&id).await?;
        ensure!(state == "confirmed", "{id} ended {state}");
        let ledger = stage.ledger(&id).await?;
        ensure!(ledger == "authorise capture", "the ledger of {id} says {ledger}");
        stage.saw(format!("{id} goes on where it was and is confirmed; its ledger: {ledger}"));
    }
    stage.leaves(&order, "completed", Some("shipping|parcel"), "an order whose orchestrator died");
    stage.check().await
}

pub(super) async fn late_commit(stage: &mut Stage) -> anyhow::Result<()> {
    stage.turn(switches::LATE_COMMIT, true).await?;
    let order = stage.order().await?;
    stage.turn(switches::LATE_COMMIT, false).await?;
    order.expect(201, "an order whose payments answers late")?;
    let id = order.text("order_id");
    let ledger = stage.ledger(&id).await?;
    ensure!(ledger == "authorise capture", "the ledger says {ledger}");
    stage.saw(format!("{id}: each payment was asked for twice and moved once: {ledger}"));
    stage.leaves(&order, "completed", Some("payment"), "payments answers too late");
    stage.check().await
}

pub(super) async fn manual_intervention(stage: &mut Stage) -> anyhow::Result<()> {
    for switch in [switches::FAILING_COMMITS, switches::FAILING_REFUNDS] {
        stage.turn(switch, true).await?;
    }
    let order = stage.order().await?;
    let id = order.text("order_id");
    let state = stage.end_of(&id).await?;
    ensure!(state == "manual", "{id} ended {state}");
    for switch in [switches::FAILING_COMMITS, switches::FAILING_REFUNDS] {
        stage.turn(switch, false).await?;
    }
    let waiting = stage.get("orders-1", "/api/v1/interventions").await?;
    let waiting = waiting.body.as_array().cloned().unwrap_or_default();
    let steps: Vec<_> = waiting.iter().map(|one| one["step"].as_u64().unwrap_or(0)).collect();
    let is_ours = waiting.iter().all(|one| one["order"] == id.as_str());
    // What is captured and not refunded cannot be voided either.
    ensure!(is_ours && steps == [4, 2], "people are asked for {waiting:?}");
    stage.saw(format!("{id} waits for a person: captured, not refunded, and so not voided"));
    stage.check().await?;
    let note = serde_json::json!({"note": "refunded by hand"});
    for step in steps {
        let path = format!("/api/v1/interventions/{}/{step}/resolve", order.text("saga_id"));
        let done = stage.ask("orders-1", Method::POST, &path, Some(&note), &[]).await?;
        done.expect(204, "the person's note")?;
    }
    let state = stage.end_of(&id).await?;
    ensure!(state == "settled", "{id} is {state} after a person settled all of it");
    stage.saw("a person settles it");
    stage.check().await?;
    stage.leaves(&order, "failed", Some("inventory|stock"), "neither done nor undone");
    Ok(())
}
