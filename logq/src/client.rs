//! The HTTP client that the commands share.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::exit::Exit;

pub(crate) fn new() -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .user_agent(concat!("logq/", env!("CARGO_PKG_VERSION")))
        .build()
        .context("cannot start the HTTP client")
}

/// Says that a server cannot be reached, and what to do.
pub(crate) fn unreachable(addr: &str, error: &reqwest::Error) -> Exit {
    let mut detail = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        detail = inner.to_string();
        source = inner.source();
    }
    eprintln!(
        "logq: cannot reach {addr}: {detail}; is `logq up` running there? --addr names another address"
    );
    Exit::Unreachable
}
