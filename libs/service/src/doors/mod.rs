//! Doors: who may come in, and as whom. The one place that turns a request's headers into a [`Principal`].
//!
//! ```text
//! request ─▶ Routes: each names its Access ─▶ Doors::admit ─▶ 401 / 403 / 400
//!                                                  └─▶ handler, with a Principal; the header X-Scope-OrgID names its
//!                                                      tenant whatever was sent, and the token is gone
//! ```
//!
//! With a file of tokens a token names its tenant; one of tenant `*` takes the header's. Without one the header names
//! the tenant and every caller has all rights: that is for listeners which nobody else reaches, see [`exposure`].

mod entrance;
pub mod exposure;
mod keys;
mod refusal;
mod routes;
mod tenants;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use crate::metrics::{CounterVec, Metrics};
use crate::principal::{Principal, TENANT_DEFAULT, TENANT_EVERY, TENANT_HEADER, named_tenant};
use crate::reread::Reread;
use crate::tokens::{Grant, TokenError, TokenSet};

pub use entrance::Entrance;
pub use keys::{DoorOptions, TABLE, TENANT};
pub use refusal::Refused;
pub use routes::{Access, Declared, Routes, Wording};
pub use tenants::TenantLimits;

/// Decides who comes in. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    tokens: Option<Arc<Reread<TokenSet>>>,
    /// Everything behind these doors is this tenant's.
    only: Option<Arc<str>>,
    refusals: Option<CounterVec>,
}

impl Doors {
    /// No tokens: every caller has all rights.
    pub fn open() -> Self {
        Self::default()
    }

    /// With the tokens of a file, which is read again when it changes.
    ///
    /// # Errors
    /// The file cannot be used as it is now.
    pub fn with_tokens(file: PathBuf) -> Result<Self, TokenError> {
        let path = file.clone();
        let tokens = Reread::new(vec![file], move || TokenSet::load(&path))?;
        Ok(Self { tokens: Some(Arc::new(tokens)), ..Self::default() })
    }

    /// The same doors in front of what belongs to one tenant, whatever callers name.
    #[must_use]
    pub fn of_tenant(self, tenant: &str) -> Self {
        Self { only: Some(tenant.into()), ..self }
    }

    /// Counts who does not come in.
    #[must_use]
    pub fn counted(self, metrics: &Metrics) -> Self {
        let refusals = metrics.counter_vec(
            "doors_refused_requests_total",
            "Requests not let in, by reason.",
            &["reason"],
        );
        Refused::CODES.iter().for_each(|code| drop(refusals.with_label_values(&[code])));
        Self { refusals: Some(refusals), ..self }
    }

    /// Whether callers need a token.
    pub fn have_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// Looks whether the file changed, and says why its present content is not in force, if it is not.
    pub fn trouble(&self) -> Option<String> {
        let tokens = self.tokens.as_ref()?;
        tokens.get();
        Some(format!("the old tokens stay in force: {}", tokens.fault()?))
    }

    /// Who sends these headers.
    ///
    /// # Errors
    /// Why nobody comes in with them.
    pub fn admit(&self, headers: &HeaderMap) -> Result<Principal, Refused> {
        let Some(tokens) = &self.tokens else {
            return Ok(Principal::unbound(match &self.only {
                // What is one tenant's does not ask which.
                Some(only) => Arc::clone(only),
                None => named(headers)?.unwrap_or_else(|| TENANT_DEFAULT.into()),
            }));
        };
        let token = bearer(headers)?;
        let grant = tokens.get().find(token, SystemTime::now()).ok_or(Refused::UnknownToken)?;
        self.principal(&grant, headers)
    }

    fn count(&self, refused: &Refused) {
        if let Some(refusals) = &self.refusals {
            refusals.with_label_values(&[refused.code()]).inc();
        }
    }

