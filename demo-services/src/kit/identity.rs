//! Who asks: tokens that say it outside, and headers that say it within the shop.
//!
//! A token is a JWT that is signed with HMAC-SHA-256 (RFC 7519, RFC 8725). `users` makes it and the gateway checks it,
//! both with one key of 32 random bytes in a file that nobody else can read. Which algorithm is checked is said here and
//! not by the token. Behind the gateway no tokens travel: it says who asks in `x-user-id` and `x-user-roles`, and takes
//! both out of whatever comes from outside.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::Context as _;
use argon2::password_hash::rand_core::{OsRng, RngCore};
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use service::http::ErrorResponse;
use thiserror::Error;

use super::clock::now_s;

/// Who made a token.
pub(crate) const ISSUER: &str = "logq-demo-users";
/// May read and change everybody.
pub(crate) const OPERATOR: &str = "operator";
/// May read and change themselves.
pub(crate) const CUSTOMER: &str = "customer";
/// Who asks, as the gateway found it in the token.
pub(crate) const USER_HEADER: &str = "x-user-id";
/// Their roles, joined by commas.
pub(crate) const ROLES_HEADER: &str = "x-user-roles";

const KEY_BYTES: usize = 32;
/// Longer ones are refused unread; ours have some 300 bytes.
const TOKEN_BYTES_MAX: usize = 4 << 10;
const USER_BYTES_MAX: usize = 64;
const ROLES_MAX: usize = 8;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The user's id.
    pub(crate) sub: String,
    pub(crate) roles: Vec<String>,
    /// The first second in which it is of no use, since 1970.
    pub(crate) exp: i64,
    /// When it was made, in seconds since 1970.
    pub(crate) iat: i64,
    pub(crate) iss: String,
    /// Of this token alone.
    pub(crate) jti: String,
}

/// Why a token is no good.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum TokenError {
    #[error("the token has expired; log in again")]
    Expired,
    // Not in which way: that helps nobody but who forges one.
    #[error("the token is not one of ours; log in again")]
    Invalid,
}

impl TokenError {
    /// Stable, for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Expired => "token_expired",
            Self::Invalid => "token_invalid",
        }
    }
}

/// What signs and checks tokens.
pub(crate) struct Keys {
    signing: EncodingKey,
    checking: DecodingKey,
    rules: Validation,
}

impl Keys {
    /// The key of the shop, by the folder of any service: it lies beside those folders.
    ///
    /// # Errors
    /// As [`Keys::from_file`].
    pub(crate) fn of_shop(data: &Path) -> anyhow::Result<Self> {
        Self::from_file(&data.join("../keys/jwt.key"))
    }

    /// The key in a file, which is made with mode 0600 if absent. Whoever comes first makes it, all others read it.
    ///
    /// # Errors
    /// The file cannot be made or read, others than its owner may read it, or it is no key.
    pub(crate) fn from_file(path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            make_key(path).with_context(|| format!("cannot make the key {}", path.display()))?;
        }
        let key = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mode = fs::metadata(path)?.permissions().mode();
        anyhow::ensure!(
            mode & 0o077 == 0,
            "others than its owner can use the key {}; remove it, and a new one is made",
            path.display()
        );
        anyhow::ensure!(
            key.len() == KEY_BYTES,
            "{} has {} bytes, a key has {KEY_BYTES}; remove it, and a new one is made",
            path.display(),
            key.len()
        );
        let mut rules = Validation::new(Algorithm::HS256);
        rules.leeway = 0; // One machine, one clock.
        rules.set_issuer(&[ISSUER]);
        rules.set_required_spec_claims(&["exp", "iss", "sub"]);
        Ok(Self {
            signing: EncodingKey::from_secret(&key),
            checking: DecodingKey::from_secret(&key),
            rules,
        })
    }

    /// # Errors
    /// None for claims that are text and numbers.
    pub(crate) fn sign(&self, claims: &Claims) -> jsonwebtoken::errors::Result<String> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.signing)
    }

    /// # Errors
    /// The token is not signed with this key, is not from [`ISSUER`], or has expired.
    pub(crate) fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        match jsonwebtoken::decode::<Claims>(token, &self.checking, &self.rules) {
            // The library lets the second of the end pass.
            Ok(token) if token.claims.exp <= now_s() => Err(TokenError::Expired),
            Ok(token) => Ok(token.claims),
            Err(error) if *error.kind() == ErrorKind::ExpiredSignature => Err(TokenError::Expired),
            Err(_) => Err(TokenError::Invalid),
        }
    }
}

