//! Logins: a password for a token.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use service::http::ErrorResponse;
use service::semantics::record;

use super::Users;
use super::interface::{self, Login, Session};
use crate::kit::clock::now_s;
use crate::kit::identity::{Claims, ISSUER, random_hex};
use crate::kit::openapi::ErrorBody;
use crate::kit::request::Body;
use crate::switches::EXPIRED_TOKEN_STORM;

/// How long a token is good for.
const TOKEN_S: i64 = 15 * 60;
/// With the failure switch tokens come so much too late to be of use.
const LATE_S: i64 = 60;

#[utoipa::path(
    post, path = "/api/v1/sessions", tag = "sessions", request_body = Login,
    responses(
        (status = 201, description = "a token for 15 minutes", body = Session),
        (status = 400, description = "`bad_json`", body = ErrorBody),
        (status = 401, description = "`bad_credentials`: address or password is wrong", body = ErrorBody),
        (status = 403, description = "`deactivated`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "`not_json`", body = ErrorBody),
        (status = 422, description = "`bad_field`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
pub(super) async fn log_in(
    State(users): State<Users>,
    Body(Login { email, password }): Body<Login>,
) -> Result<(StatusCode, Json<Session>), ErrorResponse> {
    // What is no address is looked up as well: that it is none is no reason to answer earlier.
    let email = interface::email(&email).unwrap_or_default();
    let account = users.accounts.by_email(email).await?;
    let kept = account.as_ref().map(|account| account.password.clone());
    let is_right = users.passwords.is_right(password, kept).await?;
    let Some(account) = account.filter(|_| is_right) else {
        tracing::warn!({ record::ERROR_TYPE } = "bad_credentials", "login refused");
        let message = "the address or the password is wrong";
        return Err(ErrorResponse::new(StatusCode::UNAUTHORIZED, "bad_credentials", message));
    };
    let user_id = account.id.as_str();
    // Only to whoever knows the password.
    if !account.is_active() {
        tracing::warn!({ record::ERROR_TYPE } = "deactivated", user_id, "login refused");
        let message = "the account is deactivated";
        return Err(ErrorResponse::new(StatusCode::FORBIDDEN, "deactivated", message));
    }
    let late_s = if users.directory.is_on(EXPIRED_TOKEN_STORM) { TOKEN_S + LATE_S } else { 0 };
    let iat = now_s() - late_s;
    let claims = Claims {
        sub: account.id.clone(),
        roles: vec![account.role],
        exp: iat + TOKEN_S,
        iat,
        iss: ISSUER.to_owned(),
        jti: random_hex(16),
    };
    let token = users.keys.sign(&claims).map_err(|error| {
        tracing::error!(%error, "cannot sign a token");
        ErrorResponse::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "cannot sign a token")
    })?;
    tracing::info!(user_id, expires_at = claims.exp, "logged in");
    Ok((StatusCode::CREATED, Json(Session { token, expires_at: claims.exp, user_id: account.id })))
}
