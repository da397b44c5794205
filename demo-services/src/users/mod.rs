//! Users: who has an account, and tokens for whoever knows their password.
//!
//! Passwords are kept as argon2id and nothing else; neither they nor tokens, nor addresses, come into a log. A wrong
//! password and an address that nobody has give the same answer after the same work. A token is good for 15 minutes and
//! is not taken back: whoever was deactivated can use one for so long.

mod accounts;
mod interface;
mod passwords;
mod profiles;
mod sessions;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::http::{Method, header};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::OpenApi;

use crate::kit::context::{Context, Service};
use crate::kit::directory::Directory;
use crate::kit::identity::Keys;
use crate::kit::openapi::{self, Route};
use crate::kit::web;

use self::accounts::Accounts;
use self::interface::Secret;
use self::passwords::Passwords;

/// The operator's password, from one start to the next: without it nobody can log in as the operator.
const OPERATOR_PASSWORD_VARIABLE: &str = "LOGQ_DEMO_OPERATOR_PASSWORD";
/// Nobody can register it.
const OPERATOR_EMAIL: &str = "operator@shop.example";

#[derive(Clone)]
struct Users {
    accounts: Accounts,
    passwords: Arc<Passwords>,
    keys: Arc<Keys>,
    directory: Directory,
}

#[derive(OpenApi)]
#[openapi(paths(
    openapi::document,
    profiles::register,
    profiles::read,
    profiles::change,
    profiles::remove,
    profiles::deactivate,
    sessions::log_in,
))]
struct Document;

/// Opens its database and key. The operator's password is taken from the environment.
///
/// # Errors
/// A file cannot be used, or the operator's password cannot be one.
pub(crate) async fn open(context: &Context) -> anyhow::Result<Service> {
    let password = std::env::var(OPERATOR_PASSWORD_VARIABLE).ok();
    let password = password.filter(|password| !password.is_empty());
    open_with(context, password.map(Secret::new)).await
}

async fn open_with(context: &Context, operator: Option<Secret>) -> anyhow::Result<Service> {
    let users = Users {
        accounts: Accounts::open(&context.data.join("users.db")).await?,
        passwords: Arc::new(Passwords::new()?),
        keys: Arc::new(Keys::of_shop(&context.data)?),
        directory: context.directory.clone(),
    };
    match operator {
        Some(password) => users.seed_operator(password).await?,
        None => users.accounts.retire_operator(OPERATOR_EMAIL).await?,
    }
    let document =
        openapi::describe(Document::openapi(), "users", "Accounts, profiles and sessions.");
    let private = SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, web::PRIVATE);
    let router = openapi::router(routes(), users, &document).layer(private);
    Ok(Service { router, ..Service::default() })
}

fn routes() -> Vec<Route<Users>> {
    vec![
        Route::new(Method::POST, "/api/v1/users", profiles::register),
        Route::new(Method::GET, "/api/v1/users/{id}", profiles::read),
        Route::new(Method::PATCH, "/api/v1/users/{id}", profiles::change),
        Route::new(Method::DELETE, "/api/v1/users/{id}", profiles::remove),
        Route::new(Method::POST, "/api/v1/users/{id}/deactivate", profiles::deactivate),
        Route::new(Method::POST, "/api/v1/sessions", sessions::log_in),
    ]
}

impl Users {
    async fn seed_operator(&self, password: Secret) -> anyhow::Result<()> {
        anyhow::ensure!(
            password.is_good(),
            "{OPERATOR_PASSWORD_VARIABLE} has to have {}",
            interface::PASSWORD_RULE
        );
        let hash = self.passwords.hash(password).await.map_err(|refusal| {
            anyhow::anyhow!("cannot hash the operator's password: {}", refusal.message)
        })?;
        self.accounts.seed_operator(OPERATOR_EMAIL, hash).await?;
        Ok(())
    }
}
