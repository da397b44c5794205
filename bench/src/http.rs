//! Clients for plain HTTP. The workspace's `reqwest` is built with TLS and no default for it, so a client has to be given
//! one; this one trusts nobody, and reads no certificates of the machine.

use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};

/// A client that can be changed further.
pub(crate) fn builder() -> reqwest::ClientBuilder {
    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of the default versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls)
}

/// A client as it is.
///
/// # Panics
/// As `reqwest::Client::new`.
pub(crate) fn client() -> reqwest::Client {
    builder().build().expect("a client without files and names to look up")
}
