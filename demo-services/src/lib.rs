//! The shop: small real services that show how services of many are built, and leave a trail that logq follows from one
//! end to the other. `README.md` has a row for each pattern, and what reveals it.
//!
//! ```text
//! shoppers ─▶ gateway ─┬─▶ users                     everybody finds everybody through the registry
//!                      ├─▶ catalog ◀─┐
//!                      └─▶ orders ───┼─▶ inventory   a saga, step by step; each has a database of its own
//!                            │       ├─▶ payments
//!                            │       └─▶ shipping
//!                            └ outbox ─▶ broker ─▶ notifications
//!
//! kit            what every service stands on: port, log, database, the outgoing client, identity
//! registry …     a folder for each service, one for each pattern that services share (idempotency, outbox, saga)
//! shop           which services there are, and how they are run in one process
//! traffic        shoppers
//! check          holds the accounts of all services against each other
//! scenario       each pattern alone, with its failure
//! switches       what can be broken while the shop runs
//! ```
//!
//! The services know nothing of logq: they write lines of JSON and send spans, as any other system would.

mod broker;
mod catalog;
mod check;
mod gateway;
mod idempotency;
mod inventory;
mod kit;
mod notifications;
mod orders;
mod outbox;
mod payments;
mod registry;
mod run;
mod saga;
pub mod scenario;
mod shipping;
mod shop;
mod switches;
mod topology;
mod traffic;
mod users;

pub use crate::check::{Finding, Findings};
pub use crate::payments::{CARD_DECLINED, CARD_GOOD, CARD_SLOW, CARD_SLOW_ONCE};
pub use crate::run::{
    DemoOptions, ServiceOptions, Started, check, place_orders, run, run_services, turn,
};
pub use crate::switches::SWITCHES;
pub use crate::topology::topology;
pub use crate::traffic::{Placed, Rate};
