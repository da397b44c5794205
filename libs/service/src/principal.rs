//! Whose data a request is about, and what its caller may do with it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use crate::http::ErrorResponse;

/// The header that names the tenant.
pub const TENANT_HEADER: &str = "X-Scope-OrgID";
/// The tenant where none is named.
pub const TENANT_DEFAULT: &str = "default";
/// In a token: all tenants. No tenant can have this name.
pub const TENANT_EVERY: &str = "*";
/// Longest name in bytes.
pub const TENANT_BYTES_MAX: usize = 150;

const WRONG_CHARACTERS: &str = "has other characters than letters, digits and !-_.*'()";

/// What a caller may do. No right contains another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Send records and heartbeats.
    Ingest,
    /// Read records and what is known about them.
    Query,
    /// Change what is kept, and look after the process.
    Admin,
}

impl Right {
    /// All of them.
    pub const ALL: [Right; 3] = [Right::Ingest, Right::Query, Right::Admin];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Right::Ingest => "ingest",
            Right::Query => "query",
            Right::Admin => "admin",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Right {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Right::ALL.into_iter().find(|right| right.name() == text);
        found.ok_or_else(|| format!("`{text}` is no right; write ingest, query or admin"))
    }
}

/// Who asks: one tenant, and the rights that the caller has over its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Whose data the request is about.
    pub tenant: Arc<str>,
    /// What the caller may do.
    pub rights: BTreeSet<Right>,
    /// The caller is not bound to this tenant: it may name any, and what is about all of them is shown to it.
    pub every_tenant: bool,
}

impl Principal {
    /// A caller who may do everything with every tenant's data, as where there are no tokens.
    pub fn unbound(tenant: Arc<str>) -> Self {
        Self { tenant, rights: Right::ALL.into(), every_tenant: true }
    }

    /// Whether it may look after the process as a whole, which is about all tenants.
    pub fn is_operator(&self) -> bool {
        self.every_tenant && self.rights.contains(&Right::Admin)
    }

    /// Whether what is about this tenant may be shown to it.
    pub fn sees(&self, tenant: &str) -> bool {
        self.every_tenant || *self.tenant == *tenant
    }
}

/// Takes what the door found out. A route without a door answers with 500, never with data.
impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ErrorResponse> {
        let found = parts.extensions.get::<Principal>().cloned();
        found.ok_or_else(|| {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            ErrorResponse::new(status, "internal", "this route has no door; please report it")
        })
    }
}

/// The tenant that the headers name, if they name one.
///
/// # Errors
/// What is wrong with the header.
pub(crate) fn named_tenant(headers: &HeaderMap) -> Result<Option<Arc<str>>, &'static str> {
    let mut values = headers.get_all(TENANT_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("is there more than once");
    }
    let name = value.to_str().map_err(|_| WRONG_CHARACTERS)?;
    check_tenant(name)?;
    Ok(Some(name.into()))
}

/// Whether a tenant can have this name.
///
/// # Errors
/// What is wrong with it.
pub fn check_tenant(name: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!-_.*'()".contains(&byte);
    if name.is_empty() || name.len() > TENANT_BYTES_MAX {
        return Err("is empty or longer than 150 bytes");
    }
    if name == TENANT_EVERY {
        return Err("is *, which stands for all tenants and is the name of none");
    }
    if !name.bytes().all(allowed) {
        return Err(WRONG_CHARACTERS);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_tenant_is_named_once_and_in_plain_characters() {
        let mut headers = HeaderMap::new();
        assert_eq!(named_tenant(&headers), Ok(None));
        headers.insert(TENANT_HEADER, "team-a*(1)".parse().unwrap());
        assert_eq!(named_tenant(&headers).unwrap().as_deref(), Some("team-a*(1)"));
        let long = "a".repeat(TENANT_BYTES_MAX + 1);
        for wrong in ["", "a|b", "a/b", "*", "é", &long, &"a".repeat(10 << 10)] {
            headers.insert(TENANT_HEADER, HeaderValue::from_bytes(wrong.as_bytes()).unwrap());
            assert!(named_tenant(&headers).is_err(), "{wrong}");
        }
        headers.insert(TENANT_HEADER, "a".parse().unwrap());
        headers.append(TENANT_HEADER, "b".parse().unwrap());
        assert_eq!(named_tenant(&headers), Err("is there more than once"));
    }

    #[test]
    fn only_who_is_bound_to_no_tenant_looks_after_the_process() {
        let mut principal = Principal::unbound("a".into());
        assert!(principal.is_operator() && principal.sees("b"));
        principal.every_tenant = false;
        assert!(!principal.is_operator() && principal.sees("a") && !principal.sees("b"));
        principal.every_tenant = true;
        principal.rights.remove(&Right::Admin);
        assert!(!principal.is_operator() && principal.sees("b"));
    }
}
