//! Orders: places them, by a saga over inventory, payments and shipping ([`steps`]). `POST /api/v1/orders` answers when
//! the saga has ended, or with 202 if that takes longer than its caller should wait; the order goes on then.
//!
//! Failure switches: `killed-orchestrator` stops the saga's coordinator wherever it stands; `forgotten-keys` has every
//! order placed anew, whatever its idempotency key.

mod prices;
mod show;
mod steps;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::http::ErrorResponse;
use service::semantics::{database, record};
use tokio::time::timeout;
use tracing::{info, warn};
use utoipa::{OpenApi, ToSchema};

use self::prices::Prices;
use self::steps::PLACE_ORDER;
use crate::broker::Broker;
use crate::idempotency::{Answer, Key};
use crate::kit::card::card_shown;
use crate::kit::client::{BreakerPolicy, Dependency, Policy};
use crate::kit::context::{Context, Service, Work};
use crate::kit::database::{Database, DatabaseError};
use crate::kit::identity::Caller;
use crate::kit::openapi::{self, ErrorBody, Route};
use crate::kit::request::Body;
use crate::kit::rows::{self, Row};
use crate::kit::web::unavailable;
use crate::outbox::{self, Outbox};
use crate::saga;
use crate::saga::coordinator::Coordinator;
use crate::saga::instance::State as SagaState;
use crate::saga::store::Run;
use crate::switches;

/// Where it says what becomes of orders.
const EXCHANGE: &str = "orders";

const MIGRATIONS: &[&str] = &[store::TABLE, saga::store::TABLES, outbox::TABLE];
/// Different items of an order, and how many of each.
const ITEMS_MAX: usize = 20;
const QUANTITY_MAX: u32 = 100;
/// Orders under way; further ones are refused.
const OPEN_MAX: u32 = 2_000;
/// How long a caller waits for the end, beyond two tries of two steps.
const ANSWER_MARGIN: Duration = Duration::from_secs(4);

/// What a customer wants, and how it is paid.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct Place {
    customer: String,
    items: Vec<Item>,
    card: String,
}

/// So many of something.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
struct Item {
    sku: String,
    quantity: u32,
}

#[derive(Debug)]
struct Orders {
    context: Context,
    database: Database,
    prices: Prices,
    coordinator: Coordinator,
}

/// An order as its saga left it, or as it stands.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Outcome {
    order_id: String,
    saga_id: String,
    amount_cents: Option<u64>,
    /// `pending`, `confirmed`, `cancelled` or `manual`.
    state: &'static str,
    /// Of the payment; none before there is one.
    #[serde(skip_serializing_if = "Value::is_null")]
    authorisation: Value,
    /// Of the parcel; none before there is one.
    #[serde(skip_serializing_if = "Value::is_null")]
    tracking: Value,
    /// Why it is not confirmed and will not be.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failed>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Failed {
    code: &'static str,
    message: String,
}

#[derive(OpenApi)]
#[openapi(paths(
    openapi::document,
    place,
    show::order,
    show::saga,
    show::interventions,
    show::resolve,
    show::account,
))]
struct Document;

pub(crate) async fn open(context: &Context) -> anyhow::Result<Service> {
    let file = context.data.join("orders.db");
    let database = Database::open(&file, MIGRATIONS).await?;
    let outbox = Outbox::default();
    // A step that comes late and is done at its second try is half a failure, and no outage.
    let breaker = BreakerPolicy { failure_ratio: 0.8, ..BreakerPolicy::USUAL };
    let step = Policy { timeout: context.step_timeout, breaker, ..Policy::PAYMENTS };
    let coordinator =
        Coordinator::new(&PLACE_ORDER, step, context, database.clone(), outbox.clone());
    let catalog = Dependency::new(context, "catalog", Policy::READS);
    let mut dependencies = coordinator.services();
    dependencies.push(catalog.clone());
    let relay = outbox.relay(context.clone(), database.clone(), Broker::new(context));
    let drive = coordinator.clone().run();
    let orders =
        Orders { context: context.clone(), database, prices: Prices::of(catalog), coordinator };
    let description = "Orders, the sagas that place them, and what people have to settle.";
    let document = openapi::describe(Document::openapi(), "orders", description);
    let router = openapi::router(routes(), Arc::new(orders), &document);
    let router = router.merge(crate::kit::health::route(context, dependencies));
    let work: Vec<Work> = vec![Box::pin(relay), Box::pin(drive)];
    Ok(Service { router, work, ..Service::default() })
}

