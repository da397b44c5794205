//! What the OpenAPI documents of the services share, and the table from which a service's router is made.
//!
//! A service has its routes in one table and says the same to `utoipa` at each handler. Tests hold the two together, and
//! ask the running service for every path of its document.

use axum::Router;
use axum::handler::Handler;
use axum::http::{Method, header};
use axum::routing::{MethodFilter, MethodRouter, get, on};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi};

use super::identity::USER_HEADER;
use super::web;

/// Where every service serves its document.
pub(crate) const PATH: &str = "/api/v1/openapi.json";

/// An error, as every service of the shop answers it.
#[derive(Debug, Serialize, ToSchema)]
#[allow(
    dead_code,
    reason = "the schema of `service::http::ErrorResponse`, which is not ours to derive for"
)]
pub(crate) struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "as `ErrorBody`")]
struct ErrorDetail {
    /// Stable, for programs.
    #[schema(example = "no_product")]
    code: String,
    /// For people.
    message: String,
    /// What to do about it.
    hint: Option<String>,
    /// Where in a text, in bytes.
    span: Option<ErrorSpan>,
}

#[derive(Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "as `ErrorBody`")]
struct ErrorSpan {
    start: u64,
    end: u64,
}

/// One route of a service.
pub(crate) struct Route<S> {
    #[cfg_attr(not(test), allow(dead_code, reason = "tests hold it to the document"))]
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    handler: MethodRouter<S>,
}

/// A document with what all of them have: title, version, and how a caller is known.
pub(crate) fn describe(mut document: OpenApi, service: &str, description: &str) -> OpenApi {
    document.info = InfoBuilder::new()
        .title(format!("{service} of the shop"))
        .description(Some(description))
        .version(env!("CARGO_PKG_VERSION"))
        .build();
    let key = ApiKeyValue::with_description(USER_HEADER, "The user's id; the gateway sets it.");
    document
        .components
        .get_or_insert_with(Components::new)
        .add_security_scheme("caller", SecurityScheme::ApiKey(ApiKey::Header(key)));
    document
}

impl<S: Clone + Send + Sync + 'static> Route<S> {
    /// # Panics
    /// For a method that HTTP does not know.
    pub(crate) fn new<T: 'static>(
        method: Method,
        path: &'static str,
        handler: impl Handler<T, S>,
    ) -> Self {
        let filter = MethodFilter::try_from(method.clone()).expect("a method of HTTP");
        Self { method, path, handler: on(filter, handler) }
    }
}

/// The route of a document.
pub(crate) fn route(document: &OpenApi) -> Router {
    // Made once; a document that cannot be written is empty, and the tests see that.
    let text = document.to_json().unwrap_or_default();
    let answer = ([(header::CONTENT_TYPE, "application/json")], text);
    Router::new().route(PATH, get(async || answer))
}

/// The router of a table of routes, with their document. What is not in the table is `no_route` or `wrong_method`.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(
    routes: Vec<Route<S>>,
    state: S,
    document: &OpenApi,
) -> Router {
    let router = Router::new();
    let router = routes
        .into_iter()
        .fold(router, |router, Route { path, handler, .. }| router.route(path, handler));
    router
        .with_state(state)
        .merge(route(document))
        .fallback(async || web::no_route())
        .method_not_allowed_fallback(async || web::wrong_method())
}

#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "document",
    responses((status = 200, description = "this document", body = serde_json::Value)),
)]
#[allow(dead_code, reason = "a path of every document; the answer is made once, in `route`")]
pub(crate) fn document() {}
