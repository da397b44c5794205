//! `GET /api/v1/openapi.json`: the document of the door, made from the table of routes and from what the gateway answers
//! itself. What is in the bodies is said by the documents of the services.

use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder,
    PathsBuilder, Ref, Required, ResponseBuilder, Type,
};
use utoipa::{PartialSchema, ToSchema};

use super::doors::Access;
use super::routes::{ROUTES, Route};
use super::{Gateway, checkout, home, status};
use crate::kit::openapi::{self, ErrorBody};

const SECURITY: &str = "token";

/// One row of the document.
struct Row {
    method: Method,
    path: &'static str,
    tag: &'static str,
    access: Access,
    success: &'static [u16],
    says: &'static str,
}

/// What the gateway answers itself.
#[rustfmt::skip]
static OWN: &[Row] = &[
    own(Method::POST, checkout::PATH, &[201, 202], "an order; send an idempotency-key to be able to send it again"),
    own(Method::GET, home::PATH, &[200], "what a page needs; `missing` names the parts of services that are down"),
    own(Method::GET, status::SERVICES, &[200], "which instances there are"),
    own(Method::GET, status::HEALTH, &[200, 503], "whether all services can be called"),
    own(Method::GET, "/api/v1/health", &[200], "how this gateway is"),
    own(Method::GET, openapi::PATH, &[200], "this document"),
];

const fn own(
    method: Method,
    path: &'static str,
    success: &'static [u16],
    says: &'static str,
) -> Row {
    Row { method, path, tag: "gateway", access: Access::Everybody, success, says }
}

/// Any of the rows, with what may go wrong there.
struct Told<'a> {
    method: &'a Method,
    path: &'a str,
    tag: &'a str,
    access: Access,
    success: Vec<u16>,
    says: &'a str,
}

impl<'a> From<&'a Route> for Told<'a> {
    fn from(route: &'a Route) -> Self {
        let Route { method, path, service: tag, access, is_kept, success, says, .. } = route;
        let mut success = vec![*success];
        success.extend(is_kept.then_some(304));
        Self { method, path, tag, access: *access, success, says }
    }
}

impl<'a> From<&'a Row> for Told<'a> {
    fn from(row: &'a Row) -> Self {
        let Row { method, path, tag, access, success, says } = row;
        Self { method, path, tag, access: *access, success: success.to_vec(), says }
    }
}

pub(super) fn router() -> Router<Arc<Gateway>> {
    openapi::route(&document()).with_state(())
}

fn document() -> OpenApi {
    let info = InfoBuilder::new()
        .title("the door of the shop")
        .description(Some("Everything that is reached through the gateway."))
        .version(env!("CARGO_PKG_VERSION"));
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    let mut schemas = vec![(ErrorBody::name().into_owned(), ErrorBody::schema())];
    ErrorBody::schemas(&mut schemas);
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme(SECURITY, SecurityScheme::Http(token));
    let rows = ROUTES.iter().map(Told::from).chain(OWN.iter().map(Told::from));
    let paths = rows.fold(PathsBuilder::new(), |paths, row| {
        paths.path(row.path, PathItem::new(method_of(row.method), operation(&row)))
    });
    OpenApiBuilder::new().info(info).components(Some(components.build())).paths(paths).build()
}

fn operation(row: &Told<'_>) -> OperationBuilder {
    let mut operation = OperationBuilder::new().tag(row.tag).summary(Some(row.says));
    let segments = row.path.split('/').filter_map(|one| one.strip_prefix('{')?.strip_suffix('}'));
    for name in segments {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        operation = operation.parameter(parameter);
    }
    let takes_body = [Method::POST, Method::PUT, Method::PATCH].contains(row.method);
    if takes_body {
        let json = ContentBuilder::new().schema(Some(ObjectBuilder::new())).build();
        let body = RequestBodyBuilder::new().content("application/json", json);
        operation = operation.request_body(Some(body.build()));
    }
    if row.access != Access::Everybody {
        let needed = SecurityRequirement::new(SECURITY, Vec::<String>::new());
        operation = operation.security(needed);
    }
    for status in &row.success {
        let answered = ResponseBuilder::new().description(row.says);
        operation = operation.response(status.to_string(), answered);
    }
    for (status, description) in refusals(row, takes_body) {
        let error = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
        let refused =
            ResponseBuilder::new().description(description).content("application/json", error);
        operation = operation.response(status.to_string(), refused);
    }
    operation
}

/// What a route may be refused with.
fn refusals(row: &Told<'_>, takes_body: bool) -> Vec<(u16, &'static str)> {
    let mut refusals = vec![
        (401, "`token_missing`, `token_invalid` or `token_expired`"),
        (429, "`too_many_requests`; `retry-after` says when to come again"),
    ];
    let is_forwarded = row.tag != "gateway" || row.path == checkout::PATH;
    if is_forwarded {
        refusals.extend([
            (400, "`bad_path`, or a body or a query that is not understood"),
            (403, "`forbidden`"),
            (404, "there is no such thing"),
            (422, "what is asked for cannot be done"),
            (502, "`bad_gateway`: the service did not answer as it should"),
            (503, "`unavailable`: the service is closed at the moment"),
            (504, "`timeout`: the service did not answer in time"),
        ]);
    }
    if takes_body {
        refusals.extend([
            (408, "`body_timeout`"),
            (409, "there is one already, or too little"),
            (413, "`too_large`"),
            (415, "`not_json`"),
        ]);
    }
    if row.path == checkout::PATH {
        refusals.extend([(402, "`card_declined`"), (500, "`manual_intervention`")]);
    }
    refusals
}

fn method_of(method: &Method) -> HttpMethod {
    match method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}
