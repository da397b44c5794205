//! Messages: what the outbox, the inbox and the broker promise.

use anyhow::ensure;

use super::stage::Stage;
use crate::switches::DEAD_CONSUMER;

const ORDERS: u64 = 5;

/// How many letters were written.
async fn letters(stage: &Stage) -> anyhow::Result<u64> {
    let account = stage.get("notifications-1", "/api/v1/account").await?;
    Ok(account.body["letters"].as_u64().unwrap_or(0))
}

pub(super) async fn outbox(stage: &mut Stage) -> anyhow::Result<()> {
    stage.kill("broker-1");
    let mut first = None;
    for _ in 0..ORDERS {
        let order = stage.order().await?;
        order.expect(201, "an order without a broker")?;
        first.get_or_insert(order);
    }
    stage.saw(format!("{ORDERS} orders are placed while the broker is down"));
    let account = stage.get("orders-1", "/api/v1/account").await?;
    let outbox = &account.body["outbox"];
    let late = outbox["written"].as_u64().unwrap_or(0) - outbox["published"].as_u64().unwrap_or(0);
    ensure!(late == 2 * ORDERS, "{late} messages wait in the outbox");
    stage.saw(format!("{late} messages wait in the outbox"));
    stage.run("broker", 1).await?;
    stage
        .becomes("every customer is written to", async || {
            Ok((letters(stage).await? == ORDERS).then_some(()))
        })
        .await?;
    stage.saw(format!("the broker is back: {ORDERS} letters, none twice"));
    if let Some(first) = first {
        stage.leaves(&first, "completed", Some("publish"), "an order that was told of later");
    }
    stage.check().await
}

pub(super) async fn broker(stage: &mut Stage) -> anyhow::Result<()> {
    let before = stage.order().await?;
    before.expect(201, "an order")?;
    stage
        .becomes("the customer is written to", async || {
            Ok((letters(stage).await? == 1).then_some(()))
        })
        .await?;
    stage.turn(DEAD_CONSUMER, true).await?;
    // The consumer may take a few more, until it looks at the switch.
    let (mut placed, mut waiting) = (1, 0);
    while waiting < ORDERS {
        ensure!(placed < 20 * ORDERS, "of {placed} messages {waiting} wait for the dead consumer");
        stage.order().await?.expect(201, "an order with a dead consumer")?;
        placed += 1;
        let queues = stage.get("broker-1", "/api/v1/queues").await?;
        waiting = queues.body["queues"][0]["ready"].as_u64().unwrap_or(0);
    }
    stage.saw(format!("the consumer is dead: {waiting} messages wait"));
    stage.kill("broker-1");
    stage.run("broker", 1).await?;
    stage.turn(DEAD_CONSUMER, false).await?;
    stage
        .becomes("every customer is written to", async || {
            Ok((letters(stage).await? == placed).then_some(()))
        })
        .await?;
    stage.saw("both are back: every message is consumed once");
    stage.leaves(&before, "completed", None, "an order and its letter");
    stage.check().await
}
