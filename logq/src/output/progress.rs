//! One line on standard error that says how far a long query is; it is gone before anything else is printed.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde::Deserialize;

/// Before this nobody wonders.
const SHOWN_AFTER: Duration = Duration::from_secs(1);
/// How lines of progress begin, which are no data.
pub(crate) const PREFIX: &[u8] = b"{\"progress\":";

#[derive(Deserialize)]
struct ProgressLine {
    progress: Figures,
}

#[derive(Clone, Copy, Deserialize)]
struct Figures {
    rows_scanned: u64,
    rows_total: u64,
    /// What an older server does not say.
    matched: Option<u64>,
    elapsed_ms: u64,
}

/// Shows progress to a person.
pub(crate) struct Progress {
    person: bool,
    shown: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let moves = std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb");
        Self { person: io::stderr().is_terminal() && moves, shown: false }
    }

    /// Whether somebody looks.
    pub(crate) fn wanted(&self) -> bool {
        self.person
    }

    pub(crate) fn show(&mut self, line: &[u8]) {
        let Ok(ProgressLine { progress }) = serde_json::from_slice(line) else { return };
        if !self.person || Duration::from_millis(progress.elapsed_ms) < SHOWN_AFTER {
            return;
        }
        // A longer one would wrap, and could not be taken away.
        let width = terminal_size::terminal_size_of(io::stderr());
        let width = width.map_or(80, |(width, _)| usize::from(width.0));
        let text: String = told(progress).chars().take(width.saturating_sub(1)).collect();
        eprint!("\r\x1b[K{text}");
        let _ = io::stderr().flush();
        self.shown = true;
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            eprint!("\r\x1b[K");
            let _ = io::stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn told(figures: Figures) -> String {
    let Figures { rows_scanned, rows_total, matched, elapsed_ms } = figures;
    let mut text =
        format!("searching… {} of {} rows", in_short(rows_scanned), in_short(rows_total));
    if let Some(matched) = matched {
        text += &format!(", {} found", in_short(matched));
    }
    if rows_scanned > 0 && rows_scanned < rows_total {
        let left =
            elapsed_ms as f64 / 1e3 * (rows_total - rows_scanned) as f64 / rows_scanned as f64;
        text += &format!(", about {:.0} s left", left.ceil());
    }
    text
}

fn in_short(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{:.0}k", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}M", count as f64 / 1e6),
        _ => format!("{:.2}G", count as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_what_is_left() {
        let cases = [
            (
                r#"{"rows_scanned":2500000,"rows_total":10000000,"matched":4,"elapsed_ms":2000}"#,
                "searching… 2.5M of 10.0M rows, 4 found, about 6 s left",
            ),
            (
                r#"{"rows_scanned":0,"rows_total":12345,"elapsed_ms":2000}"#,
                "searching… 0 of 12k rows",
            ),
        ];
        for (figures, expected) in cases {
            assert_eq!(told(serde_json::from_str(figures).unwrap()), expected);
        }
    }
}
