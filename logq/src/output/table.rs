//! Rows with aligned columns.

use std::io::{self, Write};

use serde_json::Value;
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

/// Rows that wait until the widths of their columns are known.
#[derive(Debug)]
pub(super) struct Table {
    style: Style,
    names: Vec<String>,
    rows: Vec<Vec<String>>,
    numbers: Vec<bool>,
    widths: Option<Vec<usize>>,
}

impl Table {
    pub(super) fn new(style: Style) -> Self {
        Self { style, names: Vec::new(), rows: Vec::new(), numbers: Vec::new(), widths: None }
    }

    pub(super) fn row(&mut self, Row(cells): Row, out: &mut impl Write) -> io::Result<()> {
        if cells.is_empty() {
            return Ok(());
        }
        if self.names.is_empty() {
            self.names = cells.iter().map(|(name, _)| name.clone()).collect();
            self.numbers = vec![true; self.names.len()];
        }
        let mut row = Vec::with_capacity(self.names.len());
        for (index, name) in self.names.iter().enumerate() {
            let value = cells.iter().find(|(other, _)| other == name);
            let value = value.map_or(&Value::Null, |(_, value)| value);
            self.numbers[index] &= value.is_number() || value.is_null();
            row.push(cell_text(value));
        }
        self.rows.push(row);
        if self.rows.len() >= ROWS_MEASURED { self.print(out) } else { Ok(()) }
    }

    pub(super) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.print(out)
    }

    fn print(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        if self.widths.is_none() {
            let widths = self.measure();
            self.widths = Some(widths);
            let names: Vec<String> =
                self.names.iter().map(|name| printable(name).into_owned()).collect();
            let line = self.line(&names);
            writeln!(out, "{}", self.style.paint(BOLD, &line))?;
        }
        for row in std::mem::take(&mut self.rows) {
            writeln!(out, "{}", self.line(&row))?;
        }
        Ok(())
    }

    fn measure(&self) -> Vec<usize> {
        let widths = self.names.iter().enumerate().map(|(index, name)| {
            let widest = self.rows.iter().map(|row| row[index].width()).max().unwrap_or(0);
            widest.max(printable(name).width()).min(COLUMN_WIDTH_MAX)
        });
        let mut widths: Vec<usize> = widths.collect();
        let Some(terminal) = self.style.width else { return widths };
        let between = BETWEEN.len() * widths.len().saturating_sub(1);
        // The widest text gives way, never a number.
        while widths.iter().sum::<usize>() + between > terminal {
            let texts = widths.iter().enumerate().filter(|(index, _)| !self.numbers[*index]);
            let widest =
                texts.max_by_key(|(_, width)| **width).map(|(index, width)| (index, *width));
            match widest {
                Some((index, width)) if width > COLUMN_WIDTH_MIN => widths[index] = width - 1,
                _ => break,
            }
        }
        widths
    }

    fn line(&self, cells: &[String]) -> String {
        let widths = self.widths.as_deref().unwrap_or_default();
        let mut line = String::new();
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                line.push_str(BETWEEN);
            }
            let width = widths.get(index).copied().unwrap_or(0);
            let shortened = match self.style.width {
                Some(_) if cell.width() > width && !self.numbers[index] => shorten(cell, width),
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
