//! What is behind the door: a table, and how a request finds its way.
//!
//! A path has one spelling. A further slash, at its end too, is another path, and a segment that is `.` or `..` or has
//! control characters in it, however they are written, is refused: behind the door it could lead elsewhere.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};

use super::cache::{self, Key};
use super::doors::{Access, Asking};
use super::refusal::{Refused, read_body};
use super::{Gateway, forward};
use crate::kit::identity::OPERATOR;
use crate::kit::web::PRIVATE;

/// A path, and who answers it.
pub(super) struct Route {
    pub(super) method: Method,
    /// As it is asked for. `{names}` stand for one segment.
    pub(super) path: &'static str,
    pub(super) service: &'static str,
    /// As the service knows it.
    pub(super) to: &'static str,
    pub(super) access: Access,
    /// Whether an answer may be kept, as long as the service allows it.
    pub(super) is_kept: bool,
    /// What it is answered with when all is well.
    pub(super) success: u16,
    pub(super) says: &'static str,
}

use Access::{Everybody, Role, Users};

/// A route whose path is the same on both sides of the door.
const fn route(
    method: Method,
    path: &'static str,
    service: &'static str,
    access: Access,
    success: u16,
    says: &'static str,
) -> Route {
    Route { method, path, service, to: path, access, is_kept: false, success, says }
}

/// A read whose answer may be kept.
const fn kept(path: &'static str, says: &'static str) -> Route {
    let (method, service, access) = (Method::GET, "catalog", Everybody);
    Route { method, path, service, to: path, access, is_kept: true, success: 200, says }
}

/// For who runs the shop.
const fn admin(
    method: Method,
    path: &'static str,
    service: &'static str,
    to: &'static str,
    success: u16,
    says: &'static str,
) -> Route {
    Route { method, path, service, to, access: Role(OPERATOR), is_kept: false, success, says }
}

/// All of them but `/checkout`, `/api/v1/home` and what tells of the shop itself.
#[rustfmt::skip]
pub(super) static ROUTES: &[Route] = &[
    route(Method::POST, "/api/v1/users", "users", Everybody, 201, "a new account"),
    route(Method::POST, "/api/v1/sessions", "users", Everybody, 201, "a token for a password"),
    route(Method::GET, "/api/v1/users/{id}", "users", Users, 200, "one's profile"),
    route(Method::PATCH, "/api/v1/users/{id}", "users", Users, 200, "changes one's profile"),
    route(Method::DELETE, "/api/v1/users/{id}", "users", Users, 204, "removes one's account"),
    route(Method::POST, "/api/v1/users/{id}/deactivate", "users", Users, 200, "deactivates one's account"),
    kept("/api/v1/products", "a page of products"),
    kept("/api/v1/products/{sku}", "a product"),
    kept("/api/v1/search", "products for some words"),
    route(Method::GET, "/api/v1/cart", "catalog", Users, 200, "one's cart"),
    route(Method::DELETE, "/api/v1/cart", "catalog", Users, 204, "empties one's cart"),
    route(Method::PUT, "/api/v1/cart/items/{sku}", "catalog", Users, 200, "puts something into one's cart"),
    route(Method::DELETE, "/api/v1/cart/items/{sku}", "catalog", Users, 204, "takes something out of it"),
    // Orders says who may see which.
    route(Method::GET, "/api/v1/orders/{id}", "orders", Everybody, 200, "an order"),
    admin(Method::GET, "/api/v1/admin/sagas/{id}", "orders", "/api/v1/sagas/{id}", 200, "how an order came about"),
    admin(Method::GET, "/api/v1/admin/interventions", "orders", "/api/v1/interventions", 200, "what waits for a person"),
    admin(
        Method::POST, "/api/v1/admin/interventions/{saga}/{step}/resolve",
        "orders", "/api/v1/interventions/{saga}/{step}/resolve", 204, "what a person did about it",
    ),
    admin(Method::GET, "/api/v1/admin/stock", "inventory", "/api/v1/stock", 200, "what is on the shelves"),
    admin(Method::GET, "/api/v1/admin/ledger", "payments", "/api/v1/ledger", 200, "movements of money"),
    admin(
        Method::GET, "/api/v1/admin/shipments/{order}",
        "shipping", "/api/v1/shipments/{order}", 200, "the parcel of an order",
    ),
];

pub(super) fn router() -> Router<Arc<Gateway>> {
    ROUTES.iter().fold(Router::new(), |router, route| {
        let filter = MethodFilter::try_from(route.method.clone()).expect("a method of HTTP");
        let handler = async |State(gateway): State<Arc<Gateway>>,
                             asking: Asking,
                             parameters: Result<RawPathParams, RawPathParamsRejection>,
                             request: Request| {
            let answered = gateway.answer(route, asking, parameters, request).await;
            answered.unwrap_or_else(IntoResponse::into_response)
        };
        router.route(route.path, on(filter, handler))
    })
}

