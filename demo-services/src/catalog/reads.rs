//! Products over HTTP, for everybody. Answers may be kept for a few seconds, and are not sent again to whoever has the
//! same already (RFC 9110, 13.1.2).

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use service::http::ErrorResponse;

use super::interface::{Found, Page, PageQuery, Product, SearchQuery};
use super::{Catalog, products};
use crate::kit::openapi::ErrorBody;
use crate::kit::request::{Asked, Segment};
use crate::kit::web::is_known;

const CACHING: &str = "public, max-age=5";
const LIMIT_MAX: u32 = 100;
const PAGE_MAX: u32 = 1_000_000;
const QUERY_CHARS_MAX: usize = 100;

#[utoipa::path(
    get, path = "/api/v1/products", tag = "products", params(PageQuery),
    responses(
        (status = 200, description = "a page, by sku", body = Page),
        (status = 304, description = "the same as before"),
        (status = 400, description = "`bad_query`", body = ErrorBody),
        (status = 422, description = "`bad_page`", body = ErrorBody),
        (status = 503, description = "`catalog_flaky` or `busy`", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(catalog): State<Catalog>,
    headers: HeaderMap,
    Asked(PageQuery { page, limit }): Asked<PageQuery>,
) -> Result<Response, ErrorResponse> {
    catalog.stumble().await?;
    if !(1..=PAGE_MAX).contains(&page) || !(1..=LIMIT_MAX).contains(&limit) {
        let message = format!("pages are from 1 to {PAGE_MAX}, with 1 to {LIMIT_MAX} products");
        return Err(ErrorResponse::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_page", message));
    }
    let page = catalog.database.run(move |tx| products::page(tx, page, limit)).await?;
    kept(&headers, &page)
}

#[utoipa::path(
    get, path = "/api/v1/products/{sku}", tag = "products", params(("sku" = String, Path)),
    responses(
        (status = 200, description = "a product, or a variant of one", body = Product),
        (status = 304, description = "the same as before"),
        (status = 400, description = "`bad_path`", body = ErrorBody),
        (status = 404, description = "`no_product`", body = ErrorBody),
        (status = 503, description = "`catalog_flaky` or `busy`", body = ErrorBody),
    ),
)]
pub(super) async fn product(
    State(catalog): State<Catalog>,
    headers: HeaderMap,
    Segment(sku): Segment,
) -> Result<Response, ErrorResponse> {
    catalog.stumble().await?;
    let product = catalog.database.run(move |tx| products::by_sku(tx, &sku)).await?;
    kept(&headers, &product.ok_or_else(no_product)?)
}

#[utoipa::path(
    get, path = "/api/v1/search", tag = "products", params(SearchQuery),
    responses(
        (status = 200, description = "at most 20 products, the best first", body = Found),
        (status = 304, description = "the same as before"),
        (status = 400, description = "`bad_query`", body = ErrorBody),
        (status = 422, description = "`bad_search`", body = ErrorBody),
        (status = 503, description = "`catalog_flaky` or `busy`", body = ErrorBody),
    ),
)]
pub(super) async fn search(
    State(catalog): State<Catalog>,
    headers: HeaderMap,
    Asked(SearchQuery { q }): Asked<SearchQuery>,
) -> Result<Response, ErrorResponse> {
    catalog.stumble().await?;
    if !(1..=QUERY_CHARS_MAX).contains(&q.chars().count()) {
        let message = format!("a search has 1 to {QUERY_CHARS_MAX} characters");
        return Err(ErrorResponse::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_search", message));
    }
    let products = catalog.database.run(move |tx| products::search(tx, &q)).await?;
    kept(&headers, &Found { products })
}

pub(super) fn no_product() -> ErrorResponse {
    ErrorResponse::new(StatusCode::NOT_FOUND, "no_product", "there is no such product")
}

/// An answer that may be kept, or word that the one that is kept is still true.
fn kept(headers: &HeaderMap, answer: &impl Serialize) -> Result<Response, ErrorResponse> {
    let body = serde_json::to_string(answer).map_err(|error| {
        let internal = StatusCode::INTERNAL_SERVER_ERROR;
        ErrorResponse::new(internal, "internal", error.to_string())
    })?;
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let caching = [(header::CACHE_CONTROL, CACHING.to_owned()), (header::ETAG, tag.clone())];
    if is_known(headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    Ok((caching, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}
