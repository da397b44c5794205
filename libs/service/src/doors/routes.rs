//! Routes that name what they need. A router comes out of them only together with its doors, so there is no route
//! without a declared access.

use std::fmt;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::header::{AUTHORIZATION, EXPECT};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};
use http_body_util::BodyExt;

use super::{Doors, Refused};
use crate::principal::{Principal, Right, TENANT_HEADER};

/// What is read of the body of a refused request, so that its sender comes to read the answer.
const DRAIN_BYTES_MAX: usize = 8 << 20;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// What a route needs of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing, and it tells nothing of any tenant.
    Open,
    /// This right, over the data of one tenant.
    Right(Right),
    /// To look after the process, of all tenants: the right admin in a token of tenant `*`.
    Operator,
}

impl Access {
    fn allows(self, principal: &Principal) -> bool {
        match self {
            Access::Open => true,
            Access::Right(right) => principal.rights.contains(&right),
            Access::Operator => principal.is_operator(),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Access::Open => f.write_str("nothing"),
            Access::Right(right) => write!(f, "{right}"),
            Access::Operator => f.write_str("admin of all tenants (a token of tenant *)"),
        }
    }
}

/// Words a refusal as the clients of a route read it, where that is not `{"error":…}`.
pub type Wording = fn(&HeaderMap, &Refused) -> Response;

/// A route as it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// The method.
    pub method: Method,
    /// The path, as axum writes it.
    pub path: &'static str,
    /// What it needs.
    pub access: Access,
}

/// The routes of a role, each with what it needs.
#[derive(Debug)]
pub struct Routes<S = ()> {
    all: Vec<Route<S>>,
}

#[derive(Debug)]
struct Route<S> {
    declared: Declared,
    wording: Option<Wording>,
    handler: MethodRouter<S>,
}

impl<S> Default for Routes<S> {
    fn default() -> Self {
        Self { all: Vec::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A GET, and HEAD with it.
    #[must_use]
    pub fn get<H: Handler<T, S>, T: 'static>(
        self,
        path: &'static str,
        access: Access,
        handler: H,
    ) -> Self {
        self.declare(Method::GET, path, access, routing::get(handler))
    }

    /// A POST.
    #[must_use]
    pub fn post<H: Handler<T, S>, T: 'static>(
        self,
        path: &'static str,
        access: Access,
        handler: H,
    ) -> Self {
        self.declare(Method::POST, path, access, routing::post(handler))
    }

    /// A DELETE.
    #[must_use]
    pub fn delete<H: Handler<T, S>, T: 'static>(
        self,
        path: &'static str,
        access: Access,
        handler: H,
    ) -> Self {
        self.declare(Method::DELETE, path, access, routing::delete(handler))
    }

    /// How the last route tells that somebody does not come in.
    #[must_use]
    pub fn worded(mut self, wording: Wording) -> Self {
        if let Some(last) = self.all.last_mut() {
            last.wording = Some(wording);
        }
        self
    }

    /// Gives the handlers their state.
    pub fn with_state(self, state: S) -> Routes {
        let with_state = |route: Route<S>| Route {
            declared: route.declared,
            wording: route.wording,
            handler: route.handler.with_state(state.clone()),
        };
        Routes { all: self.all.into_iter().map(with_state).collect() }
    }

    fn declare(
        mut self,
        method: Method,
        path: &'static str,
        access: Access,
        handler: MethodRouter<S>,
    ) -> Self {
        let declared = Declared { method, path, access };
        self.all.push(Route { declared, wording: None, handler });
        self
    }
}

impl Routes {
    /// Both.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.all.extend(other.all);
        self
    }

    /// What was declared, in its order.
    pub fn declared(&self) -> Vec<Declared> {
        self.all.iter().map(|route| route.declared.clone()).collect()
    }

    /// The router, with a door before each route.
    pub fn behind(self, doors: &Doors) -> Router {
        self.all.into_iter().fold(Router::new(), |router, route| {
            let Route { declared: Declared { path, access, .. }, wording, handler } = route;
            let doors = doors.clone();
            let door = from_fn(move |mut request: Request, next: Next| {
                let doors = doors.clone();
                async move {
                    match pass(&doors, access, &mut request) {
                        Ok(()) => next.run(request).await,
                        Err(refused) => {
                            doors.count(&refused);
                            refuse(&refused, request, wording).await
                        }
                    }
                }
            });
            router.route(path, handler.route_layer(door))
        })
    }
}

/// Makes of the request what the handler gets: with its principal, the tenant's own header, and no token.
fn pass(doors: &Doors, access: Access, request: &mut Request) -> Result<(), Refused> {
    let principal = match doors.admit(request.headers()) {
        Ok(principal) if access.allows(&principal) => Some(principal),
        Ok(_) => return Err(Refused::WrongRight { access }),
        // Who shows no token, or a wrong one, is nobody; for an open route that is enough.
        Err(_) if access == Access::Open => None,
        Err(refused) => return Err(refused),
    };
    let headers = request.headers_mut();
    headers.remove(AUTHORIZATION);
    headers.remove(TENANT_HEADER);
    if let Some(principal) = principal {
        if let Ok(tenant) = HeaderValue::from_str(&principal.tenant) {
            headers.insert(HeaderName::from_static("x-scope-orgid"), tenant);
        }
        request.extensions_mut().insert(principal);
    }
    Ok(())
}

async fn refuse(refused: &Refused, request: Request, wording: Option<Wording>) -> Response {
    tracing::debug!(path = request.uri().path(), %refused, "not let in");
    let (parts, body) = request.into_parts();
    // Who waits to be told to go on is not told; who sends without waiting may break off before it reads the answer.
    if !parts.headers.contains_key(EXPECT) {
        let _ = tokio::time::timeout(DRAIN_TIME_MAX, drain(body)).await;
    }
    let response = match wording {
        Some(wording) => wording(&parts.headers, refused),
        None => refused.told().into_response(),
    };
    refused.challenge(response)
}

async fn drain(mut body: Body) {
    let mut left = DRAIN_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len()));
        if left == 0 {
            return;
        }
    }
}
