//! Accounts and profiles over HTTP.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use service::http::ErrorResponse;

use super::accounts::Account;
use super::interface::{self, Profile, ProfileChange, Registration};
use super::{OPERATOR_EMAIL, Users};
use crate::kit::identity::Caller;
use crate::kit::openapi::ErrorBody;
use crate::kit::request::{Body, Segment};

#[utoipa::path(
    post, path = "/api/v1/users", tag = "users", request_body = Registration,
    responses(
        (status = 201, description = "the account is there", body = Profile),
        (status = 400, description = "`bad_json`", body = ErrorBody),
        (status = 409, description = "`email_taken`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "`not_json`", body = ErrorBody),
        (status = 422, description = "`bad_field`, `bad_email`, `bad_password` or `bad_name`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
pub(super) async fn register(
    State(users): State<Users>,
    Body(Registration { email, password, name }): Body<Registration>,
) -> Result<(StatusCode, Json<Profile>), ErrorResponse> {
    let email = interface::email(&email).ok_or_else(|| unfit("bad_email", "it is no address"))?;
    if !password.is_good() {
        let message = format!("a password has {}", interface::PASSWORD_RULE);
        return Err(unfit("bad_password", &message));
    }
    let name = fit_name(&name)?;
    let taken = || {
        ErrorResponse::new(
            StatusCode::CONFLICT,
            "email_taken",
            "the address has an account already",
        )
    };
    if email == OPERATOR_EMAIL {
        return Err(taken());
    }
    let hash = users.passwords.hash(password).await?;
    let account = users.accounts.add(email, name, hash).await?.ok_or_else(taken)?;
    Ok((StatusCode::CREATED, Json(account.into_profile())))
}

#[utoipa::path(
    get, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path)),
    security(("caller" = [])),
    responses(
        (status = 200, description = "the profile", body = Profile),
        (status = 400, description = "`bad_path`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 404, description = "`no_user`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
pub(super) async fn read(
    State(users): State<Users>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<Json<Profile>, ErrorResponse> {
    caller.may_act_for(&id)?;
    found(users.accounts.by_id(id).await?)
}

#[utoipa::path(
    patch, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path)),
    request_body = ProfileChange, security(("caller" = [])),
    responses(
        (status = 200, description = "the profile after it", body = Profile),
        (status = 400, description = "`bad_json` or `bad_path`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 404, description = "`no_user`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "`not_json`", body = ErrorBody),
        (status = 422, description = "`bad_field` or `bad_name`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
pub(super) async fn change(
    State(users): State<Users>,
    caller: Caller,
    Segment(id): Segment,
    Body(ProfileChange { name }): Body<ProfileChange>,
) -> Result<Json<Profile>, ErrorResponse> {
    caller.may_act_for(&id)?;
    found(users.accounts.rename(id, fit_name(&name)?).await?)
}

#[utoipa::path(
    post, path = "/api/v1/users/{id}/deactivate", tag = "users", params(("id" = String, Path)),
    security(("caller" = [])),
    responses(
        (status = 200, description = "the profile; it was deactivated now or before", body = Profile),
        (status = 400, description = "`bad_path`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 404, description = "`no_user`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
pub(super) async fn deactivate(
    State(users): State<Users>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<Json<Profile>, ErrorResponse> {
    caller.may_act_for(&id)?;
    found(users.accounts.deactivate(id).await?)
}

#[utoipa::path(
    delete, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path)),
    security(("caller" = [])),
    responses(
        (status = 204, description = "the account is gone"),
        (status = 400, description = "`bad_path`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 404, description = "`no_user`", body = ErrorBody),
        (status = 503, description = "`busy`", body = ErrorBody),
    ),
)]
pub(super) async fn remove(
    State(users): State<Users>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<StatusCode, ErrorResponse> {
    caller.may_act_for(&id)?;
    let removed = found(users.accounts.remove(id).await?);
    removed.map(|_| StatusCode::NO_CONTENT)
}

fn found(account: Option<Account>) -> Result<Json<Profile>, ErrorResponse> {
    let absent = || ErrorResponse::new(StatusCode::NOT_FOUND, "no_user", "there is no such user");
    Ok(Json(account.ok_or_else(absent)?.into_profile()))
}

fn fit_name(name: &str) -> Result<String, ErrorResponse> {
    let message = "a name has 1 to 100 characters, and none that cannot be printed";
    interface::name(name).ok_or_else(|| unfit("bad_name", message))
}

fn unfit(code: &'static str, message: &str) -> ErrorResponse {
    ErrorResponse::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
}
