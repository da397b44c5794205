//! Passwords as they are kept: argon2id in the PHC string format, with a salt of its own for each.
//!
//! A hash takes 19 MiB and two passes on one lane: the least of what OWASP's cheat sheet on password storage asks for,
//! and light enough for a demo. They are made two at a time on threads of their own, so that logins cannot take the whole
//! machine; some may wait, and whoever comes then is refused.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use axum::http::StatusCode;
use service::http::ErrorResponse;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::interface::Secret;

const MEMORY_KIB: u32 = 19 << 10;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes that are made at once.
const AT_ONCE_MAX: usize = 2;
/// Requests that are making one or wait for that.
const ASKED_MAX: usize = 64;

pub(super) struct Passwords {
    argon2: Argon2<'static>,
    turns: Arc<Semaphore>,
    asked: Semaphore,
    /// Compared with where there is no account, so that this takes as long.
    nobodys: String,
}

impl Passwords {
    /// # Errors
    /// None with parameters that argon2 knows.
    pub(super) fn new() -> anyhow::Result<Self> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(Self {
            nobodys: hash(&argon2, b"nobody has it: no hash is compared with it alone")?,
            argon2,
            turns: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            asked: Semaphore::new(ASKED_MAX),
        })
    }

    /// What is kept of a password.
    ///
    /// # Errors
    /// 503 `busy`: too many wait.
    pub(super) async fn hash(&self, password: Secret) -> Result<String, ErrorResponse> {
        let argon2 = self.argon2.clone();
        let hash = self.in_turn(move || hash(&argon2, password.as_bytes())).await?;
        hash.map_err(failed)
    }

    /// Whether it is the password that `kept` was made from. Never where there is none, and that takes as long.
    ///
    /// # Errors
    /// 503 `busy`: too many wait.
    pub(super) async fn is_right(
        &self,
        password: Secret,
        kept: Option<String>,
    ) -> Result<bool, ErrorResponse> {
        let argon2 = self.argon2.clone();
        let (exists, kept) = (kept.is_some(), kept.unwrap_or_else(|| self.nobodys.clone()));
        let compare = move || {
            let kept = PasswordHash::new(&kept)?;
            // Also if they differ: why it failed is all the same.
            argon2::password_hash::Result::Ok(
                argon2.verify_password(password.as_bytes(), &kept).is_ok(),
            )
        };
        let same = self.in_turn(compare).await?.map_err(failed)?;
        Ok(same && exists)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ErrorResponse> {
        let Ok(_place) = self.asked.try_acquire() else {
            let message = "too many logins are waiting; try again later";
            return Err(ErrorResponse::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
                .retry_after(Duration::from_secs(1)));
        };
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(failed)?;
        // The turn goes along: the work goes on when whoever asked has left.
        let work = move || (work(), turn);
        let (done, _) = spawn_blocking(work).await.map_err(failed)?;
        Ok(done)
    }
}

fn hash(argon2: &Argon2<'_>, password: &[u8]) -> argon2::password_hash::Result<String> {
    let salt = SaltString::generate(&mut OsRng);
    Ok(argon2.hash_password(password, &salt)?.to_string())
}

fn failed(error: impl std::fmt::Display) -> ErrorResponse {
    tracing::error!(%error, "cannot hash a password");
    ErrorResponse::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "passwords cannot be hashed")
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_password_is_right_for_its_own_hash_and_no_other() {
        let passwords = Passwords::new().unwrap();
        let kept = passwords.hash(secret("correct horse")).await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert_ne!(kept, passwords.hash(secret("correct horse")).await.unwrap());
        let is_right = async |password, kept| passwords.is_right(secret(password), kept).await;
        assert_eq!(is_right("correct horse", Some(kept.clone())).await, Ok(true));
        assert_eq!(is_right("correct Horse", Some(kept)).await, Ok(false));
        let nobodys = "nobody has it: no hash is compared with it alone";
        assert_eq!(is_right(nobodys, None).await, Ok(false));
    }

    #[tokio::test]
    async fn whoever_comes_when_too_many_wait_is_refused_at_once() {
        let passwords = Passwords::new().unwrap();
        let turns = Arc::clone(&passwords.turns).acquire_many_owned(AT_ONCE_MAX as u32).await;
        let attempts = join_all((0..=ASKED_MAX).map(|_| passwords.in_turn(|| ())));
        let free = async {
            // Runs when all others wait.
            tokio::task::yield_now().await;
            drop(turns);
        };
        let (outcomes, ()) = tokio::join!(attempts, free);
        let refused: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].code, "busy");
    }
}
