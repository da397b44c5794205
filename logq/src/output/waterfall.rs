//! A trace as a waterfall: a tree on the left, bars on the time axis on the right.

use std::fmt::Write as _;

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::row::printable;
use super::style::{BOLD, DIM, Style, id_colour, level_colour};
use super::width::fitted;

/// Columns where nobody says how many there are.
const WIDTH_DEFAULT: usize = 110;
/// On narrower terminals there are no bars.
const WIDTH_WITH_BARS: usize = 60;
const SERVICE_WIDTH_MAX: usize = 14;
/// Columns of a duration such as `1,234.5 ms` and the mark of a failure.
const DURATION_WIDTH: usize = 11;

pub(super) const ERROR: &str = "\x1b[31m";

/// The whole text.
pub(crate) fn waterfall(trace: &Value, style: Style) -> String {
    let mut out = String::new();
    let text = |name: &str| trace[name].as_str().unwrap_or_default();
    let number = |name: &str| trace[name].as_u64().unwrap_or_default();
    let services = trace["services"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let services: Vec<&str> = services.collect();
    let plural =
        |count: u64, name: &str| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
    let mut counts = vec![plural(number("spans"), "span"), plural(number("records"), "record")];
    for (name, what) in [("errors", "failed span"), ("holes", "missing span")] {
        counts.extend((number(name) > 0).then(|| plural(number(name), what)));
    }
    let started = record::Timestamp(trace["started"].as_i64().unwrap_or_default());
    let _ = writeln!(
        out,
        "trace {}  {started}  {}  {}",
        style.paint(BOLD, text("trace_id")),
        milliseconds(trace["duration_ms"].as_f64().unwrap_or_default()),
        counts.join(", ")
    );
    if !services.is_empty() {
        let _ = writeln!(out, "services {}", printable(&services.join(", ")));
    }
    clocks(trace, 8, style, &mut out);
    out.push('\n');
    let rows = trace["rows"].as_array().map_or(&[][..], Vec::as_slice);
    let layout = Layout::of(rows, trace["duration_ms"].as_f64().unwrap_or_default(), style);
    for row in rows {
        layout.row(row, &mut out);
    }
    out
}

/// Says which clocks were moved.
pub(super) fn clocks(told: &Value, label: usize, style: Style, out: &mut String) {
    for clock in told["clocks"].as_array().into_iter().flatten() {
        let line = format!(
            "{:label$} {} differs: its times were moved by {:+.1} ms, so that effects come after their causes",
            "clock",
            clock["clock"].as_str().unwrap_or_default(),
            clock["moved_ms"].as_f64().unwrap_or_default()
        );
        let _ = writeln!(out, "{}", style.paint(DIM, &printable(&line)));
    }
}

/// A length of time with its unit.
pub(crate) fn milliseconds(ms: f64) -> String {
    match ms.abs() {
        under if under < 0.001 => "0 ms".to_owned(),
        under if under < 1.0 => format!("{:.0} µs", ms * 1e3),
        under if under < 1_000.0 => format!("{ms:.1} ms"),
        under if under < 120_000.0 => format!("{:.2} s", ms / 1e3),
        under if under < 7_200_000.0 => format!("{:.1} min", ms / 60e3),
        _ => format!("{:.1} h", ms / 3_600e3),
    }
}

struct Layout {
    style: Style,
    whole_ms: f64,
    service: usize,
    name: usize,
    /// Columns of the bars; none on narrow terminals.
    bars: usize,
}

impl Layout {
    fn of(rows: &[Value], whole_ms: f64, style: Style) -> Self {
        let width = style.width.unwrap_or(WIDTH_DEFAULT);
        let widest = |text: &dyn Fn(&Value) -> usize| rows.iter().map(text).max().unwrap_or(0);
        let service = widest(&|row| row["service"].as_str().unwrap_or_default().width());
        let service = service.min(SERVICE_WIDTH_MAX);
        let name = widest(&|row| match row["row"].as_str() {
            Some("span") => depth(row) * 2 + row["name"].as_str().unwrap_or_default().width(),
            _ => 0,
        });
        let rest = width.saturating_sub(service + 2);
        let name = name.max(12).min(rest * 9 / 20);
        let bars = match width >= WIDTH_WITH_BARS {
            true => rest.saturating_sub(name + 2 + DURATION_WIDTH + 2),
            false => 0,
        };
        Self { style, whole_ms, service, name, bars }
    }

    fn row(&self, row: &Value, out: &mut String) {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let indent = "  ".repeat(depth(row).min(self.name / 3));
        let service = fitted(&printable(text("service")), self.service);
        let service = self.style.paint(&id_colour(text("service")), &service).into_owned();
        match text("row") {
            "span" => {
                let failed = row["error"] == true;
                let name = fitted(&printable(&format!("{indent}{}", text("name"))), self.name);
                let name = self.style.paint(if failed { ERROR } else { "" }, &name).into_owned();
                let (at, duration) =
                    (row["at_ms"].as_f64().unwrap_or_default(), row["duration_ms"].as_f64());
                let bar = self.bar(at, duration.unwrap_or_default(), failed);
                let took = duration.map_or_else(|| "no end".to_owned(), milliseconds);
                let mark = if failed { self.style.paint(ERROR, "✗") } else { " ".into() };
                let took = format!("{took:>width$}", width = DURATION_WIDTH - 2);
                let line = format!("{service}  {name}  {bar}{took} {mark}");
                let _ = writeln!(out, "{}", line.trim_end());
                let notes = [text("status_message"), text("note")];
                for note in notes.into_iter().filter(|note| !note.is_empty()) {
                    let note = format!("{indent}  └ {note}");
                    self.below(&self.style.paint(DIM, &printable(&note)), out);
                }
            }
            "record" => {
                let level = text("level").to_uppercase();
                let level = self.style.paint(level_colour(text("level")), &level).into_owned();
                let at = milliseconds(row["at_ms"].as_f64().unwrap_or_default());
                let message = text("message").lines().next().unwrap_or_default();
                let line = format!("{indent}· {level} {} ", printable(message));
                let at = self.style.paint(DIM, &format!("+{at}")).into_owned();
                let _ = writeln!(out, "{service}  {line}{at}");
            }
            "hole" => {
                let line = format!("{indent}? the span {} is not there", text("span_id"));
                self.below(&self.style.paint(ERROR, &line), out);
            }
            "elided" => {
                let failed = match row["errors"].as_u64().unwrap_or_default() {
                    0 => String::new(),
                    failed => format!(", {failed} of them failed spans"),
                };
                let line =
                    format!("… {} rows are left out{failed}; --rows shows more", row["rows"]);
                self.below(&self.style.paint(DIM, &line), out);
            }
            _ => {}
        }
    }

    /// A line that belongs to no service.
    fn below(&self, line: &str, out: &mut String) {
        let _ = writeln!(out, "{:width$}  {line}", "", width = self.service);
    }

    fn bar(&self, at_ms: f64, duration_ms: f64, failed: bool) -> String {
        if self.bars == 0 {
            return String::new();
        }
        let scale = self.bars as f64 / self.whole_ms.max(f64::MIN_POSITIVE);
        let begin = ((at_ms * scale) as usize).min(self.bars - 1);
        let length = ((duration_ms.max(0.0) * scale).round() as usize).clamp(1, self.bars - begin);
        let mark = if self.style.unicode { "█" } else { "=" };
        let bar = mark.repeat(length);
        let bar = self.style.paint(if failed { ERROR } else { "\x1b[36m" }, &bar).into_owned();
        format!("{}{bar}{}  ", " ".repeat(begin), " ".repeat(self.bars - begin - length))
    }
}

fn depth(row: &Value) -> usize {
    row["depth"].as_u64().unwrap_or_default() as usize
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trace() -> Value {
        let span = |depth: u32, at: f64, ms: f64, service: &str, name: &str, error: bool| {
            json!({"row": "span", "depth": depth, "at_ms": at, "duration_ms": ms, "service": service,
                   "name": name, "kind": "server", "error": error})
        };
        let mut declined = span(2, 12.0, 20.0, "payments", "POST /payments", true);
        declined["status_message"] = json!("card declined");
        json!({
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "started": 1_795_856_400_000_000_000_i64,
            "duration_ms": 100.0, "spans": 3, "records": 1, "errors": 1, "holes": 1,
            "services": ["gateway", "payments"],
            "clocks": [{"clock": "host-2", "moved_ms": 2990.0}],
            "rows": [
                span(0, 0.0, 100.0, "gateway", "POST /checkout", false),
                span(1, 10.0, 40.0, "gateway", "POST", false),
                declined,
                {"row": "record", "depth": 3, "at_ms": 15.0, "service": "payments", "level": "warn", "message": "card\u{1b}declined"},
                {"row": "hole", "depth": 0, "span_id": "0000000000000063"},
                {"row": "elided", "rows": 8000, "errors": 3},
            ],
        })
    }

    #[test]
    fn a_trace_is_drawn_as_a_tree_beside_bars() {
        let style = Style { width: Some(90), ..Style::PLAIN };
        insta::assert_snapshot!(waterfall(&trace(), style));
    }

    #[test]
    fn on_a_narrow_terminal_there_are_no_bars_and_no_line_of_a_span_is_wider() {
        let style = Style { width: Some(40), ..Style::PLAIN };
        let drawn = waterfall(&trace(), style);
        assert!(!drawn.contains('█'));
        insta::assert_snapshot!(drawn);
    }
}
