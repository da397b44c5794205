//! What things cost: asked of the catalog, and remembered for five seconds. While the catalog is away, what it
//! said last counts.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde::Deserialize;
use service::http::ErrorResponse;

use crate::kit::client::{Call, Dependency};
use crate::kit::web::unavailable;

/// How long a price is good; what the catalog says of its answers too.
const FRESH_FOR: Duration = Duration::from_secs(5);
/// How long each try for a price may take; an order waits for them.
const PATIENCE: Duration = Duration::from_millis(500);
/// Prices that are remembered.
const REMEMBERED_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct Prices {
    catalog: Dependency,
    known: Mutex<BTreeMap<String, (u64, Instant)>>,
}

/// What is read of a product.
#[derive(Debug, Deserialize)]
struct Product {
    price_cents: u64,
}

impl Prices {
    pub(super) fn of(catalog: Dependency) -> Self {
        Self { catalog, known: Mutex::default() }
    }

    /// The price of one, in cents.
    ///
    /// # Errors
    /// 422 for what is not sold, 503 if the price is not to be had.
    pub(super) async fn of_sku(&self, sku: &str) -> Result<u64, ErrorResponse> {
        let known = self.known().get(sku).copied();
        if let Some((price, at)) = known
            && at.elapsed() < FRESH_FOR
        {
            return Ok(price);
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if sku.is_empty() || sku.len() > 64 || !sku.bytes().all(is_plain) {
            return Err(not_sold(sku));
        }
        match self.ask(sku).await {
            Ok(Some(price)) => {
                self.remember(sku, price);
                Ok(price)
            }
            Ok(None) => Err(not_sold(sku)),
            Err(reason) => known.map(|(price, _)| price).ok_or_else(|| away(&reason)),
        }
    }

    /// What the catalog says; nothing of what it does not sell.
    async fn ask(&self, sku: &str) -> Result<Option<u64>, String> {
        let call = Call::get(format!("/api/v1/products/{sku}")).timeout(PATIENCE);
        let answer = self.catalog.send(call).await.map_err(|error| error.to_string())?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => {
                let product: Product = answer.json().map_err(|error| error.to_string())?;
                Ok(Some(product.price_cents))
            }
            status => Err(format!("it answered {status}")),
        }
    }

    fn remember(&self, sku: &str, price: u64) {
        let mut known = self.known();
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(sku.to_owned(), (price, Instant::now()));
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (u64, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_sold(sku: &str) -> ErrorResponse {
    let sku: String = sku.chars().take(64).collect();
    let message = format!("the shop does not sell {sku:?}");
    ErrorResponse::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_item", message)
}

fn away(reason: &str) -> ErrorResponse {
    tracing::warn!(reason, "catalog does not tell a price");
    unavailable("price_unknown", "prices are not to be had at the moment")
}
