//! What a listener needs for TLS: its certificate, and which clients it takes.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;

use super::{TlsError, certificates, private_key, provider, roots};
use crate::http::Protocol;
use crate::reread::Reread;

/// The files of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Its certificate, and those that lead to its CA.
    pub cert: PathBuf,
    /// The certificate's key.
    pub key: PathBuf,
    /// CAs of clients; with it every client needs a certificate.
    pub client_ca: Option<PathBuf>,
}

/// TLS of listeners; its files are read again when they change. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerTls {
    configs: Arc<Reread<Configs>>,
}

/// What is agreed on with a client, by what the listener speaks.
#[derive(Debug)]
struct Configs {
    http1: Arc<ServerConfig>,
    http2: Arc<ServerConfig>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which of them cannot be used.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let mut watched = vec![files.cert.clone(), files.key.clone()];
        watched.extend(files.client_ca.clone());
        let configs = Reread::new(watched, move || read(&files))?;
        Ok(Self { configs: Arc::new(configs) })
    }

    /// Looks whether the files changed, and says why what is there now is not in force, if it is not.
    pub fn trouble(&self) -> Option<String> {
        self.configs.get();
        Some(format!("the old certificates stay in force: {}", self.configs.fault()?))
    }

    pub(super) fn config(&self, protocol: Protocol) -> Arc<ServerConfig> {
        let configs = self.configs.get();
        Arc::clone(match protocol {
            Protocol::Http1 => &configs.http1,
            Protocol::Http2 => &configs.http2,
        })
    }
}

fn read(files: &TlsFiles) -> Result<Configs, TlsError> {
    let unusable = |what, path: &PathBuf, detail: String| TlsError::Unusable {
        what,
        path: path.clone(),
        detail,
    };
    let chain = certificates("the certificate", &files.cert)?;
    let key = private_key("the key", &files.key)?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("the certificate", &files.cert, error.to_string()))?;
    let config = match &files.client_ca {
        None => config.with_no_client_auth(),
        Some(client_ca) => {
            let trusted = roots("the CA of clients", client_ca)?;
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), provider()).build();
            config.with_client_cert_verifier(
                verifier
                    .map_err(|error| unusable("the CA of clients", client_ca, error.to_string()))?,
            )
        }
    };
    let mut config = config
        .with_single_cert(chain, key)
        .map_err(|error| unusable("the key", &files.key, error.to_string()))?;
    let mut http2 = config.clone();
    http2.alpn_protocols = vec![b"h2".to_vec()];
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Configs { http1: Arc::new(config), http2: Arc::new(http2) })
}
