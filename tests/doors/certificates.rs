//! Certificates for a test, made anew each time.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::server::Home;

/// A CA whose certificates are files in a folder.
pub(crate) struct Authority<'h> {
    home: &'h Home,
    name: &'static str,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key.
pub(crate) struct Files {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl<'h> Authority<'h> {
    pub(crate) fn new(home: &'h Home, name: &'static str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { home, name, issuer }
    }

    /// Its own certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.home.write(&format!("{}.pem", self.name), self.issuer.pem())
    }

    /// One for this machine, under a name of the files.
    pub(crate) fn issue(&self, name: &str) -> Files {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Files {
            cert: self.home.write(&format!("{name}.pem"), cert.pem()),
            key: self.home.write(&format!("{name}-key.pem"), key.serialize_pem()),
        }
    }
}
