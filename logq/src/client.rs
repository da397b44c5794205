//! The HTTP client that the commands share.

use std::time::Duration;

use agent::access::AccessArguments;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde_json::Value;
use service::principal::TENANT_HEADER;

use crate::arguments::{AlertServer, QueryServer};
use crate::exit::Exit;

/// A client for this address that shows who asks with every request; or how to end where that cannot be shown.
pub(crate) fn new(addr: &str, access: &AccessArguments) -> Result<reqwest::Client, Exit> {
    build(addr, access).map_err(|error| {
        eprintln!("logq: {error}");
        Exit::Usage
    })
}

impl QueryServer {
    /// A client that shows who asks; or how to end where that cannot be shown.
    pub(crate) fn client(&self) -> Result<reqwest::Client, Exit> {
        new(&self.addr, &self.access)
    }

    /// Where a route of `/api/v1` is.
    pub(crate) fn url(&self, route: &str) -> String {
        format!("{}/api/v1/{route}", self.addr.trim_end_matches('/'))
    }
}

impl AlertServer {
    /// A client that shows who asks; or how to end where that cannot be shown.
    pub(crate) fn client(&self) -> Result<reqwest::Client, Exit> {
        new(&self.addr, &self.access)
    }

    /// Where a route of `/api` is, `v1/alerts`.
    pub(crate) fn url(&self, route: &str) -> String {
        format!("{}/api/{route}", self.addr.trim_end_matches('/'))
    }
}

fn build(addr: &str, access: &AccessArguments) -> Result<reqwest::Client, String> {
    let credentials = access.credentials();
    let mut headers = HeaderMap::new();
    if let Some(bearer) = credentials.bearer()? {
        headers.insert(AUTHORIZATION, bearer.header());
    }
    if let Some(tenant) = credentials.tenant_header()? {
        headers.insert(TENANT_HEADER, tenant);
    }
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .default_headers(headers)
        .tls_backend_preconfigured(credentials.tls_for(addr)?)
        .user_agent(concat!("logq/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("cannot start the HTTP client: {error}"))
}

/// Says why a server does not let us in, if that is what it answered.
pub(crate) fn not_let_in(addr: &str, status: StatusCode, body: &[u8]) -> Option<Exit> {
    if ![StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status) {
        return None;
    }
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |member: &str| answer["error"][member].as_str().map(str::to_owned);
    let message = text("message").unwrap_or_else(|| status.to_string());
    let hint = text("hint").map_or_else(String::new, |hint| format!("; {hint}"));
    eprintln!("logq: {addr} does not let us in: {message}{hint}");
    Some(Exit::Usage)
}

/// Says that a server cannot be reached, and what to do.
pub(crate) fn unreachable(addr: &str, error: &reqwest::Error) -> Exit {
    let detail = reason(error);
    eprintln!(
        "logq: cannot reach {addr}: {detail}; is `logq up` running there? --addr names another address"
    );
    Exit::Unreachable
}

/// The innermost reason, which says the most.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    let mut detail = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        detail = inner.to_string();
        source = inner.source();
    }
    detail
}