fn routes() -> Vec<Route<Arc<Orders>>> {
    vec![
        Route::new(Method::POST, "/api/v1/orders", place),
        Route::new(Method::GET, "/api/v1/orders/{id}", show::order),
        Route::new(Method::GET, "/api/v1/sagas/{id}", show::saga),
        Route::new(Method::GET, "/api/v1/interventions", show::interventions),
        Route::new(Method::POST, "/api/v1/interventions/{saga}/{step}/resolve", show::resolve),
        Route::new(Method::GET, "/api/v1/account", show::account),
    ]
}

/// An order that is to be placed.
#[derive(Clone, Debug)]
struct Placement {
    order: Place,
    /// The idempotency key, and what it stands for.
    key: String,
    request: String,
    user: Option<String>,
}

/// What an order that is placed comes to.
enum Placed {
    New(Run),
    Known(Run),
    OtherRequest,
    TooMany,
}

#[utoipa::path(
    post, path = "/api/v1/orders", request_body = Place, security(("caller" = [])),
    responses(
        (status = 201, description = "it is confirmed", body = Outcome),
        (status = 202, description = "it is under way", body = Outcome),
        (status = 400, description = "`idempotency_key_missing` or `bad_json`", body = ErrorBody),
        (status = 402, description = "`card_declined`", body = Outcome),
        (status = 409, description = "`out_of_stock`", body = Outcome),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "`not_json`", body = ErrorBody),
        (status = 422, description = "`bad_field`, `bad_item`, `no_items`, `order_too_large` or `idempotency_key_reused`", body = ErrorBody),
        (status = 424, description = "`step_timeout`, `step_failed` or `manual_intervention`: another service failed", body = Outcome),
        (status = 503, description = "`busy`, `price_unknown` or `too_many_orders`", body = ErrorBody),
    ),
)]
async fn place(
    State(orders): State<Arc<Orders>>,
    Key(key): Key,
    caller: Caller,
    Body(order): Body<Place>,
) -> Result<Response, ErrorResponse> {
    let key = orders.remembered(key);
    let (customer, items) = (order.customer.clone(), order.items.len());
    let placement = Placement::of(order, key, caller.user);
    // What was placed already is not looked up again: prices change, and the catalog may be away.
    let placed = match orders.known(placement.clone()).await? {
        Some(known) => known,
        None => {
            let amount_cents = orders.amount_of(&placement.order).await?;
            orders.put_in(placement, amount_cents).await?
        }
    };
    match placed {
        Placed::New(run) => {
            let amount_cents = run.data["amount_cents"].as_u64();
            info!(order_id = run.subject, customer, items, amount_cents, "order stored");
            let (key, state) = (run.subject.as_str(), Some("pending"));
            let (database, table, operation) = ("orders", "orders", database::INSERT);
            rows::changed(Row { database, table, operation, key, state, ..Row::default() });
            let patience = orders.context.step_timeout * 4 + ANSWER_MARGIN;
            let ended = timeout(patience, orders.coordinator.begin(run.clone())).await;
            // Neither is an end: the coordinator died, or it takes long.
            Ok(answer_of(&ended.map_or(run.clone(), |ended| ended.unwrap_or(run))).into_response())
        }
        Placed::Known(run) => Ok(Answer { replayed: true, ..answer_of(&run) }.into_response()),
        Placed::OtherRequest => Err(ErrorResponse::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "this idempotency-key was sent with another order",
        )),
        Placed::TooMany => {
            warn!("too many orders are under way");
            Err(unavailable("too_many_orders", "too many orders are under way"))
        }
    }
}

impl Orders {
    /// The key, or one that nobody sent before if that failure switch is on.
    fn remembered(&self, key: String) -> String {
        if !self.context.directory.is_on(switches::FORGOTTEN_KEYS) {
            return key;
        }
        warn!({ record::ERROR_TYPE } = "key_forgotten", "idempotency key is forgotten");
        format!("{key} {}", self.context.ids.short("forgotten"))
    }

