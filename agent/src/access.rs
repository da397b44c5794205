//! The flags by which commands show who they are; `logq` has the same.

use std::path::PathBuf;

use clap::Args;
use service::credentials::Credentials;
use service::tls::ClientTls;

/// Who asks, and whom it trusts.
#[derive(Args, Clone, Debug, Default)]
pub struct AccessArguments {
    /// Whose records; the token's tenant, or `default`, if not said
    #[arg(long, env = "LOGQ_TENANT")]
    pub tenant: Option<String>,
    /// The token; where others see command lines, better in the variable or in a file
    #[arg(long, env = "LOGQ_TOKEN", hide_env_values = true, conflicts_with = "token_file")]
    pub token: Option<String>,
    /// File with the token
    #[arg(long, env = "LOGQ_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// CAs to trust for https, PEM; those of the machine if not said
    #[arg(long, env = "LOGQ_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Certificate to show, PEM
    #[arg(long, env = "LOGQ_CERT", value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, env = "LOGQ_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,
}

impl AccessArguments {
    /// What they say.
    pub fn credentials(&self) -> Credentials {
        let Self { tenant, token, token_file, ca, cert, key } = self.clone();
        Credentials { tenant, token, token_file, tls: ClientTls { ca, cert, key } }
    }
}
