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
    elapsed_ms: u64,
}

/// Shows progress to a person.
pub(crate) struct Progress {
    person: bool,
    shown: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { person: io::stderr().is_terminal(), shown: false }
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
        eprint!("\r\x1b[K{}", told(progress));
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

fn told(figures: Figures) -> String {
    let Figures { rows_scanned, rows_total, elapsed_ms } = figures;
    let mut text =
        format!("searching… {} of {} rows", in_short(rows_scanned), in_short(rows_total));
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
        let figures =
            Figures { rows_scanned: 2_500_000, rows_total: 10_000_000, elapsed_ms: 2_000 };
        assert_eq!(told(figures), "searching… 2.5M of 10.0M rows, about 6 s left");
        let figures = Figures { rows_scanned: 0, rows_total: 12_345, elapsed_ms: 2_000 };
        assert_eq!(told(figures), "searching… 0 of 12k rows");
    }
}
