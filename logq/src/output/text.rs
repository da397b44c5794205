//! Records as text: `TIME LEVEL SERVICE [CORRELATION] MESSAGE name=value …`; rows as a table or as bars.

use std::io::{self, Write};

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::chart::{self, Chart, Kind};
use super::row::{Row, printable};
use super::style::{CYAN, DIM, Style, id_colour, level_colour};
use super::table::Table;
use super::waterfall::milliseconds;

/// Characters that are shown of an id on a terminal; longer ones get a `…`.
const ID_CHARACTERS: usize = 12;
/// Attributes of hexadecimal digits that are at least so long are ids.
const LONG_ID_BYTES: usize = 16;
/// Services are padded to the widest so far, at most to this.
const SERVICE_WIDTH_MAX: usize = 16;
/// On narrower terminals nothing is padded.
const NARROW: usize = 60;

/// Whether it is a span: that has a status, which is one of three words.
fn is_span(row: &Row) -> bool {
    let status = row.attributes().find(|(name, _)| *name == record::span::STATUS);
    let status = status.and_then(|(_, value)| value.as_str());
    row.get("severity").is_none()
        && status.is_some_and(|status| record::span::STATUSES.contains(&status))
}

#[derive(Debug)]
pub(super) struct Text {
    style: Style,
    kind: Kind,
    table: Table,
    chart: Chart,
    service_width: usize,
}

impl Text {
    pub(super) fn new(style: Style, kind: Kind) -> Self {
        let (table, chart) = (Table::new(style), Chart::new(style));
        Self { style, kind, table, chart, service_width: 0 }
    }

    pub(super) fn row(&mut self, row: Row, out: &mut impl Write) -> io::Result<()> {
        if row.is_record() {
            let text = self.record(&row);
            return writeln!(out, "{text}");
        }
        match self.kind {
            Kind::Timechart { .. } => self.chart.row(row, out),
            Kind::Shares => self.table.row(chart::with_share(row, self.style), out),
            Kind::Plain => self.table.row(row, out),
        }
    }

    pub(super) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        if let Kind::Timechart { series } = self.kind {
            self.chart.finish(series, out)?;
        }
        self.table.finish(out)
    }

    fn record(&mut self, record: &Row) -> String {
        let style = self.style;
        let padded = style.terminal && style.width.is_none_or(|width| width >= NARROW);
        let mut line = self.time(record.text("timestamp"));
        let level = record.text("severity");
        line.push(' ');
        line.push_str(
            &style.paint(level_colour(level), &format!("{:<5}", printable(level).to_uppercase())),
        );
        let service = printable(record.text("service"));
        if padded {
            self.service_width = self.service_width.max(service.width()).min(SERVICE_WIDTH_MAX);
        }
        let padding = self.service_width.saturating_sub(service.width());
        if !service.is_empty() || padding > 0 {
            line.push(' ');
            line.push_str(&style.paint(CYAN, &service));
            line.push_str(&" ".repeat(padding));
        }
        let correlation = record.text("correlation_id");
        if !correlation.is_empty() {
            line.push(' ');
            line.push_str(&self.id(correlation));
        }
        let message = record.text("message");
        let mut lines = message.lines();
        let first = if style.terminal { lines.next().unwrap_or_default() } else { message };
        line.push(' ');
        line.push_str(&printable(first));
        for (name, value) in record.made() {
            self.pair(name, value, "", &mut line);
        }
        let is_span = is_span(record);
        for (name, value) in record.attributes() {
            match value.as_i64().filter(|_| is_span && name == record::span::DURATION) {
                Some(nanos) => {
                    let told = Value::from(milliseconds(nanos as f64 / 1e6).replace(' ', ""));
                    self.pair(name, &told, DIM, &mut line);
                }
                None => self.pair(name, value, DIM, &mut line),
            }
        }
        if style.terminal {
            for more in lines {
                line.push_str("\n    ");
                line.push_str(&printable(more));
            }
        }
        line
    }

    /// The date is what changes least.
    fn time(&self, time: &str) -> String {
        let time = printable(time);
        match time.split_once('T') {
            Some((date, clock)) if self.style.colours => {
                format!("{}{clock}", self.style.paint(DIM, &format!("{date}T")))
            }
            _ => time.into_owned(),
        }
    }

    fn pair(&self, name: &str, value: &Value, colour: &str, line: &mut String) {
        let name = printable(name);
        match value {
            Value::String(text) if is_id(text) => {
                line.push_str(&self.style.paint(colour, &format!(" {name}=")));
                line.push_str(&self.id(text));
            }
            other => {
                line.push_str(&self.style.paint(colour, &format!(" {name}={}", value_text(other))));
            }
        }
    }

    fn id(&self, id: &str) -> String {
        let shown = match id.chars().count() > ID_CHARACTERS && self.style.terminal {
            true => format!("{}…", id.chars().take(ID_CHARACTERS - 1).collect::<String>()),
            false => id.to_owned(),
        };
        self.style.paint(&id_colour(id), &printable(&shown)).into_owned()
    }
}

/// Whether a text is an id that nobody reads to its end: a UUID, the id of a trace, a checksum.
fn is_id(text: &str) -> bool {
    text.len() >= LONG_ID_BYTES
        && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() || text.contains([' ', '"', '=']) => {
            printable(&Value::String(text.clone()).to_string()).into_owned()
        }
        Value::String(text) => printable(text).into_owned(),
        other => printable(&other.to_string()).into_owned(),
    }
}
