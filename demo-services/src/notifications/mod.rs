//! Notifications: hears from the broker how orders ended, and writes to customers. What it was told is in its inbox, in
//! the same transaction as the letter, so that nobody gets a letter twice.
//!
//! Failure switch: `dead-consumer.notifications` stops it; messages wait in the queue meanwhile.

#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::extract::State;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use rusqlite::{Transaction, params};
use serde::Serialize;
use service::http::{ErrorResponse, JsonLine};
use service::semantics::{database, saga};
use tracing::info;
use utoipa::{OpenApi, ToSchema};

use crate::broker::{Binding, Broker, Delivery, Failure, Handled, Queue, consume};
use crate::kit::clock::now_ms;
use crate::kit::context::{Context, Service};
use crate::kit::database::Database;
use crate::kit::openapi::{self, ErrorBody, Route};
use crate::kit::rows::{self, Row};
use crate::outbox::inbox;

const TABLE: &str = "
    CREATE TABLE letters (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        order_id TEXT NOT NULL,
        about TEXT NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX letters_by_order ON letters (order_id);";

/// Where orders says what becomes of orders.
const EXCHANGE: &str = "orders";

/// What the shop's checker looks at.
#[derive(Debug, Serialize, ToSchema)]
struct Account {
    letters: i64,
    /// Orders that got a letter about the same thing twice.
    written_twice: Vec<String>,
}

#[derive(OpenApi)]
#[openapi(paths(openapi::document, account))]
struct Document;

pub(crate) async fn open(context: &Context) -> anyhow::Result<Service> {
    let file = context.data.join("notifications.db");
    let database = Database::open(&file, &[TABLE, inbox::TABLE]).await?;
    let document = openapi::describe(Document::openapi(), "notifications", "Letters to customers.");
    let router = openapi::router(routes(), database.clone(), &document);
    let handler = move |delivery: &Delivery| {
        let (database, delivery) = (database.clone(), delivery.clone());
        async move { write_letter(&database, delivery).await }
    };
    let broker = Broker::new(context);
    let work = Box::pin(consume(context.clone(), broker, queue(), handler));
    Ok(Service { router, work: vec![work], ..Service::default() })
}

fn routes() -> Vec<Route<Database>> {
    vec![Route::new(Method::GET, "/api/v1/account", account)]
}

/// Where it hears from.
pub(crate) fn queue() -> Queue {
    let ends = [saga::COMPLETED, saga::COMPENSATED, saga::FAILED];
    let binding =
        |key: &&str| Binding { exchange: EXCHANGE.to_owned(), pattern: (*key).to_owned() };
    Queue {
        name: "notifications".to_owned(),
        bindings: ends.iter().map(binding).collect(),
        deliveries_max: 5,
        pause_min: Duration::from_millis(200),
        lease: Duration::from_secs(30),
    }
}

async fn write_letter(database: &Database, delivery: Delivery) -> Result<Handled, Failure> {
    let message = delivery.message;
    let Some(order) = message.body["order_id"].as_str().map(str::to_owned) else {
        return Err(Failure::Refused {
            error_type: "malformed",
            message: "the message names no order".to_owned(),
        });
    };
    let (id, about, of) = (message.id.clone(), message.kind.clone(), order.clone());
    let written = database.run(move |tx| {
        if !inbox::is_first(tx, &id)? {
            return Ok(None);
        }
        tx.prepare_cached("INSERT INTO letters (order_id, about, at_ms) VALUES (?, ?, ?)")?
            .execute(params![of, about, now_ms()])?;
        Ok(Some(tx.last_insert_rowid()))
    });
    match written.await {
        Ok(Some(number)) => {
            info!(order_id = order, about = message.kind, "customer was written to");
            let key = number.to_string();
            rows::changed(Row {
                database: "notifications",
                table: "letters",
                operation: database::INSERT,
                key: &key,
                ..Row::default()
            });
            Ok(Handled::Processed)
        }
        Ok(None) => Ok(Handled::Deduplicated),
        Err(error) => Err(Failure::Again { error_type: "database", message: error.to_string() }),
    }
}

#[utoipa::path(
    get, path = "/api/v1/account",
    responses(
        (status = 200, description = "what the checker of the shop looks at", body = Account),
        (status = 503, description = "`busy`", body = ErrorBody),
        (status = 500, description = "`internal`", body = ErrorBody),
    ),
)]
async fn account(State(database): State<Database>) -> Result<Response, ErrorResponse> {
    Ok(JsonLine(database.run(account_in).await?).into_response())
}

fn account_in(tx: &Transaction<'_>) -> rusqlite::Result<Account> {
    let letters = tx.query_row("SELECT count(*) FROM letters", [], |row| row.get(0))?;
    let mut twice = tx.prepare_cached(
        "SELECT order_id FROM letters GROUP BY order_id, about HAVING count(*) > 1 LIMIT 100",
    )?;
    let written_twice = twice.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(Account { letters, written_twice })
}
