//! How answers are printed: lines of JSON come in, what a person or a program reads goes out.
//!
//! ```text
//! records ─▶ text (a line each)        ─┐
//! rows    ─▶ table, or a chart of bars ─┼─▶ standard output, or a pager
//! both    ─▶ json, csv                 ─┘
//! ```

mod chart;
mod csv;
mod pager;
pub(crate) mod progress;
mod row;
mod style;
mod table;
mod tale;
mod text;
mod waterfall;
mod width;

use std::io::{self, BufWriter, Write};

use serde_json::Value;

pub(crate) use pager::Out;
pub(crate) use style::{ColorChoice, Style, dimmed_error};
pub(crate) use tale::tale;
pub(crate) use waterfall::{milliseconds, waterfall};
pub(crate) use width::fitted;

use crate::arguments::OutputForm;
use row::Row;

/// Prints the lines of one answer.
pub(crate) struct Printer<W: Write> {
    out: BufWriter<W>,
    form: Form,
}

enum Form {
    Json,
    Text(Box<text::Text>),
    Table(Box<table::Table>),
    Csv(Box<csv::Csv>),
}

impl<W: Write> Printer<W> {
    /// Prints the answer to a query.
    pub(crate) fn new(out: W, form: OutputForm, style: Style, query: &str) -> Self {
        let form = match form {
            OutputForm::Json => Form::Json,
            OutputForm::Csv => Form::Csv(Box::default()),
            OutputForm::Table => Form::Table(Box::new(table::Table::new(style))),
            OutputForm::Text => {
                Form::Text(Box::new(text::Text::new(style, chart::Kind::of(query))))
            }
        };
        Self { out: BufWriter::with_capacity(64 << 10, out), form }
    }

    /// Prints a record at once; rows may wait until their table can be laid out.
    pub(crate) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if matches!(self.form, Form::Json) {
            self.out.write_all(line)?;
            return self.out.write_all(b"\n");
        }
        let Ok(row) = serde_json::from_slice::<Row>(line) else {
            // Never hide what the server says.
            return writeln!(self.out, "{}", row::printable(&String::from_utf8_lossy(line)));
        };
        match &mut self.form {
            Form::Json => Ok(()),
            Form::Text(text) => text.row(row, &mut self.out),
            Form::Table(table) => table.row(row.flat(), &mut self.out),
            Form::Csv(csv) => csv.row(row, &mut self.out),
        }
    }

    /// What was printed so far is out.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Prints what has waited.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match &mut self.form {
            Form::Json => {}
            Form::Text(text) => text.finish(&mut self.out)?,
            Form::Table(table) => table.finish(&mut self.out)?,
            Form::Csv(csv) => csv.finish(&mut self.out)?,
        }
        self.out.flush()
    }
}

/// A row as a line of JSON, with its columns in this order.
pub(crate) fn row(cells: &[(&str, Value)]) -> String {
    let cells = cells.iter().map(|(name, value)| format!("{}:{value}", Value::from(*name)));
    format!("{{{}}}", cells.collect::<Vec<_>>().join(","))
}

/// Prints lines of JSON in this form; whoever reads them may have enough.
pub(crate) fn print_lines(lines: &[String], form: OutputForm) -> io::Result<()> {
    let style = Style::of_stdout(ColorChoice::Auto);
    let mut printer = Printer::new(io::stdout().lock(), form, style, "*");
    let mut lines = lines.iter();
    let printed = lines.try_for_each(|line| printer.line(line.as_bytes()));
    match printed.and_then(|()| printer.finish()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

impl Printer<Out> {
    /// Prints what has waited, and waits until a person has read it, so that what is said next stands below.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        let finished = self.finish();
        self.out.get_mut().close();
        finished
    }

    /// Whether a pager has the terminal.
    pub(crate) fn is_paged(&self) -> bool {
        self.out.get_ref().is_paged()
    }
}

#[cfg(test)]
mod tests;
