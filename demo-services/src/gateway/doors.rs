//! Who asks: a token of the users service, or nobody. A token that is no good is refused wherever it is sent, so that
//! its owner hears of it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};

use super::refusal::Refused;
use crate::kit::identity::Keys;

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Asking {
    pub(super) user: Option<String>,
    pub(super) roles: Vec<String>,
}

/// Who may ask for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Everybody,
    Users,
    Role(&'static str),
}

/// The caller of a token, or nobody without one.
pub(super) fn caller_of(keys: &Keys, headers: &HeaderMap) -> Result<Asking, Refused> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Ok(Asking::default()) };
    let unauthorized =
        |code, message: String| Refused::new(StatusCode::UNAUTHORIZED, code, message);
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        (scheme.eq_ignore_ascii_case("bearer") && all.next().is_none()).then_some(token.trim())
    });
    let Some(token) = token else {
        let message = "one header `authorization: Bearer TOKEN` is understood";
        return Err(unauthorized("token_invalid", message.to_owned()));
    };
    let claims =
        keys.verify(token).map_err(|error| unauthorized(error.code(), error.to_string()))?;
    Ok(Asking { user: Some(claims.sub), roles: claims.roles })
}

impl Asking {
    /// Whether this one may.
    pub(super) fn may(&self, access: Access) -> Result<(), Refused> {
        match (access, &self.user) {
            (Access::Everybody, _) | (Access::Users, Some(_)) => Ok(()),
            (Access::Role(role), Some(_)) if self.roles.iter().any(|has| has == role) => Ok(()),
            (Access::Role(role), Some(_)) => {
                let message = format!("this is for {role}s only");
                Err(Refused::new(StatusCode::FORBIDDEN, "forbidden", message))
            }
            (_, None) => {
                let message = "log in by POST /api/v1/sessions and send the token";
                Err(Refused::new(StatusCode::UNAUTHORIZED, "token_missing", message))
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Asking {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