/// Writes a whole key beside the path and then gives it the name, so that nobody reads half of one.
fn make_key(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut key = [0; KEY_BYTES];
    OsRng.try_fill_bytes(&mut key).map_err(io::Error::other)?;
    let whole = folder.join(format!(".key-{}", random_hex(8)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&whole)?;
    let named = file
        .write_all(&key)
        .and_then(|()| file.sync_all())
        // Not a rename: that would replace the key of whoever was first.
        .and_then(|()| fs::hard_link(&whole, path));
    fs::remove_file(&whole)?;
    match named {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        named => named,
    }
}

/// An id that cannot be guessed and that nobody had before; `bytes` is 16 at most.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut random = [0; 16];
    OsRng.fill_bytes(&mut random);
    random.iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

/// Who asks, as the gateway says it. Nobody, if a header is absent or cannot be an id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) user: Option<String>,
    pub(crate) roles: Vec<String>,
}

impl Caller {
    /// The user's id.
    ///
    /// # Errors
    /// 401 `unauthenticated`, if nobody has logged in.
    pub(crate) fn user(&self) -> Result<&str, ErrorResponse> {
        let message = "this is for users that have logged in";
        let refusal = || ErrorResponse::new(StatusCode::UNAUTHORIZED, "unauthenticated", message);
        self.user.as_deref().ok_or_else(refusal)
    }

    pub(crate) fn is_operator(&self) -> bool {
        self.roles.iter().any(|role| role == OPERATOR)
    }

