//! What a client needs for TLS: whom it trusts, and who it is. The configuration goes to `reqwest` as it is.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::{ClientConfig, RootCertStore};

use super::{TlsError, certificates, private_key, provider, roots};

/// The files of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// The CAs that it trusts, no others; those of the machine if none is named.
    pub ca: Option<PathBuf>,
    /// Its certificate.
    pub cert: Option<PathBuf>,
    /// The certificate's key.
    pub key: Option<PathBuf>,
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which of them cannot be used.
    pub fn load(&self) -> Result<ClientConfig, TlsError> {
        let trusted = match &self.ca {
            Some(ca) => roots("the CA", ca)?,
            None => of_machine()?,
        };
        let unusable = |detail: String| TlsError::Unusable {
            what: "the CA",
            path: self.ca.clone().unwrap_or_default(),
            detail,
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(trusted), provider())
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(error.to_string()))?
            .with_webpki_verifier(verifier);
        match (&self.cert, &self.key) {
            (None, None) => Ok(config.with_no_client_auth()),
            (Some(cert), Some(key)) => {
                let chain = certificates("the client certificate", cert)?;
                let secret = private_key("the client key", key)?;
                config.with_client_auth_cert(chain, secret).map_err(|error| TlsError::Unusable {
                    what: "the client key",
                    path: key.clone(),
                    detail: error.to_string(),
                })
            }
            _ => Err(TlsError::Half),
        }
    }
}

fn of_machine() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoTrust) } else { Ok(roots) }
}

/// For clients that speak plain HTTP only: without it each of them would read the machine's CAs, and fail where there
/// are none.
pub fn no_trust() -> ClientConfig {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of the default versions");
    config.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}
