//! Doors, on the real binary: nobody reaches another tenant's data by any route, nothing is open to strangers without
//! tokens, and everything works over TLS.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent;
mod bad_input;
mod certificates;
mod exposure;
mod limits;
mod matrix;
#[path = "../server/mod.rs"]
mod server;
mod tls;

use std::path::PathBuf;

use server::{Answer, Home, Server, logq};

/// A folder with a file of tokens and a configuration that names it.
struct Doors {
    home: Home,
    file: PathBuf,
}

impl Doors {
    /// With more lines of `[doors]`.
    fn new(keys: &str) -> Self {
        let home = Home::new();
        let file = home.write("tokens.toml", "");
        let doors = Self { home, file };
        doors.configure(keys);
        doors
    }

    /// Writes the configuration anew: keys of `[doors]`, then other tables.
    fn configure(&self, keys: &str) {
        let config = format!("[doors]\ntokens = {:?}\n{keys}\n", self.file);
        self.home.write("logq.toml", config);
    }

    /// `logq token` on the file; what it prints.
    fn token(&self, arguments: &[&str]) -> String {
        let file = ["--file", self.file.to_str().unwrap()];
        let output = logq(&[&["token"], arguments, &file].concat());
        assert_eq!(output.code, 0, "{output:?}");
        output.stdout.trim().to_owned()
    }

    fn create(&self, tenant: &str, rights: &str) -> String {
        self.token(&["create", "--tenant", tenant, "--rights", rights])
    }

    /// The id in a token.
    fn id(token: &str) -> &str {
        token.split('_').nth(1).unwrap()
    }
}

/// Asks with a token, and with a tenant if one is named.
fn ask(
    server: &Server,
    (method, url): (&str, &str),
    token: Option<&str>,
    tenant: Option<&str>,
    body: &str,
) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers: Vec<(&str, &[u8])> = vec![("content-type", b"application/json")];
    if let Some(bearer) = &bearer {
        headers.push(("authorization", bearer.as_bytes()));
    }
    if let Some(tenant) = tenant {
        headers.push(("x-scope-orgid", tenant.as_bytes()));
    }
    server.http().request(method, url, &headers, body)
}