/// The service's path, with what stood in the place of names.
fn rewritten<'a>(
    to: &str,
    parameters: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<String, Refused> {
    let mut path = to.to_owned();
    for (name, value) in parameters {
        if matches!(value, "" | "." | "..") || value.chars().any(char::is_control) {
            let message = "a segment of the path is none that could name anything";
            return Err(Refused::new(StatusCode::BAD_REQUEST, "bad_path", message));
        }
        path = path.replace(&format!("{{{name}}}"), &encoded(value));
    }
    Ok(path)
}

/// A segment of a path: whatever means something in one is written as `%XX`.
pub(super) fn encoded(segment: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    segment.bytes().fold(String::new(), |mut text, byte| {
        match is_plain(byte) {
            true => text.push(char::from(byte)),
            false => text.push_str(&format!("%{byte:02X}")),
        }
        text
    })
}

impl Gateway {
    async fn answer(
        &self,
        route: &Route,
        asking: Asking,
        parameters: Result<RawPathParams, RawPathParamsRejection>,
        request: Request,
    ) -> Result<Response, Refused> {
        // First: who may not is told nothing else.
        asking.may(route.access)?;
        let parameters = parameters.map_err(|_| {
            Refused::new(StatusCode::BAD_REQUEST, "bad_path", "the path is no UTF-8")
        })?;
        let mut path = rewritten(route.to, parameters.iter())?;
        if let Some(query) = request.uri().query() {
            path = format!("{path}?{query}");
        }
        let headers = request.headers().clone();
        if route.is_kept {
            let answer = self.answer_kept(route, &path, &asking, &headers).await?;
            return Ok(cache::unless_known(answer, &headers));
        }
        let body = read_body(request, self.settings.body_timeout).await?;
        let call = forward::call(route.method.clone(), &path, &headers, body, &asking);
        let mut response =
            forward::response(&forward::send(self.service(route.service)?, call).await?);
        // Whatever the service says: it is about one user.
        response.headers_mut().insert(header::CACHE_CONTROL, PRIVATE);
        Ok(response)
    }

    async fn answer_kept(
        &self,
        route: &Route,
        path: &str,
        asking: &Asking,
        headers: &HeaderMap,
    ) -> Result<Response, Refused> {
        let key = Key::of(asking, path, headers);
        if let Some(kept) = key.as_ref().and_then(|key| self.cache.get(key, Instant::now())) {
            return Ok(kept);
        }
        // Nothing but what is in the key. That the caller has an answer is nothing for the service: the next one may not
        // have it.
        let accept = headers.get_all(header::ACCEPT).iter();
        let accept = accept.map(|value| (header::ACCEPT, value.clone())).collect();
        let call = forward::call(route.method.clone(), path, &accept, Bytes::new(), asking);
        let answer = forward::send(self.service(route.service)?, call).await?;
        if let Some(key) = key {
            self.cache.keep(key, &answer, Instant::now());
        }
        Ok(cache::missed(forward::response(&answer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::CALLS;

    #[test]
    fn a_path_is_rewritten_and_leads_nowhere_else() {
        let to = "/api/v1/interventions/{saga}/{step}/resolve";
        for (saga, step, expected) in [
            ("s-1", "4", Some("s-1/4")),
            ("a b", "ü", Some("a%20b/%C3%BC")),
            ("a/b", "..c", Some("a%2Fb/..c")),
            ("%2e%2e", "?x=1#y", Some("%252e%252e/%3Fx%3D1%23y")),
            ("{step}", "4", Some("%7Bstep%7D/4")),
            ("'; DROP TABLE orders;--", "4", Some("%27%3B%20DROP%20TABLE%20orders%3B--/4")),
            ("..", "4", None),
            ("s-1", ".", None),
            ("", "4", None),
            ("a\0", "4", None),
            ("a\r\nx-user-id: u-1", "4", None),
        ] {
            let parameters = [("saga", saga), ("step", step)].into_iter();
            let found = rewritten(to, parameters).ok();
            let expected =
                expected.map(|expected| format!("/api/v1/interventions/{expected}/resolve"));
            assert_eq!(found, expected, "{saga:?} {step:?}");
        }
    }

    #[test]
    fn every_route_has_a_service_and_names_what_it_hands_on() {
        for Route { path, service, to, .. } in ROUTES {
            assert!(CALLS.contains(service), "{path}");
            let names = |path: &str| {
                let names = path.split('/').filter(|segment| segment.starts_with('{'));
                names.map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(names(path), names(to), "{path}");
        }
    }
}
