//! Rows with aligned columns.

use std::collections::HashMap;
use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::row::{Row, cell_text, printable};
use super::style::{BOLD, Style};

/// Rows that are measured before the first is printed; later ones keep those widths.
const ROWS_MEASURED: usize = 1_000;
/// Widest column that is padded.
const COLUMN_WIDTH_MAX: usize = 60;
/// What is left of a column that is shortened, at least.
const COLUMN_WIDTH_MIN: usize = 8;
const BETWEEN: &str = "  ";
/// The name of a column of bars, which needs none.
pub(super) const BAR_COLUMN: &str = "";

/// Rows that wait until the widths of their columns are known.
#[derive(Debug)]
pub(super) struct Table {
    style: Style,
    waiting: Vec<Row>,
    columns: Option<Columns>,
}

#[derive(Debug)]
struct Columns {
    names: Vec<String>,
    numbers: Vec<bool>,
    widths: Vec<usize>,
}

impl Table {
    pub(super) fn new(style: Style) -> Self {
        Self { style, waiting: Vec::new(), columns: None }
    }

    pub(super) fn row(&mut self, row: Row, out: &mut impl Write) -> io::Result<()> {
        if row.0.is_empty() {
            return Ok(());
        }
        if let Some(columns) = &self.columns {
            return writeln!(out, "{}", columns.row(&row, self.style));
        }
        self.waiting.push(row);
        if self.waiting.len() >= ROWS_MEASURED { self.finish(out) } else { Ok(()) }
    }

    pub(super) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let columns = self.columns.insert(Columns::of(&waiting, self.style));
        let names: Vec<String> =
            columns.names.iter().map(|name| printable(name).into_owned()).collect();
        writeln!(out, "{}", self.style.paint(BOLD, &columns.line(&names, self.style)))?;
        waiting.iter().try_for_each(|row| writeln!(out, "{}", columns.row(row, self.style)))
    }
}

impl Columns {
    /// All that these rows have, as wide as they need.
    fn of(rows: &[Row], style: Style) -> Self {
        let (mut names, mut numbers): (Vec<String>, Vec<bool>) = (Vec::new(), Vec::new());
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (name, value) in rows.iter().flat_map(|row| &row.0) {
            let place = *places.entry(name).or_insert_with(|| {
                names.push(name.clone());
                numbers.push(true);
                names.len() - 1
            });
            numbers[place] &= value.is_number() || value.is_null();
        }
        let mut widths: Vec<usize> =
            names.iter().map(|name| printable(name).width().min(COLUMN_WIDTH_MAX)).collect();
        for (name, value) in rows.iter().flat_map(|row| &row.0) {
            let width = cell_text(value).width().min(COLUMN_WIDTH_MAX);
            let widest = &mut widths[places[name.as_str()]];
            *widest = width.max(*widest);
        }
        let mut columns = Self { names, numbers, widths };
        if let Some(terminal) = style.width {
            columns.fit(terminal);
        }
        columns
    }

    /// The widest text gives way, never a number, a time or a bar.
    fn fit(&mut self, terminal: usize) {
        let between = BETWEEN.len() * self.widths.len().saturating_sub(1);
        while self.widths.iter().sum::<usize>() + between > terminal {
            let texts = (0..self.widths.len()).filter(|index| self.is_text(*index));
            match texts.max_by_key(|index| self.widths[*index]) {
                Some(index) if self.widths[index] > COLUMN_WIDTH_MIN => self.widths[index] -= 1,
                _ => break,
            }
        }
    }

    fn is_text(&self, index: usize) -> bool {
        !self.numbers[index] && !["timestamp", BAR_COLUMN].contains(&self.names[index].as_str())
    }

    /// A row, and behind it what no row had when the columns were laid out.
    fn row(&self, row: &Row, style: Style) -> String {
        let cells: Vec<String> = self
            .names
            .iter()
            .map(|name| row.get(name).map_or_else(String::new, cell_text))
            .collect();
        let mut line = self.line(&cells, style);
        for (name, value) in row.0.iter().filter(|(name, _)| !self.names.contains(name)) {
            line.push_str(&format!("{BETWEEN}{}={}", printable(name), cell_text(value)));
        }
        line
    }

    fn line(&self, cells: &[String], style: Style) -> String {
        let mut line = String::new();
        for (index, (cell, width)) in cells.iter().zip(&self.widths).enumerate() {
            if index > 0 {
                line.push_str(BETWEEN);
            }
            let shortened = match style.width {
                Some(_) if cell.width() > *width && self.is_text(index) => shorten(cell, *width),
                _ => cell.clone(),
            };
            let padding = " ".repeat(width.saturating_sub(shortened.width()));
            // Numbers to the right, text to the left.
            if self.numbers[index] {
                line.push_str(&padding);
            }
            line.push_str(&shortened);
            if !self.numbers[index] {
                line.push_str(&padding);
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// As much of a text as fits with a `…` behind it.
pub(super) fn shorten(text: &str, width: usize) -> String {
    let (mut shortened, mut used) = (String::new(), 0);
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        shortened.push(character);
    }
    shortened.push('…');
    shortened
}
