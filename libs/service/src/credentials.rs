//! How a client shows who it is: a token, the tenant that it means, a certificate; and whom it trusts.

use std::fmt;
use std::path::PathBuf;

use axum::http::HeaderValue;
use rustls::ClientConfig;

use crate::reread::Reread;
use crate::tls::{ClientTls, no_trust};

/// Longest file with a token.
const TOKEN_FILE_BYTES_MAX: usize = 4 << 10;

/// What a client is given by its user.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Whose records; the token's own tenant, or the server's default, if not said.
    pub tenant: Option<String>,
    /// The token.
    pub token: Option<String>,
    /// A file with nothing but the token, read again when it changes; not beside `token`.
    pub token_file: Option<PathBuf>,
    /// Certificates.
    pub tls: ClientTls,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("tenant", &self.tenant)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("token_file", &self.token_file)
            .field("tls", &self.tls)
            .finish()
    }
}

impl Credentials {
    /// TLS for requests to this address, as `reqwest` takes it. For plain HTTP no file is read.
    ///
    /// # Errors
    /// Which file cannot be used.
    pub fn tls_for(&self, addr: &str) -> Result<ClientConfig, String> {
        match addr.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
            true => self.tls.load().map_err(|error| error.to_string()),
            false => Ok(no_trust()),
        }
    }

    /// What goes into the header `Authorization`, if there is a token.
    ///
    /// # Errors
    /// The token, or its file, cannot be used.
    pub fn bearer(&self) -> Result<Option<Bearer>, String> {
        let source = match (&self.token, &self.token_file) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(
                    "a token and a file with a token are given; give one of them".to_owned()
                );
            }
            (Some(token), None) => Source::Fixed(header(token)?),
            (None, Some(file)) => {
                let path = file.clone();
                Source::File(Reread::new(vec![file.clone()], move || read(&path))?)
            }
        };
        Ok(Some(Bearer { source }))
    }

    /// The tenant as a header.
    ///
    /// # Errors
    /// It cannot be the name of a tenant.
    pub fn tenant_header(&self) -> Result<Option<HeaderValue>, String> {
        let Some(tenant) = &self.tenant else { return Ok(None) };
        crate::principal::check_tenant(tenant)
            .map_err(|wrong| format!("the tenant {tenant:?} {wrong}"))?;
        HeaderValue::from_str(tenant).map(Some).map_err(|error| error.to_string())
    }
}

/// A token as it is sent.
#[derive(Debug)]
pub struct Bearer {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Fixed(HeaderValue),
    File(Reread<HeaderValue>),
}

impl Bearer {
    /// The value of the header `Authorization` now.
    pub fn header(&self) -> HeaderValue {
        match &self.source {
            Source::Fixed(header) => header.clone(),
            Source::File(file) => HeaderValue::clone(&file.get()),
        }
    }
}

fn read(path: &PathBuf) -> Result<HeaderValue, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read the token in {}: {error}", path.display()))?;
    if text.len() > TOKEN_FILE_BYTES_MAX {
        return Err(format!("{} is too long to be a token", path.display()));
    }
    header(text.trim()).map_err(|error| format!("{}: {error}", path.display()))
}

fn header(token: &str) -> Result<HeaderValue, String> {
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err("this is no token; `logq token create` prints one, a single word".to_owned());
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| "a token cannot have such characters".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_from_one_place_and_is_shown_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "logq_secret\n").unwrap();
        let from_file = Credentials { token_file: Some(file.clone()), ..Default::default() };
        let bearer = from_file.bearer().unwrap().unwrap();
        assert_eq!(bearer.header(), "Bearer logq_secret");
        let fixed = Credentials { token: Some("logq_secret".into()), ..Default::default() };
        let shown = format!("{fixed:?} {:?} {bearer:?}", fixed.bearer());
        assert!(!shown.contains("secret"), "{shown}");
        let both = Credentials { token_file: Some(file.clone()), ..fixed };
        assert!(both.bearer().unwrap_err().contains("one of them"));
        for wrong in ["", "two words", "é\n\u{1}"] {
            std::fs::write(&file, wrong).unwrap();
            assert!(from_file.bearer().is_err(), "{wrong}");
        }
        assert!(Credentials::default().bearer().unwrap().is_none());
    }

    #[test]
    fn files_are_named_where_they_cannot_be_used_and_not_read_for_plain_http() {
        let tls = ClientTls { ca: Some("/nowhere/ca.pem".into()), ..ClientTls::default() };
        let credentials = Credentials { tls, ..Credentials::default() };
        assert!(credentials.tls_for("http://x").is_ok());
        let error = credentials.tls_for("HTTPS://x").unwrap_err();
        assert!(error.contains("/nowhere/ca.pem") && error.contains("PEM"), "{error}");
    }
}
