//! Log lines of the process itself: compact, on standard error, filtered by `LOGQ_LOG`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The variable that holds the filter, for example `warn,collector=debug`; without it `info`.
pub const FILTER_VARIABLE: &str = "LOGQ_LOG";

/// Starts logging. A second call changes nothing, and a filter that cannot be read is named and replaced by
/// `info`: a process never fails to start for its own log lines.
pub fn init() {
    let wanted = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let (filter, error) = match EnvFilter::try_new(if wanted.is_empty() { "info" } else { &wanted })
    {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let started = tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
    if let (Ok(()), Some(error)) = (started, error) {
        tracing::warn!(%error, variable = FILTER_VARIABLE, "log filter not understood, using info");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_second_start_changes_nothing() {
        super::init();
        super::init();
    }
}
