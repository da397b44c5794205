//! The saga that places an order: who is asked for what, and how it is undone.
//!
//! | | step | asks | undone by |
//! |---|---|---|---|
//! | 1 | `reserve-stock` | inventory | releasing the reservation |
//! | 2 | `authorise-payment` | payments | voiding the authorisation |
//! | 3 | `book-parcel` | shipping | cancelling the parcel |
//! | 4 | `capture-payment` | payments | refunding |
//! | 5 | `commit-stock` | inventory | having the goods put back |
//! | 6 | `confirm-order` | nobody: it is the end | |

use std::time::Duration;

use serde_json::{Value, json};
use service::semantics::database;

use super::store;
use crate::kit::rows::{self, Row};
use crate::saga::definition::{Asked, Definition, Request, SagaTexts, Step, StepTexts};
use crate::saga::store::Run;

pub(super) static PLACE_ORDER: Definition = Definition {
    name: "place-order",
    exchange: super::EXCHANGE,
    steps: &STEPS,
    attempts_max: 2,
    compensations_max: 4,
    // Longer than a circuit is open, and than a service is away that is started again: 28 s at least.
    unanswered_max: 60,
    pause_min: Duration::from_millis(50),
    pause_max: Duration::from_secs(1),
    timeout: Duration::from_secs(30),
    // What is left of a card is for the ledger of payments.
    forget: |data| {
        data.as_object_mut().map(|data| data.remove("card"));
    },
    ended: store::saga_ended,
    told: |run| {
        let (key, state) = (run.subject.as_str(), Some(order_state(run)));
        let (database, table, operation) = ("orders", "orders", database::UPDATE);
        rows::changed(Row { database, table, operation, key, state, ..Row::default() });
    },
    says: SagaTexts {
        started: "order received",
        completed: "order confirmed",
        compensated: "order failed",
        failed: "order failed halfway, a person has to look",
    },
};

static STEPS: [Step; 6] = [
    Step {
        name: "reserve-stock",
        asks: Some(Asked {
            service: "inventory",
            execute: |data| {
                to(
                    "/api/v1/reservations",
                    json!({"order_id": data["order_id"], "items": data["items"]}),
                )
            },
            compensate: |data| of_order(data, "reservations", "release"),
            learn: nothing,
        }),
        says: StepTexts {
            started: "stock requested",
            completed: "stock is reserved",
            failed: "reservation",
            undone: "reservation is released",
        },
    },
    Step {
        name: "authorise-payment",
        asks: Some(Asked {
            service: "payments",
            execute: |data| {
                let (order, amount) = (&data["order_id"], &data["amount_cents"]);
                let body = json!({"order_id": order, "amount_cents": amount, "card": data["card"]});
                to("/api/v1/authorisations", body)
            },
            compensate: |data| of_order(data, "authorisations", "void"),
            learn: |data, answer| {
                data["authorisation"] = answer["authorisation"].clone();
                data.as_object_mut().map(|data| data.remove("card"));
            },
        }),
        says: StepTexts {
            started: "payment requested",
            completed: "payment is authorised",
            failed: "payment",
            undone: "authorisation is voided",
        },
    },
    Step {
        name: "book-parcel",
        asks: Some(Asked {
            service: "shipping",
            execute: |data| to("/api/v1/shipments", json!({"order_id": data["order_id"]})),
            compensate: |data| of_order(data, "shipments", "cancel"),
            learn: |data, answer| data["tracking"] = answer["tracking"].clone(),
        }),
        says: StepTexts {
            started: "parcel requested",
            completed: "parcel is booked",
            failed: "booking of the parcel",
            undone: "parcel is cancelled",
        },
    },
    Step {
        name: "capture-payment",
        asks: Some(Asked {
            service: "payments",
            execute: |data| of_order(data, "authorisations", "capture"),
            compensate: |data| of_order(data, "authorisations", "refund"),
            learn: nothing,
        }),
        says: StepTexts {
            started: "capture requested",
            completed: "payment is captured",
            failed: "capture",
            undone: "payment is refunded",
        },
    },
    Step {
        name: "commit-stock",
        asks: Some(Asked {
            service: "inventory",
            execute: |data| of_order(data, "reservations", "commit"),
            compensate: |data| of_order(data, "reservations", "return"),
            learn: nothing,
        }),
        says: StepTexts {
            started: "goods requested",
            completed: "goods are on their way",
            failed: "commit of the stock",
            undone: "goods are back",
        },
    },
    Step {
        name: "confirm-order",
        asks: None,
        says: StepTexts {
            started: "confirming",
            completed: "order is complete",
            failed: "confirmation",
            undone: "confirmation is withdrawn",
        },
    },
];

fn to(path: &str, body: Value) -> Request {
    Request { path: path.to_owned(), body }
}

fn of_order(data: &Value, things: &str, verb: &str) -> Request {
    let order = data["order_id"].as_str().unwrap_or_default();
    Request { path: format!("/api/v1/{things}/{order}/{verb}"), body: json!({}) }
}

fn nothing(_: &mut Value, _: &Value) {}

/// What the end of the saga makes of the order.
pub(super) fn order_state(run: &Run) -> &'static str {
    use crate::saga::instance::State;
    match run.instance.state {
        State::Running | State::Compensating => "pending",
        State::Completed => "confirmed",
        State::Compensated => "cancelled",
        State::Failed => "manual",
    }
}