    fn principal(&self, grant: &Grant, headers: &HeaderMap) -> Result<Principal, Refused> {
        let every_tenant = *grant.tenant == *TENANT_EVERY;
        let tenant = match (named(headers)?, &self.only) {
            (Some(named), _) if !every_tenant && named != grant.tenant => {
                return Err(Refused::OtherTenant);
            }
            (_, Some(only)) if !every_tenant && *only != grant.tenant => {
                return Err(Refused::OtherTenant);
            }
            (_, Some(only)) => Arc::clone(only),
            (Some(named), None) => named,
            (None, None) if every_tenant => TENANT_DEFAULT.into(),
            (None, None) => Arc::clone(&grant.tenant),
        };
        Ok(Principal { tenant, rights: grant.rights.clone(), every_tenant })
    }
}

fn named(headers: &HeaderMap) -> Result<Option<Arc<str>>, Refused> {
    named_tenant(headers).map_err(|detail| Refused::Header { header: TENANT_HEADER, detail })
}

fn bearer(headers: &HeaderMap) -> Result<&str, Refused> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Refused::NoToken)?;
    if values.next().is_some() {
        return Err(Refused::UnknownToken);
    }
    let text = value.to_str().map_err(|_| Refused::UnknownToken)?;
    let (scheme, token) = text.split_once(' ').ok_or(Refused::NoToken)?;
    match scheme.eq_ignore_ascii_case("bearer") {
        true => Ok(token.trim_start()),
        false => Err(Refused::NoToken),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::principal::Right;
    use crate::tokens::{NewToken, create};

    fn headers(token: Option<&str>, tenant: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        }
        if let Some(tenant) = tenant {
            headers.insert(TENANT_HEADER, HeaderValue::from_bytes(tenant.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn without_tokens_the_header_names_the_tenant_and_all_is_allowed() {
        let doors = Doors::open();
        let admitted = doors.admit(&headers(None, Some("a"))).unwrap();
        assert_eq!(admitted, Principal::unbound("a".into()));
        assert_eq!(*doors.admit(&headers(None, None)).unwrap().tenant, *"default");
        let wrong = doors.admit(&headers(None, Some("é")));
        assert!(matches!(wrong, Err(Refused::Header { .. })));
        let only = doors.of_tenant("b").admit(&headers(None, Some("a"))).unwrap();
        assert_eq!(*only.tenant, *"b");
    }

    #[test]
    fn with_tokens_the_token_names_the_tenant_and_the_header_cannot_name_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.toml");
        let token = |tenant: &str| {
            let (tenant, rights) = (tenant.to_owned(), [Right::Query].into());
            create(&file, NewToken { tenant, rights, expires_in: None, note: None }).unwrap().token
        };
        let (of_a, of_all) = (token("a"), token("*"));
        let doors = Doors::with_tokens(file).unwrap();
        let only_a = doors.clone().of_tenant("a");
        let only_b = doors.clone().of_tenant("b");
        for (doors, token, tenant, expected) in [
            (&doors, Some(&of_a), None, Ok("a")),
            (&doors, Some(&of_a), Some("a"), Ok("a")),
            (&doors, Some(&of_a), Some("b"), Err(403)),
            (&doors, Some(&of_a), Some("default"), Err(403)),
            (&doors, Some(&of_a), Some("*"), Err(400)),
            (&doors, Some(&of_all), None, Ok("default")),
            (&doors, Some(&of_all), Some("b"), Ok("b")),
            (&doors, None, Some("a"), Err(401)),
            (&only_a, Some(&of_a), None, Ok("a")),
            (&only_b, Some(&of_a), None, Err(403)),
            (&only_b, Some(&of_all), None, Ok("b")),
        ] {
            let admitted = doors.admit(&headers(token.map(String::as_str), tenant));
            let admitted = admitted.map(|principal| principal.tenant.to_string());
            let admitted = admitted.map_err(|refused| refused.status());
            assert_eq!(admitted, expected.map(str::to_owned), "{tenant:?}");
        }
    }

    #[test]
    fn what_is_no_bearer_token_is_refused_whatever_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.toml");
        std::fs::write(&file, "").unwrap();
        let doors = Doors::with_tokens(file).unwrap();
        for value in
            [&b"Basic YTpi"[..], b"Bearer", b"Bearer ", b"", b"Bearer \xff", &[b'x'; 10 << 10]]
        {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
            assert_eq!(doors.admit(&headers).unwrap_err().status(), 401);
        }
    }
}
