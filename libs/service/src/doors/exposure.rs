//! The rule of listeners: without tokens, only this machine itself may reach them.

use std::net::{SocketAddr, ToSocketAddrs};

use thiserror::Error;

/// A listener that others could reach, where nobody needs a token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{key}` is {addr}, which others than this machine can reach, and no tokens are asked for: whoever reaches it could \
     read and write everything. Make tokens (`logq token create --file FILE`) and name the file as `tokens` in [doors], \
     or listen on 127.0.0.1, or say --insecure if the network keeps everybody else away"
)]
pub struct Exposed {
    /// The key or flag that says the address.
    pub key: String,
    /// The address as it was said.
    pub addr: String,
}

/// Whether a listener at this address is only for this machine.
///
/// # Errors
/// It is not.
pub fn check(key: &str, addr: &str) -> Result<(), Exposed> {
    // A name that cannot be resolved cannot be listened on either, which is told then.
    let resolved: Vec<SocketAddr> =
        addr.to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    match resolved.iter().all(|addr| addr.ip().to_canonical().is_loopback()) {
        true => Ok(()),
        false => Err(Exposed { key: key.to_owned(), addr: addr.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_let_through() {
        for addr in
            ["127.0.0.1:0", "127.8.8.8:1", "[::1]:80", "localhost:4318", "[::ffff:127.0.0.1]:1"]
        {
            assert_eq!(check("http", addr), Ok(()), "{addr}");
        }
        for addr in ["0.0.0.0:0", "[::]:80", "192.0.2.1:4318", "[2001:db8::1]:1"] {
            let exposed = check("query.http", addr).unwrap_err().to_string();
            assert!(exposed.contains("`query.http`") && exposed.contains(addr), "{exposed}");
        }
    }
}
