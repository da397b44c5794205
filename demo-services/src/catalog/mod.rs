//! The catalog: what the shop sells, and the carts of its users.
//!
//! Products are the same in each instance and may be kept by whoever reads them. A cart is in the instance that it was
//! filled at, and is nobody else's to see. Prices are in cents.

mod carts;
mod interface;
mod products;
mod reads;
mod seed;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode, header};
use service::http::ErrorResponse;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::OpenApi;

use crate::kit::context::{Context, Service};
use crate::kit::database::Database;
use crate::kit::directory::Directory;
use crate::kit::openapi::{self, Route};
use crate::kit::web;
use crate::switches::{FLAKY_CATALOG, SLOW_CATALOG};

/// The one that the switch makes slow.
const SLOW_INSTANCE: &str = "catalog-1";
const SLOW_FOR: Duration = Duration::from_millis(500);

#[derive(Clone)]
struct Catalog {
    database: Database,
    directory: Directory,
    is_slow_one: bool,
    /// Reads while the catalog was flaky.
    flaky_reads: Arc<AtomicU64>,
}

#[derive(OpenApi)]
#[openapi(paths(
    openapi::document,
    reads::list,
    reads::product,
    reads::search,
    carts::read,
    carts::put_item,
    carts::remove_item,
    carts::clear,
))]
struct Document;

/// Opens its database and fills in what the shop sells.
///
/// # Errors
/// The database cannot be opened.
pub(crate) async fn open(context: &Context) -> anyhow::Result<Service> {
    let database =
        Database::open(&context.data.join("catalog.db"), &[products::TABLES, carts::TABLES])
            .await?;
    database.run(seed::fill).await?;
    let catalog = Catalog {
        database,
        directory: context.directory.clone(),
        is_slow_one: context.instance == SLOW_INSTANCE,
        flaky_reads: Arc::default(),
    };
    let document =
        openapi::describe(Document::openapi(), "catalog", "Products, search, and carts.");
    // What says nothing of its own is nobody's to keep: carts, and errors.
    let private = SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, web::PRIVATE);
    let router = openapi::router(routes(), catalog, &document).layer(private);
    Ok(Service { router, ..Service::default() })
}

fn routes() -> Vec<Route<Catalog>> {
    vec![
        Route::new(Method::GET, "/api/v1/products", reads::list),
        Route::new(Method::GET, "/api/v1/products/{sku}", reads::product),
        Route::new(Method::GET, "/api/v1/search", reads::search),
        Route::new(Method::GET, "/api/v1/cart", carts::read),
        Route::new(Method::DELETE, "/api/v1/cart", carts::clear),
        Route::new(Method::PUT, "/api/v1/cart/items/{sku}", carts::put_item),
        Route::new(Method::DELETE, "/api/v1/cart/items/{sku}", carts::remove_item),
    ]
}

impl Catalog {
    /// What the failure switches do to a read of products.
    async fn stumble(&self) -> Result<(), ErrorResponse> {
        if self.is_slow_one && self.directory.is_on(SLOW_CATALOG) {
            tokio::time::sleep(SLOW_FOR).await;
        }
        if self.directory.is_on(FLAKY_CATALOG)
            && self.flaky_reads.fetch_add(1, Ordering::Relaxed).is_multiple_of(2)
        {
            let message = "the catalog is flaky; try again";
            return Err(ErrorResponse::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "catalog_flaky",
                message,
            ));
        }
        Ok(())
    }
}
