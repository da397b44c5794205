//! TLS by rustls with ring, on listeners and for clients. Certificates and keys are PEM.

mod client;
mod handshake;
mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

pub use client::{ClientTls, no_trust};
pub(crate) use handshake::shake_hands;
pub use server::{ServerTls, TlsFiles};

/// Why certificates or keys cannot be used.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum TlsError {
    #[error("cannot read {what} {}: {source}; name a file in PEM that this process may read", path.display())]
    Read { what: &'static str, path: PathBuf, source: pem::Error },
    #[error("there is no certificate in {what} {}; it has to be PEM, -----BEGIN CERTIFICATE-----", path.display())]
    Empty { what: &'static str, path: PathBuf },
    #[error("{what} {} cannot be used: {detail}", path.display())]
    Unusable { what: &'static str, path: PathBuf, detail: String },
    #[error(
        "a client certificate needs its key, and a key its certificate; name both or none of them"
    )]
    Half,
    #[error("this machine trusts no CA, or none can be read; name the server's CA")]
    NoTrust,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = |source| TlsError::Read { what, path: path.to_owned(), source };
    let all = CertificateDer::pem_file_iter(path).map_err(read)?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(read)?;
    match all.is_empty() {
        true => Err(TlsError::Empty { what, path: path.to_owned() }),
        false => Ok(all),
    }
}

fn private_key(what: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::Read {
        what,
        path: path.to_owned(),
        source,
    })
}

/// The CAs of a file.
fn roots(what: &'static str, path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(what, path)? {
        roots.add(certificate).map_err(|error| TlsError::Unusable {
            what,
            path: path.to_owned(),
            detail: error.to_string(),
        })?;
    }
    Ok(roots)
}