    async fn amount_of(&self, order: &Place) -> Result<u64, ErrorResponse> {
        let refused = |code, message: String| {
            Err(ErrorResponse::new(StatusCode::UNPROCESSABLE_ENTITY, code, message))
        };
        if order.items.is_empty() {
            return refused("no_items", "the order has no items".to_owned());
        }
        if order.items.len() > ITEMS_MAX || order.customer.len() > 256 || order.card.len() > 64 {
            let message = format!("an order has at most {ITEMS_MAX} items, and short names");
            return refused("order_too_large", message);
        }
        let bad = |item: &&Item| !(1..=QUANTITY_MAX).contains(&item.quantity);
        if let Some(Item { quantity, .. }) = order.items.iter().find(bad) {
            let message = format!("one can order 1 to {QUANTITY_MAX} of something, not {quantity}");
            return refused("bad_item", message);
        }
        let prices = order.items.iter().map(async |Item { sku, quantity }| {
            Ok(self.prices.of_sku(sku).await? * u64::from(*quantity))
        });
        futures_util::future::try_join_all(prices).await.map(|prices| prices.iter().sum())
    }

    /// What became of the order that was placed with this key, if there is one.
    async fn known(&self, placement: Placement) -> Result<Option<Placed>, DatabaseError> {
        self.database.run(move |tx| placement.placed(tx)).await
    }

    /// Stores the order and its saga, unless the key is known.
    async fn put_in(
        &self,
        placement: Placement,
        amount_cents: u64,
    ) -> Result<Placed, DatabaseError> {
        let (id, saga) = (self.context.ids.short("o"), self.context.ids.short("s"));
        let Place { items, card, .. } = &placement.order;
        let data =
            json!({"order_id": id, "items": items, "card": card, "amount_cents": amount_cents});
        let run = self.coordinator.prepare(saga, id, data);
        let coordinator = self.coordinator.clone();
        self.database
            .run(move |tx| {
                if let Some(placed) = placement.placed(tx)? {
                    return Ok(placed);
                }
                if saga::store::open_count(tx)? >= OPEN_MAX || outbox::is_full(tx)? {
                    return Ok(Placed::TooMany);
                }
                store::insert(tx, &placement, &run, amount_cents)?;
                coordinator.insert(tx, &run)?;
                Ok(Placed::New(run))
            })
            .await
    }
}

impl Placement {
    fn of(order: Place, key: String, user: Option<String>) -> Self {
        let Place { customer, items, card } = &order;
        // Without the card's number: that is kept for as long as the saga needs it. With the user: nobody has another's
        // order by sending its key.
        let by = user.as_deref().unwrap_or_default();
        let request = format!("{by} {customer} {} {}", json!(items), card_shown(card));
        Self { order, key, request, user }
    }

    /// What this key stands for already.
    fn placed(&self, tx: &Transaction<'_>) -> rusqlite::Result<Option<Placed>> {
        let Some((id, request)) = store::by_key(tx, &self.key)? else { return Ok(None) };
        let run = saga::store::find_by_subject(tx, &id)?;
        Ok(Some(match run {
            Some(run) if request == self.request => Placed::Known(run),
            _ => Placed::OtherRequest,
        }))
    }
}

/// What is answered to whoever placed the order, from where its saga stands. That another service failed is no failure
/// of this one: it did what it was asked for, and to ask again would change nothing.
fn answer_of(run: &Run) -> Answer {
    let mut outcome = Outcome {
        order_id: run.subject.clone(),
        saga_id: run.id.clone(),
        amount_cents: run.data["amount_cents"].as_u64(),
        state: steps::order_state(run),
        ..Outcome::default()
    };
    let reason = run.instance.reason.as_ref();
    let error_type = reason.map_or("", |reason| &reason.error_type);
    let (status, code) = match (run.instance.state, error_type) {
        (SagaState::Completed, _) => {
            outcome.authorisation = run.data["authorisation"].clone();
            outcome.tracking = run.data["tracking"].clone();
            return Answer::new(StatusCode::CREATED, json!(outcome));
        }
        (SagaState::Running | SagaState::Compensating, _) => {
            return Answer::new(StatusCode::ACCEPTED, json!(outcome));
        }
        (SagaState::Failed, _) => (StatusCode::FAILED_DEPENDENCY, "manual_intervention"),
        (SagaState::Compensated, "card_declined") => {
            (StatusCode::PAYMENT_REQUIRED, "card_declined")
        }
        (SagaState::Compensated, "out_of_stock") => (StatusCode::CONFLICT, "out_of_stock"),
        (SagaState::Compensated, "timeout") => (StatusCode::FAILED_DEPENDENCY, "step_timeout"),
        (SagaState::Compensated, _) => (StatusCode::FAILED_DEPENDENCY, "step_failed"),
    };
    let message = reason.map(|reason| reason.message.clone()).unwrap_or_default();
    outcome.error = Some(Failed { code, message });
    Answer::new(status, json!(outcome))
}
