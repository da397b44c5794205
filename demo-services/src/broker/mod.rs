//! The shop's message broker: a server with a database of its own, and the client and consumer that services use.
//!
//! A message is published to an *exchange* with a *routing key*. Each *queue* whose *binding* takes that key gets a copy,
//! all of them in the transaction that answers the publisher. A queue is for one group of consumers; each copy is lent
//! to one of them at a time, and forgotten when it says that it is done.
//!
//! ```text
//! published ──▶ ready ──receive──▶ leased ──Done──▶ (forgotten)
//!                 ▲                  │ ├─Again──▶ scheduled ──its time is due──▶ ready
//!                 ├──lease is over───┘ ├─Again, or lease is over, at the last delivery──▶ dead
//!                 │                    └─Refused──▶ dead
//!                 └──redrive, as a new copy──────────────────────────────────────── dead
//! ```
//!
//! ```text
//! queues     name │ deliveries_max │ pause_min_ms │ lease_ms │ held        held: its copies, dead ones too
//! bindings   queue │ exchange │ pattern                                    a routing key, or #
//! messages   number │ queue │ state │ due_ms │ attempt │ consumer │ …      a copy in a queue; number: order of arrival
//! published  number │ id                                                   the last ids, to know a second publish by
//! unrouted   number │ id │ …                                               the last that no queue was bound for
//! ```
//!
//! Always: what was answered is in the database, so a kill loses nothing. A copy is in exactly one state. A delivery's tag
//! is its copy's number and its attempt, so what a consumer says of one that was lent to another since is of no effect. A
//! copy may be delivered more than once, and consumers have to know ids that they have dealt with. Nothing is dropped but
//! unrouted messages, which are counted: a queue that holds its most refuses to get more, and its publisher waits.
//!
//! `store` and `deliveries` do all that in SQL, `server` wakes who waits, `routes` puts it behind HTTP. Whoever publishes or consumes knows
//! [`client`], [`consumer`] and [`message`] alone, so that another broker can stand behind them.

pub(crate) mod client;
pub(crate) mod consumer;
pub(crate) mod message;

mod deliveries;
mod figures;
mod routes;
mod server;
mod stats;
mod store;
mod tables;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::kit::context::{Context, Service};

pub(crate) use self::client::{Broker, BrokerError};
pub(crate) use self::consumer::{Failure, Handled, consume};
pub(crate) use self::message::{Binding, Delivery, Message, Queue};

use self::server::Server;
use self::store::Limits;

/// `messaging.system` of everything that goes through it.
pub(crate) const SYSTEM: &str = "shop-broker";

/// How often leases that are over are looked for where nobody asks for messages, and the gauges are set.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The broker, ready to answer. Whatever was lent before it started can be lent again. It has `queues` from the start, so
/// that what is published before their consumers were ever there is kept for them.
///
/// # Errors
/// If its database cannot be opened.
pub(crate) async fn open(context: &Context, queues: &[Queue]) -> anyhow::Result<Service> {
    open_with(context, Limits::default(), queues).await
}

async fn open_with(context: &Context, limits: Limits, queues: &[Queue]) -> anyhow::Result<Service> {
    let server = Server::open(context, limits).await?;
    for queue in queues {
        server.declare(queue.clone()).await?;
    }
    let (looking, stop) = (server.clone(), context.stop.clone());
    let look = async move {
        loop {
            looking.look().await;
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = stop.requested() => break,
            }
        }
    };
    Ok(Service { quiet: routes::router(server), work: vec![Box::pin(look)], ..Service::default() })
}
