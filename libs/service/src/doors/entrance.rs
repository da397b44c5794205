//! What stands before every listener of a process: its doors, and TLS.

use tokio::net::TcpListener;

use super::Doors;
use crate::http::Listener;
use crate::tls::ServerTls;

/// The doors of a process and the TLS of its listeners. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Entrance {
    /// Who comes in.
    pub doors: Doors,
    /// Plain HTTP without it.
    pub tls: Option<ServerTls>,
}

impl Entrance {
    /// The listener, encrypted if that is wanted.
    pub fn listener(&self, tcp: TcpListener) -> Listener {
        Listener { tls: self.tls.clone(), ..Listener::from(tcp) }
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Looks whether files changed, and says why their present content is not in force, if it is not.
    pub fn trouble(&self) -> Option<String> {
        let tls = self.tls.as_ref().and_then(ServerTls::trouble);
        let troubles: Vec<String> = self.doors.trouble().into_iter().chain(tls).collect();
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }
}