    /// Whether whoever asks may see and change this user: themselves, or anybody as an operator.
    ///
    /// # Errors
    /// 401 `unauthenticated` or 403 `forbidden`.
    pub(crate) fn may_act_for(&self, user: &str) -> Result<(), ErrorResponse> {
        if self.user()? == user || self.is_operator() {
            return Ok(());
        }
        let message = "users see and change themselves, and nobody else";
        Err(ErrorResponse::new(StatusCode::FORBIDDEN, "forbidden", message))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let text = |name| {
            let mut values = parts.headers.get_all(name).iter();
            // Two of them were not both said by the gateway.
            let only = values.next().filter(|_| values.next().is_none())?;
            only.to_str().ok()
        };
        let user = text(USER_HEADER).filter(|user| (1..=USER_BYTES_MAX).contains(&user.len()));
        let Some(user) = user else { return Ok(Self::default()) };
        let roles = text(ROLES_HEADER).unwrap_or_default().split(',').map(str::trim);
        let roles = roles.filter(|role| !role.is_empty()).take(ROLES_MAX).map(str::to_owned);
        Ok(Self { user: Some(user.to_owned()), roles: roles.collect() })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn claims() -> Claims {
        Claims {
            sub: "u-1".to_owned(),
            roles: vec![CUSTOMER.to_owned()],
            exp: now_s() + 900,
            iat: now_s(),
            iss: ISSUER.to_owned(),
            jti: random_hex(16),
        }
    }

    fn keys(folder: &tempfile::TempDir) -> Keys {
        Keys::from_file(&folder.path().join("keys/jwt.key")).unwrap()
    }

    #[test]
    fn whoever_has_the_key_file_takes_the_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let claims = claims();
        let token = keys(&folder).sign(&claims).unwrap();
        assert_eq!(keys(&folder).verify(&token), Ok(claims));
        let file = folder.path().join("keys/jwt.key");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path().join("keys")).unwrap().count(), 1);
    }

    #[test]
    fn all_who_come_at_once_have_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<Keys> = std::thread::scope(|scope| {
            let come = || scope.spawn(|| keys(&folder));
            let coming: Vec<_> = (0..8).map(|_| come()).collect();
            coming.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let token = keys[0].sign(&claims()).unwrap();
        assert!(keys.iter().all(|keys| keys.verify(&token).is_ok()));
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_none_is_refused() {
        for (key, mode, word) in [
            (&[7; 32][..], 0o644, "others"),
            (&[7; 31], 0o600, "31 bytes"),
            (&[], 0o600, "0 bytes"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("jwt.key");
            fs::write(&file, key).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let error = Keys::from_file(&file).err().unwrap().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn tokens_that_are_not_ours_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let ours = keys(&folder);
        let good = ours.sign(&claims()).unwrap();
        let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else {
            panic!()
        };
        let operator = Claims { roles: vec![OPERATOR.to_owned()], ..claims() };
        let operator = ours.sign(&operator).unwrap();
        let raised = operator.split('.').nth(1).unwrap();
        let other = keys(&tempfile::tempdir().unwrap()).sign(&claims()).unwrap();
        let with = |change: fn(&mut Claims)| {
            let mut claims = claims();
            change(&mut claims);
            ours.sign(&claims).unwrap()
        };
        let without = |name: &str| {
            let mut claims = serde_json::to_value(claims()).unwrap();
            claims.as_object_mut().unwrap().remove(name);
            jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &ours.signing).unwrap()
        };
        let hs384 = jsonwebtoken::encode(&Header::new(Algorithm::HS384), &claims(), &ours.signing);
        // {"alg":"none","typ":"JWT"} and {"alg":"RS256","typ":"JWT"}
        let (none, rs256) =
            ("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9");
        for (what, token, expected) in [
            ("alg none", format!("{none}.{payload}."), TokenError::Invalid),
            ("alg none, signed", format!("{none}.{payload}.{signature}"), TokenError::Invalid),
            ("another algorithm", format!("{rs256}.{payload}.{signature}"), TokenError::Invalid),
            ("our key, another algorithm", hs384.unwrap(), TokenError::Invalid),
            ("another's key", other, TokenError::Invalid),
            ("another's claims", format!("{header}.{raised}.{signature}"), TokenError::Invalid),
            ("no signature", format!("{header}.{payload}."), TokenError::Invalid),
            ("two parts", format!("{header}.{payload}"), TokenError::Invalid),
            ("another issuer", with(|claims| claims.iss = "me".to_owned()), TokenError::Invalid),
            ("expired", with(|claims| claims.exp = now_s() - 1), TokenError::Expired),
            ("expires now", with(|claims| claims.exp = now_s()), TokenError::Expired),
            ("no exp", without("exp"), TokenError::Invalid),
            ("no iss", without("iss"), TokenError::Invalid),
            ("no sub", without("sub"), TokenError::Invalid),
            ("long", format!("{good}{}", "A".repeat(TOKEN_BYTES_MAX)), TokenError::Invalid),
            ("empty", String::new(), TokenError::Invalid),
            ("no token", "Bearer ä.☃.\0".to_owned(), TokenError::Invalid),
        ] {
            assert_eq!(ours.verify(&token), Err(expected), "{what}");
        }
    }

    async fn check(headers: &[(&str, &str)], user: Option<&str>, roles: &[&str]) {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let Ok(caller) = Caller::from_request_parts(&mut parts, &()).await;
        assert_eq!(caller.user.as_deref(), user, "{headers:?}");
        assert_eq!(caller.roles, roles, "{headers:?}");
    }

    #[tokio::test]
    async fn a_caller_is_whom_the_gateway_names() {
        let long = "u".repeat(USER_BYTES_MAX + 1);
        check(&[("x-user-id", "u-1")], Some("u-1"), &[]).await;
        let roles = ("x-user-roles", "customer, operator,,");
        check(&[("x-user-id", "u-1"), roles], Some("u-1"), &["customer", "operator"]).await;
        for user in ["", "ü", &long] {
            check(&[("x-user-id", user), roles], None, &[]).await;
        }
        check(&[("x-user-id", "u-1"), ("x-user-id", "u-2"), roles], None, &[]).await;
        check(&[roles], None, &[]).await;
    }
}
