//! Why somebody does not come in, and how that is told.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use thiserror::Error;

use super::Access;
use crate::http::ErrorResponse;

/// Why a request is not let in. What a token is not good for is not told to who has none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// 401.
    #[error("this needs a token; send the header `Authorization: Bearer TOKEN`")]
    NoToken,
    /// 401.
    #[error("the token is not known here, revoked or expired")]
    UnknownToken,
    /// 403.
    #[error("the token is of another tenant than the one that is asked for")]
    OtherTenant,
    /// 403.
    #[error("the token has not the right for this, which needs {access}")]
    WrongRight {
        /// What is needed.
        access: Access,
    },
    /// 400.
    #[error("header `{header}` {detail}")]
    Header {
        /// Its name.
        header: &'static str,
        /// What is wrong with it.
        detail: &'static str,
    },
}

impl Refused {
    /// All that [`Refused::code`] gives.
    pub(crate) const CODES: [&str; 5] =
        ["no_token", "bad_token", "other_tenant", "wrong_right", "bad_header"];

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Refused::NoToken | Refused::UnknownToken => 401,
            Refused::OtherTenant | Refused::WrongRight { .. } => 403,
            Refused::Header { .. } => 400,
        }
    }

    /// Stable, for programs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Refused::NoToken => "no_token",
            Refused::UnknownToken => "bad_token",
            Refused::OtherTenant => "other_tenant",
            Refused::WrongRight { .. } => "wrong_right",
            Refused::Header { .. } => "bad_header",
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Refused::NoToken => Some(
                "`logq token create` makes one; logq's commands take it as --token, --token-file or LOGQ_TOKEN",
            ),
            Refused::UnknownToken => Some("`logq token list` shows which there are"),
            Refused::OtherTenant => {
                Some("leave the header X-Scope-OrgID away, or name the token's own tenant")
            }
            Refused::WrongRight { .. } => {
                Some("`logq token create --rights` makes one that has it")
            }
            Refused::Header { .. } => None,
        }
    }

    /// As every HTTP interface of ours tells it.
    pub fn told(&self) -> ErrorResponse {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::FORBIDDEN);
        let told = ErrorResponse::new(status, self.code(), self.to_string());
        match self.hint() {
            Some(hint) => told.hint(hint),
            None => told,
        }
    }

    /// What 401 has to say in any form.
    pub(super) fn challenge(&self, mut response: Response) -> Response {
        if self.status() == 401 {
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.challenge(self.told().into_response())
    }
}
